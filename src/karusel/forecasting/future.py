"""The future of covariates: rows of any source put in their places behind the end of each series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting.covariates import Column
from karusel.forecasting.frequency import Times
from karusel.forecasting.panel import Panel
from karusel.forecasting.rows import SHOWN, listed

__all__ = ["Future", "place_future", "steps_ahead"]


class Future(NamedTuple):
    """The covariates [S, horizon, F] of the steps behind the end of each series, and notes on them."""

    values: NDArray[np.float64]
    notes: tuple[str, ...]


def place_future(
    panel: Panel,
    codes: NDArray[np.int64],
    steps: NDArray[np.int64],
    columns: Sequence[Column],
    horizon: int,
    *,
    source: str,
    instead: str,
    row_name: Callable[[int], str],
) -> Future:
    """The columns [N] in their places.

    `codes` [N] number each row's series, -1 for one that the panel does not have; `steps` [N] say how many
    steps after the end of its series a row lies. Rows of other series or steps are passed over. `source` is
    what messages call the table, `instead` what to do about rows that are absent. Raises `DataError` for rows
    and values that are not there or there twice, by id and time.
    """
    rows = np.flatnonzero((codes >= 0) & (steps >= 1) & (steps <= horizon))
    places = codes[rows] * horizon + steps[rows] - 1
    seen = np.bincount(places, minlength=len(panel) * horizon)
    if seen.max(initial=0) > 1:
        at = np.flatnonzero(places == np.argmax(seen))
        raise DataError(
            f"{source} has {seen.max()} rows for {_place(panel, int(places[at[0]]), horizon)}, such as "
            f"{row_name(int(rows[at[0]]))} and {row_name(int(rows[at[1]]))}; keep one"
        )
    _refuse_absent(panel, seen == 0, horizon, f"{source} has no row for", instead)
    future = np.empty((len(panel) * horizon, len(columns)))
    for number, column in enumerate(columns):
        future[places, number] = column.values[rows]
        what = f'column "{column.covariate.name}" of {source} has no value for'
        _refuse_absent(panel, np.isnan(future[:, number]), horizon, what, "fill it in")
    notes = tuple(note for column in columns for note in column.notes())
    return Future(future.reshape(len(panel), horizon, len(columns)), notes)


def steps_ahead(panel: Panel, codes: NDArray[np.int64], times: Times | None) -> NDArray[np.int64]:
    """How many steps after the end of its series each row lies, 0 where it lies on no step.

    `codes` [N] are not negative; `times` [N] as the panel counts them, or None for rows in order.
    """
    if times is None:
        order = np.argsort(codes, kind="stable")
        before = np.searchsorted(codes[order], codes[order])
        steps = np.empty(codes.size, np.int64)
        steps[order] = np.arange(codes.size) - before + 1
        return steps
    frequency, ends = panel.frequency, panel.ends[codes]
    if frequency.unit == "business day":  # whose ordinals refuse weekends
        times = np.where(np.is_busday(times.astype("datetime64[D]")), times, ends)
    steps = (frequency.ordinals(times) - frequency.ordinals(ends)) // frequency.step
    return np.where(frequency.at(ends, steps) == times, steps, 0)


def _refuse_absent(panel: Panel, absent: NDArray[np.bool_], horizon: int, what: str, instead: str) -> None:
    """Refuse what is absent [S * horizon], by id and time."""
    places = np.flatnonzero(absent)
    if places.size == 0:
        return
    named = listed([_place(panel, int(place), horizon) for place in places[:SHOWN]], places.size)
    raise DataError(f"{what} {named}; every series needs the next {horizon} steps: {instead}")


def _place(panel: Panel, place: int, horizon: int) -> str:
    """A step of the future by id and time."""
    number, step = divmod(place, horizon)
    label = panel.frequency.label(panel.frequency.at(panel.ends[number], np.asarray(step + 1)))
    return label if len(panel) == 1 else f'"{panel.ids[number]}" at {label}'
