"""The forecaster as its users meet it: containers in and out, accuracy, repeatability, refusals."""

from __future__ import annotations

import threading
from datetime import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from karusel.errors import DataError, UsageError
from karusel.forecasting import members
from karusel.forecasting.forecaster import Forecaster
from karusel.forecasting.panel import from_columns
from karusel.sources import read_table

SMALL = {"hidden_size": 8, "n_members": 1}
AIR_PASSENGERS = __file__.replace("tests/test_forecaster.py", "examples/data/air_passengers.csv")


def wave(rows: int = 90, seed: int = 0) -> np.ndarray:
    t = np.arange(rows)
    return 30 + 0.2 * t + 5 * np.sin(2 * np.pi * t / 6) + np.random.default_rng(seed).normal(size=rows)


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster(4, season_length=6, **SMALL).fit(wave())


def days(rows: int) -> np.ndarray:
    return (np.datetime64("2024-01-01") + np.arange(rows)).astype("datetime64[us]")


# Containers


def test_an_array_gives_an_array(fitted):
    assert fitted.predict().shape == (4,)
    columns = fitted.predict(level=[80, 95])
    assert list(columns) == ["LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-lo-95", "LSTM-hi-95"]
    np.testing.assert_array_equal(columns["LSTM"], fitted.predict())
    for narrow, wide in (("80", "95"),):
        assert np.all(columns[f"LSTM-lo-{wide}"] < columns[f"LSTM-lo-{narrow}"])
        assert np.all(columns[f"LSTM-lo-{narrow}"] < columns["LSTM"])
        assert np.all(columns["LSTM"] < columns[f"LSTM-hi-{narrow}"])
        assert np.all(columns[f"LSTM-hi-{narrow}"] < columns[f"LSTM-hi-{wide}"])


def test_several_series_give_one_row_each():
    model = Forecaster(3, season_length=6, backtest=False, **SMALL)
    ragged = model.fit([wave(70), wave(80, 1).tolist()]).predict()
    assert ragged.shape == (2, 3)
    square = model.fit(np.stack([wave(70), wave(70, 1)])).predict()
    assert square.shape == (2, 3)


def frame_of(library: str) -> object:
    columns = {
        "shop": ["b"] * 60 + ["a"] * 60,
        "day": np.concatenate([days(60), days(60)]),
        "sold": np.concatenate([wave(60), wave(60, 1)]),
    }
    return {"pandas": pd.DataFrame, "polars": pl.DataFrame}[library](columns)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_gives_a_frame_of_its_kind(library):
    frame = frame_of(library)
    model = Forecaster(4, **SMALL).fit(frame, id_col="shop", time_col="day", target_col="sold")
    forecast = model.predict(level=[80])
    assert type(forecast) is type(frame)
    assert list(forecast.columns) == ["shop", "day", "LSTM", "LSTM-lo-80", "LSTM-hi-80"]
    assert list(forecast["shop"]) == ["b"] * 4 + ["a"] * 4
    assert forecast["day"].dtype == frame["day"].dtype
    np.testing.assert_array_equal(forecast["day"].to_numpy()[:4], days(64)[60:])
    assert model.panel_.frequency.describe() == "daily"
    np.testing.assert_array_equal(forecast["LSTM"].to_numpy(), model.forecast().values.ravel())


def test_dates_as_text_and_dates_without_time_come_back_as_they_were():
    frame = pl.DataFrame({"ds": days(60), "y": wave(60)})
    text = frame.with_columns(pl.col("ds").dt.strftime("%Y-%m-%d"))
    dates = frame.with_columns(pl.col("ds").cast(pl.Date))
    model = Forecaster(2, backtest=False, **SMALL)
    assert model.fit(dates).predict()["ds"].to_list() == [
        pl.Series(days(62)[60:]).cast(pl.Date)[k] for k in (0, 1)
    ]
    assert str(model.fit(text).predict()["ds"][0]).startswith("2024-03-01")
    assert "unique_id" not in model.predict().columns


def test_whole_numbers_and_missing_values_in_a_frame():
    frame = pd.DataFrame({"ds": range(60), "y": pd.array([None, *range(58), None], dtype="Int64")})
    model = Forecaster(2, backtest=False, **SMALL).fit(frame)
    assert model.predict()["ds"].tolist() == [59, 60]
    assert model.panel_.notes == ("2 rows without a value at the start or end of a series: dropped",)
    counted = model.fit(frame, time_col=None).predict()
    assert list(counted.columns) == ["LSTM"]


# What it forecasts


def curve(n: np.ndarray) -> np.ndarray:
    return np.round(n * (n / 2) + n, 2)


def test_a_curve_continues_outside_the_range_seen():
    truth = curve(np.arange(51) / 10)
    forecast = Forecaster(10, backtest=False).fit(truth[:41]).predict()
    np.testing.assert_allclose(forecast, truth[41:], rtol=0.01)


def test_counting_continues():
    np.testing.assert_allclose(
        Forecaster(5, **SMALL).fit(list(range(1, 41))).predict(), range(41, 46), rtol=0.005
    )


def test_a_constant_series_stays():
    np.testing.assert_allclose(Forecaster(3, **SMALL).fit(np.full(50, 7.0)).predict(), 7.0)


def test_air_passengers_beats_seasonal_naive_clearly():
    model = Forecaster(12).fit(read_table(AIR_PASSENGERS).panel())
    table = model.backtest_.table()
    assert next(iter(table)) == "LSTM"
    assert table["LSTM"]["MAE"] < 0.65 * table["seasonal naive"]["MAE"]
    assert table["LSTM"]["MAE"] < 0.8 * table["linear on lags"]["MAE"]
    assert model.verdict_.best_simple == "smoothing"
    assert model.verdict_.skill > 0
    assert model.coverage_values_ > 100
    assert model.coverage_[95.0] > 0.9


def test_white_noise_and_random_walks_get_no_praise():
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=150)
        nothing = Forecaster(6, **SMALL).fit(noise).verdict_
        # forecasts of noise may come so near its mean that they are level with it
        assert (nothing.outcome != "network", nothing.best_simple) == (True, "mean")
        assert "shows no skill" in nothing.sentence
        walk = Forecaster(6, **SMALL).fit(noise.cumsum()).verdict_
        assert walk.outcome != "network"
    assert walk.best_simple == "last value"
    assert walk.lag_copy
    assert "only repeat the last value" in walk.sentence


def test_intervals_on_logarithms_stay_positive():
    t = np.arange(96)
    growing = np.exp(
        0.03 * t + 0.3 * np.sin(2 * np.pi * t / 6) + 0.1 * np.random.default_rng(1).normal(size=96)
    )
    model = Forecaster(6, season_length=6, **SMALL).fit(growing)
    assert model.model_.units.log
    assert np.all(model.predict(level=[99])["LSTM-lo-99"] > 0)


# What is missing


def gappy(series: int) -> list[np.ndarray]:
    parts = [wave(80 - 7 * (k % 4), k) for k in range(series)]
    for k, part in enumerate(parts):
        part[10 + k % 5 : 60 : 13] = np.nan
    return parts


@pytest.mark.parametrize("series", [1, 3, 24])
def test_series_with_gaps_have_their_evidence(series, monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)
    model = Forecaster(3, season_length=6, **SMALL).fit(gappy(series))
    table = model.backtest_.table()
    assert model.backtest_.refits == 1  # gaps and many series are for the pooled model
    assert set(table) >= {
        "LSTM",
        "last value",
        "mean",
        "seasonal naive",
        "drift",
        "smoothing",
        "linear on lags",
    }
    for name, row in table.items():
        assert np.isfinite([row[measure] for measure in ("MAE", "RMSE", "MASE", "sMAPE")]).all(), name
    assert model.verdict_.sentence
    made = model.predict(level=[80], quantiles=[0.1, 0.5, 0.9])
    assert all(np.isfinite(column).all() for column in made.values())
    assert np.all(made["LSTM-q-0.1"] <= made["LSTM-q-0.5"])
    assert np.all(made["LSTM-q-0.5"] <= made["LSTM-q-0.9"])


def test_a_short_series_among_long_ones_does_not_take_their_evidence(monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)
    model = Forecaster(3, season_length=6, **SMALL).fit([wave(120, k) for k in range(3)] + [wave(5)])
    assert model.backtest_.cutoffs == 30
    assert np.isfinite(model.backtest_.truth[:, :3]).all()
    assert np.isnan(model.backtest_.truth[:, 3]).all()
    assert "of 4 series" in model.verdict_.sentence
    assert np.isfinite(model.predict(level=[80])["LSTM-lo-80"]).all()


def test_a_series_without_a_value_is_left_out_and_infinite_values_are_refused():
    model = Forecaster(3, season_length=6, **SMALL).fit([wave(60), np.full(60, np.nan), wave(60, 1)])
    assert model.backtest_.truth.shape[1] == 2
    assert any("without any value left out" in note for note in model.notes_)
    with pytest.raises(DataError, match="inf"):
        Forecaster(3, **SMALL).fit([wave(60), np.append(wave(59), -np.inf)])


@pytest.mark.parametrize("series", [1, 24])
def test_a_value_without_a_logarithm_is_read_as_missing_and_that_is_said(series, monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)
    sold = [np.exp(0.1 * wave(60, k)) for k in range(series)]
    model = Forecaster(3, season_length=6, backtest=False, **SMALL).fit(sold)
    assert model.model_.units.log
    with pytest.warns(UserWarning, match="not above 0, as all were when fitted, are read as missing: "):
        closed = model.predict([np.append(one, [0.0, 20.0]) for one in sold])
    missing = model.predict([np.append(one, [np.nan, 20.0]) for one in sold])
    np.testing.assert_array_equal(closed, missing)


def test_only_values_without_a_logarithm_are_no_history():
    model = Forecaster(3, season_length=6, backtest=False, **SMALL).fit(np.exp(0.1 * wave(60)))
    with pytest.raises(DataError, match="none of the 18 values of the series before a forecast is above 0"):
        model.predict(np.append(np.exp(0.1 * wave(60)), np.zeros(18)))


def test_a_stretch_without_change_does_not_make_forecasts_explode():
    """Windows of hardly any size, and a target far away in it, taught corrections of a hundred sizes."""
    noise = np.random.default_rng(8).normal(size=107)
    level = np.where(np.arange(107) < 86, 10.0, 10 + 5 * noise)[:100]
    made = Forecaster(7, season_length=7, backtest=False).fit(level).predict()
    assert np.all((made > 0) & (made < 30))


def test_constant_series_are_forecast_and_judged():
    model = Forecaster(3, **SMALL).fit([np.full(60, 7.0), np.full(60, 0.0)])
    assert model.verdict_.outcome == "level"
    np.testing.assert_allclose(model.predict(level=[95])["LSTM"], [[7.0] * 3, [0.0] * 3], atol=1e-6)


# Repeatable


def test_same_seed_same_bits_on_any_number_of_threads():
    y = wave()
    one, two = (
        Forecaster(4, season_length=6, hidden_size=8, n_jobs=jobs).fit(y).predict(level=[90])
        for jobs in (1, 2)
    )
    other = Forecaster(4, season_length=6, hidden_size=8, random_state=1).fit(y).predict()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
    assert not np.array_equal(one["LSTM"], other)


def test_fitting_leaves_the_data_and_numpys_seed_alone():
    y = wave()
    kept = y.copy()
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what must not move
    threads = threading.active_count()
    Forecaster(3, season_length=6, **SMALL).fit(y).predict()
    np.testing.assert_array_equal(y, kept)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert threading.active_count() == threads


def test_the_constructor_only_stores():
    model = Forecaster(-3, hidden_size="many")
    assert model.h == -3
    assert not [name for name in vars(model) if name.endswith("_")]


def test_a_second_fit_forgets_the_first(fitted):
    model = Forecaster(4, season_length=6, **SMALL)
    model.fit([wave(60), wave(60, 1)])
    np.testing.assert_array_equal(model.fit(wave()).predict(), fitted.predict())


# Refusals


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"h": 0}, "Forecaster: h must be a whole number from 1 up, got 0"),
        ({"h": 2.5}, "h must be a whole number from 1 up, got 2.5"),
        ({"h": 2, "hidden_size": 0}, "hidden_size must be a whole number from 1 up, got 0"),
        ({"h": 2, "n_jobs": True}, "n_jobs must be a whole number from 1 up, got True"),
        ({"h": 2, "random_state": 2**32}, "random_state must be at most 4,294,967,295, got 4294967296"),
        ({"h": 2, "random_state": -1}, "random_state must be a whole number from 0 up, got -1"),
        ({"h": 2, "season_length": 0}, "season_length must be a whole number from 1 up, got 0"),
        ({"h": 2, "season_length": "M"}, "season_length must be a whole number from 1 up, got 'M'"),
        ({"h": 2, "season_length": [2.5]}, "season_length must be a whole number from 1 up, got 2.5"),
        ({"h": 2, "time_limit": True}, "time_limit must be a number of seconds above 0, got True"),
        ({"h": 2, "time_limit": "5"}, "time_limit must be a number of seconds above 0, got '5'"),
    ],
)
def test_settings_outside_their_rules_are_refused(settings, words):
    with pytest.raises(UsageError, match=words):
        Forecaster(**settings).fit(wave())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([1.0, np.inf] * 20, "row 1 holds inf"),
        ([], "no series"),
        ([[], [1.0]], r"series 0 has shape \(0,\)"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        (["a", "b"], "row 0 of series 0 holds 'a', which is no number"),
        ([[1.0, 2.0], [3.0, "4", 5.0]], "row 1 of series 1 holds '4', which is no number"),
        ([1.0, 2.0, 3.0], "has 3 rows, but a horizon of 4 needs at least 15"),
    ],
)
def test_bad_arrays_are_refused(data, words):
    with pytest.raises(DataError, match=words):
        Forecaster(4, **SMALL).fit(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (None, "NoneType"),
        ({"y": [1.0] * 30}, "dict"),
        ((value for value in [1.0] * 30), "generator"),
        (3.0, "float"),
        ("sales.csv", "str"),
        (pd.Series([1.0] * 30), "Series"),
    ],
)
def test_what_holds_no_series_is_refused_by_its_kind(data, kind):
    with pytest.raises(UsageError, match=f"a {kind} cannot be read; give a pandas, .* or list of values"):
        Forecaster(4).fit(data)


def test_columns_of_one_name_are_refused():
    frame = pd.DataFrame([[1, 2.0, 2.0]] * 30, columns=["ds", "y", "y"])
    with pytest.raises(UsageError, match=r"columns of one name: .*'y' 2 times; rename or drop"):
        Forecaster(4).fit(frame)


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ({"ds": days(3)}, UsageError, r'no column "y" \(target_col\); it has ds'),
        ({"ds": days(3), "y": list("abc")}, DataError, 'column "y" holds'),
        (
            {"ds": ["2020-01-01", "soon", "x"], "y": [1.0, 2, 3]},
            DataError,
            'column "ds" holds text that is no date',
        ),
        (
            {"ds": [datetime(2024, 1, 1), None, datetime(2024, 1, 3)], "y": [1.0, 2, 3]},
            DataError,
            'row 1 has no time in column "ds"',
        ),
    ],
)
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_bad_frames_are_refused(library, columns, error, words):
    with pytest.raises(error, match=words):
        Forecaster(2).fit(library(columns))


def test_a_time_zone_comes_back():
    times = pd.date_range("2024-01-01", periods=42, tz="Europe/Riga")
    frame = pd.DataFrame({"ds": times[:40], "y": wave(40)})
    forecast = Forecaster(2, backtest=False, **SMALL).fit(frame).predict()
    assert forecast["ds"].dtype == frame["ds"].dtype
    assert list(forecast["ds"]) == list(times[40:])


def test_a_wide_frame_is_a_series_for_each_column():
    frame = pl.DataFrame({"ds": days(60), "north": wave(60), "south": wave(60, 1)})
    forecast = Forecaster(2, backtest=False, **SMALL).fit(frame, target_col=["north", "south"]).predict()
    assert forecast["unique_id"].to_list() == ["north", "north", "south", "south"]
    assert forecast["ds"].to_list() == pl.Series(days(62)[60:]).to_list() * 2


def test_what_needs_a_fit_or_a_backtest_says_so():
    model = Forecaster(2, backtest=False, **SMALL)
    with pytest.raises(UsageError, match="not fitted"):
        model.predict()
    model.fit(wave())
    with pytest.raises(UsageError, match="need a backtest, but it was switched off"):
        model.predict(level=[80])
    short = Forecaster(5, **SMALL).fit(np.arange(18.0))
    assert short.backtest_ is None
    assert short.verdict_ is None
    with pytest.raises(UsageError, match="too short"):
        short.predict(level=[80])


def test_a_panel_gives_a_forecast():
    panel = from_columns(wave(60), ids=["only"] * 60)
    forecast = Forecaster(3, backtest=False, **SMALL).fit(panel).predict()
    assert forecast.ids == ("only",)
    np.testing.assert_array_equal(forecast.times, [[60, 61, 62]])
