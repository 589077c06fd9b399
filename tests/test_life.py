"""The life of a forecaster: other data, later rows, past cutoffs, the model file."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel import Forecaster
from karusel.errors import DataError, FileMissingError, ModelFileError, UsageError
from karusel.forecasting import members
from karusel.forecasting.stored import pack, unpack
from karusel.saving import load_file, save_file

SMALL = {"hidden_size": 8, "n_members": 1}


@pytest.fixture(autouse=True)
def _short_training(monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)


def wave(rows: int = 90, seed: int = 0) -> np.ndarray:
    t = np.arange(rows)
    return 30 + 0.2 * t + 5 * np.sin(2 * np.pi * t / 6) + np.random.default_rng(seed).normal(size=rows)


def frame(rows: int = 70, names: str = "ba") -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame(
                {"id": name, "day": pd.date_range("2024-01-01", periods=rows), "sold": wave(rows, k)}
            )
            for k, name in enumerate(names)
        ],
        ignore_index=True,
    )


COLUMNS = {"id_col": "id", "time_col": "day", "target_col": "sold"}


@pytest.fixture(scope="module")
def one() -> Forecaster:
    return Forecaster(4, season_length=6, **SMALL).fit(wave())


@pytest.fixture(scope="module")
def two() -> Forecaster:
    return Forecaster(4, season_length=6, **SMALL).fit(frame(), **COLUMNS)


@pytest.fixture(scope="module")
def many() -> Forecaster:
    model = Forecaster(3, season_length=6, num_layers=1, backtest=False, **SMALL)
    return model.fit([wave(40 + k, k) for k in range(22)])


# What can be


def test_values_that_are_never_negative_or_always_whole_stay_so():
    random = np.random.default_rng(1)
    counts = random.poisson(1.5, 120).astype(float)
    model = Forecaster(5, **SMALL).fit(counts)
    got = model.predict(level=[95])
    for column in got.values():
        assert np.all(column >= 0)
        np.testing.assert_array_equal(column, np.rint(column))
    assert any("whole" in note for note in model.notes_)
    assert any("never below 0" in note for note in model.notes_)
    signed = Forecaster(5, backtest=False, **SMALL).fit(counts + 0.25 - 3)
    assert signed.notes_ == ()
    assert not np.array_equal(signed.predict(), np.rint(signed.predict()))


def test_quantiles_are_calibrated_by_side_and_never_cross(one):
    got = one.predict(quantiles=[0.9, 0.1, 0.5], level=[80])
    assert list(got) == [*("LSTM", "LSTM-lo-80", "LSTM-hi-80", "LSTM-q-0.1", "LSTM-q-0.5", "LSTM-q-0.9")]
    scores = np.concatenate([one.backtest_.scores(), one.backtest_.recent.scores()])
    counted = replace(one.calibration_, freedom=np.inf)
    for quantile in (0.1, 0.5, 0.9):
        below = (scores <= counted.quantile(quantile))[~np.isnan(scores)]
        assert np.mean(below) == pytest.approx(quantile, abs=0.02)
    grid = one.predict(quantiles=np.linspace(0.01, 0.99, 33))
    columns = np.stack([v for name, v in grid.items() if "-q-" in name])
    assert np.all(np.diff(columns, axis=0) >= 0)
    with pytest.raises(UsageError, match=r"quantiles must lie between 0 and 1, got 1\.0"):
        one.predict(quantiles=[1.0])


# Seasons


def test_a_season_that_the_times_do_not_suggest_is_found_in_the_values():
    random = np.random.default_rng(0)
    pattern = np.tile(8 * random.normal(size=9), 19)
    whole = 50 + 0.1 * np.arange(171) + pattern
    y, truth = whole[:160] + random.normal(size=160), whole[160:169]
    model = Forecaster(9, **SMALL).fit(y)
    assert model.season_length_ == 9
    assert model.panel_.frequency.season_lengths == (9,)
    assert any("repeat every 9 steps" in note for note in model.notes_)
    assert "seasonal naive" in model.backtest_.forecasts
    plain = Forecaster(9, season_length=1, **SMALL).fit(y)
    assert plain.season_length_ == 1
    assert plain.panel_.frequency.season_lengths == ()
    assert np.abs(model.predict() - truth).mean() < np.abs(plain.predict() - truth).mean()
    again = Forecaster(9, **SMALL).fit(y[:150]).update(y[150:], train=True)
    np.testing.assert_array_equal(again.predict(), model.predict())


def test_the_season_of_the_backtest_is_found_before_it():
    y = np.random.default_rng(2).normal(size=200)
    usual = Forecaster(4, **SMALL).fit(y).backtest_
    late = y.copy()
    late[-4:] = np.tile([9.0, -9.0], 2)  # what no cutoff has seen
    changed = Forecaster(4, **SMALL).fit(late).backtest_
    assert usual.forecasts.keys() == changed.forecasts.keys()
    for name in usual.forecasts:
        np.testing.assert_array_equal(usual.forecasts[name], changed.forecasts[name])


# Other data


def test_other_histories_and_ids_never_seen_are_forecast(two):
    new = frame(50, "cab")
    with pytest.warns(UserWarning, match='not there when fitted: "c"; forecast from their own values'):
        got = two.predict(new)
    assert list(got.columns) == ["id", "day", "LSTM"]
    assert got["id"].tolist() == ["c"] * 4 + ["a"] * 4 + ["b"] * 4
    assert got["day"].iloc[0] == pd.Timestamp("2024-02-20")
    assert np.isfinite(got["LSTM"]).all()
    same = two.predict(frame())
    pd.testing.assert_frame_equal(same, two.predict())
    with pytest.raises(UsageError, match='no column "sold"'):
        two.predict(new.rename(columns={"sold": "y"}))


@pytest.mark.filterwarnings("ignore:not there when fitted")
def test_a_series_too_short_for_the_networks_is_forecast_by_smoothing_and_harms_no_other(two):
    usual = two.predict(level=[80])
    short = pd.concat([frame().iloc[:70], frame(5, "a"), frame(1, "z"), frame(13, "y")])
    short["id"] = ["b"] * 70 + ["a"] * 5 + ["z"] + ["y"] * 13
    with pytest.warns(UserWarning, match='18 that the networks read: series "a", .*by smoothing alone'):
        got = two.predict(short, level=[80])
    pd.testing.assert_frame_equal(got.iloc[:4], usual.iloc[:4])
    by_id = {name: rows["LSTM"].to_numpy() for name, rows in got.groupby("id")}
    np.testing.assert_allclose(by_id["a"], frame(5, "a")["sold"].mean())  # no season seen
    np.testing.assert_allclose(by_id["z"], frame(1, "z")["sold"][0])
    assert np.ptp(by_id["y"]) > 3  # two seasons seen
    width = (got["LSTM-hi-80"] - got["LSTM-lo-80"])[got["id"] == "z"]
    assert np.all(width > by_id["z"])  # of one value nothing is known of its changes


def test_an_update_with_a_short_series_leaves_all_to_be_forecast(two):
    model = Forecaster(4, season_length=6, **SMALL).fit(frame(), **COLUMNS)
    before = model.predict()
    model.update(frame(5, "c"))
    with pytest.warns(UserWarning, match='networks read: series "c"; forecast by smoothing alone'):
        after = model.predict()
    pd.testing.assert_frame_equal(after.iloc[:8], before)
    assert np.isfinite(after["LSTM"]).all()


def test_a_pooled_model_forecasts_an_id_of_which_it_knows_one_value():
    many = [wave(60, k) for k in range(20)]
    model = Forecaster(4, season_length=6, num_layers=1, backtest=False, **SMALL).fit(many)
    got = model.predict([[31.0], [30.0, 33.0]])
    assert got.shape == (2, 4)
    assert np.isfinite(got).all()


def test_an_id_without_any_value_is_forecast_as_one_of_the_panel(two):
    days = pd.date_range("2024-01-01", periods=3)
    data = pd.concat([frame(), pd.DataFrame({"id": "z", "day": days, "sold": np.nan})], ignore_index=True)
    with pytest.warns(UserWarning, match='"z"; forecast as one of the others'):
        got = two.predict(data, level=[80])
    assert got["id"].tolist() == ["b"] * 4 + ["a"] * 4 + ["z"] * 4
    known, z = got[got["id"] != "z"], got[got["id"] == "z"]
    assert z["day"].tolist() == known["day"].tolist()[:4]
    middle = known["LSTM"].to_numpy().reshape(2, 4).mean(0)
    np.testing.assert_allclose(z["LSTM"], middle)
    low, high = (known[f"LSTM-{end}-80"].to_numpy().reshape(2, 4) for end in ("lo", "hi"))
    np.testing.assert_allclose(z["LSTM-lo-80"], low.min(0) + 0.1 * np.ptp(low, axis=0))
    np.testing.assert_allclose(z["LSTM-hi-80"], high.min(0) + 0.9 * np.ptp(high, axis=0))


# Later rows


def test_an_update_forecasts_as_if_all_had_been_read_together(two):
    whole = frame(74)
    early, late = whole[whole["day"] < "2024-03-11"], whole[whole["day"] >= "2024-03-11"]
    model = Forecaster(4, season_length=6, backtest=False, **SMALL).fit(early, **COLUMNS)
    before = model.predict()
    model.update(late)
    assert model.panel_.lengths.tolist() == [74, 74]
    pd.testing.assert_frame_equal(model.predict(), model.predict(whole))
    assert before["day"].iloc[0] < model.predict()["day"].iloc[0]
    with pytest.raises(DataError, match='later rows of series "b" begin at 2024-03-11'):
        model.update(late)


def test_an_update_with_training_is_a_new_fit():
    whole = wave(90)
    model = Forecaster(4, season_length=6, **SMALL).fit(whole[:80]).update(whole[80:], train=True)
    fresh = Forecaster(4, season_length=6, **SMALL).fit(whole)
    got, wanted = (one.predict(level=[80])["LSTM-lo-80"] for one in (model, fresh))
    np.testing.assert_array_equal(got, wanted)
    assert model.verdict_ == fresh.verdict_


def test_an_update_takes_new_series_and_steps_that_are_missing(two):
    model = Forecaster(4, season_length=6, backtest=False, **SMALL).fit(frame(), **COLUMNS)
    later = frame(76, "bac")
    model.update(later[(later["day"] >= "2024-03-13") | (later["id"] == "c")])
    assert model.panel_.ids == ("b", "a", "c")
    assert np.isfinite(model.predict()["LSTM"]).all()


# Past cutoffs


def test_cross_validation_gives_forecasts_beside_the_truth():
    data = frame(80)
    model = Forecaster(5, season_length=6, **SMALL)
    got = model.cross_validation(data, n_windows=3, step_size=2, level=[80], **COLUMNS)
    assert list(got.columns) == ["id", "day", "cutoff", "sold", "LSTM", "LSTM-lo-80", "LSTM-hi-80"]
    assert len(got) == 2 * 3 * 5
    ends = pd.Timestamp("2024-01-01") + pd.to_timedelta(79 - 5 - np.array([4, 2, 0]), "D")
    assert got["cutoff"].unique().tolist() == ends.tolist()
    assert ((got["day"] - got["cutoff"]).dt.days.to_numpy().reshape(6, 5) == [1, 2, 3, 4, 5]).all()
    joined = got.merge(data, on=["id", "day"])
    np.testing.assert_array_equal(joined["sold_x"], joined["sold_y"])
    assert not hasattr(model, "model_")
    last = Forecaster(5, season_length=6, **SMALL).fit(data[data["day"] <= ends[-1]], **COLUMNS)
    mine = got[got["cutoff"] == ends[-1]]
    np.testing.assert_array_equal(mine["LSTM"].to_numpy(), last.predict()["LSTM"].to_numpy())


@pytest.mark.parametrize(
    ("role", "name"),
    [("target_col", "LSTM"), ("target_col", "LSTM-hi-80"), ("target_col", "cutoff"), ("time_col", "LSTM")],
)
def test_two_columns_of_one_name_are_refused_before_the_fit(monkeypatch, role, name):
    monkeypatch.setattr(Forecaster, "_fit", None)
    data = frame(80).rename(columns={COLUMNS[role]: name})
    with pytest.raises(UsageError, match=f'would be called "{name}"; rename'):
        Forecaster(5, **SMALL).cross_validation(data, level=[80], **{**COLUMNS, role: name})


def test_cross_validation_without_refit_fits_once(monkeypatch):
    fits = []
    usual = Forecaster._fit
    monkeypatch.setattr(Forecaster, "_fit", lambda self, *rest: (fits.append(1), usual(self, *rest))[1])
    model = Forecaster(5, season_length=6, backtest=False, **SMALL)
    for refit, wanted in ((True, 4), (2, 2), (False, 1)):
        fits.clear()
        got = model.cross_validation(wave(80), n_windows=4, refit=refit)
        assert len(fits) == wanted
    assert got["LSTM"].shape == (4, 5)
    np.testing.assert_array_equal(got["cutoff"], [59, 64, 69, 74])
    np.testing.assert_array_equal(got["y"][-1], wave(80)[-5:])


def test_cross_validation_sees_nothing_after_its_cutoff():
    y = wave(80)
    model = Forecaster(5, season_length=6, backtest=False, **SMALL)
    usual = model.cross_validation(y, n_windows=3)["LSTM"]
    y[70:] *= -2
    np.testing.assert_array_equal(model.cross_validation(y, n_windows=3)["LSTM"][:2], usual[:2])


def test_too_many_windows_are_refused():
    with pytest.raises(DataError, match="the series has 30 rows, but the first of 7 cutoffs lies 35 rows"):
        Forecaster(5, **SMALL).cross_validation(wave(30), n_windows=7)
    with pytest.raises(UsageError, match="n_windows must be a whole number from 1 up, got 0"):
        Forecaster(5, **SMALL).cross_validation(wave(30), n_windows=0)


@pytest.mark.parametrize("refit", [0, -1, 1.5, "no"])
def test_a_refit_that_is_no_count_is_refused(refit):
    with pytest.raises(UsageError, match=f"refit must be a whole number from 1 up, got {refit!r}"):
        Forecaster(5, **SMALL).cross_validation(wave(30), n_windows=1, refit=refit)


# The model file


def test_a_saved_forecaster_forecasts_the_same_bits(tmp_path, two):
    path = tmp_path / "two.karusel"
    two.save(path)
    again = Forecaster.load(path)
    pd.testing.assert_frame_equal(again.predict(level=[80, 95]), two.predict(level=[80, 95]))
    assert again.verdict_ == two.verdict_
    assert again.coverage_ == two.coverage_
    assert again.backtest_ is None
    assert again.panel_.frequency == two.panel_.frequency
    again.save(tmp_path / "again.karusel")
    assert path.read_bytes() == (tmp_path / "again.karusel").read_bytes()
    later = frame(74)
    later = later[later["day"] >= "2024-03-11"]
    pd.testing.assert_frame_equal(
        again.update(later).predict(), Forecaster.load(path).update(later).predict()
    )


@pytest.mark.parametrize("kind", ["array", "polars", "zone", "gaps", "pooled", "covariates"])
def test_every_kind_of_forecaster_is_saved_whole(tmp_path, kind):
    model = Forecaster(3, season_length=6, num_layers=1, backtest=False, **SMALL)
    X_df = None
    if kind == "array":
        model.fit(wave())
    elif kind == "polars":
        model.fit(pl.from_pandas(frame()), **COLUMNS)
    elif kind == "zone":
        data = frame(names="a")
        model.fit(data.assign(day=data["day"].dt.tz_localize("America/New_York")), **COLUMNS)
    elif kind == "gaps":
        holed = wave()
        holed[40:44] = np.nan
        model.fit(holed)
    elif kind == "pooled":
        model.fit([wave(40 + k, k) for k in range(22)])
    else:
        data = frame().assign(promo=lambda f: np.arange(len(f)) % 3 == 0, sky="clear", town=lambda f: f["id"])
        model.fit(data, futr_exog_list=["promo", "sky"], stat_exog_list=["town"], **COLUMNS)
        X_df = model.future_frame().assign(promo=True, sky="clear")
    model.save(tmp_path / "m.karusel")
    again = Forecaster.load(tmp_path / "m.karusel")
    usual, got = model.predict(X_df=X_df), again.predict(X_df=X_df)
    if isinstance(usual, pd.DataFrame):
        pd.testing.assert_frame_equal(got, usual)
    elif isinstance(usual, pl.DataFrame):
        assert got.equals(usual)
    else:
        np.testing.assert_array_equal(got, usual)
    assert again.notes_ == model.notes_


def test_a_file_that_is_no_forecaster_is_refused_in_one_line(tmp_path, two):
    path = tmp_path / "two.karusel"
    with pytest.raises(FileMissingError):
        Forecaster.load(path)
    two.save(path)
    data = path.read_bytes()
    for cut in (0, 7, 100, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(ModelFileError) as refusal:
            Forecaster.load(path)
        assert "\n" not in str(refusal.value)
    path.write_bytes(data)
    header, tensors = load_file(path, "forecaster")
    for spoil in (
        lambda h: h["settings"].pop("h"),
        lambda h: h.pop("fitted"),
        lambda h: h["fitted"].update(model_=3),
        lambda h: h["fitted"]["model_"].update({"is": "os.system"}),
        lambda h: h["fitted"]["panel_"]["with"].pop("offsets"),
        lambda h: h["fitted"]["panel_"]["with"]["values"].update(type="O"),
        lambda h: h["fitted"]["panel_"]["with"]["values"].update(array="array999"),
    ):
        bad = json.loads(json.dumps(header))
        spoil(bad)
        save_file(path, "forecaster", bad, tensors)
        with pytest.raises(ModelFileError):
            Forecaster.load(path)
    with pytest.raises(UsageError, match="not fitted"):
        Forecaster(3).save(path)


def fitted_of(header):
    return header["fitted"]


def panel_of(header):
    return fitted_of(header)["panel_"]["with"]


def model_of(header):
    return fitted_of(header)["model_"]["with"]["model"]["with"]


def scaling_of(header):
    return model_of(header)["scaling"]["with"]


def reader_of(header):
    return model_of(header)["reader"]["with"]


SPOILT = {
    "two": [
        (lambda h: h["settings"], "h", 5),
        (lambda h: h["settings"], "n_jobs", ["a"]),
        (fitted_of, "verdict_", 3),
        (fitted_of, "notes_", 7),
        (fitted_of, "_columns", "day"),
        (panel_of, "frequency", True),
        (panel_of, "covariates", ""),
        (panel_of, "ids", ["a"]),
        (panel_of, "ids", [{"pairs": [[], []]}, "b"]),
        (panel_of, "offsets", {"shape": [0], "type": "int64"}),
        (lambda h: fitted_of(h)["model_"]["with"], "model", 0),
        (scaling_of, "season_length", 4),
        (scaling_of, "seen", 5),
        (scaling_of, "season_share", 1.5),
        (scaling_of, "season_share", -0.5),
        (scaling_of, "span", 1),  # beside a season
        (lambda h: model_of(h)["correction"]["with"], "networks", [False]),
        (lambda h: model_of(h)["correction"]["with"], "unit", 10**400),
    ],
    "many": [
        (model_of, "share", None),
        (model_of, "ensemble", 2**63),
        (lambda h: model_of(h)["ensemble"]["with"], "points", []),
        (lambda h: model_of(h)["ensemble"]["with"]["spread"]["with"], "network", 1e300),
        (lambda h: model_of(h)["ensemble"]["with"]["spread"]["with"], "quantiles", [0.5]),
        (reader_of, "horizon", -1.5),
        (reader_of, "patch", 5),
        (reader_of, "look_back", 2**63),
        (reader_of, "seasons", [None]),
        (reader_of, "anchor", [[6, 10**6]]),
        (reader_of, "anchor", [[0.5, 1]]),
    ],
}


@pytest.mark.parametrize("which", SPOILT)
def test_a_field_of_another_type_or_size_is_refused_at_load(which, request, tmp_path):
    path = tmp_path / "m.karusel"
    request.getfixturevalue(which).save(path)
    header, tensors = load_file(path, "forecaster")
    for of, name, value in SPOILT[which]:
        bad = json.loads(json.dumps(header))
        assert name in of(bad)
        of(bad)[name] = value
        save_file(path, "forecaster", bad, tensors)
        with pytest.raises(ModelFileError):
            Forecaster.load(path)


def test_an_id_that_a_file_cannot_hold_is_refused(tmp_path):
    data = frame().assign(id=lambda f: [pd.Timestamp("2024-01-01") if one == "a" else one for one in f["id"]])
    model = Forecaster(3, season_length=6, backtest=False, **SMALL).fit(data, **COLUMNS)
    with pytest.raises(UsageError, match="cannot be saved: ids and categories"):
        model.save(tmp_path / "m.karusel")
    assert not list(tmp_path.iterdir())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=80).map(tuple)
            | st.dictionaries(st.text() | st.floats(allow_nan=False), inner, max_size=3)
        ),
        max_leaves=90,
    )
)
@settings(deadline=None, max_examples=100)
def test_plain_values_come_back_from_a_file_as_they_were(value):
    tensors: dict[str, np.ndarray] = {}
    packed = json.loads(json.dumps(pack(value, tensors)))
    assert repr(unpack(packed, tensors)) == repr(value)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool", "datetime64[us]"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 5), ()])
def test_arrays_come_back_from_a_file_as_they_were(dtype, shape):
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    if dtype.startswith("float") and array.size > 3:
        array.ravel()[:3] = np.nan, np.inf, -np.inf
    tensors: dict[str, np.ndarray] = {}
    packed = json.loads(json.dumps(pack(array, tensors)))
    again = unpack(packed, tensors)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    assert all(np.isfinite(one).all() for one in tensors.values())
