"""What arguments may be: checks that layers, losses, optimizers, training and tasks share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from karusel.errors import UsageError

__all__ = [
    "LARGEST_SEED",
    "between",
    "check_time_limit",
    "choice",
    "is_number",
    "is_whole",
    "number_from_zero",
    "positive_number",
    "share",
    "whole_number",
]

_LARGEST_INTEGER = 2**31 - 1  # of sizes and counts
LARGEST_SEED = 2**63 - 1
# What the engine computes with: normal numbers of float32, since it takes smaller ones for 0.
_LEAST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def is_number(value: Any) -> bool:
    """Whether this is a real number, which True and text are not."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether this is of a type of whole numbers, which True is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def whole_number(owner: str, name: str, value: Any, least: int = 1, most: float = _LARGEST_INTEGER) -> int:
    """A whole number from `least` to `most`, or UsageError; 3.0 is none.

    `owner` is the class or function whose argument it is.
    """
    if not is_whole(value) or value < least:
        raise UsageError(f"{owner}: {name} must be a whole number from {least} up, got {value!r}")
    if value > most:
        raise UsageError(f"{owner}: {name} must be at most {most:,}, got {value!r}")
    return int(value)


def positive_number(owner: str, name: str, value: Any) -> float:
    """A number above 0 that float32 holds, or UsageError."""
    if not is_number(value) or not 0 < value < math.inf:
        raise UsageError(f"{owner}: {name} must be a finite number above 0, got {value!r}")
    if not _LEAST <= value <= _LARGEST:
        raise UsageError(
            f"{owner}: {name} must lie within float32, {_LEAST:.2g} to {_LARGEST:.2g}, got {value!r}"
        )
    return float(value)


def number_from_zero(owner: str, name: str, value: Any) -> float:
    """The same, or 0."""
    if is_number(value) and value == 0:
        return 0.0
    if not is_number(value) or not 0 < value < math.inf:
        raise UsageError(f"{owner}: {name} must be a finite number from 0 up, got {value!r}")
    return positive_number(owner, name, value)


def share(owner: str, name: str, value: Any) -> float:
    """A share in [0, 1), in float32 too, or UsageError."""
    if not is_number(value) or not 0 <= value < 1:
        raise UsageError(f"{owner}: {name} must be at least 0 and below 1, got {value!r}")
    if np.float32(value) == 1:
        raise UsageError(
            f"{owner}: {name} must be at most 0.99999994, the last float32 below 1, got {value!r}"
        )
    return float(value)


def between(owner: str, name: str, value: Any, low: float, high: float) -> float:
    """A number above `low` and below `high`, or UsageError."""
    if not is_number(value) or not low < value < high:
        raise UsageError(f"{owner}: {name} must lie between {low} and {high}, got {value!r}")
    return float(value)


def check_time_limit(owner: str, seconds: Any) -> None:
    """Raise `UsageError` for a limit that is neither None nor a number of seconds above 0."""
    if seconds is not None and not (is_number(seconds) and seconds > 0):
        raise UsageError(f"{owner}: time_limit must be a number of seconds above 0, got {seconds!r}")


def choice(owner: str, name: str, value: Any, choices: Iterable[str]) -> str:
    """One of some names, or UsageError."""
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{owner}: {name} must be one of {', '.join(known)}, got {value!r}")
    return str(value)
