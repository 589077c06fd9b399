"""Bad input, as a user meets it: a process, its exit code, one line on stderr, nothing half-written."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from command import KARUSEL, csv_of, monthly, refused, write

WIDE = ",".join(f"s{k}" for k in range(10_000))
CELLS = WIDE.replace("s", "")


def process(folder: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KARUSEL, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False, **options
    )


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert (done.returncode, done.stdout) == (code, ""), done
    assert re.fullmatch(r"karusel: [^\n]+\n", done.stderr), done.stderr
    assert "internal error" not in done.stderr
    return done.stderr


FILES = {
    "binary": (bytes(range(256)) * 40, "binary file"),
    "binary without zeros": (bytes(range(1, 256)) * 40, "binary file"),
    "noise": (np.random.default_rng(0).bytes(5000), "binary file"),
    "utf-16 without its mark": ("ds,y\n2020-01-01,5\n".encode("utf-16-le"), "binary file"),
    "utf-16 cut off": ("ds,y\n2020-01-01,5\n".encode("utf-16")[:-1], "not whole UTF-16 text"),
    "no text in any encoding": (b"ds,y\n2020-01-01,5\x81\x8d\x90\n", "save it again as UTF-8"),
    "empty": (b"", "is empty"),
    "blank": (b"\n \n\n", "has no rows"),
    "header only": (b"ds,y\n", "no rows below its header"),
    "one row": (b"ds,y\n2020-01-01,5\n", "give more rows"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "binary file"),
    "one very long line": (b"x" * 3_000_000, ""),
    "text only": (b"ds,y\n2020-01-01,a\n2020-01-02,b\n", "no column of numbers"),
}


@pytest.mark.parametrize("command", ["forecast", "data"])
@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_series(tmp_path, name, command):
    content, words = FILES[name]
    path = write(tmp_path / "table.csv", content)
    options = ["-H", 2, "--out", tmp_path / "out.csv"] if command == "forecast" else []
    line = refused(5, command, path, *options)
    assert words in line
    assert len(line) < 1000
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([f"2020-01-01,{CELLS}"], "give more rows"),
        ([f"2020-01-01,{CELLS}", f"2020-01-02,{CELLS[:-5]}"], "line 3: 10000 cells where 10001 are expected"),
    ],
    ids=["one row", "a cell too few"],
)
def test_10_000_columns_that_are_no_series(tmp_path, rows, words):
    path = write(tmp_path / "wide.csv", csv_of(rows, f"ds,{WIDE}"))
    line = refused(5, "data", path)
    assert words in line
    assert len(line) < 1000


@pytest.mark.parametrize("ending", ["parquet", "json", "jsonl", "csv"])
def test_any_bytes_under_any_ending_are_one_line(tmp_path, ending):
    noise = np.random.default_rng(1)
    for size in (1, 7, 400, 5000):
        path = write(tmp_path / f"t.{ending}", noise.bytes(size))
        refused(5, "data", path)


READERS = {
    "series": ("csv", ["forecast", "FILE", "-H", 2]),
    "records": ("json", ["data", "FILE"]),
    "a database": ("db", ["data", "sqlite:///FILE#t"]),
    "options": ("toml", ["data", "t.csv", "--config", "FILE"]),
    "a forecaster": ("karusel", ["predict", "FILE"]),
    "a network": ("karusel", ["inspect", "FILE"]),
    "a model": ("karusel", ["classify", "run", "FILE", "t.csv"]),
    "labelled texts": ("csv", ["classify", "train", "FILE", "--out", "m.karusel"]),
    "recordings": ("csv", ["transcribe", "train", "FILE", "--out", "m.karusel"]),
    "captions": ("csv", ["caption", "train", ".", "FILE", "--out", "m.karusel"]),
    "sentences": ("txt", ["translate", "train", "FILE", "t.csv", "--out", "m.karusel"]),
    "text": ("txt", ["generate", "train", "FILE", "--out", "m.karusel"]),
    "arrays": ("npy", ["generate", "train", "FILE", "--out", "m.karusel"]),
    "music": ("mid", ["generate", "train", "FILE", "--out", "m.karusel"]),
    "matrices": ("mat", ["generate", "train", "FILE", "--out", "m.karusel"]),
    "a process": ("csv", ["control", "score", "FILE", "t.csv", "--input-col", "u", "--output-col", "y"]),
}


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs /proc")
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_cannot_be_read_has_one_exit_code_everywhere(tmp_path, monkeypatch, name):
    ending, arguments = READERS[name]
    for package in {"mid": ["mido"], "mat": ["scipy"]}.get(ending, []):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.R_OK)  # Typer has a code of its own for it
    write(tmp_path / "t.csv", csv_of(monthly(14)))
    write(tmp_path / f"noise.{ending}", b"\xff\xfe\xfd" + bytes(range(256)) * 4)
    (tmp_path / f"folder.{ending}").mkdir()
    (tmp_path / f"failing.{ending}").symlink_to("/proc/self/mem")  # reading it is an error of the system
    files = {"none": 4, f"t.csv/none.{ending}": 4, f"folder.{ending}": 5, f"noise.{ending}": 5}
    files |= {} if ending == "db" else {f"failing.{ending}": 1}
    for file, code in files.items():
        line = refused(code, *(str(one).replace("FILE", file) for one in arguments))
        assert Path(file).stem in line


def test_a_locked_database(tmp_path, monkeypatch):
    monkeypatch.setattr("karusel.sources.databases._PATIENCE", 0.05)
    path = tmp_path / "shop.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("create table sales (ds text, y real)")
    holder.execute("begin exclusive")
    address = f"sqlite:///{path}#sales"
    assert "locked by another program" in refused(1, "forecast", address, "-H", 2)
    holder.close()


def test_a_query_that_is_wrong(tmp_path):
    path = write(tmp_path / "t.csv", csv_of(monthly(14)))
    assert '"z" not found' in refused(2, "data", path, "--sql", "select z from input")
    assert "No files found" in refused(4, "data", "--sql", f"select * from '{tmp_path}/*.parquet'")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["data"], ["forecast", "-H", "2"], ["forecast", "-H", "2", "--json"]])
def test_a_full_disk_on_stdout(tmp_path, command):
    write(tmp_path / "t.csv", csv_of(monthly(14)))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*KARUSEL, command[0], "t.csv", *command[1:]],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"karusel: the output cannot be written: No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes streams")
def test_streams_that_are_closed(tmp_path):
    """Nothing comes in then, and what would go out is lost."""
    write(tmp_path / "t.csv", csv_of(monthly(14)))
    for arguments, code, line in [
        (["data", "-", "<&-"], 5, b"karusel: standard input is empty; a table with rows is needed\n"),
        (["data", "t.csv", ">&-"], 0, b""),
        (["data", "none.csv", "2>&-"], 4, b""),
    ]:
        shell = ["sh", "-c", " ".join([*KARUSEL, *arguments])]
        done = subprocess.run(shell, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (code, b"", line)


def test_what_stood_in_a_file_is_no_command_to_the_terminal(tmp_path):
    write(tmp_path / "t.csv", "file\x1b[31m,words\n1,2\n")
    line = refused(5, "transcribe", "train", tmp_path / "t.csv", "--out", tmp_path / "m.karusel")
    assert "has the columns file\\x1b[31m, words" in line


def test_a_temporary_folder_that_is_not_there(tmp_path):
    """What needs a copy, such as standard input, says so."""
    write(tmp_path / "t.csv", csv_of(monthly(14)))
    environment = {**os.environ, "TMPDIR": str(tmp_path / "none")}
    done = process(tmp_path, "data", "-", input=csv_of(monthly(14)), env=environment)
    assert done.returncode in (0, 1)  # Python may find another folder
    assert "Traceback" not in done.stderr


def test_a_reader_of_a_pipe_that_leaves_early(tmp_path):
    rows = [f"s{k},{row}" for k in range(50) for row in monthly(14)]
    write(tmp_path / "t.csv", csv_of(rows, "unique_id,ds,y"))
    command = " ".join([*KARUSEL, "data", "t.csv", "--json", "|", "head", "-c", "10"])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.stderr == b""
    assert len(done.stdout) == 10


STAGES = ["karusel.cli.app", "duckdb", "karusel.sources.reading", "karusel.forecasting.forecaster"]
INTERRUPTED_AT_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
wanted = sys.argv.pop(1)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == wanted:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from karusel.cli import main
main()
"""


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_while_modules_are_loaded(tmp_path, stage):
    write(tmp_path / "t.csv", csv_of(monthly(14)))
    command = [sys.executable, "-c", INTERRUPTED_AT_IMPORT, stage, "forecast", "t.csv", "-H", "2"]
    done = subprocess.run(
        [*command, "--out", "f.csv"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert one_line(done, 130) == "karusel: interrupted\n"
    assert os.listdir(tmp_path) == ["t.csv"]


INTERRUPTED_IN_A_CALL = """
import os, signal, sys, importlib
signal.signal(signal.SIGINT, signal.default_int_handler)
module, name = sys.argv.pop(1).rsplit(":")
module = importlib.import_module(module)
holder, _, name = name.rpartition(".")
holder = getattr(module, holder) if holder else module
old = getattr(holder, name)

def call(*args, **kwargs):
    made = old(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGINT)
    return made

setattr(holder, name, call)
from karusel.cli import main
main()
"""


@pytest.mark.parametrize(
    "where",
    [
        "karusel.sources.reading:open_origin",
        "karusel.sources.reading:Cells.look",
        "karusel.sources.table:from_columns",
        "karusel.forecasting.forecaster:Forecaster.forecast",
        "karusel.cli.outputs:Rows.__iter__",
        "karusel.cli.files:os.replace",
        "karusel.cli.show:fitted",
    ],
)
def test_ctrl_c_at_any_stage(tmp_path, where):
    write(tmp_path / "t.csv", csv_of(monthly(14)))
    command = [sys.executable, "-c", INTERRUPTED_IN_A_CALL, where, "forecast", "t.csv", "-H", "2"]
    done = subprocess.run(
        [*command, "--out", "f.csv"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert one_line(done, 130) == "karusel: interrupted\n"
    left = set(os.listdir(tmp_path))
    assert left <= {"t.csv", "f.csv"}
    if "f.csv" in left:  # renamed already: whole
        assert len((tmp_path / "f.csv").read_text().splitlines()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"), [("INT", 130, "interrupted"), ("TERM", 143, "terminated")]
)
def test_a_signal_while_a_large_file_is_read(tmp_path, number, code, word):
    import duckdb

    path = tmp_path / "large.csv"
    duckdb.execute(
        "copy (select 'shop ' || s as unique_id, timestamp '2000-01-01' + interval (t) day as ds, t % 7 as y "
        f"from range(1000) as a(s), range(5000) as b(t)) to '{path}' (header)"
    )
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from karusel.cli import main; main()"
    )
    copies = tmp_path / "copies"
    copies.mkdir()
    running = subprocess.Popen(
        [sys.executable, "-c", program, "data", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(copies)},
    )
    deadline = time.monotonic() + 30
    while not os.listdir(copies) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(getattr(signal, f"SIG{number}"))
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (code, b"", f"karusel: {word}\n".encode())
    assert os.listdir(copies) == []
