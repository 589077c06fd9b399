"""Backtest: nothing sees past its cutoff, nothing missing is invented, tables say what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel.errors import DataError
from karusel.forecasting import backtest as backtests
from karusel.forecasting import members, metrics, windows
from karusel.forecasting.backtest import NETWORK, SMOOTHING, Backtest, run_backtest
from karusel.forecasting.baselines import Baseline, baselines
from karusel.forecasting.correction import Correction, NetworkSettings, fit_correction
from karusel.forecasting.intervals import calibrate, reached_coverage, rolling
from karusel.forecasting.members import EnsembleSettings
from karusel.forecasting.model import Model, fit_model
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.pooled import fit_pooled
from karusel.forecasting.prediction import Prediction, Units
from karusel.forecasting.scaling import (
    Scaling,
    choose_scaling,
    rows_needed,
    window_shape,
)
from karusel.forecasting.windows import Cutoffs

SMALL = NetworkSettings(
    hidden_size=8, num_layers=1, learning_rate=0.01, batch_size=32, n_members=1, random_state=0, n_jobs=1
)
HORIZON, SEASON = 3, 6


def seasonal_panel(seed: int = 0, rows: int = 75) -> Panel:
    random = np.random.default_rng(seed)
    t = np.arange(rows)
    one = 0.3 * t + 8 * np.sin(2 * np.pi * t / SEASON) + random.normal(size=rows)
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


# Panels with gaps and series of any lengths


VALUES = Units()


@dataclass(frozen=True)
class Stub:
    """A model that needs no training: the mean of its input part moved by what it was fitted on."""

    horizon: int
    length: int
    level: float
    units: Units = VALUES
    season_length: int = 1
    epochs: int = 1
    share: float = 1.0

    @property
    def shortest(self) -> int:
        return self.length

    def takes(self, cutoffs: Cutoffs) -> np.ndarray:
        return self.units.takes(cutoffs.inputs(self.length)).all(1)

    def predict(self, cutoffs: Cutoffs) -> Prediction:
        inputs = cutoffs.inputs(self.length)
        assert not np.isnan(inputs).all(1).any()
        middle = np.nanmean(inputs, axis=1, keepdims=True) + 0.1 * self.level
        size = np.nanmax(np.abs(inputs), axis=1, keepdims=True) + 1.0
        middle = np.repeat(middle, self.horizon, axis=1)
        middle = self.units.transform(100 + middle) if self.units.log else middle
        return self._own(middle, size, cutoffs)

    def predict_without_network(self, cutoffs: Cutoffs) -> Prediction:
        return self._own(self.units.transform(self.predict(cutoffs).values) + 1, 1.0, cutoffs)

    def _own(self, middle: np.ndarray, size: np.ndarray | float, cutoffs: Cutoffs) -> Prediction:
        return Prediction(self.units, middle, size, 2 * size).in_own_units(cutoffs.usual_steps(1))


def fit_stub(panel: Panel) -> Stub:
    assert panel.lengths.min() > 0
    return Stub(2, 6, float(np.nanmean(panel.values)))


def stub_backtest(panel: Panel, **settings: int) -> Backtest | None:
    return run_backtest(panel, 2, 3, fit_stub, lambda stage: None, **settings)


def with_values(panel: Panel, values: np.ndarray) -> Panel:
    """The same rows with other values, missing ones at the ends included."""
    return replace(panel, values=values)


def ragged(lengths: list[int], seed: int = 0) -> Panel:
    random = np.random.default_rng(seed)
    ids = np.repeat(np.arange(len(lengths)), lengths)
    return from_columns(random.normal(size=ids.size).cumsum(), ids=ids)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.1, 0.6]),
    st.sampled_from([1, 3]),
)
def test_gaps_and_lengths_never_let_a_forecast_see_its_future(lengths, seed, missing, refits):
    random = np.random.default_rng(seed)
    panel = ragged(lengths, seed)
    values = panel.values.copy()
    values[random.random(values.size) < missing] = np.nan
    panel = with_values(panel, values)
    usual = stub_backtest(panel, refits=refits, least=3)
    if usual is None:
        return
    cutoff = int(random.integers(usual.cutoffs))
    for position, end in enumerate(panel.offsets[1:]):
        later = slice(max(end - usual.behind[cutoff], panel.offsets[position]), end)
        values[later] = random.choice([np.nan, 1e6, 0.0, -3.0], size=values[later].size)
    changed = stub_backtest(with_values(panel, values), refits=refits, least=3)
    if changed is None:  # nothing is left to be tested
        return
    for method, forecast in usual.forecasts.items():
        np.testing.assert_array_equal(
            changed.forecasts[method][: cutoff + 1], forecast[: cutoff + 1], err_msg=method
        )


@pytest.mark.parametrize("method", [NETWORK, SMOOTHING, "drift"])
def test_recent_cutoffs_are_forecast_and_their_targets_end_with_the_series(method):
    panel, longer = ragged([60, 45], 3), ragged([61, 46], 3)
    done = run_backtest(panel, 5, 3, lambda known: replace(fit_stub(known), horizon=5), print)
    recent = done.recent
    np.testing.assert_array_equal(recent.behind, [4, 3, 2, 1])
    for number in range(2):
        values = panel.series(number)
        for truth, behind in zip(recent.truth[:, number], recent.behind, strict=True):
            np.testing.assert_array_equal(truth[:behind], values[-behind:])
            assert np.isnan(truth[behind:]).all()
    # One row more for each series makes a whole cutoff of the first recent one; nothing else may change it.
    values = np.concatenate([panel.series(0), [7.0], panel.series(1), [-9.0]])
    later = run_backtest(
        with_values(longer, values),
        5,
        3,
        lambda _: replace(fit_stub(panel.without_last(40)), horizon=5),
        print,
    )
    same = run_backtest(panel, 5, 3, lambda _: replace(fit_stub(panel.without_last(40)), horizon=5), print)
    np.testing.assert_array_equal(later.forecasts[method][-1], same.recent.forecasts[method][0])


def test_intervals_are_calibrated_on_recent_cutoffs_too():
    done = run_backtest(ragged([60]), 5, 3, lambda known: replace(fit_stub(known), horizon=5), print)
    scores = np.concatenate([done.scores(), done.recent.scores()])
    whole = replace(done, recent=None)
    np.testing.assert_array_equal(done.calibration().widths, calibrate(scores).widths)
    np.testing.assert_array_equal(whole.calibration().widths, calibrate(done.scores()).widths)
    assert done.table()[NETWORK] == whole.table()[NETWORK]
    unknown = replace(done.recent, forecasts={})
    np.testing.assert_array_equal(
        replace(done, recent=unknown).calibration("drift").widths, calibrate(done.scores("drift")).widths
    )


def test_the_pooled_networks_see_no_future_either(monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 300)
    random = np.random.default_rng(11)
    panel = ragged([60] * 15 + [33] * 4 + [25, 12, 4])
    values = panel.values.copy()
    values[random.random(values.size) < 0.1] = np.nan
    panel = with_values(panel, values)
    small = EnsembleSettings(hidden_size=5, num_layers=1, n_members=1)

    def run(panel: Panel) -> Backtest:
        done = run_backtest(
            panel, 3, 1, lambda part: fit_pooled(part, 3, (), small), lambda stage: None, refits=2, least=3
        )
        assert done is not None
        return done

    usual = run(panel)
    assert 0 < np.isnan(usual.forecasts[NETWORK]).mean() < 0.5
    cutoff = usual.cutoffs // 2
    for end in panel.offsets[1:]:
        values[max(0, end - usual.behind[cutoff]) : end] = 77.0
    # What lies before a short series is the end of another one, so that this changes no past but theirs.
    for number in np.flatnonzero(panel.lengths < usual.behind[cutoff]):
        assert np.isnan(usual.forecasts[NETWORK][: cutoff + 1, number]).all()
    changed = run(with_values(panel, values))
    for method, forecast in usual.forecasts.items():
        np.testing.assert_array_equal(changed.forecasts[method][: cutoff + 1], forecast[: cutoff + 1])
    assert not np.array_equal(changed.forecasts[NETWORK][-1], usual.forecasts[NETWORK][-1])


def test_a_missing_truth_is_tested_by_nobody_and_nothing_is_filled_in():
    panel = ragged([60, 60])
    values = panel.values.copy()
    values[[50, 58, 70, 71, 115]] = np.nan
    kept = values.copy()
    done = stub_backtest(with_values(panel, values))
    np.testing.assert_array_equal(values, kept)
    for cutoff, behind in enumerate(done.behind):
        for number, end in enumerate(panel.offsets[1:]):
            at = end - behind
            np.testing.assert_array_equal(done.truth[cutoff, number], values[at : at + 2])
    for forecast in done.forecasts.values():
        assert not np.isnan(forecast).any()
    for row in done.table().values():
        assert not np.isnan(list(row.values())).any()


def test_a_short_series_leaves_the_evidence_on_the_others_whole():
    alone = stub_backtest(ragged([500] * 3))
    mixed = stub_backtest(ragged([500] * 3 + [5]))
    assert mixed.cutoffs == alone.cutoffs == 125
    np.testing.assert_array_equal(mixed.truth[:, :3], alone.truth)
    np.testing.assert_array_equal(mixed.forecasts[NETWORK][:, :3], alone.forecasts[NETWORK])
    assert np.isnan(mixed.truth[:, 3]).all()
    assert np.isnan(mixed.scales[3])
    assert mixed.table()[NETWORK]["MASE"] == pytest.approx(alone.table()[NETWORK]["MASE"])


def test_a_series_takes_part_from_the_cutoff_on_at_which_it_is_long_enough():
    done = stub_backtest(ragged([200, 200, 40]), refits=1, least=3)
    rows = 40 - done.behind  # of the short one, known at each cutoff
    assert rows[0] < 0
    part = ~np.isnan(done.truth[:, 2]).any(1)
    np.testing.assert_array_equal(part, rows >= 6)  # the model's input part
    np.testing.assert_array_equal(~np.isnan(done.last[:, 2]), part)
    before = ragged([200, 200, 40]).series(2)[:6]
    assert done.scales[2] == pytest.approx(metrics.naive_scale(before, 3))


def test_a_series_without_any_value_until_then_takes_no_part():
    panel = ragged([60, 60])
    values = panel.values.copy()
    values[60:115] = np.nan
    done = stub_backtest(with_values(panel, values))
    assert np.isnan(done.truth[:, 1]).all()
    np.testing.assert_array_equal(done.truth[:, 0], stub_backtest(ragged([60, 60])).truth[:, 0])
    assert stub_backtest(with_values(panel, np.full(120, np.nan))) is None


def test_a_gap_longer_than_the_input_part_is_not_forecast_across():
    panel = ragged([90])
    values = panel.values.copy()
    values[70:80] = np.nan
    done = stub_backtest(with_values(panel, values))
    blind = np.isnan(done.forecasts[NETWORK]).all((1, 2))
    at = 89 - done.behind
    np.testing.assert_array_equal(blind, (at >= 75) & (at < 80))
    assert np.isnan(done.truth[blind]).all()


def test_a_model_of_logarithms_is_not_asked_about_values_without_one():
    panel = ragged([90, 90])
    values = panel.values + 100
    values[70] = 0.0
    done = run_backtest(
        with_values(panel, values),
        2,
        3,
        lambda one: replace(fit_stub(one), units=Units(log=True)),
        lambda stage: None,
    )
    at = 89 - done.behind
    blind = np.isnan(done.forecasts[NETWORK]).all(2)
    np.testing.assert_array_equal(blind[:, 0], (at >= 70) & (at < 76))
    assert not blind[:, 1].any()
    assert np.isnan(done.truth[blind]).all()


def test_constant_series_are_level():
    done = stub_backtest(with_values(ragged([60, 60]), np.full(120, 7.0)))
    assert np.isnan(done.scales).all()
    assert done.table()["last value"]["MAE"] == 0
    assert done.relative_error("last value") == 0


# How many cutoffs, how many fits


@pytest.mark.parametrize(
    ("series", "rows", "horizon", "season"),
    [(1, 144, 12, 12), (10_000, 200, 14, 7), (100_000, 500, 7, 7), (414, 700, 48, 24), (23_000, 29, 6, 1)],
)
def test_cutoffs_are_as_many_as_they_may_cost(series, rows, horizon, season):
    behind = backtests._rows_behind(np.full(series, rows), horizon, season, rows_needed(horizon), season)
    assert behind[-1] == horizon
    assert behind.size >= 3
    steps = -np.diff(behind)
    assert np.all(steps == steps[0])
    assert np.gcd(steps[0], season) == 1  # every phase of the season has its turn
    assert behind.size * series * horizon <= max(2_000_000, 3 * series * horizon)
    assert behind[0] <= rows - rows_needed(horizon)


@pytest.mark.parametrize(
    ("series", "rows", "horizon", "season", "cycle", "span"),
    [
        (1, 4032, 48, 48, 336, 672),  # half-hours
        (1, 2000, 24, 24, 168, 336),
        (1, 800, 24, 24, 168, 200),  # a quarter of the rows is less than a fortnight
        (414, 4000, 48, 24, 168, 336),
        (1, 3650, 14, 7, 364, 728),
    ],
)
def test_cutoffs_span_two_of_the_longest_season(series, rows, horizon, season, cycle, span):
    lengths = np.full(series, rows)
    behind = backtests._rows_behind(lengths, horizon, season, rows_needed(horizon), cycle)
    step = behind[0] - behind[1]
    assert span - step < behind[0] - behind[-1] + 1 <= span
    assert np.gcd(step, season) == 1
    assert 60 <= behind.size <= 350
    assert behind[0] <= backtests.most_rows_behind(lengths, horizon, cycle)


@pytest.mark.parametrize(("rows", "there"), [(200, True), (90, False)])
def test_the_longest_season_stands_in_the_table_where_rows_hold_one(rows, there):
    panel = from_columns(np.arange(float(rows)) % 7, None, np.zeros(rows, int))
    panel = replace(panel, frequency=replace(panel.frequency, season_lengths=(7, 70)))
    done = run_backtest(panel, 2, 7, fit_stub, lambda stage: None)
    assert ("longest season" in done.forecasts) == there
    if there:
        np.testing.assert_array_equal(done.forecasts["longest season"], done.truth)


def test_a_model_is_fitted_on_the_rows_before_of_the_series_that_have_enough():
    panel, fitted = ragged([60, 9, 50, 30]), []
    done = run_backtest(panel, 2, 3, lambda part: fitted.append(part) or fit_stub(part), print, least=10)
    for part, first in zip(fitted, (0, 8, 16), strict=True):
        behind = done.behind[first]
        enough = [number for number in range(4) if panel.lengths[number] - behind >= 10]
        assert part.ids == tuple(panel.ids[number] for number in enough)
        wanted = [panel.series(number)[:-behind] for number in enough]
        np.testing.assert_array_equal(part.values, np.concatenate(wanted))
        np.testing.assert_array_equal(part.lengths, [len(one) for one in wanted])
    assert [len(part) for part in fitted] == [2, 3, 3]


def test_a_block_whose_fit_finds_too_little_is_left_out():
    fits = []

    def fit(panel: Panel) -> Stub:
        fits.append(panel)
        if len(fits) == 1:
            raise DataError("too little")
        return fit_stub(panel)

    done = run_backtest(ragged([60, 60]), 2, 3, fit, lambda stage: None)
    assert (len(fits), done.refits) == (3, 2)
    usual = stub_backtest(ragged([60, 60]))
    first = np.isnan(done.truth).all((1, 2))
    assert first.tolist() == [True] * 8 + [False] * 16
    np.testing.assert_array_equal(done.forecasts["drift"][8:], usual.forecasts["drift"][8:])
    assert run_backtest(ragged([60]), 2, 3, lambda panel: fit(fits.clear() or panel), print) is None


def test_one_fit_serves_all_cutoffs_of_a_large_panel():
    fits = []
    done = run_backtest(
        ragged([80] * 4), 2, 1, lambda panel: fits.append(panel) or fit_stub(panel), fits.append, refits=1
    )
    assert (done.refits, fits[0]) == (1, "backtest 1/1")
    assert [panel.lengths.tolist() for panel in fits[1:]] == [[80 - done.behind[0]] * 4]


def test_pieces_of_a_large_panel_are_as_good_as_the_whole(monkeypatch):
    panel = ragged([80, 70, 60])
    usual = stub_backtest(panel)
    monkeypatch.setattr(windows, "_AT_ONCE", 7 * 6)  # seven windows
    pieces = stub_backtest(panel)
    for method, forecast in usual.forecasts.items():
        np.testing.assert_array_equal(pieces.forecasts[method], forecast)
    np.testing.assert_array_equal(pieces.scores(), usual.scores())


# Tables


def test_the_tables_agree_with_the_measures():
    panel = ragged([90, 70, 30], 5)
    values = panel.values.copy() + 20
    values[[60, 80, 85, 130]] = np.nan
    done = stub_backtest(with_values(panel, values), least=3)
    assert np.isnan(done.truth).any()
    for method, forecast in done.forecasts.items():
        row, horizon, series = done.table()[method], done.by_horizon()[method], done.by_series()[method]
        for name, measure in (("MAE", metrics.mae), ("RMSE", metrics.rmse), ("sMAPE", metrics.smape)):
            assert row[name] == pytest.approx(measure(done.truth, forecast))
            np.testing.assert_allclose(
                horizon[name], [measure(done.truth[..., k], forecast[..., k]) for k in range(2)]
            )
            np.testing.assert_allclose(
                series[name], [measure(done.truth[:, s], forecast[:, s]) for s in range(3)]
            )
        own = [metrics.mae(done.truth[:, s], forecast[:, s]) / done.scales[s] for s in range(3)]
        np.testing.assert_allclose(series["MASE"], own)
        assert row["tested"] == 1


def test_errors_are_taken_in_the_scale_of_each_series():
    done = replace(stub_backtest(ragged([60] * 3)), scales=np.array([0.25, np.nan, 4.0]))
    off = {method: np.abs(done.truth - done.forecasts[method]) for method in ("drift", NETWORK)}
    scaled = {}
    for method, error in off.items():
        parts = [error[:, 0] / 0.25, error[:, 1] / 2.125, error[:, 2] / 4]  # the median where there is none
        scaled[method] = np.stack(parts, axis=1)
        np.testing.assert_allclose(done.errors(method)[0], scaled[method])
        means = error.mean((0, 2))
        np.testing.assert_allclose(done.by_series()[method]["MASE"], [means[0] / 0.25, np.nan, means[2] / 4])
    assert done.relative_error("drift") == pytest.approx(scaled["drift"].sum() / scaled[NETWORK].sum())


def test_a_single_value_is_its_own_mean():
    done = stub_backtest(ragged([60]))
    truth = np.full(done.truth.shape, np.nan)
    truth[20, 0, 1] = done.truth[20, 0, 1]
    error = abs(truth[20, 0, 1] - done.forecasts["drift"][20, 0, 1])
    row = replace(done, truth=truth).table()["drift"]
    assert (row["MAE"], row["RMSE"], row["tested"]) == (pytest.approx(error), pytest.approx(error), 1)


def test_intervals_in_the_table_are_those_of_earlier_cutoffs():
    panel = ragged([90, 70, 30], 6)
    values = panel.values.copy() + 20
    values[[60, 80, 130]] = np.nan
    done = stub_backtest(with_values(panel, values), least=3)
    reached, count = reached_coverage(done.scores(), (80.0, 95.0), done.step)
    row = done.table()[NETWORK]
    assert count > 50
    assert (row["coverage 80"], row["coverage 95"]) == (
        pytest.approx(reached[80.0]),
        pytest.approx(reached[95.0]),
    )
    quantiles = [k / 10 for k in range(1, 10)]
    for method in (NETWORK, "drift"):
        truth, made = [], []
        prediction = done.prediction(method)
        for group, known in rolling(done.scores(method), done.step):
            truth.append(done.truth[group])
            made.append(
                np.stack([prediction.at(known.quantile(quantile))[group] for quantile in quantiles], axis=-1)
            )
        wanted = metrics.weighted_quantile_loss(np.concatenate(truth), np.concatenate(made), quantiles)
        assert done.table()[method]["WQL"] == pytest.approx(wanted)


def test_other_methods_errors_are_measured_in_the_networks_units():
    done = stub_backtest(ragged([60]))
    unit = np.where(done.truth > done.forecasts["drift"], done.predicted.above, done.predicted.below)
    np.testing.assert_allclose(done.scores("drift"), (done.truth - done.forecasts["drift"]) / unit)
    network = done.prediction(NETWORK)
    np.testing.assert_allclose(network.at(done.scores()), done.truth)


def test_blocks_that_compute_in_different_units_are_put_together():
    fits = []

    def fit(panel: Panel) -> Stub:
        fits.append(panel)
        return replace(fit_stub(panel), units=Units(log=len(fits) > 1, shift=len(fits) % 2))

    panel = ragged([60, 60])
    done = run_backtest(with_values(panel, panel.values + 100), 2, 1, fit, lambda stage: None)
    assert not np.isnan(done.scores()).any()
    np.testing.assert_allclose(done.predicted.at(done.scores()), done.truth)
    np.testing.assert_array_equal(done.predicted.values, done.forecasts[NETWORK])


def test_forecasts_in_shifted_logarithms_are_judged_as_such():
    panel = ragged([60, 60])
    units = Units(log=True, shift=5.0)
    done = run_backtest(
        with_values(panel, np.abs(np.round(panel.values))),
        *(2, 1, lambda one: replace(fit_stub(one), units=units), lambda stage: None),
    )
    # The stub's smoothing lies 1 above it in logarithms.
    ratio = (done.forecasts["smoothing"] + 5) / (done.forecasts[NETWORK] + 5)
    np.testing.assert_allclose(ratio, np.e)
    np.testing.assert_allclose(done.predicted.at(done.scores()), done.truth, atol=1e-9)


# Slow methods


class Slow(Baseline):
    """A method that counts how often it is asked."""

    name = "slow"
    slow = True
    asked = 0

    def forecast(self, cutoffs: Cutoffs) -> np.ndarray:
        Slow.asked += len(cutoffs)
        return np.repeat(cutoffs.inputs(1), self.horizon, axis=1)


def test_a_slow_method_is_run_at_a_sample_of_the_cutoffs_and_that_is_said(monkeypatch):
    monkeypatch.setattr(backtests, "baselines", lambda h, m, _: (*baselines(h, m)[:5], Slow(h, m)))
    Slow.asked = 0
    done = stub_backtest(ragged([100, 100, 100]))
    made = ~np.isnan(done.forecasts["slow"]).any(2)
    assert made.sum() == Slow.asked == 30
    np.testing.assert_array_equal(done.forecasts["slow"][made], done.forecasts["last value"][made])
    assert done.notes == (f"slow was run at 30 of {3 * done.cutoffs} past cutoffs",)
    assert np.all(made.sum(0) > 5)  # of every series
    assert np.all(np.diff(np.flatnonzero(made.any(1))) <= 3)  # and all along time
    assert 0 < done.table()["slow"]["tested"] < 1


def test_a_slow_method_is_run_only_where_others_were(monkeypatch):
    monkeypatch.setattr(backtests, "baselines", lambda h, m, _: (*baselines(h, m)[:5], Slow(h, m)))
    done = stub_backtest(ragged([60, 60, 6, 25]))
    part = ~np.isnan(done.last)
    assert not part[:, 2].any()
    assert not part[:5, 3].any()
    assert np.isnan(done.forecasts["slow"][~part]).all()
    assert done.notes == (f"slow was run at 30 of {part.sum()} past cutoffs",)


def test_a_slow_method_stops_when_its_time_is_over(monkeypatch):
    monkeypatch.setattr(backtests, "baselines", lambda h, m, _: (*baselines(h, m)[:5], Slow(h, m)))
    Slow.asked = 0
    done = stub_backtest(ragged([60]), slow_seconds=0)
    assert Slow.asked == 1
    assert "slow was run at 1 of" in done.notes[0]
    assert list(done.forecasts)[-1] == "slow"


def test_a_slow_method_that_was_run_everywhere_is_no_sample(monkeypatch):
    monkeypatch.setattr(backtests, "baselines", lambda h, m, _: (*baselines(h, m)[:5], Slow(h, m)))
    done = stub_backtest(ragged([60]))
    assert done.notes == ()
    assert list(done.forecasts) == [
        *(NETWORK, "last value", "mean", "seasonal naive", "drift", SMOOTHING, "linear on lags", "slow")
    ]


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
    scaling = Scaling(length=8, seen=8, season_length=1, log=True, trend=1.0)
    np.testing.assert_allclose(scaling.invert(scaling.apply(y[None, :8], 30).anchor)[0], y[8:38], rtol=1e-9)


def test_scaled_windows_do_not_depend_on_level_and_size():
    y = np.random.default_rng(2).normal(size=(3, 12)).cumsum(1)
    scaling = Scaling(length=12, seen=8, season_length=4, smoothing=0.5, trend=1.0)
    plain, moved = scaling.apply(y, 5), scaling.apply(1000 + 40 * y, 5)
    np.testing.assert_allclose(moved.features, plain.features, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(moved.anchor, 1000 + 40 * plain.anchor)
    np.testing.assert_allclose(moved.size, 40 * plain.size)
    assert plain.features.shape == (3, 8, 2)


@pytest.mark.parametrize(("seen", "spike"), [(20, 1e3), (59, -1e3), (60, 1e3)])
def test_the_network_sees_distances_from_the_level_cut_and_their_steps(seen, spike):
    y = np.random.default_rng(12).normal(size=60).cumsum()
    y[50] = spike  # some 30 sizes away
    [features] = Scaling(length=60, seen=seen, season_length=1).apply(y[None], 3).features
    size = sum(abs(y[t] - y[t - 1]) for t in range(1, 60)) / 59
    away = [(value - y[-1]) / size for value in y]
    assert abs(away[50]) > 25
    away[50] = np.sign(spike) * 20
    np.testing.assert_allclose(features[:, 0], away[-seen:], atol=1e-12)
    steps = [away[t] - away[t - 1] if t > 0 else 0.0 for t in range(60 - seen, 60)]
    np.testing.assert_allclose(features[:, 1], steps, atol=1e-12)


@pytest.mark.parametrize("level", [0.0, 5.0, -3e8])
def test_a_constant_window_is_continued(level):
    scaling = Scaling(length=6, seen=6, season_length=1, trend=1.0)
    scaled = scaling.apply(np.full((1, 6), level), 4)
    np.testing.assert_array_equal(scaled.anchor, level)
    assert np.all(scaled.size > 0)
    assert np.all(scaled.features == 0)


@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_plain_noise_is_forecast_by_its_mean_and_a_walk_by_its_last_value_whatever_season_is_named(smoothing):
    found = []
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=400)
        if smoothing == 1:
            values = values.cumsum()
        shape = window_shape(400, 7, 5, None)
        cutoffs = np.arange(shape[0] - 1, 395)
        inputs, targets = windows.inputs(values, cutoffs, shape[0]), windows.targets(values, cutoffs, 5)
        scaling = choose_scaling(inputs, targets, shape)
        found.append((scaling.season_length, scaling.smoothing, scaling.trend) == (1, smoothing, 0.0))
        if found[-1]:
            anchor = scaling.apply(inputs[:3], 5).anchor
            wanted = inputs[:3].mean(1) if smoothing == 0 else inputs[:3, -1]
            np.testing.assert_allclose(anchor, np.repeat(wanted[:, None], 5, axis=1))
    assert np.mean(found) >= 0.8  # some walks drift for long


def test_the_fewer_windows_the_more_must_a_bold_anchor_gain():
    random = np.random.default_rng(4)
    line = np.arange(24) + random.normal(0, 3, (60, 24))
    few, many = (
        choose_scaling(np.tile(line[:, :12], (k, 1)), np.tile(line[:, 12:], (k, 1)), (12, 8, 1))
        for k in (1, 50)
    )
    assert few.trend < many.trend


@pytest.mark.parametrize(("noise", "span"), [(0.0, 1), (0.3, None)])
def test_the_latest_growth_is_continued_where_there_is_no_noise(noise, span):
    y = (np.arange(60) / 10) ** 2 + noise * np.random.default_rng(2).normal(size=60)
    windows_of = np.lib.stride_tricks.sliding_window_view(y - 1, 12)
    inputs = windows_of[:, :8]
    chosen = choose_scaling(inputs, windows_of[:, 8:], (8, 8, 1))
    assert (chosen.span, chosen.trend) == (span, 1.0)
    if span:
        last, before = inputs[:, -1:], inputs[:, -2:-1]
        wanted = last + (last - before) * np.arange(1, 5)
        np.testing.assert_allclose(chosen.linear(inputs, 4)[2], wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("seasons", "m", "strength"), [(2, 7, 0.6), (3, 4, 0.6), (3, 7, 3.0)])
def test_what_noise_leaves_in_the_mean_of_a_few_seasons_is_no_share_of_it(seasons, m, strength, log):
    random, n = np.random.default_rng(8), 4000
    pattern = np.arange(m) % 3 - 0.6
    pattern = strength * (pattern - pattern.mean()) / pattern.std(ddof=1)
    values = 50 + (pattern + random.normal(size=(n, seasons + 1, m))).reshape(n, -1)
    values = np.exp(0.1 * values) if log else values
    chosen = choose_scaling(values[:, :-m], values[:, -m:], (seasons * m, 8, m))
    assert (chosen.season_length, chosen.log) == (m, log)
    share = strength**2 / (strength**2 + 1 / seasons)  # of the mean's variance; 1 is that of the noise
    # Windows count by their steps, which are larger where the noise adds to the season: it is a little less.
    assert share - 0.06 < chosen.season_share < share + 0.01


def test_a_season_without_noise_is_continued_whole():
    y = curved()
    cutoffs = np.arange(11, 55)
    inputs, targets = windows.inputs(y, cutoffs, 12), windows.targets(y, cutoffs, 5)
    chosen = choose_scaling(inputs, targets, (12, 8, 4))
    assert (chosen.season_length, chosen.trend, chosen.season_share) == (4, 1.0, pytest.approx(1, abs=1e-12))


def test_a_share_of_the_season_is_taken_out_and_continued():
    y, half = curved()[None, :12], {"length": 12, "seen": 8, "season_length": 4, "season_share": 0.5}
    whole, none = Scaling(**{**half, "season_share": 1.0}), Scaling(**{**half, "season_share": 0.0})
    for part, *others in zip(*(one.linear(y, 5) for one in (Scaling(**half), whole, none)), strict=True):
        np.testing.assert_allclose(part, np.mean(others, axis=0))


def test_a_series_shorter_than_the_input_part_has_the_anchor_of_its_own_rows():
    line, y = 3 + 2.0 * np.arange(20), curved()
    plain = Scaling(length=12, seen=8, season_length=1, trend=1.0).shorter(5)
    np.testing.assert_allclose(plain.linear(line[None, :5], 3)[2][0], line[5:8])
    seasonal = Scaling(length=12, seen=8, season_length=4, smoothing=0.5, trend=1.0)
    assert seasonal.shorter(11).length == 8  # two whole seasons
    np.testing.assert_allclose(seasonal.shorter(11).linear(y[None, :8], 5)[2][0], y[8:13])
    for rows, read in ((7, 4), (3, 3)):  # one season is its mean
        short = seasonal.shorter(rows)
        np.testing.assert_allclose(short.linear(y[None, :read], 2)[2][0], y[:read].mean())


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_the_scaling_is_the_same_in_any_unit(size):
    growing = size * np.exp(0.05 * np.arange(80))
    windows_of = np.lib.stride_tricks.sliding_window_view(growing, 16)
    chosen = choose_scaling(windows_of[:, :12], windows_of[:, 12:], (12, 12, 1))
    assert (chosen.log, chosen.smoothing, chosen.trend) == (True, 1.0, 1.0)
    for part in (0, 15):  # one 0 among the inputs, or among the targets
        values = windows_of.copy()
        values[3, part] = 0.0
        assert not choose_scaling(values[:, :12], values[:, 12:], (12, 12, 1)).log


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


def test_a_season_is_tried_only_where_the_rows_bear_it_out():
    assert window_shape(144, 12, 12, None) == (36, 16, 12)
    assert window_shape(90, 12, 12, None) == (36, 16, 12)
    assert window_shape(89, 12, 12, None) == (24, 16, 12)  # three would be more than .4 of the rows
    assert window_shape(44, 4, 8, None) == (12, 8, 4)
    assert window_shape(43, 4, 8, None) == (8, 8, 4)  # three would leave less than four horizons
    assert window_shape(36, 12, 12, None) == (24, 16, 12)
    assert window_shape(35, 12, 12, None)[2] == 1
    assert window_shape(144, 12, 12, 6) == (36, 6, 12)
    length, seen, season = window_shape(rows_needed(12), 12, 12, None)
    assert (length, seen, season) == (4, 4, 1)


@pytest.mark.parametrize(("rows", "length"), [(42, 10), (43, 14)])
def test_few_rows_have_a_season_where_it_is_plain(rows, length):
    """Without it, short windows where the long ones are fewer than 16."""
    noise, week = np.random.default_rng(5).normal(size=rows), np.arange(rows) % 7
    for strength, season in ((3.0, 7), (0.0, 1)):
        pattern = np.array([2.0, -1.0, 0.0, 1.5, -2.0, 0.5, -1.0])[week]
        model = fit_model(from_columns(20 + noise + strength * pattern), 14, 7, None, SMALL)
        assert (model.season_length, model.length) == (season, 14 if season == 7 else length)


@pytest.mark.parametrize(
    ("seasons", "m", "share"), [(2, 7, 0.99), (3, 7, 0.99), (2, 4, 0.99), (1, 1, 1), (2, 7, 0.5), (3, 4, 0.3)]
)
def test_a_unit_is_as_large_beside_errors_however_many_seasons_made_the_anchor(seasons, m, share):
    """Means of two seasons follow their own values more closely than those of three."""
    length, random = (seasons * m if m > 1 else 12), np.random.default_rng(3)
    values = random.normal(size=(4000, length + 14))
    if m > 1:
        strength = math.sqrt(share / (1 - share) / seasons)  # of which the mean of so many tells that share
        patterns = strength * random.normal(size=(4000, m))
        values += patterns[:, np.arange(length + 14) % m]
    scaling = Scaling(length, length, m, smoothing=0.0, season_share=share)
    scaled = scaling.apply(values[:, :length], 14)
    error = np.mean(np.abs(values[:, length:] - scaled.anchor))
    assert error / np.mean(scaled.size * scaling.optimism) == pytest.approx(0.72, abs=0.025)


def test_a_series_that_is_too_short_is_refused_with_the_rows_needed():
    panel = from_columns(np.arange(40.0), ids=["long"] * 30 + ["short"] * 10)
    with pytest.raises(DataError, match=r'series "short" has 10 rows, but a horizon of 3 needs at least 14'):
        fit_small(panel)


# The network's correction


def fit_to(sign_held_out: float, earlier: int = 60, horizon: int = 2) -> Correction:
    """Windows whose last input is the correction wanted, times a sign for the held-out ones."""
    features = np.random.default_rng(8).normal(size=(90, 4, 2))
    wanted = features[:, -1, :1] * np.linspace(1.0, 0.5, horizon)
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
    horizons = 90 / 2
    assert fit_to(1.0, earlier=3).share == pytest.approx(0.25 * horizons / (horizons + 3))


def test_the_fewer_horizons_the_windows_hold_the_less_is_a_correction_used():
    assert 0.5 <= fit_to(0.6).share <= 0.7
    assert fit_to(1.0, horizon=60).share >= 0.9
    assert fit_to(1.0, horizon=900).share == 0.0  # a tenth of a horizon proves nothing


def test_without_a_share_the_model_is_the_smoothing_alone():
    panel = seasonal_panel()
    model = fit_small(panel)
    cutoffs = windows.Cutoffs(panel, windows.last_cutoffs(panel))
    silent = replace(model, correction=replace(model.correction, share=0.0))
    smoothed = model.predict_without_network(cutoffs).values
    np.testing.assert_array_equal(silent.predict(cutoffs).values, smoothed)
    assert not np.array_equal(model.predict(cutoffs).values, smoothed)
