"""Databases by URL: `sqlite:///FILE#TABLE` and `postgresql://USER:PASSWORD@HOST/NAME#TABLE`.

The part after # names a table; without one a query does. SQLite needs nothing but Python, PostgreSQL the
`postgres` extra. Rows are written in one transaction: all of them or none.
"""

from __future__ import annotations

import contextlib
import csv
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from karusel.errors import DataError, FileMissingError, KaruselError, MissingDependencyError, UsageError
from karusel.names import shortlist

__all__ = ["Database", "export", "first_line", "parse", "refuse_other_columns", "replace_rows", "sql_name"]

_SQLITE, _POSTGRES = "sqlite:///", ("postgresql://", "postgres://")
_PATIENCE = 5  # seconds to wait for a lock that another program holds
_FETCHED = 10_000  # rows at a time
_TYPES = {"SQLite": ("text", "integer", "real"), "PostgreSQL": ("text", "bigint", "double precision")}


@dataclass(frozen=True)
class Database:
    """One database: `address` as its driver takes it, `path` SQLite's file, `name` without a password."""

    form: str
    address: str
    path: Path | None
    table: str | None
    name: str


def parse(text: str) -> Database | None:
    """The database that a URL names, None for a text that is no such URL."""
    address, _, table = text.partition("#")
    if address.startswith(_SQLITE):
        path = address[len(_SQLITE) :]
        if not path:
            raise UsageError(
                f"{text} names no file; write sqlite:///shop.db#sales, or sqlite:////srv/shop.db"
            )
        return Database("SQLite", path, Path(path), table or None, text)
    if address.startswith(_POSTGRES):
        hidden = re.sub(r"(?<=://)([^/@:]*):[^@]*@", r"\1:***@", address)
        return Database("PostgreSQL", address, None, table or None, hidden + (f"#{table}" if table else ""))
    if text.startswith("sqlite:"):
        raise UsageError(f"{text} is no SQLite address; write sqlite:///shop.db#sales")
    return None


def export(database: Database, sql: str | None, path: Path) -> tuple[str, ...]:
    """Write a table, or the rows of a query, to a CSV file with a header; returns the names of the columns.

    Raises `FileMissingError` for a file or table that is not there, `UsageError` for a query that is wrong,
    `KaruselError` for a database that is locked or cannot be reached.
    """
    if sql is not None and database.table is not None:
        raise UsageError(f"{database.name} names a table, and --sql a query; give one of them")
    query = None if sql is None else sql.strip().rstrip(";")
    with _connected(database) as connection:
        return _EXPORTS[database.form](connection, database, query, path)


def replace_rows(database: Database, columns: Mapping[str, type], rows: Iterator[Sequence[Any]]) -> None:
    """Put rows in place of those of a table, which is made when it is not there, in one transaction.

    `columns` gives each column's Python type: str, int or float. A table that is there must have just these
    columns.
    """
    if database.table is None:
        raise UsageError(
            f"{database.name} names no table to write to; add one, as in {database.name}#forecasts"
        )
    with _connected(database, write=True) as connection:
        _REPLACES[database.form](connection, database, columns, rows)


def refuse_other_columns(database: Database, first: Sequence[str]) -> None:
    """Raise `UsageError` when the table is there and does not begin with the columns `first`."""
    if database.path is not None and not database.path.exists():
        return
    with _connected(database) as connection:
        found = _COLUMNS[database.form](connection, database)
    if found and found[: len(first)] != list(first):
        raise _other_columns(database, found, [*first, "..."])


@contextlib.contextmanager
def _connected(database: Database, *, write: bool = False) -> Iterator[Any]:
    """A connection whose errors are ours. Work that is not committed is undone when it closes."""
    if database.path is not None:
        with _sqlite(database, database.path, write=write) as connection:
            yield connection
    else:
        with _postgres(database) as connection:
            yield connection


def first_line(error: Exception) -> str:
    """What a database says, without the lines that show where."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def sql_name(name: str) -> str:
    """The name of a column or a table as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _sql_name_in_schema(table: str) -> str:
    """The name of a table, or one with its schema, as SQL."""
    return ".".join(map(sql_name, table.split(".")))


def _other_columns(database: Database, found: Sequence[str], wanted: Sequence[str]) -> UsageError:
    return UsageError(
        f"{database.name} has the columns {', '.join(found)}, but the results have {', '.join(wanted)}; "
        "name another table"
    )


def _definitions(database: Database, columns: Mapping[str, type]) -> str:
    names = dict(zip((str, int, float), _TYPES[database.form], strict=True))
    return ", ".join(f"{sql_name(name)} {names[kind]}" for name, kind in columns.items())


def _name_one_of(database: Database, tables: Sequence[str]) -> UsageError:
    first = tables[0] if tables else "TABLE"
    return UsageError(
        f"{database.name} has {f'the tables {shortlist(tables)}' if tables else 'no tables'}; name one, as "
        f"in {database.name}#{first}, or give a query with --sql"
    )


# ------------------------------------------------------------------------------------------- SQLite


@contextlib.contextmanager
def _sqlite(database: Database, path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    if not write and not path.exists():
        raise FileMissingError(f"{path} does not exist; check the name and the folder")
    if path.is_dir():
        raise DataError(f"{path} is a folder; give a file")
    if not path.parent.is_dir():
        raise FileMissingError(f"the folder {path.parent} does not exist; make it first")
    mode, is_new = "rwc" if write else "ro", not path.exists()
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}", uri=True, timeout=_PATIENCE, isolation_level=None
        )
        with contextlib.closing(connection):
            yield connection
    except sqlite3.Error as error:
        words = first_line(error)
        if "no such table" in words:
            raise FileMissingError(f"{database.name}: {words}; name one that is there") from None
        if "locked" in words or "busy" in words:
            raise KaruselError(f"{path} is locked by another program; try again when that is done") from None
        if "not a database" in words or "malformed" in words:
            raise DataError(f"{path} is no whole SQLite database ({words})") from None
        if write or "unable to open" in words or "disk" in words:
            raise KaruselError(f"{path} cannot be {'written' if write else 'read'}: {words}") from None
        raise UsageError(f"{database.name}, --sql: {words}; correct the query") from None
    finally:
        if is_new and path.exists() and path.stat().st_size == 0:  # nothing was committed
            path.unlink()


def _export_sqlite(
    connection: sqlite3.Connection, database: Database, query: str | None, path: Path
) -> tuple[str, ...]:
    if query is None:
        table = database.table
        if table is None:
            found = connection.execute("select name from sqlite_master where type in ('table', 'view')")
            tables = [row[0] for row in found if not row[0].startswith("sqlite_")]
            if len(tables) != 1:
                raise _name_one_of(database, tables)
            table = tables[0]
        query = f"select * from {sql_name(table)}"
    cursor = connection.execute(query)
    if cursor.description is None:
        raise UsageError(f"{database.name}, --sql: the query gives no rows; write a select")
    names = tuple(str(column[0]) for column in cursor.description)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        while rows := cursor.fetchmany(_FETCHED):
            writer.writerows(rows)
    return names


def _columns_sqlite(connection: sqlite3.Connection, database: Database) -> list[str]:
    """The columns of a table, none of one that is not there."""
    table = sql_name(str(database.table))
    return [row[1] for row in connection.execute(f"pragma table_info({table})")]


def _replace_sqlite(
    connection: sqlite3.Connection,
    database: Database,
    columns: Mapping[str, type],
    rows: Iterator[Sequence[Any]],
) -> None:
    table = sql_name(str(database.table))
    connection.execute("begin immediate")
    connection.execute(f"create table if not exists {table} ({_definitions(database, columns)})")
    found = _columns_sqlite(connection, database)
    if found != list(columns):
        raise _other_columns(database, found, list(columns))
    connection.execute(f"delete from {table}")
    connection.executemany(f"insert into {table} values ({', '.join('?' * len(columns))})", rows)
    connection.execute("commit")


# --------------------------------------------------------------------------------------- PostgreSQL


@contextlib.contextmanager
def _postgres(database: Database) -> Iterator[Any]:
    try:
        import psycopg
    except ImportError:
        raise MissingDependencyError(
            'PostgreSQL needs psycopg, which is not installed; run: pip install "karusel[postgres]"'
        ) from None
    try:
        connection: Any = psycopg.connect(database.address, connect_timeout=_PATIENCE)
        with contextlib.closing(connection):
            connection.execute(f"set lock_timeout = '{_PATIENCE}s'")
            yield connection
    except psycopg.errors.LockNotAvailable:
        raise KaruselError(
            f"{database.name} is locked by another program; try again when that is done"
        ) from None
    except psycopg.errors.UndefinedTable as error:
        raise FileMissingError(f"{database.name}: {first_line(error)}; name one that is there") from None
    except psycopg.ProgrammingError as error:
        raise UsageError(f"{database.name}, --sql: {first_line(error)}; correct the query") from None
    except psycopg.Error as error:
        raise KaruselError(f"{database.name}: {first_line(error)}") from None


def _export_postgres(connection: Any, database: Database, query: str | None, path: Path) -> tuple[str, ...]:
    if query is None:
        table = database.table
        if table is None:
            found = connection.execute(
                "select table_name from information_schema.tables "
                "where table_schema = any(current_schemas(false)) order by 1"
            )
            tables = [row[0] for row in found]
            if len(tables) != 1:
                raise _name_one_of(database, tables)
            table = tables[0]
        query = f"select * from {_sql_name_in_schema(table)}"
    described = connection.execute(f"select * from ({query}\n) as chosen limit 0").description
    written = f"copy ({query}\n) to stdout with (format csv, header true)"
    with path.open("wb") as file, connection.cursor() as cursor, cursor.copy(written) as copy:
        for block in copy:
            file.write(block)
    return tuple(column.name for column in described)


def _columns_postgres(connection: Any, database: Database) -> list[str]:
    """The columns of a table, none of one that is not there."""
    found = connection.execute(
        "select attname from pg_attribute where attrelid = to_regclass(%s) and attnum > 0 "
        "and not attisdropped order by attnum",
        [_sql_name_in_schema(str(database.table))],
    )
    return [row[0] for row in found]


def _replace_postgres(
    connection: Any, database: Database, columns: Mapping[str, type], rows: Iterator[Sequence[Any]]
) -> None:
    table = _sql_name_in_schema(str(database.table))
    connection.execute(f"create table if not exists {table} ({_definitions(database, columns)})")
    found = _columns_postgres(connection, database)
    if found != list(columns):
        raise _other_columns(database, found, list(columns))
    connection.execute(f"delete from {table}")
    with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    connection.commit()


_COLUMNS: dict[str, Callable[[Any, Database], list[str]]] = {
    "SQLite": _columns_sqlite,
    "PostgreSQL": _columns_postgres,
}
_EXPORTS = {"SQLite": _export_sqlite, "PostgreSQL": _export_postgres}
_REPLACES = {"SQLite": _replace_sqlite, "PostgreSQL": _replace_postgres}
