"""Frames in and out: pandas, polars and pyarrow tables become a panel, and forecasts become such a table.

A frame is long (a column of ids, one of times, one of values) or wide (a column of times and one column of
values for each series). It is read by its columns; a row is never a Python object.
"""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.forecasting import zones
from karusel.forecasting.categories import Categories, number_column
from karusel.forecasting.covariates import Column, Covariate, Kind, describe_column, read_column
from karusel.forecasting.frequency import Frequency, Times
from karusel.forecasting.future import Future, place_future, steps_ahead
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.rows import SHOWN, listed

__all__ = [
    "READABLE",
    "FrameKind",
    "future_frame",
    "is_frame",
    "read_frame",
    "read_future",
    "refuse_two_alike",
]

READABLE = "give a pandas, polars or pyarrow table, or an array or list of values"
_LIBRARIES = ("pandas", "polars", "pyarrow", "modin.pandas", "cudf")
_LISTS: dict[Kind, str] = {"past": "hist_exog_list", "future": "futr_exog_list", "static": "stat_exog_list"}


@dataclass(frozen=True)
class FrameKind:
    """What a forecast must look like to match the frame that came in.

    `library` is the name of the frame's own; `id_type` and `time_type` name narwhals' types of its columns.
    """

    library: str
    id_col: str | None
    time_col: str | None
    id_type: str
    time_type: str | None
    frequency: Frequency

    @property
    def own(self) -> tuple[str, ...]:
        """The columns of ids and times, those that there are."""
        return tuple(name for name in (self.id_col, self.time_col) if name is not None)

    def build(
        self,
        ids: Sequence[Hashable],
        times: Times,
        columns: Mapping[str, NDArray[np.float64]],
        cutoffs: Times | None = None,
    ) -> Any:
        """A frame of the same library: ids and times of each row, its cutoff if it has one, then the columns.

        `times` are as the panel has them; they come back in the frame's own type and time zone.
        """
        import narwhals as nw

        refuse_two_alike([*self.own, *(() if cutoffs is None else ("cutoff",)), *columns])
        if self.library not in _LIBRARIES:  # a model file could name any module
            raise UsageError(f"a frame of {self.library!r} cannot be made; give a frame to predict")
        backend = importlib.import_module(self.library)
        series: list[Any] = []
        if self.id_col is not None:
            series.append(nw.new_series(self.id_col, list(ids), _named_type(self.id_type), backend=backend))
        if self.time_col is not None:
            series.append(self._times(self.time_col, times, backend))
        if cutoffs is not None:
            series.append(self._times("cutoff", cutoffs, backend))
        series += [nw.new_series(name, values, backend=backend) for name, values in columns.items()]
        if not series:
            raise UsageError("there is neither a column of ids nor one of times to make a frame of")
        # Side by side, since building from a dictionary of polars series would need pyarrow.
        return nw.concat([one.to_frame() for one in series], how="horizontal").to_native()

    def _times(self, name: str, times: Times, backend: Any) -> Any:
        import narwhals as nw

        made = nw.new_series(name, self.frequency.to_utc(times), backend=backend)
        if self.time_type is None:
            return made  # rows are counted
        wanted = _named_type(self.time_type)
        if self.frequency.zone is None:
            return made.cast(wanted)
        made = made.cast(nw.Datetime(wanted.time_unit)).dt.replace_time_zone("UTC")
        return made.dt.convert_time_zone(self.frequency.zone)


def refuse_two_alike(names: Sequence[str]) -> None:
    """Refuse results of which two columns would have one name."""
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise UsageError(f'two columns of the results would be called "{twice}"; rename the one that is read')


def is_frame(data: Any) -> bool:
    """Whether the data is a table that narwhals can read."""
    return hasattr(data, "columns") or hasattr(data, "__arrow_c_stream__") or hasattr(data, "column_names")


def read_frame(
    data: Any,
    id_col: str,
    time_col: str | None,
    target_col: str | Sequence[str],
    freq: str | int | None = None,
    season_length: int | Sequence[int] | None = None,
    *,
    hist_exog_list: Sequence[str] = (),
    futr_exog_list: Sequence[str] = (),
    stat_exog_list: Sequence[str] = (),
    static_df: Any = None,
    like: Panel | None = None,
) -> tuple[Panel, FrameKind]:
    """Check a frame and lay it out as a panel. A missing id column means one series.

    Several columns in `target_col` mean a wide frame: each is a series, its name is the id. The three lists
    name the covariates; static ones stand in the frame, the same in all rows of a series, or in `static_df`,
    one row for each id, all of whose columns are taken when `stat_exog_list` is empty. With `like` the rows
    are read to be appended to that panel: its frequency, covariates and categories hold.

    Raises `UsageError` for columns that are not there and `DataError` for the rest, row and column named.
    """
    import narwhals as nw

    frame = _frame_of(data)
    targets = (target_col,) if isinstance(target_col, str) else tuple(target_col)
    wide = not isinstance(target_col, str)
    covariates: dict[Kind, Sequence[str]] = {
        "past": hist_exog_list,
        "future": futr_exog_list,
        "static": stat_exog_list,
    }
    roles = {
        "id_col": (id_col,),
        "time_col": () if time_col is None else (time_col,),
        "target_col": targets,
        **{_LISTS[kind]: names for kind, names in covariates.items()},
    }
    _refuse_two_roles(roles)
    for role in ("time_col", "target_col"):
        _need_columns(frame, roles[role], role)
    if wide and not targets:
        raise UsageError("target_col names no column; give one for each series of a wide frame")
    if wide and id_col in frame.columns:
        raise UsageError(
            f'the frame has ids in "{id_col}" and several target columns; give one target column, '
            "or drop the ids"
        )
    rows, width = len(frame), len(targets)
    has_ids = id_col in frame.columns
    if wide:
        ids = Categories(np.repeat(np.arange(width), rows), targets)
    elif has_ids:
        ids = number_column(frame[id_col])
    else:
        ids = Categories(np.zeros(rows, np.int64), ("series",))
    times, zone = (None, None) if time_col is None else _times(frame[time_col], time_col)
    columns = _read_covariates(frame, id_col, ids, covariates, static_df, like)
    panel = from_columns(
        np.concatenate([_numbers(frame[name], name) for name in targets]),
        times if times is None or width == 1 else np.tile(times, width),
        ids,
        zone=zone,
        freq=freq,
        season_length=season_length,
        columns=columns,
        like=like,
        row_name=(lambda row: f'row {row % rows}, column "{targets[row // rows]}"') if wide else _row_name,
    )
    return panel, FrameKind(
        library=nw.get_native_namespace(frame).__name__,
        id_col=id_col if wide or has_ids else None,
        time_col=time_col,
        id_type=_type_name(frame[id_col].dtype) if has_ids else "String",
        time_type=None if time_col is None else _type_name(_time_type(frame[time_col])),
        frequency=panel.frequency,
    )


def future_frame(panel: Panel, kind: FrameKind, horizon: int) -> Any:
    """The ids and times of the next `horizon` steps of every series, in the kind of frame that was read.

    Fill in the columns of `futr_exog_list` and give it back as `X_df`.
    """
    ids = [name for name in panel.ids for _ in range(horizon)]
    return kind.build(ids, panel.future_times(horizon).ravel(), {})


def read_future(panel: Panel, kind: FrameKind, data: Any, horizon: int) -> Future:
    """The covariates of the future from a frame `X_df`.

    Columns in the order of `panel.covariates.of("future")`. Rows may come in any order; rows of other ids or
    other times are passed over. A category that the panel does not know is 0, and that is noted. Raises
    `UsageError` for columns that are not there, `DataError` for rows and values that are not, by id and time.
    """
    frame = _frame_of(data)
    wanted = panel.covariates.of("future")
    _need_columns(frame, (*kind.own, *(one.name for one in wanted)), "X_df, as when fitted")
    codes = np.zeros(len(frame), np.int64)
    if kind.id_col is not None:
        codes = number_column(frame[kind.id_col]).within(panel.ids)
    rows = np.flatnonzero(codes >= 0)
    steps = np.zeros(len(frame), np.int64)
    steps[rows] = steps_ahead(panel, codes[rows], _future_times(panel, kind, frame, rows))
    columns = []
    for covariate in wanted:
        columns.append(read_column(frame[covariate.name], covariate, _row_name))
    return place_future(
        panel,
        codes,
        steps,
        columns,
        horizon,
        source="X_df",
        instead="future_frame makes the rows",
        row_name=_row_name,
    )


def _frame_of(data: Any) -> Any:
    import narwhals as nw

    try:
        return nw.from_native(data, eager_only=True)
    except TypeError:
        raise UsageError(f"a {type(data).__name__} cannot be read; {READABLE}") from None
    except nw.exceptions.DuplicateError as error:
        twice = " ".join(str(error).split())
        raise UsageError(f"the frame has columns of one name: {twice}; rename or drop them") from None


def _need_columns(frame: Any, names: Sequence[str], role: str) -> None:
    for name in names:
        if name not in frame.columns:
            raise UsageError(
                f'the frame has no column "{name}" ({role}); it has {", ".join(map(str, frame.columns))}'
            )


def _row_name(row: int) -> str:
    return f"row {row}"


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    """A column's values, NaN for a missing one."""
    import narwhals as nw

    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        return np.asarray(column.cast(nw.Float64).to_numpy(), np.float64)
    if column.dtype not in (nw.Object, nw.Unknown, nw.String):
        raise DataError(f'column "{name}" holds {column.dtype}, not numbers; convert it')
    values = column.to_list()
    if column.dtype != nw.String:
        try:
            return np.array([np.nan if value is None else value for value in values], np.float64)
        except (TypeError, ValueError):
            pass
    row, value = next((row, value) for row, value in enumerate(values) if not _reads_as_number(value))
    raise DataError(
        f'column "{name}" holds text: {value!r} in row {row} is not a number; correct it and convert the '
        "column"
    )


def _reads_as_number(value: Any) -> bool:
    """Whether a value is missing or a number; text never is."""
    if isinstance(value, str):
        return False
    try:
        float(np.nan if value is None else value)
    except (TypeError, ValueError):
        return False
    return True


def _times(column: Any, name: str) -> tuple[NDArray[Any], str | None]:
    """A column's times, in UTC when they have a time zone, and the zone."""
    import narwhals as nw

    if column.dtype in (nw.String, nw.Object):
        try:
            column = column.cast(nw.String).str.to_datetime()
        except Exception as error:  # each library has its own
            reason = str(error).splitlines()[0]
            raise DataError(f'column "{name}" holds text that is no date: {reason}') from None
    missing = column.is_null().to_numpy()
    if missing.any():
        raise DataError(
            f'row {int(np.argmax(missing))} has no time in column "{name}"; give it or remove the row'
        )
    zone = getattr(_time_type(column), "time_zone", None)
    if zone is not None:
        zones.check_zone(zone)
        column = column.cast(nw.Datetime(_time_type(column).time_unit, "UTC")).dt.replace_time_zone(None)
    return np.asarray(column.to_numpy()), zone


def _type_name(dtype: Any) -> str:
    """A type as text, such as "Int64" or "Datetime us UTC"."""
    import narwhals as nw

    if isinstance(dtype, nw.Datetime):
        return " ".join(["Datetime", dtype.time_unit, *([dtype.time_zone] if dtype.time_zone else [])])
    if isinstance(dtype, nw.Enum):  # whose names may be others by then
        return "Categorical"
    return type(dtype).__name__


def _named_type(name: str) -> Any:
    """Undo `_type_name`."""
    import narwhals as nw

    first, *rest = name.split(" ")
    if first == "Datetime":
        return nw.Datetime(*rest)  # type: ignore[arg-type]
    kind = getattr(nw, first, None)
    if not (isinstance(kind, type) and issubclass(kind, nw.dtypes.DType)):
        raise UsageError(f"{name!r} is no type of a column")
    return kind()


def _time_type(column: Any) -> Any:
    """The type of a column of times.

    narwhals does not know pandas' times in a zone whose name is more than letters, as America/New_York.
    """
    import narwhals as nw

    own: Any = getattr(column.to_native(), "dtype", None)
    if column.dtype == nw.Unknown and hasattr(own, "tz"):
        return nw.Datetime(own.unit, str(own.tz))
    return column.dtype


def _read_covariates(
    frame: Any,
    id_col: str,
    ids: Categories,
    names: Mapping[Kind, Sequence[str]],
    static_df: Any,
    like: Panel | None,
) -> list[Column]:
    """The covariates of all rows [N] of a panel, `ids` [N].

    A wide frame's own columns hold for each of its series.
    """
    static = None if static_df is None else _frame_of(static_df)
    if static is not None:
        _need_columns(static, (id_col,), "static_df, id_col")
        names = {**names, "static": names["static"] or [name for name in static.columns if name != id_col]}
    known: dict[str, Covariate] = {}
    if like is not None:
        known = {one.name: one for one in like.covariates.described}
        names = {kind: [one.name for one in like.covariates.of(kind)] for kind in names}
    columns = []
    for kind, columns_of_kind in names.items():
        source = static if kind == "static" and static is not None else frame
        for name in columns_of_kind:
            if like is not None and kind == "static" and name not in source.columns:
                columns.append(Column(known[name], np.full(ids.codes.size, known[name].missing)))
                continue
            _need_columns(source, (name,), _LISTS[kind] + (", as when fitted" if known else ""))
            covariate = known.get(name) or describe_column(source[name], name, kind)
            column = read_column(source[name], covariate, _row_name)
            if source is static:
                values = column.values[_rows_of_ids(source, id_col, ids)]
            else:
                values = np.tile(column.values, ids.codes.size // len(frame))
            columns.append(replace(column, values=values))
    return columns


def _refuse_two_roles(names: Mapping[str, Sequence[str]]) -> None:
    """Refuse a column that is named twice."""
    first: dict[str, str] = {}
    for role, columns in names.items():
        for name in columns:
            if name in first:
                raise UsageError(f'column "{name}" is named in {first[name]} and in {role}; name it once')
            first[name] = role


def _rows_of_ids(static: Any, id_col: str, ids: Categories) -> NDArray[np.int64]:
    """The row of `static_df` for each row [N] of a panel."""
    found = number_column(static[id_col])
    if len(found.names) < len(static):
        twice = np.flatnonzero(np.bincount(found.codes[found.codes >= 0]) > 1)
        what = f'two rows for the id "{found.names[twice[0]]}"' if twice.size else "a row without id"
        raise DataError(f"static_df has {what}; give one row for each id")
    rows = Categories(np.arange(len(ids.names)), ids.names).within(found.names)
    absent = [name for name, row in zip(ids.names, rows, strict=True) if row < 0]
    if absent:
        named = listed([f'"{name}"' for name in absent[:SHOWN]], len(absent))
        raise DataError(f"static_df has no row for {named}; give one row for each id")
    return np.asarray(rows[ids.codes])


def _future_times(panel: Panel, kind: FrameKind, frame: Any, rows: NDArray[np.int64]) -> Times | None:
    """The times of some rows of `X_df` as the panel counts them, None where rows are counted."""
    if kind.time_col is None:
        return None
    times, zone = _times(frame[kind.time_col], kind.time_col)
    frequency = panel.frequency
    if (zone is None) != (frequency.zone is None) or times.dtype.kind != panel.starts.dtype.kind:
        raise DataError(
            f'column "{kind.time_col}" of X_df holds {_type_name(_time_type(frame[kind.time_col]))}, but '
            f"{kind.time_type} when fitted; convert it"
        )
    dates = times.dtype.kind == "M"
    return frequency.from_utc(times[rows].astype("datetime64[us]" if dates else np.int64), panel.starts)
