"""`karusel forecast`: read, fit, backtest, then say it as text or JSON."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from karusel.cli import document, show
from karusel.cli.files import check_apart, check_output, files_read, table_files, write_whole
from karusel.cli.options import Covariates, Fitting, Printing, Reading, Running
from karusel.cli.outputs import check_columns, check_rows_output, write_rows
from karusel.cli.progress import Progress
from karusel.cli.show import Labels, curve_of, forecast_rows
from karusel.cli.work import Series, Wanted, fit_series, future_of, read_series, short_name
from karusel.errors import UsageError
from karusel.forecasting.backtest import NETWORK
from karusel.forecasting.best import BEST
from karusel.forecasting.forecaster import Forecast, Forecaster
from karusel.names import one_line
from karusel.plots import draw_png, draw_svg, need_matplotlib

__all__ = ["run_forecast"]

_PANELS_DRAWN = 6


@dataclass(frozen=True)
class _Result:
    series: Series
    model: Forecaster
    forecast: Forecast
    labels: Labels
    seconds: float


def run_forecast(
    reading: Reading,
    covariates: Covariates,
    fitting: Fitting,
    running: Running,
    future_data: list[str],
    wanted: Wanted,
    out: str | None,
    plot: Path | None,
    report: Path | None,
    printing: Printing,
) -> None:
    """Run the command; results go to stdout and the files asked for."""
    if covariates.future and not future_data:
        raise UsageError("--future needs --future-data, a file with these columns for the next steps")
    source = reading.source or []
    _check_outputs(out, plot, report, files_read(printing, table_files(reading, future_data)), source)
    started = time.perf_counter()
    with Progress() as progress:
        series = read_series(reading, covariates, progress)
        labels = Labels.of(series, short_name(source))
        if out is not None or printing.json:
            check_columns(out, labels.own, wanted.names(BEST if fitting.best else NETWORK))
        model = fit_series(series, fitting, running, progress)
        future = future_of(model, series.panel, future_data, progress)
        forecast = wanted.forecast(model, future, model.panel_)
        result = _Result(series, model, forecast, labels, time.perf_counter() - started)
        if out is not None:
            progress(f"writing {out}")
            write_rows(out, forecast_rows(forecast, labels))
        if plot is not None:
            progress(f"drawing {plot}")
            write_whole(plot, lambda path: _draw(result, plot, path))
        if report is not None:
            progress(f"writing {report}")
            _report(result, report)
    if printing.json:
        document.print_document(_document(result))
    else:
        show.print_lines(_text(result))


def _check_outputs(
    out: str | None, plot: Path | None, report: Path | None, files: Sequence[Path], source: list[str]
) -> None:
    check_apart({"--out": out, "--plot": plot, "--report": report})
    for path in filter(None, (plot, report)):
        check_output(path, files)
    if out is not None:
        check_rows_output(out, files, source)
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--plot {plot} is neither a .png nor a .svg file; name one of them")
        if _is_png(plot):
            need_matplotlib()


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _draw(result: _Result, plot: Path, path: Path) -> None:
    panel, forecast, labels = result.series.panel, result.forecast, result.labels
    shown = max(60, 6 * forecast.values.shape[1])
    curves = [
        curve_of(panel, forecast, number, labels).tail(shown)
        for number in range(min(len(panel), _PANELS_DRAWN))
    ]
    if _is_png(plot):
        draw_png(curves, path, one_line(labels.value), one_line(labels.time_col))
    else:
        draw_svg(curves, path)


def _report(result: _Result, path: Path) -> None:
    from karusel.report import write_report

    write_report(
        result.model,
        result.forecast,
        path,
        value_name=result.labels.value,
        time_name=result.labels.time_col,
        source=result.labels.title,
        notes=[result.series.table.origin.form],
        command=shlex.join(["karusel", *sys.argv[1:]]),
    )


def _document(result: _Result) -> dict[str, Any]:
    found = document.found(result.series)
    found["notes"] += result.forecast.notes
    return {
        "file": result.series.table.origin.name,
        "found": found,
        "horizon": result.model.h,
        "forecast": list(forecast_rows(result.forecast, result.labels).records()),
        **document.evidence(result.model),
        "model": document.model_settings(result.model),
        "seconds": round(result.seconds, 3),
        "versions": document.versions(),
    }


def _text(result: _Result) -> list[str]:
    return [
        *show.found(result.series, result.labels.title, (*result.model.notes_, *result.forecast.notes)),
        show.fitted(result.model, result.seconds),
        "",
        *show.forecast_text(result.series.panel, result.forecast, result.labels),
        "",
        *show.evidence(result.model),
    ]
