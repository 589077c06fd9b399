"""The best forecast: weights by hand, chosen on the past alone, the same from the end as in the backtest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from karusel import Forecaster
from karusel.errors import UsageError
from karusel.forecasting import best as bests
from karusel.forecasting.backtest import NETWORK, SMOOTHING
from karusel.forecasting.baselines import Drift, LastValue, Mean
from karusel.forecasting.best import choose_best
from karusel.forecasting.intervals import calibrate
from karusel.forecasting.panel import from_columns
from karusel.forecasting.prediction import Units
from karusel.forecasting.windows import Cutoffs, last_cutoffs
from test_backtest import Stub, fit_stub, ragged, stub_backtest
from test_verdict import backtest_of


def errors_of(**sizes: float):
    """A backtest of 30 cutoffs whose methods err by these sizes, each with signs of its own."""
    random = np.random.default_rng(3)
    truth = random.normal(size=(30, 2, 3))
    names = {"network": NETWORK, "last": "last value", "drift": "drift"}
    forecasts = {
        names[name]: truth + size * random.choice([-1.0, 1.0], size=truth.shape)
        for name, size in sizes.items()
    }
    return backtest_of(truth, forecasts)


def test_weights_by_hand():
    best = choose_best(errors_of(network=1.05, last=1.0, drift=1.2), 1)
    # drift is more than 10 % behind; of the others 1 / error^2 is .907 and 1; half of that, half equal parts
    wanted = 0.25 + 0.5 / (1 + 1.05**-2)
    assert best.weights == {
        "last value": pytest.approx(wanted),
        NETWORK: pytest.approx(1 - wanted),
    }
    assert "blend: 51 % last value, 49 % LSTM;" in best.sentence


def test_a_clear_winner_is_alone():
    best = choose_best(errors_of(network=2.0, last=1.0, drift=1.2), 1)
    assert best.weights == {"last value": 1.0}
    assert best.skill == pytest.approx(0.5)
    assert (
        best.cutoffs == 30 - 6
    )  # four cutoffs of two series known, and two whose targets reach into the next
    assert best.sentence == (
        "The best forecast here is that of last value alone; chosen like this on earlier cutoffs it had 50 % "
        "less error than the LSTM at 24 later ones."
    )


def test_errors_that_cancel_out_make_a_blend_better():
    best = choose_best(errors_of(network=1.0, last=1.0), 1)
    assert best.skill > 0.3


def test_weights_are_scored_on_later_cutoffs_alone():
    """A method that is best in the first half and worst in the second is paid for."""
    done = errors_of(network=1.0, last=0.5, drift=3.0)
    done.forecasts["last value"][15:] = done.truth[15:] + 5.0
    best = choose_best(done, 1)
    assert best.weights == {NETWORK: 1.0}
    assert best.skill < -0.5  # the first 15 cutoffs spoke for the last value


def test_changing_the_latest_truth_changes_no_earlier_choice(monkeypatch):
    kept = []
    usual = bests._weights

    def seen(errors, known):
        kept.append(usual(errors, known))
        return kept[-1]

    monkeypatch.setattr(bests, "_weights", seen)
    done = errors_of(network=1.0, last=1.02, drift=1.05)
    choose_best(done, 1)
    first, kept[:] = list(kept), []
    for forecast in done.forecasts.values():
        forecast[-3:] *= np.random.default_rng(4).normal(size=forecast[-3:].shape)
    choose_best(done, 1)
    assert first[0] != kept[0]  # the choice for the end
    assert first[1:] == kept[1:]  # cutoffs whose targets reach into the last three teach nobody


def test_a_method_that_was_not_run_everywhere_takes_no_part():
    done = errors_of(network=1.0, last=1.0, drift=0.1)
    done.forecasts["drift"][7] = np.nan
    assert set(choose_best(done, 1).weights) == {NETWORK, "last value"}


def test_few_cutoffs_leave_the_rule_untested():
    random = np.random.default_rng(5)
    truth = random.normal(size=(4, 1, 3))
    best = choose_best(backtest_of(truth, {NETWORK: truth + 1.0, "last value": truth - 1.0}), 1)
    assert np.isnan(best.skill)
    assert best.cutoffs == 0
    assert best.sentence == "The best forecast here is a blend: 50 % LSTM, 50 % last value."


def test_the_blend_from_the_end_is_that_of_the_backtest(monkeypatch):
    panel = ragged([80, 60])
    model = fit_stub(panel)
    done = stub_backtest(panel)
    best = choose_best(done, 3)
    weights = {"last value": 0.4, SMOOTHING: 0.3, "drift": 0.2, NETWORK: 0.1}
    monkeypatch.setitem(best.__dict__, "weights", weights)
    cutoffs = Cutoffs(panel, last_cutoffs(panel))
    made = best.predict(cutoffs, model)
    wanted = (
        0.4 * LastValue(2).forecast(cutoffs)
        + 0.3 * model.predict_without_network(cutoffs).values
        + 0.2 * Drift(2).forecast(cutoffs)
        + 0.1 * model.predict(cutoffs).values
    )
    np.testing.assert_allclose(made.values, wanted)
    low, high = made.interval(best.calibration.half_width(80))
    assert np.all((low < made.values) & (made.values < high))
    np.testing.assert_allclose(made.below, model.predict(cutoffs).below * np.ones((1, 2)))


def test_a_blend_is_calibrated_on_recent_cutoffs_where_all_of_it_was_run():
    done = errors_of(network=1.0, last=1.0)
    recent = errors_of(network=5.0, last=3.0)
    best = choose_best(replace(done, recent=recent), 1)
    blended = [0.5 * one.scores(NETWORK) + 0.5 * one.scores("last value") for one in (done, recent)]
    assert best.weights == pytest.approx({NETWORK: 0.5, "last value": 0.5})
    np.testing.assert_allclose(best.calibration.widths, calibrate(np.concatenate(blended)).widths)
    del recent.forecasts["last value"]
    best = choose_best(replace(done, recent=recent), 1)
    np.testing.assert_allclose(best.calibration.widths, calibrate(blended[0]).widths)


def test_a_block_that_was_not_fitted_leaves_the_others_to_choose_from():
    done = errors_of(network=1.0, last=1.5)
    done.truth[:10] = np.nan
    for forecast in done.forecasts.values():
        forecast[:10] = np.nan
    best = choose_best(done, 1)
    assert best.weights == {NETWORK: 1.0}
    assert best.cutoffs == 30 - 13  # the first was wholly known three steps later


def test_the_network_alone_keeps_its_own_units_and_calibration():
    done = errors_of(network=1.0, last=2.0)
    best = choose_best(done, 1)
    assert best.weights == {NETWORK: 1.0}
    np.testing.assert_array_equal(best.calibration.ratios, calibrate(done.scores()).ratios)
    panel = ragged([30])
    model = Stub(2, 6, 1.0, units=Units(log=True))
    cutoffs = Cutoffs(panel, last_cutoffs(panel))
    made, own = best.predict(cutoffs, model), model.predict(cutoffs)
    assert made.units == own.units
    np.testing.assert_array_equal(made.values, own.values)


def test_on_noise_the_mean_is_chosen():
    noise = np.random.default_rng(6).normal(size=300)
    best = choose_best(stub_backtest(from_columns(noise)), 1)
    assert next(iter(best.weights)) in ("mean", NETWORK, SMOOTHING, "linear on lags")
    panel = from_columns(noise)
    made = best.predict(Cutoffs(panel, last_cutoffs(panel)), fit_stub(panel))
    np.testing.assert_allclose(made.values, Mean(2).forecast(Cutoffs(panel, last_cutoffs(panel))), atol=0.5)


def test_simple_methods_learn_nothing_from_after_the_cutoffs(monkeypatch):
    panel = ragged([80, 60])
    model, best = fit_stub(panel), choose_best(stub_backtest(panel), 3)
    monkeypatch.setitem(best.__dict__, "weights", {"linear on lags": 0.5, "mean": 0.3, "drift": 0.2})
    at = np.array([50, 110])
    values = panel.values.copy()
    values[51:80], values[111:] = 1e6, np.nan
    made = best.predict(Cutoffs(panel, at), model)
    np.testing.assert_array_equal(
        best.predict(Cutoffs(replace(panel, values=values), at), model).values, made.values
    )


# In the forecaster


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    return np.random.default_rng(2).normal(size=120).cumsum()


@pytest.fixture(scope="module")
def fitted(walk) -> Forecaster:
    return Forecaster(4, best=True, hidden_size=6, n_members=1).fit(walk)


def test_the_forecaster_gives_the_best_forecast_by_that_name(fitted, walk, tmp_path):
    made = fitted.predict(level=[80], quantiles=[0.1])
    assert list(made) == ["best", "best-lo-80", "best-hi-80", "best-q-0.1"]
    assert fitted.best_.sentence in fitted.notes_
    assert fitted.coverage_ == fitted.best_.coverage
    network = Forecaster(4, hidden_size=6, n_members=1).fit(walk).predict()
    assert not np.array_equal(made["best"], network)
    if fitted.best_.weights.get("last value", 0) > 0.5:
        np.testing.assert_allclose(made["best"], walk[-1], atol=1)
    fitted.save(tmp_path / "best.karusel")
    again = Forecaster.load(tmp_path / "best.karusel").predict(level=[80], quantiles=[0.1])
    for name, column in made.items():
        np.testing.assert_array_equal(again[name], column)


def test_cross_validation_of_the_best_forecast_sees_no_future(walk):
    changed = walk.copy()
    changed[112:] = 1e3
    past, other = (
        Forecaster(4, best=True, hidden_size=6, n_members=1).cross_validation(y, n_windows=2)
        for y in (walk, changed)
    )
    np.testing.assert_array_equal(past["best"][0], other["best"][0])
    assert not np.array_equal(past["best"][1], other["best"][1])


def test_the_best_forecast_needs_a_backtest():
    with pytest.raises(UsageError, match="best=True chooses by the backtest"):
        Forecaster(4, best=True, backtest=False).fit(np.arange(60.0))
    short = Forecaster(5, best=True, hidden_size=6, n_members=1).fit(np.arange(18.0))
    assert short.best_ is None
    assert "too few rows to choose by a backtest" in short.notes_[-1]
    assert short.predict().shape == (5,)
