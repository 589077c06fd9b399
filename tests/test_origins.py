"""Sources that are not one CSV file: Parquet, JSON, several files, standard input, SQL."""

from __future__ import annotations

import gzip
import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from karusel.errors import DataError, FileMissingError, UsageError
from karusel.forecasting.frames import read_frame
from karusel.sources import read_table

DAYS = pd.date_range("2020-01-30", periods=6, freq="D")


def shops() -> pd.DataFrame:
    """Two shops of unlike lengths, a price known ahead, a region, and a column that is not used."""
    rows = [
        {"unique_id": shop, "ds": day, "y": base + k, "price": 1.5 * k, "region": region, "note": "x"}
        for shop, base, count, region in (("north", 10, 6, "hill"), ("south", 100, 4, "sea"))
        for k, day in enumerate(DAYS[:count])
    ]
    return pd.DataFrame(rows)


def expect_shops(table) -> None:
    assert (table.id_col, table.time_col, table.target_cols) == ("unique_id", "ds", ("y",))
    panel = table.panel()
    assert panel.ids == ("north", "south")
    np.testing.assert_array_equal(panel.values, [10, 11, 12, 13, 14, 15, 100, 101, 102, 103])
    assert panel.frequency.describe() == "daily"
    assert panel.times[6] == np.datetime64("2020-01-30")


def as_parquet(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_parquet(path, engine="pyarrow", index=False)
    return path


def as_json(frame: pd.DataFrame, path: Path, *, lines: bool) -> Path:
    frame.to_json(path, orient="records", lines=lines, date_format="iso")
    return path


# ------------------------------------------------------------------------------------ kinds of file


def test_parquet(tmp_path):
    table = read_table(as_parquet(shops(), tmp_path / "shops.parquet"))
    expect_shops(table)
    assert table.origin.form == "Parquet"


@pytest.mark.parametrize("lines", [False, True], ids=["array", "lines"])
def test_json(tmp_path, lines):
    ending = "jsonl" if lines else "json"
    expect_shops(read_table(as_json(shops(), tmp_path / f"shops.{ending}", lines=lines)))


def test_types_of_parquet_are_read_as_they_are(tmp_path):
    frame = pd.DataFrame(
        {
            "y": [1.5, np.nan, 2.5],
            "ds": pd.to_datetime(["2020-01-01 00:00", "2020-01-01 01:00", "2020-01-01 02:00"]).tz_localize(
                "Europe/Berlin"
            ),
        }
    )
    table = read_table(as_parquet(frame, tmp_path / "t.parquet"))
    assert table.times[0] == np.datetime64("2019-12-31T23:00")  # UTC
    np.testing.assert_array_equal(table.values[:, 0], [1.5, np.nan, 2.5])


@pytest.mark.parametrize(
    ("column", "first"),
    [
        (["2020-01-01", "2020-01-02"], np.datetime64("2020-01-01")),
        ([20200101, 20200102], np.datetime64("2020-01-01")),
        ([1990, 1991], 1990),
        ([1990.0, 1991.0], 1990),
    ],
    ids=["text", "whole numbers that are dates", "years", "years as floats"],
)
def test_times_of_parquet_may_be_text_or_numbers(tmp_path, column, first):
    table = read_table(as_parquet(pd.DataFrame({"date": column, "y": [5, 6]}), tmp_path / "t.parquet"))
    assert table.time_col == "date"
    assert table.times[0] == first


def test_numbers_as_ids_are_names(tmp_path):
    frame = shops().assign(unique_id=lambda f: np.where(f.unique_id == "north", 7, 12))
    panel = read_table(as_parquet(frame, tmp_path / "t.parquet")).panel()
    assert panel.ids == ("7", "12")


def test_a_parquet_file_that_is_cut_off_is_one_line(tmp_path):
    whole = as_parquet(shops(), tmp_path / "t.parquet")
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"t\.parquet cannot be read") as caught:
        read_table(whole)
    assert "\n" not in str(caught.value)


def test_json_that_is_none_is_one_line(tmp_path):
    path = tmp_path / "t.json"
    record = '{"ds": "2020-01-01", "y": 1}'
    for text in (f'[{record}, {{"ds":', f"[{record},\n", f"[{record}", "{", "nothing"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"t\.json") as caught:
            read_table(path)
        assert "\n" not in str(caught.value)


def test_a_row_is_named(tmp_path):
    frame = pd.DataFrame({"ds": ["2020-01-01", "2020-01-02", "2020-01-04"] * 5, "y": ["1", "2", "z"] * 5})
    frame["ds"] = pd.date_range("2020-01-01", periods=15).astype(str)
    with pytest.raises(DataError, match="row 3, column \"y\": 'z' is not a number"):
        read_table(as_parquet(frame, tmp_path / "t.parquet"))


@pytest.mark.parametrize("name", ["t.csv.gz", "t.json.gz", "t.csv"])
def test_files_packed_by_gzip_are_read(tmp_path, name, monkeypatch):
    rows = shops().assign(ds=lambda f: f.ds.astype(str))
    text = rows.to_json(orient="records") if "json" in name else rows.to_csv(index=False)
    plain, packed = tmp_path / name.removesuffix(".gz").replace("t.", "plain."), tmp_path / name
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    one, other = read_table(plain), read_table(packed)
    assert np.array_equal(one.values, other.values)
    assert np.array_equal(one.times, other.times)
    with packed.open("rb") as pipe:
        monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=pipe))
        assert np.array_equal(read_table("-").values, one.values)


def test_a_wrong_cell_of_a_packed_file_is_named_by_its_line(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"ds,y\n2020-01-01,5\n2020-01-02,x\n2020-01-03,6\n"))
    with pytest.raises(DataError, match=r"t\.csv\.gz, line 3, column \"y\": 'x' is not a number"):
        read_table(path)


@pytest.mark.parametrize("end", [-9, 30])
def test_a_damaged_gzip_file_is_one_line(tmp_path, end):
    path = tmp_path / "t.csv.gz"
    whole = gzip.compress(b"ds,y\n2020-01-01,5\n" * 50)
    path.write_bytes(whole[:end])
    with pytest.raises(DataError, match=r"t\.csv\.gz is a damaged gzip file") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------ several files


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_a_glob_and_several_files_are_one_table(tmp_path, kind, monkeypatch):
    parts = shops().assign(ds=lambda f: f.ds.astype(str))
    for number, part in enumerate((parts[:4], parts[4:])):
        path = tmp_path / f"part{number}.{kind}"
        if kind == "csv":
            part.to_csv(path, index=False)
        elif kind == "parquet":
            as_parquet(part, path)
        else:
            as_json(part, path, lines=False)
    expect_shops(read_table(tmp_path / f"part*.{kind}"))
    expect_shops(read_table([tmp_path / f"part0.{kind}", tmp_path / f"part1.{kind}"]))
    monkeypatch.chdir(tmp_path)
    table = read_table(f"part*.{kind}")
    assert table.origin.form.startswith("2 files, ")
    assert table.origin.place(4) == f"part1.{kind}, " + ("line 2" if kind == "csv" else "row 1")


def test_a_bad_cell_of_the_second_file_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("ds,y\n2020-01-01,5\n2020-01-02,6\n2020-01-03,7\n")
    (tmp_path / "b.csv").write_text("ds;y\n2020-01-04;5\n\n2020-01-05;six\n")
    with pytest.raises(DataError, match=r"b\.csv, line 4, column \"y\": 'six' is not a number"):
        read_table(str(tmp_path / "*.csv"))


def test_files_that_do_not_fit_together(tmp_path):
    (tmp_path / "a.csv").write_text("ds,y\n2020-01-01,5\n")
    (tmp_path / "b.csv").write_text("ds,z\n2020-01-02,5\n")
    with pytest.raises(DataError, match=r"b\.csv has the columns ds, z, but .*a\.csv has ds, y"):
        read_table(str(tmp_path / "*.csv"))
    as_parquet(shops(), tmp_path / "c.parquet")
    with pytest.raises(DataError, match="holds CSV and Parquet files"):
        read_table(str(tmp_path / "*"))


def test_a_name_that_is_no_text(tmp_path):
    path = tmp_path / "b\udcff.csv"
    path.write_text("ds,y\n2020-01-01,1\n2020-01-02,2\n")
    with pytest.raises(DataError, match="has a name that is no UTF-8 text; rename it"):
        read_table(path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(FileMissingError, match=r"no\*\.csv does not exist"):
        read_table(str(tmp_path / "no*.csv"))
    with pytest.raises(UsageError, match="download it to a file first"):
        read_table("https://example.org/a.csv")
    with pytest.raises(UsageError, match="no file is given"):
        read_table()


# ----------------------------------------------------------------------------------- standard input


class Stdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "jsonl"])
def test_standard_input(tmp_path, kind, monkeypatch):
    if kind == "csv":
        content = shops().to_csv(index=False).encode()
    elif kind == "parquet":
        content = as_parquet(shops(), tmp_path / "t").read_bytes()
    else:
        content = as_json(shops(), tmp_path / "t", lines=kind == "jsonl").read_bytes()
    monkeypatch.setattr(sys, "stdin", Stdin(content))
    table = read_table("-")
    expect_shops(table)
    assert table.origin.name == "standard input"
    assert table.origin.place(2) == "row 3"


def test_nothing_on_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b""))
    with pytest.raises(DataError, match="standard input is empty"):
        read_table("-")
    with pytest.raises(UsageError, match="standard input comes alone"):
        read_table(["-", "-"])


# ---------------------------------------------------------------------------------------------- SQL

SALES = "select shop as unique_id, day as ds, sum(sales) as y from {} group by all order by all"


def sales(folder: Path) -> None:
    for number, shop in enumerate(("a", "b")):
        rows = [
            {"shop": shop, "day": day, "item": item, "sales": 10 * number + k}
            for k, day in enumerate(DAYS)
            for item in ("pen", "ink")
        ]
        as_parquet(pd.DataFrame(rows), folder / f"{shop}.parquet")
        pd.DataFrame(rows).to_csv(folder / f"{shop}.csv", index=False)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_sql_over_files_it_names_and_over_input(tmp_path, kind):
    sales(tmp_path)
    expected = [2.0 * k for k in range(6)] + [20.0 + 2 * k for k in range(6)]
    for table in (
        read_table(sql=SALES.format(f"'{tmp_path}/*.{kind}'")),
        read_table(f"{tmp_path}/*.{kind}", sql=SALES.format("input") + ";\n"),
    ):
        panel = table.panel()
        assert panel.ids == ("a", "b")
        np.testing.assert_array_equal(panel.values, expected)


def test_sql_over_dates_that_could_be_two_does_not_guess(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ds,y\n02/01/2020,1\n02/02/2020,2\n02/03/2020,3\n02/04/2020,4\n")
    query = "select * from input"
    for read in (read_table(path), read_table(path, sql=query)):
        assert read.times[0] == np.datetime64("2020-02-01")
    told = "select strptime(ds, '%d/%m/%Y') as ds, y from input"
    assert read_table(path, sql=told).times[0] == np.datetime64("2020-01-02")
    path.write_text("ds,y\n02/01/2020,1\n02/13/2020,2\n")
    assert read_table(path, sql="select ds + 1 as ds, y from input").times[1] == np.datetime64("2020-02-14")


def test_sql_over_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"day,n\n2020-01-01,1\n2020-01-02,2\n"))
    table = read_table("-", sql="select day as ds, 2 * n as y from input")
    np.testing.assert_array_equal(table.values[:, 0], [2, 4])
    assert table.origin.form == "CSV through SQL"


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        ("selec 1", UsageError, "--sql: Parser Error: .*; correct the query"),
        ("select z from input", UsageError, '"z" not found'),
        ("select * from nowhere", UsageError, "nowhere does not exist"),
        ("select * from '/no/where/*.parquet'", FileMissingError, "No files found"),
        ("drop table input", UsageError, "--sql: "),
        ("select ds, y from input where y > 100", DataError, "the query has no rows"),
        ("select ds, cast(ds as integer) as y from input", DataError, "--sql: Conversion Error"),
    ],
)
def test_sql_that_is_wrong_is_one_line(tmp_path, query, error, words):
    path = tmp_path / "t.csv"
    path.write_text("ds,y\n2020-01-01,5\n2020-01-02,6\n")
    with pytest.raises(error, match=words) as caught:
        read_table(path, sql=query)
    assert "\n" not in str(caught.value)
    assert path.exists()


# --------------------------------------------------------------------------------------- covariates


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_covariates_of_numbers_and_of_names(tmp_path, kind):
    frame = shops()
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        as_parquet(frame, path)
    else:
        as_json(frame, path, lines=False)
    lists = {"futr_exog_list": ["price"], "hist_exog_list": ["note"], "stat_exog_list": ["region"]}
    panel = read_table(path, **lists).panel()
    np.testing.assert_array_equal(panel.covariates.future[:, 0], frame.price)
    assert panel.covariates.past[:, 0].tolist() == [1.0] * len(frame)
    assert panel.covariates.static.tolist() == [[1.0], [2.0]]
    assert panel.covariates.of("static")[0].categories == ("hill", "sea")


def test_a_covariate_is_no_value_and_has_one_role(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("ds,sold,price\n2020-01-01,5,1\n2020-01-02,6,2\n2020-01-03,7,inf\n")
    with pytest.raises(DataError, match=r'line 4, column "price" holds inf'):
        read_table(path, futr_exog_list=["price"])
    assert read_table(path, target_cols=["sold"]).covariates == ()
    with pytest.raises(UsageError, match='"price" is named as future covariate and as static covariate'):
        read_table(path, futr_exog_list=["price"], stat_exog_list=["price"])
    with pytest.raises(UsageError, match='no column "promo" to be the past covariate'):
        read_table(path, hist_exog_list=["promo"])


def test_later_rows_are_read_as_the_first_ones_were(tmp_path):
    first, later = tmp_path / "first.csv", tmp_path / "later.csv"
    first.write_text("ds,y,sky\n2020-01-01,5,wet\n2020-01-02,6,dry\n")
    later.write_text("ds,y,sky\n2020-01-03,7,dry\n2020-01-04,8,snow\n")
    panel = read_table(first, hist_exog_list=["sky"]).panel()
    table = read_table(later, known=panel.covariates.described)
    both = panel.append(table.panel(like=panel))
    np.testing.assert_array_equal(both.values, [5, 6, 7, 8])
    assert both.covariates.past[:, 0].tolist() == [2, 1, 1, 0]


@pytest.mark.parametrize(("ids", "both"), [([1, 2], (1, 2, 3)), (["1", "2"], ("1", "2", "3"))])
def test_the_ids_of_later_rows_are_those_of_the_panel_whatever_their_type(tmp_path, ids, both):
    first = pd.DataFrame({"unique_id": np.repeat(ids, 6), "ds": [*DAYS, *DAYS], "y": 1.0})
    panel = read_frame(first, "unique_id", "ds", "y")[0]
    path = tmp_path / "later.csv"
    path.write_text("unique_id,ds,y\n2,2020-02-05,5\n1,2020-02-05,6\n3,2020-02-05,7\n3,2020-02-06,8\n")
    assert panel.append(read_table(path).panel(like=panel)).ids == both


# -------------------------------------------------------------------------------------------- sizes


@pytest.mark.slow
def test_thousands_of_columns(tmp_path):
    count, rows = 10_000, 5
    path = tmp_path / "wide.csv"
    with path.open("w") as file:
        file.write("ds," + ",".join(f"series {k}" for k in range(count)) + "\n")
        for row in range(rows):
            file.write(f"2020-01-0{row + 1}," + ",".join(str(row * k) for k in range(count)) + "\n")
    panel = read_table(path).panel()
    assert len(panel) == count
    np.testing.assert_array_equal(panel.series(7_777), 7_777.0 * np.arange(rows))


@pytest.mark.slow
def test_a_file_of_hundreds_of_megabytes(tmp_path):
    import duckdb

    series, rows = 2_000, 5_000
    path = tmp_path / "large.csv"
    duckdb.execute(
        "copy (select 'the shop number ' || s as unique_id, timestamp '2000-01-01' + interval (t) day as ds, "
        f"s * 1000 + t % 7 as y from range({series}) as a(s), range({rows}) as b(t)) to '{path}' (header)"
    )
    assert path.stat().st_size > 3e8
    panel = read_table(path).panel()
    assert len(panel) == series
    assert panel.values.size == series * rows
    assert panel.values[rows + 3] == panel.series(1)[3] == int(panel.ids[1].split()[-1]) * 1000 + 3


def test_json_values_come_back_whole(tmp_path):
    path = tmp_path / "t.json"
    values = [0.1 + 0.2, 1e-300, 123456789.123456789]
    path.write_text(json.dumps([{"t": k, "y": value} for k, value in enumerate(values)]))
    np.testing.assert_array_equal(read_table(path).values[:, 0], values)
