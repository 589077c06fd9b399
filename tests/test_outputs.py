"""Results as rows: each kind of output read back by another hand, and whole or not there at all."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from typer.main import get_command

from command import refused, write
from karusel.cli.app import app
from karusel.cli.outputs import Rows, check_rows_output, time_cells, write_rows
from karusel.errors import FileMissingError, KaruselError, UsageError
from karusel.forecasting.frequency import Frequency

NAMES = np.array(["north", "north", 'a, "b"\''], object)
TIMES = np.array(["2020-01-31", "2020-02-01", "2020-01-31"], "datetime64[us]")
VALUES = np.array([0.1 + 0.2, np.nan, -1e-300])


def rows(times: np.ndarray = TIMES, time_format: str = "") -> Rows:
    return Rows({"unique_id": NAMES, "ds": times, "LSTM": VALUES}, time_format)


def test_csv(tmp_path):
    write_rows(str(tmp_path / "f.csv"), rows())
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["unique_id", "ds", "LSTM"],
            ["north", "2020-01-31", "0.30000000000000004"],
            ["north", "2020-02-01", ""],
            ['a, "b"\'', "2020-01-31", "-1e-300"],
        ]


def test_midnight_of_hours_is_written_with_its_hour():
    midnight = np.array(["2024-03-31"], "datetime64[us]")
    hourly, daily = Frequency("microsecond", 3_600_000_000), Frequency("day", 1)
    assert time_cells(midnight, "", hourly) == ["2024-03-31 00:00:00"]
    berlin = replace(hourly, zone="Europe/Berlin")  # hours are counted in UTC
    before = midnight - np.timedelta64(1, "h")
    assert time_cells(before, "", berlin) == ["2024-03-31T00:00:00+01:00"]
    assert time_cells(midnight, "", daily) == ["2024-03-31"]


@pytest.mark.parametrize("ending", ["json", "jsonl", "ndjson"])
def test_json(tmp_path, ending):
    path = tmp_path / f"f.{ending}"
    write_rows(str(path), rows())
    text = path.read_text()
    made = json.loads(text) if ending == "json" else [json.loads(line) for line in text.splitlines()]
    assert made == [
        {"unique_id": name, "ds": str(time)[:10], "LSTM": None if np.isnan(value) else value}
        for name, time, value in zip(NAMES, TIMES, VALUES, strict=True)
    ]


def test_parquet(tmp_path):
    write_rows(str(tmp_path / "f.parquet"), rows())
    made = pyarrow.parquet.read_table(tmp_path / "f.parquet")
    assert made.column_names == ["unique_id", "ds", "LSTM"]
    assert made["unique_id"].to_pylist() == list(NAMES)
    assert [str(day) for day in made["ds"].to_pylist()] == ["2020-01-31", "2020-02-01", "2020-01-31"]
    assert made["LSTM"].to_pylist() == [VALUES[0], None, VALUES[2]]


def test_parquet_of_hours_and_of_counts(tmp_path):
    hours = TIMES + np.timedelta64(90, "m")
    write_rows(str(tmp_path / "f.parquet"), rows(hours))
    made = pyarrow.parquet.read_table(tmp_path / "f.parquet")["ds"].to_pylist()
    assert [str(time) for time in made] == [str(time).replace("T", " ")[:19] for time in hours]
    write_rows(str(tmp_path / "f.parquet"), rows(np.array([3, 4, 3])))
    assert pyarrow.parquet.read_table(tmp_path / "f.parquet")["ds"].to_pylist() == [3, 4, 3]


def test_a_table_of_a_database(tmp_path):
    out = f"sqlite:///{tmp_path}/f.db#made"
    for _ in range(2):
        write_rows(out, rows())
    connection = sqlite3.connect(tmp_path / "f.db")
    made = connection.execute("select * from made").fetchall()
    connection.close()
    assert made == [
        ("north", "2020-01-31", VALUES[0]),
        ("north", "2020-02-01", None),
        (NAMES[2], "2020-01-31", VALUES[2]),
    ]
    assert os.listdir(tmp_path) == ["f.db"]


@pytest.mark.parametrize(
    ("time_format", "first"),
    [("", "2020-01-31"), ("%d.%m.%Y", "31.01.2020"), ("%b %Y", "Jan 2020")],
)
def test_times_are_written_as_the_source_writes_its_own(tmp_path, time_format, first):
    write_rows(str(tmp_path / "f.csv"), rows(time_format=time_format))
    assert (tmp_path / "f.csv").read_text().splitlines()[1].split(",")[1] == first


@pytest.mark.parametrize("time_format", ["s", "ms"])
def test_what_has_passed_since_1970_stays_a_number(tmp_path, time_format):
    passed = [1580428800, 1580515200, 1580428800]
    passed = [1000 * one for one in passed] if time_format == "ms" else passed
    made = rows(time_format=time_format)
    assert [record["ds"] for record in made.records()] == passed
    assert made.types()["ds"] is int
    write_rows(str(tmp_path / "f.csv"), made)
    assert (tmp_path / "f.csv").read_text().splitlines()[1].split(",")[1] == str(passed[0])
    half = rows(TIMES + np.timedelta64(500, "us"), time_format)
    assert half.types()["ds"] is float


def test_parts_of_a_day_are_written_for_all_or_for_none(tmp_path):
    times = np.array(["2020-01-01T00:00", "2020-01-01T00:30", "2020-01-01T01:00"], "datetime64[us]")
    assert [row[1] for row in rows(times)] == [
        f"2020-01-01 {clock}:00" for clock in ("00:00", "00:30", "01:00")
    ]


def test_outputs_that_cannot_be(tmp_path):
    with pytest.raises(UsageError, match=r"not written as \.xlsx; end the name with one of \.csv, \.parquet"):
        check_rows_output(str(tmp_path / "f.xlsx"), (), ())
    with pytest.raises(FileMissingError, match="the folder"):
        check_rows_output(f"sqlite:///{tmp_path}/none/f.db#made", (), ())
    with pytest.raises(UsageError, match="names no table to write to"):
        check_rows_output(f"sqlite:///{tmp_path}/f.db", (), ())
    address = f"sqlite:///{tmp_path}/f.db#sales"
    with pytest.raises(UsageError, match="is the table that is read"):
        check_rows_output(address, (), [address])
    check_rows_output(f"sqlite:///{tmp_path}/f.db#made", (), [address])


def writing_commands(command: Any, *words: str) -> Iterator[tuple[list[str], list[str], str]]:
    """Every command that writes a file: its name, its other arguments, and the option that names the file."""
    for name, one in getattr(command, "commands", {}).items():
        yield from writing_commands(one, *words, name)
    options = {one.name: one for one in command.params}
    needed = ["read.csv" for one in command.params if one.param_type_name == "argument"]
    if "horizon" in options:
        needed += ["--horizon", "1"]
    if "config" in options:
        yield from (([*words], needed, f"--{name}") for name in ("out", "plot", "report") if name in options)


@pytest.mark.parametrize(("command", "needed", "option"), [*writing_commands(get_command(app))])
def test_no_command_writes_over_its_config(tmp_path, monkeypatch, command, needed, option):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "read.csv", "file,text\n")
    out = [] if option == "--out" else ["--out", "other.csv"]
    write(tmp_path / "k.toml", "seed = 1\n")
    line = refused(2, *command, *needed, *out, "--config", "k.toml", option, "k.toml")
    assert "k.toml is the file that is read" in line


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_full_disk_is_one_line(tmp_path, ending):
    path = tmp_path / f"f.{ending}"
    path.symlink_to("/dev/full")
    with pytest.raises(KaruselError, match=r"cannot be written: .*[Nn]o space left") as caught:
        write_rows(str(path), rows())
    assert "\n" not in str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from karusel.cli.files import write_whole

def write(path):
    with path.open("w") as file:
        file.write("new, but only ha")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

write_whole(Path(sys.argv[1]), write)
"""
KILLED_IN_A_TABLE = """
import os, signal, sys
from karusel.sources.databases import parse, replace_rows

def rows():
    for k in range(100_000):
        yield (k,)
    os.kill(os.getpid(), signal.SIGKILL)

replace_rows(parse(sys.argv[1]), {"y": int}, rows())
"""


def killed(code: str, target: str) -> None:
    done = subprocess.run([sys.executable, "-c", code, target], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_while_writing_a_file_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "f.csv"
    path.write_text("old\n")
    killed(KILLED, str(path))
    assert path.read_text() == "old\n"


def test_killed_while_writing_a_table_leaves_the_old_rows(tmp_path: Path):
    with sqlite3.connect(tmp_path / "f.db") as connection:
        connection.execute("create table made (y integer)")
        connection.execute("insert into made values (7)")
    connection.close()
    killed(KILLED_IN_A_TABLE, f"sqlite:///{tmp_path}/f.db#made")
    connection = sqlite3.connect(tmp_path / "f.db")
    assert connection.execute("select * from made").fetchall() == [(7,)]
    connection.close()


def test_what_a_killed_process_left_is_removed_by_a_later_one(tmp_path: Path):
    path = tmp_path / "f.csv"
    killed(KILLED, str(path))
    [part] = tmp_path.glob(".karusel-*.part")
    write_rows(str(path), rows())
    assert part.exists(), "another process may still be writing it"
    os.utime(part, (0, 0))
    write_rows(str(path), rows())
    assert os.listdir(tmp_path) == ["f.csv"]


def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path):
    path, link = tmp_path / "f.csv", tmp_path / "link.csv"
    path.write_text("old\n")
    path.chmod(0o640)
    link.symlink_to(path)
    write_rows(str(link), rows())
    assert link.is_symlink()
    assert path.read_text() != "old\n"
    assert path.stat().st_mode & 0o777 == 0o640
