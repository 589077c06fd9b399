"""Containers: what series come in, and forecasts go out in the same kind.

A frame of any library that narwhals reads, an array or list of one series, a list or 2-D array of several, or
a `Panel`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.forecasting.frames import READABLE, FrameKind, is_frame, read_frame
from karusel.forecasting.panel import Panel, from_columns

__all__ = ["Columns", "Kind", "read"]

Kind: TypeAlias = FrameKind | str  # "one", "many" or "panel" where it is no frame


@dataclass(frozen=True)
class Columns:
    """Where a frame holds what."""

    id_col: str = "unique_id"
    time_col: str | None = "ds"
    target_col: str | tuple[str, ...] = "y"
    hist_exog_list: tuple[str, ...] = ()
    futr_exog_list: tuple[str, ...] = ()
    stat_exog_list: tuple[str, ...] = ()
    # As a source of texts writes its times, "" in ISO 8601, and its numbers (`sources.notation`).
    time_format: str = ""
    notation: str = "point"

    @staticmethod
    def of(
        id_col: str,
        time_col: str | None,
        target_col: str | Sequence[str],
        hist_exog_list: Sequence[str],
        futr_exog_list: Sequence[str],
        stat_exog_list: Sequence[str],
    ) -> Columns:
        """From the arguments as a caller gives them, lists of any kind.

        Raises `UsageError` for a name that is no text.
        """
        several = isinstance(target_col, Iterable) and not isinstance(target_col, str)
        targets: Any = tuple(target_col) if several else target_col
        lists = (tuple(hist_exog_list), tuple(futr_exog_list), tuple(stat_exog_list))
        single = (id_col, "" if time_col is None else time_col)
        for name in itertools.chain(single, targets if several else [targets], *lists):
            if not isinstance(name, str):
                raise UsageError(
                    f"a column is named {name!r}; names must be text: rename the columns with "
                    "df.columns = df.columns.astype(str)"
                )
        return Columns(id_col, time_col, targets, *lists)

    def covariates(self) -> Mapping[str, Sequence[str]]:
        """The lists of covariates by the name of their argument."""
        return {
            "hist_exog_list": self.hist_exog_list,
            "futr_exog_list": self.futr_exog_list,
            "stat_exog_list": self.stat_exog_list,
        }


def read(
    data: Any,
    columns: Columns,
    *,
    freq: str | int | None = None,
    season_length: int | Sequence[int] | None = None,
    static_df: Any = None,
    like: Panel | None = None,
) -> tuple[Panel, Kind]:
    """The data as a panel, and its kind. With `like` it is read to be appended to that panel, or to be
    forecast by what was fitted to that panel.
    """
    if isinstance(data, Panel):
        return data, "panel"
    if is_frame(data):
        return read_frame(
            data,
            columns.id_col,
            columns.time_col,
            columns.target_col,
            freq,
            season_length,
            **columns.covariates(),
            static_df=static_df,
            like=like,
        )
    named = [name for names in columns.covariates().values() for name in names]
    if named or static_df is not None:
        what = f'the covariate "{named[0]}"' if named else "static_df"
        raise UsageError(f"{what} needs a frame with columns; arrays and lists hold values alone")
    series, kind = _series_of(data)
    numbers = np.repeat(np.arange(len(series)), [len(one) for one in series])
    ids = None if kind == "one" else numbers
    panel = from_columns(np.concatenate(series), ids=ids, season_length=season_length, like=like)
    return panel, kind


def _series_of(data: Any) -> tuple[list[NDArray[np.float64]], str]:
    """The series of an array or list, and whether it was "one" or "many"."""
    sized = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if isinstance(data, (str, bytes, Mapping)) or np.isscalar(data) or not sized:
        raise UsageError(f"a {type(data).__name__} cannot be read; {READABLE}")
    if isinstance(data, np.ndarray) or (len(data) > 0 and np.isscalar(data[0])):
        parts, kind = (np.asarray(data), "one") if np.ndim(data) == 1 else (data, "many")
        if np.ndim(data) not in (1, 2):
            raise DataError(
                f"the array has {np.ndim(data)} dimensions; give one series [T] or several [S, T]"
            )
    else:
        parts, kind = data, "many"
    series = [_as_numbers(part, number) for number, part in enumerate([parts] if kind == "one" else parts)]
    for number, one in enumerate(series):
        if one.ndim != 1 or one.size == 0:
            raise DataError(
                f"series {number} has shape {one.shape}; each must be 1-D with at least one value"
            )
    if not series:
        raise DataError("there are no series; give at least one")
    return series, kind


def _as_numbers(part: Any, number: int) -> NDArray[np.float64]:
    """One series as numbers, NaN for None; text is refused even where it spells a number."""
    try:
        found = np.asarray(part)
        if found.dtype.kind not in "US":
            return found.astype(np.float64)
    except (TypeError, ValueError):
        pass
    for row, value in enumerate(part):
        try:
            if isinstance(value, str):
                raise ValueError
            np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise DataError(
                f"row {row} of series {number} holds {str(value)!r}, which is no number; correct or remove it"
            ) from None
    raise DataError(f"series {number} is no 1-D array or list of numbers; give one")
