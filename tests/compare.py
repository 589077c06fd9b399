"""The one comparison helper of the tests: named arrays against named arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Largest difference in an array over its largest expected value, by the dtype of what was got.
TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


def assert_close(
    got: Mapping[str, ArrayLike], expected: Mapping[str, ArrayLike], tolerance: float | None = None
) -> None:
    """Holds each named array to its expected one.

    The error of an array is max|got - expected| / max|expected| (the plain difference where all that is
    expected is 0), so small elements of a large array are held to the array's own rounding. `tolerance`
    replaces the one that goes with the dtype of `got`. The message names the array and the worst index.
    """
    assert set(got) == set(expected), (
        f"got {sorted(set(got) - set(expected))} unasked for, {sorted(set(expected) - set(got))} missing"
    )
    wrong = []
    for name in expected:
        a, b = np.asarray(got[name]), np.asarray(expected[name], dtype=np.float64)
        assert a.shape == b.shape, f"{name}: shape {a.shape}, expected {b.shape}"
        limit = TOLERANCE[a.dtype] if tolerance is None else tolerance
        if not a.size:
            continue
        assert np.isfinite(b).all(), f"{name}: what is expected is not finite"
        difference = np.array(np.abs(a.astype(np.float64) - b))
        difference[np.isnan(difference)] = np.inf
        error = float(difference.max() / (np.abs(b).max() or 1.0))
        if error > limit:
            worst = tuple(int(k) for k in np.unravel_index(np.argmax(difference), difference.shape))
            wrong.append(
                f"{name}{list(worst)}: {a[worst]}, expected {b[worst]}; error {error:.2e} > {limit:g}"
            )
    assert not wrong, "\n".join(wrong)


def assert_same_bits(got: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Holds each named array to the very bits of its expected one."""
    assert set(got) == set(expected)
    for name in expected:
        a, b = np.asarray(got[name]), np.asarray(expected[name])
        assert a.shape == b.shape, f"{name}: shape {a.shape}, expected {b.shape}"
        assert a.dtype == b.dtype, f"{name}: dtype {a.dtype}, expected {b.dtype}"
        if a.tobytes() != b.tobytes():
            worst = (
                tuple(int(k) for k in np.argwhere(~np.equal(a, b))[0]) if (a != b).any() else "sign of zero"
            )
            raise AssertionError(f"{name}: not the same bits, first at {worst}")
