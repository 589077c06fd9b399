"""Drawing from what a network puts out: one symbol, or several notes at once.

The engine draws the same (`engine/src/sampling.cpp`): the n-th draw depends on its key and n alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import LARGEST_SEED, is_number, number_from_zero, whole_number
from karusel.errors import UsageError
from karusel.randomness import call_key, uniform

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """How the next step is drawn from a network's outputs y.

    Parameters
    ----------
    temperature
        Symbols are drawn from softmax(y / temperature), notes each by itself from sigmoid(y / temperature).
        Below 1 the likely becomes likelier; 0 takes the likeliest symbol, and every note above 1/2.
    top_k
        Only so many of the likeliest symbols (Fan et al. 2018). None: all.
    top_p
        Of these only the fewest whose share of their chances is at least this: the nucleus (Holtzman et al.
        2020). In (0, 1].
    seed
        The same seed draws the same.
    notes
        Whether several outputs may be on at once. top_k and top_p are for symbols alone.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 0
    notes: bool = False

    def __post_init__(self) -> None:
        number_from_zero("Sampling", "temperature", self.temperature)
        if self.top_k is not None:
            whole_number("Sampling", "top_k", self.top_k)
        if not (is_number(self.top_p) and 0 < self.top_p <= 1):
            raise UsageError(f"Sampling: top_p must be above 0 and at most 1, got {self.top_p!r}")
        whole_number("Sampling", "seed", self.seed, 0, LARGEST_SEED)
        if self.notes and (self.top_k is not None or self.top_p < 1):
            raise UsageError("top_k and top_p choose among symbols; notes are drawn each by itself")

    @property
    def key(self) -> int:
        """What all draws come from."""
        return call_key(self.seed, 1)

    def draw(self, y: NDArray[Any], step: int) -> NDArray[Any]:
        """What is drawn from y [O] in a step: [1], the symbol, or zeros and ones [O]."""
        y = y.astype(np.float64)
        if not self.notes:
            return np.array([self._symbol(y, float(self._uniform(np.array([step]))[0]))])
        if self.temperature == 0:
            return (y > 0).astype(np.float64)
        chance = 0.5 * (1 + np.tanh(y / self.temperature / 2))
        return (self._uniform(step * len(y) + np.arange(len(y))) < chance).astype(np.float64)

    def _uniform(self, counters: NDArray[np.int64]) -> NDArray[np.float64]:
        return uniform(self.key, counters) + 2.0**-25  # never 0, which would draw what has no chance

    def _symbol(self, y: NDArray[np.float64], u: float) -> int:
        if self.temperature == 0 or not np.isfinite(y).all():
            return int(np.argmax(y))
        chances = np.exp((y - y.max()) / self.temperature)
        order = np.arange(len(y))
        if self.top_p < 1 or (self.top_k or len(y)) < len(y):
            order = np.argsort(-y, kind="stable")[: self.top_k]
            before = np.cumsum(chances[order]) - chances[order]
            order = order[before < self.top_p * chances[order].sum()]
        ends = np.cumsum(chances[order])
        return int(order[min(np.searchsorted(ends, u * ends[-1], side="right"), len(order) - 1)])
