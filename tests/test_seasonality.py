"""Seasons found in the values, on made series whose seasons are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from karusel.forecasting.panel import Panel, from_columns
from karusel.forecasting.seasonality import find_season_lengths
from karusel.sources import read_table

AIR_PASSENGERS = __file__.replace("tests/test_seasonality.py", "examples/data/air_passengers.csv")


def panel_of(*series: np.ndarray) -> Panel:
    return from_columns(np.concatenate(series), ids=np.repeat(np.arange(len(series)), list(map(len, series))))


def repeated(season: int, rows: int, seed: int) -> np.ndarray:
    return np.resize(np.random.default_rng(seed).normal(size=season), rows)


def noise(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 7]).normal(size=rows)


@pytest.mark.parametrize("seed", range(30))
def test_noise_and_random_walks_have_no_season(seed):
    assert find_season_lengths(panel_of(noise(150, seed))) == ()
    assert find_season_lengths(panel_of(noise(300, seed).cumsum())) == ()
    assert find_season_lengths(panel_of(*(noise(30, 100 * seed + k) for k in range(40)))) == ()


@pytest.mark.parametrize("seed", range(5))
def test_series_that_share_their_noise_have_no_season(seed):
    shared = noise(200, seed)
    series = [shared + 0.2 * noise(200, 50 * seed + k + 1) for k in range(20)]
    assert find_season_lengths(panel_of(*series)) == ()


@pytest.mark.parametrize(("season", "rows"), [(12, 144), (24, 400), (52, 260), (7, 200)])
@pytest.mark.parametrize("seed", range(4))
def test_one_season_is_found_under_trend_and_noise(season, rows, seed):
    y = repeated(season, rows, seed) + 0.4 * noise(rows, seed) + 0.1 * np.arange(rows)
    assert find_season_lengths(panel_of(y)) == (season,)


@pytest.mark.parametrize("seed", range(4))
def test_a_week_is_found_beside_the_day(seed):
    rows = 1000
    y = repeated(24, rows, seed) + 0.8 * repeated(168, rows, seed + 9) + 0.4 * noise(rows, seed)
    assert find_season_lengths(panel_of(y)) == (24, 168)


@pytest.mark.parametrize("seed", range(2, 5))
def test_seasons_that_do_not_divide_one_another_are_found(seed):
    rows = 400
    y = repeated(7, rows, seed) + 0.8 * repeated(30, rows, seed + 99) + 0.4 * noise(rows, seed)
    assert find_season_lengths(panel_of(y)) == (7, 30)


def test_two_peaks_a_day_are_no_half_day():
    t = np.arange(800)
    y = np.sin(2 * np.pi * t / 24) + 2 * np.sin(2 * np.pi * t / 12) + 0.4 * noise(800, 1)
    assert find_season_lengths(panel_of(y)) == (24,)


def test_short_series_are_pooled():
    series = [repeated(4, 18 + k % 5, k) + 0.5 * noise(18 + k % 5, k) for k in range(80)]
    assert find_season_lengths(panel_of(*series)) == (4,)
    assert find_season_lengths(panel_of(series[0][:10])) == ()


def test_missing_values_are_passed_over():
    y = repeated(12, 200, 3) + 0.3 * noise(200, 3)
    y[np.random.default_rng(1).permutation(np.arange(1, 199))[:30]] = np.nan
    assert find_season_lengths(panel_of(y)) == (12,)


def test_constant_series_have_no_season():
    assert find_season_lengths(panel_of(np.full(50, 3.0))) == ()
    assert find_season_lengths(panel_of(np.arange(50.0))) == ()


def test_a_smooth_season_takes_the_length_that_the_times_suggest():
    t = np.arange(200)
    panel = panel_of(np.sin(2 * np.pi * t / 50.6) + 0.02 * noise(200, 2))
    (found,) = find_season_lengths(panel)
    assert abs(found - 50.6) < 2
    suggested = replace(panel, frequency=replace(panel.frequency, season_lengths=(51,)))
    assert find_season_lengths(suggested) == (51,)


def test_air_passengers_have_a_year():
    assert find_season_lengths(read_table(AIR_PASSENGERS).panel()) == (12,)
