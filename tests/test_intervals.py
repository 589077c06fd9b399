"""Intervals and quantiles: calibrated by counting, on cutoffs that are known, one step apart or more."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel.errors import UsageError
from karusel.forecasting import intervals
from karusel.forecasting.intervals import (
    Calibration,
    calibrate,
    check_levels,
    check_quantiles,
    reached_coverage,
    rolling,
)
from karusel.forecasting.prediction import Prediction, Support, Units


def test_calibration_by_hand():
    scores = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 5.0]])
    known = calibrate(scores)
    np.testing.assert_allclose(known.widths, [2, 3])
    # ratios, ascending: 1/3, 1/2, 1, 1, 3/2, 5/3; rank ceil(7 * 0.5) = 4 is 1, ceil(7 * 0.8) = 6 is 5/3
    # 4 values are forecast, by errors that go together: 4 degrees of freedom, whose t over z follows
    assert known.freedom == 4
    for level, half, t, z in (
        (50, [2, 3], 0.7407, 0.6745),
        (80, [10 / 3, 5], 1.5332, 1.2816),
        (99, [10 / 3, 5], 4.6041, 2.5758),
    ):
        np.testing.assert_allclose(known.half_width(level), np.multiply(half, t / z), rtol=0.02)


def test_intervals_go_by_size_and_quantiles_by_sign():
    known = calibrate(np.array([[-1.0], [2.0], [-3.0], [6.0]]))  # w = 3; ratios -1, -1/3, 2/3, 2
    known = replace(known, freedom=np.inf)
    np.testing.assert_allclose(known.half_width(50), [3])  # the third of four sizes
    # ranks of (4 + 1) q: .3 to 1, .5 to 3, .7 to 4; the outermost ones beyond
    for quantile, score in ((0.1, -3), (0.3, -3), (0.4, -1), (0.5, 2), (0.6, 2), (0.7, 6), (0.9, 6)):
        np.testing.assert_allclose(known.quantile(quantile), [score], err_msg=str(quantile))


def test_quantiles_are_stretched_from_their_median():
    plain = Calibration(np.array([1.0]), np.array([[1.0, 2.0, 3.0, 4.0, 9.0]]), np.inf)
    few = replace(plain, freedom=4.0)
    for quantile, t, z in ((0.2, 0.9410, 0.8416), (0.5, 0, 1), (0.8, 0.9410, 0.8416)):
        wanted = 3 + (plain.quantile(quantile) - 3) * t / z
        np.testing.assert_allclose(few.quantile(quantile), wanted, rtol=0.005)


@pytest.mark.parametrize(("together", "freedom"), [(0.0, 61), (0.5, 61 * 3 / 5), (0.9, 61 * 0.19 / 1.81)])
def test_errors_that_go_together_are_fewer(together, freedom):
    """The truth at 61 times, two steps ahead of 60 cutoffs each, with errors of known correlation."""
    random = np.random.default_rng(4)
    errors = np.empty((60, 3000, 2))
    errors[..., 0] = random.normal(size=(60, 3000))
    errors[..., 1] = together * errors[..., 0] + np.sqrt(1 - together**2) * random.normal(size=(60, 3000))
    assert calibrate(errors).freedom / 3000 == pytest.approx(freedom, rel=0.05)
    apart = calibrate(errors, step=2).freedom
    assert calibrate(errors, step=9).freedom == apart == pytest.approx(120 / 61 * calibrate(errors).freedom)


def test_unknown_scores_are_no_degrees_of_freedom():
    scores = np.random.default_rng(6).normal(size=(60, 3, 2))
    freedom = calibrate(scores).freedom
    assert freedom > 150
    for axis in (0, 1):  # cutoffs, or series, of which nothing is known
        more = np.concatenate([scores, np.full(scores.shape, np.nan)], axis=axis)
        assert calibrate(more).freedom == freedom


@pytest.mark.parametrize("level", [20, 80, 90])
@pytest.mark.parametrize("freedom", [4.0, 20.0, 80.0])
def test_a_few_degrees_of_freedom_stretch_as_students_t_does(level, freedom):
    """The expansion's terms are right up to that of 1 / n^3."""
    stats = pytest.importorskip("scipy.stats")
    share = 0.5 + level / 200
    wanted = stats.t.ppf(share, freedom) / stats.norm.ppf(share)
    [stretched] = Calibration(np.ones(1), np.ones((1, 1)), freedom).half_width(level)
    assert stretched == pytest.approx(wanted, rel=0, abs=0.4 / freedom**4)


def test_widths_never_shrink_with_the_horizon():
    scores = np.abs(np.random.default_rng(0).normal(size=(30, 6))) * [3, 1, 2, 1, 4, 2]
    half = calibrate(scores).half_width(80)
    assert np.all(np.diff(half) >= 0)


def test_a_truth_that_no_width_reaches_counts_as_a_miss():
    scores = np.ones((20, 2))
    scores[3, 1] = np.inf
    known = replace(calibrate(scores), freedom=np.inf)
    np.testing.assert_array_equal(known.half_width(80), [1, 1])
    assert np.all(np.isinf(known.half_width(99)))


def test_errors_of_nothing_stay_at_nothing_until_a_miss():
    known = calibrate(np.array([[0.0, 0.0]] * 9 + [[0.0, -np.inf]]))
    np.testing.assert_array_equal(known.half_width(80), [0, 0])
    np.testing.assert_array_equal(known.half_width(99), [np.inf, np.inf])
    np.testing.assert_array_equal(known.quantile(0.01), [-np.inf, -np.inf])


def test_unknown_scores_are_left_out():
    scores = np.random.default_rng(1).normal(size=(40, 3, 2))
    scores[::3, 1] = np.nan
    scores[::4, 2, 0] = np.nan
    known = calibrate(scores)
    widths = np.maximum.accumulate(np.nanmean(np.abs(scores), axis=(0, 1)))
    ratios = scores / widths
    np.testing.assert_allclose(known.widths, widths, rtol=1e-12)
    np.testing.assert_allclose(known.ratios, np.sort(ratios[~np.isnan(ratios)])[None], rtol=1e-12)


def test_many_scores_give_each_step_quantiles_of_its_own():
    random = np.random.default_rng(2)
    scores = np.stack([random.normal(size=3000), random.exponential(size=3000)], axis=1)
    known = calibrate(scores)
    assert known.ratios.shape == (2, 1000)
    for quantile in (0.05, 0.5, 0.9):
        np.testing.assert_allclose(known.quantile(quantile), np.quantile(scores, quantile, axis=0), atol=0.03)
    few = calibrate(scores[:900])
    assert few.ratios.shape == (1, 1800)


def test_a_sample_of_very_many_scores_is_enough(monkeypatch):
    scores = np.random.default_rng(3).normal(size=(30_000, 2))
    whole = calibrate(scores).half_width(90)
    monkeypatch.setattr(intervals, "_MOST_SCORES", 10_000)
    np.testing.assert_allclose(calibrate(scores).half_width(90), whole, rtol=0.05)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(0.001, 0.999), min_size=2),
)
def test_quantiles_never_cross(horizon, rows, seed, quantiles):
    random = np.random.default_rng(seed)
    scores = random.standard_t(2, size=(rows, horizon)) * random.choice([0.0, 1.0, np.inf], p=[0.1, 0.8, 0.1])
    scores[np.isnan(scores)] = 0.0
    known = calibrate(scores)
    middle = random.normal(size=(5, horizon))
    units = (random.random((5, 1)), random.random((5, horizon)))
    for log in (False, True):
        prediction = Prediction(Units(log=log), middle, *units)
        with np.errstate(over="ignore"):
            made = [prediction.at(known.quantile(q)) for q in sorted(quantiles)]
        for lower, higher in itertools.pairwise(made):
            assert np.all(lower <= higher)


def test_a_unit_is_the_geometric_mean_of_the_windows_and_the_usual_step():
    """One of the two where the other vanishes, a thousandth of the value where both do."""
    value = np.array([30.0, 90.0])
    size, usual = np.log([[4.0], [4.0], [1.0], [1.0]]), np.array([[40.0], [0.0], [40.0], [0.0]])
    support = Support(non_negative=True, whole=True)
    made = Prediction(Units(log=True), np.tile(np.log(value), (4, 1)), size, 2 * size, support=support)
    made = made.in_own_units(usual)
    np.testing.assert_allclose(made.values, [value] * 4)
    alone = [[40, 40], value / 1000]
    np.testing.assert_allclose(made.below, [np.sqrt(0.75 * value * 40), 0.75 * value, *alone])
    np.testing.assert_allclose(made.above, [np.sqrt(15 * value * 40), 15 * value, *alone])
    low, high = made.interval(1.0)
    np.testing.assert_array_equal(low[0], [0, np.rint(90 - np.sqrt(67.5 * 40))])
    np.testing.assert_array_equal(high[2], [70, 130])
    nothing = np.zeros((1, 1))
    zero = Prediction(Units(), nothing, nothing, nothing).in_own_units(nothing)
    assert zero.above == zero.below == 1


def test_scores_say_where_the_truth_lies_in_the_prediction():
    prediction = Prediction(Units(), np.array([[10.0, 20.0]]), np.array([[1.0, 2.0]]), np.array([[4.0, 5.0]]))
    truth = np.array([[8.0, 30.0]])
    np.testing.assert_array_equal(prediction.scores(truth), [[-2, 2]])
    np.testing.assert_array_equal(prediction.at(prediction.scores(truth)), truth)
    np.testing.assert_array_equal(prediction.scores(np.array([[np.nan, 20.0]])), [[np.nan, 0]])
    np.testing.assert_array_equal(np.stack(prediction.interval(2.0)), [[[8.0, 16.0]], [[18.0, 30.0]]])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_width_of_a_logarithm_grows_in_a_straight_line_beyond_twentyfold(sign):
    units, u = Units(log=True, shift=1.0), np.log(1000.0)
    for size in (0.5, 3.0):
        np.testing.assert_allclose(units.width(u, sign * size), abs(1000 * np.exp(sign * size) - 1000))
    np.testing.assert_allclose(units.width(u, sign * 9.0), 3 * units.width(u, sign * 3.0))


# Coverage


def test_coverage_is_near_the_promise_on_independent_errors():
    scores = np.abs(np.random.default_rng(1).normal(size=(1500, 3))) * [1, 2, 4]
    reached, count = reached_coverage(scores, (80.0, 95.0))
    assert count == (1500 - 10) * 3
    assert reached[80.0] == pytest.approx(0.80, abs=0.02)
    assert reached[95.0] == pytest.approx(0.95, abs=0.01)


def test_a_quantile_has_its_share_of_the_truth_below_it():
    scores = np.random.default_rng(4).gamma(2.0, size=(600, 5, 3)) - 1
    share = {0.1: [], 0.5: [], 0.9: []}
    for group, known in rolling(scores):
        for quantile, found in share.items():
            found.append((scores[group] <= known.quantile(quantile)).mean((0, 1)))
    for quantile, found in share.items():
        np.testing.assert_allclose(np.mean(found, axis=0), quantile, atol=0.03)


def test_coverage_is_tested_on_cutoffs_that_took_no_part():
    scores = np.ones((14, 2))
    scores[13:] = 9.0  # unknown to every calibration that is tested
    reached, count = reached_coverage(scores, (99.0,), least=8)
    assert count == 5 * 2  # cutoffs 9 to 13: eight whole targets are known from the ninth on
    assert reached == {99.0: pytest.approx(4 / 5)}
    assert reached_coverage(scores[:9], (80.0,), least=8) == ({}, 0)


@pytest.mark.parametrize(
    ("horizon", "step", "overlap"), [(1, 1, 1), (6, 1, 6), (6, 4, 2), (6, 6, 1), (6, 7, 1)]
)
def test_a_calibration_knows_what_was_known_at_its_cutoff(horizon, step, overlap):
    scores = np.random.default_rng(2).normal(size=(40, 1, horizon))
    groups = rolling(scores, step, least=3)
    np.testing.assert_array_equal(np.concatenate([group for group, _ in groups]), np.arange(2 + overlap, 40))
    times = step * np.arange(40)[:, None, None] + np.arange(1, horizon + 1)
    for number, (group, known) in enumerate(groups):
        now = step * group[0]
        after = rolling(np.where(times > now, np.inf, scores), step, least=3)[number][1]
        np.testing.assert_array_equal(after.half_width(80), known.half_width(80))
        latest = times == times[times <= now].max()
        missed = rolling(np.where(latest, np.inf, scores), step, least=3)[number][1]
        assert np.isinf(missed.half_width(99.99)).all()
        by_hand = calibrate(np.where(times > now, np.nan, scores)[: group[0]], step)
        assert known.freedom == by_hand.freedom


def test_forecasts_of_many_series_are_enough_from_fewer_cutoffs():
    assert rolling(np.ones((6, 4, 2)), least=8)[0][0][0] == 3  # two cutoffs known, overlap 2
    assert rolling(np.ones((6, 9, 2)), least=8)[0][0][0] == 2


def test_many_scores_are_calibrated_on_in_few_groups(monkeypatch):
    monkeypatch.setattr(intervals, "_WORK", 0)
    groups = rolling(np.ones((60, 1, 2)))
    assert len(groups) == 8
    assert sum(group.size for group, _ in groups) == 60 - 9


def test_unknown_scores_are_not_tested():
    scores = np.ones((14, 2))
    scores[10:, 1] = np.nan
    assert reached_coverage(scores, (80.0,)) == ({80.0: 1.0}, 6)
    assert rolling(np.full((20, 1, 2), np.nan)) == []


def test_a_calibration_is_the_same_whoever_made_it():
    one = Calibration(np.array([1.0, 2.0]), np.array([[-1.0, 0.5, 3.0]]), np.inf)
    np.testing.assert_allclose(one.quantile(0.75), [3, 6])
    np.testing.assert_allclose(one.half_width(50), [1, 2])


def test_levels_and_quantiles_lie_within_their_bounds():
    assert check_levels([99.9, 80, 95, 50, 95]) == (50, 80, 95, 99.9)
    with pytest.raises(UsageError, match="level must lie between 0 and 100, got 100"):
        check_levels([100])
    with pytest.raises(UsageError, match="level must lie between 0 and 100, got 0"):
        check_levels([0])
    for wrong in (80, "80"):
        with pytest.raises(UsageError, match=rf"level must be a list of .* \[80, 95\], got {wrong!r}"):
            check_levels(wrong)
    for wrong in ("80", True):
        with pytest.raises(UsageError, match=f"level must lie between 0 and 100, got {wrong!r}"):
            check_levels([wrong])
    assert check_levels(iter([95, 80])) == (80, 95)
    assert check_quantiles([0.9, 0.1, 0.5, 0.9]) == (0.1, 0.5, 0.9)
    for quantile in (0, 1, 80, float("nan")):
        with pytest.raises(UsageError, match=f"quantiles must lie between 0 and 1, got {quantile}"):
            check_quantiles([quantile])
