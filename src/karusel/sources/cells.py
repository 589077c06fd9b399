"""Cells: the columns of a relation `data` looked at and taken out, as numbers, times or names.

Text is read the way people write it (see `notation`). A cell that is no number or no time where one is wanted
is refused, its place named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting import frequency as frequencies
from karusel.forecasting.categories import Categories
from karusel.forecasting.frequency import Times
from karusel.forecasting.panel import Panel
from karusel.names import shortened
from karusel.sources.notation import (
    TIMES,
    UTC,
    Numbers,
    filled_sql,
    format_times,
    number_sql,
    offset_sql,
    reading,
    text_sql,
    time_sql,
    writings,
    zone_of,
)
from karusel.sources.origin import KINDS, Kind, Origin

if TYPE_CHECKING:
    import duckdb

__all__ = ["Cells", "Column"]

_FEW = 32  # columns that are read one by one
_FIRST, _VERY_FIRST = 1000, 32  # cells that tell what a column is; these rule out most
_PIECE = 1 << 22  # rows that are taken out at a time
_SHOWN = 40  # characters of a cell in a message


@dataclass(frozen=True)
class Column:
    """What the cells of one column are."""

    number: int
    name: str
    kind: Kind
    filled: int  # cells that hold something
    numbers: int  # cells that are numbers
    whole: int  # cells that are whole numbers
    notation: Numbers  # how those are written

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
        """Look at some columns: how many cells are filled, how many are numbers, how those are written."""
        found = {column.number: column for column in self._count(numbers, "point")}
        unsure = [one.number for one in found.values() if one.kind == "text" and one.numbers < one.filled]
        # Of 1,234 one reading is right and one wrong.
        others: tuple[Numbers, ...] = (
            ("comma", "grouped") if self.origin.decimal_comma else ("grouped", "comma")
        )
        for notation in others:
            # In plain text, no cell of which is a number, all cells would be tried for nothing.
            sample = self._count(unsure, notation, f"where rowid < {_FIRST}")
            some = [one.number for one in sample if one.numbers or found[one.number].numbers]
            for column in self._count(some, notation):
                if column.numbers > found[column.number].numbers:
                    found[column.number] = column
        if self.origin.decimal_comma:
            plain = [one.number for one in found.values() if one.kind == "text" and one.notation == "point"]
            grouped = self._with_groups(self._with_groups(plain, f"where rowid < {_FIRST}", least=0))
            found.update((column.number, column) for column in self._count(grouped, "comma"))
        return [found[number] for number in numbers]

    def read_as(self, column: Column, notation: str) -> Column:
        """The column in a notation that reads all of its cells, otherwise as it was looked at.

        That of plain numbers, which any file may begin with, says nothing of others.
        """
        if column.kind != "text" or notation not in ("comma", "grouped"):
            return column
        known: Numbers = "comma" if notation == "comma" else "grouped"
        (found,) = self._count([column.number], known)
        return found if found.numbers == found.filled else column

    def _with_groups(self, numbers: list[int], where: str = "", least: int = 1) -> list[int]:
        """The columns of whole numbers whose points stand between thousands, as in 1.000 beside 995.

        There must be `least` cells with a point, and as many without one, all below 1,000: in a column such
        as 1.250, 1.000, where every cell has three digits after a point, those may be decimals.
        """
        grouped: list[int] = []
        for group in _groups(numbers):
            cell = filled_sql("x", "text")
            with_point = f"count(*) filter (regexp_matches({cell}, '^[-+]?[1-9]\\d{{0,2}}(\\.\\d{{3}})+$'))"
            without = f"count(*) filter (regexp_matches({cell}, '^[-+]?\\d{{1,3}}$'))"
            counted = (
                f"select i, count({cell}), {with_point}, {without} from ({_below(group, where)}) group by i"
            )
            for i, filled, points, others in self._connection.execute(counted).fetchall():
                if points + others == filled and min(points, others) >= least:
                    grouped.append(group[i])
        return grouped

    def could_be_thousands(self, columns: Sequence[Column]) -> list[Column]:
        """The columns whose cells all are such as 1.250, with nothing that tells a decimal point from one
        between thousands; in a file that may have either.
        """
        if not self.origin.decimal_comma:
            return []
        some = [one.number for one in columns if one.kind == "text" and one.notation == "point"]
        for where in (f"where rowid < {_FIRST}", ""):
            some = self._alike(some, r"^[-+]?[1-9]\d{0,2}\.\d{3}$", where)
        return [one for one in columns if one.number in some]

    def _alike(self, numbers: list[int], pattern: str, where: str) -> list[int]:
        """The columns whose filled cells, of which there are some, all fit a pattern."""
        alike: list[int] = []
        for group in _groups(numbers):
            fits = f"bool_and(regexp_matches({filled_sql('x', 'text')}, '{pattern}'))"
            counted = f"select i, {fits} from ({_below(group, where)}) group by i"
            alike += [group[i] for i, every in self._connection.execute(counted).fetchall() if every]
        return alike

    def _count(self, numbers: Sequence[int], notation: Numbers, where: str = "") -> Iterator[Column]:
        """Columns with their cells counted, all or some, for one notation of numbers."""
        for kind in KINDS:
            some = [number for number in numbers if self.origin.kinds[number] == kind]
            for group in _groups(some):
                rows = self._connection.execute(
                    f"select i, count(x), count(d), count(*) filter (d = trunc(d)) "
                    f"from (select i, x, {number_sql('x', kind, notation)} as d from "
                    f"(select i, {filled_sql('x', kind)} as x from ({_below(group, where)}))) group by i"
                ).fetchall()
                for i, filled, found, whole in rows:
                    yield Column(
                        group[i], self.origin.columns[group[i]], kind, filled, found, whole, notation
                    )

    def time_format(
        self,
        column: Column,
        known: str | None = None,
        freq: str | int | None = None,
        like: Panel | None = None,
    ) -> str | None:
        """The format of most cells of a column, as they write it: "" for ISO 8601, None for no times.

        Where several read them, as day/month and month/day may, it is the one `known` from other rows of the
        series, else the one whose times leave the fewest absent between them: at the frequency `freq`, at
        that of the panel that they are to be `like`, or at the one that is found in them. Raises `DataError`
        where that does not tell two of them apart.
        """
        if column.kind == "time":
            return ""
        if column.filled == 0:
            return None
        cells = f"select {text_sql('x', column.kind)} as cell from ({_below([column.number])})"

        read, filled, sample = dict.fromkeys(TIMES, 0), 0, ""
        for most in (_VERY_FIRST, _FIRST):
            sample = f"(select cell from ({cells}) where cell is not null limit {most})"
            counting = ", ".join(f"count({time_sql('cell', one)})" for one in read)
            filled, *counts = self._one(f"select count(*), {counting} from {sample}")
            read = {one: count for one, count in zip(read, counts, strict=True) if count}
            if not read:
                return None
        # The others are then mistakes; of numbers half may be months by chance, such as 202001 to 202020.
        if max(read.values()) < (0.9 if column.is_numbers else 0.5) * filled:
            return None

        best = [one for one, count in read.items() if count == max(read.values())]
        if known is not None and reading(known) in best:
            return known
        if "" in best:
            return ""

        found = best[0] if len(best) == 1 else self._most_regular(column, best, freq, like)
        return self._writing(found, sample) if len(writings(found)) > 1 else found

    def _most_regular(
        self, column: Column, formats: Sequence[str], freq: str | int | None, like: Panel | None
    ) -> str:
        """The format whose times are the most regular. All cells tell, since the first thousand may be one
        time of as many series.
        """
        cell = text_sql("x", column.kind)
        cells = f"(select distinct {cell} as cell from ({_below([column.number])}) where cell is not null)"
        counting = ", ".join(f"count({time_sql('cell', one)})" for one in formats)
        counted = self._one(f"select {counting} from {cells}")
        best = [one for one, count in zip(formats, counted, strict=True) if count == max(counted)]

        def irregularity(time_format: str) -> tuple[float, bool, int]:
            times = f"select distinct {time_sql('cell', time_format)} as t from {cells} where t is not null"
            found = self._connection.execute(f"{times} order by t").fetchnumpy()["t"]
            return _irregularity(np.ma.getdata(found).astype("datetime64[us]"), freq, like)

        found_in = {one: irregularity(one) for one in best}
        found = min(best, key=found_in.__getitem__)
        for other in best:
            # Ten digits are a date with its hour rather than seconds, which these are from 2030 on.
            if "%" in other and other != found and found_in[other] == found_in[found]:
                self._refuse_two_readings(column, found, other)
        return found

    def _refuse_two_readings(self, column: Column, one: str, other: str) -> None:
        """Refuse cells that two formats read as different times."""
        cell = text_sql("x", column.kind)
        read = ", ".join(f"{time_sql('cell', way)} as {name}" for way, name in ((one, "a"), (other, "b")))
        cells = f"select place, {cell} as cell from ({_below([column.number])})"
        apart = self._one(
            f"select place, cell, a, b from (select place, cell, {read} from ({cells})) where a <> b "
            "order by place limit 1"
        )
        if apart:
            row, text, *times = apart
            first, second = sorted(format_times(np.array(times, "datetime64[us]"), ""))
            raise DataError(
                f"{self.place(column, row)}: {text!r} may be {first} or {second}, and neither the other "
                f"rows nor the frequency tells which; write the times as {first}"
            )

    def _writing(self, time_format: str, sample: str) -> str:
        """The writing of the cells that a format reads, the usual one where it is none of those known."""
        read = f"select cell, {time_sql('cell', time_format)} as t from {sample} where t is not null"
        found = self._connection.execute(read).fetchnumpy()
        cells, times = np.ma.getdata(found["cell"]).tolist(), np.ma.getdata(found["t"])
        ways = writings(time_format)
        return next((way for way in ways if format_times(times, way) == cells), ways[0])

    def zone(self, column: Column, time_format: str | None) -> str | None:
        """The zone of a column of times, None where they have no offset."""
        if column.kind == "time":
            return "UTC" if column.name in self.origin.zoned else None
        if time_format != "":
            return None
        cell = filled_sql("x", column.kind)
        offsets = {""}
        for where in (f"where rowid < {_FIRST}", ""):
            sample = f"({_below([column.number], where)}) where {cell} is not null"
            found = self._connection.execute(f"select distinct {offset_sql(cell)} from {sample}").fetchall()
            offsets = {offset for (offset,) in found}
            if offsets == {""}:
                return None
        named = sorted(offset for offset in offsets if offset[:1].isalpha() and offset not in UTC)
        if named:
            raise DataError(
                f'{self.origin.name}, column "{column.name}" has times with the name of a zone, {named[0]}; '
                "write its offset, as in 2020-01-31T12:00:00+02:00"
            )
        if "" in offsets:
            below = f"({_below([column.number])}) where {cell} is not null and {offset_sql(cell)} = ''"
            place = self.place(column, self._one(f"select min(place) from {below}")[0])
            raise DataError(f"{place}: the time has no offset from UTC, but others have one; give it")
        return zone_of(offsets)

    def are_clocks(self, column: Column) -> bool:
        """Whether the first cells are times of day, such as 7:30 or 07:30:00."""
        if column.kind != "text" or column.numbers:
            return False
        clock = rf"regexp_matches({filled_sql('x', column.kind)}, '^\d{{1,2}}:\d\d(:\d\d)?$')"
        sample = _below([column.number], f"where rowid < {_FIRST}")
        return bool(self._one(f"select bool_and(coalesce({clock}, false)) from ({sample})")[0])

    def numbers(self, columns: Sequence[Column]) -> NDArray[np.float64]:
        """Columns of numbers side by side [N, columns], NaN for a missing one."""
        groups: dict[tuple[Kind, Numbers], list[int]] = {}
        for place, column in enumerate(columns):
            if column.numbers < column.filled:
                read = number_sql(filled_sql("x", column.kind), column.kind, column.notation)
                self._refuse_bad_cell(column, read, "a number; correct or empty the cell")
            groups.setdefault((column.kind, column.notation), []).append(place)
        side_by_side = np.empty((self.rows, len(columns)))
        for (kind, notation), listed in groups.items():
            read = number_sql(filled_sql("x", kind), kind, notation)
            for places in _groups(listed):
                numbers = [columns[place].number for place in places]
                side_by_side[:, places] = self._fetch(read, numbers, np.dtype(np.float64), np.nan)
        return side_by_side

    def first(self, column: Column) -> str | None:
        """The first filled cell, shortened."""
        cell = filled_sql("x", column.kind)
        below = _below([column.number])
        row = self._one(
            f"select {cell}::varchar from ({below}) where {cell} is not null order by place limit 1"
        )
        return shortened(row[0], _SHOWN) if row else None

    def texts(self, column: Column) -> list[str]:
        """A column as texts [N], empty for a missing one."""
        found = self._fetch("x::varchar", [column.number], np.dtype(object), "")
        return [str(text) for text in found[:, 0]]

    def times(self, column: Column, time_format: str | None) -> NDArray[Any]:
        """A column as times [N], none missing: datetime64[us], or int64 where there is no format."""
        cell = text_sql("x", column.kind)
        wanted: np.dtype[Any]
        if time_format is not None:
            sql = "x" if column.kind == "time" else time_sql(cell, time_format)
            kind, wanted = "a time", np.dtype("datetime64[us]")
        else:
            sql, kind, wanted = f"try_cast({cell} as bigint)", "a date or a whole number", np.dtype(np.int64)
        missing = np.array(np.iinfo(np.int64).min).astype(wanted)
        times = self._fetch(sql, [column.number], wanted, missing)[:, 0]
        if np.any(times.view(np.int64) == missing.view(np.int64)):
            read = f"({_below([column.number])}) where {sql} is not null"
            first = self._one(f"select {cell} from {read} order by place limit 1")
            kind += f" such as {first[0]!r}" if first and time_format is not None else ""
            self._refuse_bad_cell(column, sql, f"{kind}; correct it or remove the row")
            below = _below([column.number])
            empty = self._one(f"select min(place) from ({below}) where {sql} is null")[0]
            if empty is not None:
                place = self.place(column, empty)
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
            text = f"coalesce({text_sql('x', column.kind)}, {text})"  # 7, not 7.0
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

    def _refuse_bad_cell(self, column: Column, sql: str, rule: str) -> None:
        cell = filled_sql("x", column.kind)
        bad = self._one(
            f"select place, {cell}::varchar from ({_below([column.number])}) "
            f"where {cell} is not null and {sql} is null order by place limit 1"
        )
        if bad:
            place, text = self.place(column, bad[0]), shortened(bad[1], _SHOWN)
            raise DataError(f"{place}: {text!r} is not {rule}")

    def place(self, column: Column, row: int) -> str:
        """Where a cell stands, for messages."""
        return f'{self.origin.name}, {self.origin.place(row)}, column "{column.name}"'


def _irregularity(times: Times, freq: str | int | None, like: Panel | None) -> tuple[float, bool, int]:
    """How little some ascending times look like those of a series, for comparing two readings of them.

    Few rows may have no absent time in either: 01/02, 01/03, ... are then first days of months rather than
    days of one January, those `like` a panel the ones that go on where it ends, and any others the reading of
    the most equal steps.
    """
    steps = np.unique(np.diff(times)).size
    try:
        if like is not None and like.starts.dtype.kind == "M":
            found = like.frequency
            ordinals, known = found.ordinals(times), found.ordinals(like.starts)
            astray = found.at(times, np.asarray(0)) != times
            if astray.any() or not np.isin(ordinals % found.step, known % found.step).all():
                return np.inf, True, steps
            unusual = times[0] not in found.after(np.unique(like.ends), 1)
        else:
            found = frequencies.infer(times) if freq is None else frequencies.parse(freq, times)
            unusual = (found.unit, found.day) != ("month", 1)
            ordinals = found.ordinals(times[[0, -1]])
    except DataError:  # a single time, or one that the frequency cannot have
        return np.inf, True, steps
    absent = (ordinals[-1] - ordinals[0]) / found.step + 1 - times.size
    return absent, unusual, steps


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
