"""What arguments may be: checks that layers, losses, optimizers, training and tasks share."""

from __future__ import annotations

from typing import Any

import numpy as np

from karusel.errors import UsageError

__all__ = ["is_number", "is_whole", "positive_integer", "share"]


def is_number(value: Any) -> bool:
    """Whether this is a number, which True and text are not."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether this is of a type of whole numbers, which True is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def positive_integer(owner: str, name: str, value: Any, below: int = 2**31) -> int:
    """The value as an int, or UsageError."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if isinstance(value, bool) or number != value or number < 1:
        raise UsageError(f"{owner}: {name} must be a whole number from 1 up, got {value!r}")
    if number >= below:
        raise UsageError(f"{owner}: {name} must be below {below:,}, got {value!r}")
    return number


def share(owner: str, name: str, value: Any) -> float:
    """A share in [0, 1), or UsageError."""
    if not is_number(value) or not 0 <= value < 1:
        raise UsageError(f"{owner}: {name} must be at least 0 and below 1, got {value!r}")
    return float(value)
