"""How parameters begin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["chrono_bias", "glorot_uniform", "lstm_bias", "orthogonal"]

Array = NDArray[np.float64]


def glorot_uniform(random: np.random.Generator, rows: int, cols: int, fan_out: int | None = None) -> Array:
    """U(-r, r), r = sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010); fan_in = rows."""
    r = np.sqrt(6.0 / (rows + (cols if fan_out is None else fan_out)))
    return random.uniform(-r, r, size=(rows, cols))


def orthogonal(random: np.random.Generator, n: int) -> Array:
    """A random orthogonal [n, n] matrix, uniform over all of them (Saxe et al. 2014; Mezzadri 2007)."""
    q, r = np.linalg.qr(random.normal(size=(n, n)))
    # qr fixes signs in its own way; with the diagonal's signs taken out, q is uniformly distributed.
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))


def lstm_bias(hidden_size: int) -> Array:
    """Zero, but 1 for the forget gate, so that memory lasts at first (Jozefowicz et al. 2015)."""
    bias = np.zeros(4 * hidden_size)
    bias[hidden_size : 2 * hidden_size] = 1.0
    return bias


def chrono_bias(random: np.random.Generator, hidden_size: int, length: int) -> Array:
    """b_f = log U(1, length - 1), b_i = -b_f: memories from 1 to `length` steps (Tallec & Ollivier 2018)."""
    bias = np.zeros(4 * hidden_size)
    forget = np.log(random.uniform(1.0, max(length - 1.0, 2.0), size=hidden_size))
    bias[hidden_size : 2 * hidden_size] = forget
    bias[:hidden_size] = -forget
    return bias
