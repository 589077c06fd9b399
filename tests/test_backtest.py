"""Backtest, intervals and verdict: nothing sees past its cutoff, and what is said follows from the errors."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from karusel.errors import DataError, UsageError
from karusel.forecasting import windows
from karusel.forecasting.backtest import NETWORK, Backtest, run_backtest
from karusel.forecasting.correction import Correction, NetworkSettings, fit_correction
from karusel.forecasting.intervals import calibrate, check_levels, reached_coverage
from karusel.forecasting.model import Model, fit_model
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.scaling import Scaling, choose_scaling, rows_needed, window_shape
from karusel.forecasting.verdict import judge

SMALL = NetworkSettings(
    hidden_size=8, num_layers=1, learning_rate=0.01, batch_size=32, n_members=1, random_state=0, n_jobs=1
)
HORIZON, SEASON = 3, 6


def seasonal_panel(seed: int = 0, rows: int = 75) -> Panel:
    random = np.random.default_rng(seed)
    t = np.arange(rows)
    one = 50 + 0.3 * t + 8 * np.sin(2 * np.pi * t / SEASON) + random.normal(size=rows)
    two = 500 - t + 20 * np.cos(2 * np.pi * t / SEASON) + 4 * random.normal(size=rows)
    return from_columns(np.concatenate([one, two]), ids=["one"] * rows + ["two"] * rows)


def fit_small(panel: Panel) -> Model:
    return fit_model(panel, HORIZON, SEASON, None, SMALL)


def backtest(panel: Panel) -> Backtest:
    done = run_backtest(panel, HORIZON, SEASON, fit_small, lambda stage: None)
    assert done is not None
    return done


# What is known of the future


@pytest.mark.parametrize("cutoff", [0, 9, 23])
def test_the_future_of_a_cutoff_changes_no_forecast_made_at_or_before_it(cutoff):
    panel = seasonal_panel()
    rows = int(panel.lengths[0])
    usual = backtest(panel)
    assert usual.cutoffs == 24
    known = rows - HORIZON - usual.cutoffs + cutoff + 1  # rows of a series up to and with the cutoff
    for future in (-1e6, 0.0, 3.0):
        values = panel.values.copy()
        for offset in panel.offsets[:-1]:
            values[offset + known : offset + rows] = future * np.arange(1, rows - known + 1)
        changed = backtest(from_columns(values, ids=[name for name in panel.ids for _ in range(rows)]))
        for method in usual.forecasts:
            np.testing.assert_array_equal(
                changed.forecasts[method][: cutoff + 1], usual.forecasts[method][: cutoff + 1], err_msg=method
            )
        if cutoff < usual.cutoffs - 1:
            assert not np.array_equal(changed.forecasts[NETWORK][-1], usual.forecasts[NETWORK][-1])


def test_cutoffs_roll_step_by_step_to_one_horizon_before_the_end():
    panel = seasonal_panel()
    done = backtest(panel)
    for number in range(2):
        series = panel.series(number)
        for back in (0, 5, done.cutoffs - 1):
            at = len(series) - HORIZON - back
            np.testing.assert_array_equal(
                done.truth[done.cutoffs - 1 - back, number], series[at : at + HORIZON]
            )
            assert done.last[done.cutoffs - 1 - back, number] == series[at - 1]
            np.testing.assert_array_equal(
                done.forecasts["seasonal naive"][done.cutoffs - 1 - back, number],
                series[at - SEASON : at - SEASON + HORIZON],
            )
            assert done.forecasts["mean"][done.cutoffs - 1 - back, number, 0] == pytest.approx(
                series[:at].mean()
            )


def test_a_panel_without_its_last_rows_is_the_panel_of_the_rows_before():
    panel = seasonal_panel()
    short = panel.without_last(5)
    np.testing.assert_array_equal(short.series(1), panel.series(1)[:-5])
    np.testing.assert_array_equal(short.series_times(0), panel.series_times(0)[:-5])
    assert short.offsets[-1] == len(short.values)


def test_too_few_rows_give_no_backtest():
    rows = rows_needed(HORIZON) + HORIZON
    panel = from_columns(np.arange(float(rows)))
    assert run_backtest(panel, HORIZON, SEASON, fit_small, lambda stage: None) is None


def test_the_table_ranks_by_scaled_error():
    done = backtest(seasonal_panel())
    table = done.table()
    assert [row["MASE"] for row in table.values()] == sorted(row["MASE"] for row in table.values())
    assert set(table) == set(done.forecasts)
    assert list(table)[-1] in ("mean", "last value", "drift")  # none of them knows the season
    before = seasonal_panel().series(0)[: 75 - HORIZON - done.cutoffs + 1]
    assert done.scales[0] == pytest.approx(np.mean(np.abs(before[SEASON:] - before[:-SEASON])))


# Scaling inside the window


def curved(rows: int = 60) -> np.ndarray:
    t = np.arange(rows)
    return 20 + 0.5 * t + 3 * np.sin(2 * np.pi * t / 4)


@pytest.mark.parametrize("smoothing", [1.0, 0.3])
def test_the_anchor_continues_a_line_with_a_season_exactly(smoothing):
    y = curved()
    scaling = Scaling(length=12, seen=8, season_length=4, smoothing=smoothing, trend=1.0)
    scaled = scaling.apply(y[None, 20:32], 9)
    np.testing.assert_allclose(scaled.anchor[0], y[32:41], rtol=1e-12)


def test_the_anchor_on_logarithms_continues_growth_in_percent():
    y = 100 * 1.03 ** np.arange(40)
    scaling = Scaling(length=8, seen=8, season_length=1, log=True, trend=1.0, span=7)
    np.testing.assert_allclose(scaling.invert(scaling.apply(y[None, :8], 30).anchor)[0], y[8:38], rtol=1e-9)


def test_scaled_windows_do_not_depend_on_level_and_size():
    y = np.random.default_rng(2).normal(size=(3, 12)).cumsum(1)
    scaling = Scaling(length=12, seen=8, season_length=4, smoothing=0.5, trend=1.0)
    plain, moved = scaling.apply(y, 5), scaling.apply(1000 + 40 * y, 5)
    np.testing.assert_allclose(moved.features, plain.features, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(moved.anchor, 1000 + 40 * plain.anchor)
    np.testing.assert_allclose(moved.size, 40 * plain.size)
    assert plain.features.shape == (3, 8, 2)


@pytest.mark.parametrize("level", [0.0, 5.0, -3e8])
def test_a_constant_window_is_continued(level):
    scaling = Scaling(length=6, seen=6, season_length=1, trend=1.0, span=3)
    scaled = scaling.apply(np.full((1, 6), level), 4)
    np.testing.assert_array_equal(scaled.anchor, level)
    assert np.all(scaled.size > 0)
    assert np.all(scaled.features == 0)


def test_the_scaling_follows_the_data():
    t = np.arange(90)
    growing = from_columns(np.exp(0.03 * t) * (10 + 3 * np.sin(2 * np.pi * t / 4)))
    level = from_columns(10 + np.random.default_rng(3).normal(size=90))
    shape = window_shape(90, 4, 4, None)
    for panel, wanted in ((growing, (True, 1.0)), (level, (None, 0.0))):
        cutoffs = windows.training_cutoffs(panel, shape[0], 4)
        inputs = windows.inputs(panel.values, cutoffs, shape[0])
        chosen = choose_scaling(inputs, windows.targets(panel.values, cutoffs, 4), shape)
        assert chosen.trend == wanted[1]
        assert wanted[0] in (None, chosen.log)


def test_a_season_is_used_only_where_the_rows_bear_it_out():
    assert window_shape(144, 12, 12, None) == (36, 16, 12)
    assert window_shape(62, 12, 12, None) == (24, 16, 12)
    assert window_shape(59, 12, 12, None)[2] == 1
    assert window_shape(144, 12, 12, 6) == (36, 6, 12)
    length, seen, season = window_shape(rows_needed(12), 12, 12, None)
    assert (length, seen, season) == (4, 4, 1)


def test_a_series_that_is_too_short_is_refused_with_the_rows_needed():
    panel = from_columns(np.arange(40.0), ids=["long"] * 30 + ["short"] * 10)
    with pytest.raises(DataError, match=r'series "short" has 10 rows, but a horizon of 3 needs at least 14'):
        fit_small(panel)


# The network's correction


def fit_to(sign_held_out: float, earlier: int = 60) -> Correction:
    """Windows whose last input is the correction wanted, times a sign for the held-out ones."""
    features = np.random.default_rng(8).normal(size=(90, 4, 2))
    wanted = features[:, -1, :1] * [1.0, 0.5]
    held_out = np.arange(90) >= 66
    truth = sign_held_out * wanted[held_out]
    return fit_correction(
        features,
        np.where(held_out[:, None], sign_held_out, 1.0) * wanted,
        held_out,
        np.arange(90) < earlier,
        lambda corrected: float(np.mean(np.abs(corrected - truth))),
        SMALL,
    )


def test_a_correction_that_proves_itself_on_held_out_windows_is_used_whole():
    assert fit_to(1.0).share >= 0.9


def test_a_correction_that_harms_held_out_windows_is_not_used():
    assert fit_to(-1.0).share == 0.0


def test_a_correction_that_could_not_be_tested_is_used_with_care():
    assert fit_to(1.0, earlier=3).share == 0.25


def test_without_a_share_the_model_is_the_smoothing_alone():
    panel = seasonal_panel()
    model = fit_small(panel)
    cutoffs = windows.Cutoffs(panel, windows.last_cutoffs(panel))
    silent = replace(model, correction=replace(model.correction, share=0.0))
    smoothed = model.predict_without_network(cutoffs).values
    np.testing.assert_array_equal(silent.predict(cutoffs).values, smoothed)
    assert not np.array_equal(model.predict(cutoffs).values, smoothed)


# Intervals


def test_calibration_by_hand():
    scores = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 5.0]])
    known = calibrate(scores)
    np.testing.assert_allclose(known.widths, [2, 3])
    # ratios, ascending: 1/3, 1/2, 1, 1, 3/2, 5/3; rank ceil(7 * 0.5) = 4 is 1, ceil(7 * 0.8) = 6 is 5/3
    np.testing.assert_allclose(known.half_width(50), [2, 3])
    np.testing.assert_allclose(known.half_width(80), [10 / 3, 5])
    np.testing.assert_allclose(known.half_width(99), [10 / 3, 5])


def test_widths_never_shrink_with_the_horizon():
    scores = np.abs(np.random.default_rng(0).normal(size=(30, 6))) * [3, 1, 2, 1, 4, 2]
    half = calibrate(scores).half_width(80)
    assert np.all(np.diff(half) >= 0)


def test_a_truth_that_no_width_reaches_counts_as_a_miss():
    scores = np.ones((20, 2))
    scores[3, 1] = np.inf
    known = calibrate(scores)
    np.testing.assert_array_equal(known.half_width(80), [1, 1])
    assert np.all(np.isinf(known.half_width(99)))


def test_coverage_is_near_the_promise_on_independent_errors():
    scores = np.abs(np.random.default_rng(1).normal(size=(1500, 3))) * [1, 2, 4]
    reached, count = reached_coverage(scores, (80.0, 95.0))
    assert count == (1500 - 10) * 3
    assert reached[80.0] == pytest.approx(0.80, abs=0.02)
    assert reached[95.0] == pytest.approx(0.95, abs=0.01)


def test_coverage_is_tested_on_cutoffs_that_took_no_part():
    scores = np.ones((14, 2))
    scores[12:] = 9.0  # unknown to every calibration that is tested
    reached, count = reached_coverage(scores, (99.0,), least=8)
    assert count == 5 * 2  # cutoffs 9 to 13: eight whole targets are known from the ninth on
    assert reached == {99.0: pytest.approx(3 / 5)}
    assert reached_coverage(scores[:9], (80.0,), least=8) == ({}, 0)


def test_levels_are_percentages():
    assert check_levels([95, 80, 95]) == (80, 95)
    with pytest.raises(UsageError, match=r"level is 0.95|level is 100"):
        check_levels([100])
    with pytest.raises(UsageError, match="level is 0"):
        check_levels([0])


# Verdict


def made(network: float, last: float, linear: float, cutoffs: int = 20) -> Backtest:
    """A backtest whose methods err by the given amounts, each a little differently at every cutoff."""
    wobble = 1 + 0.1 * np.cos(np.arange(cutoffs))[:, None, None]
    truth = np.zeros((cutoffs, 1, 2))
    forecasts = {NETWORK: truth + network, "last value": truth + last, "linear on lags": truth + linear}
    forecasts = {name: forecast * wobble for name, forecast in forecasts.items()}
    return Backtest(truth, forecasts, np.full((cutoffs, 1), last), truth, np.array([1.0]), 3)


@pytest.mark.parametrize(
    ("errors", "outcome", "best", "words"),
    [
        ((1.0, 3.0, 2.0), "network", "linear on lags", "worth using here: over 20 past cutoffs .* 50 % less"),
        (
            (3.0, 2.0, 4.0),
            "simple",
            "last value",
            "A simple method wins here: .* 50 % more .* use last value",
        ),
        ((2.0, 2.02, 4.0), "level", "last value", "No clear winner"),
        ((3.0, 2.02, 2.0), "simple", "last value", "use last value"),
        ((3.0, 2.1, 2.0), "simple", "linear on lags", "use linear on lags"),
    ],
)
def test_the_verdict_follows_the_errors(errors, outcome, best, words):
    verdict = judge(made(*errors))
    assert (verdict.outcome, verdict.best_simple) == (outcome, best)
    assert verdict.skill == pytest.approx(1 - errors[0] / {"last value": errors[1]}.get(best, errors[2]))
    assert re.search(words, verdict.sentence)
    assert verdict.sentence.endswith(".")
    assert verdict.sentence.count(". ") == 0


def test_a_win_on_few_cutoffs_is_no_clear_win():
    truth = np.zeros((20, 1, 1))
    network, last = truth + 1.1, truth + 1.0
    network[:6] = 0.2  # six large wins make the mean smaller
    done = Backtest(truth, {NETWORK: network, "last value": last}, truth[..., 0], truth, np.array([1.0]), 3)
    verdict = judge(done)
    assert verdict.skill > 0.05
    assert verdict.outcome == "level"


@pytest.mark.parametrize(("share", "fires"), [(0.0, True), (0.2, True), (0.9, False)])
def test_the_lag_copy_test(share, fires):
    """Forecasts that move a share of the way from the last value, in no better direction than chance."""
    random = np.random.default_rng(7)
    last = random.normal(size=(200, 1)).cumsum(0)
    truth = last[..., None] + random.normal(size=(200, 1, 1))
    forecast = last[..., None] + share * random.normal(size=(200, 1, 1))
    copies = Backtest(
        truth, {NETWORK: forecast, "last value": last[..., None]}, last, truth, np.array([1.0]), 3
    )
    assert judge(copies).lag_copy is fires
    assert ("only repeat the last value" in judge(copies).sentence) is fires


def test_a_forecast_that_follows_the_truth_is_no_lag_copy():
    last = np.arange(30.0)[:, None]
    truth = last[..., None] + 1
    follows = Backtest(
        truth, {NETWORK: truth - 0.1, "last value": last[..., None]}, last, truth, np.ones(1), 3
    )
    assert not judge(follows).lag_copy


def test_perfect_simple_methods_do_not_divide_by_zero():
    verdict = judge(made(0.0, 0.0, 0.0))
    assert (verdict.outcome, verdict.skill) == ("level", 0.0)
    assert judge(made(1.0, 0.0, 0.0)).outcome == "simple"
