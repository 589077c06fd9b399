"""`karusel fit`: read, fit, backtest, and keep all that forecasting needs in a model file."""

from __future__ import annotations

import time
from pathlib import Path

from karusel.cli import document, show
from karusel.cli.files import check_output, files_read, table_files
from karusel.cli.options import Covariates, Fitting, Printing, Reading, Running
from karusel.cli.progress import Progress
from karusel.cli.work import fit_series, read_series, short_name

__all__ = ["run_fit"]


def run_fit(
    reading: Reading,
    covariates: Covariates,
    fitting: Fitting,
    running: Running,
    out: Path,
    printing: Printing,
) -> None:
    """Run the command; the model goes to `out`."""
    check_output(out, files_read(printing, table_files(reading)))
    started = time.perf_counter()
    with Progress() as progress:
        series = read_series(reading, covariates, progress)
        model = fit_series(series, fitting, running, progress)
        seconds = time.perf_counter() - started
        progress(f"writing {out}")
        model.save(out)
    if printing.json:
        document.print_document(
            {
                "file": series.table.origin.name,
                "found": document.found(series),
                "horizon": model.h,
                **document.evidence(model),
                "model": document.model_settings(model),
                "out": str(out),
                "seconds": round(seconds, 3),
                "versions": document.versions(),
            }
        )
    else:
        lines = [
            *show.found(series, short_name(reading.source or []), model.notes_),
            show.fitted(model, seconds),
            "",
            *show.evidence(model),
            "",
            f"{out} holds the model; karusel predict {out} forecasts {model.h} steps",
        ]
        show.print_lines(lines)
