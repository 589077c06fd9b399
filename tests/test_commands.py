"""The commands beside `forecast`: data, backtest, tune, doctor; configuration and completion."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import karusel
from command import AIR_PASSENGERS, KARUSEL, csv_of, karusel_run, monthly, refused, write
from karusel.cli.config import as_toml, read_config

LEVELS = ["LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95", "LSTM-hi-95"]


def run_well(*arguments: object) -> str:
    done = karusel_run(*arguments)
    assert (done.code, done.err) == (0, ""), done
    return done.out


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """Two series of unlike lengths: one with a gap, one that never changes; and a column not used."""
    rows = [f"north,{row},x" for k, row in enumerate(monthly(30)) if k not in (7, 8)]
    rows += [f"south,{row.split(',')[0]},5,x" for row in monthly(20)]
    return write(tmp_path / "panel.csv", csv_of(rows, "unique_id,ds,y,note"))


# -------------------------------------------------------------------------------------------- data


def test_data_says_what_is_found(panel):
    lines = run_well("data", panel).splitlines()
    assert lines[0].startswith("panel.csv: 2 series, 50 values, 2000-01 to 2002-06; monthly")
    assert lines[1].startswith('  times in "ds", values in "y", series in "unique_id"; comma separated')
    assert '  not used: "note"' in lines
    assert "lengths: 20 to 30 rows, median 25" in lines
    assert 'gaps: 2 values missing in 1 gap: "north" 2000-08, 2 values' in lines
    assert any(re.fullmatch(r"values: 5 to 1\d\.\d+, numbers, none below 0", line) for line in lines)
    assert 'constant: "south"' in lines
    assert "seasons: 12 by the times; none found in the values" in lines


def test_data_as_json(panel):
    found = json.loads(run_well("data", panel, "--json"))
    assert found["columns"] == {"unique_id": "id", "ds": "time", "y": "value", "note": "not used"}
    assert found["lengths"] == {"least": 20, "median": 25.0, "most": 30}
    assert found["gaps"] == [{"series": "north", "first": "2000-08", "count": 2}]
    assert found["missing"] == 2
    assert found["values"]["constant_series"] == ["south"]
    assert found["seasons"] == {"from_times": [12], "from_values": []}


def test_data_finds_the_season_of_the_shipped_series():
    text = run_well("data", AIR_PASSENGERS)
    assert "gaps: none" in text
    assert "lengths: 144 rows in the series" in text
    assert "values: 104 to 622, whole numbers, none below 0" in text
    assert "seasons: 12 by the times; 12 found in the values" in text


# ---------------------------------------------------------------------------------------- sources


def test_forecast_reads_standard_input(tmp_path):
    text = csv_of(monthly(14))
    done = subprocess.run(
        [*KARUSEL, "forecast", "-", "-H", "2", "--out", "f.jsonl"],
        input=text,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("standard input: 14 values, ")
    assert done.stderr == ""
    made = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [row["ds"] for row in made] == ["2001-03-01", "2001-04-01"]


def test_forecast_from_a_database_into_it(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table sales (shop text, day text, sold real)")
        rows = [(shop, *row.split(",")) for shop in ("a", "b") for row in monthly(14)]
        connection.executemany("insert into sales values (?, ?, ?)", rows)
    connection.close()
    address = f"sqlite:///{tmp_path}/shop.db"
    query = "select shop as unique_id, day as ds, sold as y from sales"
    run_well("forecast", address, "--sql", query, "-H", 2, "--out", address + "#forecasts")
    connection = sqlite3.connect(tmp_path / "shop.db")
    made = connection.execute("select unique_id, ds, typeof(LSTM) from forecasts").fetchall()
    connection.close()
    assert made == [(shop, f"2001-0{month}-01", "real") for shop in ("a", "b") for month in (3, 4)]


def test_a_forecast_without_a_backtest_takes_missing_values(panel):
    text = run_well("forecast", panel, "-H", 2, "--no-backtest")
    assert text.splitlines()[-1].startswith("No backtest and no intervals: not asked for.")


# --------------------------------------------------------------------------------------- backtest


def test_backtest_writes_every_forecast_it_rests_on(tmp_path):
    short = write(tmp_path / "short.csv", csv_of(monthly(36)))
    out = tmp_path / "f.csv"
    text = run_well("backtest", short, "-H", 3, "--out", out)
    assert "Verdict: " in text
    assert text.splitlines()[-4].startswith("step  ")
    found = json.loads(run_well("backtest", short, "-H", 3, "--json"))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["cutoff", "ds", "y", "LSTM"]
    assert len(rows) == 3 * found["backtest"]["cutoffs"]
    known = {row.split(",")[0]: row.split(",")[1] for row in monthly(36)}
    for row in rows:
        assert float(row["y"]) == float(known[row["ds"]])
        assert row["cutoff"] < row["ds"]
    assert rows[-1]["ds"] == "2002-12-01"
    for method, measures in found["backtest"]["methods"].items():
        errors = [abs(float(row["y"]) - float(row[method])) for row in rows]
        assert np.mean(errors) == pytest.approx(measures["MAE"])
        assert np.mean(found["by_step"][method]) == pytest.approx(measures["MAE"])


@pytest.mark.parametrize(
    ("command", "header", "option"),
    [
        ("backtest", "ds,mean", "--out"),
        ("backtest", "cutoff,y", "--out"),
        ("forecast", "LSTM,y", "--out"),
        ("forecast", "LSTM,y", "--json"),
    ],
)
def test_columns_named_like_results_are_refused_before_the_work(
    tmp_path, monkeypatch, command, header, option
):
    monkeypatch.setattr(f"karusel.cli.{command}.fit_series", None)
    short = write(tmp_path / "short.csv", csv_of(monthly(36), header))
    out = ["--out", tmp_path / "f.csv"] if option == "--out" else [option]
    name = next(name for name in header.split(",") if name not in ("ds", "y"))
    assert f'would be called "{name}"' in refused(2, command, short, "-H", 3, *out)


def test_a_table_of_other_columns_is_refused_before_the_work(tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.setattr("karusel.cli.forecast.fit_series", None)
    short = write(tmp_path / "short.csv", csv_of(monthly(36)))
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table sales (ds text, sold real)")
    connection.close()
    line = refused(2, "forecast", short, "-H", 3, "--out", f"sqlite:///{tmp_path}/shop.db#sales")
    assert "has the columns ds, sold, but the results have ds, LSTM, ...; name another table" in line


def test_backtest_of_too_few_rows(tmp_path):
    tiny = write(tmp_path / "tiny.csv", csv_of(monthly(13)))
    assert "too few rows for a backtest of 2 steps" in refused(5, "backtest", tiny, "-H", 2)


# ------------------------------------------------------------------------------------------- tune


def test_tune_tries_settings_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("karusel.cli.tune._CHOICES", {"hidden_size": (4, 8)})
    monkeypatch.setattr("karusel.cli.tune._SEASONS_SEEN", (1,))
    short = write(tmp_path / "short.csv", csv_of(monthly(40)))
    best = tmp_path / "best.toml"
    text = run_well("tune", short, "-H", 2, "--out", best, "--time-limit", 0)
    assert "not tried for want of time: " in text
    assert len(read_config(best)["tried"]) == 1
    first = read_config(best)["tried"][0]
    found = json.loads(run_well("tune", short, "-H", 2, "--out", best, "--time-limit", 600, "--json"))
    kept = read_config(best)
    assert found["left"] == 0
    assert len(kept["tried"]) == len(found["tried"]) == 4
    assert first in kept["tried"]  # not tried again
    assert found["tried"] == sorted(found["tried"], key=lambda trial: trial["error"])
    assert found["winner"] == found["tried"][0]["settings"]
    assert {name: kept[name] for name in found["winner"]} == found["winner"]
    assert kept["horizon"] == 2
    assert set(found["held_out"]) == {"winner", "defaults"}
    made = json.loads(run_well("forecast", short, "--config", best, "--json"))
    assert made["horizon"] == 2


def test_tune_keeps_the_last_horizon_from_its_trials(tmp_path):
    rows = monthly(40)
    best = tmp_path / "best.toml"
    errors = []
    for last in ("1", "1000"):
        changed = [*rows[:-1], f"{rows[-1].split(',')[0]},{last}"]
        short = write(tmp_path / "short.csv", csv_of(changed))
        found = json.loads(run_well("tune", short, "-H", 2, "--out", best, "--time-limit", 0, "--json"))
        errors.append((found["tried"][0]["error"], found["held_out"]["winner"]))
        assert len(found["tried"]) == 1
    assert errors[0][0] == errors[1][0]
    assert errors[0][1] != errors[1][1]
    assert len(read_config(best)["tried"]) == 2  # those on the other data are kept


def test_tune_goes_on_only_with_trials_of_the_same_settings(tmp_path):
    rows = [f"{row},{k % 2}" for k, row in enumerate(monthly(40))]
    short = write(tmp_path / "short.csv", csv_of(rows, "ds,y,promo"))
    later = write(tmp_path / "later.csv", csv_of(rows, "ds,y,promo").replace("200", "201"))
    best = tmp_path / "best.toml"
    tried = ["-H", 2, "--target-col", "y", "--out", best, "--time-limit", 0]
    for number, changed in enumerate(([], ["--past", "promo"], ["--season-length", 1]), 1):
        run_well("tune", short, *tried, *changed)
        assert len(read_config(best)["tried"]) == number
    run_well("tune", later, *tried)
    assert len(read_config(best)["tried"]) == 4


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("level = [80]\n", 2, 'has "level", which tune would drop'),
        ("tried = 5\n", 5, '"tried" is no list of trials'),
        ("tried = [5]\n", 5, "trial 1 is 5, no table"),
        ('[[tried]]\nerror = 1.0\ndata = "x"\n', 5, 'trial 1 has no "seconds"'),
        ('[[tried]]\nerror = "few"\nseconds = 1\ndata = "x"\n', 5, "trial 1 has 'few' as \"error\""),
        ('[[tried]]\nerror = 1\nseconds = 1\ndata = "x"\nbogus = 3\n', 5, 'has "bogus", which is no setting'),
        ('[[tried]]\nerror = nan\nseconds = 1\ndata = "x"\n', 5, 'has nan as "error"'),
        ("x = [1", 5, "best.toml is not TOML"),
    ],
)
def test_tune_refuses_a_file_that_it_did_not_write(tmp_path, content, code, words):
    short = write(tmp_path / "short.csv", csv_of(monthly(40)))
    best = write(tmp_path / "best.toml", content)
    line = refused(code, "tune", short, "-H", 2, "--out", best)
    assert line.startswith(f"karusel: {best}")
    assert words in line
    assert best.read_text() == content


# ----------------------------------------------------------------------------------------- doctor


def test_doctor(monkeypatch):
    text = run_well("doctor")
    assert text.startswith(f"karusel {karusel.__version__}, Python ")
    found = json.loads(run_well("doctor", "--json"))
    assert found["packages"]["numpy"] == np.__version__
    assert f"threads: {found['threads']} " in text
    monkeypatch.setitem(sys.modules, "karusel._engine", None)
    monkeypatch.delattr(karusel, "_engine", raising=False)
    assert "engine: not built" in run_well("doctor")
    assert json.loads(run_well("doctor", "--json"))["engine"] is None


# ----------------------------------------------------------------------------------- configuration


def test_config_may_hold_options_of_any_command(tmp_path):
    """Of those in groups, too."""
    config = write(tmp_path / "k.toml", "horizon = 3\nunit = 'words'\nnonsense = 0\n")
    assert "no option" in refused(2, "data", AIR_PASSENGERS, "--config", config)
    config.write_text("horizon = 3\nunit = 'words'\n")
    run_well("data", AIR_PASSENGERS, "--config", config)
    refused(4, "classify", "run", tmp_path / "none", "-", "--config", config)


def test_arguments_that_would_do_nothing_are_refused(tmp_path):
    words = "leave --no-backtest out"
    assert words in refused(2, "backtest", AIR_PASSENGERS, "-H", 2, "--no-backtest")
    for group in ("classify", "label"):
        assert refused(2, group).startswith("karusel: a command is missing: train, run, score; see karusel")


def test_wrong_usage_names_the_help_of_the_very_command():
    assert refused(2, "generate", "run").endswith("; see karusel generate run --help\n")
    assert refused(2, "generate", "nothing").endswith("; see karusel generate --help\n")


def test_config_comes_after_the_defaults_and_before_what_is_given(tmp_path):
    short = write(tmp_path / "short.csv", csv_of(monthly(14)))
    config = write(tmp_path / "k.toml", "horizon = 3\nseason-length = 1\nseed = 5\njson = true\nepochs = 2\n")
    made = json.loads(run_well("forecast", short, "--config", config))
    assert (made["horizon"], made["found"]["season_length"]) == (3, 1)
    assert json.loads(run_well("forecast", short, "--config", config, "-H", 2))["horizon"] == 2
    config.write_text('horizon = 2\ntarget_col = ["a", "b"]\nlevel = [50, 90]\njson = true\n')
    wide = write(
        tmp_path / "wide.csv", csv_of([f"{row},{row.split(',')[1]}" for row in monthly(36)], "ds,a,b")
    )
    made = json.loads(run_well("forecast", wide, "--config", config))
    assert made["found"]["target_cols"] == ["a", "b"]
    assert "LSTM-lo-50" in made["forecast"][0]
    assert "LSTM-hi-90" in made["forecast"][0]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 4, "does not exist"),
        ("horizon = ", 5, "is not TOML"),
        (b"\xff\xfe", 5, "is not TOML"),
        ("horizn = 3\n", 2, 'there is no option "horizn"'),
        ('horizon = "many"\n', 2, "'-H' / '--horizon'"),
        ("horizon = 0\n", 2, "set in the file of --config"),
        ("horizon = 2.5\n", 2, "set in the file of --config"),
        ("[horizon]\na = 1\n", 2, '"horizon" must be a text, a number or a list of them, got {'),
        ("horizon = true\n", 2, '"horizon" must be a text, a number or a list of them, got true'),
        ("out = 1979-05-27\n", 2, '"out" must be a text, a number or a list of them, got 1979-05-27'),
        ("out = [[1]]\n", 2, '"out" must be a text, a number or a list of them, got [[1]]'),
        ("target_col = [{a = 1}]\n", 2, '"target_col" must be a text, a number or a list'),
        ("level = [true]\n", 2, '"level" must be a text, a number or a list of them, got [true]'),
        ("horizon = 2\nplot = 3\n", 2, "--plot 3 is neither a .png nor a .svg file"),
        ("best = 1\n", 2, '"best" must be true or false, got 1'),
        ("best = []\n", 2, '"best" must be true or false, got []'),
        ('json = ""\n', 2, '"json" must be true or false, got ""'),
        ("horizon = 3\nversion = true\n", 2, 'there is no option "version"'),
    ],
)
def test_config_that_is_wrong(tmp_path, content, code, words):
    short = write(tmp_path / "short.csv", csv_of(monthly(14)))
    config = tmp_path / "k.toml"
    if content is not None:
        write(config, content)
    assert words in refused(code, "forecast", short, "--config", config)


def test_toml_is_read_back(tmp_path):
    values = {"horizon": 3, "learning_rate": 1e-05, "freq": 'a"b\\ü', "level": [80, 95.5], "json": True}
    tables = [{"error": 0.1, "data": "x"}, {"error": 0.2, "data": "y"}]
    path = write(tmp_path / "k.toml", as_toml(values, tables, "two\nlines"))
    assert read_config(path) == {**values, "tried": tables}


# ------------------------------------------------------------------------------- help, completion


@pytest.mark.parametrize(
    "command", ["forecast", "fit", "predict", "update", "live", "backtest", "data", "tune", "doctor", "demo"]
)
def test_every_command_has_an_example(command):
    text = run_well(command, "--help")
    assert f"Example: karusel {command}" in re.sub(r"\s+", " ", text)


def test_shells_complete_commands():
    environment = {
        **os.environ,
        "_KARUSEL_COMPLETE": "complete_bash",
        "COMP_WORDS": "karusel do",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(KARUSEL, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["doctor"], "")


def test_completion_is_shown_for_a_shell():
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [*KARUSEL, "--show-completion", "bash"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "_KARUSEL_COMPLETE=complete_bash" in done.stdout
