"""Results as rows of a file, CSV, Parquet or JSON by its ending, or of a table of a database.

Either all rows are there afterwards or nothing has changed: a file is filled beside its place and renamed, a
table filled in one transaction.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.cli.files import check_output, write_whole
from karusel.errors import UsageError
from karusel.forecasting.frames import refuse_two_alike
from karusel.forecasting.frequency import Frequency
from karusel.sources import databases
from karusel.sources.notation import format_times, is_since_1970, since_1970

__all__ = ["Rows", "check_columns", "check_rows_output", "or_null", "time_cells", "write_rows"]


class Rows:
    """Columns [N] of results by name: names as texts, times, numbers. Times are texts, or numbers of what has
    passed since 1970, as the source has them.

    `time_format` is the source's own. `frequency` is that of times with a zone, which are as it counts them:
    those within a day are put in UTC and are in `zoned`.
    """

    def __init__(
        self, columns: Mapping[str, NDArray[Any]], time_format: str, frequency: Frequency | None = None
    ) -> None:
        self.columns = dict(columns)
        self.zoned: set[str] = set()
        self._times: dict[str, Sequence[Any]] = {}
        for name, column in columns.items():
            if column.dtype.kind == "M":
                if frequency is not None and frequency.zone_written(column) is not None:
                    self.columns[name] = frequency.to_utc(column)
                    self.zoned.add(name)
                self._times[name] = time_cells(column, time_format, frequency)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """Rows of Python's own types, NaN for a missing number."""
        cells = [self._times.get(name, column.tolist()) for name, column in self.columns.items()]
        return zip(*cells, strict=True)

    def records(self) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries, None for what is no finite number."""
        names = list(self.columns)
        for row in self:
            yield {name: or_null(value) for name, value in zip(names, row, strict=True)}

    def types(self) -> dict[str, type]:
        """Python's own type of each column."""
        kinds: dict[str, type] = {"i": int, "f": float}
        found = {name: kinds.get(column.dtype.kind, str) for name, column in self.columns.items()}
        for name, times in self._times.items():
            found[name] = float if float in set(map(type, times)) else type(times[0]) if times else str
        return found


def or_null(value: Any) -> Any:
    """None in place of a number that JSON does not have."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def time_cells(times: NDArray[Any], time_format: str, frequency: Frequency | None) -> Sequence[Any]:
    """Times [N] as the source writes its own; those of hours at midnight, too, with their hour."""
    if is_since_1970(time_format):
        return since_1970(times, time_format)
    if frequency is None:
        return format_times(times, time_format)
    zone = frequency.zone_written(times)
    times = np.append(times, frequency.at(times[-1:], np.asarray(1)))
    return format_times(times if zone is None else frequency.to_utc(times), time_format, zone)[:-1]


def check_rows_output(out: str, sources: Iterable[Path], given: Iterable[str]) -> None:
    """Raise now what would only come up after minutes of work. `given` are the sources as they were named."""
    database = databases.parse(out)
    if database is None:
        check_output(Path(out), sources)
        _writer(Path(out))
        return
    if database.table is None:
        raise UsageError(
            f"{database.name} names no table to write to; add one, as in {database.name}#forecasts"
        )
    if any(databases.parse(one) == database for one in given):
        raise UsageError(f"{database.name} is the table that is read; give another name for the output")
    if database.path is not None:
        check_output(database.path)


def check_columns(out: str | None, own: Sequence[str], made: Sequence[str]) -> None:
    """Raise now what the names of the columns would only bring up after minutes of work.

    `own` are those that the source names, and come first; `made` are all that may follow, the first one
    surely does.
    """
    refuse_two_alike([*own, *made])
    database = None if out is None else databases.parse(out)
    if database is not None:
        databases.refuse_other_columns(database, [*own, made[0]])


def write_rows(out: str, rows: Rows) -> None:
    """Write rows to a file or a table."""
    database = databases.parse(out)
    if database is not None:
        nullable = (tuple(None if cell != cell else cell for cell in row) for row in rows)
        databases.replace_rows(database, rows.types(), nullable)
        return
    write = _writer(Path(out))
    write_whole(Path(out), lambda path: write(rows, path))


def _writer(path: Path) -> Callable[[Rows, Path], None]:
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        known = ", ".join(name for name in _WRITERS if name)
        raise UsageError(
            f"{path}: results are not written as {ending}; end the name with one of {known}, "
            "or give a database"
        )
    return _WRITERS[ending]


def _write_csv(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows(["" if cell != cell else cell for cell in row] for row in rows)


def _write_json(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(list(rows.records()), file, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def _write_lines(rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for record in rows.records():
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")


def _write_parquet(rows: Rows, path: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("results", {f"c{k}": column for k, column in enumerate(rows.columns.values())})
        names = ", ".join(
            f"{_cell(k, column, zoned=name in rows.zoned)} as {databases.sql_name(name)}"
            for k, (name, column) in enumerate(rows.columns.items())
        )
        target = str(path).replace("'", "''")
        try:
            connection.execute(f"copy (select {names} from results) to '{target}' (format parquet)")
        except duckdb.IOException as error:
            raise OSError(None, str(error).splitlines()[0]) from None


def _cell(number: int, column: NDArray[Any], *, zoned: bool) -> str:
    """SQL for a column: a missing number is NULL, days are dates."""
    if zoned:
        return f"timezone('UTC', c{number})"
    if column.dtype.kind == "f":
        return f"nullif(c{number}, 'nan'::double)"
    if column.dtype.kind == "M" and np.all(column == column.astype("datetime64[D]")):
        return f"c{number}::date"
    return f"c{number}"


_WRITERS: dict[str, Callable[[Rows, Path], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".json": _write_json,
    ".jsonl": _write_lines,
    ".ndjson": _write_lines,
    "": _write_csv,  # such as /dev/stdout
}
