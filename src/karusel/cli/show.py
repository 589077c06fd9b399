"""Text for a terminal: what was found, the forecast as a table and a plot, and the evidence."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from karusel.cli.outputs import Rows
from karusel.cli.work import Series, has_ids
from karusel.forecasting.fitting import why_no_season
from karusel.forecasting.forecaster import Forecast, Forecaster
from karusel.forecasting.frequency import Frequency
from karusel.forecasting.panel import Panel
from karusel.forecasting.rows import count_of
from karusel.names import one_line, printable
from karusel.numbers import decimals, number
from karusel.plots import Curve, draw_text

__all__ = [
    "Labels",
    "cell",
    "curve_of",
    "evidence",
    "fitted",
    "for_stdout",
    "forecast_rows",
    "forecast_text",
    "found",
    "panel_found",
    "print_lines",
    "print_pairs",
    "verdict",
]

_SERIES_SHOWN = 3
_GLYPHS = "⠿░┤│└─┴"
_LONGEST_NAME, _LONGEST_TITLE = 60, 100  # characters that have room above a plot


@dataclass(frozen=True)
class Labels:
    """What the columns of a forecast are called; `id_col` None for one series without ids."""

    title: str
    id_col: str | None
    time_col: str
    value: str
    time_format: str
    frequency: Frequency

    @property
    def own(self) -> tuple[str, ...]:
        """The columns of ids and times, those that there are."""
        return (self.time_col,) if self.id_col is None else (self.id_col, self.time_col)

    @staticmethod
    def of(series: Series, title: str) -> Labels:
        """As the source calls them."""
        table = series.table
        several = len(series.panel) > 1 or table.id_col is not None
        return Labels(
            title,
            (table.id_col or "unique_id") if several else None,
            table.time_col or "step",
            table.target_cols[0] if len(table.target_cols) == 1 else "value",
            table.time_format,
            series.panel.frequency,
        )

    @staticmethod
    def of_model(model: Forecaster, title: str) -> Labels:
        """As the source of the rows that were fitted called them."""
        columns, wide = model.columns, not isinstance(model.columns.target_col, str)
        return Labels(
            title,
            "unique_id" if wide else columns.id_col if has_ids(model) else None,
            columns.time_col or "step",
            "value" if wide else str(columns.target_col),
            columns.time_format,
            model.panel_.frequency,
        )


def forecast_rows(forecast: Forecast, labels: Labels) -> Rows:
    """A forecast as rows: ids, times, then a column for the forecast and each end of an interval."""
    horizon = forecast.values.shape[1]
    columns = {labels.time_col: forecast.times.ravel()}
    if labels.id_col is not None:
        ids = np.array([str(name) for name in forecast.ids], object)
        columns = {labels.id_col: np.repeat(ids, horizon), **columns}
    columns.update((name, values.ravel()) for name, values in forecast.columns().items())
    return Rows(columns, labels.time_format, labels.frequency)


def curve_of(panel: Panel, forecast: Forecast, number: int, labels: Labels) -> Curve:
    """One series as it is drawn."""
    times = [*panel.series_times(number), *forecast.times[number]]
    name = labels.value if len(panel) == 1 else str(panel.ids[number])
    h = forecast.values.shape[1]
    title = f"{one_line(name, _LONGEST_NAME)}: forecast of {h} step{'s' if h > 1 else ''}, {labels.title}"
    return Curve(
        title=one_line(title, _LONGEST_TITLE),
        history=panel.series(number),
        forecast=forecast.values[number],
        intervals={level: (low[number], high[number]) for level, (low, high) in forecast.intervals.items()},
        times=[panel.frequency.label(when) for when in times],
        season_length=panel.frequency.season_length,
    )


def print_lines(lines: Iterable[str]) -> None:
    """Print text; nothing that stood in a file reaches the terminal as a command."""
    print(printable("\n".join(lines)))


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and what was found for each, a line and a tab for each pair, whatever stands in them."""
    for pair in pairs:
        print("\t".join(printable(one).replace("\n", "\\n") for one in pair))


def for_stdout(text: str) -> str:
    """Text that is the result itself: a terminal is told no commands, a pipe or a file gets it as it is."""
    return printable(text) if sys.stdout.isatty() else text


def found(series: Series, title: str, notes: Sequence[str] = ()) -> Iterator[str]:
    """What was read, and what was done to it; `notes` of a model say more than the panel's own."""
    table, panel = series.table, series.panel
    yield panel_found(panel, title)
    yield f"  {table.describe_columns()}; {table.origin.form}"
    for note in notes or panel.notes:
        yield f"  {note}"


def panel_found(panel: Panel, title: str) -> str:
    """How many series and values there are, from when to when."""
    frequency = panel.frequency
    span = f"{frequency.label(panel.starts.min())} to {frequency.label(panel.ends.max())}"
    size = f"{len(panel)} series, " if len(panel) > 1 else ""
    return f"{title}: {size}{len(panel.values)} values, {span}; {frequency.describe()}"


def fitted(model: Forecaster, seconds: float) -> str:
    """What was fitted."""
    season = model.panel_.frequency.season_length
    if model.season_length_ == season:
        words = f"season of {season} steps" if season > 1 else "no season"
    else:
        words = f"season of {season} steps not used: {why_no_season(model.model_, model.panel_)}"
    network = model.model_
    words += ", on logarithms" if network.units.log else ""
    return (
        f"  {words}; {count_of(network.members, 'LSTM network')}, "
        f"{network.epochs} epochs, correction used at {100 * network.share:.0f} %; {seconds:.1f} s"
    )


def cell(value: float, digits: int) -> str:
    """A number in a table, which has no commas between thousands."""
    return number(value, digits).replace(",", "")


def forecast_text(panel: Panel, forecast: Forecast, labels: Labels) -> Iterator[str]:
    """The first series' forecasts as tables, and the very first as a plot."""
    for one in range(min(len(forecast.ids), _SERIES_SHOWN)):
        yield from _table(panel, forecast, one, labels.time_col)
        yield ""
    hidden = len(forecast.ids) - _SERIES_SHOWN
    if hidden > 0:
        yield f"... and {hidden} more series; --out FILE writes all of them"
        yield ""
    if len(panel) > 1:
        yield f"{panel.ids[0]}:"
    width = min(shutil.get_terminal_size().columns - 1, 110)
    yield draw_text(curve_of(panel, forecast, 0, labels), width, unicode=_shows_unicode())


def _table(panel: Panel, forecast: Forecast, number: int, time_name: str) -> Iterator[str]:
    largest = float(np.nanmax(np.abs(panel.series(number))))
    digits = 0 if panel.whole else decimals(largest)
    labels = [panel.frequency.label(when) for when in forecast.times[number]]
    first = max(len(time_name), *map(len, labels))
    if len(panel) > 1:
        yield str(panel.ids[number])
    columns = forecast.columns()
    body = {name: [cell(value, digits) for value in values[number]] for name, values in columns.items()}
    widths = {name: max(len(name), *map(len, cells)) for name, cells in body.items()}
    yield "  ".join([f"{time_name:<{first}}", *(f"{name:>{widths[name]}}" for name in body)])
    for row, label in enumerate(labels):
        yield "  ".join(
            [f"{label:<{first}}", *(f"{cells[row]:>{widths[name]}}" for name, cells in body.items())]
        )


def evidence(model: Forecaster) -> Iterator[str]:
    """The backtest, what the intervals cover, and the verdict."""
    backtest = model.backtest_
    if backtest is None:
        yield from verdict(model)
        return
    refits = f"{backtest.refits} refit{'s' if backtest.refits > 1 else ''}"
    steps = f"{model.h} step{'s' if model.h > 1 else ''}"
    cutoffs = f"{backtest.cutoffs} past cutoff{'s' if backtest.cutoffs > 1 else ''}"
    yield f"Backtest: {cutoffs}, {steps} from each, {refits}"
    rows = backtest.table()
    digits = decimals(max(row["MAE"] for row in rows.values()))
    yield f"{'method':<16}{'MAE':>12}{'RMSE':>12}{'MASE':>8}{'sMAPE':>9}"
    for method, row in rows.items():
        scaled = "-" if np.isnan(row["MASE"]) else f"{row['MASE']:.2f}"  # no season before the cutoffs
        yield (
            f"{method:<16}{cell(row['MAE'], digits):>12}{cell(row['RMSE'], digits):>12}"
            f"{scaled:>8}{row['sMAPE']:>7.1f} %"
        )
    for note in backtest.notes:
        yield f"  {note}"
    yield from verdict(model)


def verdict(model: Forecaster) -> Iterator[str]:
    """What the intervals cover, and the verdict."""
    if model.verdict_ is None:
        why = "too few rows" if model.backtest else "not asked for"
        yield f"No backtest and no intervals: {why}. Nothing is known about the forecast's error."
        return
    if model.coverage_:
        reached = ", ".join(
            f"{100 * share:.0f} % reached where {level:g} % is promised"
            for level, share in model.coverage_.items()
        )
        yield f"Intervals on {model.coverage_values_} held-out values: {reached}"
    else:
        yield "Intervals: too few past cutoffs to check what they cover"
    yield f"Verdict: {model.verdict_.sentence}"


def _shows_unicode() -> bool:
    try:
        _GLYPHS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
