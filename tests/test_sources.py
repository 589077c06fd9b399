"""Reading CSV files: what is found in them, and which are refused with which words."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from karusel.errors import DataError, FileMissingError, KaruselError, TooLargeError, UsageError
from karusel.forecasting.panel import from_columns
from karusel.sources import cells, form, read_table
from karusel.sources.notation import TIMES, format_times, parse_time

HOSTILE = Path(__file__).parent / "hostile"
AIR_PASSENGERS = Path(__file__).parents[1] / "examples" / "data" / "air_passengers.csv"


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_shipped_series_is_read_whole():
    table = read_table(AIR_PASSENGERS)
    assert (table.time_col, table.target_cols, table.id_col) == ("Month", ("Passengers",), None)
    assert table.origin.form == "comma separated, UTF-8, header found"
    panel = table.panel()
    assert panel.values.sum() == 40363  # sum of the 144 figures in Box and Jenkins (1976), series G
    assert panel.frequency.describe() == "monthly (first day of the month)"
    assert format_times(panel.future_times(1)[0], table.time_format) == ["1961-01"]


@pytest.mark.parametrize(
    ("text", "columns", "values"),
    [
        ("ds,y\n2020-01-01,5\n2020-01-02,6\n", ("ds", ("y",)), [5, 6]),
        ("Datum;Wert\n01.02.2020;1,5\n02.02.2020;2,25\n", ("Datum", ("Wert",)), [1.5, 2.25]),
        ("a\tb\n2020-01-01\t5\n2020-01-02\t6\n", ("a", ("b",)), [5, 6]),
        ("day|sold\n2020-01-01|5\n2020-01-02|6\n", ("day", ("sold",)), [5, 6]),
        ("2020-01-01,5\n2020-01-02,6\n", ("column 1", ("column 2",)), [5, 6]),
        ("y\n5\n6\n", (None, ("y",)), [5, 6]),
        ("5\n6\n", (None, ("column 1",)), [5, 6]),
        ("year,sales\n1990,5\n1991,6\n", ("year", ("sales",)), [5, 6]),
        (",sales\n0,5\n1,6\n", ("", ("sales",)), [5, 6]),
        ("1,5\n2,6\n", ("column 1", ("column 2",)), [5, 6]),
        ("# made by hand\n\nds,y\n2020-01-01,5\n\n2020-01-02,6\n", ("ds", ("y",)), [5, 6]),
        ("Sales of a shop\nds,y\n2020-01-01,5\n2020-01-02,6\n", ("ds", ("y",)), [5, 6]),
        ('"d s","y, all"\n"2020-01-01","5"\n"2020-01-02","6"\n', ("d s", ("y, all",)), [5, 6]),
        ("y,ds,note\n5,2020-01-01,a\n6,2020-01-02,b\n", ("ds", ("y",)), [5, 6]),
        ("ds,y,z\n2020-01-01,5,1\n2020-01-02,6,2\n", ("ds", ("y",)), [5, 6]),
        ("date,0,1\n2020/1/1 0:00,5,7\n2020/1/2 0:00,6,8\n", ("date", ("0", "1")), [5, 6]),
        ("sales\n1.5e3\n-2\n", (None, ("sales",)), [1500, -2]),
        ("\ufeffds,y\n2020-01-01,5\n2020-01-02,6\n", ("ds", ("y",)), [5, 6]),
        ("ds,y\r\n2020-01-01,5\r\n2020-01-02,6\r\n", ("ds", ("y",)), [5, 6]),
        ("ds,y\r\n2020-01-01,5\n2020-01-02,6\r\n2020-01-03,7\n", ("ds", ("y",)), [5, 6, 7]),
    ],
)
def test_columns_are_found(tmp_path, text, columns, values):
    table = read_table(write(tmp_path, text))
    assert (table.time_col, table.target_cols) == columns
    np.testing.assert_array_equal(table.values[:, 0], values)


@pytest.mark.parametrize(
    ("cells", "first", "step"),
    [
        (["2020-01", "2020-02", "2020-03"], "2020-01-01", "monthly"),
        (["2020Q1", "2020Q2", "2020Q3"], "2020-01-01", "quarterly"),
        (["2020-Q4", "2021-Q1", "2021-Q2"], "2020-10-01", "quarterly"),
        (["01/02/2020", "02/02/2020", "03/02/2020"], "2020-02-01", "daily"),
        (["02/01/2020", "02/02/2020", "02/03/2020"], "2020-02-01", "daily"),
        (["01/31/2020", "02/29/2020", "03/31/2020"], "2020-01-31", "monthly"),
        (["20200101", "20200102", "20200103"], "2020-01-01", "daily"),
        (["Jan 2020", "Feb 2020", "Mar 2020"], "2020-01-01", "monthly"),
        (["1.2.2020 05:00", "1.2.2020 06:00", "1.2.2020 07:00"], "2020-02-01T05", "hourly"),
        (["2020-01-01T00:00:00+02:00", "2020-01-01T00:15:00+02:00"], "2019-12-31T22", "every 15 minutes"),
    ],
)
def test_dates_are_understood_and_written_back(tmp_path, cells, first, step):
    text = "date,y\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells))
    table = read_table(write(tmp_path, text))
    panel = table.panel()
    assert panel.times[0] == np.datetime64(first)
    assert panel.frequency.describe().startswith(step)
    if "+" not in cells[0] and not cells[0].startswith("1."):
        (text,) = format_times(panel.times[1:2], table.time_format)
        assert text == cells[1]


@pytest.mark.parametrize("day_first", [True, False])
@pytest.mark.parametrize(
    ("step", "count", "freq", "described"),
    [
        (1, 12, None, "monthly (first day of the month)"),
        (1, 72, None, "monthly (first day of the month)"),
        (3, 24, None, "quarterly (first day of the month)"),
        (1, 12, "D", "daily"),
    ],
)
def test_months_whose_days_could_be_months_are_no_days_of_january(
    tmp_path, day_first, step, count, freq, described
):
    months = [divmod(step * k, 12) for k in range(count)]
    written = "01/{:02}/{}" if day_first else "{:02}/01/{}"
    rows = [f"{written.format(month + 1, 2015 + year)},{month}\n" for year, month in months]
    rows[1:3] = rows[2:0:-1]  # in any order
    table = read_table(write(tmp_path, "ds,y\n" + "".join(rows)), freq=freq)
    assert table.panel(freq).frequency.describe() == described


def test_a_date_that_could_be_two_is_read_as_those_before_it(tmp_path):
    path = write(tmp_path, "ds,y\n06/05/2021,1\n07/05/2021,2\n")
    for time_format, first in (("%d/%m/%Y", "2021-05-06"), ("%m/%d/%Y", "2021-06-05")):
        assert read_table(path, time_format=time_format).times[0] == np.datetime64(first)
    other = write(tmp_path, "ds,y\n13.05.2021,1\n")
    assert read_table(other, time_format="%d/%m/%Y").times[0] == np.datetime64("2021-05-13")


@pytest.mark.parametrize(
    ("known", "cells", "first"),
    [
        (np.arange("2021-04-01", "2021-05-06", dtype="datetime64[D]"), ["06/05/2021"], "2021-05-06"),
        (np.arange("2021-04-01", "2021-06-05", dtype="datetime64[D]"), ["06/05/2021"], "2021-06-05"),
        (np.arange("2021-01", "2021-04", dtype="datetime64[M]"), ["06/01/2021"], "2021-06-01"),
        (np.array(["2021-04-20", "2021-04-27"], "datetime64[D]"), ["01/06/2021"], "2021-06-01"),
        (np.array(["2021-04-20", "2021-04-22"], "datetime64[D]"), ["02/06/2021"], None),
        (np.arange("2021-04-01", "2021-05-01", dtype="datetime64[D]"), ["06/05/2021"], None),
        (np.arange("2021-04-01", "2021-05-01", dtype="datetime64[D]"), ["06/05/2021", "05/06/2021"], None),
        (None, ["06/05/2021"], None),
        (None, ["06/05/2021", "07/06/2021"], None),
    ],
)
def test_a_date_that_could_be_two_goes_on_where_a_panel_ends_or_is_refused(tmp_path, known, cells, first):
    like = None if known is None else from_columns(np.arange(float(len(known))), known)
    path = write(tmp_path, "ds,y\n" + "".join(f"{cell},1\n" for cell in cells))
    if first is None:
        with pytest.raises(
            DataError, match=r'table.csv, line 2, column "ds": .*may be .* or .*; write the times as 20'
        ):
            read_table(path, like=like)
    else:
        assert read_table(path, like=like).times[0] == np.datetime64(first)


def test_dates_that_could_be_two_are_decided_by_all_rows(tmp_path):
    rows = [f"{series},{day:02}/03/2020,1\n" for day in range(1, 14) for series in range(1001)]
    table = read_table(write(tmp_path, "unique_id,ds,y\n" + "".join(rows)))
    assert table.panel().frequency.describe() == "daily"


@pytest.mark.parametrize(
    ("cells", "times", "written"),
    [
        (["1/31/20", "2/29/20"], ["2020-01-31", "2020-02-29"], "1/31/20"),
        (["31/01/20", "29/02/20"], ["2020-01-31", "2020-02-29"], "31/01/20"),
        (["31.1.20", "29.2.20"], ["2020-01-31", "2020-02-29"], "31.1.20"),
        (["Jan-20", "Feb-20"], ["2020-01-01", "2020-02-01"], "Jan-20"),
        (["1/31/2020 11:00 PM", "2/1/2020 12:00 AM"], ["2020-01-31T23", "2020-02-01"], "1/31/2020 11:00 PM"),
        (["2021-01-01 05", "2021-01-01 06"], ["2021-01-01T05", "2021-01-01T06"], "2021-01-01 05"),
        (["2021-01-01T05", "2021-01-01T06"], ["2021-01-01T05", "2021-01-01T06"], "2021-01-01T05"),
        (["2021123123", "2022010100"], ["2021-12-31T23", "2022-01-01"], "2021123123"),
        (["20211231T2330", "20220101T0000"], ["2021-12-31T23:30", "2022-01-01"], "20211231T2330"),
        (["20211231T235959", "20220101T000000"], ["2021-12-31T23:59:59", "2022-01-01"], "20211231T235959"),
        (["202112312359", "202201010000"], ["2021-12-31T23:59", "2022-01-01"], "202112312359"),
        (["20211231235959", "20220101000000"], ["2021-12-31T23:59:59", "2022-01-01"], "20211231235959"),
        (["202112", "202201"], ["2021-12-01", "2022-01-01"], "202112"),
        (["2020M12", "2021M01"], ["2020-12-01", "2021-01-01"], "2020M12"),
        (["2020-W53", "2021-W01"], ["2020-12-28", "2021-01-04"], "2020-W53"),
        (["Q4 2020", "Q1 2021"], ["2020-10-01", "2021-01-01"], "Q4 2020"),
        (["Q4/2020", "Q1/2021"], ["2020-10-01", "2021-01-01"], "Q4/2020"),
        (["2020-Q4", "2021-Q1"], ["2020-10-01", "2021-01-01"], "2020-Q4"),
        (["2020W53", "2021W01"], ["2020-12-28", "2021-01-04"], "2020W53"),
        (["13/5/2020 09:00", "4/11/2020 10:00"], ["2020-05-13T09", "2020-11-04T10"], "13/5/2020 09:00"),
        (["04/11/2020 9:00", "13/05/2020 10:00"], ["2020-11-04T09", "2020-05-13T10"], "04/11/2020 9:00"),
        (["January 31, 2020", "February 1, 2020"], ["2020-01-31", "2020-02-01"], "January 31, 2020"),
        (["1700000000", "1700000300"], ["2023-11-14T22:13:20", "2023-11-14T22:18:20"], "1700000000"),
        (
            ["1700000000.5", "1700000001.5"],
            ["2023-11-14T22:13:20.5", "2023-11-14T22:13:21.5"],
            "1700000000.5",
        ),
        (
            ["1700000000000", "1700000000250"],
            ["2023-11-14T22:13:20", "2023-11-14T22:13:20.25"],
            "1700000000000",
        ),
    ],
)
def test_dates_of_other_writings(tmp_path, cells, times, written):
    text = "date,y\n" + "".join(f'"{cell}",{k}\n' for k, cell in enumerate(cells))
    table = read_table(write(tmp_path, text))
    np.testing.assert_array_equal(table.times, np.array(times, "datetime64[us]"))
    assert table.target_cols == ("y",)
    assert format_times(table.times[:1], table.time_format) == [written]
    for text, time in (*zip(cells, table.times, strict=True), (str(table.times[0]), table.times[0])):
        assert parse_time(text, table.time_format) == time


@pytest.mark.parametrize(
    ("cells", "described", "written"),
    [
        (["2021-01-01T00:00:00Z", "2021-01-01T01:00:00Z"], "hourly (UTC)", "2021-01-01T00:00:00Z"),
        (["2021-01-01 00:00+0200", "2021-01-01 01:00+0200"], "hourly (+02:00)", "2021-01-01T00:00:00+02:00"),
        (["2021-03-28T01:00+01:00", "2021-03-28T03:00+02:00"], "hourly (UTC)", "2021-03-28T00:00:00Z"),
        (
            ["2021-01-01T00:00-03", "2021-02-01T00:00-03"],
            "monthly (first day of the month, -03:00)",
            "2021-01-01",
        ),
    ],
)
def test_offsets_are_kept(tmp_path, cells, described, written):
    path = write(tmp_path, "date,y\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells)))
    table = read_table(path)
    panel = table.panel()
    assert panel.frequency.describe() == described
    zone = panel.frequency.zone_written(panel.times)
    assert format_times(panel.times[:1], table.time_format, zone) == [written]
    typed = read_table(path, sql="select date::timestamptz as date, y from input")
    assert (typed.zone, typed.times.tolist()) == ("UTC", table.times.tolist())


@pytest.mark.parametrize("offset", ["Z", "+0200", "-03:30", "+02"])
@pytest.mark.parametrize("seconds", ["00", ""])
def test_times_without_marks_may_have_an_offset(tmp_path, offset, seconds):
    cells = [f"20210101T{hour:02}30{seconds}{offset}" for hour in (0, 1)]
    table = read_table(write(tmp_path, "date,y\n" + "".join(f"{cell},5\n" for cell in cells)))
    marked = [f"2021-01-01T{hour:02}:30{offset}" for hour in (0, 1)]
    same = read_table(write(tmp_path, "date,y\n" + "".join(f"{cell},5\n" for cell in marked)))
    assert (table.zone, table.times.tolist()) == (same.zone, same.times.tolist())
    assert parse_time(cells[0], "") == table.times[0]


def test_days_of_a_clock_that_is_changed_need_its_zone(tmp_path):
    days = ["2021-03-26T00:00:00+02:00", "2021-03-27T00:00:00+02:00", "2021-03-28T00:00:00+02:00"]
    later = ["2021-03-29T00:00:00+03:00", "2021-03-30T00:00:00+03:00"]
    rows = [f"{day},{k}" for k, day in enumerate(days + later)]
    path = write(tmp_path, "\n".join(["day,y", *rows]) + "\n")
    with pytest.raises(DataError, match='column "day" has the days of a clock that is put forward') as caught:
        read_table(path).panel()
    query = str(caught.value).split('"')[3]
    assert read_table(path, sql=query).panel().frequency.describe() == "daily"
    utc = np.arange("2021-03-20T22", "2021-03-25T22", 24, dtype="datetime64[h]")
    panel = from_columns(np.arange(5.0), utc, zone="Europe/Riga")
    whole = panel.append(read_table(path).panel(like=panel))
    assert whole.frequency.label(whole.ends[0]) == "2021-03-30"
    np.testing.assert_array_equal(whole.values, [*range(5), *range(5)])


def test_months_of_iso_8601_are_no_quarters_and_no_weeks():
    formats = [time_format for time_format in TIMES if "Qq" in time_format or "Ww" in time_format]
    assert len(formats) == 3
    for time_format in formats:
        assert parse_time("2020-04", time_format) == np.datetime64("2020-04-01")


@pytest.mark.parametrize("time_format", ["", "%d.%m.%y", "s", "%Y-%m"])
@pytest.mark.parametrize("text", ["", "soon", "2020-13-01", "12:00", "170000000x", "31.02.20", "inf"])
def test_what_is_no_time_is_refused(text, time_format):
    with pytest.raises(ValueError, match=r".+"):
        parse_time(text, time_format)


@pytest.mark.parametrize("time_format", TIMES)
def test_times_in_each_format_are_read_back(tmp_path, time_format):
    months = np.array("2019-10", "datetime64[M]") + np.arange(40)
    if time_format in ("s", "ms", "us", "ns") or "%H" in time_format or "%I" in time_format:
        times = np.array("2019-12-28T05", "datetime64[h]") + np.arange(90)
    elif "%d" in time_format or time_format == "":
        times = np.array("2019-12-28", "datetime64[D]") + np.arange(90)
    elif "Ww" in time_format:
        times = np.array("2019-12-02", "datetime64[D]") + 7 * np.arange(60)
    else:
        times = months[::3] if "Qq" in time_format else months
    times = times.astype("datetime64[us]")
    rows = "".join(f'"{text}",{k}\n' for k, text in enumerate(format_times(times, time_format)))
    table = read_table(write(tmp_path, f"date,y\n{rows}"))
    np.testing.assert_array_equal(table.times, times)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20),
    st.sampled_from([("", "."), (",", "."), (" ", "."), ("'", "."), (".", ","), ("\u202f", ","), ("", ",")]),
    st.sampled_from(["{}", "$ {}", "{} €", "{}%"]),
    st.sampled_from([",", ";", "\t"]),
)
def test_numbers_in_each_notation_are_read_back(tmp_path, hundredths, marks, around, delimiter):
    group, decimal = marks
    texts = [f"{abs(n) // 100:,}".replace(",", group) + f"{decimal}{abs(n) % 100:02}" for n in hundredths]
    cells = [around.format("-" * (n < 0) + text) for n, text in zip(hundredths, texts, strict=True)]
    rows = [f'{2000 + k}{delimiter}"{cell}"\n' for k, cell in enumerate(cells)]
    table = read_table(write(tmp_path, f"year{delimiter}y\n" + "".join(rows)))
    np.testing.assert_array_equal(table.values[:, 0], np.array(hundredths) / 100)


def test_counts_are_no_dates(tmp_path):
    """Counts that could be months, or seconds if their column were called like times."""
    counted = read_table(write(tmp_path, "n,y\n" + "".join(f"{20200 + k},{k}\n" for k in range(1, 40))))
    assert counted.times.dtype == np.int64
    sold = read_table(write(tmp_path, "day,sold\n2020-01-01,1700000000\n2020-01-02,1700000300\n"))
    assert sold.target_cols == ("sold",)


@pytest.mark.parametrize(
    ("delimiter", "cells", "values"),
    [
        (",", ["12", "999", "1,000", "1,234,567.5"], [12, 999, 1000, 1234567.5]),
        (",", ["$12,000.00", "-$5", "$-5.5", "$ 7"], [12000, -5, -5.5, 7]),
        (",", ["1,5", "12,25"], [1.5, 12.25]),
        (";", ["1.234,5", "999", "-2.000", "1.234.567"], [1234.5, 999, -2000, 1234567]),
        (";", ["1,234", "2,500"], [1.234, 2.5]),
        (";", ["1,234.5", "1,000"], [1234.5, 1000]),
        (";", ["1.234", "2.5"], [1.234, 2.5]),
        (";", ["995", "-1.000", "1.195"], [995, -1000, 1195]),
        (";", ["1.250", "2.000"], [1.25, 2]),
        (";", ["0.250", "2"], [0.25, 2]),
        (";", ["1000", "1.195", "2"], [1000, 1.195, 2]),
        (",", ["995", "1.000"], [995, 1]),
        (";", ["12 000,5 €", "1\u00a0234", "7"], [12000.5, 1234, 7]),
        (",", ["12.5%", "3 %", "1'234.5"], [12.5, 3, 1234.5]),
    ],
)
def test_numbers_of_other_writings(tmp_path, delimiter, cells, values):
    rows = [f'2020-01-{k + 1:02}{delimiter}"{cell}"\n' for k, cell in enumerate(cells)]
    table = read_table(write(tmp_path, f"ds{delimiter}y\n" + "".join(rows)))
    np.testing.assert_array_equal(table.values[:, 0], values)


@pytest.mark.parametrize(
    ("delimiter", "cells", "noted"),
    [
        (";", ["1.250", "2.000", "999.125"], True),
        (";", ["1.250", "2.000", "0.125"], False),
        (";", ["1.250", "2.00", "3.125"], False),
        (";", ["1,250", "2,000", "3,125"], False),
        (",", ["1.250", "2.000", "999.125"], False),
    ],
)
def test_numbers_that_could_be_thousands_are_noted_with_the_query_for_that(tmp_path, delimiter, cells, noted):
    rows = [f"2020-01-{k + 1:02}{delimiter}{cell}\n" for k, cell in enumerate(cells)]
    path = write(tmp_path, f"ds{delimiter}y\n" + "".join(rows))
    notes = read_table(path).panel().notes
    assert len(notes) == noted
    if noted:
        assert 'all numbers in "y" have three digits after the point: read as decimals' in notes[0]
        read = read_table(path, sql=notes[0].split("'")[1])
        np.testing.assert_array_equal(read.values[:, 0], [1250, 2000, 999125])


@pytest.mark.parametrize(
    ("name", "text", "sql", "first"),
    [
        (
            "a.csv",
            "Year,Month,sold\n2019,11,3\n2019,12,4\n2020,1,5\n",
            'select make_date("Year"::int, "Month"::int, 1) as ds, * exclude ("Year", "Month") from input',
            "2019-11-01",
        ),
        (
            "b.csv",
            "year,month,day,sold\n2019,12,31,3\n2020,1,1,4\n2020,1,2,5\n",
            'select make_date("year"::int, "month"::int, "day"::int) as ds, '
            '* exclude ("year", "month", "day") from input',
            "2019-12-31",
        ),
        (
            "c.csv",
            "Date;Time;kW\n16/12/2006;17:24:00;4.2\n16/12/2006;17:25:00;5.4\n16/12/2006;17:26:00;5.2\n",
            'select concat("Date", chr(32), "Time") as ds, * exclude ("Date", "Time") from input',
            "2006-12-16T17:24",
        ),
        (
            "d.json",
            '{"rows": [{"ds": "2020-01-01", "y": 3}, {"ds": "2020-01-02", "y": 4}]}',
            'select unnest("rows", recursive := true) from input',
            "2020-01-01",
        ),
    ],
)
def test_what_stands_in_parts_is_refused_with_a_query_that_puts_it_together(tmp_path, name, text, sql, first):
    path = write(tmp_path, text, name)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert f"--sql '{sql}'" in str(caught.value)
    table = read_table(path, sql=sql)
    assert table.times[0] == np.datetime64(first)
    assert len(table.target_cols) == 1


MONTHS = "January February March April May June July August September October November December"


@pytest.mark.parametrize(
    ("header", "labels"),
    [
        ("month,2019,2020,2021", range(1, 13)),
        ("Monat,2019,2020,2021", MONTHS.split()),
        (f"Year,{','.join(name[:3] for name in MONTHS.split())},Total", (2019, 2020)),
        (f"year,{','.join(f'{k:02}' for k in range(1, 13))}", (2019, 2020)),
    ],
)
def test_months_by_years_are_refused_with_the_query_that_puts_them_together(tmp_path, header, labels):
    first, *above = header.split(",")
    below, right = (1, 12) if "2019" in above else (12, 1)
    rows = [
        ",".join(map(str, (label, *(below * row + right * column for column in range(len(above))))))
        for row, label in enumerate(labels)
    ]
    path = write(tmp_path, "\n".join([header, *rows]) + "\n")
    with pytest.raises(DataError, match=r"one series, with \w+ in rows and \w+ in columns") as caught:
        read_table(path)
    panel = read_table(path, sql=str(caught.value).split("'")[1]).panel()
    assert (panel.frequency.describe(), panel.times[0]) == (
        "monthly (first day of the month)",
        np.datetime64("2019-01-01"),
    )
    np.testing.assert_array_equal(panel.values, np.arange(len(panel.values)))
    table = read_table(path, time_col="none" if first == "Monat" else first)
    assert table.target_cols == tuple(above)


def test_columns_called_years_without_months_are_series(tmp_path):
    path = write(tmp_path, "week,2019,2020\n" + "".join(f"{k},{k},{2 * k}\n" for k in range(1, 40)))
    assert read_table(path).panel().ids == ("2019", "2020")


def test_times_of_day_beside_whole_dates_are_no_part_of_them(tmp_path):
    rows = "a,2020-01-01,08:00,1\na,2020-01-02,09:00,2\nb,2020-01-01,08:30,3\nb,2020-01-02,08:30,4\n"
    table = read_table(write(tmp_path, f"unique_id,ds,opens,y\n{rows}"))
    assert table.panel().ids == ("a", "b")


def test_excels_word_for_the_delimiter_is_passed_over(tmp_path):
    table = read_table(write(tmp_path, "sep=;\nds;y\n2020-01-01;1,5\n2020-01-02;2\n"))
    np.testing.assert_array_equal(table.values[:, 0], [1.5, 2])


def test_numbers_written_in_two_ways_are_refused(tmp_path):
    rows = "".join(f'2020-01-{k:02},"{k},000.5"\n' for k in range(1, 9))
    with pytest.raises(DataError, match=r"line 10, column \"y\": '1,5' is not a number"):
        read_table(write(tmp_path, f'ds,y\n{rows}2020-01-09,"1,5"\n'))


@pytest.mark.parametrize(
    ("encoding", "word", "name"),
    [
        ("utf-8", "Größe", "UTF-8"),
        ("utf-16", "Größe", "UTF-16"),
        ("cp1251", "продажи", "windows-1251"),
        ("cp1252", "Größe", "windows-1252"),
    ],
)
def test_encodings_are_found(tmp_path, encoding, word, name):
    text = f"ds,{word}\n2020-01-01,5\n2020-01-02,6\n"
    table = read_table(write(tmp_path, text.encode(encoding)))
    assert f" separated, {name}, header found" in table.origin.form
    assert table.target_cols == (word,)


def test_several_series_in_long_and_in_wide_form(tmp_path):
    text = "unique_id,ds,y\nb,2020-01-02,4\nb,2020-01-01,3\na,2020-01-01,1\na,2020-01-02,2\n"
    panel = read_table(write(tmp_path, text)).panel()
    assert panel.ids == ("b", "a")
    np.testing.assert_array_equal(panel.values, [3, 4, 1, 2])
    wide = read_table(write(tmp_path, "ds,a,b\n2020-01-01,1,3\n2020-01-02,2,4\n")).panel()
    assert wide.ids == ("a", "b")
    np.testing.assert_array_equal(wide.values, [1, 2, 3, 4])


def test_ids_are_found_where_times_come_twice(tmp_path):
    rows = [f"2020-01-0{day},{shop},{10 * day}" for shop in ("a", "b", "c") for day in range(1, 4)]
    path = write(
        tmp_path, "\n".join(["day,note,shop,sold", *(r.replace(",", ",x,", 1) for r in rows)]) + "\n"
    )
    table = read_table(path)
    assert (table.id_col, table.target_cols) == ("shop", ("sold",))
    assert table.panel().ids == ("a", "b", "c")
    once = write(tmp_path, "day,shop,sold\n2020-01-01,a,1\n2020-01-02,b,2\n")
    assert read_table(once).id_col is None
    two = write(tmp_path, "day,shop,sold,price\n" + "".join(f"2020-01-01,{s},1,2\n" for s in "ab"))
    with pytest.raises(DataError, match=r'several columns of numbers \("sold", "price"\) beside its ids'):
        read_table(two)


def test_a_series_in_each_row_is_refused_with_the_query_that_turns_it(tmp_path):
    path = write(tmp_path, "V1,V2,V3,V4,V5\nH1,1,2,3,\nH2,5,6.5,7,8\n")
    with pytest.raises(
        DataError, match='one series in each row, named in "V1"; turn it with --sql'
    ) as caught:
        read_table(path)
    query = str(caught.value).split("'")[1]
    panel = read_table(path, sql=query).panel()
    assert panel.ids == ("H1", "H2")
    np.testing.assert_array_equal(panel.values, [1, 2, 3, 5, 6.5, 7, 8])
    assert read_table(path, time_col="none").panel().ids == ("V2", "V3", "V4", "V5")


@pytest.mark.parametrize(
    ("table", "ids", "first", "described"),
    [
        ("land,2019,2020,2021\na,1,,2\nb,3,4,5\nc,6,7,8\nd,9,1,2\n", "abcd", 2019, "whole numbers, step 1"),
        (
            "land,code,2020-01,2020-02,2020-03\na,x,1,,2\na,y,3,4,5\nb,x,6,7,8\n",
            ("a x", "a y", "b x"),
            np.datetime64("2020-01-01"),
            "monthly (first day of the month)",
        ),
    ],
)
def test_series_in_rows_keep_the_times_above_them(tmp_path, table, ids, first, described):
    path = write(tmp_path, table)
    with pytest.raises(DataError, match="one series in each row") as caught:
        read_table(path)
    panel = read_table(path, sql=str(caught.value).split("'")[1]).panel()
    assert panel.ids == tuple(ids)
    assert (panel.times[0], panel.frequency.describe()) == (first, described)
    np.testing.assert_array_equal(panel.values[:6], [1, np.nan, 2, 3, 4, 5])
    assert len(read_table(path, time_col="none").target_cols) == 3


@pytest.mark.parametrize("header", ["name,2019,2020,2021\n", "name,2020-01,2020-02,2020-03\n", ""])
def test_series_in_rows_with_years_above_them_or_nothing(tmp_path, header):
    path = write(tmp_path, f"{header}H1,1,2,4\nH2,5,6.5,7\n")
    with pytest.raises(DataError, match="one series in each row") as caught:
        read_table(path)
    panel = read_table(path, sql=str(caught.value).split("'")[1]).panel()
    assert panel.ids == ("H1", "H2")
    np.testing.assert_array_equal(panel.values, [1, 2, 4, 5, 6.5, 7])


def test_overrides_choose_other_columns(tmp_path):
    path = write(tmp_path, "ds,day,shop,y,sold\n2020-01-01,7,s,1,10\n2020-01-02,8,s,2,20\n")
    table = read_table(path, id_col="shop", time_col="day", target_cols=["sold"])
    np.testing.assert_array_equal(table.values[:, 0], [10, 20])
    np.testing.assert_array_equal(table.times, [7, 8])
    assert table.panel().ids == ("s",)
    assert read_table(path, time_col="none", target_cols=["sold"]).panel().times.tolist() == [0, 1]
    with pytest.raises(UsageError, match='no column "price" to be the target column; it has ds, day, shop'):
        read_table(path, target_cols=["price"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty", "is empty"),
        ("blank_lines", "has no rows"),
        ("header_only", "no rows below its header"),
        ("one_row", "no series has two times"),
        ("too_many_cells", "line 3: 3 cells where 2 are expected"),
        ("too_few_cells", "line 5: 1 cell where 2 are expected"),
        ("only_text", 'no column of numbers .*"name", "town"'),
        ("binary", "binary file"),
        ("binary_without_nul", "binary file"),
        ("spreadsheet", "spreadsheet"),
        ("utf16_cut", "not whole UTF-16"),
        ("duplicate_times", "duplicate time in the series, such as 2020-01-02: line 3 and line 5"),
        ("irregular", "not regular: 2020-01-01 in line 2 is followed by 2020-01-04"),
        ("infinite", "line 4 holds inf"),
        ("bad_number", "line 4, column \"y\": 'twelve' is not a number"),
        ("bad_time", "line 14, column \"ds\": 'someday' is not a time"),
        ("missing_time", 'line 6, column "ds": the time is missing'),
        ("unterminated_quote", "line 2: .*unterminated quote"),
        ("same_column_twice", 'two columns called "y"'),
        ("two_values_with_ids", r'several columns of numbers \("price", "sold"\)'),
    ],
)
def test_hostile_files_are_refused_with_the_place(name, words):
    with pytest.raises(DataError, match=words) as caught:
        read_table(HOSTILE / f"{name}.csv").panel()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("name", "frequency", "missing", "note"),
    [
        (
            "gap",
            "daily",
            [4, 5, 9],
            "3 times absent from the series, first 2020-01-05 after line 5: taken as missing values",
        ),
        (
            "missing_middle",
            "daily",
            [2, 4],
            "2 values missing inside the series (line 4, line 6): kept as missing",
        ),
        (
            "weekend",
            "every 12 hours",
            [3, 4, 5],
            "3 times absent from the series, first 2020-01-07 12:00 after line 4: taken as missing values",
        ),
    ],
)
def test_what_is_missing_stays_missing_and_is_said(name, frequency, missing, note):
    panel = read_table(HOSTILE / f"{name}.csv").panel()
    assert panel.frequency.describe() == frequency
    assert np.flatnonzero(~panel.mask).tolist() == missing
    assert panel.notes == (note,)


def test_an_empty_column_is_passed_over():
    assert read_table(HOSTILE / "all_missing.csv").target_cols == ("z",)


def test_what_is_not_there_or_no_file(tmp_path):
    with pytest.raises(FileMissingError, match="does not exist"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_table(tmp_path)


def test_a_full_folder_for_temporary_files_is_named(monkeypatch):
    def full(*arguments, **options):
        raise duckdb.IOException(f'Could not write file "table.duckdb": {os.strerror(errno.ENOSPC)}')

    monkeypatch.setattr(duckdb, "connect", full)
    with pytest.raises(
        TooLargeError, match=re.escape(f"{tempfile.gettempdir()}; make room there, or set TMPDIR")
    ):
        read_table(AIR_PASSENGERS)


def test_lines_are_counted_through_comments_blank_lines_and_quoted_breaks(tmp_path):
    table = 'note,ds,y\n"two\nlines",2020-01-01,1\n\n,2020-01-02,oops\n,2020-01-03,3\n,2020-01-04,4\n'
    for before, line in (("", 5), ("# made by hand\n\n", 7)):
        with pytest.raises(DataError, match=f"line {line}, column"):
            read_table(write(tmp_path, before + table))


def test_long_cells_are_passed_over_and_lines_counted_behind_them(tmp_path):
    limit, text = csv.field_size_limit(), "x" * (csv.field_size_limit() + 1)
    rows = [f'2020-01-0{day},{day},"{text}\n"\n' for day in (1, 2, 3)]
    assert len(read_table(write(tmp_path, "ds,y,note\n" + "".join(rows)))) == 3
    with pytest.raises(DataError, match="line 8, column"):
        read_table(write(tmp_path, "ds,y,note\n" + "".join(rows) + "2020-01-04,much,\n"))
    assert csv.field_size_limit() == limit


def test_reading_leaves_nothing_behind(tmp_path, monkeypatch):
    path = write(tmp_path, "ds,y\n2020-01-01,5\n2020-01-02,6\n".encode("utf-16"))
    monkeypatch.chdir(tmp_path)
    read_table(path)
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="\ufeff"), max_size=8
)
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: round(x, 3))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, NUMBERS), min_size=2, max_size=12), st.sampled_from(",;\t|"))
def test_whatever_a_csv_writer_quotes_is_read_back(tmp_path, rows, delimiter):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["note", "t", "y"])
    writer.writerows([(text, k, number) for k, (text, number) in enumerate(rows)])
    table = read_table(write(tmp_path, buffer.getvalue()), time_col="t", target_cols=["y"])
    np.testing.assert_array_equal(table.values[:, 0], [number for _, number in rows])
    np.testing.assert_array_equal(table.times, np.arange(len(rows)))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.text('ds,y\n"01-;.\t', max_size=120).map(str.encode)))
@example(b"\x01\n\n0\n\x01")  # a blank line that is a row
def test_any_bytes_give_a_table_or_one_clear_line(tmp_path, content):
    message = ""
    try:
        read_table(write(tmp_path, content)).panel()
    except KaruselError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize("columns", [1, 40])  # few are read one by one, many by one query
def test_rows_taken_out_in_pieces_make_the_same_table(columns, tmp_path, monkeypatch):
    random = np.random.default_rng(2)
    names = [f"v{k}" for k in range(columns)]
    values = random.integers(-99, 99, (11, columns)) / 4
    values[3, 0] = np.nan
    lines = ["ds," + ",".join(names)]
    for day, row in enumerate(values, 1):
        lines.append(f"2024-01-{day:02d}," + ",".join("n/a" if np.isnan(one) else str(one) for one in row))
    monkeypatch.setattr(cells, "_PIECE", 4)
    table = read_table(write(tmp_path, "\n".join(lines)), target_cols=names)
    np.testing.assert_array_equal(table.values, values)
    np.testing.assert_array_equal(table.times, np.arange("2024-01-01", "2024-01-12", dtype="datetime64[D]"))


@pytest.mark.parametrize("order", ["by series", "by time", "apart"])
def test_ids_are_found_in_whatever_order_the_rows_come(order, tmp_path):
    rows = [(shop, f"2024-01-{day:02d}", day) for shop in ("ann", "bob", "cid") for day in (1, 2, 3, 4)]
    if order == "by time":
        rows.sort(key=lambda row: row[1])
    if order == "apart":
        rows = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    lines = [f"{'x' if k < 5 else 'z'},{shop},{day},{sold}" for k, (shop, day, sold) in enumerate(rows)]
    table = read_table(write(tmp_path, "\n".join(["kind,shop,day,sold", *lines])))
    assert (table.id_col, table.target_cols) == ("shop", ("sold",))
    assert [table.ids.names[code] for code in table.ids.codes] == [row[0] for row in rows]


@pytest.mark.parametrize("odd", ["", '17000,"2"', '17000,"\n2"'])
def test_the_line_of_a_row_far_down_is_named(odd, tmp_path):
    lines = ["# of the harbour", "t,y", *(f"{t},{t / 4}" for t in range(30_000))]
    lines[17_002] = odd
    lines[15_002] = "15000,much"
    path = write(tmp_path, "\n".join(lines))
    with pytest.raises(DataError, match="line 15003, column \"y\": 'much' is not a number"):
        read_table(path, time_col="t", target_cols=["y"])
    lines[15_002], lines[29_002] = "15000,2", "29000,much"
    with pytest.raises(DataError, match=f"line {29_003 + odd.count(chr(10))}, column \"y\": 'much' is not"):
        read_table(write(tmp_path, "\n".join(lines)), time_col="t", target_cols=["y"])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_file_looked_through_in_chunks_is_what_it_is_as_a_whole(size, tmp_path, monkeypatch):
    monkeypatch.setattr(form, "_CHUNK", size)
    rows = "".join(f"ряд,2020-01-{day:02},{day}{end}" for day, end in ((1, "\r\n"), (2, "\r\n"), (3, "\n")))
    text = f"имя,ds,y\r\n{rows}"
    for content, encoding in ((text.encode(), "UTF-8"), (text.encode("cp1251"), "windows-1251")):
        table = read_table(write(tmp_path, content))
        assert f", {encoding}, " in table.origin.form
        np.testing.assert_array_equal(table.values[:, 0], [1, 2, 3])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "ds,y\n01.01.2021,1\n02.01.2021,2\n2021-01-03,3\n",
            "line 4, column \"ds\": '2021-01-03' is not a time such as '01.01.2021'; correct",
        ),
        (
            "ds,y\n2021-01-01,1\n2021-01-02,2\nTotal,3\n",
            "line 4, column \"ds\": 'Total' is not a time such as '2021-01-01'; correct it or remove the row",
        ),
        (
            "ds,y\n2021-01-01 00:00 CET,1\n2021-01-02 00:00 CET,2\n",
            "has times with the name of a zone, CET; write",
        ),
        (
            "ds,y\n2021-01-01T00:00Z,1\n2021-01-01T01:00,2\n2021-01-01T02:00Z,2\n",
            'line 3, column "ds": the time has no offset from UTC, but others have one',
        ),
        (
            "ds,y\n2021-01-01,1,001\n2021-01-02,1,002\n",
            "line 1: 2 cells where the rows below have 3; every row",
        ),
    ],
)
def test_what_could_be_read_only_in_part_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=re.escape(words)):
        read_table(write(tmp_path, text))
