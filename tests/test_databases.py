"""Databases: SQLite by Python's own driver, PostgreSQL by a real server that the tests start."""

from __future__ import annotations

import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from karusel.errors import DataError, FileMissingError, KaruselError, MissingDependencyError, UsageError
from karusel.sources import databases, read_table

ROWS = [
    (shop, f"2020-01-{day + 1:02d}", 10 * number + day, None if day == 2 else 0.5 * day)
    for number, shop in enumerate(("north", "south"))
    for day in range(5)
]
MAKE = "create table sales (shop text, day date, sold integer, price double precision)"
QUERY = "select shop as unique_id, day as ds, sold as y from sales order by shop, day"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """An SQLite database with one table."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute(MAKE)
        connection.executemany("insert into sales values (?, ?, ?, ?)", ROWS)
    connection.close()
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server of our own, reached by a socket; the address of its database."""
    pg_ctl = shutil.which("pg_ctl") or next(
        iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")), reverse=True)), None
    )
    if pg_ctl is None:
        pytest.skip("PostgreSQL is not installed")
    psycopg = pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    options: dict[str, object] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        user = next((one for one in ("postgres", "nobody") if _has_user(one)), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user")
        shutil.chown(folder, user)
        options = {"user": user, "cwd": folder}
    data = folder / "data"
    quiet = {**options, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
    try:
        subprocess.run([pg_ctl, "initdb", "-D", data, "-o", "-A trust -U karusel -N"], **quiet)
        socket = f"-F -k {folder} -c listen_addresses="
        subprocess.run([pg_ctl, "-w", "-D", data, "-o", socket, "start"], **quiet)
        try:
            address = f"postgresql://karusel:secret@/postgres?host={folder}"
            with psycopg.connect(address) as connection:
                connection.execute(MAKE)
                for row in ROWS:
                    connection.execute("insert into sales values (%s, %s, %s, %s)", row)
            connection.close()
            yield address
        finally:
            subprocess.run([pg_ctl, "-D", data, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('shop')}"
    return request.getfixturevalue("server")


# --------------------------------------------------------------------------------------- reading


def test_a_table_by_its_name(address):
    table = read_table(address + "#sales", id_col="shop", target_cols=["sold"], futr_exog_list=["price"])
    panel = table.panel()
    assert (table.time_col, panel.ids) == ("day", ("north", "south"))
    np.testing.assert_array_equal(panel.values, [*range(5), *range(10, 15)])
    np.testing.assert_array_equal(panel.covariates.future[:5, 0], [0, 0.5, np.nan, 1.5, 2])
    assert table.origin.form == ("SQLite" if address.startswith("sqlite") else "PostgreSQL")
    assert table.origin.place(0) == "row 1"


def test_the_only_table_needs_no_name(address):
    assert len(read_table(address, id_col="shop", target_cols=["sold"])) == len(ROWS)


def test_a_query_in_the_database(address):
    panel = read_table(address, sql=QUERY + ";").panel()
    assert panel.ids == ("north", "south")
    assert panel.series(1).tolist() == list(range(10, 15))


@pytest.mark.parametrize(
    ("suffix", "query", "error", "words"),
    [
        ("#absent", None, FileMissingError, "absent"),
        ("", "select * from absent", FileMissingError, "absent"),
        ("", "selec 1", UsageError, "syntax error"),
        ("", "select z from sales", UsageError, "z"),
        ("", "delete from sales", UsageError, "--sql: "),
        ("#sales", "select 1", UsageError, "names a table, and --sql a query"),
        ("", "select * from sales where sold > 1000", DataError, "has no rows"),
        ("", "select sold, sold from sales", DataError, 'two columns called "sold"'),
    ],
)
def test_what_is_wrong_is_one_line_without_the_password(address, suffix, query, error, words):
    with pytest.raises(error, match=words) as caught:
        read_table(address + suffix, sql=query)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert len(read_table(address + "#sales", id_col="shop", target_cols=["sold"])) == len(ROWS)


def test_several_tables_are_named(shop):
    with sqlite3.connect(shop) as connection:
        connection.execute("create table stock (x integer)")
    connection.close()
    with pytest.raises(
        UsageError, match=r"has the tables sales, stock; name one, as in sqlite:///.*db#sales"
    ):
        read_table(f"sqlite:///{shop}")


def test_sqlite_files_that_are_none(tmp_path):
    with pytest.raises(FileMissingError, match=r"no\.db does not exist"):
        read_table(f"sqlite:///{tmp_path}/no.db")
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "text.db").write_text("ds,y\n2020-01-01,5\n" * 100)
    with pytest.raises(DataError, match="no whole SQLite database"):
        read_table(f"sqlite:///{tmp_path}/text.db")
    for wrong in ("sqlite:///", "sqlite://shop.db"):
        with pytest.raises(UsageError, match=r"sqlite:///shop\.db#sales"):
            read_table(wrong)


def test_an_sqlite_file_without_its_address_says_how_to_write_it(shop):
    with pytest.raises(DataError, match="is an SQLite database; write sqlite:///FILE#TABLE"):
        read_table(shop)


def test_rows_that_end_too_early_leave_no_new_sqlite_file(tmp_path):
    def rows():
        yield (1,)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        databases.replace_rows(parsed(f"sqlite:///{tmp_path}/new.db#made"), {"y": int}, rows())
    assert list(tmp_path.iterdir()) == []


def test_a_locked_sqlite_database(shop, monkeypatch):
    monkeypatch.setattr(databases, "_PATIENCE", 0.05)
    holder = sqlite3.connect(shop, isolation_level=None)
    holder.execute("begin exclusive")
    with pytest.raises(KaruselError, match="is locked by another program; try again") as caught:
        read_table(f"sqlite:///{shop}#sales")
    assert caught.value.exit_code == 1
    with pytest.raises(KaruselError, match="is locked by another program"):
        databases.replace_rows(parsed(f"sqlite:///{shop}#made"), {"y": int}, iter([(1,)]))
    holder.close()


def test_a_locked_postgres_table(server, monkeypatch):
    import psycopg

    monkeypatch.setattr(databases, "_PATIENCE", 1)
    with psycopg.connect(server) as holder:
        holder.execute("lock table sales in access exclusive mode")
        with pytest.raises(KaruselError, match="is locked by another program"):
            read_table(server + "#sales")


def test_no_server_there(tmp_path):
    pytest.importorskip("psycopg")
    with pytest.raises(KaruselError, match=r"postgresql://me:\*\*\*@/shop") as caught:
        read_table(f"postgresql://me:secret@/shop?host={tmp_path}#sales")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_postgres_without_its_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "karusel\[postgres\]"'):
        read_table("postgresql://host/shop#sales")


# --------------------------------------------------------------------------------------- writing

COLUMNS = {"unique_id": str, "step": int, "LSTM": float}


def parsed(address: str) -> databases.Database:
    found = databases.parse(address)
    assert found is not None
    return found


def rows_of(address: str, table: str) -> list[tuple]:
    if address.startswith("sqlite"):
        connection = sqlite3.connect(address.removeprefix("sqlite:///"))
    else:
        import psycopg

        connection = psycopg.connect(address)
    found = connection.execute(f"select * from {table} order by 1, 2").fetchall()
    connection.close()
    return found


def test_rows_are_written_and_replaced(address):
    target = parsed(address + "#made")
    databases.replace_rows(target, COLUMNS, iter([("a", 1, 0.5), ("b", 2, None)]))
    assert rows_of(address, "made") == [("a", 1, 0.5), ("b", 2, None)]
    databases.replace_rows(target, COLUMNS, iter([("c", 3, 1.5)]))
    assert rows_of(address, "made") == [("c", 3, 1.5)]


def test_a_write_that_fails_half_way_changes_nothing(address):
    target = parsed(address + "#kept")
    databases.replace_rows(target, COLUMNS, iter([("a", 1, 0.5)]))

    def half() -> Iterator[tuple]:
        yield ("b", 2, 1.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        databases.replace_rows(target, COLUMNS, half())
    assert rows_of(address, "kept") == [("a", 1, 0.5)]


def test_a_table_of_other_columns_is_refused_before_the_work(address):
    databases.refuse_other_columns(parsed(address + "#absent"), ["ds", "LSTM"])
    databases.refuse_other_columns(parsed(address + "#sales"), ["shop", "day"])
    with pytest.raises(UsageError, match=r"the columns shop, day, sold, price, but the results have ds, "):
        databases.refuse_other_columns(parsed(address + "#sales"), ["ds", "LSTM"])


def test_a_table_of_other_columns_is_left_alone(address):
    with pytest.raises(UsageError, match="has the columns shop, day, sold, price, but the results have"):
        databases.replace_rows(parsed(address + "#sales"), COLUMNS, iter([("a", 1, 0.5)]))
    assert len(rows_of(address, "sales")) == len(ROWS)
    with pytest.raises(UsageError, match="names no table to write to"):
        databases.replace_rows(parsed(address), COLUMNS, iter([]))
