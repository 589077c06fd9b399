"""The linear model of a process, which a network corrects and is held against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arx"]

Record = tuple[NDArray[np.float64], NDArray[np.float64]]  # inputs [T, m], outputs [T, k]

ORDERS = (1, 2, 3, 4, 6, 8, 12)


@dataclass(frozen=True)
class Arx:
    """y_t = c + sum_i (A_i y_{t-i} + B_i u_{t-i}), i = 1 .. order, by least squares (Ljung 1999).

    weights: [1 + order (k + m), k]: c, then for each i the rows of A_i and B_i.
    """

    order: int
    weights: NDArray[np.float64]

    @staticmethod
    def fit(records: list[Record], held_out: list[Record], known: int) -> Arx:
        """The order whose simulation of the held-out records is nearest; order is at most `known`."""
        found: list[tuple[float, int, Arx]] = []
        for order in (order for order in ORDERS if order <= known):
            pairs = [_regression(u, y, order) for u, y in records]
            A, b = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
            model = Arx(order, np.linalg.lstsq(A, b, rcond=None)[0])
            with np.errstate(over="ignore", invalid="ignore"):  # a model may be unstable
                error = np.mean([np.mean((model.simulate(u, y, known) - y) ** 2) for u, y in held_out])
            found.append((float(error) if np.isfinite(error) else np.inf, order, model))
        return min(found, key=lambda one: one[:2])[2]

    def simulate(self, u: NDArray[np.float64], y: NDArray[np.float64], known: int) -> NDArray[np.float64]:
        """Outputs [.., T, k] for inputs u [.., T, m]: y's in the `known` first steps, then its own."""
        out = np.zeros((*u.shape[:-1], y.shape[-1]))
        out[..., :known, :] = y[..., :known, :]
        for t in range(known, u.shape[-2]):
            past = [one[..., t - i, :] for i in range(1, self.order + 1) for one in (out, u)]
            out[..., t, :] = self.weights[0] + np.concatenate(past, axis=-1) @ self.weights[1:]
        return out


def _regression(
    u: NDArray[np.float64], y: NDArray[np.float64], order: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each output is explained by, and the outputs."""
    both = np.concatenate([y, u], axis=1)
    past = [both[order - i : len(y) - i] for i in range(1, order + 1)]
    return np.concatenate([np.ones((len(y) - order, 1)), *past], axis=1), y[order:]
