"""Random numbers by counter: the n-th draw depends on its key and n alone.

The engine draws the same numbers (`engine/include/karusel/randomness.h`), so that both executors drop
the same units, whatever the order in which they come to them. The mixing function is the finalizer of
SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["call_key", "permutation", "step_seed", "uniform"]

MASK = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN = 0x9E37_79B9_7F4A_7C15


def _mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & MASK
    return z ^ (z >> 31)


def step_seed(seed: int, step: int) -> int:
    """What the dropouts of one training step draw from."""
    return _mix((_mix(seed & MASK) + step * GOLDEN) & MASK)


def call_key(seed: int, salt: int) -> int:
    """What one dropout call of that step draws from."""
    return _mix((seed + salt * GOLDEN) & MASK)


def _bits(key: int, counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = counters * np.uint64(GOLDEN) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


def uniform(key: int, counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Multiples of 2^-24 in [0, 1), one per counter."""
    return np.asarray((_bits(key, counters.astype(np.uint64)) >> np.uint64(40)) * 2.0**-24)


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order of n examples in an epoch: examples sorted by their draws."""
    keys = _bits(step_seed(seed ^ GOLDEN, epoch), np.arange(n, dtype=np.uint64))
    return np.argsort(keys, kind="stable").astype(np.int64, copy=False)
