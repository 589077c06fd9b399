"""Simple methods: hand-worked numbers, exact continuation of what each can represent, gaps passed over."""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel.forecasting import baselines
from karusel.forecasting.baselines import Baseline, Drift, LastValue, LinearOnLags, Mean, SeasonalNaive
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.windows import Cutoffs

NAN = np.nan
needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("statsforecast") is None, reason="the extra `baselines` is not installed"
)


def panel_of(*series: list[float] | np.ndarray) -> Panel:
    """A panel with exactly these rows, missing ones at the ends included."""
    lengths = [len(one) for one in series]
    panel = from_columns(np.ones(sum(lengths)), ids=np.repeat(np.arange(len(series)), lengths))
    return replace(panel, values=np.concatenate([np.asarray(one, np.float64) for one in series]))


def forecast(method: Baseline, panel: Panel, *cutoffs: int) -> np.ndarray:
    """Forecasts from flat positions, after a fit to the whole panel."""
    return method.fit(panel).forecast(Cutoffs(panel, np.array(cutoffs)))


TWO = panel_of([1, 2, 4, 8], [10, 20, 40, 30])
GAPS = panel_of([NAN, 3, NAN, 5, NAN, NAN], [7, NAN, 9, NAN, NAN, 4])


def test_last_value_by_hand():
    np.testing.assert_array_equal(forecast(LastValue(2), TWO, 3, 6), [[8, 8], [40, 40]])


def test_mean_by_hand():
    np.testing.assert_allclose(forecast(Mean(2), TWO, 3, 6), [[15 / 4, 15 / 4], [70 / 3, 70 / 3]])


def test_the_mean_is_that_of_each_cutoffs_own_series():
    three = panel_of([100, 200], [1, 2], [7, 9])
    np.testing.assert_array_equal(forecast(Mean(1), three, 5, 2, 3), [[8], [1], [1.5]])


def test_seasonal_naive_by_hand():
    np.testing.assert_array_equal(forecast(SeasonalNaive(4, 3), TWO, 3, 6), [[2, 4, 8, 2], [10, 20, 40, 10]])


def test_seasonal_naive_repeats_the_last_value_before_a_season_is_known():
    np.testing.assert_array_equal(forecast(SeasonalNaive(2, 3), TWO, 1, 6), [[2, 2], [10, 20]])


def test_drift_by_hand():
    np.testing.assert_allclose(forecast(Drift(2), TWO, 3, 6), [[8 + 7 / 3, 8 + 14 / 3], [40 + 15, 40 + 30]])


def test_drift_from_a_single_value_stays():
    np.testing.assert_array_equal(forecast(Drift(2), TWO, 0, 4), [[1, 1], [10, 10]])


# What is missing


def test_the_last_known_value_is_repeated():
    np.testing.assert_array_equal(
        forecast(LastValue(2), GAPS, 0, 2, 5, 10), [[NAN, NAN], [3, 3], [5, 5], [9, 9]]
    )


def test_the_mean_is_that_of_the_known_values():
    np.testing.assert_array_equal(forecast(Mean(1), GAPS, 10, 0, 5, 11), [[8], [NAN], [4], [20 / 3]])


def test_each_phase_takes_its_last_known_value():
    # phases of 3 in the second series: 7, -, 9, -, -, 4: 7 and 4 are known, nothing of phase 1
    np.testing.assert_array_equal(forecast(SeasonalNaive(4, 3), GAPS, 11), [[7, 4, 4, 7]])
    np.testing.assert_array_equal(forecast(SeasonalNaive(3, 3), GAPS, 10), [[9, 7, 9]])


def test_drift_goes_through_the_first_and_the_last_known_value():
    # 3 at row 1 and 5 at row 3: one a row, so 8 and 9 after row 5; 7 at row 0 and 9 at row 2
    np.testing.assert_array_equal(forecast(Drift(2), GAPS, 5, 10), [[8, 9], [12, 13]])
    assert np.isnan(forecast(Drift(2), GAPS, 0)).all()


def test_the_linear_model_leaves_out_windows_with_gaps_and_reads_them_as_the_last_known_value():
    y = np.random.default_rng(3).normal(size=70).cumsum()
    gaps = y.copy()
    gaps[[20, 21, 40]] = NAN
    method = LinearOnLags(2, lags=4)
    by_hand = _ridge_by_hand([gaps], 4, 2)
    np.testing.assert_allclose(method.fit(panel_of(gaps)).weights, by_hand, rtol=1e-6, atol=1e-9)
    steps = np.abs(
        np.diff([gaps[39], gaps[41], gaps[42]])
    )  # of the window 39, -, 41, 42 only 41 to 42 is known
    window = np.array([gaps[39], gaps[39], gaps[41], gaps[42]])
    size = steps[1]
    wanted = window[-1] + size * (((window - window[-1]) / size) @ by_hand[:-1] + by_hand[-1])
    np.testing.assert_allclose(forecast(method, panel_of(gaps), 42)[0], wanted, rtol=1e-6)


def test_the_linear_model_without_a_whole_window_is_the_last_value():
    panel = panel_of(np.where(np.arange(60) % 3 == 0, NAN, np.arange(60.0)))
    np.testing.assert_array_equal(forecast(LinearOnLags(2), panel, 59), [[59, 59]])


FEW = st.lists(
    st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=14), min_size=1, max_size=4
)


@settings(max_examples=80, deadline=None)
@given(FEW, st.integers(1, 5), st.integers(1, 4), st.randoms(use_true_random=False))
def test_whatever_is_missing_methods_agree_with_their_definition(series, horizon, season, random):
    rows = [np.array([NAN if y is None else float(y) for y in one]) for one in series]
    panel = panel_of(*rows)
    numbers = [random.randrange(len(rows)) for _ in range(6)]
    ends = [random.randrange(len(rows[number])) for number in numbers]
    at = [int(panel.offsets[number]) + end for number, end in zip(numbers, ends, strict=True)]
    for method, define in DEFINED.items():
        made = forecast(method(horizon, season), panel, *at)
        for row, (number, end) in enumerate(zip(numbers, ends, strict=True)):
            seen = list(rows[number][: end + 1])
            np.testing.assert_allclose(
                made[row], [define(seen, k, season) for k in range(horizon)], err_msg=method.name
            )


def _last(seen: list[float], k: int, season: int) -> float:
    return next((y for y in reversed(seen) if y == y), NAN)


def _mean(seen: list[float], k: int, season: int) -> float:
    known = [y for y in seen if y == y]
    return sum(known) / len(known) if known else NAN


def _seasonal(seen: list[float], k: int, season: int) -> float:
    phase = (len(seen) + k) % season
    known = [y for t, y in enumerate(seen) if t % season == phase and y == y]
    return known[-1] if known and len(seen) >= season else _last(seen, k, season)


def _drift(seen: list[float], k: int, season: int) -> float:
    known = [(t, y) for t, y in enumerate(seen) if y == y]
    if not known:
        return NAN
    (first, start), (last, end) = known[0], known[-1]
    return end + (end - start) / max(last - first, 1) * (len(seen) + k - last)


DEFINED = {LastValue: _last, Mean: _mean, SeasonalNaive: _seasonal, Drift: _drift}


# The linear model


def test_linear_on_lags_continues_a_wave_with_trend_exactly():
    t = np.arange(80)
    y = 3 + 0.5 * t + 2 * np.sin(2 * np.pi * t / 12)
    model = LinearOnLags(8, lags=14).fit(from_columns(y[:60]))
    made = model.forecast(Cutoffs(from_columns(y), np.array([59])))
    np.testing.assert_allclose(made[0], y[60:68], atol=1e-3)


def test_linear_on_lags_forecasts_independent_of_level_and_size():
    y = np.random.default_rng(4).normal(size=90).cumsum()
    model = LinearOnLags(3, lags=5).fit(from_columns(y))
    at = np.array([50, 60])
    moved = model.forecast(Cutoffs(from_columns(100 + 7 * y), at))
    np.testing.assert_allclose(moved, 100 + 7 * model.forecast(Cutoffs(from_columns(y), at)))


def test_linear_on_lags_shrinks_where_there_is_nothing_to_learn():
    y = np.random.default_rng(5).normal(size=60)
    model = LinearOnLags(2, lags=13).fit(from_columns(y))
    free = np.linalg.lstsq(*_problem([y], 13, 2), rcond=None)[0]
    assert model.weights is not None
    assert np.abs(model.weights[:-1]).sum() < 0.8 * np.abs(free[:-1]).sum()


def test_linear_on_lags_is_the_ridge_regression_of_all_series_together():
    random = np.random.default_rng(6)
    series = [random.normal(size=rows).cumsum() for rows in (50, 9, 31)]
    np.testing.assert_allclose(
        LinearOnLags(3, lags=5).fit(panel_of(*series)).weights, _ridge_by_hand(series, 5, 3), rtol=1e-6
    )


def test_of_many_series_the_latest_windows_are_fitted_on(monkeypatch):
    monkeypatch.setattr(baselines, "_MOST_WINDOWS", 20)
    random = np.random.default_rng(7)
    series = [random.normal(size=rows).cumsum() for rows in (50, 12)]
    latest = [
        series[0][-(10 + 5 + 3 - 1) :],
        series[1],
    ]  # ten windows of each, of which the second has but five
    np.testing.assert_array_equal(
        LinearOnLags(3, lags=5).fit(panel_of(*series)).weights,
        LinearOnLags(3, lags=5).fit(panel_of(*latest)).weights,
    )


def test_lags_follow_from_season_and_rows():
    for season, rows, lags in ((12, 100, 13), (1, 100, 8), (12, 26, 8), (12, 6, 2)):
        assert LinearOnLags(2, season).fit(panel_of(np.arange(float(rows)))).lags == lags


def _problem(series: list[np.ndarray], lags: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    rows, wanted = [], []
    for y in series:
        for cutoff in range(lags - 1, len(y) - horizon):
            window, target = y[cutoff - lags + 1 : cutoff + 1], y[cutoff + 1 : cutoff + 1 + horizon]
            if np.isnan(window).any() or np.isnan(target).any():
                continue
            size = np.abs(np.diff(window)).mean()
            rows.append([*((window - window[-1]) / size), 1.0])
            wanted.append((target - window[-1]) / size)
    return np.array(rows), np.array(wanted)


def _ridge_by_hand(series: list[np.ndarray], lags: int, horizon: int) -> np.ndarray:
    """The ridge solution with the least generalised cross-validation error, by solving with each penalty."""
    x, y = _problem(series, lags, horizon)
    x, n = x[:, :-1], len(x)
    middle, top = x.mean(0), y.mean(0)
    centred, gram = x - middle, (x - middle).T @ (x - middle)
    tried = []
    for share in np.logspace(-6, 2, 17):
        inverse = np.linalg.inv(gram + share * np.trace(gram) / lags * np.eye(lags))
        weights = inverse @ centred.T @ (y - top)
        error = np.sum((y - top - centred @ weights) ** 2)
        freedom = n - 1 - np.trace(centred @ inverse @ centred.T)
        tried.append((error / freedom**2, weights))
    weights = min(tried, key=lambda one: one[0])[1]
    return np.vstack([weights, top - middle @ weights])


# Leakage


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.sampled_from([1, 7])
)
def test_no_method_reads_past_its_cutoff(lengths, seed, season):
    random = np.random.default_rng(seed)
    rows = [random.normal(size=length).cumsum() for length in lengths]
    for one in rows:
        one[random.random(one.size) < 0.2] = NAN
    panel = panel_of(*rows)
    ends = np.array([random.integers(length) for length in lengths])
    at = panel.offsets[:-1] + ends
    values = panel.values.copy()
    for number, end in enumerate(at):
        later = slice(end + 1, panel.offsets[number + 1])
        values[later] = random.choice([NAN, -1e6, 0.0, 3.0], size=values[later].size)
    changed = replace(panel, values=values)
    for method in (kind(3, season) for kind in (*DEFINED, LinearOnLags)):
        fitted = method.fit(panel.without_last(panel.lengths - 1 - ends))
        np.testing.assert_array_equal(
            fitted.forecast(Cutoffs(panel, at)), fitted.forecast(Cutoffs(changed, at)), err_msg=method.name
        )


# The extra


@pytest.mark.parametrize("extra", [False, True])
def test_what_is_at_hand(extra, monkeypatch):
    monkeypatch.setattr(baselines, "has_extra", lambda: extra)
    names = [method.name for method in baselines.baselines(3, 7)]
    simple = ["last value", "mean", "seasonal naive", "drift", "linear on lags"]
    assert names == simple + (["AutoTheta", "AutoETS"] if extra else [])
    assert "seasonal naive" not in [method.name for method in baselines.baselines(3, 1)]


def test_the_longest_of_several_seasons_has_a_row_of_its_own():
    made = {method.name: method for method in baselines.baselines(4, 3, 6)}
    assert list(made)[:4] == ["last value", "mean", "seasonal naive", "longest season"]
    np.testing.assert_array_equal(
        forecast(made["seasonal naive"], TWO, 6), forecast(SeasonalNaive(4, 3), TWO, 6)
    )
    np.testing.assert_array_equal(
        forecast(made["longest season"], TWO, 6), forecast(SeasonalNaive(4, 6), TWO, 6)
    )
    assert "longest season" not in [method.name for method in baselines.baselines(4, 3, 3)]


class Pretended:
    """Stands where statsforecast's models do: repeats the last value, and fails for five of them."""

    def __init__(self, season_length: int) -> None:
        self.season_length = season_length

    def forecast(self, y: np.ndarray, h: int) -> dict[str, np.ndarray]:
        warnings.warn("nobody wants to know", UserWarning, stacklevel=1)
        if y.size == 5:
            raise ZeroDivisionError
        assert not np.isnan(y).any()
        return {"mean": np.repeat(y[-1] + self.season_length + y.size / 100, h)}


@pytest.mark.parametrize("kind", [baselines.AutoTheta, baselines.AutoETS])
def test_the_automatic_methods_are_given_whole_histories_and_may_fail(kind, monkeypatch):
    models = types.SimpleNamespace(**{kind.name: Pretended})
    monkeypatch.setitem(sys.modules, "statsforecast", types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "statsforecast.models", models)
    panel = panel_of([NAN, 3, NAN, 5, NAN, NAN], [7, NAN, 9, NAN, 4], [NAN] * 4, np.arange(600.0))
    made = forecast(kind(2, 7), panel, 5, 10, 14, 14 + 600, 9)
    # 5 values from the first known one on, 5, none, the last 500 of 600, 4 of which the last is 9
    wanted = [NAN, NAN, NAN, 599 + 7 + 5.0, 9 + 7 + 0.04]
    np.testing.assert_array_equal(made, np.repeat(np.array(wanted)[:, None], 2, axis=1))


@needs_extra
@pytest.mark.parametrize("kind", [baselines.AutoTheta, baselines.AutoETS])
def test_the_automatic_methods_follow_a_season_and_a_trend(kind):
    t = np.arange(60)
    y = 50 + 0.5 * t + 10 * np.sin(2 * np.pi * t / 6) + np.random.default_rng(8).normal(size=60)
    y[[10, 33]] = NAN
    made = forecast(kind(6, 6), panel_of(y), 59)[0]
    ahead = np.arange(60, 66)
    np.testing.assert_allclose(made, 50 + 0.5 * ahead + 10 * np.sin(2 * np.pi * ahead / 6), atol=4)


@needs_extra
@pytest.mark.parametrize("kind", [baselines.AutoTheta, baselines.AutoETS])
def test_the_automatic_methods_neither_warn_nor_read_past_the_cutoff(kind):
    random = np.random.default_rng(9)
    panel = panel_of(random.normal(size=40).cumsum(), [5.0] * 12, [1.0], [NAN] * 9)
    cutoffs = Cutoffs(panel, np.array([25, 51, 52, 61]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = kind(3, 4).forecast(cutoffs)
    assert np.isnan(made[3]).all()
    assert np.isfinite(made[0]).all()
    np.testing.assert_allclose(made[1], 5.0)
    values = panel.values.copy()
    values[26:40] = 1e6
    np.testing.assert_array_equal(
        kind(3, 4).forecast(Cutoffs(replace(panel, values=values), cutoffs.at)), made
    )
