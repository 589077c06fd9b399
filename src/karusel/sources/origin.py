"""Origins: where a table comes from, opened as a relation `data` of DuckDB with columns c0, c1, ...

A name stands for files (one, several, or a glob such as sales/*.csv; CSV, Parquet or JSON, packed by gzip or
not), for standard input (`-`), or for a database (`sqlite:///FILE#TABLE`, `postgresql://...#TABLE`). SQL may
choose from them: from files it names in quotes, from the files given, which it calls `input`, or within the
database.
"""

from __future__ import annotations

import glob
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

import numpy as np

from karusel.errors import DataError, FileMissingError, UsageError, unreadable
from karusel.names import shortlist
from karusel.sources import databases
from karusel.sources.databases import Database, sql_name
from karusel.sources.form import Form, as_utf8, find_form, is_packed, line_of, refuse_two_alike, unpacked

if TYPE_CHECKING:
    import duckdb

__all__ = ["KINDS", "STDIN", "Kind", "Origin", "find_files", "find_files_of_query", "open_origin"]

STDIN = "-"
Kind: TypeAlias = Literal["text", "number", "time"]
KINDS: tuple[Kind, ...] = ("text", "number", "time")

_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
_TIMES = re.compile(r"DATE|TIMESTAMP.*")
_ZONED = "TIMESTAMP WITH TIME ZONE"
_PIECE = 1 << 20  # bytes of a file that are read at a time
_ENDINGS = {".parquet": "Parquet", ".json": "JSON", ".jsonl": "JSON", ".ndjson": "JSON"}


@dataclass(frozen=True)
class Origin:
    """What `data` was read from.

    `name` is what messages call it, `form` how it is written, in words; `columns` and `kinds` [columns] say
    what c0, c1, ... are called and hold. Times are UTC where they had an offset; `zoned` names the columns
    whose type says so. `place` says where a row stands, counted from 0; `stored` whether `data` is a
    table, of which some rows are read at no more than their share of the cost.
    """

    name: str
    form: str
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    place: Callable[[int], str]
    header: bool = True
    decimal_comma: bool = False  # numbers may be written with one
    stored: bool = True
    zoned: frozenset[str] = frozenset()


def find_files(given: Sequence[str | Path]) -> tuple[Path, ...]:
    """The files that names stand for; none for standard input and databases.

    Raises `FileMissingError` for what is not there and `DataError` for a folder.
    """
    files: list[Path] = []
    for name in map(str, given):
        if name == STDIN:
            continue
        database = databases.parse(name)
        if database is not None:
            files += [database.path] if database.path is not None else []
            continue
        if "://" in name:
            raise UsageError(
                f"{name} is no file and no sqlite:// or postgresql:// address; download it to a file first"
            )
        path = Path(name)
        if path.is_dir():
            raise DataError(f"{name} is a folder; give one CSV file, or several as '{path / '*.csv'}'")
        if path.exists():
            files.append(path)
            continue
        found = sorted(Path(one) for one in glob.glob(name, recursive=True)) if glob.has_magic(name) else []
        if not found:
            raise FileMissingError(f"{name} does not exist; check the name and the folder")
        files += [one for one in found if not one.is_dir()]
    return tuple(files)


def find_files_of_query(sql: str | None) -> tuple[Path, ...]:
    """The files that a query may read: those that its texts in quotes, and words such as sales.csv, name."""
    found = re.findall(r"""['"]([^'"]+)['"]|([\w/.-]+\.\w+)""", sql or "")
    return tuple(Path(one) for quoted, bare in found for one in glob.glob(quoted or bare, recursive=True))


def open_origin(
    connection: duckdb.DuckDBPyConnection, given: Sequence[str | Path], sql: str | None, folder: Path
) -> Origin:
    """Make the relation `data` in a connection. `folder` takes copies, and must last as long as `data`."""
    names = [str(one) for one in given]
    if not names and sql is None:
        raise UsageError("no file is given; name one, or - for standard input")
    files = find_files(names)
    addresses = [found for name in names if (found := databases.parse(name)) is not None]
    if addresses:
        if len(names) > 1:
            raise UsageError("a database comes alone; give one address, or files only")
        return _open_database(connection, addresses[0], sql, folder)
    title = _title(names)
    for file in files:
        if re.search("[\ud800-\udfff]", str(file)):  # bytes of a name, which DuckDB does not take
            raise DataError(f"{file} has a name that is no UTF-8 text; rename it")
    if STDIN in names and len(names) > 1:
        raise UsageError("standard input comes alone; give - or files")
    # A pipe can be read once only.
    named = STDIN not in names and all(file.is_file() for file in files)
    if STDIN in names:
        files = (_copy(sys.stdin.buffer, folder),)
    elif not named:
        files = tuple(file if file.is_file() else _copy_file(file, folder) for file in files)
    kind = _kind_of(files, title, sniff=not named) if files else ""
    if sql is not None:
        return _open_sql(connection, title, files, kind, sql, folder)
    if kind == "CSV":
        return _open_csv(connection, title, files, folder, named=named)
    return _open_typed(connection, title, files, kind)


def _title(names: Sequence[str]) -> str:
    if names == [STDIN]:
        return "standard input"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more" if names else "--sql"


def _copy(pipe: BinaryIO, folder: Path) -> Path:
    path = folder / f"pipe{len(list(folder.iterdir()))}"
    with path.open("wb") as file:
        shutil.copyfileobj(pipe, file, _PIECE)
    return path


def _copy_file(file: Path, folder: Path) -> Path:
    with file.open("rb") as pipe:
        return _copy(pipe, folder)


def _kind_of(files: Sequence[Path], title: str, *, sniff: bool) -> str:
    """CSV, Parquet or JSON; of standard input by its first bytes."""
    kinds = set()
    for file in files:
        try:
            with unpacked(file) as opened:
                head = opened.read(1024)
        except OSError as error:
            raise unreadable(file, error) from None
        json = sniff and head.lstrip().startswith((b"{", b"["))
        named = "JSON" if json else _ENDINGS.get(_ending(file), "CSV")
        kinds.add("Parquet" if head.startswith(b"PAR1") else named)
        if not head:
            raise DataError(f"{title if sniff else file} is empty; a table with rows is needed")
    if len(kinds) > 1:
        raise DataError(f"{title} holds {' and '.join(sorted(kinds))} files; give files of one kind")
    return kinds.pop()


def _ending(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix


# ------------------------------------------------------------------------------------------- CSV


def _open_csv(
    connection: duckdb.DuckDBPyConnection, title: str, files: Sequence[Path], folder: Path, *, named: bool
) -> Origin:
    """All cells as text; several files must have the same columns."""
    forms: list[Form] = []
    firsts = [0]  # number of each file's first row, then of all rows
    for file in files:
        name = str(file) if named else title
        readable, encoding = as_utf8(file, name, folder)
        form = find_form(readable, name, encoding)
        if forms and form.names != forms[0].names:
            raise DataError(
                f"{name} has the columns {shortlist(form.names)}, but {files[0]} has "
                f"{shortlist(forms[0].names)}; forecast them apart, or bring them together with --sql"
            )
        scan = (
            "select * from read_csv(?, delim=?, quote='\"', escape='\"', header=?, skip=?, comment='', "
            "auto_detect=false, columns=?, ignore_errors=true, store_rejects=true)"
        )
        columns = {f"c{number}": "VARCHAR" for number in range(len(form.names))}
        into = "insert into data" if forms else "create table data as"
        given = [str(readable), form.delimiter, form.header, form.skip, columns]
        connection.execute(f"{into} {scan}", given)
        rejected = connection.execute(
            "select line, error_message from reject_errors order by line limit 1"
        ).fetchone()
        if rejected:
            raise DataError(f"{name}, line {rejected[0]}: {_why_rejected(rejected[1], form)}")
        counted = connection.execute("select count(*) from data").fetchone()
        assert counted is not None
        if counted[0] == firsts[-1]:
            raise DataError(f"{name} has no rows below its header; at least two are needed")
        forms.append(form)
        firsts.append(counted[0])

    def place(row: int) -> str:
        number = int(np.searchsorted(firsts, row, side="right")) - 1
        if not named:
            return f"row {row + 1}"
        line = f"line {line_of(files[number], forms[number], row - firsts[number])}"
        return line if len(files) == 1 else f"{files[number]}, {line}"

    return Origin(
        name=title,
        form=(f"{len(files)} files, " if len(files) > 1 else "") + forms[0].describe(),
        columns=forms[0].names,
        kinds=_texts(forms[0].names),
        place=place,
        header=forms[0].header,
        decimal_comma=any(form.delimiter != "," for form in forms),
    )


def _why_rejected(message: str, form: Form) -> str:
    found = re.search(r"Found: (\d+)", message)
    if found is None:
        return f"{message.splitlines()[0].rstrip('.')}; correct the line"
    cells = "1 cell" if found[1] == "1" else f"{found[1]} cells"
    return (
        f"{cells} where {len(form.names)} are expected ({form.describe()}); every row needs the same number, "
        "and a cell that holds the separator needs quotes"
    )


# ------------------------------------------------------------------------------- Parquet, JSON, SQL


def _open_typed(
    connection: duckdb.DuckDBPyConnection, title: str, files: Sequence[Path], kind: str
) -> Origin:
    """Parquet is read where it lies, a column at a time; JSON once, into a table."""
    if kind == "JSON":
        for file in files:
            _refuse_cut(file, str(file) if len(files) > 1 else title)
    scan = _scan(files, kind)
    columns, kinds, zoned, chosen = _described(connection, scan, title)
    if kind == "Parquet":
        connection.execute(
            f"create temp view data as select {chosen}, row_number() over () - 1 as rowid from {scan}"
        )
    else:
        connection.execute(f"create table data as select {chosen} from {scan}")
    if connection.execute("select 1 from data limit 1").fetchone() is None:
        raise DataError(f"{title} has no rows; at least two are needed")

    def place(row: int) -> str:
        if len(files) == 1:
            return f"row {row + 1}"
        import duckdb

        for file in files:
            counted = duckdb.execute(f"select count(*) from {_scan([file], kind)}").fetchone()
            if counted is None or row < counted[0]:
                return f"{file}, row {row + 1}"
            row -= counted[0]
        return f"row {row + 1}"

    form = (f"{len(files)} files, " if len(files) > 1 else "") + kind
    return Origin(title, form, columns, kinds, place, stored=kind != "Parquet", zoned=zoned)


def _refuse_cut(file: Path, name: str) -> None:
    """Refuse an array without its end: DuckDB takes what is there for the whole when a record is whole."""
    with unpacked(file) as opened:
        last = opened.read(_PIECE).strip()
        if not last.startswith(b"["):
            return
        while piece := opened.read(_PIECE):
            last = piece.rstrip() or last
    if not last.endswith(b"]"):
        raise DataError(f"{name} is cut off: its array of records has no end; fetch or write it again")


def _scan(files: Sequence[Path], kind: str) -> str:
    """SQL for the rows of Parquet or JSON files."""
    given = _texts_of(files)
    if kind == "Parquet":
        return f"read_parquet({given})"
    packing = "gzip" if all(map(is_packed, files)) else "auto_detect"  # by the ending, which a pipe has not
    # Types are found from all rows: the first ones may hold whole numbers only.
    return f"read_json({given}, sample_size=-1, compression='{packing}')"


def _open_sql(
    connection: duckdb.DuckDBPyConnection,
    title: str,
    files: Sequence[Path],
    kind: str,
    sql: str,
    folder: Path,
) -> Origin:
    """The rows of a query, which calls the files given `input`."""
    if kind == "CSV":
        copies, forms = [], []
        for file in files:
            readable, encoding = as_utf8(file, str(file), folder)
            copies.append(readable)
            forms.append(find_form(readable, str(file), encoding))
        form = forms[0]
        names = "" if form.header else f"names={_texts_of(form.names)}, "
        scan = (
            f"read_csv({_texts_of(copies)}, delim={_text(form.delimiter)}, header={form.header}, "
            f"skip={form.skip}, {names}sample_size=-1{_dates_of_a_query(connection, copies[0], form)})"
        )
        connection.execute(f"create temp view input as select * from {scan}")
    elif kind:
        connection.execute(f"create temp view input as select * from {_scan(files, kind)}")
    query = sql.strip().rstrip(";")
    columns, kinds, zoned, chosen = _described(connection, f"({query}\n)", title)
    connection.execute(f"create table data as select {chosen} from ({query}\n)")
    if connection.execute("select 1 from data limit 1").fetchone() is None:
        raise DataError(f"{title}: the query has no rows; at least two are needed")
    words = f"{kind + ' through ' if kind else ''}SQL"
    return Origin(title, words, columns, kinds, _row_word, zoned=zoned)


def _dates_of_a_query(connection: duckdb.DuckDBPyConnection, file: Path, form: Form) -> str:
    """An option that leaves dates as text where DuckDB would guess whether day or month comes first."""

    def sniff(option: str) -> tuple[str, set[str]]:
        found = connection.execute(
            "select DateFormat, list_transform(Columns, lambda c: c.type) "
            f"from sniff_csv({_text(str(file))}, delim={_text(form.delimiter)}, header={form.header}, "
            f"skip={form.skip}, {option})"
        ).fetchone()
        return ("", set()) if found is None else (found[0] or "", set(found[1]))

    found = sniff("sample_size=20480")[0]
    mark = found[2:3]
    orders = [f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y"]
    if found not in orders or mark == ".":
        return ""
    both = all("DATE" in sniff(f"sample_size=-1, dateformat={_text(order)}")[1] for order in orders)
    return ", dateformat='%Y-%m-%d'" if both else ""


def _row_word(row: int) -> str:
    return f"row {row + 1}"


def _described(
    connection: duckdb.DuckDBPyConnection, scan: str, title: str
) -> tuple[tuple[str, ...], tuple[Kind, ...], frozenset[str], str]:
    """Names and kinds of the columns of a relation, which of them have a zone, and SQL for them as c0, ..."""
    described = connection.execute(f"describe select * from {scan}").fetchall()
    columns = tuple(str(row[0]) for row in described)
    refuse_two_alike(columns, title)
    kinds: list[Kind] = []
    chosen = []
    for number, (name, kind, *_) in enumerate(described):
        quoted = sql_name(str(name))
        if _NUMBERS.fullmatch(kind):
            kinds.append("number")
            cell = f"nullif({quoted}::double, 'nan'::double)"
        elif _TIMES.fullmatch(kind):
            kinds.append("time")
            cell = f"make_timestamp(epoch_us({quoted}))" if kind == _ZONED else f"{quoted}::timestamp"
        else:
            kinds.append("text")
            cell = f"{quoted}::varchar"
        chosen.append(f"{cell} as c{number}")
    zoned = frozenset(str(name) for name, kind, *_ in described if kind == _ZONED)
    return columns, tuple(kinds), zoned, ", ".join(chosen)


def _texts(columns: Sequence[str]) -> tuple[Kind, ...]:
    return tuple("text" for _ in columns)


def _text(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def _texts_of(names: Sequence[str | Path]) -> str:
    """A list of texts as SQL."""
    return f"[{', '.join(_text(str(name)) for name in names)}]"


# ---------------------------------------------------------------------------------------- databases


def _open_database(
    connection: duckdb.DuckDBPyConnection, database: Database, sql: str | None, folder: Path
) -> Origin:
    """The rows of a table or a query. They go through a CSV file, so that they need not fit memory."""
    path = folder / "rows.csv"
    columns = databases.export(database, sql, path)
    refuse_two_alike(columns, database.name)
    typed = {f"c{number}": "VARCHAR" for number in range(len(columns))}
    connection.execute(
        "create table data as select * from read_csv(?, delim=',', quote='\"', escape='\"', "
        "header=true, auto_detect=false, columns=?)",
        [str(path), typed],
    )
    if connection.execute("select 1 from data limit 1").fetchone() is None:
        raise DataError(f"{database.name} has no rows there; at least two are needed")
    return Origin(database.name, database.form, columns, _texts(columns), _row_word)
