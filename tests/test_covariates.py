"""Covariates: encoded, their effects taken out and put back, read by networks, asked for by name and date."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel import Forecaster
from karusel.errors import DataError, UsageError
from karusel.forecasting import members
from karusel.forecasting.covariates import Column, Covariate
from karusel.forecasting.effects import fit_effects
from karusel.forecasting.encoding import fit_encoding
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.windows import Cutoffs
from karusel.sources import read_table

SMALL = {"hidden_size": 8, "num_layers": 1, "n_members": 1}
PROMO = Covariate("promo", "future")
SKY = Covariate("sky", "future", ("clear", "rain", "snow"))
HEAT = Covariate("heat", "past")
TOWN = Covariate("town", "static", ("a", "b"))


@pytest.fixture(autouse=True)
def _short_training(monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)


def shops(rows: int = 120, series: int = 3, factor: float = 1.8, seed: int = 0) -> pd.DataFrame:
    """Daily sales that a promotion multiplies, with a week and noise."""
    random = np.random.default_rng(seed)
    parts = []
    for k in range(series):
        t = np.arange(rows)
        promo = (random.random(rows) < 0.25).astype(float)
        y = (10 + 7 * k) * (1 + 0.2 * np.sin(2 * np.pi * t / 7)) * factor**promo
        parts.append(
            pd.DataFrame(
                {
                    "unique_id": f"shop {k}",
                    "ds": pd.date_range("2024-01-01", periods=rows),
                    "y": y * np.exp(0.02 * random.normal(size=rows)),
                    "promo": promo,
                    "sky": random.choice(["clear", "rain"], rows),
                    "town": "ab"[k % 2],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def panel_of(values, numbers, covariates: dict[Covariate, np.ndarray]) -> Panel:
    columns = [Column(one, np.asarray(column, np.float64)) for one, column in covariates.items()]
    return from_columns(np.asarray(values, np.float64), ids=numbers, columns=columns)


# Encoding


def test_numbers_are_centred_and_categories_get_a_column_each():
    numbers = [0, 0, 0, 1, 1]
    panel = panel_of(
        np.arange(5.0) + 1,
        numbers,
        {PROMO: [1, 3, np.nan, 5, 7], SKY: [1, 2, 0, 2, 2], TOWN: [1, 1, 1, 2, 2]},
    )
    encoding = fit_encoding(panel.covariates)
    spread = np.std([1, 3, 5, 7])
    np.testing.assert_allclose(
        encoding.of(panel.covariates, "future"),
        [
            [-3 / spread, 1, 0, 0],
            [-1 / spread, 0, 1, 0],
            [0, 0, 0, 0],
            [1 / spread, 0, 1, 0],
            [3 / spread, 0, 1, 0],
        ],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(encoding.of(panel.covariates, "static"), [[1, 0], [0, 1]])


def test_channels_bring_the_past_the_future_ahead_and_what_stays():
    heat, promo = np.array([5, 1, 8, 2, 9, 4.0]), np.array([2, 7, 1, 8, 2, 8.0])
    panel = panel_of(np.arange(6.0) + 1, [4] * 6, {HEAT: heat, PROMO: promo, TOWN: [2] * 6})
    encoding = fit_encoding(panel.covariates)
    got = encoding.channels(Cutoffs(panel, np.array([1, 3])), 3, 2)
    h, p = (heat - heat.mean()) / heat.std(), (promo - promo.mean()) / promo.std()
    assert got.shape == (2, 3, 5)
    np.testing.assert_allclose(got[1, :, 0], h[1:4], rtol=1e-6)
    np.testing.assert_allclose(got[1, :, 1], p[1:4], rtol=1e-6)
    np.testing.assert_allclose(got[1, :, 2], p[3:6], rtol=1e-6)
    np.testing.assert_array_equal(got[:, :, 3:], np.broadcast_to([0, 1], (2, 3, 2)))
    np.testing.assert_allclose(got[0, :, 0], [0, *h[:2]], rtol=1e-6)  # nothing before the start


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_what_is_rare_new_or_missing_says_nothing(seed):
    random = np.random.default_rng(seed)
    many = Covariate("many", "future", tuple(range(40)))
    codes = random.integers(0, 41, 200)
    panel = panel_of(np.arange(200.0), [0] * 200, {many: codes})
    encoded = fit_encoding(panel.covariates).of(panel.covariates, "future")
    assert encoded.shape[1] == 16
    assert set(encoded.sum(1)) <= {0.0, 1.0}
    assert not encoded[codes == 0].any()


# Effects


@pytest.mark.parametrize("relative", [False, True])
def test_effects_are_found_taken_out_and_put_back(relative):
    random = np.random.default_rng(3)
    numbers = np.repeat([0, 1], 150)
    promo, sky = random.normal(size=300), random.integers(1, 4, 300)
    away = 0.5 * promo + np.array([0, 0.3, -0.2])[sky - 1]
    rest = np.concatenate([50 + random.normal(size=150).cumsum(), 80 + random.normal(size=150).cumsum()])
    panel = panel_of(
        rest * np.exp(away) if relative else rest + 10 * away - 60, numbers, {PROMO: promo, SKY: sky}
    )
    effects = fit_effects(panel, fit_encoding(panel.covariates), 1)
    assert effects.relative == relative
    without = effects.remove(panel)
    raw, left = np.abs(np.diff(panel.values[:150])).mean(), np.abs(np.diff(without.values[:150])).mean()
    assert left < 0.25 * raw
    cutoffs = Cutoffs(panel, np.array([100, 220]))
    factor, shift = effects.ahead(cutoffs, 5)
    np.testing.assert_allclose(Cutoffs(without, cutoffs.at).targets(5) * factor + shift, cutoffs.targets(5))


def test_covariates_that_explain_nothing_have_no_effect():
    for seed in range(5):
        random = np.random.default_rng(seed)
        values, promo = random.normal(size=2000).cumsum(), random.normal(size=2000)
        for offset in (0.0, 1000.0):  # the latter has logarithms
            panel = panel_of(values + offset, [0] * 2000, {PROMO: promo})
            assert fit_effects(panel, fit_encoding(panel.covariates), 7) is None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_few_jumps_do_not_decide_an_effect(sign):
    random = np.random.default_rng(5)
    promo, steps = random.normal(size=1000), 20 + random.normal(size=1000)
    highest = np.argsort(np.diff(promo, prepend=promo[0]))[-4:]  # where the covariate rises most
    steps[highest] += sign * 400
    panel = panel_of(sign * (steps.cumsum() - 9000) + 5 * promo, [0] * 1000, {PROMO: promo})
    effects = fit_effects(panel, fit_encoding(panel.covariates), 1)
    effect = np.polyfit(promo, panel.values - effects.remove(panel).values, 1)[0]
    assert effect == pytest.approx(5, rel=0.1)


# In the forecaster


def fitted_and_future(**settings) -> tuple[Forecaster, pd.DataFrame, pd.DataFrame]:
    whole = shops(134)
    days = whole["ds"].unique()
    frame, ahead = whole[whole["ds"] < days[120]], whole[whole["ds"] >= days[120]]
    model = Forecaster(14, backtest=False, **SMALL, **settings)
    model.fit(frame, futr_exog_list=["promo", "sky"], stat_exog_list=["town"])
    return model, frame, ahead


def test_a_known_promotion_is_forecast():
    model, frame, ahead = fitted_and_future()
    forecast = model.predict(X_df=ahead.drop(columns=["y", "town"]))
    plain = Forecaster(14, backtest=False, **SMALL).fit(frame).predict()
    error, without = (
        np.mean(np.abs(one["LSTM"].to_numpy() - ahead["y"].to_numpy())) for one in (forecast, plain)
    )
    assert error < 0.3 * without
    assert any("factors" in note for note in model.notes_)


def test_the_first_cutoff_leaves_a_pooled_model_its_rows():
    """Two seasons and a forecast are 28 rows, but networks that know of promotions need 45."""
    frame = shops(64, series=1)
    model = Forecaster(14, **SMALL).fit(frame, futr_exog_list=["promo"])
    assert model.backtest_ is not None
    assert model.panel_.lengths[0] - model.backtest_.behind[0] > 36


def test_counts_whose_rest_is_positive_have_a_backtest():
    """A 0 without a promotion is no 0 once promotions are taken out, and has a logarithm then."""
    random = np.random.default_rng(29)
    week, promo = random.normal(0, 10, 7)[np.arange(142) % 7], random.random(142) < 0.2
    sold = random.poisson(np.exp(1 + week / 20 + 0.5 * promo)) * 1.0
    frame = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=142), "y": sold, "promo": promo * 1.0})
    model = Forecaster(14, **SMALL).fit(frame, futr_exog_list=["promo"])
    assert model.model_.units.relative
    assert (sold == 0).any()
    assert model.backtest_ is not None
    assert np.isfinite(model.backtest_.truth).all()
    assert model.backtest_.recent is None  # what is known in the future ends with the rows


def test_the_future_frame_is_filled_in_and_given_back():
    model, _, ahead = fitted_and_future()
    rows = model.future_frame()
    assert list(rows.columns) == ["unique_id", "ds"]
    assert len(rows) == 3 * 14
    filled = rows.merge(ahead[["unique_id", "ds", "promo", "sky"]])
    shuffled = filled.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        model.predict(X_df=filled), model.predict(X_df=shuffled).reset_index(drop=True)
    )


def test_what_is_missing_of_the_future_is_named_by_id_and_date():
    model, _, ahead = fitted_and_future()
    with pytest.raises(UsageError, match='fitted with "promo", "sky" known in the future; give X_df'):
        model.predict()
    with pytest.raises(DataError, match='X_df has no row for "shop 0" at 2024-05-05'):
        model.predict(X_df=ahead.iloc[[*range(5), *range(6, len(ahead))]])
    holed = ahead.copy()
    holed.iloc[20, holed.columns.get_loc("promo")] = np.nan
    with pytest.raises(DataError, match='column "promo" of X_df has no value for "shop 1" at 2024-05-06'):
        model.predict(X_df=holed)
    with pytest.raises(UsageError, match='no column "sky"'):
        model.predict(X_df=ahead.drop(columns="sky"))
    plain = Forecaster(3, backtest=False, **SMALL).fit(np.arange(40.0))
    with pytest.raises(UsageError, match="no futr_exog_list"):
        plain.predict(X_df=ahead)
    with pytest.raises(UsageError, match="needs a frame"):
        plain.fit(np.arange(40.0), futr_exog_list=["promo"])


def test_no_forecast_depends_on_a_past_covariate_or_value_after_its_cutoff():
    frame = shops(90).assign(heat=lambda f: np.random.default_rng(5).normal(size=len(f)))
    model = Forecaster(6, backtest=False, **SMALL).fit(
        frame, futr_exog_list=["promo"], hist_exog_list=["heat"], stat_exog_list=["town"]
    )
    panel = model.panel_
    at = panel.offsets[1:] - 1 - 9
    usual = model.model_.predict(Cutoffs(panel, at)).values
    values, past = panel.values.copy(), panel.covariates.past.copy()
    for cutoff in at:
        values[cutoff + 1 : cutoff + 10] *= -3
        past[cutoff + 1 : cutoff + 10] += 100
    changed = replace(panel, values=values, covariates=replace(panel.covariates, past=past))
    np.testing.assert_array_equal(model.model_.predict(Cutoffs(changed, at)).values, usual)
    seen = panel.covariates.past.copy()
    seen[at] += 100
    other = replace(panel, covariates=replace(panel.covariates, past=seen))
    assert not np.array_equal(model.model_.predict(Cutoffs(other, at)).values, usual)


def test_every_kind_of_frame_and_a_backtest():
    frame = shops(80)
    model = Forecaster(4, **SMALL).fit(pl.from_pandas(frame), futr_exog_list=["promo"])
    ahead = model.future_frame().with_columns(promo=pl.lit(1.0))
    got = model.predict(X_df=ahead, level=[80])
    assert isinstance(got, pl.DataFrame)
    assert (got["LSTM-lo-80"] < got["LSTM-hi-80"]).all()
    errors = {name: row["MAE"] for name, row in model.backtest_.table().items()}
    assert errors["LSTM"] < 0.5 * min(errors["seasonal naive"], errors["last value"])


def test_a_category_of_the_future_that_was_never_seen_is_said(tmp_path):
    table = shops(60, 2)
    known, ahead = table[table["ds"] < "2024-02-25"], table[table["ds"] >= "2024-02-25"]
    model = Forecaster(5, season_length=7, backtest=False, **SMALL).fit(known, futr_exog_list=["sky"])
    ahead = ahead.assign(sky=["hail", *ahead["sky"][1:]])
    said = 'column "sky" holds categories that were not there when fitted: "hail"; taken as unknown'
    with pytest.warns(UserWarning, match=said):
        usual = model.predict(X_df=ahead)
    ahead.to_csv(tmp_path / "ahead.csv", index=False)
    read = read_table(tmp_path / "ahead.csv", known=model.panel_.covariates.of("future"))
    made = model.forecast(X_df=read.future(model.panel_, 5))
    assert made.notes == (said,)
    np.testing.assert_array_equal(made.values.ravel(), usual["LSTM"])
    assert read.panel(like=model.panel_).notes[-1] == said
