"""Reading: from a name or a query to a `Table`, the columns chosen by name or by what they hold."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, FileMissingError, KaruselError, TooLargeError, UsageError
from karusel.forecasting import covariates
from karusel.forecasting.covariates import Covariate, Kind
from karusel.forecasting.panel import Panel
from karusel.names import shortlist
from karusel.sources.cells import Cells, Column
from karusel.sources.databases import first_line
from karusel.sources.form import are_periods
from karusel.sources.origin import open_origin
from karusel.sources.table import Table

if TYPE_CHECKING:
    import duckdb

__all__ = ["open_duckdb", "read_table", "refuse_unknown"]

_ID_NAME = "unique_id"
_TARGET_NAME = "y"
# Names under which a column of whole numbers is taken for times.
_TIME_NAMES = (
    *("ds", "date", "datetime", "time", "timestamp", "ts", "epoch", "unix"),
    *("t", "n", "period", "step", "index"),
    *("year", "quarter", "month", "week", "day"),
    *("дата", "время", "год", "квартал", "месяц", "неделя", "день"),
)
_YEAR = re.compile(r"[12]\d{3}")
_MONTH = re.compile(
    "0?[1-9]|1[0-2]|jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sep(tember)?|oct(ober)?"
    "|nov(ember)?|dec(ember)?",
    re.IGNORECASE,
)
_NO_TIMES = "none"  # as the name of the time column: count the rows instead


def read_table(
    source: str | Path | Sequence[str | Path] = (),
    *,
    sql: str | None = None,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] | None = (),
    futr_exog_list: Sequence[str] = (),
    hist_exog_list: Sequence[str] = (),
    stat_exog_list: Sequence[str] = (),
    known: Sequence[Covariate] = (),
    freq: str | int | None = None,
    time_format: str | None = None,
    notation: str = "point",
    like: Panel | None = None,
) -> Table:
    """Read the columns for a forecast from a source.

    `source` is a file, several, a glob such as `sales/*.parquet`, `-` for standard input, or the address of a
    database (`sqlite:///shop.db#sales`, `postgresql://host/shop#sales`). Files are CSV, Parquet or JSON (an
    array of records, or one a line). `sql` chooses from files that it names in quotes, from `source`, which
    it calls `input`, or from the database's tables.

    Without overrides: the id column is the one called `unique_id`, or where times come twice the first column
    of text that tells their rows apart; the time column is the first one whose
    cells are dates, or whole numbers under a name like `year` or `t`; the value column is the one called `y`,
    else every other column of numbers. `time_col="none"` counts the rows instead, unless a column has that
    name; `target_cols=None` reads no values. The three lists name covariates of the future, of the past and
    static ones; `known` are those of a panel that the rows are to be appended to, which take the place of the
    lists.

    Where times may be read in two ways, as 01/02/2020 may, the `time_format` of a table read before is taken,
    else the reading that is the more regular, at the frequency `freq` where it is given, or at that of the
    panel `like` which the rows are to be appended to. Values are read in the `notation` of the table before,
    such as one with points between thousands, if they can be.

    Raises `FileMissingError`, `UsageError` for an override that names no column or a query that is wrong,
    `MissingDependencyError` for PostgreSQL without its extra, `DataError` for the rest.
    """
    given = [source] if isinstance(source, (str, Path)) else list(source)
    named: dict[Kind, Sequence[str]] = {
        "past": hist_exog_list,
        "future": futr_exog_list,
        "static": stat_exog_list,
    }
    if known:
        named = {kind: [one.name for one in known if one.kind == kind] for kind in named}
    with open_duckdb(", ".join(map(str, given)) or "--sql", sql) as (connection, folder):
        cells = Cells(connection, open_origin(connection, given, sql, folder))
        targets = None if target_cols is None else tuple(target_cols)
        return _choose(cells, id_col, time_col, targets, named, known, time_format, freq, notation, like)


@contextmanager
def open_duckdb(title: str, sql: str | None) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A connection of its own and a folder for what does not fit memory, both gone afterwards."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="karusel-") as folder:
        # In a file a table lies packed, and a text that comes often is read once for many rows; in memory
        # neither is so. Without its own folder DuckDB would spill what is large into the working directory.
        own = Path(folder) / "duckdb"
        own.mkdir()
        config: dict[str, Any] = {"temp_directory": str(own), "autoinstall_known_extensions": False}
        try:
            with duckdb.connect(own / "table.duckdb", config=config) as connection:
                connection.execute("set TimeZone = 'UTC'")  # of times without an offset
                yield connection, Path(folder)
        except duckdb.InterruptException:
            raise KeyboardInterrupt from None
        except RuntimeError as error:  # what DuckDB 2.0.0 makes of Ctrl-C
            if "interrupted" in str(error).lower():
                raise KeyboardInterrupt from None
            raise
        except duckdb.OutOfMemoryException as error:
            raise TooLargeError(f"{title} does not fit memory: {first_line(error)}") from None
        except duckdb.Error as error:
            raise _explained(error, title, sql) from None


def _explained(error: Exception, title: str, sql: str | None) -> KaruselError:
    words = first_line(error)
    if os.strerror(errno.ENOSPC) in words:
        return TooLargeError(
            f"{title} does not fit the folder for temporary files, {tempfile.gettempdir()}; make room there, "
            "or set TMPDIR to another folder"
        )
    if sql is None:
        return DataError(f"{title} cannot be read: {words}")
    if "No files found" in words:
        return FileMissingError(f"--sql: {words}; check the name and the folder")
    if os.strerror(errno.EACCES) in words:
        return KaruselError(f"--sql: {words}")
    import duckdb

    if "sniffing file" in words:  # what the file holds, not the query
        return DataError(f"--sql: {words}")
    if isinstance(error, (duckdb.ProgrammingError, duckdb.NotSupportedError)):
        return UsageError(f"--sql: {words}; correct the query")
    return DataError(f"--sql: {words}")


def _choose(
    cells: Cells,
    id_col: str | None,
    time_col: str | None,
    target_cols: tuple[str, ...] | None,
    named: Mapping[Kind, Sequence[str]],
    known: Sequence[Covariate],
    known_format: str | None,
    freq: str | int | None,
    known_notation: str,
    like: Panel | None,
) -> Table:
    """Take ids, times and values from the columns named, or from those that look like them."""
    origin = cells.origin
    numbers = {name: number for number, name in enumerate(origin.columns)}
    counted = time_col == _NO_TIMES and _NO_TIMES not in numbers
    if counted:
        time_col = None
    if id_col is None and _ID_NAME in numbers:
        id_col = _ID_NAME
    roles = [
        *([(id_col, "id")] if id_col is not None else []),
        *([(time_col, "time")] if time_col is not None else []),
        *((name, "target") for name in target_cols or ()),
        *((name, f"{kind} covariate") for kind, names in named.items() for name in names),
    ]
    refuse_unknown(roles, origin.name, origin.columns)
    taken = {name for name, _ in roles}
    free = cells.look([number for name, number in numbers.items() if name not in taken])

    def look(name: str) -> Column:
        return cells.look([numbers[name]])[0]

    times, time_format = None, None
    if time_col is not None:
        times = look(time_col)
        time_format = cells.time_format(times, known_format, freq, like)
    elif not counted:
        times, time_format = _find_times(cells, free, known_format, freq, like, has_targets=target_cols != ())
    read_times = cells.times(times, time_format) if times else None
    rest = [column for column in free if column is not times]
    ids = look(id_col) if id_col is not None else None
    if times is not None and read_times is not None and time_col is None:
        _refuse_times_in_parts(cells, times, read_times, ids, rest)
    if ids is None and read_times is not None and target_cols is not None:
        ids = _find_ids(cells, rest, read_times)
    targets = [look(name) for name in target_cols or ()]
    if target_cols == ():
        targets = _find_targets(cells, rest, has_ids=ids is not None)
        if time_col is None and not counted and ids is None:
            _refuse_months_by_years(cells, free)
        if times is None and not counted:
            _refuse_series_in_rows(cells, rest, targets)
    targets = [cells.read_as(column, known_notation) for column in targets]
    unsure = cells.could_be_thousands(targets) if like is None else []
    notations = {column.notation for column in targets}
    described = {one.name: one for one in known}
    beside = [
        _covariate(cells, look(name), kind, described.get(name))
        for kind, names in named.items()
        for name in names
    ]
    return Table(
        origin=origin,
        values=cells.numbers(targets),
        times=read_times,
        ids=cells.names(ids) if ids else None,
        id_col=ids.name if ids else None,
        time_col=times.name if times else None,
        target_cols=tuple(column.name for column in targets),
        time_format=time_format or "",
        zone=cells.zone(times, time_format) if times else None,
        notation=notations.pop() if len(notations) == 1 else "point",
        covariates=tuple(beside),
        notes=(_decimals_note([column.name for column in unsure]),) if unsure else (),
    )


def refuse_unknown(roles: Sequence[tuple[str, str]], source: str, columns: Sequence[str]) -> None:
    """Refuse columns that are not there, or have two roles."""
    first: dict[str, str] = {}
    for name, role in roles:
        if name not in columns:
            raise UsageError(
                f'{source} has no column "{name}" to be the {role} column; it has {shortlist(columns)}'
            )
        if name in first:
            raise UsageError(f'column "{name}" is named as {first[name]} and as {role}; name it once')
        first[name] = role


def _find_times(
    cells: Cells,
    columns: list[Column],
    known_format: str | None,
    freq: str | int | None,
    like: Panel | None,
    *,
    has_targets: bool,
) -> tuple[Column | None, str | None]:
    """The first column of dates, else the first of whole numbers that is called or placed like times; and
    its format.
    """
    for column in columns:
        if column.numbers < column.filled or column.name.lower() in _TIME_NAMES:
            time_format = cells.time_format(column, known_format, freq, like)
            if time_format is not None:
                return column, time_format
    if len(columns) == 1 and not has_targets:
        return None, None  # the only column holds the values
    for column in columns:
        name = column.name.lower()
        if column.filled and column.whole == column.filled:
            if name in _TIME_NAMES or name == "" or name.startswith("unnamed:"):
                return column, None
            if not cells.origin.header and column.number == 0:
                return column, None
    return None, None


def _refuse_times_in_parts(
    cells: Cells, column: Column, times: NDArray[Any], ids: Column | None, columns: list[Column]
) -> None:
    """Refuse times that come twice and of which another column has a part: a month, a time of day."""
    called = {one.name.lower(): one for one in columns if one.whole == one.filled > 0}
    if column.name.lower() == "year" and "month" in called:
        parts = [column, called["month"], *([called["day"]] if "day" in called else [])]
        numbers = ", ".join(f'"{part.name}"::int' for part in parts)
        made = f"make_date({numbers})" if len(parts) == 3 else f"make_date({numbers}, 1)"
    elif (clock := next(filter(cells.are_clocks, columns), None)) is not None:
        parts = [column, clock]
        made = f'concat("{column.name}", chr(32), "{clock.name}")'
    else:
        return
    codes = cells.names(ids).codes if ids is not None else np.zeros(len(times), np.int64)
    if not _are_apart(codes, times):
        quoted = ", ".join(f'"{part.name}"' for part in parts)
        raise DataError(
            f"{cells.origin.name} has its times in parts, in {quoted}; put them together with "
            f"--sql 'select {made} as ds, * exclude ({quoted}) from input'"
        )


def _find_ids(cells: Cells, columns: list[Column], times: NDArray[Any]) -> Column | None:
    """The first column of text that tells rows of the same time apart; None where no time comes twice."""
    if len(np.unique(times)) == len(times):
        return None
    for column in columns:
        if column.kind == "text" and column.filled == len(times) and not column.is_numbers:
            codes = cells.names(column).codes
            ascending = (codes[1:] == codes[:-1]) & (times[1:] > times[:-1]) | (codes[1:] > codes[:-1])
            if ascending.all() or _are_apart(codes, times):
                return column
    return None


def _are_apart(codes: NDArray[np.int64], times: NDArray[Any]) -> bool:
    """Whether no two rows have the same code and time."""
    distinct, numbers = np.unique(times, return_inverse=True)
    return len(np.unique(codes * len(distinct) + numbers)) == len(times)


def _refuse_months_by_years(cells: Cells, columns: list[Column]) -> None:
    """Refuse one monthly series that is written as a table: a row for each month and a column for each year,
    or a row for each year and a column for each month.
    """
    for above, beside in ((_YEAR, _MONTH), (_MONTH, _YEAR)):
        across = [column for column in columns if above.fullmatch(column.name)]
        most = 12 if beside is _MONTH else 1000
        if len(across) < (2 if above is _YEAR else 12) or cells.rows > most:
            continue
        others = [column for column in columns if column not in across]
        label = next((column for column in others if _are_all(cells.texts(column), beside)), None)
        if label is None:
            continue
        months = cells.texts(label) if beside is _MONTH else [column.name for column in across]
        written = "%m" if months[0].isdigit() else "%b" if max(map(len, months)) == 3 else "%B"
        year, month = ("step", f'"{label.name}"') if above is _YEAR else (f'"{label.name}"', "step")
        listed = ", ".join(f'"{column.name}"' for column in others)
        sql = (
            f"select strptime(concat({year}, chr(32), {month}), $$%Y {written}$$)::date as ds, value as y "
            f"from input unpivot include nulls (value for step in (columns(* exclude ({listed}))::double)) "
            "order by ds"
        )
        words = "months in rows and years" if above is _YEAR else "years in rows and months"
        instead = label.name if label.is_numbers else _NO_TIMES
        raise DataError(
            f"{cells.origin.name} seems to hold one series, with {words} in columns; put it together with "
            f"--sql '{sql}', or take each column as one (time column: {instead})"
        )


def _are_all(texts: list[str], wanted: re.Pattern[str]) -> bool:
    """Whether all texts are such, each of them once."""
    return len(set(texts)) == len(texts) > 1 and all(map(wanted.fullmatch, texts))


def _refuse_series_in_rows(cells: Cells, columns: list[Column], targets: list[Column]) -> None:
    """Refuse a table without times whose rows are series: it has a name for each row and more columns of
    numbers than rows, or names and, above the numbers, years or dates.
    """
    rows = max(column.filled for column in columns)
    texts = [one for one in columns if one.kind == "text" and one.filled and not one.is_numbers]
    named = [one for one in texts if one.filled == rows and len(cells.names(one).names) == rows][:1]
    periods = are_periods([column.name for column in targets])
    if not ((periods and texts) or (len(targets) > rows and named)):
        return
    quoted = [f'"{column.name}"' for column in named or texts]
    name = quoted[0] if len(quoted) == 1 else f"concat_ws(chr(32), {', '.join(quoted)})"
    others = ", ".join(f'"{column.name}"' for column in texts)
    sql = (
        f"select {name} as unique_id, {'step as ds, ' if periods else ''}value as y from "
        f"input unpivot include nulls (value for step in (columns(* exclude ({others}))::double))"
    )
    raise DataError(
        f"{cells.origin.name} seems to hold one series in each row, named in {' and '.join(quoted)}; turn it "
        f"with --sql '{sql}', or take each column as one (time column: none)"
    )


def _find_targets(cells: Cells, columns: list[Column], *, has_ids: bool) -> list[Column]:
    """The value columns: `y`, else all whose filled cells are numbers in at least half of all cases."""
    source, found = cells.origin.name, [column for column in columns if column.is_numbers]
    names = _in_quotes([column.name for column in (found or columns)])
    if not found:
        name, first = (columns[0].name, cells.first(columns[0])) if columns else ("", None)
        if first is not None and first.startswith("[{"):
            raise DataError(
                f'{source} has its rows within "{name}"; take them out with '
                f"--sql 'select unnest(\"{name}\", recursive := true) from input'"
            )
        beside = (
            f"beside its times and ids it has {names}" if names else "it has none beside its times and ids"
        )
        if first is not None:
            beside += f'; "{name}" begins with {first!r}'
        raise DataError(
            f"{source} has no column of numbers ({beside}); name a target column that holds numbers"
        )
    called = [column for column in found if column.name == _TARGET_NAME]
    if called:
        return called
    if has_ids and len(found) > 1:
        raise DataError(
            f"{source} has several columns of numbers ({names}) beside its ids; name the target column"
        )
    return found


def _in_quotes(names: Sequence[str]) -> str:
    return shortlist([f'"{name}"' for name in names])


def _decimals_note(names: Sequence[str]) -> str:
    """How numbers such as 1.250 were read, and how to read them otherwise."""
    times = ", ".join(f'"{name}" * 1000 as "{name}"' for name in names[:10])
    return (
        f"all numbers in {_in_quotes(names)} have three digits after the point: read as decimals; if they "
        f"are thousands, --sql 'select * replace ({times}) from input'"
    )


def _covariate(cells: Cells, column: Column, kind: Kind, known: Covariate | None) -> covariates.Column:
    """A covariate of numbers, or of categories numbered in the order of their names, 0 for a missing one."""
    numeric = column.is_numbers if known is None else known.categories is None
    if numeric:
        covariate = known or Covariate(column.name, kind)
        values = cells.numbers([column])[:, 0]
        infinite = np.isinf(values)
        if infinite.any():
            row = int(np.argmax(infinite))
            raise DataError(
                f"{cells.place(column, row)} holds {values[row]}; values must be finite: correct or empty it"
            )
        return covariates.Column(covariate, values)
    found = cells.names(column)
    covariate = known or Covariate(column.name, kind, tuple(sorted(map(str, found.names))))
    return covariates.Column.of_categories(covariate, found)
