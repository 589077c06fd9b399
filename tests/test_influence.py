"""Influence: linear models whose answer is known, and the real ones against values changed by hand."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from compare import assert_close
from karusel import Forecaster
from karusel.forecasting.fitting import Fitted
from karusel.forecasting.influence import influence
from karusel.forecasting.panel import from_columns
from karusel.forecasting.prediction import Support, Units
from karusel.forecasting.windows import Cutoffs, last_cutoffs
from linear import Linear


def same(got: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    assert_close({"influence": got}, {"influence": expected}, tolerance)


def panel_of(*series: np.ndarray):
    numbers = np.repeat(np.arange(len(series)), [len(one) for one in series])
    return from_columns(np.concatenate(series), None, None if len(series) == 1 else numbers)


def test_a_linear_models_influence_is_its_weights():
    random = np.random.default_rng(0)
    whole, networks = random.normal(size=(2, 7, 3))
    model = Fitted(Linear(whole, networks), None, Support(whole=True))  # what is rounded is not what is moved
    found = influence(model, panel_of(random.normal(size=12), 50 + random.normal(size=9)), 1)
    same(found.whole, whole.T)
    same(found.networks, networks.T)
    assert (found.rows, found.step) == (9, pytest.approx(2.0))
    same(found.shares, np.abs(whole).sum(1) / np.abs(whole).sum())
    same(found.shares_of_networks, np.abs(networks).sum(1) / np.abs(whole).sum())


def test_what_is_not_known_has_no_influence():
    whole = np.arange(1.0, 15.0).reshape(7, 2)
    model = Fitted(Linear(whole, 0 * whole), None, Support())
    found = influence(model, panel_of(np.array([4.0, 8, np.nan, 6, 2])), 0)
    same(found.whole[:, [2, 3, 5, 6]], whole.T[:, [2, 3, 5, 6]])
    assert not found.whole[:, [0, 1, 4]].any()


def test_logarithms_move_by_factors():
    weights = np.array([[0.2], [0.0], [0.8]])
    model = Fitted(Linear(weights, 0 * weights, Units(log=True), size=0.01), None, Support())
    values = np.array([30.0, 20.0, 10.0])
    found = influence(model, panel_of(values), 0)
    forecast = np.exp(np.log(values) @ weights)
    same(found.whole, (weights / values[:, None] * forecast).T, 1e-4)


def test_many_values_are_moved_together():
    random = np.random.default_rng(1)
    weights = random.normal(size=(250, 2))
    found = influence(Fitted(Linear(weights, weights), None, Support()), panel_of(random.normal(size=400)), 0)
    assert len(np.unique(found.whole[0])) == 100
    parts = np.array_split(weights, 100)
    same(found.whole, np.concatenate([np.tile(p.mean(0), (len(p), 1)) for p in parts]).T, 1e-9)


def season(rows: int, seed: int = 2) -> np.ndarray:
    t = np.arange(rows)
    return 50 + t / 4 + 9 * np.sin(np.pi * t / 3) + np.random.default_rng(seed).normal(size=rows)


@pytest.mark.parametrize("gap", [False, True])  # with one the model is the pooled one
def test_a_forecasters_influence_is_what_changed_values_show(gap):
    values = season(90)
    if gap:
        values[70:72] = np.nan
    forecaster = Forecaster(4, season_length=6, backtest=False, n_members=1, hidden_size=6, n_jobs=1).fit(
        values
    )
    assert forecaster.model_.pooled == gap
    found = influence(forecaster.model_, forecaster.panel_, 0)
    panel, model = forecaster.panel_, forecaster.model_.model
    units = model.predict(Cutoffs(panel, last_cutoffs(panel))).units
    size = float(model.predict_without_network(Cutoffs(panel, last_cutoffs(panel))).below[0, 0])
    for back in (0, 1, 5, 11):
        ends, moved = [], []
        for sign in (1, -1):
            changed = panel.values.copy()
            changed[-1 - back] = units.invert(units.transform(changed[-1 - back]) + sign * size)
            moved.append(changed[-1 - back])
            ends.append(model.predict(Cutoffs(replace(panel, values=changed), last_cutoffs(panel))).values[0])
        same(found.whole[:, -1 - back], (ends[0] - ends[1]) / (moved[0] - moved[1]), 1e-6)
    assert found.shares_of_networks.sum() > 0


def test_it_costs_little():
    forecaster = Forecaster(12, season_length=12, backtest=False, n_jobs=1).fit(season(144))
    began = time.process_time()
    influence(forecaster.model_, forecaster.panel_, 0)
    assert time.process_time() - began < 0.3


def test_with_covariates_of_the_future_it_is_about_the_last_forecast_that_can_be_made():
    t = np.arange(80)
    promotion = (t % 7 == 3) * 1.0
    frame = {"ds": t, "y": season(80) + 20 * promotion, "promotion": promotion}
    pandas = pytest.importorskip("pandas")
    forecaster = Forecaster(3, season_length=6, backtest=False, n_members=1, hidden_size=6, n_jobs=1)
    forecaster.fit(pandas.DataFrame(frame), futr_exog_list=["promotion"])
    found = influence(forecaster.model_, forecaster.panel_, 0)
    assert found.rows == 77
    assert np.isfinite(found.whole).all()
    assert 0.5 < found.whole.sum(1).mean() < 1.5  # the level goes on
