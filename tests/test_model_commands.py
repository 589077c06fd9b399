"""fit, predict, update and live: the life of a model file on the command line."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import AIR_PASSENGERS, KARUSEL, csv_of, karusel_run, monthly, refused, write
from karusel import Forecaster
from karusel.sources import read_table

SHOPS = ("north", "south")


def run_well(*arguments: object) -> str:
    done = karusel_run(*arguments)
    assert (done.code, done.err) == (0, ""), done
    return done.out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def air(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of the passengers until 1959, and the rows of 1960."""
    folder = tmp_path_factory.mktemp("air")
    header, *rows = AIR_PASSENGERS.read_text().splitlines()
    write(folder / "first.csv", csv_of(rows[:132], header))
    write(folder / "later.csv", csv_of(rows[132:], header))
    text = run_well("fit", folder / "first.csv", "-H", 6, "--out", folder / "air.karusel")
    assert text.startswith("first.csv: 132 values, 1949-01 to 1959-12; monthly")
    assert "\nVerdict: " in text
    assert text.endswith("air.karusel forecasts 6 steps\n")
    return folder


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two shops whose sales follow a price, the prices ahead, and a model."""
    folder = tmp_path_factory.mktemp("priced")
    random = np.random.default_rng(3)
    days = np.arange("2024-01-01", "2024-03-21", dtype="datetime64[D]")
    price = np.round(random.uniform(1, 3, (2, len(days))), 2)
    known, ahead = [], []
    for number, shop in enumerate(SHOPS):
        for k, day in enumerate(days):
            sold = (number + 1) * 100 - 20 * price[number, k] + 3 * np.sin(k)
            row = f"{shop},{day},{sold:.3f},{price[number, k]},hill"
            known.append(row) if k < len(days) - 4 else ahead.append(f"{shop},{day},{price[number, k]}")
    write(folder / "known.csv", csv_of(known, "shop,day,sold,price,region"))
    write(folder / "ahead.csv", csv_of(ahead[::-1], "shop,day,price"))
    columns = ["--id-col", "shop", "--target-col", "sold", "--future", "price", "--static", "region"]
    run_well("fit", folder / "known.csv", "-H", 4, *columns, "--out", folder / "m.karusel")
    return folder


# ------------------------------------------------------------------------------------ fit, predict


def test_predict_says_what_forecast_says(air, tmp_path):
    run_well("predict", air / "air.karusel", "--out", tmp_path / "p.csv")
    run_well("forecast", air / "first.csv", "-H", 6, "--out", tmp_path / "f.csv")
    made, expected = rows_of(tmp_path / "p.csv"), rows_of(tmp_path / "f.csv")
    assert [row["Month"] for row in expected] == [f"1960-{month:02d}" for month in range(1, 7)]
    assert made == expected


def test_fit_as_json(air):
    found = json.loads(run_well("fit", air / "later.csv", "-H", 1, "--json", "--out", air / "x.karusel"))
    assert found["out"] == str(air / "x.karusel")
    assert found["found"]["rows"] == 12
    assert found["horizon"] == 1
    os.remove(air / "x.karusel")


def test_predict_prints_a_table_and_a_plot(air):
    text = run_well("predict", air / "air.karusel")
    assert text.startswith("air.karusel: 132 values, 1949-01 to 1959-12; monthly")
    assert "Verdict: " in text
    assert "\n1960-06" in text
    found = json.loads(run_well("predict", air / "air.karusel", "--json", "--level", 50))
    assert list(found["forecast"][0]) == ["Month", "LSTM", "LSTM-lo-50", "LSTM-hi-50"]


def test_predict_other_series_with_the_same_model(air, tmp_path):
    header, *rows = AIR_PASSENGERS.read_text().splitlines()
    whole = write(tmp_path / "whole.csv", csv_of(rows, header))
    found = json.loads(run_well("predict", air / "air.karusel", whole, "--json"))
    assert [row["Month"] for row in found["forecast"]] == [f"1961-0{month}" for month in range(1, 7)]
    assert "--freq is the model's" in refused(2, "predict", air / "air.karusel", whole, "--freq", "D")


def test_covariates_from_the_fit_to_the_forecast(priced, tmp_path):
    out = tmp_path / "p.csv"
    run_well("predict", priced / "m.karusel", "--future-data", priced / "ahead.csv", "--out", out)
    rows = rows_of(out)
    assert [(row["shop"], row["day"]) for row in rows] == [
        (shop, f"2024-03-{day}") for shop in SHOPS for day in range(17, 21)
    ]
    # The order of the rows ahead does not matter, and each shop gets its own prices.
    model = Forecaster.load(priced / "m.karusel")
    ahead = {(row["shop"], row["day"]): float(row["price"]) for row in rows_of(priced / "ahead.csv")}
    prices = np.array([[ahead[shop, f"2024-03-{day}"] for day in range(17, 21)] for shop in SHOPS])
    expected = model.forecast(X_df=prices[:, :, None]).values.ravel()
    np.testing.assert_array_equal([float(row["LSTM"]) for row in rows], expected)
    columns = ["--id-col", "shop", "--target-col", "sold", "--future", "price", "--static", "region"]
    ahead_file = ["--future-data", priced / "ahead.csv"]
    run_well("forecast", priced / "known.csv", "-H", 4, *columns, *ahead_file, "--out", tmp_path / "f.csv")
    assert rows_of(tmp_path / "f.csv") == rows


def test_what_is_missing_of_the_future_is_named(priced, tmp_path):
    model = priced / "m.karusel"
    assert "--future price needs --future-data" in refused(2, "predict", model)
    columns = ["--id-col", "shop", "--target-col", "sold", "--future", "price"]
    assert "needs --future-data" in refused(2, "forecast", priced / "known.csv", "-H", 4, *columns)
    lines = (priced / "ahead.csv").read_text().splitlines()
    short = write(tmp_path / "short.csv", csv_of(lines[1:3] + lines[4:], lines[0]))
    line = refused(5, "predict", model, "--future-data", short)
    assert 'has no row for "south" at 2024-03-18' in line
    empty = [line if "18" not in line else line.rsplit(",", 1)[0] + "," for line in lines[1:]]
    line = refused(5, "predict", model, "--future-data", write(tmp_path / "e.csv", csv_of(empty, lines[0])))
    assert 'column "price" of ' in line
    assert 'has no value for "north" at 2024-03-18' in line
    twice = write(tmp_path / "twice.csv", csv_of([*lines[1:], lines[1]], lines[0]))
    assert 'has 2 rows for "south" at 2024-03-20' in refused(5, "predict", model, "--future-data", twice)


def test_model_files_that_are_none(air, tmp_path):
    assert "is not there" in refused(4, "predict", tmp_path / "no.karusel")
    assert "no.karusel" in refused(4, "update", tmp_path / "no.karusel", air / "later.csv")
    assert "first.csv" in refused(5, "predict", air / "first.csv")
    assert "Missing option '--out'" in refused(2, "fit", air / "first.csv", "-H", 2)
    assert "is the file that is read" in refused(
        2, "fit", air / "first.csv", "-H", 2, "--out", air / "first.csv"
    )


# ------------------------------------------------------------------------------------------ update


def test_update_appends_rows_and_keeps_the_networks(air, tmp_path):
    out = tmp_path / "later.karusel"
    before = (air / "air.karusel").read_bytes()
    text = run_well("update", air / "air.karusel", air / "later.csv", "--out", out)
    assert text.splitlines()[0].startswith("later.karusel: 144 values, 1949-01 to 1960-12")
    assert "12 values added; the networks are as they were" in text
    assert (air / "air.karusel").read_bytes() == before
    updated = json.loads(run_well("predict", out, "--json"))["forecast"]
    direct = json.loads(run_well("predict", air / "air.karusel", AIR_PASSENGERS, "--json"))["forecast"]
    assert updated == direct
    found = json.loads(
        run_well("update", out, write(tmp_path / "n.csv", "Month,Passengers\n1961-01,450\n"), "--json")
    )
    assert (found["values_added"], found["series_added"], found["last"]) == (1, 0, "1961-01")
    assert Forecaster.load(out).panel_.values[-1] == 450  # in place


def test_columns_without_files_are_refused(air):
    words = "columns and frequency are those of FILES"
    for option in (["--freq", "D"], ["--target-col", "y"], ["--season-length", 7]):
        assert words in refused(2, "predict", air / "air.karusel", *option)


def test_update_says_what_is_absent_and_dropped(air, tmp_path):
    later = write(tmp_path / "l.csv", "Month,Passengers\n1960-04,400\n1960-05,\n1960-06,410\n1960-07,\n")
    command = ["update", air / "air.karusel", later, "--out", tmp_path / "u.karusel"]
    absent = "3 times absent before the later rows, first 1960-01: taken as missing values"
    lines = run_well(*command).splitlines()
    assert lines[1].startswith("  2 values added; ")
    assert f"  {absent}" in lines
    assert any(line.startswith("  1 row without a value at the start or end") for line in lines)
    found = json.loads(run_well(*command, "--json"))
    assert (found["values_added"], absent in found["notes"]) == (2, True)
    assert absent not in json.loads(run_well("predict", command[-1], "--json"))["notes"]  # it is said once


def test_rows_that_are_not_later_change_nothing(air, tmp_path):
    before = (air / "air.karusel").read_bytes()
    line = refused(5, "update", air / "air.karusel", air / "first.csv")
    assert "it is known until 1959-12" in line
    assert "no file of later rows is given" in refused(2, "update", air / "air.karusel")
    assert (air / "air.karusel").read_bytes() == before


def test_update_of_one_shop_by_its_id(priced, tmp_path):
    later = write(
        tmp_path / "l.csv",
        "shop,day,sold,price,region\nsouth,2024-03-17,5,2,hill\nsouth,2024-03-18,6,2,hill\n",
    )
    found = json.loads(
        run_well("update", priced / "m.karusel", later, "--out", tmp_path / "u.karusel", "--json")
    )
    assert (found["values_added"], found["series"]) == (2, 2)
    panel = Forecaster.load(tmp_path / "u.karusel").panel_
    assert panel.series(1)[-2:].tolist() == [5, 6]
    assert panel.covariates.future[-2:, 0].tolist() == [2, 2]


@pytest.mark.parametrize("written", ["%d/%m/%Y", "%Y-%m-%d"])
def test_later_rows_and_those_of_the_future_have_days_where_the_model_has(tmp_path, written):
    days = np.arange("2021-03-01", "2021-05-08", dtype="datetime64[D]").tolist()
    rows = [f"{day:%d/%m/%Y},{10 + k % 7},{k % 2}" for k, day in enumerate(days)]
    first = [f"{day:{written}},{10 + k % 7},{k % 2}" for k, day in enumerate(days)]
    columns = "ds,y,promo"
    known, later = (
        write(tmp_path / f"{k}.csv", csv_of(some, columns))
        for k, some in enumerate((first[:66], rows[66:67]))
    )
    ahead = write(tmp_path / "ahead.csv", csv_of(rows[67:], columns))
    model = tmp_path / "m.karusel"
    run_well("fit", known, "-H", 1, "--future", "promo", "--no-backtest", "--time-limit", 0.2, "--out", model)
    found = json.loads(run_well("update", model, later, "--json"))
    assert (found["values_added"], found["last"]) == (1, "2021-05-06")
    [row] = json.loads(run_well("predict", model, "--future-data", ahead, "--json"))["forecast"]
    assert row["ds"] == f"{days[67]:{written}}"


def test_later_rows_have_thousands_where_the_model_has(tmp_path):
    days = np.arange("2021-03-01", "2021-05-08", dtype="datetime64[D]").tolist()
    rows = [f"{day};{900 + 20 * (k % 7)}" for k, day in enumerate(days)]  # as 900 ... 1.020
    rows = [row.replace(";1", ";1.") for row in rows]
    known = write(tmp_path / "known.csv", csv_of(rows, "ds;y"))
    later = write(tmp_path / "later.csv", csv_of(["2021-05-08;1.020"], "ds;y"))
    model = tmp_path / "m.karusel"
    run_well("fit", known, "-H", 1, "--no-backtest", "--time-limit", 0.2, "--out", model)
    run_well("update", model, later)
    np.testing.assert_array_equal(Forecaster.load(model).panel_.values[-3:], [960, 980, 1020])


def test_times_keep_their_offset_from_the_fit_to_the_forecast(tmp_path):
    hours = np.arange("2021-01-01T00", "2021-01-04T00", dtype="datetime64[h]").tolist()
    rows = [f"{hour:%Y-%m-%dT%H:%M:%S}+02:00,{10 + k % 24},{k % 2}" for k, hour in enumerate(hours)]
    columns = "ds,y,promo"
    known = write(tmp_path / "known.csv", csv_of(rows, columns))
    later = write(tmp_path / "later.csv", csv_of(["2021-01-03T22:00:00Z,1,0"], columns))
    ahead = write(tmp_path / "ahead.csv", csv_of(["2021-01-04T02:00:00+03:00,1"], "ds,promo"))
    model, made = tmp_path / "m.karusel", tmp_path / "made.csv"
    run_well("fit", known, "-H", 1, "--future", "promo", "--no-backtest", "--time-limit", 0.2, "--out", model)
    assert json.loads(run_well("update", model, later, "--json"))["last"] == "2021-01-04 00:00+02:00"
    for out in (made, tmp_path / "made.parquet"):
        run_well("predict", model, "--future-data", ahead, "--out", out)
    assert [row["ds"] for row in rows_of(made)] == ["2021-01-04T01:00:00+02:00"]
    typed, text = (read_table(out, target_cols=["LSTM"]) for out in (tmp_path / "made.parquet", made))
    assert (typed.zone, text.zone) == ("UTC", "+02:00")
    assert typed.times == text.times
    naive = write(tmp_path / "naive.csv", csv_of(["2021-01-04T01:00:00,1"], "ds,promo"))
    line = refused(5, "predict", model, "--future-data", naive)
    assert (
        "naive.csv: the times are dates without a time zone, but dates with a time zone when fitted" in line
    )


# -------------------------------------------------------------------------------------------- live


def live(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KARUSEL, "live", "air.karusel", *options],
        input=text,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_live_answers_each_value_with_a_line(air, tmp_path):
    later = (air / "later.csv").read_text().splitlines()[1:]
    values = [line.split(",")[1] for line in later]
    done = live(air, "\n".join(values) + "\n", "--out", str(tmp_path / "seen.karusel"))
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0]) == ["Month", "Passengers", "outside", "LSTM", "LSTM-lo-95", "LSTM-hi-95"]
    assert [row["Month"] for row in rows] == [f"1960-{month:02d}" for month in range(1, 13)]
    assert [float(row["Passengers"]) for row in rows] == [float(value) for value in values]
    for before, row in itertools.pairwise(rows):
        low, high = float(before["LSTM-lo-95"]), float(before["LSTM-hi-95"])
        assert (row["outside"] == "True") == (not low <= float(row["Passengers"]) <= high)
    # What follows the last value is what predict says after an update with the same rows.
    kept = json.loads(run_well("predict", tmp_path / "seen.karusel", "--json"))["forecast"]
    assert kept[0]["Month"] == "1961-01"
    assert float(rows[-1]["LSTM"]) == kept[0]["LSTM"]


def test_live_passes_over_a_mark_before_the_first_line(air, monkeypatch):
    told = []
    for mark in ("", "\ufeff"):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{mark}417\n391\n"))
        told.append(run_well("live", air / "air.karusel"))
    assert told[0] == told[1]


def test_live_takes_times_and_missing_values(air):
    done = live(air, 'Month,"Passengers"\n"1960-01-01",417\n\n1960-03,"419"\nNA\n-\n', "--json")
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["Month"] for record in records] == ["1960-01", "1960-03", "1960-04", "1960-05"]
    assert [record["Passengers"] for record in records] == [417, 419, None, None]
    assert all(len(record[name]) == 6 for record in records for name in ("forecast", "low", "high"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("417\nmany\n", "line 2: 'many' is not a number"),
        ("417\n1,2,3\n", "line 2: 3 cells where a value, or a time and a value are expected"),
        ("417\n1959-01-01,5\n", "line 2: 1959-01 is not after the last value"),
        ("417\nsoon,5\n", "line 2: the time 'soon' is not a date"),
        ("417\ninf\n", "line 2: "),
    ],
)
def test_live_stops_at_a_bad_line_and_keeps_what_it_saw(air, tmp_path, text, words):
    done = live(air, text, "--out", str(tmp_path / "seen.karusel"))
    assert done.returncode == 5
    assert done.stderr.startswith(f"karusel: {words}")
    assert done.stderr.count("\n") == 1
    assert len(done.stdout.splitlines()) == 2
    assert Forecaster.load(tmp_path / "seen.karusel").panel_.values[-1] == 417


def test_live_answers_at_once(air):
    """Each line comes before the next value is given."""
    process = subprocess.Popen(
        [*KARUSEL, "live", "air.karusel"], cwd=air, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Month,")
    for value in (417, 391):
        process.stdin.write(f"{value}\n")
        process.stdin.flush()
        assert f",{value}.0," in process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    process.stdout.close()


def test_live_keeps_what_it_saw_when_it_is_terminated(air, tmp_path):
    out = tmp_path / "kept.karusel"
    process = subprocess.Popen(
        [*KARUSEL, "live", "air.karusel", "--out", str(out)],
        cwd=air,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdin.write("417\n")
    process.stdin.flush()
    while ",417.0," not in process.stdout.readline():
        pass
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "karusel: terminated\n")
    assert Forecaster.load(out).panel_.values[-1] == 417


def test_live_with_several_series(tmp_path, monkeypatch):
    rows = [f"{shop},{row}" for shop in ('"north, hill"', "south") for row in monthly(30)]
    panel = write(tmp_path / "p.csv", csv_of(rows, "unique_id,ds,y"))
    run_well("fit", panel, "-H", 2, "--out", tmp_path / "m.karusel")
    monkeypatch.setattr(sys, "stdin", io.StringIO("17,18\n2002-08-01,,19\n"))
    made = list(csv.DictReader(io.StringIO(run_well("live", tmp_path / "m.karusel", "--level", 80))))
    assert [(row["unique_id"], row["ds"], row["y"]) for row in made] == [
        ("north, hill", "2002-07-01", "17.0"),
        ("south", "2002-07-01", "18.0"),
        ("north, hill", "2002-08-01", ""),
        ("south", "2002-08-01", "19.0"),
    ]
    assert set(made[0]) == {"unique_id", "ds", "y", "outside", "LSTM", "LSTM-lo-80", "LSTM-hi-80"}


def test_live_refuses_a_column_named_like_its_own(air, tmp_path):
    text = (air / "first.csv").read_text().replace("Passengers", "low")
    run_well("fit", write(tmp_path / "low.csv", text), "-H", 1, "--out", tmp_path / "low.karusel")
    assert 'would be called "low"' in refused(2, "live", tmp_path / "low.karusel", "--json")


@pytest.mark.parametrize(
    ("zone", "given", "written"),
    [
        (None, "2024-01-06T01:00Z", "2024-01-06 0{}:00:00"),
        (None, "2024-01-06 03:00+02:00", "2024-01-06 0{}:00:00"),
        ("Europe/Berlin", "2024-01-06 01:00", "2024-01-06T0{}:00:00+01:00"),
        ("Europe/Berlin", "2024-01-06T00:00Z", "2024-01-06T0{}:00:00+01:00"),
    ],
)
def test_live_reads_and_writes_times_with_their_hour_and_offset(tmp_path, monkeypatch, zone, given, written):
    hours = pd.date_range("2024-01-01", periods=120, freq="h", tz=zone)
    frame = pd.DataFrame({"ds": hours, "y": 50 + 9 * np.sin(np.arange(120) / 3)})
    settings = {"hidden_size": 4, "n_members": 1, "season_length": 1, "time_limit": 0.5}
    Forecaster(2, **settings).fit(frame).save(tmp_path / "h.karusel")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"50\n{given},50\n50\n"))
    made = csv.DictReader(io.StringIO(run_well("live", tmp_path / "h.karusel")))
    assert [row["ds"] for row in made] == [written.format(hour) for hour in range(3)]


def test_a_model_writes_times_as_its_source_did(air: Path):
    run_well("predict", air / "air.karusel", "--quantiles", "0.25", "--out", air / "made.csv")
    [first, *_] = rows_of(air / "made.csv")
    assert first["Month"] == "1960-01"
    assert float(first["LSTM-lo-80"]) < float(first["LSTM-q-0.25"]) < float(first["LSTM"])
