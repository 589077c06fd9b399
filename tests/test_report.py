"""The report: what stands in it, that data stay data, and how a real browser shows it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import karusel
from browser import DRIVER, Browser
from karusel.cli.show import Labels, curve_of, evidence, fitted, forecast_text, print_lines
from karusel.errors import KaruselError, UsageError
from karusel.forecasting.backtest import NETWORK, Backtest
from karusel.forecasting.best import Best
from karusel.forecasting.fitting import Fitted
from karusel.forecasting.forecaster import Forecast, Forecaster
from karusel.forecasting.panel import from_columns
from karusel.forecasting.prediction import Prediction, Support, Units
from karusel.forecasting.verdict import judge
from karusel.numbers import decimals, number, tick_texts, ticks
from karusel.plots import Curve, draw_svg
from karusel.report import write_report
from karusel.report.chart import Chart
from karusel.report.errors import errors_of
from karusel.report.figures import forecast_chart
from karusel.report.html import Html, tag
from linear import Linear

DATE = datetime.date(2026, 11, 24)
CUTOFFS = 9
READ = 24  # values that the model reads
HOSTILE = [
    "<script>alert(1)</script>",
    "</title></script><img src=x onerror=alert(2)>",
    "R&D &amp; more",
    "\"quoted\" and 'single'",
    "two\nlines\tand tab",
    "חנות ראשית",
    "\u202ereversed",
    "nul\x00 bell\x07 escape\x1b half\ud800",
    "long" * 200,
    "",
]


def past_of(truth, forecasts, scales, ids=("a",), behind=(3, 2, 1)) -> Backtest:
    """A backtest of these forecasts."""
    ones = np.ones(truth.shape)
    predicted = Prediction(Units(), forecasts[NETWORK], ones, ones)
    return Backtest(
        truth,
        forecasts,
        predicted,
        truth[..., 0],
        np.asarray(scales, float),
        np.asarray(behind),
        tuple(ids),
        3,
    )


def made(
    count: int = 1, rows: int = 60, h: int = 4, *, backtest: bool = True, missing: bool = False, ids=None
) -> tuple[Forecaster, Forecast]:
    """A forecaster as fitting leaves it, with errors that are known: series k misses by about k + 1."""
    random = np.random.default_rng(7)
    ids = [f"shop {k}" for k in range(count)] if ids is None else ids
    t = np.arange(rows)
    values = np.stack(
        [100 + 10 * k + 9 * np.sin(2 * np.pi * t / 12) + random.normal(size=rows) for k in range(count)]
    )
    if missing:
        values[:, 20:23] = np.nan
        values[:, 24] = np.nan
    times = np.datetime64("2020-01", "M") + t
    panel = from_columns(
        values.ravel(),
        np.tile(times.astype("datetime64[us]"), count),
        None if count == 1 else np.repeat(np.arange(count), rows),
    )
    panel = replace(panel, ids=tuple(ids) if count > 1 else panel.ids)
    forecaster = Forecaster(h, backtest=backtest)
    forecaster.panel_, forecaster.season_length_, forecaster.notes_ = panel, 12, panel.notes
    forecaster.model_ = Fitted(Linear(*weights(h)), None, Support())
    forecaster.backtest_, forecaster.verdict_, forecaster.best_ = None, None, None
    forecaster.coverage_, forecaster.coverage_values_ = {}, 0
    ahead = np.asarray(values[:, -12:][:, :h]) + 0.25
    intervals = {}
    if backtest:
        truth = np.broadcast_to(values[:, None, -h:], (count, CUTOFFS, h)).transpose(1, 0, 2).copy()
        size = np.arange(1, count + 1)[None, :, None] * np.arange(1, h + 1)
        away = (
            random.uniform(0.999, 1.001, truth.shape) * size * np.linspace(0.5, 1.5, CUTOFFS)[:, None, None]
        )
        forecasts = {
            NETWORK: truth + away,
            "last value": truth + 4 * away,
            "seasonal naive": truth + 2 * away,
            "drift": truth + 3 * away,
        }
        behind = h + np.arange(CUTOFFS)[::-1]
        forecaster.backtest_ = past_of(truth, forecasts, np.full(count, 2.0), panel.ids, behind)
        forecaster.verdict_ = judge(forecaster.backtest_)
        forecaster.coverage_, forecaster.coverage_values_ = {80.0: 0.62, 95.0: 0.96}, 288
        intervals = {level: (ahead - level / 10, ahead + level / 10) for level in (80.0, 95.0)}
    return forecaster, Forecast(panel.ids, panel.future_times(h), ahead, intervals)


def weights(h: int) -> tuple[np.ndarray, np.ndarray]:
    """Of past values [READ, h]: .4 for the last one, .3 for each of two seasons before; .1 of the last one's
    and .15 of the second last season's are the networks'.
    """
    whole, networks = np.zeros((2, READ, h))
    for k in range(h):
        whole[[k, 12 + k], k] = 0.3
        whole[-1, k] += 0.4
        networks[[k, -1], k] = 0.15, 0.1
    return whole, networks


class Page(HTMLParser):
    """A page read back: every element that was opened is closed in its turn."""

    EMPTY = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []  # innermost element, text
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attributes}) == len(attributes)
        self.elements.append((name, {key: value or "" for key, value in attributes}))
        if name not in self.EMPTY:
            self._open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name

    def handle_data(self, text: str) -> None:
        if text.strip():
            self.texts.append((self._open[-1], text))

    def named(self, name: str, class_: str = "") -> list[dict[str, str]]:
        """Attributes of the elements with this name and class."""
        return [
            given
            for found, given in self.elements
            if found == name and (not class_ or class_ in given.get("class", "").split())
        ]

    def all_text(self) -> str:
        return " ".join(text for element, text in self.texts if element not in ("style", "script"))


def written(tmp_path: Path, forecaster: Forecaster, forecast: Forecast, **words: object) -> str:
    write_report(forecaster, forecast, tmp_path / "report.html", date=DATE, **words)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def check_alone(text: str, page: Page) -> None:
    """Nothing outside the file is asked for, and nothing but its own script may run."""
    assert "://" not in text
    assert not re.search(r"url\(|@import|javascript:", text)
    for _, found in page.elements:
        assert not {"src", "srcset", "action", "data", "poster"} & set(found)
        assert not [key for key in found if key.startswith("on")]
        assert found.get("href", "#").startswith("#")
    assert not page.named("link")
    assert len(page.named("script")) == 1
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = page.named("meta")[2]["content"]
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


# What stands in a report


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("backtest", [False, True])
@pytest.mark.parametrize("count", [1, 7, 200])
def test_every_report_is_whole(count, backtest, missing, tmp_path):
    forecaster, forecast = made(count, backtest=backtest, missing=missing)
    text = written(tmp_path, forecaster, forecast)
    page = Page(text)
    check_alone(text, page)
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(set(ids)) == len(ids)
    assert {given["href"][1:] for given in page.named("a")} <= set(ids)
    drawn = min(count, 50)
    charts = [given for given in page.named("svg", "chart") if "key" not in given["class"]]
    spread = count == 200 and backtest
    assert len(charts) == drawn + 2 * backtest + spread + 1  # what the model looked at
    assert all(given["aria-label"] for given in charts)
    assert len(page.named("section", "series")) == (drawn if count > 1 else 0)
    assert len(page.named("path", "band")) == 2 * drawn * backtest
    assert "nan" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL).lower().split(">")
    assert not re.search(r"[ \">-]nan[ \"<%]", text.replace("NaN", "nan"))


def test_title_and_verdict_come_first(tmp_path):
    forecaster, forecast = made()
    page = Page(written(tmp_path, forecaster, forecast, value_name="Passengers", source="air.csv"))
    body = [text for element, text in page.texts if element not in ("style", "script")]
    assert body[0] == "Passengers: the next 4 steps"  # the page's title
    assert "".join(body[1:3]) == body[0]
    start = body.index("Verdict")
    assert start <= 6
    assert body[start + 1] == forecaster.verdict_.sentence
    assert "air.csv" in body
    assert "; made on 2026-11-24" in body[:start]


def test_the_table_holds_the_forecasts(tmp_path):
    forecaster, forecast = made()
    text = written(tmp_path, forecaster, forecast, time_name="Month")
    rows = re.findall(r'<tr><th scope="row" class="time">(2\d+-\d+)</th>(.*?)</tr>', text)
    assert [when for when, _ in rows] == ["2025-01", "2025-02", "2025-03", "2025-04"]
    for step, (_, cells) in enumerate(rows):
        middle, narrow, wide = re.findall(r"<td>(.*?)</td>", cells)
        value = forecast.values[0, step]
        assert middle == f"{value:.1f}"
        assert narrow == f"{value - 8:.1f} to {value + 8:.1f}"
        assert wide == f"{value - 9.5:.1f} to {value + 9.5:.1f}"
    assert '<th scope="col">Month</th><th scope="col">forecast</th><th scope="col">80 % interval</th>' in text


def test_the_backtest_shows_every_method_and_coverage(tmp_path):
    forecaster, forecast = made()
    text = written(tmp_path, forecaster, forecast)
    shown = re.findall(r'<th scope="row">([\w ]+)<small>([^<]+)</small></th><td>([\d.]+)</td>', text)
    table = forecaster.backtest_.table()
    assert [method for method, _, _ in shown] == list(table)
    for method, meaning, error in shown:
        assert len(meaning) > 10
        assert float(error) == pytest.approx(table[method]["MAE"], abs=5e-3)
    assert "<td>80 %</td><td>62 %</td>" in text
    assert "too narrow" in text
    assert "<td>95 %</td><td>96 %</td>" in text
    assert "as promised" in text
    assert "288 true values" in text
    assert "the share of the known values" not in text  # of the column that is there only where some are not


def test_coverage_of_few_values_is_no_finding(tmp_path):
    forecaster, forecast = made()
    forecaster.coverage_, forecaster.coverage_values_ = {80.0: 1.0, 95.0: 0.5}, 9
    text = written(tmp_path, forecaster, forecast)
    assert '<td>100 %</td><td class="words">too few values to tell</td>' in text
    assert '<td>50 %</td><td class="words">too narrow: ' in text


@pytest.mark.parametrize("count", [1, 7])
def test_past_errors_are_the_networks_whatever_the_forecast_is_made_with(count, tmp_path):
    forecaster, forecast = made(count)
    text = Page(written(tmp_path, forecaster, forecast)).all_text()
    assert "Typical miss in the past" in text if count == 1 else "Scaled error in the past" in text
    forecaster.best_ = Best(12, {"drift": 1.0}, None, 0.1, 3, {}, 0, "The best forecast here is drift.")
    text = Page(written(tmp_path, forecaster, forecast)).all_text()
    assert ("Typical miss of the LSTM" if count == 1 else "Scaled error of the LSTM in the past") in text
    assert count == 1 or "LSTM better than " in text


@pytest.mark.parametrize("h", [1, 4])
def test_series_that_end_apart_are_said_to(h, tmp_path):
    forecaster, forecast = made(2, h=h)
    assert "from its own end" not in written(tmp_path, forecaster, forecast)
    panel = forecaster.panel_
    forecaster.panel_ = replace(panel, starts=panel.starts + np.array([0, 12]))
    apart = replace(forecast, times=forecaster.panel_.future_times(h))
    first, last = (panel.frequency.label(time) for time in (apart.times[0, 0], apart.times[1, -1]))
    steps = "1 step" if h == 1 else "4 steps"
    assert f"{steps}, each series from its own end, {first} to {last}; " in written(
        tmp_path, forecaster, apart
    )


def test_why_a_season_is_not_used(tmp_path):
    forecaster, forecast = made()
    forecaster.season_length_ = 1
    text = Page(written(tmp_path, forecaster, forecast)).all_text()
    assert "12 steps; not used: past values are forecast better without it" in text
    forecaster, forecast = made(rows=27)  # of the 28 that two seasons and a forecast take
    forecaster.season_length_ = 1
    assert "12 steps; not used: too few rows for it" in written(tmp_path, forecaster, forecast)
    assert "season of 12 steps not used: too few rows for it" in fitted(forecaster, 1.0)


def test_names_fit_above_a_plot_and_command_no_terminal(capsys):
    forecaster, forecast = made(2, h=1, ids=["L" * 200, "two\nlines \x1b[31mred \u202eround"])
    panel = forecaster.panel_
    labels = Labels("x" * 300, "unique_id", "ds", "y", "%Y-%m", panel.frequency)
    long, odd = (curve_of(panel, forecast, which, labels).title for which in (0, 1))
    assert len(long) == len(odd) == 100
    assert "L…: forecast of 1 step, xxx" in long
    assert odd.startswith("two lines \ufffd[31mred \ufffdround: forecast of 1 step, xxx")
    print_lines(forecast_text(panel, forecast, labels))
    assert "lines \\x1b[31mred \\u202eround\n" in capsys.readouterr().out


@pytest.mark.parametrize(("h", "said"), [(1, "9 past cutoffs, 1 step from each"), (4, "4 steps from each")])
def test_the_terminal_counts_steps(h, said):
    assert said in next(evidence(made(h=h)[0]))


def test_without_a_backtest_it_says_why(tmp_path):
    forecaster, forecast = made(backtest=False)
    text = Page(written(tmp_path, forecaster, forecast)).all_text()
    assert "There was no backtest (it was switched off)" in text
    forecaster.backtest = True
    text = Page(written(tmp_path, forecaster, forecast)).all_text()
    assert "There was no backtest (the series are too short for one)" in text


def test_a_forecaster_from_a_file_has_its_verdict_and_coverage(tmp_path):
    forecaster, forecast = made()
    forecaster.backtest_ = None
    text = Page(written(tmp_path, forecaster, forecast)).all_text()
    assert forecaster.verdict_.sentence in text
    assert "comes from a file" in text
    assert "too narrow" in text


def looked_at(page: Page) -> str:
    """The text of the section on what the model looked at."""
    text = page.all_text()
    return text[text.index("What the model looked at") : text.index("What was found in the data")]


def test_it_says_which_past_values_mattered(tmp_path):
    page = Page(written(tmp_path, *made()))
    text = looked_at(page)
    # .4 for the last value, .075 for each of those 9 to 12 and 21 to 24 from the end
    assert "The model remembers 23 steps: the last 23 values have nine tenths of all influence" in text
    assert "the last 10 values half of it" in text
    assert (
        "What counts most is the value of 2024-12: had it been 1 higher, the forecasts would on average be"
        in text
    )
    assert "0.40 higher" in text
    assert "It reads the last 24 values, from 2023-01 on; what came before has no influence at all." in text
    assert "The networks have 25 % of this influence, nearly all of it through the last 24 values." in text
    heights = [float(given["height"]) for given in page.named("rect", "bar") if "x" in given]
    assert len(heights) == READ
    assert heights[-1] == max(heights) == pytest.approx(heights[0] * 0.4 / 0.075, rel=0.01)
    assert "of the LSTM" not in text


def test_looked_at_of_several_series_counts_steps_back(tmp_path):
    text = looked_at(Page(written(tmp_path, *made(7))))
    assert "The mean over 3 of 7 series:  shop 0 ,  shop 3 ,  shop 6 ." in text
    assert "What counts most is the last value: 40 % of all." in text
    assert "-12" in text


def test_looked_at_says_when_the_forecast_is_not_the_networks(tmp_path):
    forecaster, forecast = made()
    forecaster.model_.model.share = 0.0
    text = looked_at(page := Page(written(tmp_path, forecaster, forecast)))
    assert "None of this is the networks' doing" in text
    assert "through the networks" not in page.all_text()
    calibration, coverage = None, {}
    for weights, said in (
        ({"drift": 0.75, NETWORK: 0.25}, "has 25 % of the weight in it"),
        ({"drift": 1.0}, "has no part in it"),
    ):
        forecaster.best_ = Best(
            12, weights, calibration, 0.1, 3, coverage, 0, "The best forecast here is a blend."
        )
        text = looked_at(Page(written(tmp_path, forecaster, forecast)))
        assert f"The forecast above is not the LSTM's alone. Here it is the LSTM's, which {said}." in text


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (1.0, "The networks have 100 % of this influence, "),
        (2.0, "The networks' own influence is 200 % of this, "),
        (0.001, "The networks have less than 1 % of this influence. The rest "),
    ],
)
def test_looked_at_with_much_and_little_from_the_networks(part, said, tmp_path):
    forecaster, forecast = made()
    model = forecaster.model_.model
    model.smooth = (1 - part) * model.whole
    assert said in looked_at(Page(written(tmp_path, forecaster, forecast)))


def test_looked_at_of_tiny_values_tells_numbers(tmp_path):
    forecaster, forecast = made()
    forecaster.panel_ = replace(forecaster.panel_, values=1e-9 * forecaster.panel_.values)
    forecaster.model_.model.size = 2e-9
    text = looked_at(Page(written(tmp_path, forecaster, forecast)))
    assert "had it been 1e-09 higher, the forecasts would on average be 4.0e-10 higher" in text


def test_looked_at_when_nothing_moves_the_forecast(tmp_path):
    forecaster, forecast = made()
    forecaster.model_.model.whole[:] = forecaster.model_.model.smooth[:] = 0
    assert "No past value by itself moves this forecast." in looked_at(
        Page(written(tmp_path, forecaster, forecast))
    )


def test_a_forecast_of_other_series_is_refused(tmp_path):
    forecaster, forecast = made()
    for other in (
        replace(forecast, ids=("else",)),
        replace(forecast, times=forecast.times + np.timedelta64(1, "D")),
    ):
        with pytest.raises(UsageError, match="of other series"):
            write_report(forecaster, other, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_quantiles_and_whole_numbers(tmp_path):
    forecaster, forecast = made()
    forecaster.panel_ = replace(forecaster.panel_, values=np.rint(forecaster.panel_.values))
    values = np.array([[1200.0, 3, 4, 5]])
    text = written(
        tmp_path, forecaster, replace(forecast, values=values, quantiles={0.9: values + 1}, intervals={})
    )
    assert '<th scope="col">quantile 0.9</th>' in text
    assert "<td>1,200</td><td>1,201</td>" in text


def test_cutoffs_have_no_times_once_rows_were_appended(tmp_path):
    forecaster, forecast = made()
    assert ">2023-12<" in written(tmp_path, forecaster, forecast)
    forecaster.panel_ = replace(forecaster.panel_, values=forecaster.panel_.values + 1)
    text = written(tmp_path, forecaster, forecast)
    assert ">end - 12<" in text


def test_what_was_found_is_told(tmp_path):
    forecaster, forecast = made(7, missing=True)
    text = Page(written(tmp_path, forecaster, forecast, notes=["comma separated"])).all_text()
    assert '28 in 14 gaps, the longest of 3 steps, from 2021-09 of "shop 0"' in text
    assert "monthly (first day of the month)" in text
    assert "comma separated" in text
    for note in forecaster.panel_.notes:
        assert note in text
    assert "12 steps" in text


def test_settings_versions_seed_and_how_to_make_it_again(tmp_path):
    forecaster, forecast = made()
    forecaster.random_state = 23
    text = written(tmp_path, forecaster, forecast)
    assert f"karusel {karusel.__version__}, NumPy {np.__version__}" in text
    assert "forecaster = Forecaster(h=4, random_state=23).fit(data)" in text
    assert "forecaster.forecast(level=[80, 95])" in text
    assert "<dt>Seed</dt><dd>23</dd>" in text
    assert "<dt>Networks</dt><dd>7, trained for 30 passes over the data</dd>" in text
    command = "karusel forecast 'a b.csv' -H 4 --report report.html"
    text = Page(written(tmp_path, forecaster, forecast, command=command)).all_text()
    assert command in text
    assert "forecaster = " not in text


def test_the_worst_and_the_best_series_are_named(tmp_path):
    forecaster, forecast = made(200)
    text = written(tmp_path, forecaster, forecast)
    (worst,) = re.findall(r"largest errors</h3>(.*?)</table>", text)
    (best,) = re.findall(r"smallest errors</h3>(.*?)</table>", text)
    assert re.findall(r"<bdi>(.*?)</bdi>", worst) == [f"shop {k}" for k in (199, 198, 197, 196, 195)]
    assert re.findall(r"<bdi>(.*?)</bdi>", best) == [f"shop {k}" for k in range(5)]
    drawn = [given["id"] for given in Page(text).named("section", "series")]
    assert drawn == [f"series-{k}" for k in [*range(25), *range(175, 200)]]
    assert "200 of 200 series" in Page(text).all_text()  # better than the simple method
    assert text.count("<option") == 51


def test_series_without_a_known_scale_are_listed_last(tmp_path):
    forecaster, forecast = made(7)
    forecaster.backtest_.scales[:] = [2, 0, 2, np.nan, 2, 2, 2]
    text = written(tmp_path, forecaster, forecast)
    (listing,) = re.findall(r"Overview of all series</h2>(.*?)</table>", text)
    assert re.findall(r"<bdi>shop (.*?)</bdi>", listing) == ["6", "5", "4", "2", "0", "1", "3"]
    assert listing.count("<td>–</td>") == 4


def test_a_long_series_is_drawn_twice_and_a_long_horizon_is_cut(tmp_path):
    forecaster, forecast = made(rows=5000)
    page = Page(written(tmp_path, forecaster, forecast))
    assert "The whole history" in page.all_text()
    longest = max(len(given["d"]) for given in page.named("path", "line"))
    assert longest < 40_000  # 5,000 values would take twice as much
    forecaster, forecast = made(rows=60, h=4)
    wide = Forecast(forecast.ids, forecaster.panel_.future_times(3500), np.full((1, 3500), 5.0), {})
    text = written(tmp_path, forecaster, wide)
    assert text.count('class="time">2') + text.count('class="time">3') == 3000
    assert "The first 3,000 of 3,500 steps." in text


@pytest.mark.parametrize("h", [1, 70])
def test_horizons_of_one_step_and_of_many(h, tmp_path):
    forecaster, forecast = made(rows=90)
    truth = np.repeat(forecaster.backtest_.truth[..., :1], h, axis=2)
    forecasts = {method: truth + 1.0 + k for k, method in enumerate(forecaster.backtest_.forecasts)}
    forecaster.h = h
    forecaster.backtest_ = past_of(truth, forecasts, [1.0], behind=h + np.arange(CUTOFFS)[::-1])
    forecaster.verdict_ = judge(forecaster.backtest_)
    values = np.linspace(90, 110, h)[None]
    forecast = Forecast(
        forecast.ids, forecaster.panel_.future_times(h), values, {80.0: (values - 1, np.full((1, h), np.inf))}
    )
    text = written(tmp_path, forecaster, forecast)
    page = Page(text)
    assert ("Error by step ahead" in page.all_text()) == (h > 1)
    assert "Error by cutoff" in page.all_text()
    (band,) = page.named("path", "band")
    assert band["d"].count("L") == 2 * h + 1  # it opens out from the last known value
    assert "to ∞" in page.all_text()


# What comes from data stays data


def test_names_from_data_are_text_and_nothing_else(tmp_path):
    forecaster, forecast = made(len(HOSTILE), ids=HOSTILE)
    evil = HOSTILE[1]
    text = written(
        tmp_path,
        forecaster,
        forecast,
        value_name=evil,
        time_name=evil,
        source=evil,
        notes=[evil],
        command=evil,
    )
    page = Page(text)
    check_alone(text, page)
    assert not page.named("img")
    assert len(page.named("title")) == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text)
    shown = [content for element, content in page.texts if element == "bdi"]
    for name in HOSTILE[:4]:
        assert name in shown
    assert "two lines and tab" in shown
    assert "חנות ראשית" in shown
    assert "\ufffdreversed" in shown
    assert "nul\ufffd bell\ufffd escape\ufffd half\ufffd" in shown
    assert ("long" * 200)[:79] + "…" in shown
    assert all(len(name) <= 80 for name in shown)


def test_text_given_to_a_tag_is_escaped_once():
    inner = tag("b", '1 < 2 & "3"', title="'\"<>&")
    assert inner == '<b title="&#x27;&quot;&lt;&gt;&amp;">1 &lt; 2 &amp; &quot;3&quot;</b>'
    assert tag("p", inner, "<") == f"<p>{inner}&lt;</p>"
    assert isinstance(inner, Html)


@given(st.text())
def test_any_text_survives_a_tag(text):
    page = Page(tag("p", text, aria_label=text))
    kept = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e]", "\ufffd", text)
    assert page.named("p")[0]["aria-label"] == kept
    assert "".join(content for _, content in page.texts).strip() == kept.strip()


def test_passwords_in_addresses_are_not_shown(tmp_path):
    address = "postgresql://ann:s3/cr:et@host:5432/shop#sales"
    text = written(tmp_path, *made(), source=address, command=f"karusel forecast {address} -H 4")
    assert "cr:et" not in text
    assert text.count("postgresql://ann:***@host:5432/shop#sales") == 3


# The file


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first = written(tmp_path, *made(7, missing=True))
    assert written(tmp_path, *made(7, missing=True)) == first
    forecaster, forecast = made(7, missing=True)
    write_report(forecaster, forecast, tmp_path / "report.html", date=datetime.date(2027, 1, 2))
    other = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert other != first
    assert other.replace("2027-01-02", "2026-11-24") == first


def test_what_was_there_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("the report of yesterday")

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(KaruselError, match=r"report.html cannot be written: No space left on device"):
        write_report(*made(), path)
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "the report of yesterday"


def test_the_report_of_12000_series_is_a_few_megabytes(tmp_path):
    forecaster, forecast = made(12_000, rows=48)
    text = written(tmp_path, forecaster, forecast)
    assert len(text.encode()) < 4e6
    page = Page(text)
    assert len(page.named("section", "series")) == 50
    assert "The first 10,000 of 12,000 series in a table" in page.all_text()


# Errors


def test_errors_by_hand():
    truth = np.zeros((2, 2, 2))
    network = np.array([[[1.0, 3.0], [10.0, 30.0]], [[2.0, 4.0], [20.0, 40.0]]])
    forecasts = {NETWORK: network, "drift": -2 * network}
    errors = errors_of(past_of(truth, forecasts, [1.0, 10.0], "ab"), "drift")
    assert errors.scaled
    assert errors.by_horizon[NETWORK].tolist() == [1.5, 3.5]
    assert errors.by_cutoff[NETWORK].tolist() == [2.0, 3.0]
    assert errors.by_series[NETWORK].tolist() == [2.5, 2.5]
    assert errors.by_series["drift"].tolist() == [5.0, 5.0]
    forecasts["drift"][0, 0, 0] = np.nan  # where one was not run, neither counts
    errors = errors_of(past_of(truth, forecasts, [1.0, np.nan], "ab"), "drift")
    assert errors.by_horizon[NETWORK].tolist() == [(10 + 2 + 20) / 3, (3 + 30 + 4 + 40) / 4]
    assert errors.by_series[NETWORK].tolist() == [3.0, pytest.approx(np.nan, nan_ok=True)]


def test_errors_of_one_series_are_in_its_own_unit():
    truth = np.zeros((1, 1, 2))
    errors = errors_of(past_of(truth, {NETWORK: truth + 6, "drift": truth}, [3.0]), "drift")
    assert not errors.scaled
    assert errors.by_horizon[NETWORK].tolist() == [6.0, 6.0]
    assert errors.by_series[NETWORK].tolist() == [2.0]


# Numbers and charts


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300), st.integers(2, 12))
def test_ticks_are_round_few_and_inside(one, other, most):
    low, high = min(one, other), max(one, other)
    if not low < high:
        return
    found = ticks(low, high, most)
    assert 1 <= found.size <= max(most + 1, 2)
    slack = 1e-9 * (abs(low) + abs(high))
    assert np.all((found >= low - slack) & (found <= high + slack))
    texts = tick_texts(found)
    assert len(texts) == found.size
    assert max(map(len, texts)) <= 24


def test_ticks_and_their_texts_by_hand():
    assert ticks(0, 10, 5).tolist() == [0, 2, 4, 6, 8, 10]
    assert ticks(-0.3, 1.1, 4).tolist() == [0, 0.5, 1.0]
    assert tick_texts([0, 2.5, 5]) == ["0", "2.5", "5.0"]
    assert tick_texts([0, 1000, 2000]) == ["0", "1,000", "2,000"]
    assert tick_texts([0, 2.5e6, 5e6]) == ["0", "2.5 M", "5.0 M"]
    assert tick_texts([-2e9, 0, 2e9]) == ["-2 bn", "0", "2 bn"]
    assert tick_texts([0.0, 1e-12, 2e-12]) == ["0", "1e-12", "2e-12"]
    assert tick_texts([5.0, 5.0]) == ["5", "5"]


def test_numbers_show_about_four_figures():
    assert [number(value, decimals(value)) for value in (1234.5, 12.345, 0.012345, 0.0, 1e16)] == [
        *("1,234", "12.35", "0.01235", "0.00", "1.000e+16")
    ]
    assert number(1e-12, decimals(1e-12)) == "1.000e-12"
    assert [number(value, 2) for value in (np.nan, np.inf, -np.inf)] == ["–", "∞", "-∞"]


def places(chart: Chart) -> list[list[tuple[float, float]]]:
    """The points of each line, split where it is open."""
    found = re.findall(r'<path class="line \w+" d="([^"]*)"', chart.figure(""))
    return [
        [tuple(map(float, point.replace("h0", "").split())) for point in part.split("L")]
        for path in found
        for part in path.split("M")[1:]
    ]


def test_a_line_goes_through_its_values():
    chart = Chart("a chart", (0, 4), (10, 30), 200)
    chart.line([0, 1, 2, 3, 4], [10, 20, np.nan, 30, 35], "history", "history")
    assert places(chart) == [
        [(0, 200), (250, 100)],
        [(750, 0), (1000, 0)],
    ]  # what is outside lies at the edge


def test_a_value_between_missing_ones_is_a_dot():
    chart = Chart("a chart", (0, 2), (0, 1), 100)
    chart.line([0, 1, 2], [np.nan, 0.5, np.nan], "history", "history")
    assert 'd="M500 50h0"' in chart.figure("")


def test_a_long_line_keeps_its_highs_lows_and_gaps():
    chart = Chart("a chart", (0, 99_999), (-5, 5), 100)
    line = np.zeros(100_000)
    line[31_417], line[27_182], line[60_000:60_400] = 5, -5, np.nan
    chart.line(np.arange(100_000), line, "history", "history")
    before, after = places(chart)
    assert (314.17, 0) in before
    assert (271.82, 100) in before
    assert before[-1][0] == pytest.approx(600, abs=0.02)
    assert after[0][0] == pytest.approx(604, abs=0.02)
    assert len(before) + len(after) <= 2000


def wave(title: str, history, **words: object) -> Curve:
    forecast = np.array([3.0, 4.0])
    times = [f"t{k}" for k in range(len(history) + 2)]
    return Curve(title, np.asarray(history, float), forecast, {80.0: (forecast - 1, forecast + 1)}, times, 4)


def test_many_bars_have_no_lines_between_them_that_would_cover_them():
    for count, class_ in ((60, "bar"), (61, "bar thin")):
        chart = Chart("bars", (0, count), (0, 1))
        chart.bars(np.arange(count + 1.0), np.ones(count))
        assert {given["class"] for given in Page(chart.figure("")).named("rect")} == {class_}


@given(
    count=st.integers(1, 40),
    letters=st.integers(1, 24),
    ends=st.tuples(st.floats(0, 0.3), st.floats(0.7, 1)),
    from_last=st.booleans(),
)
def test_texts_below_do_not_touch(count, letters, ends, from_last):
    chart = Chart("texts", (0, 1), (0, 1))
    chart.x_ticks(np.linspace(*ends, count).tolist(), ["0" * letters] * count, (count - 1) * from_last)
    texts = Page(chart.figure("")).named("text", "x")
    assert texts
    for width in (290, 410):
        spans = []
        for text in texts:
            classes = text["class"].split()
            if width == 410 or "wide" not in classes:
                part = 0 if "start" in classes else 1 if "end" in classes else 0.5
                left = width * float(text["x"].rstrip("%")) / 100 - part * 6.8 * letters
                spans.append((left, left + 6.8 * letters))
        assert spans
        assert all(after[0] - before[1] > 15.9 for before, after in pairwise(spans))


@pytest.mark.parametrize(
    "history",
    [
        [5.0] * 30,
        [0.0],
        [1e300, -1e300, 5],
        [1.7e308, -1.7e308],
        [1e-300, 3e-300],
        [1e15, 1e15 + 1],
        np.arange(9000),
    ],
    ids=["constant", "one value", "huge", "largest", "tiny", "close", "long"],
)
def test_any_values_make_a_chart(history):
    drawing = forecast_chart(wave("a curve", history)).figure("")
    assert "nan" not in drawing
    assert "inf" not in drawing
    Page(drawing)


def test_an_svg_file_is_xml_with_text_and_no_link(tmp_path):
    hostile = "<&>\"' \x00 пассажиры \ud800"
    draw_svg([wave(hostile, np.arange(40)), wave("two", [3.0])], tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert text.count("://") == text.count('xmlns="http://www.w3.org/2000/svg"') == 1
    root = ElementTree.fromstring(text)
    assert float(root.get("width")) == pytest.approx(1080, abs=40)
    shown = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<&>\"' \ufffd пассажиры \ufffd" in shown
    assert {"two", "history", "forecast", "80 % interval", "t40"} <= set(shown)


# In a real browser

SIZES = {"a desk": 1280, "a phone": 390}


@pytest.fixture(scope="module", params=SIZES.values(), ids=SIZES)
def browser(request, tmp_path_factory):
    if DRIVER is None:
        pytest.skip("chromedriver is not installed")
    opened = Browser(tmp_path_factory.mktemp("profile"), request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("count", [1, 7, 200])
def test_a_browser_shows_it_all(browser, count, dark, tmp_path):
    ids = (
        None
        if count == 1
        else [*HOSTILE[: min(count - 1, 9)], *(f"shop {k}" for k in range(count - min(count - 1, 9)))]
    )
    forecaster, forecast = made(count, h=12, missing=True, ids=ids)
    path = tmp_path / "report.html"
    write_report(
        forecaster, forecast, path, date=DATE, value_name="W" * 79, source="x" * 300, command="y" * 300
    )
    browser.open(path, dark=dark)
    assert browser.messages() == []
    assert browser.run("return window.hit === undefined && document.images.length === 0")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    # What an element itself shows must not stick out either; tables may scroll in their own box.
    out = browser.run(
        """return [...document.querySelectorAll("h1, h2, h3, p, dt, dd, pre, figure, svg.chart text")]
        .filter(e => !e.closest("details"))
        .filter(e => { const r = e.getBoundingClientRect(); return r.right > innerWidth + 1 || r.left < -1; })
        .map(e => e.textContent.slice(0, 60))"""
    )
    assert out == []
    charts = browser.run(
        """return [...document.querySelectorAll("svg.chart:not(.key)")].map(svg => {
          const r = svg.getBoundingClientRect();
          const line = svg.querySelector("path.line, rect.bar").getBoundingClientRect();
          return [r.width, r.height, line.width, line.height];
        })"""
    )
    assert len(charts) == min(count, 50) + 3 + (count == 200)
    for width, height, drawn_width, drawn_height in charts:
        assert width > 200
        assert height > 100
        assert drawn_width > 5
        assert drawn_height > 5
    overlaps = browser.run(
        """return [...document.querySelectorAll("svg.chart:not(.key)")].flatMap(svg => {
          const boxes = [...svg.querySelectorAll("text.x")]
            .filter(t => getComputedStyle(t).display !== "none")
            .map(t => t.getBoundingClientRect())
            .sort((a, b) => a.left - b.left);
          return boxes.slice(1).filter((b, k) => b.left < boxes[k].right + 2).map(() => svg.ariaLabel);
        })"""
    )
    assert overlaps == []
    colours = browser.run(
        "return [getComputedStyle(document.body).color, "
        "getComputedStyle(document.documentElement).backgroundColor]"
    )
    ink, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (ink > paper + 300) if dark else (paper > ink + 300)


def test_one_of_many_series_can_be_chosen(browser, tmp_path):
    path = tmp_path / "report.html"
    write_report(*made(200), path, date=DATE)
    browser.open(path)
    visible = (
        'return [...document.querySelectorAll("section.series")].filter(s => s.offsetHeight).map(s => s.id)'
    )
    assert len(browser.run(visible)) == 50
    browser.run(
        'const s = document.querySelector("#choose select"); s.value = "series-3"; '
        's.dispatchEvent(new Event("change"))'
    )
    assert browser.run(visible) == ["series-3"]
    browser.run('location.hash = "#series-199"; return new Promise(done => setTimeout(done, 100))')
    assert browser.run(visible) == ["series-199"]
    assert browser.messages() == []


def test_it_prints(browser, tmp_path):
    path = tmp_path / "report.html"
    write_report(*made(7), path, date=DATE)
    browser.open(path, dark=True)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.command("Emulation.setEmulatedMedia", media="print", features=[dark])  # paper stays white
    assert browser.run("return getComputedStyle(document.body).color") == "rgb(22, 24, 29)"
    browser.paper(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
