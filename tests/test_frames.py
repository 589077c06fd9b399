"""Frames of the three libraries: what is read from them, what comes back, and which are refused."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karusel import Forecaster
from karusel.errors import DataError, UsageError
from karusel.forecasting.frames import future_frame, read_frame, read_future
from karusel.forecasting.panel import Panel

LIBRARIES = ["pandas", "polars", "pyarrow"]


def frame_of(columns: dict[str, Any], library: str) -> Any:
    frame = pd.DataFrame(columns)
    if library == "polars":
        return pl.DataFrame(pa.Table.from_pandas(frame, preserve_index=False))
    return pa.Table.from_pandas(frame, preserve_index=False) if library == "pyarrow" else frame


def read(columns: dict[str, Any], library: str = "pandas", **settings: Any) -> Panel:
    return read_frame(frame_of(columns, library), "unique_id", "ds", "y", **settings)[0]


def days(count: int, start: str = "2024-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=count)


# Frequencies, as pandas makes the times


CALENDAR = {
    "MS": ("monthly (first day of the month)", (12,)),
    "ME": ("monthly (last day of the month)", (12,)),
    "QS": ("quarterly (first day of the month)", (4,)),
    "QE": ("quarterly (last day of the month)", (4,)),
    "YS": ("yearly (first day of the month)", ()),
    "YE": ("yearly (last day of the month)", ()),
    "W-SUN": ("weekly (Sunday)", (52,)),
    "W-WED": ("weekly (Wednesday)", (52,)),
    "2W-MON": ("every 2 weeks (Monday)", (26,)),
    "D": ("daily", (7, 364)),
    "B": ("business days", (5, 260)),
    "h": ("hourly", (24, 168)),
    "30min": ("every 30 minutes", (48, 336)),
    "15min": ("every 15 minutes", (96, 672)),
    "min": ("every minute", (1440, 10080)),
    "30s": ("every 30 seconds", (120, 2880)),
    "s": ("every second", (60, 3600)),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("freq", CALENDAR)
@pytest.mark.parametrize("zone", [None, "Europe/Riga", "America/New_York"])
@pytest.mark.parametrize(
    "start", ["2023-10-20", "2024-02-27"]
)  # to a clock put back, to a leap day and one put on
def test_a_frequency_is_found_and_continued(library, freq, zone, start):
    fixed = freq in ("h", "30min", "15min", "min", "30s", "s")
    rows = 400 if fixed else 40
    times = pd.date_range(start, periods=rows + 5, freq=freq, tz=zone)
    panel, kind = read_frame(
        frame_of({"ds": times[:rows], "y": np.arange(float(rows))}, library), "unique_id", "ds", "y"
    )
    words, seasons = CALENDAR[freq]
    if zone is not None:
        words = words.removesuffix(")") + f", {zone})" if ")" in words else f"{words} ({zone})"
    assert panel.frequency.describe() == words
    assert panel.frequency.season_lengths == seasons
    assert panel.frequency.cycle == (seasons[-1] if seasons else 1)
    np.testing.assert_array_equal(panel.values, np.arange(float(rows)))
    assert panel.notes == ()
    following = nw.from_native(future_frame(panel, kind, 5), eager_only=True)
    assert following.columns == ["ds"]
    assert (
        pd.DatetimeIndex(following["ds"].to_list()).tz_convert(zone).equals(times[rows:])
        if zone
        else (following["ds"].to_list() == times[rows:].to_list())
    )


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("zone", "start"),
    [("America/Santiago", "2024-08-28"), ("America/Havana", "2024-10-25"), ("+02:00", "2024-01-01")],
)
def test_a_midnight_that_never_was_or_was_twice_is_a_day_like_others(library, zone, start):
    local = pd.date_range(start, periods=25)
    times = local.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.ones(25, bool))
    panel, kind = read_frame(frame_of({"ds": times[:20], "y": np.arange(20.0)}, library), "id", "ds", "y")
    assert panel.frequency.unit == "day"
    assert len(panel.values) == 20
    following = nw.from_native(future_frame(panel, kind, 5), eager_only=True)["ds"].to_list()
    assert [pd.Timestamp(one) for one in following] == times[20:].to_list()


@pytest.mark.parametrize(("start", "skipped"), [("2024-03-31 00:00", [2]), ("2024-10-27 00:00", [2, 3])])
def test_hours_absent_where_the_clock_changes_are_gaps_of_the_right_size(start, skipped):
    times = pd.date_range(start, periods=12, freq="h", tz="Europe/Riga")
    kept = np.delete(np.arange(12), skipped)
    panel = read({"ds": times[kept], "y": kept.astype(float)})
    np.testing.assert_array_equal(np.flatnonzero(~panel.mask), skipped)
    np.testing.assert_array_equal(panel.values[kept], kept)


def test_an_hour_that_was_twice_is_labelled_with_its_offset():
    panel = read(
        {"ds": pd.date_range("2024-10-27 02:00", periods=4, freq="h", tz="Europe/Riga"), "y": np.ones(4)}
    )
    labels = [panel.frequency.label(time) for time in panel.series_times(0)]
    assert labels == [
        "2024-10-27 02:00+03:00",
        "2024-10-27 03:00+03:00",
        "2024-10-27 03:00+02:00",
        "2024-10-27 04:00+02:00",
    ]


def test_a_frequency_that_is_given_holds_instead():
    times = days(10)[[0, 2, 4, 6]]
    assert read({"ds": times, "y": np.ones(4)}).frequency.describe() == "every 2 days"
    panel = read({"ds": times, "y": np.ones(4)}, freq="D")
    assert panel.frequency.describe() == "daily"
    np.testing.assert_array_equal(panel.mask, [True, False] * 3 + [True])
    with pytest.raises(
        DataError, match=r"2024-01-01 in row 0 is followed by 2024-01-03, which is not every 3 days"
    ):
        read({"ds": times, "y": np.ones(4)}, freq="3D")


@pytest.mark.parametrize("library", LIBRARIES)
def test_two_frequencies_in_one_panel_are_refused_with_both_named(library):
    hours = pd.date_range("2024-01-01", periods=48, freq="h")
    mixed = {
        "unique_id": ["hourly"] * 48 + ["daily"] * 10,
        "ds": hours.append(days(10)),
        "y": np.ones(58),
    }
    with pytest.raises(DataError, match='series "hourly" is hourly, but series "daily" is daily; all series'):
        read(mixed, library)
    panel = read(mixed, library, freq="h")
    assert panel.lengths.tolist() == [48, 217]
    ends = pd.date_range("2024-01-31", periods=10, freq="ME")
    starts = pd.date_range("2024-01-01", periods=10, freq="MS")
    mixed = {"unique_id": ["a"] * 10 + ["b"] * 10, "ds": starts.append(ends), "y": np.ones(20)}
    with pytest.raises(DataError, match=r'"b" is monthly \(last day .*"a" is monthly \(first day'):
        read(mixed, library)


def test_sparse_series_and_two_weekdays_are_no_mixture():
    random = np.random.default_rng(3)
    sold = [np.sort(random.choice(100, 30, replace=False)) for _ in range(50)]
    panel = read(
        {
            "unique_id": np.repeat(np.arange(50), 30),
            "ds": days(100)[np.concatenate(sold)],
            "y": np.ones(1500),
        }
    )
    assert panel.frequency.describe() == "daily"
    assert panel.values.size == sum(one[-1] - one[0] + 1 for one in sold)
    few = {"unique_id": list("aaaaabbbb"), "ds": days(9)[[0, 1, 2, 3, 4, 0, 2, 4, 6]], "y": np.ones(9)}
    assert read(few).lengths.tolist() == [5, 7]
    weeks = [pd.date_range("2024-01-01", periods=9, freq=freq) for freq in ("W-MON", "W-FRI")]
    panel = read({"unique_id": ["a"] * 9 + ["b"] * 9, "ds": weeks[0].append(weeks[1]), "y": np.ones(18)})
    assert panel.frequency.describe() == "weekly"
    assert panel.values.size == 18


# Any frame


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, Any], dict[Any, dict[int, float]]]:
    """Columns in any order of rows, and the values by series and step that they hold."""
    names = draw(
        st.one_of(
            st.lists(st.text("abcß ", min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
            st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True),
        )
    )
    known: dict[Any, dict[int, float]] = {}
    for name in names:
        length = draw(st.integers(6, 15))
        steps = {0, 1, 2, *draw(st.sets(st.integers(0, length)))}
        start = 7 * draw(st.integers(0, 3))
        known[name] = {start + step: float(draw(st.integers(-100, 100))) for step in steps}
    rows = [(name, step, y) for name, series in known.items() for step, y in series.items()]
    rows = draw(st.permutations(rows))
    columns = {
        "unique_id": [name for name, _, _ in rows],
        "step": np.array([step for _, step, _ in rows]),
        "y": np.array([y for _, _, y in rows]).astype(draw(st.sampled_from(["f4", "f8", "i8", "i4"]))),
    }
    return columns, known


TIMES = {
    "integer": lambda steps: 3 * steps - 7,
    # From a Saturday on: without a weekend day they would be business days.
    "day": lambda steps: pd.DatetimeIndex(np.datetime64("2024-02-24", "us") + steps * np.timedelta64(1, "D")),
    "month": lambda steps: pd.DatetimeIndex(
        [np.datetime64("2023-11", "M") + step for step in steps.tolist()]
    ).as_unit("us"),
    "hour": lambda steps: (
        pd.DatetimeIndex(np.datetime64("2024-10-26T20", "us") + steps * np.timedelta64(1, "h"))
        .tz_localize("UTC")
        .tz_convert("Europe/Riga")
    ),
}


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from(LIBRARIES), st.sampled_from(list(TIMES)))
def test_every_value_lands_on_its_step_and_all_else_is_missing(table, library, unit):
    columns, known = table
    times = TIMES[unit](columns["step"])
    if unit == "day":  # days that leave out just the weekends are business days, and rightly so
        assume((times.day_of_week >= 5).any())
    named = {"shop": columns["unique_id"], "when": times, "sold": columns["y"]}
    frame = frame_of(named, library)
    panel, kind = read_frame(frame, "shop", "when", "sold")
    assert sorted(panel.ids) == sorted(known)
    for number, name in enumerate(panel.ids):
        first, last = min(known[name]), max(known[name])
        expected = [known[name].get(step, np.nan) for step in range(first, last + 1)]
        np.testing.assert_array_equal(panel.series(number), expected)
    missing = sum(gap.count for gap in panel.gaps())
    assert missing == np.count_nonzero(~panel.mask)
    assert panel.values.size == missing + len(columns["y"])
    following = future_frame(panel, kind, 3)
    assert type(following) is type(frame)
    made, given_frame = nw.from_native(following, eager_only=True), nw.from_native(frame, eager_only=True)
    assert made.columns == ["shop", "when"]
    assert made.schema == {name: given_frame.schema[name] for name in made.columns}
    ends = np.array([max(known[name]) for name in panel.ids])
    wanted = TIMES[unit]((ends[:, None] + np.arange(1, 4)).ravel())
    assert (
        made["when"].to_list()
        == nw.from_native(frame_of({"t": wanted}, library), eager_only=True)["t"].to_list()
    )
    assert made["shop"].to_list() == [name for name in panel.ids for _ in range(3)]


@pytest.mark.parametrize("library", LIBRARIES)
def test_gaps_are_listed_in_notes_and_as_data(library):
    panel = read(
        {
            "unique_id": list("aaabbbbc"),
            "ds": days(10)[[0, 1, 4, 2, 3, 5, 9, 7]],
            "y": [1.0, 2, 3, 4, np.nan, 5, 6, 7],
        },
        library,
    )
    np.testing.assert_array_equal(panel.offsets, [0, 5, 13, 14])
    assert panel.notes == (
        '1 value missing inside series "b" (row 4): kept as missing',
        "6 times absent from 2 series, first 2024-01-03 after row 1: taken as missing values",
    )
    found = [(gap.series, panel.frequency.label(gap.first), gap.count) for gap in panel.gaps()]
    assert found == [("a", "2024-01-03", 2), ("b", "2024-01-04", 2), ("b", "2024-01-07", 3)]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_series_without_values_or_with_one_harms_no_other(library):
    panel = read(
        {
            "unique_id": ["full"] * 5 + ["empty"] * 3 + ["point"],
            "ds": days(5).append(days(3)).append(days(1)),
            "y": [1.0, 2, 3, 4, 5, np.nan, np.nan, np.nan, 7],
        },
        library,
    )
    assert panel.ids == ("full", "point")
    assert panel.left_out == ("empty",)
    assert panel.notes == ('1 series without any value left out: "empty"',)
    assert panel.lengths.tolist() == [5, 1]
    with pytest.raises(DataError, match="none of the 2 series has a value at all"):
        read({"unique_id": ["a", "b"], "ds": days(2), "y": [np.nan, np.nan]}, library)


# Wide frames, ids, values


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_wide_frame_is_the_long_one(library):
    north, south = [1.0, 2, np.nan, 4, 5], [np.nan, 20.0, 30, 40, 50]
    wide = frame_of({"ds": days(5), "north": north, "south": south}, library)
    panel, kind = read_frame(wide, "unique_id", "ds", ["north", "south"])
    long = read(
        {"unique_id": ["north"] * 5 + ["south"] * 5, "ds": [*days(5)] * 2, "y": north + south}, library
    )
    assert panel.ids == long.ids
    np.testing.assert_array_equal(panel.values, long.values)
    np.testing.assert_array_equal(panel.times, long.times)
    assert nw.from_native(future_frame(panel, kind, 1), eager_only=True)["unique_id"].to_list() == [
        "north",
        "south",
    ]
    with pytest.raises(DataError, match='row 3, column "south" holds inf'):
        read_frame(
            frame_of({"ds": days(5), "north": north, "south": [1, 2, 3, np.inf, 5]}, library),
            "unique_id",
            "ds",
            ["north", "south"],
        )
    with pytest.raises(UsageError, match='has ids in "north" and several target columns'):
        read_frame(wide, "north", "ds", ["south"])


def test_ids_may_be_numbers_or_categories():
    columns = {"ds": days(4)[[0, 1, 0, 1]], "y": np.arange(4.0)}
    for ids in ([7, 7, 3, 3], pd.Categorical(["b", "b", "a", "a"]), np.array(["x", "x", 5, 5], object)):
        panel, kind = read_frame(pd.DataFrame({"unique_id": ids, **columns}), "unique_id", "ds", "y")
        assert panel.ids == (ids[0], ids[2])
        assert future_frame(panel, kind, 1)["unique_id"].tolist() == [ids[0], ids[2]]
    with pytest.raises(DataError, match="row 1 has no id"):
        read({"unique_id": ["a", None, "b", "b"], **columns})


@pytest.mark.parametrize("library", LIBRARIES)
def test_text_among_the_values_is_named(library):
    with pytest.raises(DataError, match=r"column \"y\" holds text: '1,5' in row 0 is not a number"):
        read({"ds": days(3), "y": ["1,5", "2", "3"]}, library)
    with pytest.raises(DataError, match=r"column \"y\" holds datetime|column \"y\" holds Datetime"):
        read({"ds": days(3), "y": days(3)}, library)


def test_objects_that_are_numbers_are_read():
    panel = read({"ds": days(4), "y": np.array([1, None, 2.5, True], object)})
    np.testing.assert_array_equal(panel.values, [1, np.nan, 2.5, 1])
    with pytest.raises(DataError, match=r"'x' in row 2 is not a number"):
        read({"ds": days(4), "y": np.array([1, None, "x", True], object)})


@pytest.mark.parametrize("library", LIBRARIES)
def test_duplicates_and_infinities_are_named(library):
    with pytest.raises(
        DataError, match=r'1 duplicate time in series "b", such as 2024-01-02: row 2 and row 4'
    ):
        read({"unique_id": list("aabbb"), "ds": days(2)[[0, 1, 1, 0, 1]], "y": np.ones(5)}, library)
    with pytest.raises(DataError, match="row 1 holds -inf"):
        read({"ds": days(3), "y": [1, -np.inf, 3]}, library)
    with pytest.raises(UsageError, match=r'no column "y" \(target_col\); it has ds, sales'):
        read({"ds": days(3), "sales": [1, 2, 3]}, library)


@pytest.mark.parametrize("argument", ["target_col", "id_col", "time_col", "futr_exog_list"])
def test_columns_named_by_numbers_are_refused(argument):
    frame = pd.DataFrame({"unique_id": ["a"] * 40, "ds": pd.date_range("2020-01-01", periods=40), "y": 1.0})
    with pytest.raises(UsageError, match="a column is named 3; names must be text"):
        Forecaster(3).fit(frame, **{argument: [3] if argument == "futr_exog_list" else 3})


def test_what_kind_of_numbers_they_are_is_known():
    for y, whole, non_negative in (
        ([0, 3, np.nan, 5], True, True),
        ([0.5, 1, 2, 3], False, True),
        ([-1, 2, 3, 4], True, False),
    ):
        panel = read({"ds": days(4), "y": np.array(y, float)})
        assert (panel.whole, panel.non_negative) == (whole, non_negative)


# Rows that come later


@settings(max_examples=80, deadline=None)
@given(tables(), st.sampled_from(LIBRARIES), st.sampled_from(list(TIMES)), st.integers(3, 30))
def test_a_panel_with_later_rows_is_the_whole_panel(table, library, unit, cut):
    columns, known = table
    frame = pd.DataFrame(
        {"unique_id": columns["unique_id"], "ds": TIMES[unit](columns["step"]), "y": columns["y"]}
    )
    first, later = frame[columns["step"] < cut], frame[columns["step"] >= cut]
    steps = columns["step"][columns["step"] < cut]
    names = np.array(columns["unique_id"], object)[columns["step"] < cut]
    if later.empty or not any({0, 1, 2} <= set(steps[names == name] - min(known[name])) for name in known):
        return
    convert = {
        "pandas": lambda f: f,
        "polars": lambda f: pl.DataFrame(pa.Table.from_pandas(f, preserve_index=False)),
    }
    convert["pyarrow"] = lambda f: pa.Table.from_pandas(f, preserve_index=False)
    panel = read_frame(convert[library](first), "unique_id", "ds", "y")[0]
    appended = panel.append(read_frame(convert[library](later), "unique_id", "ds", "y", like=panel)[0])
    assert sorted(appended.ids) == sorted(known)
    assert appended.ids[: len(panel)] == panel.ids
    for number, name in enumerate(appended.ids):
        begin, end = min(known[name]), max(known[name])
        expected = [known[name].get(step, np.nan) for step in range(begin, end + 1)]
        np.testing.assert_array_equal(appended.series(number), expected)
        np.testing.assert_array_equal(appended.starts[number], appended.series_times(number)[0])


def test_later_rows_that_do_not_follow_on_are_refused():
    panel = read({"unique_id": list("aaabb"), "ds": days(3).append(days(2)), "y": np.ones(5)})

    def append(**columns: Any) -> Panel:
        return panel.append(read(columns, like=panel))

    assert append(unique_id=["a"], ds=days(1, "2024-01-06"), y=[5.0]).gaps()[0].count == 2
    with pytest.raises(
        DataError, match='rows of series "a" begin at 2024-01-03, but it is known until 2024-01-03'
    ):
        append(unique_id=["b", "a"], ds=days(1, "2024-01-03").repeat(2), y=[1.0, 1])
    assert append(unique_id=["a"] * 2, ds=days(60, "2024-01-04")[[0, 59]], y=[5.0, 6]).lengths[0] == 63
    with pytest.raises(
        DataError, match=r'"b" begin 65,74. steps after its end, at 2204-01-06; correct the time'
    ):
        append(unique_id=["b"], ds=days(1, "2204-01-06"), y=[5.0])
    with pytest.raises(DataError, match="does not lie on its steps"):
        append(unique_id=["a"], ds=pd.DatetimeIndex(["2024-01-09 12:00"]), y=[1.0])
    with pytest.raises(
        DataError, match="read from dates without a time zone, but these are dates with a time zone"
    ):
        append(unique_id=["a"], ds=days(1, "2024-01-06").tz_localize("UTC"), y=[1.0])
    with pytest.raises(DataError, match="but these are whole numbers"):
        append(unique_id=["a"], ds=[4], y=[1.0])
    numbered = read({"unique_id": [1, 1], "ds": days(2), "y": np.ones(2)})
    with pytest.raises(DataError, match=r"have the id '1' \(str\), but the series is known as 1 \(int\)"):
        numbered.append(read({"unique_id": ["1"], "ds": days(1, "2024-01-03"), "y": [1.0]}, like=numbered))
    with pytest.raises(UsageError, match="read them with like=panel"):
        panel.append(read({"ds": pd.date_range("2024-01-01", periods=3, freq="h"), "y": np.ones(3)}))


def test_a_later_row_on_a_day_without_midnight_follows_on():
    local = pd.date_range("2024-09-01", periods=8)
    times = local.tz_localize("America/Santiago", nonexistent="shift_forward")
    assert times[7].hour == 1
    panel = read({"ds": times[:7], "y": np.arange(7.0)})
    appended = panel.append(read({"ds": times[7:], "y": [7.0]}, like=panel))
    np.testing.assert_array_equal(appended.values, np.arange(8.0))


def test_counted_rows_follow_on():
    frame = pd.DataFrame({"y": [1.0, 2, 3]})
    panel = read_frame(frame, "unique_id", None, "y")[0]
    later = pd.DataFrame({"y": [np.nan, 5.0]})
    appended = panel.append(read_frame(later, "unique_id", None, "y", like=panel)[0])
    np.testing.assert_array_equal(appended.values, [1, 2, 3, np.nan, 5])
    assert appended.label(3) == "row 3"


# Covariates


COVARIATES = {
    "hist_exog_list": ["visits", "weather"],
    "futr_exog_list": ["price", "promo"],
    "stat_exog_list": ["size", "region"],
}


def shops(rows: int = 6) -> dict[str, Any]:
    count = np.arange(2 * rows)
    return {
        "unique_id": ["b"] * rows + ["a"] * rows,
        "ds": days(rows).append(days(rows)),
        "y": count + 0.5,
        "visits": count * 10,
        "weather": [["rain", "sun", None][k % 3] for k in count],
        "price": count / 4,
        "promo": [["none", "big"][k % 2] for k in count],
        "size": [100] * rows + [250] * rows,
        "region": ["south"] * rows + ["north"] * rows,
    }


@pytest.mark.parametrize("library", LIBRARIES)
def test_covariates_stand_beside_their_values_in_any_order_of_rows(library):
    order = np.random.default_rng(5).permutation(np.delete(np.arange(12), [2, 9]))  # two times absent
    columns = {name: np.array(column, object)[order] for name, column in shops().items()}
    frame = pd.DataFrame(columns).infer_objects().astype({"ds": "datetime64[us]"})
    panel = read_frame(frame_of(frame, library), "unique_id", "ds", "y", **COVARIATES)[0]
    covariates = panel.covariates
    assert [one.name for one in covariates.described] == [
        "visits",
        "weather",
        "price",
        "promo",
        "size",
        "region",
    ]
    assert covariates.of("past")[1].categories == ("rain", "sun")
    assert covariates.of("future")[1].categories == ("big", "none")
    rows = {"b": [0, 1, None, 3, 4, 5], "a": [6, 7, 8, None, 10, 11]}
    number = {None: 0, "rain": 1, "sun": 2, "big": 1, "none": 2, "north": 1, "south": 2}
    all_rows = shops()
    for k, name in enumerate(panel.ids):
        part = slice(panel.offsets[k], panel.offsets[k + 1])
        expected = [
            [np.nan, 0.0] if row is None else [10.0 * row, number[all_rows["weather"][row]]]
            for row in rows[name]
        ]
        np.testing.assert_array_equal(covariates.past[part], expected)
        expected = [
            [np.nan, 0.0] if row is None else [row / 4, number[all_rows["promo"][row]]] for row in rows[name]
        ]
        np.testing.assert_array_equal(covariates.future[part], expected)
        np.testing.assert_array_equal(covariates.static[k], [250, 1] if name == "a" else [100, 2])
    shorter = panel.without_last(2)
    np.testing.assert_array_equal(shorter.covariates.past[:4], covariates.past[:4])
    np.testing.assert_array_equal(shorter.covariates.future[4:], covariates.future[6:10])


@pytest.mark.parametrize("library", LIBRARIES)
def test_static_covariates_may_stand_in_a_frame_of_their_own(library):
    columns = {name: column for name, column in shops().items() if name in ("unique_id", "ds", "y")}
    static = {"unique_id": ["a", "c", "b"], "size": [250.0, 9, 100], "region": ["north", "west", "south"]}
    panel = read(columns, library, static_df=frame_of(static, library))
    assert panel.covariates.of("static")[1].categories == ("north", "south", "west")
    np.testing.assert_array_equal(panel.covariates.static, [[100, 2], [250, 1]])
    only = read(columns, library, static_df=frame_of(static, library), stat_exog_list=["size"])
    np.testing.assert_array_equal(only.covariates.static, [[100], [250]])
    with pytest.raises(DataError, match='static_df has no row for "b"'):
        read(columns, library, static_df=frame_of({k: v[:2] for k, v in static.items()}, library))
    twice = {"unique_id": ["a", "b", "a"], "size": [1, 2, 3]}
    with pytest.raises(DataError, match='static_df has two rows for the id "a"'):
        read(columns, library, static_df=frame_of(twice, library))


def test_covariates_that_break_a_rule_are_named():
    with pytest.raises(
        DataError, match='"size" is static, but changes within series "b" between row 0 and row 1'
    ):
        read({**shops(), "size": np.arange(12)}, stat_exog_list=["size"])
    with pytest.raises(DataError, match='row 3, column "price" holds inf'):
        read({**shops(), "price": [0, 0, 0, np.inf] * 3}, futr_exog_list=["price"])
    with pytest.raises(UsageError, match=r'no column "cost" \(hist_exog_list\); it has unique_id, ds'):
        read(shops(), hist_exog_list=["cost"])
    with pytest.raises(UsageError, match='"price" is named in hist_exog_list and in futr_exog_list'):
        read(shops(), hist_exog_list=["price"], futr_exog_list=["price"])
    with pytest.raises(UsageError, match='"y" is named in target_col and in hist_exog_list'):
        read(shops(), hist_exog_list=["y"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_future_frame_filled_in_gives_the_future(library):
    panel, kind = read_frame(frame_of(shops(), library), "unique_id", "ds", "y", **COVARIATES)
    made = nw.from_native(future_frame(panel, kind, 3), eager_only=True).to_pandas()
    assert made["unique_id"].tolist() == ["b"] * 3 + ["a"] * 3
    made["price"] = np.arange(6) / 8
    made["promo"] = ["big", "none", "huge", "big", None, "big"]
    future, notes = read_future(panel, kind, frame_of(made.iloc[[5, 2, 0, 1, 4, 3]], library), 3)
    np.testing.assert_array_equal(future[..., 0], [[0, 0.125, 0.25], [0.375, 0.5, 0.625]])
    np.testing.assert_array_equal(future[..., 1], [[1, 2, 0], [1, 0, 1]])
    assert notes == (
        'column "promo" holds categories that were not there when fitted: "huge"; taken as unknown',
    )
    other = made.assign(unique_id="elsewhere")
    more = pd.concat(
        [other, *(made.assign(ds=made["ds"] + pd.Timedelta(hours=hours)) for hours in (960, 12)), made]
    )
    np.testing.assert_array_equal(read_future(panel, kind, frame_of(more, library), 3)[0], future)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_missing_from_the_future_is_named_by_id_and_date(library):
    panel, kind = read_frame(frame_of(shops(), library), "unique_id", "ds", "y", **COVARIATES)
    filled = nw.from_native(future_frame(panel, kind, 3), eager_only=True).to_pandas()
    filled = filled.assign(price=1.0, promo="big")

    def refused(error: type[Exception], words: str, frame: pd.DataFrame) -> None:
        with pytest.raises(error, match=words):
            read_future(panel, kind, frame_of(frame, library), 3)

    refused(
        DataError,
        r'X_df has no row for "b" at 2024-01-08, "a" at 2024-01-07; every series needs the next 3 steps',
        filled.drop(index=[1, 3]),
    )
    refused(
        DataError, r'X_df has no row for "b" at 2024-01-07.* and 3 more; every', filled.assign(ds=days(6))
    )
    unpriced = filled.assign(price=[1, 1, np.nan, 1, 1, 1])
    refused(DataError, r'column "price" of X_df has no value for "b" at 2024-01-09', unpriced)
    refused(
        DataError,
        'X_df has 2 rows for "b" at 2024-01-07, such as row 0 and row 6',
        pd.concat([filled, filled[:1]]),
    )
    refused(
        UsageError,
        r'no column "price" \(X_df, as when fitted\); it has unique_id, ds, Price',
        filled.rename(columns={"price": "Price"}),
    )
    refused(UsageError, 'no column "ds"', filled.rename(columns={"ds": "date"}))
    refused(DataError, 'column "price" held numbers when fitted and holds', filled.assign(price="cheap"))
    refused(
        DataError,
        "holds Datetime.* when fitted; convert it",
        filled.assign(ds=filled["ds"].dt.tz_localize("UTC")),
    )


def test_later_rows_bring_their_covariates():
    rows = pd.DataFrame(shops())
    whole = read(shops(), **COVARIATES)
    early = rows["ds"] < "2024-01-05"
    panel = read(rows[early], **COVARIATES)
    later = rows[~early].assign(weather="hail").drop(columns=["size", "region"])
    appended = panel.append(read(later, like=panel))
    np.testing.assert_array_equal(appended.values, whole.values)
    np.testing.assert_array_equal(appended.covariates.future, whole.covariates.future)
    np.testing.assert_array_equal(appended.covariates.static, whole.covariates.static)
    np.testing.assert_array_equal(appended.covariates.past[:, 0], whole.covariates.past[:, 0])
    np.testing.assert_array_equal(appended.covariates.past[[4, 5, 10, 11], 1], 0)
    assert appended.notes == (
        'column "weather" holds categories that were not there when fitted: "hail"; taken as unknown',
    )
    with pytest.raises(UsageError, match=r'no column "price" \(futr_exog_list, as when fitted\)'):
        read(later.drop(columns="price"), like=panel)


def test_business_days_pass_over_weekends_in_the_future():
    times = pd.date_range("2024-01-01", periods=10, freq="B")
    frame = pd.DataFrame({"ds": times, "y": np.arange(10.0), "x": np.arange(10.0)})
    panel, kind = read_frame(frame, "unique_id", "ds", "y", futr_exog_list=["x"])
    every_day = pd.DataFrame({"ds": days(10, "2024-01-10"), "x": np.arange(10.0)})
    future, _ = read_future(panel, kind, every_day, 3)
    np.testing.assert_array_equal(future[0, :, 0], [5, 6, 7])
    with pytest.raises(DataError, match="X_df has no row for 2024-01-15; every series"):
        read_future(panel, kind, every_day.drop(index=5), 3)
