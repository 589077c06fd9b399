"""What arguments may be: checks that layers, losses, optimizers, training and tasks share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from karusel.errors import UsageError

__all__ = [
    "is_number",
    "is_whole",
    "number_from_zero",
    "positive_integer",
    "positive_number",
    "share",
    "whole_number",
]


def is_number(value: Any) -> bool:
    """Whether this is a real number, which True and text are not."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether this is of a type of whole numbers, which True is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def positive_integer(owner: str, name: str, value: Any, below: int = 2**31) -> int:
    """The value as an int, or UsageError."""
    if not is_number(value) or not 1 <= value < math.inf or value % 1 != 0:
        raise UsageError(f"{owner}: {name} must be a whole number from 1 up, got {value!r}")
    if value >= below:
        raise UsageError(f"{owner}: {name} must be below {below:,}, got {value!r}")
    return int(value)


def whole_number(owner: str, name: str, value: Any, least: int) -> int:
    """A whole number from `least` up, or UsageError."""
    if not is_whole(value) or value < least:
        raise UsageError(f"{owner}: {name} must be a whole number from {least} up, got {value!r}")
    return int(value)


def positive_number(owner: str, name: str, value: Any) -> float:
    """A finite number above 0, or UsageError."""
    if not is_number(value) or not 0 < value < math.inf:
        raise UsageError(f"{owner}: {name} must be a finite number above 0, got {value!r}")
    return float(value)


def number_from_zero(owner: str, name: str, value: Any) -> float:
    """A finite number from 0 up, or UsageError."""
    if not is_number(value) or not 0 <= value < math.inf:
        raise UsageError(f"{owner}: {name} must be a finite number from 0 up, got {value!r}")
    return float(value)


def share(owner: str, name: str, value: Any) -> float:
    """A share in [0, 1), or UsageError."""
    if not is_number(value) or not 0 <= value < 1:
        raise UsageError(f"{owner}: {name} must be at least 0 and below 1, got {value!r}")
    return float(value)
