"""The sections of a report. Each takes the subject and gives HTML; what a term means stands beside it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from inspect import signature

import numpy as np

import karusel
from karusel.forecasting.backtest import NETWORK, SMOOTHING, Backtest
from karusel.forecasting.fitting import why_no_season
from karusel.forecasting.forecaster import Forecaster
from karusel.names import one_line
from karusel.numbers import decimals, number
from karusel.report.figures import error_chart, forecast_chart, spread_chart
from karusel.report.html import Html, join, name, tag
from karusel.report.subject import Subject
from karusel.report.tables import facts, grid

__all__ = ["evidence", "findings", "forecasts", "headline", "overview", "series", "settings", "words"]

_MOST_ROWS = 3000  # of all tables of forecasts together
_MOST_LISTED = 10_000  # series in the table of all
_FEW = 20  # series that the overview lists one by one
_EXTREMES = 5  # worst and best ones that it lists of more
_NOTED = 20  # notes on the data, and gaps
_NEAR = 0.05  # from the promise within which coverage counts as kept

_METHODS = {
    NETWORK: "the networks",
    "last value": "repeats the last value",
    "mean": "repeats the mean of all values so far",
    "seasonal naive": "repeats the last season",
    "longest season": "repeats the last of the longest season",
    "drift": "goes on along the line from the first value to the last",
    SMOOTHING: "level, growth and season smoothed; what the networks start from",
    "linear on lags": "a weighted sum of recent values",
    "AutoTheta": "the line and the curve of Theta models, chosen for each series",
    "AutoETS": "exponential smoothing, its form chosen for each series",
}
_MEASURES = {
    "MAE": "mean absolute error: how far off a forecast is on average, in the unit of the data",
    "RMSE": "root mean squared error: the same, but large misses count for more",
    "MASE": "mean absolute scaled error: 1 is as far off as repeating the last season was before",
    "sMAPE": "symmetric error in percent of the values' size: 0 is perfect, 200 the worst",
    "WQL": "weighted quantile loss: the same for quantiles as MAE for the middle, as a share of the values",
    "coverage": "in how many cases the true value fell into the interval of that level",
    "tested": "the share of the known values that a method was tested on",
}
_SETTINGS = {
    "h": "steps that are forecast",
    "input_size": "past values that the networks see",
    "hidden_size": "size of a network's memory",
    "num_layers": "layers of a network, one above the other",
    "learning_rate": "how large the steps of training are",
    "batch_size": "examples in one step of training",
    "n_members": "networks whose forecasts are put together",
    "freq": "step between times",
    "season_length": "steps after which a pattern repeats",
    "best": "whether to forecast with what did best in the past",
    "backtest": "whether past forecasts were checked",
    "time_limit": "seconds that fitting may take",
    "random_state": "the seed: the same seed gives the same numbers",
    "n_jobs": "threads; the result does not depend on them",
}
_WORDS = {
    "Series": "values of one thing over time, at regular steps.",
    "Forecast": "the value that the method takes to be in the middle: the true one may lie above or below.",
    "Interval": "a range around the forecast. An 80 % interval should hold the true value 80 times in 100.",
    "Quantile": "a value that the truth should lie below in that share of cases: 0.9 in 90 of 100.",
    "Backtest": "the method is put back to moments in the past, forecasts from what was known then, and is "
    "held against what really came.",
    "Cutoff": "such a moment in the past; nothing after it was seen.",
    "LSTM": "long short-term memory, a small neural network that reads a series step by step.",
    "Season": "a pattern that repeats, such as the months of a year or the hours of a day.",
}


def headline(subject: Subject, title: Sequence[str], date: str) -> Html:
    """Title, verdict and the figures that matter most."""
    forecaster, verdict = subject.forecaster, subject.forecaster.verdict_
    times = subject.forecast.times
    first, last = subject.label(times[:, 0].min()), subject.label(times[:, -1].max())
    apart = ", each series from its own end" if np.any(times[:, 0] != times[0, 0]) else ""
    span = first if first == last else f"{first} to {last}"
    lead = [f"{_steps(subject.horizon)}{apart}, {span}; ", forecaster.panel_.frequency.describe()]
    lead += ["; from ", name(subject.source)] if subject.source else []
    if verdict is None:
        why = "the series are too short for one" if forecaster.backtest else "it was switched off"
        outcome, sentence = (
            "none",
            f"There was no backtest ({why}), so nothing is known about the error of this forecast.",
        )
    else:
        outcome, sentence = verdict.outcome, verdict.sentence
    return join(
        tag(
            "header",
            tag("h1", *(tag("bdi", part) for part in title)),
            tag("p", *lead, f"; made on {date}", class_="soft"),
        ),
        tag("section", tag("h2", "Verdict"), tag("p", sentence), class_=f"verdict {outcome}"),
        tag("dl", *_tiles(subject), class_="tiles"),
    )


def _tiles(subject: Subject) -> Iterator[Html]:
    panel, forecast = subject.forecaster.panel_, subject.forecast
    backtest, verdict, errors = subject.forecaster.backtest_, subject.forecaster.verdict_, subject.errors
    if subject.several:
        missing = int((~panel.mask).sum())
        values = f"{panel.values.size:,} values"
        yield _tile("Series", f"{len(panel):,}", f"{values}, {missing:,} missing" if missing else values)
    else:
        digits = subject.digits(0)
        low_high = ""
        if forecast.intervals:
            level = min(forecast.intervals)
            low, high = (number(end[0, 0], digits) for end in forecast.intervals[level])
            low_high = f"{level:g} % interval: {low} to {high}"
        yield _tile(
            f"Next, {subject.label(forecast.times[0, 0])}", number(forecast.values[0, 0], digits), low_high
        )
        yield _tile(
            f"Last known, {subject.label(panel.ends[0])}",
            number(panel.series(0)[-1], digits),
            "",
        )
    if backtest is None or errors is None or verdict is None:
        return
    row, best = backtest.table()[NETWORK], subject.forecaster.best_
    # What is known of the past is the network's, whatever else the forecast is made with.
    alone = best is None or best.weights.get(NETWORK) == 1
    whose = "" if alone else f" of the {NETWORK}"
    if subject.several:
        mine, simple = (errors.by_series[method] for method in (NETWORK, verdict.best_simple))
        known = np.isfinite(mine) & np.isfinite(simple)
        yield _tile(
            f"{'Better' if alone else f'{NETWORK} better'} than {verdict.best_simple}",
            f"{int((mine < simple)[known].sum()):,} of {int(known.sum()):,} series",
            "in the backtest",
        )
        if known.any():
            text = "middle series; 1 is as far off as repeating the last season was"
            yield _tile(f"Scaled error{whose} in the past", number(float(np.median(mine[known])), 2), text)
    else:
        typical = number(row["MAE"], _error_digits(backtest))
        more = f"mean absolute error; {row['sMAPE']:.1f} % (sMAPE)"
        yield _tile(f"Typical miss{whose} in the past", typical, more)


def _tile(term: str, value: str, more: str) -> Html:
    return tag("div", tag("dt", term), tag("dd", value, *([tag("small", more)] if more else [])))


def forecasts(subject: Subject) -> Html:
    """Plot and table of a single series."""
    curve = subject.curve(0)
    caption = "Solid: the known values. Dashed: the forecast. " + (
        "Shaded: its intervals, the wider the lighter."
        if curve.intervals
        else "No intervals: they need a backtest."
    )
    parts = [forecast_chart(curve.tail(subject.shown), 300).figure(caption)]
    table = _table(subject, 0, _MOST_ROWS)
    if len(curve.history) > subject.shown:
        whole = forecast_chart(curve, 240).figure("All values there are.")
        table = [
            tag(
                "div",
                tag("div", *table),
                tag("div", tag("h3", "The whole history"), whole),
                class_="pair even",
            )
        ]
    return tag("section", tag("h2", "Forecast"), *_chosen(subject), *parts, *table)


def _chosen(subject: Subject) -> list[Html]:
    """What is forecast with when it is not the network."""
    best = subject.forecaster.best_
    return [] if best is None else [tag("p", best.sentence)]


def _table(subject: Subject, which: int, most: int) -> list[Html]:
    """The forecasts of one series as a table of at most so many rows."""
    forecast, digits = subject.forecast, subject.digits(which)
    levels = list(forecast.intervals)
    rows = []
    for step in range(min(subject.horizon, most)):
        cells = [number(forecast.values[which, step], digits)]
        for level in levels:
            low, high = (number(end[which, step], digits) for end in forecast.intervals[level])
            cells.append(f"{low} to {high}")
        cells += [number(values[which, step], digits) for values in forecast.quantiles.values()]
        when = tag("th", subject.label(forecast.times[which, step]), scope="row", class_="time")
        rows.append(tag("tr", when, *(tag("td", cell) for cell in cells)))
    head = [subject.time_name, "forecast", *(f"{level:g} % interval" for level in levels)]
    head += [f"quantile {quantile:g}" for quantile in forecast.quantiles]
    parts = [grid(head, rows)]
    if subject.horizon > most:
        parts.append(tag("p", f"The first {most:,} of {subject.horizon:,} steps.", class_="explain"))
    return parts


def overview(subject: Subject) -> Html:
    """The panel as a whole: how errors are spread, the worst and the best series, a table of all."""
    parts, errors = [tag("h2", "Overview of all series"), *_chosen(subject)], subject.errors
    worst_first = subject.by_error
    if errors is not None and worst_first:
        if len(worst_first) > _FEW:
            label = f"How many of {len(worst_first)} series have an error of which size"
            parts.append(
                spread_chart(label, errors.by_series[NETWORK][worst_first]).figure(
                    "How many series (upwards) have a scaled error in the past of which size (to the right). "
                    "Below 1 the network was less far off than repeating the last season had been. The last "
                    "bar holds all that lies beyond it."
                )
            )
            parts.append(tag("h3", f"The {_EXTREMES} series with the largest errors"))
            parts.append(_listing(subject, worst_first[:_EXTREMES]))
            parts.append(tag("h3", f"The {_EXTREMES} series with the smallest errors"))
            parts.append(_listing(subject, worst_first[: -_EXTREMES - 1 : -1]))
        meaning = "1 is as far off as repeating the last season was before. A dash: not known."
        parts.append(tag("p", f"Errors are scaled (MASE): {meaning}", class_="explain"))
    count = len(subject.forecast.ids)
    unknown = sorted(set(range(count)) - set(worst_first))
    if count <= _FEW:
        parts.append(_listing(subject, [*worst_first, *unknown]))
    else:
        listed = range(min(count, _MOST_LISTED))
        what = (
            f"All {count:,} series"
            if count <= _MOST_LISTED
            else f"The first {_MOST_LISTED:,} of {count:,} series"
        )
        parts.append(tag("details", tag("summary", f"{what} in a table"), _listing(subject, listed)))
    return tag("section", *parts)


def _listing(subject: Subject, numbers: Sequence[int]) -> Html:
    """Series by number, a row each."""
    panel, forecast, errors = subject.forecaster.panel_, subject.forecast, subject.errors
    drawn, lengths = set(subject.drawn), panel.lengths
    columns = [] if errors is None else list(errors.by_series.items())
    ahead = ["next"] + ([f"{subject.horizon} steps on"] if subject.horizon > 1 else [])
    rows = []
    for which in numbers:
        digits = subject.digits(which)
        called = name(forecast.ids[which])
        head = tag("a", called, href=f"#series-{which}") if which in drawn else called
        cells = [number(float(column[which]), 2) for _, column in columns]
        values = (panel.series(which)[-1], forecast.values[which, 0], forecast.values[which, -1])
        cells += [number(float(value), digits) for value in values[: 1 + len(ahead)]]
        cells.append(f"{lengths[which]:,}")
        rows.append(tag("tr", tag("th", head, scope="row"), *(tag("td", cell) for cell in cells)))
    return grid(
        ["series", *(f"error, {method}" for method, _ in columns), "last known", *ahead, "rows"], rows
    )


def series(subject: Subject) -> Html:
    """A section for each series that is drawn, and a field to choose one when there are many."""
    count, drawn = len(subject.forecast.ids), subject.drawn
    most = max(12, _MOST_ROWS // len(drawn))
    parts = [tag("h2", "Series by series")]
    if len(drawn) < count:
        which_ones = (
            "those with the largest errors in the past, and the first" if subject.by_error else "the first"
        )
        parts.append(tag("p", f"Drawn are {len(drawn)} of {count:,} series: {which_ones}.", class_="explain"))
    if len(drawn) > _FEW:
        options = [tag("option", f"all {len(drawn)}", value="")]
        options += [
            tag("option", one_line(subject.forecast.ids[k]), value=f"series-{k}", dir="auto") for k in drawn
        ]
        parts.append(
            tag(
                "p",
                tag("label", "Show ", tag("select", *options)),
                id="choose",
                class_="screen",
                hidden="hidden",
            )
        )
    errors = subject.errors
    for which in drawn:
        said = ""
        if errors is not None:
            own = [
                f"{number(float(column[which]), 2)} ({method})" for method, column in errors.by_series.items()
            ]
            said = f"Scaled error in the past: {', '.join(own)}."
        chart = forecast_chart(subject.curve(which).tail(subject.shown), 220).figure(said)
        pair = tag("div", chart, tag("div", *_table(subject, which, most)), class_="pair")
        heading = tag("h3", name(subject.forecast.ids[which]))
        parts.append(tag("section", heading, pair, class_="series", id=f"series-{which}"))
    return tag("section", *parts)


def evidence(subject: Subject) -> Html:
    """The backtest: every method, errors by step and by cutoff, coverage of the intervals."""
    backtest, errors = subject.forecaster.backtest_, subject.errors
    heading = tag("h2", "How good were such forecasts in the past?")
    if backtest is None or errors is None:
        if subject.forecaster.verdict_ is None:
            text = "Not known: no past forecast was checked, so that there are no intervals either."
            return tag("section", heading, tag("p", text))
        text = "The forecaster comes from a file, which keeps the verdict of its backtest but not the errors."
        return tag("section", heading, tag("p", text), *_coverage(subject))
    refits = f"trained anew {_count(backtest.refits, 'time', 'times')}"
    cutoffs = _count(backtest.cutoffs, "cutoff", "cutoffs")
    text = (
        f"Forecasts of {_steps(subject.horizon)} were made from {cutoffs}, "
        f"moments in the past, without seeing what came after ({refits}), and held against what really came. "
        "Simple methods did the same. The best stands first; smaller errors are better. The verdict gives "
        "the difference and, in brackets, where it lies with a confidence of 90 %, chance allowed for."
    )
    return tag(
        "section",
        heading,
        tag("p", text),
        _methods(subject, backtest),
        facts([(measure, said) for measure, said in _MEASURES.items() if _has(backtest, measure)]),
        _error_charts(subject, backtest),
        *_coverage(subject),
    )


def _methods(subject: Subject, backtest: Backtest) -> Html:
    table, digits = backtest.table(), _error_digits(backtest)
    measures = [measure for measure in table[NETWORK] if _has(backtest, measure)]
    rows = []
    for method, row in table.items():
        meaning = _METHODS.get(method, "")
        if method == NETWORK and subject.forecaster.best_ is None:
            meaning += ", as used for the forecast above"
        head = tag("th", method, tag("small", meaning), scope="row")
        cells = [tag("td", _measured(measure, row[measure], digits)) for measure in measures]
        rows.append(tag("tr", head, *cells, **({"class_": "chosen"} if method == NETWORK else {})))
    return grid(["method", *measures], rows)


def _has(backtest: Backtest, measure: str) -> bool:
    """Whether a measure is shown: what share was tested goes without saying where it is all."""
    return measure != "tested" or any(row["tested"] != 1 for row in backtest.table().values())


def _measured(measure: str, value: float, digits: int) -> str:
    """One cell of the table of methods; `digits` are those of errors in the unit of the data."""
    if measure in ("MAE", "RMSE"):
        return number(value, digits)
    if measure in ("MASE", "WQL"):
        return number(value, 2 if measure == "MASE" else 3)
    percent = number(value, 1) if measure == "sMAPE" else number(100 * value, 0)
    return percent if np.isnan(value) else f"{percent} %"


def _error_digits(backtest: Backtest) -> int:
    """Digits after the point for errors in the unit of the data."""
    errors = (row["MAE"] for row in backtest.table().values())
    return decimals(max((error for error in errors if np.isfinite(error)), default=0.0))


def _error_charts(subject: Subject, backtest: Backtest) -> Html:
    errors = subject.errors
    assert errors is not None
    unit = "in each series' own scale" if errors.scaled else "in the unit of the data"
    charts = []
    if subject.horizon > 1:
        steps = np.arange(1, subject.horizon + 1, dtype=np.float64)
        marks = {float(step): str(step) for step in range(1, subject.horizon + 1, -(-subject.horizon // 8))}
        chart = error_chart("Mean absolute error by step ahead", errors.by_horizon, steps, marks)
        text = f"Mean absolute error, {unit}, of forecasts 1, 2, ... steps ahead: how fast certainty is lost."
        charts.append(tag("div", tag("h3", "Error by step ahead"), chart.figure(text)))
    if backtest.cutoffs > 1:
        cutoffs = np.arange(backtest.cutoffs, dtype=np.float64)
        chosen = range(0, backtest.cutoffs, -(-backtest.cutoffs // 6))
        marks = {float(k): _cutoff(subject, backtest, k) for k in chosen}
        chart = error_chart("Mean absolute error by cutoff", errors.by_cutoff, cutoffs, marks)
        text = f"Mean absolute error, {unit}, of the forecast made at each cutoff: was it ever much worse?"
        charts.append(tag("div", tag("h3", "Error by cutoff"), chart.figure(text)))
    return tag("div", *charts, class_="pair even")


def _cutoff(subject: Subject, backtest: Backtest, which: int) -> str:
    """The time of a cutoff; where series end at different times, how many steps before the end it lies.

    The times are those of the panel unless rows were appended to it after the backtest.
    """
    panel, behind = subject.forecaster.panel_, backtest.behind[which]
    same = np.array_equal(backtest.truth[-1, 0], panel.series(0)[-subject.horizon :], equal_nan=True)
    if same and np.all(panel.ends == panel.ends[0]):
        return subject.label(panel.frequency.at(panel.starts[0], panel.lengths[0] - 1 - behind))
    return f"end - {behind}"


def _coverage(subject: Subject) -> Iterator[Html]:
    forecaster = subject.forecaster
    yield tag("h3", "Do the intervals keep what they promise?")
    if not forecaster.coverage_:
        yield tag("p", "Not known: there are too few cutoffs to check that.")
        return
    rows = []
    for level, reached in forecaster.coverage_.items():
        away, chance = reached - level / 100, level / 100 * (1 - level / 100) / forecaster.coverage_values_
        if _NEAR < abs(away) <= 2 * np.sqrt(chance):
            reading = "too few values to tell"
        elif away < -_NEAR:
            reading = "too narrow: expect more surprises than promised"
        elif away > _NEAR:
            reading = "wider than need be: careful"
        else:
            reading = "as promised"
        cells = [f"{level:g} %", f"{100 * reached:.0f} %"]
        rows.append(tag("tr", *(tag("td", cell) for cell in cells), tag("td", reading, class_="words")))
    yield grid(["promised", "reached", "which is"], rows, class_="worded")
    text = (
        f"How many of {forecaster.coverage_values_:,} true values fell into their interval, at cutoffs that "
        "the intervals' widths had not been taken from."
    )
    yield tag("p", text, class_="explain")


def findings(subject: Subject) -> Html:
    """What was found in the data."""
    forecaster, panel = subject.forecaster, subject.forecaster.panel_
    frequency, lengths = panel.frequency, panel.lengths
    found: list[tuple[str, str]] = [("Read from", name(subject.source))] if subject.source else []
    size = f"{panel.values.size:,}"
    found.append(("Values", f"{size} of {len(panel):,} series" if subject.several else size))
    found.append(("From, to", f"{subject.label(panel.starts.min())} to {subject.label(panel.ends.max())}"))
    found.append(("Step between times", frequency.describe()))
    found.append(("Season", _season(forecaster)))
    if subject.several:
        middle = float(np.median(lengths))
        found.append(
            ("Rows in a series", f"{lengths.min():,} to {lengths.max():,}, the middle one {middle:,.0f}")
        )
    found.append(("Missing values", _missing(subject)))
    smallest, largest = (float(end(panel.values)) for end in (np.nanmin, np.nanmax))
    digits = 0 if panel.whole else decimals(max(abs(smallest), abs(largest)))
    kind = "whole numbers" if panel.whole else "numbers"
    found.append(("Range", f"{kind} from {number(smallest, digits)} to {number(largest, digits)}"))
    units = forecaster.model_.units
    logarithms = (
        f"logarithms of the values and {number(units.shift, 2)} more, since some are 0"
        if units.shift
        else "logarithms, since all values are above 0"
    )
    found.append(("Worked on", logarithms if units.log else "the values themselves"))
    notes = (*subject.notes, *forecaster.notes_)
    shown = [tag("li", one_note) for one_note in notes[:_NOTED]]
    if len(notes) > _NOTED:
        shown.append(tag("li", f"... and {len(notes) - _NOTED} more notes"))
    return tag(
        "section",
        tag("h2", "What was found in the data"),
        facts(found),
        *([tag("h3", "Notes"), tag("ul", *shown)] if shown else []),
    )


def _season(forecaster: Forecaster) -> str:
    found, used = forecaster.panel_.frequency.season_length, forecaster.season_length_
    if found == 1:
        return "none"
    if used == 1:
        return f"{found} steps; not used: {why_no_season(forecaster.model_, forecaster.panel_)}"
    return f"{found} steps" + ("" if used == found else f"; {used} used")


def _missing(subject: Subject) -> str:
    panel = subject.forecaster.panel_
    count = int((~panel.mask).sum())
    if count == 0:
        return "none"
    gaps = panel.gaps()
    longest = max(gaps, key=lambda gap: gap.count)
    where = f' of "{one_line(longest.series)}"' if subject.several else ""
    return (
        f"{count:,} in {_count(len(gaps), 'gap', 'gaps')}, the longest of {_steps(longest.count)}, from "
        f"{subject.label(longest.first)}{where}"
    )


def settings(subject: Subject) -> Html:
    """Settings, versions and how to make the same report again."""
    forecaster, model = subject.forecaster, subject.forecaster.model_
    rows = []
    for setting in signature(type(forecaster)).parameters:
        value = getattr(forecaster, setting)
        shown = "by itself" if value is None else str(value)
        meaning = tag("td", _SETTINGS.get(setting, ""), class_="words")
        rows.append(tag("tr", tag("th", setting, scope="row", class_="time"), tag("td", shown), meaning))
    used = [
        (
            "Networks",
            f"{model.members}, trained for {_count(model.epochs, 'pass', 'passes')} over the data",
        ),
        ("Past values that they see", f"{model.length:,}"),
        ("Their part in the forecast", f"{100 * model.share:.0f} %, chosen on the latest values, held out"),
        ("Seed", str(forecaster.random_state)),
        (
            "Versions",
            f"karusel {karusel.__version__}, NumPy {np.__version__}, Python {platform.python_version()}",
        ),
    ]
    return tag(
        "section",
        tag("h2", "How it was made"),
        facts(used),
        tag("h3", "To make it again"),
        tag("pre", subject.command or _python_call(subject)),
        tag(
            "details",
            tag("summary", "All settings"),
            grid(["setting", "value", "what it is"], rows, class_="worded"),
        ),
    )


def _python_call(subject: Subject) -> str:
    forecaster = subject.forecaster
    given = [
        f"{setting}={getattr(forecaster, setting)!r}"
        for setting, parameter in signature(type(forecaster)).parameters.items()
        if getattr(forecaster, setting) != parameter.default or setting == "random_state"
    ]
    levels = ", ".join(f"{level:g}" for level in subject.forecast.intervals)
    return (
        "from karusel import Forecaster\nfrom karusel.report import write_report\n\n"
        f"forecaster = Forecaster({', '.join(given)}).fit(data)\n"
        f'write_report(forecaster, forecaster.forecast(level=[{levels}]), "report.html")'
    )


def words() -> Html:
    """The words that a reader may not know."""
    return tag("section", tag("h2", "Words"), facts(list(_WORDS.items())))


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _steps(count: int) -> str:
    return _count(count, "step", "steps")
