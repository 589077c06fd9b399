"""`karusel backtest`: the evidence alone, step by step, and every forecast it rests on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from karusel.cli import document, show
from karusel.cli.files import files_read, table_files
from karusel.cli.options import Covariates, Fitting, Printing, Reading, Running
from karusel.cli.outputs import Rows, check_columns, check_rows_output, or_null, write_rows
from karusel.cli.progress import Progress
from karusel.cli.show import Labels
from karusel.cli.work import fit_series, read_series, short_name
from karusel.errors import DataError, UsageError
from karusel.forecasting.backtest import NETWORK, SMOOTHING, Backtest
from karusel.forecasting.baselines import baselines
from karusel.forecasting.forecaster import Forecaster
from karusel.numbers import decimals

__all__ = ["run_backtest_command"]

_SEASONS = 2, 3  # with a season and a longer one all methods are at hand
_METHODS = (NETWORK, SMOOTHING, *(one.name for one in baselines(1, *_SEASONS)))


def run_backtest_command(
    reading: Reading,
    covariates: Covariates,
    fitting: Fitting,
    running: Running,
    out: str | None,
    printing: Printing,
) -> None:
    """Run the command."""
    source = reading.source or []
    if not fitting.backtest:
        raise UsageError("this is the backtest; leave --no-backtest out")
    if out is not None:
        check_rows_output(out, files_read(printing, table_files(reading)), source)
    started = time.perf_counter()
    with Progress() as progress:
        series = read_series(reading, covariates, progress)
        labels = Labels.of(series, short_name(source))
        if out is not None:
            check_columns(out, _own(labels), _METHODS)
        model = fit_series(series, replace(fitting, backtest=True), running, progress)
        if model.backtest_ is None:
            raise DataError(
                f"{series.table.origin.name}: there are too few rows for a backtest of {fitting.horizon} "
                "steps; give more history or a smaller horizon"
            )
        seconds = time.perf_counter() - started
        if out is not None:
            progress(f"writing {out}")
            write_rows(out, _rows(model, model.backtest_, labels))
    if printing.json:
        document.print_document(
            {
                "file": series.table.origin.name,
                "found": document.found(series),
                "horizon": model.h,
                **document.evidence(model),
                "by_step": {
                    name: [or_null(error) for error in errors.tolist()]
                    for name, errors in _by_step(model.backtest_).items()
                },
                "model": document.model_settings(model),
                "seconds": round(seconds, 3),
                "versions": document.versions(),
            }
        )
    else:
        lines = [
            *show.found(series, short_name(source), model.notes_),
            show.fitted(model, seconds),
            "",
            *show.evidence(model),
            "",
            *_steps(model.backtest_),
        ]
        show.print_lines(lines)


def _by_step(backtest: Backtest) -> dict[str, Any]:
    """Mean absolute error [h] of each method, steps ahead."""
    return {name: measures["MAE"] for name, measures in backtest.by_horizon().items()}


def _steps(backtest: Backtest) -> Iterator[str]:
    """Mean absolute error by step ahead, of the methods in the order of the table."""
    errors = _by_step(backtest)
    methods = [name for name in backtest.table() if name in errors]
    digits = decimals(max(float(np.nanmax(errors[name])) for name in methods))
    widths = {name: max(len(name), 9) for name in methods}
    yield "MAE by step ahead"
    yield "step  " + "  ".join(f"{name:>{widths[name]}}" for name in methods)
    for step in range(backtest.truth.shape[2]):
        yield f"{step + 1:>4}  " + "  ".join(
            f"{show.cell(errors[name][step], digits):>{widths[name]}}" for name in methods
        )


def _own(labels: Labels) -> list[str]:
    """The columns before those of the methods."""
    return [*labels.own[:-1], "cutoff", labels.time_col, labels.value]


def _rows(model: Forecaster, backtest: Backtest, labels: Labels) -> Rows:
    """Every forecast from every cutoff: ids, cutoff, time, the true value, a column for each method."""
    panel = model.panel_
    count, series, horizon = backtest.truth.shape
    cutoffs = panel.frequency.at(panel.ends, -backtest.behind[:, None])
    times = panel.frequency.after(cutoffs, horizon)
    own = [np.repeat(cutoffs.ravel(), horizon), times.ravel(), backtest.truth.ravel()]
    if labels.id_col is not None:
        ids = np.array([str(name) for name in panel.ids], object)
        own.insert(0, np.broadcast_to(ids[:, None], (count, series, horizon)).ravel())
    columns: dict[str, Any] = dict(zip(_own(labels), own, strict=True))
    for name, forecast in backtest.forecasts.items():
        columns[name] = forecast.ravel()
    known = ~np.isnan(backtest.truth.ravel())
    columns = {name: column[known] for name, column in columns.items()}
    return Rows(columns, labels.time_format, labels.frequency)
