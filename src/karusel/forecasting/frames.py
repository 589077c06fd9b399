"""Frames in and out: pandas, polars and pyarrow tables in long format become a panel, and forecasts such a
table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.forecasting.panel import Panel, from_columns

__all__ = ["FrameKind", "is_frame", "read_frame"]


@dataclass(frozen=True)
class FrameKind:
    """What a forecast must look like to match the frame that came in."""

    backend: Any
    id_col: str | None
    time_col: str | None
    id_type: Any
    time_type: Any

    def build(self, ids: list[Any], times: NDArray[Any], columns: Mapping[str, NDArray[np.float64]]) -> Any:
        """A frame of the same library: ids and times of each row, then the columns."""
        import narwhals as nw

        series: list[Any] = []
        if self.id_col is not None:
            series.append(nw.new_series(self.id_col, ids, self.id_type, backend=self.backend))
        if self.time_col is not None:
            made = nw.new_series(self.time_col, times, backend=self.backend)
            series.append(made.cast(self.time_type))
        series += [nw.new_series(name, values, backend=self.backend) for name, values in columns.items()]
        # Side by side, since building from a dictionary of polars series would need pyarrow.
        return nw.concat([one.to_frame() for one in series], how="horizontal").to_native()


def is_frame(data: Any) -> bool:
    """Whether the data is a table that narwhals can read."""
    return hasattr(data, "columns") or hasattr(data, "__arrow_c_stream__") or hasattr(data, "column_names")


def read_frame(
    data: Any,
    id_col: str,
    time_col: str | None,
    target_col: str,
    freq: str | int | None,
    season_length: int | None,
) -> tuple[Panel, FrameKind]:
    """Check a frame and lay it out as a panel. A missing id column means one series."""
    import narwhals as nw

    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError:
        kind = type(data).__name__
        raise UsageError(f"a {kind} cannot be read; give a pandas, polars or pyarrow table") from None
    for role, name in (("time_col", time_col), ("target_col", target_col)):
        if name is not None and name not in frame.columns:
            raise UsageError(
                f'the frame has no column "{name}" ({role}); it has {", ".join(map(str, frame.columns))}'
            )
    has_id = id_col in frame.columns
    target = frame[target_col]
    if not (target.dtype.is_numeric() or target.dtype == nw.Boolean):
        raise DataError(f'column "{target_col}" holds {target.dtype}, not numbers; convert it')
    times = None if time_col is None else _times(frame[time_col], time_col)
    panel = from_columns(
        target.cast(nw.Float64).to_numpy().astype(np.float64),
        times,
        frame[id_col].to_list() if has_id else None,
        freq=freq,
        season_length=season_length,
    )
    return panel, FrameKind(
        backend=nw.get_native_namespace(frame),
        id_col=id_col if has_id else None,
        time_col=time_col,
        id_type=frame[id_col].dtype if has_id else None,
        time_type=frame[time_col].dtype if time_col is not None else None,
    )


def _times(column: Any, name: str) -> NDArray[Any]:
    import narwhals as nw

    zone = getattr(column.dtype, "time_zone", None)
    if zone:
        raise DataError(f'column "{name}" has the time zone {zone}; convert it to times without one')
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
    return np.asarray(column.to_numpy())
