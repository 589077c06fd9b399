"""Simple methods: hand-worked numbers, exact continuation of what each can represent."""

from __future__ import annotations

import numpy as np
import pytest

from karusel.forecasting import baselines
from karusel.forecasting.panel import from_columns

VALUES = np.array([1.0, 2, 4, 8, 10, 20, 40, 30])  # two series of four
STARTS, CUTOFFS = np.array([0, 4]), np.array([3, 6])


def test_last_value_by_hand():
    np.testing.assert_array_equal(baselines.last_value(VALUES, CUTOFFS, 2), [[8, 8], [40, 40]])


def test_mean_by_hand():
    forecast = baselines.mean(VALUES, STARTS, CUTOFFS, 2)
    np.testing.assert_allclose(forecast, [[15 / 4, 15 / 4], [70 / 3, 70 / 3]])


def test_seasonal_naive_by_hand():
    forecast = baselines.seasonal_naive(VALUES, STARTS, CUTOFFS, 4, 3)
    np.testing.assert_array_equal(forecast, [[2, 4, 8, 2], [10, 20, 40, 10]])


def test_seasonal_naive_repeats_the_last_value_before_a_season_is_known():
    forecast = baselines.seasonal_naive(VALUES, STARTS, np.array([1, 6]), 2, 3)
    np.testing.assert_array_equal(forecast, [[2, 2], [10, 20]])


def test_drift_by_hand():
    forecast = baselines.drift(VALUES, STARTS, CUTOFFS, 2)
    np.testing.assert_allclose(forecast, [[8 + 7 / 3, 8 + 14 / 3], [40 + 15, 40 + 30]])


def test_drift_from_a_single_value_stays():
    np.testing.assert_array_equal(baselines.drift(VALUES, STARTS, STARTS, 2), [[1, 1], [10, 10]])


def test_linear_on_lags_continues_a_wave_with_trend_exactly():
    t = np.arange(80)
    y = 3 + 0.5 * t + 2 * np.sin(2 * np.pi * t / 12)
    model = baselines.LinearOnLags.fit(from_columns(y[:60]), 8, 14)
    np.testing.assert_allclose(model.predict(y, np.array([59]))[0], y[60:68], atol=1e-3)


def test_linear_on_lags_forecasts_independent_of_level_and_size():
    y = np.random.default_rng(4).normal(size=90).cumsum()
    model = baselines.LinearOnLags.fit(from_columns(y), 3, 5)
    moved = model.predict(100 + 7 * y, np.array([50, 60]))
    np.testing.assert_allclose(moved, 100 + 7 * model.predict(y, np.array([50, 60])))


def test_linear_on_lags_shrinks_where_there_is_nothing_to_learn():
    y = np.random.default_rng(5).normal(size=60)
    model = baselines.LinearOnLags.fit(from_columns(y), 2, 13)
    free = np.linalg.lstsq(
        *_problem(y, 13, 2),
        rcond=None,
    )[0]
    assert np.abs(model.weights[:-1]).sum() < 0.8 * np.abs(free[:-1]).sum()


def _problem(y: np.ndarray, lags: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    rows, wanted = [], []
    for cutoff in range(lags - 1, len(y) - horizon):
        window = y[cutoff - lags + 1 : cutoff + 1]
        size = np.abs(np.diff(window)).mean()
        rows.append([*((window - window[-1]) / size), 1.0])
        wanted.append((y[cutoff + 1 : cutoff + 1 + horizon] - window[-1]) / size)
    return np.array(rows), np.array(wanted)


@pytest.mark.parametrize("method", ["last_value", "mean", "seasonal_naive", "drift", "linear"])
def test_no_method_reads_past_its_cutoff(method):
    y = np.random.default_rng(6).normal(size=60).cumsum()
    changed = y.copy()
    changed[41:] = 1e6
    cutoffs, starts = np.array([40]), np.array([0])
    fitted = baselines.LinearOnLags.fit(from_columns(y[:41]), 3, 4)
    run = {
        "last_value": lambda v: baselines.last_value(v, cutoffs, 3),
        "mean": lambda v: baselines.mean(v, starts, cutoffs, 3),
        "seasonal_naive": lambda v: baselines.seasonal_naive(v, starts, cutoffs, 3, 7),
        "drift": lambda v: baselines.drift(v, starts, cutoffs, 3),
        "linear": lambda v: fitted.predict(v, cutoffs),
    }[method]
    np.testing.assert_array_equal(run(y), run(changed))
