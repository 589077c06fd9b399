"""Examples: the arrays that feed a program, checked once here; executors take them as they are.

An example is one row of a batch: a sequence with its target. Streams say where each example lies in
flat storage, so windows that overlap, ragged rows and padded arrays all cost no copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Examples", "Stream"]


@dataclass(frozen=True)
class Stream:
    """One array that feeds a buffer, or is filled from one.

    The line of example e at step t is values[starts[e] + t * stride :][:width], in 4- or 8-byte
    numbers as the executor computes in; buffers with one line per row use t = 0.
    """

    values: NDArray[Any]
    starts: NDArray[np.int64]
    stride: int

    def lines(self, examples: NDArray[np.int64], width: int, t: int | None = None) -> NDArray[Any]:
        """The lines of some examples at one step, copied."""
        first = self.starts[examples] + (0 if t is None else t * self.stride)
        return self.values[first[:, None] + np.arange(width)]


@dataclass(frozen=True)
class Examples:
    """Examples by number: their lengths, their inputs by role, and outputs to fill by role."""

    lengths: NDArray[np.int64]
    inputs: dict[str, Stream] = field(default_factory=dict)
    outputs: dict[str, Stream] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def max_steps(self) -> int:
        return int(self.lengths.max())
