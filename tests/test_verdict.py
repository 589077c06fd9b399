"""The verdict: what is said follows from the errors, and how sure it is from how they hang together."""

from __future__ import annotations

import re
from collections.abc import Hashable

import numpy as np
import pytest

from karusel.forecasting.backtest import NETWORK, Backtest
from karusel.forecasting.prediction import Prediction, Units
from karusel.forecasting.verdict import Skill, _less_or_more, _student, judge, skill_of


def backtest_of(
    truth: np.ndarray,
    forecasts: dict[str, np.ndarray],
    last: np.ndarray | None = None,
    ids: tuple[Hashable, ...] | None = None,
) -> Backtest:
    """A backtest with these forecasts [C, S, h], a step between cutoffs, all scales and units 1."""
    count, series, horizon = truth.shape
    ones = np.ones(truth.shape)
    return Backtest(
        truth=truth,
        forecasts=forecasts,
        predicted=Prediction(Units(), forecasts[NETWORK], ones, ones),
        last=forecasts["last value"][..., 0] if last is None else last,
        scales=np.ones(series),
        behind=horizon + np.arange(count)[::-1],
        ids=tuple(range(series)) if ids is None else ids,
        refits=3,
    )


def made(network: float, last: float, linear: float, cutoffs: int = 20) -> Backtest:
    """A backtest whose methods err by the given amounts, each a little differently at every cutoff."""
    wobble = 1 + 0.1 * np.cos(np.arange(cutoffs))[:, None, None]
    truth = np.zeros((cutoffs, 1, 2))
    forecasts = {NETWORK: truth + network, "last value": truth + last, "linear on lags": truth + linear}
    return backtest_of(truth, {name: forecast * wobble for name, forecast in forecasts.items()})


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
    verdict = judge(backtest_of(truth, {NETWORK: network, "last value": last}))
    assert verdict.skill > 0.05
    assert verdict.outcome == "level"


@pytest.mark.parametrize(("wins", "outcome"), [(12, "network"), (11, "level")])
def test_a_clear_winner_is_ahead_at_three_cutoffs_of_five(wins, outcome):
    truth = np.zeros((20, 1, 1))
    network = truth + 1.02
    network[np.random.default_rng(1).permutation(20)[:wins]] = 0.5
    verdict = judge(backtest_of(truth, {NETWORK: network, "last value": truth + 1}))
    assert verdict.skill_low > 0.05
    assert (verdict.cutoffs_won, verdict.outcome) == (wins / 20, outcome)


@pytest.mark.parametrize(("network", "shown"), [(2.04, True), (1.96, False)])
def test_a_network_that_is_a_little_worse_is_said_to_show_no_skill(network, shown):
    verdict = judge(made(network, 3.0, 2.0))
    assert verdict.outcome == "level"
    assert ("shows no skill" in verdict.sentence) is shown


@pytest.mark.parametrize(
    ("share", "fires"), [(0.0, True), (0.2, True), (0.4, True), (0.6, False), (0.9, False)]
)
def test_the_lag_copy_test(share, fires):
    """Forecasts that move a share of the way from the last value, in no better direction than chance."""
    random = np.random.default_rng(7)
    last = random.normal(size=(200, 1)).cumsum(0)
    truth = last[..., None] + random.normal(size=(200, 1, 1))
    forecast = last[..., None] + share * random.normal(size=(200, 1, 1))
    copies = backtest_of(truth, {NETWORK: forecast, "last value": last[..., None]}, last)
    assert judge(copies).lag_copy is fires
    assert ("only repeat the last value" in judge(copies).sentence) is fires


def test_the_lag_copy_test_passes_over_what_is_missing():
    random = np.random.default_rng(8)
    last = random.normal(size=(90, 2)).cumsum(0)
    truth = last[..., None] + random.normal(size=(90, 2, 1))
    truth[::3, 0] = np.nan
    forecast = last[..., None] + 0.1 * random.normal(size=(90, 2, 1))
    forecast[1::3, 1], last[1::3, 1] = np.nan, np.nan
    assert judge(backtest_of(truth, {NETWORK: forecast, "last value": last[..., None]}, last)).lag_copy


def test_a_forecast_that_follows_the_truth_is_no_lag_copy():
    last = np.arange(30.0)[:, None]
    truth = last[..., None] + 1
    assert not judge(backtest_of(truth, {NETWORK: truth - 0.1, "last value": last[..., None]}, last)).lag_copy


def test_a_network_that_adds_nothing_is_said_to():
    verdict = judge(made(2.0, 3.0, 2.0))
    assert verdict.outcome == "level"
    assert verdict.sentence == (
        "The LSTM adds nothing here: over 20 past cutoffs its forecasts were those of the best simple "
        "method, linear on lags."
    )


def test_perfect_simple_methods_do_not_divide_by_zero():
    verdict = judge(made(0.0, 0.0, 0.0))
    assert (verdict.outcome, verdict.skill) == ("level", 0.0)
    assert judge(made(1.0, 0.0, 0.0)).outcome == "simple"


def test_a_method_that_was_run_on_a_part_is_compared_on_that_part():
    done = made(1.0, 2.0, 3.0)
    sampled = np.full(done.truth.shape, np.nan)
    sampled[4:7] = 0.5 * done.forecasts[NETWORK][4:7]
    hard = done.truth.copy()
    hard[4:7] = 100.0  # a part on which everybody errs
    done = backtest_of(hard, {**done.forecasts, "AutoETS": sampled + hard})
    assert done.relative_error("AutoETS") == pytest.approx(
        0.5 * np.mean(done.forecasts[NETWORK][4:7]) / np.mean(100 - done.forecasts[NETWORK][4:7])
    )
    assert done.table()["AutoETS"]["tested"] == pytest.approx(3 / 20)
    verdict = judge(done)
    assert verdict.best_simple == "AutoETS"
    assert verdict.skill == pytest.approx(1 - 1 / done.relative_error("AutoETS"))


# How sure


def test_skill_by_hand():
    # Errors 1, 2, 1, 2 of 2, 2, 2, 2: skill 1/4, d = (.5, -.5, .5, -.5), batches of one: mean d^2 1/4,
    # variance of the mean 1/4 / 3, of skill a quarter of that; t with 4.5 degrees of freedom.
    found = skill_of(np.array([1.0, 2, 1, 2]), np.full(4, 2.0), 1)
    assert found.value == 0.25
    half = np.interp(1 / 4.5, [1 / 5, 1 / 4], [2.015, 2.132]) * np.sqrt(1 / 12) / 2
    assert (found.low, found.high) == (pytest.approx(0.25 - half), pytest.approx(0.25 + half))


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 10, 13, 15, 20, 30, 45, 60, 120, 1e9])
def test_students_t_is_read_off_its_table(freedom):
    wanted = pytest.importorskip("scipy.stats").t.ppf(0.95, freedom)
    assert _student(freedom) == pytest.approx(wanted, rel=0.002)


def test_too_few_cutoffs_tell_nothing_about_uncertainty():
    found = skill_of(np.ones(11), np.full(11, 2.0), 6)
    assert found.value == 0.5
    assert np.isnan(found.low)


@pytest.mark.parametrize("overlap", [1, 4, 12])
@pytest.mark.parametrize("horizons", [3, 9])
def test_the_uncertainty_of_skill_covers_it(overlap, horizons):
    """Errors that share a part of their truth, moving means of independent ones: 90 % are promised."""
    random = np.random.default_rng(9)
    count = max(24, horizons * overlap)
    covered = 0
    for _ in range(1000):
        network, simple = (
            np.convolve(random.gamma(4.0, size=count + overlap - 1), np.ones(overlap) / overlap, "valid")
            for _ in range(2)
        )
        found = skill_of(0.8 * network, simple, overlap)
        covered += found.low <= 0.2 <= found.high
    assert 0.86 <= covered / 1000 <= 0.94


@pytest.mark.parametrize(
    ("skill", "words"),
    [
        (Skill(0.12, 0.05, 0.19), "12 % less (5 to 19 %) than"),
        (Skill(0.12, -0.004, 0.29), "12 % less (0 to 29 %) than"),
        (Skill(0.02, 0.018, 0.022), "2.0 % less (1.8 to 2.2 %) than"),
        (Skill(0.0158, 0.0157, 0.0159), "2 % less (2 to 2 %) than"),
        (Skill(0.12, -0.05, 0.29), "12 % less (5 % more to 29 % less) than"),
        (Skill(-0.07, -0.1, -0.04), "7 % more (4 to 10 %) than"),
        (Skill(-0.07, -0.2, 0.06), "7 % more (6 % less to 20 % more) than"),
        (Skill(-0.0003, -0.0012, 0.0006), "0.0 % more (0.1 % less to 0.1 % more) than"),
        (Skill(0.5, float("nan"), float("nan")), "50 % less than"),
        (Skill(-2.5, -4.0, -1.0), "3.5 times"),
        (Skill(-5000.0, -6000.0, -1.0), "more than 1,000 times"),
    ],
)
def test_skill_in_words(skill, words):
    assert _less_or_more(skill) == words


def test_a_win_that_may_be_chance_is_no_clear_win():
    random = np.random.default_rng(10)
    truth = np.zeros((30, 1, 6))
    blocks = np.repeat([0.2, 1.4, 0.5, 0.6, 1.9], 6)[:, None, None]  # ahead, but by a horizon here and there
    network, last = truth + blocks * random.uniform(0.9, 1.1, (30, 1, 1)), truth + 1.05
    verdict = judge(backtest_of(truth, {NETWORK: network, "last value": last}))
    assert verdict.skill > 0.05
    assert verdict.cutoffs_won >= 0.6
    assert verdict.skill_low < 0 < verdict.skill_high
    assert verdict.outcome == "level"


# Panels


def test_a_panel_has_a_verdict_for_its_series():
    truth = np.zeros((20, 5, 2))
    network = truth + np.array([0.5, 1.5, 0.9, 3.0, 1.1])[:, None]
    verdict = judge(
        backtest_of(truth, {NETWORK: network, "last value": truth + 1}, ids=("a", "b", "c", "d", "e"))
    )
    assert verdict.series_won == pytest.approx(2 / 5)
    assert verdict.worst == ("d", "b", "e")
    assert 'of 5 series it is ahead on 40 %, and furthest behind on "d", "b", "e"' in verdict.sentence


def test_a_series_with_equal_errors_is_neither_won_nor_behind():
    truth = np.zeros((20, 3, 2))
    network = truth + np.array([0.5, 1.0, 2.0])[:, None]
    verdict = judge(backtest_of(truth, {NETWORK: network, "last value": truth + 1}))
    assert verdict.series_won == pytest.approx(1 / 3)
    assert verdict.worst == (2,)


def test_series_that_took_no_part_are_not_counted():
    truth = np.zeros((20, 3, 2))
    truth[:, 1] = np.nan
    network = truth + np.array([0.5, 9.0, 0.9])[:, None]
    verdict = judge(backtest_of(truth, {NETWORK: network, "last value": truth + 1}))
    assert (verdict.series_won, verdict.worst) == (1.0, ())
