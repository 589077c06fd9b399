"""Frequency and panel: what is found in times, and which tables are refused with which words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel.errors import DataError, UsageError
from karusel.forecasting import frequency, panel, rows, windows
from karusel.forecasting.covariates import Column, Covariate

STARTS = st.integers(min_value=0, max_value=20_000).map(lambda days: np.datetime64("1950-01-01", "D") + days)


def month_times(start: np.datetime64, count: int, step: int, day: int) -> np.ndarray:
    """Month arithmetic written the obvious way, one date at a time."""
    year, month = (int(part) for part in str(start.astype("datetime64[M]")).split("-"))
    dates = []
    for k in range(count):
        y, m = divmod(year * 12 + month - 1 + k * step, 12)
        following = divmod(year * 12 + month + k * step, 12)
        length = int(
            (
                np.datetime64(f"{following[0]:04d}-{following[1] + 1:02d}-01")
                - np.datetime64(f"{y:04d}-{m + 1:02d}-01")
            )
            / np.timedelta64(1, "D")
        )
        dates.append(np.datetime64(f"{y:04d}-{m + 1:02d}-{min(day, length):02d}", "us"))
    return np.array(dates)


@settings(max_examples=60, deadline=None)
@given(STARTS, st.integers(5, 40), st.sampled_from([1, 3, 6, 12]), st.sampled_from([1, 15, 31]))
def test_months_are_found_and_continued(start, count, step, day):
    times = month_times(start, count + 7, step, day)
    found = frequency.infer(times[:count])
    assert (found.unit, found.step, found.day) == ("month", step, day)
    assert found.season_length == 12 // step
    np.testing.assert_array_equal(found.after(times[count - 1], 7), times[count:])


@settings(max_examples=60, deadline=None)
@given(
    STARTS,
    st.integers(5, 200),
    st.sampled_from([1, 7, 60, 900, 3600, 86_400, 604_800]),
    st.integers(0, 86_399),
)
def test_fixed_steps_are_found_and_continued(start, count, seconds, clock):
    times = (start.astype("datetime64[s]") + clock + seconds * np.arange(count + 5)).astype("datetime64[us]")
    found = frequency.infer(times[:count])
    whole_days = seconds % 86_400 == 0
    expected = ("day", seconds // 86_400) if whole_days else ("microsecond", seconds * 1_000_000)
    assert (found.unit, found.step) == expected
    np.testing.assert_array_equal(found.after(times[count - 1], 5), times[count:])


@settings(max_examples=40, deadline=None)
@given(STARTS, st.integers(8, 60))
def test_business_days_are_found_and_continued(start, count):
    days = [day for day in start + np.arange(2 * count + 30) if np.is_busday(day)]
    times = np.array(days[: count + 6]).astype("datetime64[us]")
    found = frequency.infer(times[:count])
    assert (found.unit, found.season_length) == ("business day", 5)
    np.testing.assert_array_equal(found.after(times[count - 1], 6), times[count:])


@settings(max_examples=40, deadline=None)
@given(st.integers(-1000, 3000), st.integers(1, 50), st.integers(2, 30))
def test_whole_numbers_are_found_and_continued(start, step, count):
    found = frequency.infer(start + step * np.arange(count))
    assert (found.unit, found.step, found.season_length) == ("integer", step, 1)
    np.testing.assert_array_equal(found.after(start, 3), start + step * np.array([1, 2, 3]))


@pytest.mark.parametrize(
    ("step", "season"),
    [
        ("M", 12),
        ("Q", 4),
        ("Y", 1),
        ("W", 52),
        ("D", 7),
        ("h", 24),
        ("15min", 96),
        ("5min", 288),
        ("min", 1440),
        ("s", 60),
    ],
)
def test_season_length_follows_from_the_step(step, season):
    start = np.datetime64("2020-01-01", "us")
    assert frequency.parse(step, np.array([start])).season_length == season


def test_ms_is_milliseconds_and_not_months():
    start = np.array(["2020-01-01"], "datetime64[us]")
    assert frequency.parse("10ms", start).describe() == "every 10 milliseconds"
    assert frequency.parse("MS", start).describe() == "monthly (first day of the month)"


def test_several_series_share_one_frequency():
    times = np.array(["2020-01-01", "2020-02-01", "2020-03-01", "1990-07-01", "1990-08-01"], "datetime64[us]")
    found = frequency.infer(times, np.array([0, 3, 5]))
    assert (found.unit, found.step) == ("month", 1)


def test_labels_are_as_short_as_the_frequency_allows():
    monthly = frequency.infer(np.array(["2020-01-01", "2020-02-01"], "datetime64[us]"))
    assert monthly.label(np.datetime64("2020-01-01")) == "2020-01"
    hourly = frequency.infer(np.array(["2020-01-01T22", "2020-01-01T23"], "datetime64[us]"))
    assert hourly.label(np.datetime64("2020-01-01T23")) == "2020-01-01 23:00"
    assert hourly.describe() == "hourly"


@pytest.mark.parametrize("text", ["fortnight", "", "0D", "5 apples", "-3"])
def test_an_unknown_frequency_is_a_usage_error(text):
    with pytest.raises(UsageError, match="is not known"):
        frequency.parse(text, np.array(["2020-01-01"], "datetime64[us]"))


def monthly(count: int) -> np.ndarray:
    return month_times(np.datetime64("2000-01-01", "D"), count, 1, 1)


def test_usual_steps_are_those_of_the_series_until_the_cutoff():
    built = panel.from_columns(np.array([1, np.nan, 4, 9, 7, 50, 40, 41]), ids=list("aaaaabbb"))
    at = np.arange(8)
    usual = windows.Cutoffs(built, at).usual_steps(1)
    np.testing.assert_allclose(usual, [[0], [0], [0], [5], [3.5], [0], [10], [5.5]])
    usual = windows.Cutoffs(built, at[::-1]).usual_steps(2)[::-1]
    np.testing.assert_allclose(usual, [[0], [0], [3], [3], [3], [0], [0], [9]])
    np.testing.assert_allclose(built.mean_steps(2), [3, 9])
    np.testing.assert_allclose(built.mean_steps(2, until=1), [3, 3])


def test_a_window_without_a_known_value_is_refused_by_its_series():
    values = np.arange(12.0)
    built = panel.from_columns(values, ids=np.repeat(["a", "b", "c"], 4))
    values = np.where(np.isin(np.arange(12), [6, 7]), np.nan, values)
    ends = windows.Cutoffs(replace(built, values=values), np.array([3, 7, 11]))
    ends.refuse_unknown(3)
    with pytest.raises(DataError, match='all of the 2 values of series "b" before a forecast are missing'):
        ends.refuse_unknown(2)


def test_rows_are_sorted_within_each_series_and_that_is_said():
    times = monthly(3)[[2, 0, 1, 1, 0]]
    built = panel.from_columns(np.array([3.0, 1, 2, 20, 10]), times, ["a", "a", "a", "b", "b"])
    np.testing.assert_array_equal(built.values, [1, 2, 3, 10, 20])
    np.testing.assert_array_equal(built.offsets, [0, 3, 5])
    assert built.ids == ("a", "b")
    assert built.notes == ("the rows were not in order of time: sorted",)
    np.testing.assert_array_equal(built.future_times(1)[:, 0], [monthly(4)[3], monthly(3)[2]])


def test_interleaved_series_in_order_of_time_need_no_word():
    built = panel.from_columns(np.arange(4.0), monthly(2)[[0, 0, 1, 1]], ["a", "b", "a", "b"])
    assert built.notes == ()
    np.testing.assert_array_equal(built.values, [0, 2, 1, 3])


def test_values_missing_at_the_ends_are_dropped_and_that_is_said():
    nan = np.nan
    built = panel.from_columns(np.array([nan, 1, 2, 3, nan, nan]), monthly(6))
    np.testing.assert_array_equal(built.values, [1, 2, 3])
    assert built.notes == ("3 rows without a value at the start or end of a series: dropped",)
    np.testing.assert_array_equal(built.future_times(1)[0], monthly(5)[4:])


@pytest.mark.parametrize("row", [0, 5, 6, 11, 12, 17])
def test_a_value_missing_at_one_end_of_one_series_is_dropped(row):
    values = np.arange(18.0)
    values[row] = np.nan
    built = panel.from_columns(values, ids=np.repeat(["a", "b", "c"], 6))
    np.testing.assert_array_equal(built.values, np.delete(np.arange(18.0), row))
    assert sorted(built.lengths) == [5, 6, 6]
    assert built.notes == ("1 row without a value at the start or end of a series: dropped",)


def test_times_are_counted_where_there_are_none():
    built = panel.from_columns(np.arange(5.0), ids=["a", "a", "b", "b", "b"])
    np.testing.assert_array_equal(built.times, [0, 1, 0, 1, 2])
    assert built.frequency.describe() == "whole numbers, step 1"


@pytest.mark.parametrize(
    ("values", "times", "words"),
    [
        ([], monthly(0), "no rows"),
        ([1, np.inf, 3], monthly(3), r"row 1 holds inf"),
        (
            [1, 2, 3],
            monthly(3)[[0, 1, 1]],
            r"1 duplicate time in the series, such as 2000-02-01: row 1 and row 2",
        ),
        ([np.nan, np.nan], monthly(2), "no value at all"),
        ([1], monthly(1), "no series has two times"),
        ([1, 2], np.array([0.5, 1.5]), "whole numbers"),
        ([1, 2], np.array(["2000-01-01", "NaT"], "datetime64[us]"), "row 1 has no time"),
        (
            [1, 2, 3, 4, 5],
            np.array(
                ["2000-01-01", "2000-01-04", "2000-01-05", "2000-02-11", "2003-01-01"], "datetime64[us]"
            ),
            "not regular",
        ),
    ],
)
def test_bad_tables_are_refused_with_the_place(values, times, words):
    with pytest.raises(DataError, match=words):
        panel.from_columns(np.array(values, float), times)


def test_overrides_replace_what_is_found():
    built = panel.from_columns(np.arange(4.0), monthly(4), freq="M", season_length=6)
    assert (built.frequency.season_length, built.frequency.season_lengths) == (6, (6,))
    with pytest.raises(UsageError, match="season_length must be a whole number from 1 up, got 0"):
        panel.from_columns(np.arange(4.0), monthly(4), season_length=0)


@pytest.mark.parametrize("freq", ["D", "Q"])
def test_a_given_frequency_must_fit_the_times(freq):
    with pytest.raises(DataError, match=r"absent|not regular"):
        panel.from_columns(np.arange(6.0), monthly(6), freq=freq)


def test_the_panel_before_its_end_keeps_every_series_in_its_place():
    built = panel.from_columns(np.arange(9.0), ids=list("aabbbbccc"))
    shorter = built.without_last(2)
    assert shorter.ids == ("a", "b", "c")
    np.testing.assert_array_equal(shorter.offsets, [0, 0, 2, 3])
    np.testing.assert_array_equal(shorter.values, [2, 3, 6])
    np.testing.assert_array_equal(shorter.series_times(1), [0, 1])
    each = built.without_last(np.array([0, 5, 1]))
    np.testing.assert_array_equal(each.offsets, [0, 2, 2, 4])
    np.testing.assert_array_equal(each.values, [0, 1, 6, 7])
    assert built.without_last(0).future_times(2).tolist() == built.future_times(2).tolist()


def test_positions_are_named_by_series_and_time():
    nan = np.nan
    times = monthly(5)[[0, 1, 2, 3, 0, 1, 4]]
    built = panel.from_columns(np.array([1, nan, nan, 4, 5, nan, 7]), times, list("aaaabbb"))
    assert [built.label(position) for position in (0, 3, 4, 6)] == [
        "2000-01",
        "2000-04",
        "2000-01",
        "2000-03",
    ]
    assert built.number_of(np.array([0, 3, 4, 8])).tolist() == [0, 0, 1, 1]
    assert [gap.count for gap in built.gaps()] == [2, 3]
    assert [gap.count for gap in built.without_last(1).gaps()] == [2, 3]
    np.testing.assert_array_equal(built.mask, [1, 0, 0, 1, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(built.ends, monthly(5)[[3, 4]])
    touching = panel.from_columns(np.array([1, nan, 3, 4, nan, 6]), ids=list("aaabbb")).without_last(1)
    assert [(gap.series, gap.count) for gap in touching.gaps()] == [("a", 1), ("b", 1)]


def test_a_holiday_is_a_gap_among_business_days():
    days = np.array(["2024-12-23", "2024-12-24", "2024-12-26", "2024-12-27", "2024-12-30"], "datetime64[us]")
    built = panel.from_columns(np.arange(5.0), days)
    assert built.frequency.describe() == "business days"
    np.testing.assert_array_equal(built.mask, [1, 1, 0, 1, 1, 1])


def test_slipping_weeks_are_not_days_with_gaps():
    days = np.datetime64("2024-01-01", "us") + np.cumsum([0, 7, 7, 6, 8, 7, 7, 7, 8, 6]) * np.timedelta64(
        1, "D"
    )
    with pytest.raises(DataError, match="2024-01-08, which is not daily"):
        panel.from_columns(np.arange(10.0), days)
    mistyped = (np.datetime64("2024-01-01", "D") + np.array([*range(30), 5000])).astype("datetime64[us]")
    with pytest.raises(DataError, match="2024-01-30 in row 29 is followed by 2037-09-09, which is not daily"):
        panel.from_columns(np.arange(31.0), mistyped)


@pytest.mark.parametrize("seasons", [(24, 168), [24, 168]])
def test_several_seasons_may_be_given(seasons):
    built = panel.from_columns(np.arange(4.0), season_length=seasons)
    assert built.frequency.season_lengths == (24, 168)
    assert panel.from_columns(np.arange(4.0), season_length=1).frequency.season_lengths == ()


TABLES = {
    "months": (lambda n: monthly(n), None),
    "business days": (lambda n: np.busday_offset("2024-01-01", np.arange(n)).astype("datetime64[us]"), None),
    "hours": (lambda n: np.datetime64("2024-01-31T22", "us") + np.arange(n) * np.timedelta64(1, "h"), None),
    "weeks": (lambda n: np.datetime64("2024-01-07", "us") + 7 * np.arange(n) * np.timedelta64(1, "D"), "W"),
    "numbers": (lambda n: 5 + 3 * np.arange(n), None),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("shuffled", [False, True])
def test_rows_looked_at_in_pieces_make_the_same_panel(kind, shuffled, monkeypatch):
    times_of, freq = TABLES[kind]
    random = np.random.default_rng(5)
    lengths, absent = (7, 1, 12, 3, 9), np.array([2, 3, 11, 26])
    ids = np.repeat(np.arange(5), lengths)
    times = np.concatenate([times_of(40)[first : first + n] for first, n in enumerate(lengths)])
    values = random.normal(size=ids.size)
    values[[0, 9, 22]] = np.nan
    kept = np.delete(np.arange(ids.size), absent)
    if shuffled:
        kept = random.permutation(kept)

    def read():
        column = Column(Covariate("promotion", "future"), values[kept] ** 2)
        return panel.from_columns(values[kept], times[kept], ids[kept], freq=freq, columns=[column])

    whole = read()
    monkeypatch.setattr(rows, "PIECE", 4)
    monkeypatch.setattr(frequency, "PIECE", 4)
    pieces = read()
    assert pieces.frequency == whole.frequency
    assert (pieces.ids, pieces.notes) == (whole.ids, whole.notes)
    for name in ("values", "offsets", "starts", "times"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))
    np.testing.assert_array_equal(pieces.covariates.future, whole.covariates.future)

    # Each row lies where its own time is in the panel's.
    known = {(ids[k], times[k]): values[k] for k in kept if np.isfinite(values[k])}
    numbers = np.repeat(pieces.ids, pieces.lengths)
    laid = {
        (number, time): value
        for number, time, value in zip(numbers, pieces.times, pieces.values, strict=True)
        if np.isfinite(value)
    }
    assert laid == known
    squares = pieces.covariates.future[:, 0][np.isfinite(pieces.values)]
    np.testing.assert_array_equal(squares, pieces.values[np.isfinite(pieces.values)] ** 2)


def test_an_irregular_step_is_named_by_its_row_in_whatever_piece(monkeypatch):
    monkeypatch.setattr(rows, "PIECE", 3)
    ids = np.repeat(["a", "b", "c"], 4)
    days = np.datetime64("2024-01-01", "us") + np.array([0, 1, 2, 3] * 3) * np.timedelta64(1, "D")
    days[10] += np.timedelta64(6, "h")
    with pytest.raises(DataError, match=r'series "c" are not regular: 2024-01-02 .*in row 9 is followed by'):
        panel.from_columns(np.arange(12.0), days, ids, freq="D")


def test_rows_in_order_are_not_copied():
    values = np.arange(6.0)
    assert np.shares_memory(panel.from_columns(values, ids=list("aaabbb")).values, values)
