"""Cells: the columns of a relation `data` looked at and taken out, as numbers, times or names.

Text is read the way people write it: empty cells and `n/a` are missing, a comma may be decimal, dates come in
some twenty formats. A cell that is no number or no time where one is wanted is refused, its place named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting.categories import Categories
from karusel.sources.origin import KINDS, Kind, Origin

if TYPE_CHECKING:
    import duckdb

__all__ = ["QUARTER", "Cells", "Column"]

_FEW = 32  # columns that are read one by one
_PIECE = 1 << 22  # rows that are taken out at a time
QUARTER = r"^\s*(\d{4})\s*-?\s*[Qq]([1-4])\s*$"
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", ".", "?")
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


@dataclass(frozen=True)
class Column:
    """What the cells of one column are."""

    number: int
    name: str
    kind: Kind
    filled: int  # cells that hold something
    numbers: int  # cells that are numbers
    whole: int  # cells that are whole numbers
    decimal_comma: bool  # whether they are read as numbers with one

    @property
    def is_numbers(self) -> bool:
        """Whether at least half of the filled cells are numbers; the others are then mistakes."""
        return self.filled > 0 and 2 * self.numbers >= self.filled


class Cells:
    """The relation `data` of a DuckDB connection, opened by an origin."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, origin: Origin) -> None:
        self.origin = origin
        self._connection = connection
        self._names: dict[int, Categories] = {}
        self.rows: int = self._one("select count(*) from data")[0]

    def look(self, numbers: Sequence[int]) -> list[Column]:
        """Look at some columns: how many cells are filled, how many are numbers."""
        counts: dict[int, list[int]] = {}
        for kind in KINDS:
            some = [number for number in numbers if self.origin.kinds[number] == kind]
            if not some:
                continue
            readings = [_number_sql("x", kind, comma) for comma in self._commas(kind)]
            counted = ", ".join(
                f"count(d{k}), count(*) filter (d{k} = trunc(d{k}))" for k in range(len(readings))
            )
            read = ", ".join(f"{sql} as d{k}" for k, sql in enumerate(readings))
            for group in _groups(some):
                rows = self._connection.execute(
                    f"select i, count(x), {counted} from (select i, x, {read} from "
                    f"(select i, {_filled_sql('x', kind)} as x from ({_below(group)}))) group by i"
                ).fetchall()
                counts.update((group[row[0]], list(row[1:])) for row in rows)
        return [self._column(number, counts[number]) for number in numbers]

    def _column(self, number: int, counts: list[int]) -> Column:
        name, kind = self.origin.columns[number], self.origin.kinds[number]
        filled, *rest = counts
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        best = max(range(len(pairs)), key=lambda k: pairs[k][0])
        return Column(number, name, kind, filled, *pairs[best], self._commas(kind)[best])

    def _commas(self, kind: Kind) -> list[bool]:
        """The ways to read a number: without a decimal comma, and with one where there may be."""
        return [False, True] if kind == "text" and self.origin.decimal_comma else [False]

    def time_format(self, column: Column) -> str | None:
        """The format that reads nearly all cells of a column: "" for ISO 8601, None when there is none.

        Where day/month and month/day both read every cell, the one whose times are more regular is taken.
        """
        if column.kind == "time":
            return ""
        if column.filled == 0:
            return None
        cells = f"select {_text_sql(column.kind)} as cell from ({_below([column.number])})"
        sample = f"(select cell from ({cells}) where cell is not null limit 1000)"
        formats = ["", QUARTER, *_DATE_FORMATS]
        counting = ", ".join(f"count({_time_sql('cell', one)})" for one in formats)
        filled, *counts = self._one(f"select count(*), {counting} from {sample}")
        if filled == 0 or max(counts) < 0.9 * filled:
            return None

        def irregularity(time_format: str) -> int:
            times = f"(select distinct {_time_sql('cell', time_format)} as t from {sample})"
            steps = f"(select t - lag(t) over (order by t) as step from {times})"
            return int(self._one(f"select count(distinct step) from {steps}")[0])

        best = [one for one, count in zip(formats, counts, strict=True) if count == max(counts)]
        return best[0] if len(best) == 1 else min(best, key=irregularity)

    def numbers(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """Columns of numbers side by side [N, columns], NaN for a missing one."""
        groups: dict[tuple[Kind, bool], list[int]] = {}
        for place, column in enumerate(columns):
            if column.numbers < column.filled:
                read = _number_sql(_filled_sql("x", column.kind), column.kind, column.decimal_comma)
                self._refuse_bad_cell(column, read, "a number")
            groups.setdefault((column.kind, column.decimal_comma), []).append(place)
        side_by_side = np.empty((self.rows, len(columns)))
        for (kind, comma), listed in groups.items():
            read = _number_sql(_filled_sql("x", kind), kind, comma)
            for places in _groups(listed):
                numbers = [columns[place].number for place in places]
                side_by_side[:, places] = self._fetch(read, numbers, np.dtype(np.float64), np.nan)
        return side_by_side

    def texts(self, column: Column) -> list[str]:
        """A column as texts [N], empty for a missing one."""
        found = self._fetch("x::varchar", [column.number], np.dtype(object), "")
        return [str(text) for text in found[:, 0]]

    def times(self, column: Column, time_format: str | None) -> NDArray[Any]:
        """A column as times [N], none missing: datetime64[us], or int64 where there is no format."""
        cell = _text_sql(column.kind)
        wanted: np.dtype[Any]
        if time_format is not None:
            sql = "x" if column.kind == "time" else _time_sql(cell, time_format)
            kind, wanted = "a time", np.dtype("datetime64[us]")
        else:
            sql, kind, wanted = f"try_cast({cell} as bigint)", "a date or a whole number", np.dtype(np.int64)
        missing = np.array(np.iinfo(np.int64).min).astype(wanted)
        times = self._fetch(sql, [column.number], wanted, missing)[:, 0]
        if np.any(times.view(np.int64) == missing.view(np.int64)):
            self._refuse_bad_cell(column, sql, kind)
            below = _below([column.number])
            empty = self._one(f"select min(place) from ({below}) where {sql} is null")[0]
            if empty is not None:
                place = self._place(column, empty)
                raise DataError(f"{place}: the time is missing; give it or remove the row")
        return times

    def names(self, column: Column) -> Categories:
        """A column as names, numbered in order of first appearance."""
        if column.number not in self._names:
            self._names[column.number] = self._number_names(column)
        return self._names[column.number]

    def _number_names(self, column: Column) -> Categories:
        text = "x::varchar"
        if column.kind == "number":
            text = f"coalesce({_text_sql(column.kind)}, {text})"  # 7, not 7.0
        cell = f"nullif(trim({text}), '')"
        firsts = f"select {cell} as name, min(place) as first from ({_below([column.number])}) group by name"
        named = f"select name from ({firsts}) where name is not null order by first"
        names = tuple(str(row[0]) for row in self._connection.execute(named).fetchall())
        if not names:
            return Categories(np.full(self.rows, -1, np.int64), ())
        # The numbers, not the texts, are what N rows are taken out as.
        kind = f"names_{column.number}"
        self._connection.execute(f"create type {kind} as enum ({named})")
        code = f"enum_code({cell}::{kind})::bigint"
        return Categories(self._fetch(code, [column.number], np.dtype(np.int64), -1)[:, 0], names)

    def _one(self, sql: str) -> tuple[Any, ...]:
        """The first row of a query's result, empty when there is none."""
        return self._connection.execute(sql).fetchone() or ()

    def _fetch(self, cell: str, numbers: Sequence[int], dtype: np.dtype[Any], missing: Any) -> NDArray[Any]:
        """An SQL expression of the cells `x` of some columns [N, columns], `missing` where it is NULL.

        Piece by piece, since DuckDB holds what it hands over twice; and by place, since its threads hand over
        what they have read as it comes, so that large tables come out of order.
        """
        piece = _PIECE if self.origin.stored else self.rows
        cells = np.empty(self.rows * len(numbers), dtype)
        for first in range(0, self.rows, piece):
            below = _below(numbers, f"where rowid >= {first} and rowid < {first + piece}")
            found = self._connection.execute(f"select place, {cell} as v from ({below})").fetchnumpy()
            cells[np.ma.getdata(found["place"])] = np.ma.filled(found["v"], missing)
        return cells.reshape(self.rows, len(numbers))

    def _refuse_bad_cell(self, column: Column, sql: str, kind: str) -> None:
        cell = _filled_sql("x", column.kind)
        bad = self._one(
            f"select place, {cell}::varchar from ({_below([column.number])}) "
            f"where {cell} is not null and {sql} is null order by place limit 1"
        )
        if bad:
            text = bad[1] if len(bad[1]) <= 40 else bad[1][:37] + "..."
            place = self._place(column, bad[0])
            raise DataError(f"{place}: {text!r} is not {kind}; correct or empty the cell")

    def _place(self, column: Column, row: int) -> str:
        return f'{self.origin.name}, {self.origin.place(row)}, column "{column.name}"'


def _groups(numbers: list[int]) -> list[list[int]]:
    """The columns that one query reads.

    Few columns are read each for itself: DuckDB reads a text that comes often once for a block of rows, but
    not once columns are mixed. Thousands are read by one query, since it takes long to plan one in a wide
    table.
    """
    return [[number] for number in numbers] if len(numbers) <= _FEW else [numbers]


def _below(numbers: Sequence[int], where: str = "") -> str:
    """SQL for columns one below the other: row by row the cells `x` of all of them, `i` their number, and
    `place` among all cells.

    Thousands of columns are then no longer query than one.
    """
    if len(numbers) == 1:
        return f"select rowid as place, 0 as i, c{numbers[0]} as x from data {where}"
    listed, count = ", ".join(f"c{number}" for number in numbers), len(numbers)
    below = f"select rowid as row, unnest(range({count})) as i, unnest([{listed}]) as x from data {where}"
    return f"select row * {count} + i as place, i, x from ({below})"


def _text_sql(kind: Kind) -> str:
    """A cell `x` as text; of numbers only whole ones."""
    if kind == "text":
        return _filled_sql("x", kind)
    return "(case when x = trunc(x) then try_cast(x as bigint)::varchar end)"


def _filled_sql(cell: str, kind: Kind) -> str:
    """A cell, NULL where it says that its value is missing."""
    if kind != "text":
        return cell
    tokens = ", ".join(f"'{token}'" for token in _MISSING)
    return f"(case when lower(trim({cell})) in ({tokens}) then null else trim({cell}) end)"


def _number_sql(cell: str, kind: Kind, decimal_comma: bool) -> str:
    """A filled cell as a number, NULL where it is none."""
    if kind == "number":
        return cell
    if kind == "time":
        return "null::double"
    return (
        f"try_cast(replace({cell}, ',', '.') as double)" if decimal_comma else f"try_cast({cell} as double)"
    )


def _time_sql(cell: str, time_format: str) -> str:
    if time_format == QUARTER:
        year, quarter = (f"try_cast(regexp_extract({cell}, '{QUARTER}', {k}) as bigint)" for k in (1, 2))
        date = f"make_timestamp({year}, 3 * {quarter} - 2, 1, 0, 0, 0)"
        return f"(case when {year} is null then null else {date} end)"
    if time_format:
        return f"try_strptime({cell}, '{time_format}')"
    # As `timestamp` alone the cast would drop an offset such as +02:00 instead of applying it.
    return f"make_timestamp(epoch_us(try_cast({cell} as timestamptz)))"
