"""The command line: what it prints and writes, and one line with the right exit code when it cannot."""

from __future__ import annotations

import contextlib
import csv
import html
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

import karusel
from command import AIR_PASSENGERS, KARUSEL, Done, csv_of, karusel_run, monthly, refused, write
from karusel.cli.files import write_whole
from karusel.cli.progress import Progress
from karusel.cli.show import for_stdout
from karusel.errors import KaruselError

LEVELS = ["LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95", "LSTM-hi-95"]


def forecast(*arguments: object) -> Done:
    done = karusel_run("forecast", *arguments)
    assert (done.code, done.err) == (0, "")
    return done


@pytest.fixture
def short(tmp_path: Path) -> Path:
    return write(tmp_path / "short.csv", csv_of(monthly(24)))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def text(outputs: Path) -> str:
    """What the command prints for the shipped series; it also writes both files."""
    return forecast(AIR_PASSENGERS, "-H", 12, "--out", outputs / "f.csv", "--plot", outputs / "f.png").out


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(forecast(AIR_PASSENGERS, "-H", 12, "--json").out)


# ---------------------------------------------------------------------------------------- results


def test_text_says_what_was_found(text):
    first, second, *rest = text.splitlines()
    assert first == ("air_passengers.csv: 144 values, 1949-01 to 1960-12; monthly (first day of the month)")
    assert 'times in "Month", values in "Passengers"; comma separated, UTF-8, header found' in second
    assert rest[0] == "  all values are whole numbers: forecasts are rounded to them"
    assert rest[1] == "  no value is negative: forecasts are never below 0"
    assert rest[2].startswith("  season of 12 steps, on logarithms; 3 LSTM networks, ")


def test_text_has_table_plot_backtest_and_verdict(text, document):
    lines = text.splitlines()
    head = lines.index(next(line for line in lines if line.split() == ["Month", *LEVELS]))
    rows = [line.split() for line in lines[head + 1 : head + 13]]
    assert [row[0] for row in rows] == [f"1961-{month:02d}" for month in range(1, 13)]
    for row, expected in zip(rows, document["forecast"], strict=True):
        assert row[1:] == [f"{expected[name]:.0f}" for name in LEVELS]
    assert len({len(line) for line in lines[head : head + 13]}) == 1  # the columns stand in line
    assert sum("│" in line or "┤" in line for line in lines) >= 10
    assert any("░" in line for line in lines)

    begin = next(k for k, line in enumerate(lines) if line.startswith("Backtest: "))
    assert lines[begin + 1].split() == ["method", "MAE", "RMSE", "MASE", "sMAPE"]
    methods = [re.split(r"\s{2,}", line)[0] for line in lines[begin + 2 : -2]]
    assert {"LSTM", "last value", "seasonal naive"} <= set(methods)
    maes = [float(re.split(r"\s{2,}", line)[1]) for line in lines[begin + 2 : -2]]
    assert maes == sorted(maes)
    assert re.match(r"Intervals on \d+ held-out values: \d+ % reached where 80 % is promised", lines[-2])
    assert lines[-1] == f"Verdict: {document['verdict']['sentence']}"
    assert max(map(len, lines[:begin])) <= 110


def test_an_error_that_no_season_scales_is_a_dash(tmp_path):
    weeks = [date(2024, 1, 1) + timedelta(weeks=k) for k in range(60)]
    path = write(tmp_path / "weekly.csv", csv_of([f"{week},{20 + week.day % 5}" for week in weeks]))
    methods = [line for line in forecast(path, "-H", 5).out.splitlines() if line.endswith(" %")]
    assert len(methods) == 7
    assert all(re.search(r"[0-9] +- +[0-9.]+ %$", line) for line in methods)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_numbers_of_any_size_are_shown(tmp_path, size):
    rows = [f"{date(2024, 1, 1) + timedelta(k)},{(2 + np.sin(k)) * size}" for k in range(60)]
    done = forecast(write(tmp_path / "n.csv", csv_of(rows)), "-H", 2, "--n-members", 1)
    table = re.findall(r"^2024-03-0[12] .*", done.out, re.MULTILINE)
    assert [len(line) < 90 for line in table] == [True, True]
    for line in table:
        assert [0.3 < float(cell) / size < 4 for cell in line.split()[1:]] == [True] * 5
    [error] = re.findall(r"^mean +(\S+)", done.out, re.MULTILINE)
    assert 0.1 < float(error) / size < 2


def test_json_is_one_document_with_every_key(document):
    assert set(document) == {
        *("file", "found", "horizon", "forecast", "backtest", "verdict", "model", "seconds", "versions")
    }
    assert document["file"] == str(AIR_PASSENGERS)
    assert document["found"] == {
        "form": "comma separated, UTF-8, header found",
        "rows": 144,
        "series": 1,
        "id_col": None,
        "time_col": "Month",
        "target_cols": ["Passengers"],
        "frequency": "monthly (first day of the month)",
        "season_length": 12,
        "notes": [],
    }
    assert document["horizon"] == len(document["forecast"]) == 12
    for row in document["forecast"]:
        assert list(row) == ["Month", *LEVELS]
        lo95, lo80, middle, hi80, hi95 = (row[LEVELS[k]] for k in (3, 1, 0, 2, 4))
        assert 0 < lo95 < lo80 < middle < hi80 < hi95
    assert set(document["backtest"]) == {
        *("cutoffs", "refits", "methods", "notes", "coverage", "coverage_values")
    }
    assert set(document["backtest"]["coverage"]) == {"80", "95"}
    assert set(document["backtest"]["methods"]["LSTM"]) == {
        *("MAE", "RMSE", "MASE", "sMAPE", "WQL", "coverage 80", "coverage 95", "tested")
    }
    assert set(document["verdict"]) == {
        *("outcome", "best_simple", "skill", "skill_interval", "cutoffs_won", "series_won"),
        *("worst_series", "lag_copy", "sentence"),
    }
    assert set(document["model"]) == {"members", "epochs", "share", "window", "season_length", "log"}
    assert document["versions"]["karusel"] == karusel.__version__
    assert 0 < document["seconds"] < 60


def test_out_writes_the_same_numbers(text, outputs, document):
    with (outputs / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["Month", *LEVELS]
    for row, expected in zip(rows, document["forecast"], strict=True):
        assert row["Month"] == expected["Month"]
        assert [float(row[name]) for name in LEVELS] == [expected[name] for name in LEVELS]


def test_plot_writes_a_png_and_nothing_is_left_beside_it(text, outputs):
    content = (outputs / "f.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", content[16:24]) == (1080, 540)
    assert sorted(os.listdir(outputs)) == ["f.csv", "f.png"]


def test_a_report_and_an_svg_plot_need_no_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    report, plot = tmp_path / "r.html", tmp_path / "p.svg"
    done = forecast(AIR_PASSENGERS, "-H", 12, "--report", report, "--plot", plot)
    text = report.read_text(encoding="utf-8")
    verdict = done.out.splitlines()[-1].removeprefix("Verdict: ")
    assert html.escape(verdict) in text
    for part in (
        "Passengers",
        "air_passengers.csv",
        "1961-12",
        "comma separated, UTF-8, header found",
        "Month",
    ):
        assert part in text
    assert "Passengers: forecast of 12 steps, air_passengers.csv" in plot.read_text(encoding="utf-8")
    assert sorted(os.listdir(tmp_path)) == ["p.svg", "r.html"]


def test_an_output_replaces_the_file_that_was_there(short, tmp_path):
    out = write(tmp_path / "out.csv", "what was there, longer than what comes\n" * 100)
    forecast(short, "-H", 2, "--out", out)
    assert out.read_text().splitlines()[0] == ",".join(["ds", *LEVELS])
    assert len(out.read_text().splitlines()) == 3


def test_several_series_by_unique_id(tmp_path):
    rows = [f"{name},{row}" for name in ("north", "south", "east", "west") for row in monthly(24)]
    panel = write(tmp_path / "panel.csv", csv_of(rows, "unique_id,ds,y"))
    done = forecast(panel, "-H", 2, "--out", tmp_path / "out.csv")
    lines = done.out.splitlines()
    assert lines[0].startswith("panel.csv: 4 series, 96 values, ")
    assert 'series in "unique_id"' in lines[1]
    assert [name for name in ("north", "south", "east", "west") if name in lines] == [
        "north",
        "south",
        "east",
    ]
    assert "... and 1 more series; --out FILE writes all of them" in lines
    written = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [(row["unique_id"], row["ds"]) for row in written] == [
        (name, f"2002-0{month}-01") for name in ("north", "south", "east", "west") for month in (1, 2)
    ]


def test_unsorted_rows_are_sorted_and_that_is_said(short, tmp_path):
    mixed = write(tmp_path / "mixed.csv", csv_of(monthly(24)[::-1]))
    forecast(short, "-H", 2, "--out", tmp_path / "expected.csv")
    done = forecast(mixed, "-H", 2, "--out", tmp_path / "made.csv")
    assert "\n  the rows were not in order of time: sorted\n" in done.out
    assert (tmp_path / "made.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_levels_columns_and_seed_are_obeyed(short, tmp_path):
    wide = write(tmp_path / "wide.csv", csv_of([f"x,{row},7" for row in monthly(24)], "id,when,a,b"))
    options = ["--time-col", "when", "--target-col", "a", "--season-length", 1, "--level", "50", "--json"]
    made = json.loads(forecast(wide, "-H", 2, *options).out)
    assert list(made["forecast"][0]) == ["when", "LSTM", "LSTM-lo-50", "LSTM-hi-50"]
    assert made["found"]["target_cols"] == ["a"]
    assert made["found"]["season_length"] == 1
    again = json.loads(forecast(wide, "-H", 2, *options, "--threads", 1).out)
    assert again["forecast"] == made["forecast"]
    assert again["backtest"] == made["backtest"]


def test_quantiles_stand_beside_the_intervals(short):
    made = json.loads(forecast(short, "-H", 2, "--level", "80", "--quantiles", "0.9,0.1", "--json").out)
    for row in made["forecast"]:
        assert list(row)[1:] == ["LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-q-0.1", "LSTM-q-0.9"]
        assert row["LSTM-q-0.1"] < row["LSTM-q-0.9"]


@pytest.mark.parametrize(
    ("quantiles", "words"), [("0.1,x", "--quantiles '0.1,x' is not a list"), ("10", "10")]
)
def test_quantiles_that_are_none_are_refused(short, quantiles, words):
    assert words in refused(2, "forecast", short, "-H", 2, "--quantiles", quantiles)


def test_quantiles_need_a_backtest(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    assert "too short" in refused(2, "forecast", tiny, "-H", 2, "--quantiles", "0.5")


def test_too_few_rows_for_a_backtest_are_forecast_without_intervals(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    done = forecast(tiny, "-H", 2)
    assert "No backtest and no intervals: too few rows." in done.out
    assert "LSTM-lo" not in done.out
    made = json.loads(forecast(tiny, "-H", 2, "--json").out)
    assert made["backtest"] is None
    assert made["verdict"] is None
    assert list(made["forecast"][0]) == ["ds", "LSTM"]


def test_a_terminal_without_unicode_gets_ascii(tmp_path):
    named = write(tmp_path / "n.csv", csv_of(monthly(13), "дата,спрос"))
    done = karusel_run("forecast", named, "-H", 2, encoding="ascii")
    assert (done.code, done.err) == (0, "")
    assert 'values in "?????"' in done.out
    assert sum(" |" in line for line in done.out.splitlines()) >= 10


# ------------------------------------------------------------------------------------ the command


def test_version_and_help():
    assert karusel_run("--version") == Done(0, f"karusel {karusel.__version__}\n", "")
    done = karusel_run()
    assert (done.code, done.err) == (0, "")
    assert "forecast" in done.out
    assert "demo" in done.out
    assert done == karusel_run("--help")
    assert "--horizon" in karusel_run("forecast", "--help").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "No such command 'fly'; see karusel --help"),
        (["--fly"], "No such option: --fly; see karusel --help"),
        (["forecast"], "see karusel forecast --help"),
        (["forecast", "FILE"], "Missing option '-H' / '--horizon'; see karusel forecast --help"),
        (["forecast", "FILE", "-H", "0"], "'-H' / '--horizon'"),
        (["forecast", "FILE", "-H", "many"], "'-H' / '--horizon'"),
        (["forecast", "FILE", "-H", "2", "--seed", "-1"], "'--seed'"),
        (["forecast", "FILE", "-H", "2", "--seed", str(2**64)], "'--seed'"),
        (["forecast", "FILE", "-H", "2", "--threads", "0"], "'--threads'"),
        (["forecast", "FILE", "-H", "2", "--level", "high"], "--level 'high' is not a list of percentages"),
        (["forecast", "FILE", "-H", "2", "--level", "80,100"], "between 0 and 100"),
        (["forecast", "FILE", "-H", "2", "--level", "nan"], "between 0 and 100"),
        (["forecast", "FILE", "-H", "2", "--target-col", "z"], 'no column "z" to be the target column'),
        (["forecast", "FILE", "-H", "2", "--time-col", "z"], 'no column "z" to be the time column'),
        (["forecast", "FILE", "-H", "2", "--id-col", "z"], 'no column "z" to be the id column; it has ds, y'),
        (["forecast", "FILE", "-H", "2", "--freq", "often"], '"often"'),
        (["demo", "--epochs", "0"], "'--epochs'"),
    ],
    ids=" ".join,
)
def test_wrong_usage(short, arguments, words):
    assert words in refused(2, *[short if one == "FILE" else one for one in arguments])


def test_a_bad_level_is_refused_even_where_no_interval_is_made(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    assert "between 0 and 100" in refused(2, "forecast", tiny, "-H", 2, "--level", "-5")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (bytes(range(256)), "is a binary file, not text"),
        (b"ds,y\n\x98\x81\xff,1\n\x98\x8d\xff,2\n", "is not text in UTF-8 or a Windows encoding"),
        (csv_of(["2020-01-01,many", "2020-02-01,few"]), "has no column of numbers"),
        (csv_of([]), "has no rows below its header"),
        (csv_of(monthly(1)), "give more rows"),
        (csv_of(monthly(5)), "has 5 rows, but a horizon of 2 needs at least"),
        (
            csv_of([*monthly(13), monthly(13)[4]]),
            "1 duplicate time in the series, such as 2000-05-01: line 6 and line 15",
        ),
        (csv_of([*monthly(13), "2001-02-01,inf"]), "line 15"),
        (csv_of([*monthly(13), "2001-02-01,1,2"]), "line 15: 3 cells where 2 are expected"),
    ],
    ids=[
        *("empty", "binary", "encoding", "no numbers", "header only", "one row", "too few", "duplicates"),
        *("infinite", "ragged"),
    ],
)
def test_bad_data(tmp_path, content, words):
    path = write(tmp_path / "table.csv", content)
    line = refused(5, "forecast", path, "-H", 2, "--out", tmp_path / "out.csv")
    assert words in line
    assert str(path) in line
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.parametrize(
    ("gap", "words"),
    [(["2000-10-01,"], "1 value missing inside the series (line 11)"), ([], "1 time absent")],
    ids=["missing value", "missing row"],
)
def test_a_gap_is_said_and_forecast(tmp_path, gap, words):
    path = write(tmp_path / "table.csv", csv_of([*monthly(9), *gap, *monthly(13)[10:]]))
    done = karusel_run("forecast", path, "-H", 2)
    assert (done.code, done.err) == (0, "")
    assert words in done.out
    assert "2001-02" in done.out


def test_what_is_not_there_or_no_file(tmp_path):
    assert "does not exist" in refused(4, "forecast", tmp_path / "no.csv", "-H", 2)
    assert "is a folder" in refused(5, "forecast", tmp_path, "-H", 2)


def test_a_refusal_leaves_the_callers_stdout_open(tmp_path):
    """A missing file is an OSError, but none of stdout's: what comes after it is still printed."""
    code = (
        "from karusel.cli.run import run\n"
        f"assert run(['forecast', {str(tmp_path / 'no.csv')!r}, '-H', '2']) == 4\n"
        "print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "still here\n"


def test_a_horizon_that_no_series_bears(short):
    assert "give more history" in refused(5, "forecast", short, "-H", 10**20)


# ---------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("option", ["--out", "--plot", "--report"])
def test_outputs_are_checked_before_the_work(short, tmp_path, monkeypatch, option):
    def read_table(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("karusel.cli.work.read_table", read_table)
    before = short.read_bytes()
    command = ["forecast", short, "-H", 2, option]
    assert "the folder" in refused(4, *command, tmp_path / "nowhere" / "f.png")
    assert "is a folder" in refused(2, *command, tmp_path)
    assert "is the file that is read" in refused(2, *command, short)
    (tmp_path / "link.png").symlink_to(short)
    assert "is the file that is read" in refused(2, *command, tmp_path / "link.png")
    assert short.read_bytes() == before


def test_no_file_that_is_read_is_written(short, tmp_path, monkeypatch):
    monkeypatch.setattr("karusel.cli.work.read_table", None)  # the work would end in an internal error
    monkeypatch.chdir(tmp_path)
    ahead = write(tmp_path / "ahead.csv", "ds,promo\n2001-03-01,1\n")
    config = write(tmp_path / "k.toml", "horizon = 2\n")
    command = ["forecast", short, "-H", 2, "--future", "promo", "--future-data", ahead, "--config", config]
    for out in ("--out", "ahead.csv"), ("--report", "k.toml"), ("--plot", "ahead.csv"):
        assert "is the file that is read" in refused(2, *command, *out)
    for query in (f"from '{ahead}'", "from 'a*.csv'", 'select y from "ahead.csv"', "from ahead.csv"):
        line = refused(2, "backtest", "--sql", query, "-H", 2, "--out", ahead)
        assert "is the file that is read" in line
    assert ahead.read_text() == "ds,promo\n2001-03-01,1\n"


def test_a_plot_must_be_a_png_or_an_svg_of_its_own(short, tmp_path):
    line = refused(2, "forecast", short, "-H", 2, "--plot", tmp_path / "f.jpg")
    assert "is neither a .png nor a .svg file" in line
    same = tmp_path / "f.png"
    for one, other in (("--out", "--plot"), ("--out", "--report"), ("--plot", "--report")):
        line = refused(2, "forecast", short, "-H", 2, one, same, other, same)
        assert f"{one} and {other} both name" in line
        assert "its own file" in line


def test_a_plot_without_matplotlib(short, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    line = refused(3, "forecast", short, "-H", 2, "--plot", tmp_path / "f.png")
    assert 'pip install "karusel[plot]"' in line
    assert not (tmp_path / "f.png").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(short, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert "permission denied" in refused(1, "forecast", short, "-H", 2, "--out", closed / "f.csv")
    closed.chmod(0o700)
    (closed / "old.csv").touch()
    closed.chmod(0o500)
    assert "permission denied" in refused(1, "forecast", short, "-H", 2, "--out", closed / "old.csv")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_a_file_system_that_takes_no_files(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    assert "/proc/f.csv cannot be written: " in refused(1, "forecast", tiny, "-H", 2, "--out", "/proc/f.csv")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    line = refused(1, "forecast", tiny, "-H", 2, "--out", "/dev/full")
    assert line == "karusel: /dev/full cannot be written: No space left on device\n"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*KARUSEL, "forecast", tiny, "-H", "2"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr == b"karusel: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, failure):
    path = write(tmp_path / "f.csv", "old\n")

    def half(to: Path) -> None:
        to.write_text("new, but only ha")
        raise failure

    with pytest.raises((KaruselError, KeyboardInterrupt)):
        write_whole(path, half)
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["f.csv"]


# ------------------------------------------------------------------------------ streams and signals


def test_a_terminal_gets_no_commands_and_a_pipe_gets_text_as_it_is(monkeypatch):
    text, told = "a\x1b]0;b\x07\tc", "a\\x1b]0;b\\x07\\tc"
    assert for_stdout(text) == text
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setattr("sys.stderr", stream)
    assert for_stdout(text) == told
    Progress()(f"reading {text}")
    assert stream.getvalue() == f"\r\x1b[Kreading {told} ...".replace("\\t", " ")


def test_nothing_on_stderr_of_a_process_when_all_is_well(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    done = subprocess.run(
        [*KARUSEL, "forecast", "tiny.csv", "-H", "2", "--json"], cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stderr == b""
    assert json.loads(done.stdout)["file"] == "tiny.csv"
    assert os.listdir(tmp_path) == [tiny.name]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--epochs", "1"], ["forecast", "tiny.csv", "-H", "2", "--json"]]
)
@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_pipe_that_closes_is_no_error(tmp_path, arguments, buffered):
    write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [*KARUSEL, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_leaves_one_line_and_no_file(tmp_path):
    """Interrupted in mid-fit, which the progress on a terminal shows."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a CI may ignore it
        "from karusel.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "forecast", str(AIR_PASSENGERS), "-H", "12", "--out", "f.csv"]
    ours, terminal = pty.openpty()
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    shown = b""
    while b"fit" not in shown:
        shown += os.read(ours, 1024)
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(OSError):  # how Linux says that the terminal was left
        while piece := os.read(ours, 1024):
            shown += piece
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"reading air_passengers.csv ..." in shown
    progress, last = shown.decode().rsplit("\x1b[K", 1)
    assert last == "karusel: interrupted\r\n"
    assert "\n" not in progress
    assert os.listdir(tmp_path) == []


def test_an_interrupt_anywhere_is_one_line(short, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("karusel.cli.work.read_table", interrupted)
    assert refused(130, "forecast", short, "-H", 2) == "karusel: interrupted\n"


def test_an_internal_error_is_one_line_that_asks_for_a_report(short, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug\nin two lines")

    monkeypatch.setattr("karusel.cli.work.read_table", broken)
    done = karusel_run("forecast", short, "-H", 2)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "karusel: internal error, RuntimeError: a bug in two lines; "
        "KARUSEL_TRACEBACK=1 shows where, please report it\n"
    )


def test_karusel_traceback_shows_where(tmp_path, monkeypatch):
    monkeypatch.setenv("KARUSEL_TRACEBACK", "1")
    done = karusel_run("forecast", tmp_path / "no.csv", "-H", 2)
    assert done.code == 4
    first, *_, last = done.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert "origin.py" in done.err
    assert last.endswith("does not exist; check the name and the folder")
    assert last.startswith("karusel: ")
