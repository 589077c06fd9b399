"""Random numbers by counter: the n-th draw depends on its key and n alone.

The engine draws the same numbers (`engine/include/karusel/randomness.h`), so that both executors drop
the same units, whatever the order in which they come to them. The mixing function is the finalizer of
SplitMix64 (Steele, Lea & Flood 2014).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["call_key", "permutation", "shuffled", "step_seed", "uniform"]

MASK = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN = 0x9E37_79B9_7F4A_7C15
SORTED = 1 << 13  # more examples than these are shuffled without a sort
ROUNDS = 3
FEW = 1 << 14  # places computed together: what stays near the processor


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


def shuffled(seed: int, epoch: int, n: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The examples at these places of the order of n examples in an epoch.

    Many examples are not sorted: each place is computed by itself, in constant memory. Numbers
    l + a r below a b >= n are permuted by a Feistel network on the pair (l, r), and a number from n up goes
    through it again until it lies below (cycle walking; Black & Rogaway 2002). a b - n < a, so few do.
    """
    if n <= SORTED:
        return np.asarray(permutation(seed, epoch, n)[places])
    key = step_seed(seed ^ GOLDEN, epoch)
    a = math.isqrt(n - 1) + 1
    b = -(-n // a)
    found = np.empty_like(places)
    for first in range(0, len(places), FEW):
        part = _feistel(key, a, b, places[first : first + FEW])
        while len(outside := np.flatnonzero(part >= n)):
            part[outside] = _feistel(key, a, b, part[outside])
        found[first : first + FEW] = part
    return found


def _feistel(key: int, a: int, b: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    right, left = np.divmod(numbers.astype(np.uint64), np.uint64(a))
    for i in range(ROUNDS):
        left = (left + _bits(call_key(key, 2 * i), right)) % np.uint64(a)
        right = (right + _bits(call_key(key, 2 * i + 1), left)) % np.uint64(b)
    return np.asarray(left + right * np.uint64(a), dtype=np.int64)
