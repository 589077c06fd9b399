"""Numbers as a reader wants them: about four figures, commas between thousands, round ticks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["decimals", "number", "tick_texts", "ticks"]

_MOST_DECIMALS = 8
_LONGEST = 1e15  # from here on, and below the last decimal, numbers are written with a power of ten
_UNITS = ((1e9, " bn"), (1e6, " M"), (1.0, ""))
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def decimals(largest: float) -> int:
    """Digits after the point so that about four figures of the largest number are shown."""
    if not np.isfinite(largest) or largest == 0:
        return 2
    return int(np.clip(3 - np.floor(np.log10(abs(largest))), 0, _MOST_DECIMALS + 1))


def number(value: float, digits: int) -> str:
    """One number with so many digits after the point; a dash where it is not known."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞" if value > 0 else "-∞"
    if abs(value) >= _LONGEST or (digits > _MOST_DECIMALS and value):
        return f"{value:.3e}"
    return f"{value:,.{min(digits, _MOST_DECIMALS)}f}"


def ticks(low: float, high: float, most: int = 6) -> NDArray[np.float64]:
    """Round numbers from `low` to `high`, at most `most` of them at equal distances."""
    rough = high / most - low / most
    power = 10.0 ** np.floor(np.log10(rough)) if rough > 0 else 0.0
    step = next((power * part for part in _STEPS if power * part >= rough), 0.0)
    if step == 0 or not np.isfinite(step) or low + step == low or high - step == high:
        return np.array([low, high])
    found = step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)
    return found if found.size else np.array([low, high])


def tick_texts(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """Short texts for the numbers of an axis, all with the same unit and number of digits."""
    every = np.asarray(values, np.float64)
    largest = float(np.max(np.abs(every)))
    unit, word = next(((unit, word) for unit, word in _UNITS if largest >= unit), (1.0, ""))
    if largest >= _LONGEST:
        return [f"{value:.3g}" for value in every]
    scaled = every / unit
    slack = 1e-6 * float(np.max(np.abs(np.diff(scaled)), initial=0.0)) or 1e-12
    for digits in range(_MOST_DECIMALS):
        if np.all(np.abs(np.round(scaled, digits) - scaled) <= slack):
            return [f"{value:,.{digits}f}{word}" if value else "0" for value in scaled + 0.0]
    return [f"{value:.3g}" for value in every]
