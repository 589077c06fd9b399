"""The pooled model: windows are read relative to themselves, and nothing is chosen on what it may not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel import Forecaster
from karusel.errors import DataError
from karusel.forecasting import members, pooled, windows
from karusel.forecasting.baselines import damped_trend
from karusel.forecasting.features import Reader, anchors, levels, plain_reader, returns
from karusel.forecasting.fitting import _is_to_be_pooled
from karusel.forecasting.members import QUANTILES, EnsembleSettings
from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.pooled import _widening, fit_pooled, rows_to_pool
from karusel.forecasting.windows import Cutoffs

SMALL = EnsembleSettings(hidden_size=6, num_layers=1, n_members=2, random_state=5)
READERS = {
    "plain": plain_reader(4, (), False),
    "week of days": plain_reader(9, (7,), False),
    "year of weeks": plain_reader(5, (20, 52), False),
    "day and week of hours": plain_reader(30, (24, 168), False),
    "year of weeks alone": plain_reader(13, (52,), False),
    "day and week of half-hours": plain_reader(7, (48, 336), False),
}


@pytest.fixture(autouse=True)
def _short_training(monkeypatch):
    monkeypatch.setattr(members, "_VISITS", 1500)


def many(rows: int = 60, series: int = 22, seed: int = 0) -> Panel:
    """Series of different lengths and levels, with a season of 7 and noise."""
    random = np.random.default_rng(seed)
    parts = []
    for k in range(series):
        t = np.arange(rows - k % 9)
        parts.append((k + 2) * (20 + 5 * np.sin(2 * np.pi * (t + k) / 7) + 0.5 * random.normal(size=t.size)))
    ids = np.repeat(np.arange(series), [len(part) for part in parts])
    return from_columns(np.concatenate(parts), ids=ids)


# Reading


def test_the_reader_follows_from_horizon_and_seasons():
    assert (READERS["plain"].look_back, READERS["plain"].patch) == (8, 1)
    assert (READERS["week of days"].look_back, READERS["week of days"].patch) == (28, 7)
    hourly = READERS["day and week of hours"]
    assert (hourly.fast, hourly.slow, hourly.look_back, hourly.patch) == (24, 168, 336, 24)
    day = plain_reader(30, (48,), False, suggested=(48, 336))
    assert (day.fast, day.slow, day.look_back, day.patch) == (48, 0, 192, 48)
    halves = plain_reader(30, (48, 336), False)
    assert (halves.fast, halves.slow, halves.look_back, halves.patch) == (48, 336, 672, 48)
    weekly = READERS["year of weeks alone"]
    assert (weekly.fast, weekly.slow, weekly.look_back, weekly.patch) == (1, 52, 52, 13)
    assert plain_reader(9, (7,), False, look_back=10).look_back == 14


@pytest.mark.parametrize("name", list(READERS))
def test_windows_are_read_the_same_at_any_level_and_size(name):
    for reader in anchors(READERS[name]):
        y = np.random.default_rng(2).normal(size=(3, reader.length)).cumsum(1)
        y[1, : reader.length // 2] = np.nan
        plain, moved = reader.read(y), reader.read(4000 + 40 * y)
        changing = plain.features.shape[2] - 2  # the last two say how large size and history are
        np.testing.assert_allclose(
            moved.features[:, :, :changing], plain.features[:, :, :changing], rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(moved.anchor, 4000 + 40 * plain.anchor, rtol=1e-9)
        np.testing.assert_allclose(moved.size, 40 * plain.size, rtol=1e-9)
        assert plain.features.shape[:2] == (3, reader.look_back // reader.patch)


def test_anchors_repeat_a_season_whatever_the_horizon():
    day = np.random.default_rng(4).normal(size=24)
    reader = READERS["day and week of hours"]
    for one in anchors(reader):
        y = np.tile(day, 60)[-one.length :]
        np.testing.assert_allclose(one.read(y[None]).anchor[0], np.tile(day, 2)[:30], atol=1e-12)
    year = np.random.default_rng(4).normal(size=52)
    one = replace(READERS["year of weeks alone"], anchor=((52, 2),))
    np.testing.assert_allclose(
        one.read(np.tile(year, 4)[None, -one.length :]).anchor[0], year[:13], atol=1e-12
    )


def test_an_anchor_takes_the_level_of_now_and_the_pattern_of_then():
    reader = Reader(horizon=3, seasons=(4, 8), look_back=8, patch=4, anchor=((8, 1),))
    y = np.array([9.0, 9, 9, 9, 1, 2, 3, 4, 21, 22, 23, 24])[None]  # the last day's mean is 22.5
    before = np.array([[0.0] * 8])
    y = np.concatenate([before, y], axis=1)[:, -reader.length :]
    # eight steps ago the day had the mean 9 and went on with 1, 2, 3
    np.testing.assert_allclose(reader.read(y).anchor, 22.5 + np.array([[1, 2, 3]]) - 9.0)


def test_a_pattern_from_before_the_start_of_a_series_is_left_out():
    reader = Reader(horizon=2, seasons=(4, 8), look_back=8, patch=4, anchor=((4, 1), (8, 1)))
    y = np.full((1, reader.length), np.nan)
    y[0, -4:] = [5, 6, 7, 8]
    # nothing is known of eight steps ago: the level 6.5 stands in for that half
    np.testing.assert_allclose(reader.read(y).anchor, [[(5 + 6.5) / 2, (6 + 6.5) / 2]])
    two = replace(reader, anchor=((8, 2),))
    y = np.full((1, two.length), np.nan)
    y[0, -12:] = [0, 0, 0, 0, 3, 5, 0, 0, 8, 8, 8, 8]
    # of the two seasons only the later one is known: it counts whole
    np.testing.assert_allclose(two.read(y).anchor, [[8 + 3, 8 + 5]])


def test_a_pattern_may_be_the_mean_of_eight_slow_seasons():
    reader = next(one for one in anchors(plain_reader(2, (3, 12), False)) if one.anchor == ((12, 8),))
    years = np.random.default_rng(8).normal(size=(9, 12))
    got = reader.anchor_alone(reader.see(years.reshape(1, -1)[:, -reader.length :]))[0]
    before = years.ravel()[9:].reshape(-1, 3).mean(1)[:32:4]  # the three months before each of eight years
    np.testing.assert_allclose(got, years[-1, -3:].mean() + (years[1:, :2] - before[:, None]).mean(0))


def test_a_level_may_be_the_mean_of_several_seasons():
    reader = Reader(horizon=2, seasons=(3,), look_back=6, patch=3, anchor=((3, 1),))
    assert [one.levels for one in levels(reader)] == [1, 2, 4, 8]
    y = np.arange(24.0)[None]
    # the last season has the mean 22 and begins one below it, the last two have the mean 20.5
    np.testing.assert_allclose(reader.anchor_alone(reader.see(y)), [[21, 22]])
    np.testing.assert_allclose(replace(reader, levels=2).anchor_alone(reader.see(y)), [[19.5, 20.5]])


def test_a_level_may_return_to_that_of_past_seasons():
    reader = Reader(horizon=4, seasons=(3,), look_back=6, patch=3, anchor=((3, 2),))
    assert [one.left for one in returns(reader)] == [1, 0.99, 0.98, 0.96, 0.93, 0.9]
    assert list(returns(replace(reader, seasons=()))) == [replace(reader, seasons=())]
    y = np.array(
        [[0.0, 1, 2, 7, 9, 14, 4, 5, 6]]
    )  # levels 1, 10 and 5: of now 5, of the last two seasons 7.5
    pattern = np.array([-2.0, -0.5, 2.5, -2])  # the mean of -1, 0, 1 and of -3, -1, 4
    np.testing.assert_allclose(reader.anchor_alone(reader.see(y))[0], 5 + pattern)
    half = replace(reader, left=0.5).anchor_alone(reader.see(y))[0]
    np.testing.assert_allclose(half, 7.5 - 2.5 * 0.5 ** np.arange(1, 5) + pattern)


def test_a_flow_that_returns_to_its_season_is_anchored_so():
    random = np.random.default_rng(0)
    rest = np.zeros(900)
    for t in range(1, 900):
        rest[t] = 0.9 * rest[t - 1] + random.normal()
    y = 20 + 2 * np.sin(2 * np.pi * np.arange(900) / 7) + rest
    assert fit_pooled(from_columns(y), 14, (7,), SMALL).reader.left < 1
    walk = 50 + 2 * np.sin(2 * np.pi * np.arange(900) / 7) + np.cumsum(random.normal(size=900))
    assert fit_pooled(from_columns(walk), 14, (7,), SMALL).reader.left >= 0.98


def test_each_step_reads_what_followed_a_slow_season_before():
    reader = plain_reader(3, (30,), False)
    assert (reader.patch, reader.look_back, reader.slow) == (6, 30, 30)
    y = np.random.default_rng(3).normal(size=(2, reader.length))
    reading = reader.read(y)
    follows = reading.features[:, :, 18:21]  # after 6 values, 6 marks of what is known and 6 differences
    before = y[:, [-31]]  # the level then
    for step in range(5):
        first = reader.length - 30 + 6 * (step + 1) - 30
        np.testing.assert_allclose(
            follows[:, step], (y[:, first : first + 3] - before) / reading.size / 3, rtol=1e-4, atol=1e-5
        )


@given(
    st.integers(1, 40),
    st.lists(st.integers(2, 60), max_size=2, unique=True),
    st.booleans(),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=60)
def test_any_window_with_a_known_value_is_read_finite(horizon, seasons, log, seed):
    random = np.random.default_rng(seed)
    for reader in anchors(plain_reader(horizon, tuple(seasons), log)):
        y = np.exp(random.normal(size=(4, reader.length)))
        y[random.random(y.shape) < 0.4] = np.nan
        y[0, :-1] = np.nan
        y[1] = 3.0
        y[:, -1] = 2.0
        reading = reader.read(y)
        assert np.isfinite(reading.features).all()
        assert np.isfinite(reading.anchor).all()
        assert (reading.size > 0).all()
        assert reading.anchor.shape == (4, horizon)


def test_input_parts_before_the_start_of_a_series_are_unknown():
    values = np.arange(10.0)
    got = windows.padded_inputs(values, np.array([0, 6]), np.array([2, 7]), 5)
    np.testing.assert_array_equal(got, [[np.nan, np.nan, 0, 1, 2], [np.nan, np.nan, np.nan, 6, 7]])


# Smoothing


def test_a_damped_trend_follows_a_line_and_keeps_a_constant():
    line = np.arange(40.0)[None]
    got = damped_trend(line, 3)[0]
    assert np.all(np.diff(got) > 0.5)
    assert got[0] == pytest.approx(40, abs=0.3)
    padded = np.concatenate([np.full((1, 5), np.nan), np.full((1, 7), 3.5)], axis=1)
    np.testing.assert_array_equal(damped_trend(padded, 4), np.full((1, 4), 3.5))


def test_a_damped_trend_agrees_with_the_recursion_printable():
    noise = np.random.default_rng(9).normal(size=(2, 40))
    y = 50 + (0.5 * noise[0]).cumsum().cumsum() + 2 * noise[1]  # neither level nor trend is to be trusted
    got, least, wanted = damped_trend(y[None], 5)[0], np.inf, None
    for a in (0.2, 0.4, 0.6, 0.8, 1.0):
        for b, phi in ((0.0, 1.0), (0.1, 0.9), (0.2, 0.8), (0.2, 0.98), (0.4, 0.9)):
            level, trend, error = y[0], 0.0, 0.0
            for value in y[1:]:
                miss = value - level - phi * trend
                error += abs(miss)
                level, trend = level + phi * trend + a * miss, phi * trend + a * b * miss
            if error < least:
                least = error
                wanted = [level + trend * sum(phi**i for i in range(1, k + 1)) for k in range(1, 6)]
    np.testing.assert_allclose(got, wanted)


# The model


def test_values_of_zero_and_more_are_forecast_as_such():
    random = np.random.default_rng(3)
    counts = [random.poisson(0.4 + 3 * (np.arange(120) % 7 == k % 7)) for k in range(20)]
    panel = from_columns(np.concatenate(counts).astype(float), ids=np.repeat(np.arange(20), 120))
    model = fit_pooled(panel, 5, (7,), SMALL)
    forecast, intervals = model.predict_at(panel, panel.offsets[1:] - 1)
    assert model.reader.log
    assert model.reader.shift == 1
    assert np.all(forecast >= 0)
    assert all(np.all(low >= 0) for low, _ in intervals.values())
    below = replace(panel, values=panel.values - 1)
    assert not fit_pooled(below, 5, (7,), SMALL).reader.log


def test_windows_with_missing_targets_teach_what_is_known():
    random = np.random.default_rng(4)
    values = np.concatenate([10 + 5 * (np.arange(90) % 7 == k % 7) for k in range(20)]).astype(float)
    values += 0.1 * random.normal(size=values.size)
    values[np.arange(values.size) % 5 == 2] = np.nan  # no window of 6 steps is whole
    panel = from_columns(values, ids=np.repeat(np.arange(20), 90))
    model = fit_pooled(panel, 6, (7,), SMALL)
    forecast, _ = model.predict_at(panel, panel.offsets[1:] - 1)
    truth = np.array([10 + 5 * (np.arange(90, 96) % 7 == k % 7) for k in range(20)])
    assert np.mean(np.abs(forecast - truth)) < 0.6


def test_few_series_teach_by_all_of_their_history_many_by_what_is_recent(monkeypatch):
    taught = []

    def fit_ensemble(training, *rest):
        taught.append(training.at)
        return members.fit_ensemble(training, *rest)

    monkeypatch.setattr(pooled, "fit_ensemble", fit_ensemble)
    panel = from_columns(np.random.default_rng(6).normal(size=2 * 900).cumsum(), ids=np.repeat([0, 1], 900))
    monkeypatch.setattr(pooled, "_LEAST_WINDOWS", 330)
    reader = fit_pooled(panel, 5, (7,), SMALL).reader
    held_out, final = taught
    assert len(final) == 330
    assert final[0] == reader.length - 1
    assert final[-1] == 1800 - 1 - 5
    assert set(np.diff(final[final < 900])) == {5, 6}
    assert max(held_out) < 1800 - 1 - 2 * 5
    monkeypatch.setattr(pooled, "_LEAST_WINDOWS", 100)  # ten horizons of two series are as many
    fit_pooled(panel, 5, (7,), SMALL)
    wanted = np.arange(900 - 5 - 50, 900 - 5)
    np.testing.assert_array_equal(taught[-1], np.concatenate([wanted, 900 + wanted]))


def test_the_future_of_a_cutoff_changes_no_forecast():
    panel = many()
    model = fit_pooled(panel, 6, (7,), SMALL)
    cutoffs = panel.offsets[1:] - 1 - 10
    usual, intervals = model.predict_at(panel, cutoffs)
    values = panel.values.copy()
    for cutoff in cutoffs:
        values[cutoff + 1 : cutoff + 11] *= -3
    changed, changed_intervals = model.predict_at(replace(panel, values=values), cutoffs)
    np.testing.assert_array_equal(changed, usual)
    for level in (80.0, 95.0):
        np.testing.assert_array_equal(changed_intervals[level], intervals[level])


def test_what_is_chosen_on_held_out_time_is_bound_by_it():
    panel = many()
    model = fit_pooled(panel, 6, (7,), SMALL)
    assert 0 <= model.share <= 1
    assert model.losses["blend"] <= max(model.losses["smoothing"], model.losses["networks"])
    forecast, intervals = model.predict_at(panel, panel.offsets[1:] - 1)
    for low, high in intervals.values():
        assert np.all((low < forecast) & (forecast < high))
    assert (
        np.all(intervals[95.0][0] <= intervals[80.0][0] + 1e-9) or model.widening[80.0] > model.widening[95.0]
    )


@pytest.mark.parametrize(
    ("seasons", "rows", "horizon", "pooled"),
    [
        ((24, 168), 504, 48, True),  # three weeks of hours
        ((24, 168), 503, 48, False),
        ((24, 168), 504, 168, False),  # a window and what is held out take more
        ((7, 364), 1092, 30, True),
        ((52,), 156, 13, True),
        ((12,), 144, 12, False),  # AirPassengers: one fast season
        ((48, 336), 1008, 48, True),  # three weeks of half-hours
        ((60, 1440, 10_080), 40_000, 60, False),  # three seasons of which it knows two
        ((24,), 5000, 48, False),
        ((), 5000, 10, False),
    ],
)
def test_one_series_is_pooled_if_it_holds_its_slow_season(seasons, rows, horizon, pooled):
    panel = from_columns(np.arange(float(rows)), None, np.zeros(rows, int))
    panel = replace(panel, frequency=replace(panel.frequency, season_lengths=seasons))
    assert _is_to_be_pooled(panel, horizon) == pooled


def test_few_series_get_smaller_networks_that_look_back_less():
    usual = EnsembleSettings()
    assert usual.look_backs(19) == [0.5, 1.0, 0.5]
    assert usual.look_backs(20) == [0.5, 1.0, 1.5, 0.5, 1.0]
    assert [usual.hidden(series, h) for series, h in ((19, 48), (20, 32), (20, 33))] == [64, 128, 256]
    given = EnsembleSettings(hidden_size=5, n_members=4)
    assert given.hidden(1, 9) == 5
    assert given.look_backs(1) == [0.5, 1.0, 0.5, 0.5]


@given(st.data())
@settings(deadline=None)
def test_gaps_take_the_value_before_them_and_the_start_the_first_one(data):
    rows, steps = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    numbers = st.one_of(st.just(np.nan), st.integers(0, 99))
    inputs = np.array([[data.draw(numbers) for _ in range(steps)] for _ in range(rows)], float)
    for row, got in zip(inputs, windows.filled(inputs), strict=True):
        known = np.flatnonzero(np.isfinite(row))
        wanted = [
            row[max([k for k in known if k <= t], default=known[0])] if known.size else np.nan
            for t in range(steps)
        ]
        np.testing.assert_array_equal(got, wanted)


@given(st.data())
@settings(deadline=None)
def test_windows_reach_back_to_the_start_of_their_series_and_no_farther(data):
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    length = data.draw(st.integers(1, 9))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.arange(100.0, 100.0 + offsets[-1])
    ats = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=5)))
    starts = offsets[np.searchsorted(offsets, ats, "right") - 1]
    got = windows.padded_inputs(values, starts, ats, length)
    for at, start, row in zip(ats, starts, got, strict=True):
        there = values[max(start, at - length + 1) : at + 1]
        np.testing.assert_array_equal(row, [*[np.nan] * (length - len(there)), *there])


def test_windows_longer_than_what_is_read_at_once_are_the_same_windows(monkeypatch):
    monkeypatch.setattr(windows, "PIECE", 50)
    monkeypatch.setattr(windows, "_AT_ONCE", 50)
    panel, length = many(rows=40, series=3), 23
    every = Cutoffs(panel, np.arange(len(panel.values)))
    expected = np.full((len(every), length), np.nan)
    for row, (start, at) in enumerate(zip(every.starts, every.at, strict=True)):
        known = panel.values[max(start, at + 1 - length) : at + 1]
        expected[row, length - known.size :] = known
    pieces = list(every.pieces(length))
    assert [len(piece) for piece in pieces[:-1]] == [2] * (len(pieces) - 1)
    np.testing.assert_array_equal(every.inputs(length), expected)
    np.testing.assert_array_equal(np.concatenate([piece.inputs(length) for piece in pieces]), expected)


def test_long_anchors_are_chosen_on_fewer_windows(monkeypatch):
    panel, reader, see, seen = many(), plain_reader(5, (7,), False), Reader.see, []
    monkeypatch.setattr(Reader, "see", lambda own, inputs: seen.append(inputs.shape) or see(own, inputs))
    training = pooled._training_windows(panel, 5, reader, 0)
    for numbers in (10**9, 2_000):
        seen.clear()
        monkeypatch.setattr(pooled, "_ANCHOR_NUMBERS", numbers)
        pooled._best_reader(training, panel.mean_steps(7), [reader])
        longest = max(pooled._smoothing_length(one) for one in anchors(reader))
        assert {rows for rows, _ in seen} == {min(len(training), numbers // longest)}


def test_widening_counts_the_values_of_a_series_as_one():
    ends = np.array([-2.0, -1.0, 0.0, 0.5, 4.0])  # down 2 and up 4 at 95 %, down 1 and up 0.5 at 80 %
    random = np.random.default_rng(5)
    quantiles, truth = np.broadcast_to(ends, (40, 5, 5)), random.normal(size=(40, 5)) * 3
    truth[7, 2] = np.nan
    known = truth[np.isfinite(truth)]
    outer = np.sort(np.maximum(known / 4, -known / 2))
    inner = np.sort(np.maximum(known / 0.5, -known))
    # 40 series: 0.95 * 41 / 40 of 199 scores are 193.8, so the 194th; 0.8 * 41 / 40 are 163.2.
    assert _widening(quantiles, truth, 40) == {95.0: outer[193], 80.0: inner[163]}
    assert _widening(quantiles, truth, 4) == {95.0: outer[-1], 80.0: inner[-1]}  # 4 promise no 95 %


def test_the_season_is_found_and_followed():
    panel = many()
    model = fit_pooled(panel, 6, (7,), SMALL)
    cutoffs = panel.offsets[1:] - 1 - 6
    forecast, _ = model.predict_at(panel, cutoffs)
    truth = windows.targets(panel.values, cutoffs, 6)
    last = panel.values[cutoffs][:, None]
    assert np.mean(np.abs(truth / forecast - 1)) < 0.25 * np.mean(np.abs(truth / last - 1))


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads():
    panel = many()
    one = fit_pooled(panel, 4, (7,), SMALL)
    two = fit_pooled(panel, 4, (7,), replace(SMALL, n_jobs=2))
    cutoffs = panel.offsets[1:] - 1
    np.testing.assert_array_equal(one.predict_at(panel, cutoffs)[0], two.predict_at(panel, cutoffs)[0])


def test_short_series_are_pooled_with_the_rest_and_a_panel_of_short_ones_is_refused():
    short = from_columns(np.arange(5.0), ids=[0] * 2 + [1] * 3)
    with pytest.raises(DataError, match="no series is longer than"):
        fit_pooled(short, 4, (), SMALL)
    lengths = [40] * 20 + [4]
    values = np.concatenate([np.random.default_rng(1).normal(size=n).cumsum() for n in lengths])
    panel = from_columns(values, ids=np.repeat(np.arange(21), lengths))
    model = fit_pooled(panel, 3, (), SMALL)
    assert np.isfinite(model.predict_at(panel, panel.offsets[1:] - 1)[0]).all()


def test_members_forecast_five_quantiles_in_order():
    panel = many()
    model = fit_pooled(panel, 4, (7,), SMALL)
    quantiles = model.ensemble.predict(Cutoffs(panel, panel.offsets[1:] - 1))
    assert quantiles.shape == (len(panel), 4, len(QUANTILES))
    assert np.all(np.diff(quantiles, axis=2) >= 0)


# In the forecaster


def test_the_forecaster_pools_from_twenty_series_on():
    panel = many()
    series = [panel.series(k) for k in range(len(panel))]
    model = Forecaster(h=4, season_length=7, n_members=1, hidden_size=6, num_layers=1).fit(series)
    assert model.season_length_ == 7
    assert "networks" in model.model_.model.losses
    got = model.predict(level=[80, 95])
    assert got["LSTM"].shape == (len(series), 4)
    assert np.all(got["LSTM-lo-95"] <= got["LSTM-lo-80"])
    assert np.all(got["LSTM-hi-80"] <= got["LSTM-hi-95"])
    few = Forecaster(h=4, season_length=7, n_members=1, hidden_size=6, backtest=False).fit(series[:19])
    assert not hasattr(few.model_.model, "losses")


@pytest.mark.parametrize(("rows", "horizon"), [(39, 9), (45, 12), (40, 10), (20, 3)])
def test_rows_from_which_a_model_is_fitted_are_enough(rows, horizon):
    panel = many().without_last(many().lengths - rows_to_pool(horizon))
    assert fit_pooled(panel, horizon, (), SMALL).horizon == horizon
    settings = {"n_members": 1, "hidden_size": 6, "num_layers": 1}
    series = [many().series(k)[:rows] for k in range(21)]
    backtest = Forecaster(horizon, **settings).fit(series).backtest_
    assert (backtest is None) == (rows <= horizon + max(horizon + 11, rows_to_pool(horizon)))


def test_a_gap_longer_than_the_networks_look_back_is_no_obstacle():
    y = wave_with_gap(200, 60, 160)
    model = Forecaster(6, season_length=1, n_members=1, hidden_size=6).fit(y)
    assert model.model_.pooled
    assert np.isfinite(model.predict()).all()
    late = replace(model.panel_, values=np.append(y, [np.nan] * 30), offsets=np.array([0, 230]))
    with pytest.raises(DataError, match="all of the 9 values of the series before a forecast are missing"):
        model.forecast(panel=late)


@pytest.mark.parametrize(("rows", "first", "last"), [(60, 5, 50), (200, 90, 195)])
def test_values_too_few_or_too_far_apart_are_refused_in_a_sentence(rows, first, last):
    with pytest.raises(
        DataError, match=f"only {rows - last + first} of {rows} values of the series are known"
    ):
        Forecaster(6, season_length=1).fit(wave_with_gap(rows, first, last))
    sparse = np.full(61, np.nan)
    sparse[::12] = np.arange(6)
    with pytest.raises(DataError, match="only 6 of 61 values of the series are known, too few"):
        Forecaster(6).fit(sparse)


def wave_with_gap(rows: int, first: int, last: int) -> np.ndarray:
    y = 50 + 10 * np.sin(np.arange(rows)) + np.random.default_rng(0).normal(size=rows)
    y[first:last] = np.nan
    return y


def test_missing_values_change_a_backtest_and_no_refusal_stands_in_its_way():
    series = [many().series(k) for k in range(21)]
    settings = {"h": 4, "season_length": 7, "n_members": 1, "hidden_size": 6, "num_layers": 1}
    whole = Forecaster(**settings).fit(series).backtest_
    series[4][-6] = np.nan
    gap = Forecaster(**settings).fit(series)
    missing = np.isnan(gap.backtest_.truth)
    assert missing.any()
    assert np.flatnonzero(missing.any((0, 2))).tolist() == [4]
    np.testing.assert_array_equal(gap.backtest_.truth[~missing], whole.truth[~missing])
    assert np.isfinite(gap.predict(level=[95])["LSTM-lo-95"]).all()


def test_products_that_sell_now_and_then_have_bounds_of_their_own_order(monkeypatch):
    """A window that hardly changed, in logarithms of mostly zeros, must not blow up all others' bounds."""
    monkeypatch.setattr(members, "_VISITS", 1500)
    random = np.random.default_rng(4)
    y = (random.random((24, 160)) < 0.02).astype(float)
    for row in y:
        for start in random.integers(0, 150, 3):
            row[start : start + 8] = np.rint(random.gamma(4, 30))
    model = Forecaster(7, season_length=7, hidden_size=6, n_members=2, num_layers=1).fit(y)
    assert model.model_.units.log
    assert model.forecast([95]).intervals[95][1].max() < 20 * y.max()
    assert model.coverage_[95] > 0.93
