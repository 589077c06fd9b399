"""Windows: where each input part and target part of a panel begins.

A window is named by its cutoff, the flat position of the last known value. Its input part is the `length`
values up to and with the cutoff, its target part the `horizon` values after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting.panel import Panel
from karusel.forecasting.rows import positions
from karusel.windows import PIECE

__all__ = ["Cutoffs", "filled", "inputs", "last_cutoffs", "padded_inputs", "targets", "training_cutoffs"]

_AT_ONCE = 1 << 21  # numbers; of larger arrays the system clears each page before a program sees it


@dataclass(frozen=True)
class Cutoffs:
    """n windows of a panel, by the flat positions `at` [n] of their cutoffs.

    The panel's values after a cutoff are its window's target part and nothing else; its covariates of the
    future after a cutoff are known, so that a panel which is to be forecast from its end holds rows for them.
    """

    panel: Panel
    at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each window's series [n]."""
        return self.panel.number_of(self.at)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each window's series begins [n]."""
        return self.panel.offsets[self.numbers]

    @property
    def days(self) -> NDArray[np.int64] | None:
        """The date of each cutoff [n], counted from 1970; None unless a step is a day of the calendar."""
        frequency = self.panel.frequency
        if (frequency.unit, frequency.step) != ("day", 1):
            return None
        return frequency.ordinals(frequency.at(self.panel.starts[self.numbers], self.at - self.starts))

    def usual_steps(self, lag: int) -> NDArray[np.float64]:
        """The mean absolute step of each window's series over `lag` rows, from its start to the cutoff
        [n, 1]; 0 where none is known.
        """
        sums, counts = self.panel.steps_between(self.starts, self.at + 1, lag)
        return np.asarray(sums / np.maximum(counts, 1))[:, None]

    def take(self, rows: NDArray[np.int64]) -> Cutoffs:
        """Some of the windows."""
        return Cutoffs(self.panel, self.at[rows])

    def pieces(self, length: int) -> Iterator[Cutoffs]:
        """The windows in their order, as many together as are read at once with input parts of `length`."""
        rows, n = max(1, _AT_ONCE // length), len(self)
        return (self.take(np.arange(k, min(k + rows, n))) for k in range(0, n, rows))

    def inputs(self, length: int) -> NDArray[np.float64]:
        """Input parts [n, length], NaN before the start of a series."""
        return padded_inputs(self.panel.values, self.starts, self.at, length)

    def known(self, length: int) -> NDArray[np.bool_]:
        """Which windows have a known value in their input part of `length` [n]."""
        known = np.isfinite(self.panel.values[self.at])
        rest = self.take(np.flatnonzero(~known))
        if len(rest):
            known[~known] = np.concatenate(
                [np.isfinite(piece.inputs(length)).any(1) for piece in rest.pieces(length)]
            )
        return known

    def refuse_unknown(self, length: int) -> None:
        """Raise `DataError` for a window without a known value in its input part of `length`."""
        unknown = ~self.known(length)
        if unknown.any():
            series = self.panel.series_word(int(self.numbers[np.argmax(unknown)]))
            raise DataError(
                f"all of the {length} values of {series} before a forecast are missing; give later ones"
            )

    def targets(self, horizon: int) -> NDArray[np.float64]:
        """Target parts [n, horizon], NaN after the end of a series."""
        left = (self.panel.offsets[self.numbers + 1] - 1 - self.at)[:, None]
        if (left >= horizon).all():
            return targets(self.panel.values, self.at, horizon)
        ahead = np.arange(1, horizon + 1)
        values = self.panel.values[self.at[:, None] + np.minimum(ahead, left)]
        return np.where(ahead <= left, values, np.nan)


def training_cutoffs(panel: Panel, length: int, horizon: int) -> NDArray[np.int64]:
    """Flat positions of all cutoffs with a whole input part and a whole target part, series by series."""
    firsts = panel.offsets[:-1] + length - 1
    return positions(firsts, np.maximum(panel.lengths - length - horizon + 1, 0))


def last_cutoffs(panel: Panel) -> NDArray[np.int64]:
    """The cutoff at the end of each series [S]: everything is known, the whole target lies ahead."""
    return panel.offsets[1:] - 1


def inputs(values: NDArray[np.float64], cutoffs: NDArray[np.int64], length: int) -> NDArray[np.float64]:
    """Input parts [..., length] of the windows at `cutoffs` [...]: nothing after a cutoff is read."""
    return np.asarray(sliding_window_view(values, length)[cutoffs + (1 - length)])  # copied slice by slice


def padded_inputs(
    values: NDArray[np.float64], starts: NDArray[np.int64], cutoffs: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """Input parts [n, length] of windows, NaN before the start of a series.

    `starts` [n] and `cutoffs` [n] are flat positions: of each window's series, and of its last known value.
    """
    reaches = cutoffs - starts + 1 >= length
    whole, short = np.flatnonzero(reaches), np.flatnonzero(~reaches)
    found = np.empty((len(cutoffs), length))
    if whole.size:
        found[whole] = inputs(values, cutoffs[whole], length)
    rows = max(1, PIECE // length)
    for some in (short[k : k + rows] for k in range(0, len(short), rows)):
        at = cutoffs[some, None] + np.arange(1 - length, 1)
        found[some] = np.where(at >= starts[some, None], values[np.maximum(at, 0)], np.nan)
    return found


def filled(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Input parts [n, length] with unknown values as the last known one before; the first known one where
    there is none before.
    """
    known = np.isfinite(inputs)
    if known.all():
        return inputs
    first = np.argmax(known, axis=1)[:, None]
    found = np.where(known, inputs, np.take_along_axis(inputs, first, axis=1))
    # What is missing before the first known value is done; gaps after it are rarer and cost more.
    gaps = np.flatnonzero(np.count_nonzero(known, axis=1) < inputs.shape[1] - first[:, 0])
    at = np.maximum.accumulate(np.where(known[gaps], np.arange(inputs.shape[1]), first[gaps]), axis=1)
    found[gaps] = np.take_along_axis(inputs[gaps], at, axis=1)
    return found


def targets(values: NDArray[np.float64], cutoffs: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """Target parts [..., horizon] of the windows at `cutoffs` [...]."""
    return np.asarray(values[cutoffs[..., None] + np.arange(1, horizon + 1)])
