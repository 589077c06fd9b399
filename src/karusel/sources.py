"""Sources: read a CSV file into columns of ids, times and values, finding out how it is written.

Found: encoding (UTF-8, UTF-16, Windows-1251, Windows-1252), delimiter, lines before the table, header,
decimal comma, date format, and which columns hold times, values and the series' ids. DuckDB does the reading,
so quoting is right and a table may be larger than memory until its three columns are taken out. Refused, with
the line named: what is not text, ragged rows, cells that are no number or no time.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, FileMissingError, UsageError
from karusel.forecasting.panel import Panel, from_columns

if TYPE_CHECKING:
    import duckdb

__all__ = ["Table", "read_table"]

_DELIMITERS = ",;\t|"
_LOOKED_AT = 64 * 1024  # bytes at the head of the file from which its form is found
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", ".", "?")
_ID_NAME = "unique_id"
_TARGET_NAME = "y"
# Names under which a column of whole numbers is taken for times.
_TIME_NAMES = (
    *("ds", "date", "datetime", "time", "timestamp", "t", "n", "period", "step", "index"),
    *("year", "quarter", "month", "week", "day"),
    *("дата", "время", "год", "квартал", "месяц", "неделя", "день"),
)
_DATE_FORMATS = (
    "%Y-%m",
    "%Y/%m/%d",
    "%Y/%m",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%d-%m-%Y",
    "%m/%Y",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%b-%y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%Y%m%d",
)
_QUARTER = r"^\s*(\d{4})\s*-?\s*[Qq]([1-4])\s*$"
_NO_TIMES = "none"  # as the name of the time column: count the rows instead


@dataclass(frozen=True)
class Form:
    """How a CSV file is written."""

    encoding: str
    delimiter: str
    skip: int  # lines before the table
    header: bool
    names: tuple[str, ...]

    def describe(self) -> str:
        name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}[self.delimiter]
        parts = [f"{name} separated", self.encoding, "header found" if self.header else "no header"]
        if self.skip:
            parts.append(f"{self.skip} line{'s' if self.skip > 1 else ''} before the table skipped")
        return ", ".join(parts)


@dataclass(frozen=True)
class Table:
    """What a forecast uses of one file.

    `values` float64 [N, C], NaN for an empty cell, one column for each name in `target_cols`; `times` int64
    or datetime64[us] [N] or None; `ids` object [N] or None. `time_format` is the format of the times as
    `strptime` reads it, "" for ISO 8601.
    """

    path: Path
    form: Form
    values: NDArray[np.float64]
    times: NDArray[Any] | None
    ids: NDArray[Any] | None
    id_col: str | None
    time_col: str | None
    target_cols: tuple[str, ...]
    time_format: str

    def panel(self, freq: str | int | None = None, season_length: int | None = None) -> Panel:
        """The table as a panel: one series for each id, or for each value column when there are several."""
        values, times, ids = self.values[:, 0], self.times, self.ids
        width = len(self.target_cols)
        if width > 1:
            values = self.values.T.ravel()
            times = None if times is None else np.tile(times, width)
            ids = np.repeat(np.array(self.target_cols, object), len(self.values))
        rows = len(self.values)
        return from_columns(
            values,
            times,
            ids,
            freq=freq,
            season_length=season_length,
            row_name=lambda row: f"line {_line_of(self.path, self.form, row % rows)}",
        )

    def format_time(self, time: Any) -> str:
        """A time written as the file writes its own."""
        if not isinstance(time, np.datetime64):
            return str(int(time))
        if self.time_format == _QUARTER:
            month = time.astype("datetime64[M]").astype(int)
            return f"{1970 + month // 12}Q{month % 12 // 3 + 1}"
        if self.time_format:
            return str(time.astype("datetime64[s]").item().strftime(self.time_format))
        day = time.astype("datetime64[D]")
        if (
            self.times is not None
            and np.all(self.times == self.times.astype("datetime64[D]"))
            and day == time
        ):
            return str(day)
        return str(time.astype("datetime64[s]")).replace("T", " ")


def read_table(
    path: str | Path,
    *,
    id_col: str | None = None,
    time_col: str | None = None,
    target_cols: Sequence[str] = (),
) -> Table:
    """Read the columns for a forecast from the CSV file `path`.

    Without overrides: the id column is the one called `unique_id`; the time column is the first one whose
    cells are dates, or whole numbers under a name like `year` or `t`; the value column is the one called `y`,
    else every other column of numbers. `time_col="none"` counts the rows instead, unless a column has that
    name.

    Raises `FileMissingError`, `UsageError` for an override that names no column, `DataError` for the rest.
    """
    path = Path(path)
    _refuse_no_file(path)
    with _as_utf8(path) as (readable, encoding):
        form = _find_form(path, readable, encoding)
        with _loaded(path, readable, form) as cells:
            return _choose(cells, id_col, time_col, tuple(target_cols))


def _refuse_no_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder; give one CSV file")
    if not path.exists():
        raise FileMissingError(f"{path} does not exist; check the name and the folder")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not head:
        raise DataError(f"{path} is empty; a CSV file with a header and rows is needed")
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DataError(f"{path} looks like a spreadsheet or an archive; save the table as CSV")
    if b"\x00" in head and not head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is a binary file, not text; a CSV file is needed")


@contextmanager
def _as_utf8(path: Path) -> Iterator[tuple[Path, str]]:
    """The file itself when it is UTF-8, otherwise a temporary copy that is, with the encoding found."""
    with path.open("rb") as file:
        head = file.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "UTF-16"
    elif _decodes(path, "utf-8"):
        yield path, "UTF-8"
        return
    else:
        encoding = _one_byte_encoding(path)
    with tempfile.TemporaryDirectory(prefix="karusel-") as folder:
        copy = Path(folder, "table.csv")
        try:
            with (
                path.open(encoding=encoding, newline="") as source,
                copy.open("w", encoding="utf-8", newline="") as out,
            ):
                while chunk := source.read(1 << 20):
                    out.write(chunk)
        except UnicodeError:
            raise DataError(f"{path} is not whole {encoding} text; save it again as UTF-8") from None
        yield copy, encoding


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _one_byte_encoding(path: Path) -> str:
    """Windows-1251 when the bytes above ASCII look like Russian words, Windows-1252 when they look like
    Western ones.

    In Russian text letters above ASCII stand next to each other; in Western text they are single accents.
    """
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    high = sum(byte >= 0x80 for byte in head)
    if controls or high > 0.9 * len(head):
        raise DataError(f"{path} is a binary file, not text; a CSV file is needed")
    neighbours = len(re.findall(rb"(?<=[\xc0-\xff])[\xc0-\xff]", head))
    encoding = "windows-1251" if neighbours * 2 > high else "windows-1252"
    if not _decodes(path, encoding):
        raise DataError(f"{path} is not text in UTF-8 or a Windows encoding; save it again as UTF-8")
    return encoding


def _find_form(path: Path, readable: Path, encoding: str) -> Form:
    with readable.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(_LOOKED_AT)
    lines = head.splitlines()
    if len(head) == _LOOKED_AT and len(lines) > 1:
        lines.pop()  # cut off in the middle
    filled = [
        (number, line) for number, line in enumerate(lines) if line.strip() and not line.startswith("#")
    ]
    if not filled:
        raise DataError(f"{path} has no rows; a CSV file with a header and rows is needed")
    delimiter, count = _find_delimiter([line for _, line in filled[:200]])
    skip = next(
        (number for number, line in filled if _outside_quotes(line, delimiter) == count), filled[0][0]
    )
    rows = [cells for cells in csv.reader(lines[skip:], delimiter=delimiter) if cells]
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    header = not any(map(_is_value, first)) or any(
        name.strip() and not _is_value(name) and _is_value(cell)
        for name, cell in zip(first, second, strict=False)
    )
    names = [name.strip() for name in first] if header else [f"column {k + 1}" for k in range(len(first))]
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        raise DataError(f'{path} has two columns called "{twice[0]}"; rename one of them')
    return Form(encoding, delimiter, skip, header, tuple(names))


def _outside_quotes(line: str, delimiter: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(delimiter)


def _find_delimiter(lines: list[str]) -> tuple[str, int]:
    """The delimiter that stands equally often on most lines, and how often; a comma when there is none."""
    best = (0.0, 0, ",")
    for delimiter in _DELIMITERS:
        counts = Counter(_outside_quotes(line, delimiter) for line in lines)
        count, agreeing = max(counts.items(), key=lambda item: (item[1], item[0]))
        if count:
            best = max(best, (agreeing / len(lines), count, delimiter), key=lambda found: found[:2])
    return best[2], best[1]


def _is_value(cell: str) -> bool:
    """Whether a cell of the first line is a number or a date, so that the line is no header."""
    return bool(re.match(r"^\s*[-+]?(\d+[.,]?\d*([eE][-+]?\d+)?|\d{1,4}[-/.]\d{1,2}.*)\s*$", cell))


@dataclass(frozen=True)
class _Column:
    """What the cells of one column are."""

    number: int
    name: str
    filled: int  # cells that hold something
    numbers: int  # cells that are numbers
    whole: int  # cells that are whole numbers
    number_sql: str
    time_format: str | None  # None when the cells are no dates


def _filled(number: int | str) -> str:
    """SQL for a cell's text, NULL where the cell says that its value is missing."""
    tokens = ", ".join(f"'{token}'" for token in _MISSING)
    return f"(case when lower(trim(c{number})) in ({tokens}) then null else trim(c{number}) end)"


def _time_sql(cell: str, time_format: str) -> str:
    if time_format == _QUARTER:
        year, quarter = (f"try_cast(regexp_extract({cell}, '{_QUARTER}', {k}) as bigint)" for k in (1, 2))
        date = f"make_timestamp({year}, 3 * {quarter} - 2, 1, 0, 0, 0)"
        return f"(case when {year} is null then null else {date} end)"
    if time_format:
        return f"try_strptime({cell}, '{time_format}')"
    # As `timestamp` alone the cast would drop an offset such as +02:00 instead of applying it.
    return f"make_timestamp(epoch_us(try_cast({cell} as timestamptz)))"


class _Cells:
    """All cells of a file as text, in a table `data` of columns c0, c1, ... of a DuckDB connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, readable: Path, form: Form) -> None:
        self.connection = connection
        self.path = path
        self.form = form
        columns = {f"c{number}": "VARCHAR" for number in range(len(form.names))}
        connection.execute("set TimeZone = 'UTC'")  # of times without an offset
        connection.execute(
            "create temp table data as select * from read_csv(?, delim=?, quote='\"', escape='\"', header=?, "
            "skip=?, comment='', auto_detect=false, columns=?, ignore_errors=true, store_rejects=true)",
            [str(readable), form.delimiter, form.header, form.skip, columns],
        )
        rejected = self.one("select line, error_message from reject_errors order by line limit 1")
        if rejected:
            raise DataError(f"{path}, line {rejected[0]}: {_why_rejected(rejected[1], form)}")
        if self.one("select count(*) from data") == (0,):
            raise DataError(f"{path} has no rows below its header; at least two are needed")

    def one(self, sql: str) -> tuple[Any, ...]:
        """The first row of a query's result, empty when there is none."""
        return self.connection.execute(sql).fetchone() or ()

    def column(self, number: int) -> _Column:
        """Look at one column: how many cells are filled, numbers, dates."""
        cell = _filled(number)
        readings = [f"try_cast({cell} as double)"]
        if self.form.delimiter != ",":
            readings.append(f"try_cast(replace({cell}, ',', '.') as double)")
        counted = [
            self.one(f"select count({cell}), count({sql}), count(*) filter ({sql} = trunc({sql})) from data")
            for sql in readings
        ]
        best = max(range(len(readings)), key=lambda k: int(counted[k][1]))
        filled, numbers, whole = counted[best]
        time_format = self._date_format(cell) if filled else None
        return _Column(number, self.form.names[number], filled, numbers, whole, readings[best], time_format)

    def _date_format(self, cell: str) -> str | None:
        """The format that reads nearly all cells: "" for ISO 8601, None when there is none.

        Where day/month and month/day both read every cell, the one whose times are more regular is taken.
        """
        sample = f"(select {cell} as cell from data where {cell} is not null limit 1000)"
        formats = ["", _QUARTER, *_DATE_FORMATS]
        counting = ", ".join(f"count({_time_sql('cell', one)})" for one in formats)
        filled, *counts = self.one(f"select count(*), {counting} from {sample}")
        if max(counts) < 0.9 * filled:
            return None

        def irregularity(time_format: str) -> int:
            times = f"(select distinct {_time_sql('cell', time_format)} as t from {sample})"
            steps = f"(select t - lag(t) over (order by t) as step from {times})"
            return int(self.one(f"select count(distinct step) from {steps}")[0])

        best = [one for one, count in zip(formats, counts, strict=True) if count == max(counts)]
        return best[0] if len(best) == 1 else min(best, key=irregularity)

    def numbers(self, column: _Column) -> NDArray[np.float64]:
        """The column as numbers, NaN for a missing one."""
        self._refuse_bad_cell(column, column.number_sql, "a number")
        return np.asarray(np.ma.filled(self._fetch(column.number_sql), np.nan), np.float64)

    def times(self, column: _Column) -> NDArray[Any]:
        """The column as times, none missing."""
        cell = _filled(column.number)
        if column.time_format is not None:
            sql, kind, wanted = _time_sql(cell, column.time_format), "a time", "datetime64[us]"
        else:
            sql, kind, wanted = f"try_cast({cell} as bigint)", "a date or a whole number", "int64"
        self._refuse_bad_cell(column, sql, kind)
        empty = self.one(f"select min(rowid) from data where {sql} is null")[0]
        if empty is not None:
            raise DataError(f"{self._place(column, empty)}: the time is missing; give it or remove the row")
        times: NDArray[Any] = np.ma.getdata(self._fetch(sql)).astype(wanted)
        return times

    def texts(self, column: _Column) -> NDArray[Any]:
        """The column as text."""
        return np.asarray(np.ma.getdata(self._fetch(f"coalesce(trim(c{column.number}), '')")), object)

    def _fetch(self, sql: str) -> Any:
        query = f"select {sql} as result from data order by rowid"
        return self.connection.execute(query).fetchnumpy()["result"]

    def _refuse_bad_cell(self, column: _Column, sql: str, kind: str) -> None:
        cell = _filled(column.number)
        bad = self.one(
            f"select rowid, {cell} from data "
            f"where {cell} is not null and {sql} is null order by rowid limit 1"
        )
        if bad:
            text = bad[1] if len(bad[1]) <= 40 else bad[1][:37] + "..."
            place = self._place(column, bad[0])
            raise DataError(f"{place}: {text!r} is not {kind}; correct or empty the cell")

    def _place(self, column: _Column, row: int) -> str:
        return f'{self.path}, line {_line_of(self.path, self.form, row)}, column "{column.name}"'


@contextmanager
def _loaded(path: Path, readable: Path, form: Form) -> Iterator[_Cells]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="karusel-") as folder:
        # Without its own folder DuckDB would spill a large table into the working directory.
        connection = duckdb.connect(config={"temp_directory": folder, "autoinstall_known_extensions": False})
        try:
            yield _Cells(connection, path, readable, form)
        except duckdb.Error as error:
            raise DataError(f"{path} cannot be read as CSV: {str(error).splitlines()[0]}") from None
        finally:
            connection.close()


def _why_rejected(message: str, form: Form) -> str:
    found = re.search(r"Found: (\d+)", message)
    if found is None:
        return f"{message.splitlines()[0].rstrip('.')}; correct the line"
    cells = "1 cell" if found[1] == "1" else f"{found[1]} cells"
    return (
        f"{cells} where {len(form.names)} are expected ({form.describe()}); every row needs the same number, "
        "and a cell that holds the separator needs quotes"
    )


def _choose(cells: _Cells, id_col: str | None, time_col: str | None, target_cols: tuple[str, ...]) -> Table:
    """Take ids, times and values from the columns named, or from those that look like them."""
    form, path = cells.form, cells.path
    named = {name: number for number, name in enumerate(form.names)}
    counted = time_col == _NO_TIMES and _NO_TIMES not in named
    wanted = [("id", id_col), ("time", None if counted else time_col)]
    for role, name in [*wanted, *(("target", name) for name in target_cols)]:
        if name is not None and name not in named:
            listed = ", ".join(form.names[:10]) + (", ..." if len(form.names) > 10 else "")
            raise UsageError(f'{path} has no column "{name}" to be the {role} column; it has {listed}')
    if id_col is None and _ID_NAME in named:
        id_col = _ID_NAME
    taken = {id_col, time_col, *target_cols}
    free = [cells.column(number) for name, number in named.items() if name not in taken]
    if counted:
        times = None
    else:
        times = cells.column(named[time_col]) if time_col else _find_times(free, form, bool(target_cols))
    targets = [cells.column(named[name]) for name in target_cols]
    targets = targets or _find_targets(path, [column for column in free if column is not times], id_col)
    return Table(
        path=path,
        form=form,
        values=np.stack([cells.numbers(column) for column in targets], axis=1),
        times=cells.times(times) if times else None,
        ids=cells.texts(cells.column(named[id_col])) if id_col else None,
        id_col=id_col,
        time_col=times.name if times else None,
        target_cols=tuple(column.name for column in targets),
        time_format=(times.time_format if times else None) or "",
    )


def _find_times(columns: list[_Column], form: Form, has_targets: bool) -> _Column | None:
    """The first column of dates, else the first of whole numbers that is called or placed like times."""
    for column in columns:
        only_dates = column.numbers < column.filled
        if column.time_format is not None and (only_dates or column.name.lower() in _TIME_NAMES):
            return column
    if len(columns) == 1 and not has_targets:
        return None  # the only column holds the values
    for column in columns:
        name = column.name.lower()
        if column.filled and column.whole == column.filled:
            if name in _TIME_NAMES or name == "" or name.startswith("unnamed:"):
                return column
            if not form.header and column.number == 0:
                return column
    return None


def _find_targets(path: Path, columns: list[_Column], id_col: str | None) -> list[_Column]:
    """The value columns: `y`, else all whose filled cells are numbers in at least half of all cases."""
    found = [column for column in columns if column.filled and 2 * column.numbers >= column.filled]
    listed = ", ".join(f'"{column.name}"' for column in (found or columns))
    if not found:
        beside = (
            f"beside its times and ids it has {listed}" if listed else "it has none beside its times and ids"
        )
        raise DataError(
            f"{path} has no column of numbers ({beside}); name a target column that holds numbers"
        )
    called = [column for column in found if column.name == _TARGET_NAME]
    if called:
        return called
    if id_col is not None and len(found) > 1:
        raise DataError(
            f"{path} has several columns of numbers ({listed}) beside its ids; name the target column"
        )
    return found


def _line_of(path: Path, form: Form, row: int) -> int:
    """The line of the file on which data row `row` ends; blank lines and line breaks in quotes count.

    In a table of one column a blank line may itself be a row: then the last line is named.
    """
    with path.open(encoding="utf-8-sig" if form.encoding == "UTF-8" else form.encoding, newline="") as file:
        for _ in range(form.skip):
            next(file)
        reader = csv.reader(file, delimiter=form.delimiter)
        rows = (reader.line_num for cells in reader if cells)
        line = next(itertools.islice(rows, row + form.header, None), reader.line_num)
        return form.skip + line
