"""Each metric against one number worked by hand, and against the definition written as a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from karusel.errors import DataError, UsageError
from karusel.forecasting import metrics

TRUTH, FORECAST = [1.0, 2.0, 4.0], [2.0, 2.0, 1.0]
PAIRS = st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("value", "by_hand"),
    [
        (metrics.mae(TRUTH, FORECAST), 4 / 3),
        (metrics.rmse(TRUTH, FORECAST), math.sqrt(10 / 3)),
        (metrics.smape(TRUTH, FORECAST), 200 * (1 / 3 + 0 + 3 / 5) / 3),
        (metrics.naive_scale([1, 2, 4, 4], 2), 2.5),  # |4 - 1| and |4 - 2|
        (metrics.mase(TRUTH, FORECAST, [1, 2, 4, 4], 2), 4 / 3 / 2.5),
        (metrics.mase(TRUTH, FORECAST, [1, 2, 4, 8]), 4 / 3 / (7 / 3)),
        # errors 1 and -2 at quantile .9: losses .9 and .2; at .5: .5 and 1; |y| sums to 5
        (
            metrics.weighted_quantile_loss([2.0, 3.0], [[1.0, 1.0], [5.0, 5.0]], [0.9, 0.5]),
            (2 * 1.1 / 5 + 2 * 1.5 / 5) / 2,
        ),
        # 1 and 2 lie on an end, 3 below, 4 above, 5 inside
        (metrics.coverage([1, 2, 3, 4, 5], [0, 2, 4, 0, 1], [1, 3, 5, 3, 9]), 0.6),
    ],
)
def test_a_number_worked_by_hand(value, by_hand):
    assert value == pytest.approx(by_hand, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_means_agree_with_loops(pairs):
    truth, forecast = map(list, zip(*pairs, strict=True))
    count = len(pairs)
    assert metrics.mae(truth, forecast) == pytest.approx(sum(abs(y - f) for y, f in pairs) / count)
    assert metrics.rmse(truth, forecast) == pytest.approx(
        math.sqrt(sum((y - f) ** 2 for y, f in pairs) / count)
    )
    terms = [200 * abs(y - f) / (abs(y) + abs(f)) if abs(y) + abs(f) > 0 else 0 for y, f in pairs]
    assert metrics.smape(truth, forecast) == pytest.approx(sum(terms) / count)
    assert 0 <= metrics.smape(truth, forecast) <= 200 * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.floats(0.01, 0.99))
@example([(2.2250738585072014e-308, 4.0)], 0.5)  # the ratio is beyond float64: infinite, not a warning
def test_quantile_loss_agrees_with_a_loop(pairs, quantile):
    truth, forecast = (np.array(part) for part in zip(*pairs, strict=True))
    total = float(sum(abs(y) for y in truth))
    value = metrics.weighted_quantile_loss(truth, forecast[:, None], [quantile])
    if total == 0:
        assert math.isnan(value)
    else:
        losses = [quantile * (y - f) if y >= f else (1 - quantile) * (f - y) for y, f in pairs]
        assert value == pytest.approx(2 * sum(losses) / total, rel=1e-9, abs=1e-9)


def test_the_median_quantile_loss_is_the_absolute_error():
    value = metrics.weighted_quantile_loss(TRUTH, np.array(FORECAST)[:, None], [0.5])
    assert value == pytest.approx(metrics.mae(TRUTH, FORECAST) / np.mean(TRUTH))


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_missing_truth_is_left_out(pairs, missing):
    truth, forecast = (np.array(part) for part in zip(*pairs, strict=True))
    kept = ~np.array(missing[: truth.size])
    gaps = np.where(kept, truth, np.nan)
    bounds = (np.minimum(truth, forecast) - 1, forecast)
    measures = {
        "mae": lambda y, rows: metrics.mae(y[rows], forecast[rows]),
        "rmse": lambda y, rows: metrics.rmse(y[rows], forecast[rows]),
        "smape": lambda y, rows: metrics.smape(y[rows], forecast[rows]),
        "wql": lambda y, rows: metrics.weighted_quantile_loss(y[rows], forecast[rows][:, None], [0.3]),
        "coverage": lambda y, rows: metrics.coverage(y[rows], bounds[0][rows], bounds[1][rows]),
    }
    for name, measure in measures.items():
        got = measure(gaps, slice(None))
        if kept.any():
            np.testing.assert_allclose(got, measure(truth, kept), err_msg=name)
        else:
            assert math.isnan(got)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_numbers_of_any_kind_are_computed_with_in_float64(kind):
    truth, forecast = np.array([3, 200, 7], kind), np.array([[5], [90], [250]], kind)
    for measure in (metrics.mae, metrics.rmse, metrics.smape):
        assert measure(truth, forecast[:, 0]) == measure(truth.tolist(), forecast[:, 0].tolist())
    for season_length in (1, 2):
        by_hand = {1: (197 + 193) / 2, 2: 4}[season_length]
        assert metrics.naive_scale(truth, season_length) == by_hand
    losses = 0.1 * 110 + 0.9 * (2 + 243)
    assert metrics.weighted_quantile_loss(truth, forecast, [0.1]) == pytest.approx(2 * losses / 210)


def test_a_missing_forecast_is_not_left_out():
    assert math.isnan(metrics.mae([1.0, 2.0], [1.0, np.nan]))


def test_a_scale_is_taken_over_known_pairs():
    assert metrics.naive_scale([1, np.nan, 4, 4, 2], 2) == 2.5  # |4 - 1| and |2 - 4|
    assert math.isnan(metrics.naive_scale([1.0, np.nan, 3.0, np.nan], 1))


def test_an_unknown_scale_is_no_number():
    assert math.isnan(metrics.mase(TRUTH, FORECAST, [5.0, 5.0, 5.0]))
    assert math.isnan(metrics.naive_scale([1.0, 2.0], 2))


def test_bad_arguments_are_refused():
    with pytest.raises(DataError, match=r"shape \(3,\) and forecast \(2,\)"):
        metrics.mae(TRUTH, [1.0, 2.0])
    with pytest.raises(DataError, match="empty"):
        metrics.rmse([], [])
    with pytest.raises(UsageError, match="season_length must be a whole number from 1 up, got 0"):
        metrics.naive_scale(TRUTH, 0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        metrics.weighted_quantile_loss(TRUTH, np.ones((3, 1)), [80])
    with pytest.raises(DataError, match=r"must have \(3, 2\)"):
        metrics.weighted_quantile_loss(TRUTH, np.ones((3, 1)), [0.1, 0.9])
