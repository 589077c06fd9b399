"""`karusel predict`: forecasts of a model file, of its own series or of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from karusel.cli import document, show
from karusel.cli.files import files_read, table_files
from karusel.cli.options import Printing, Reading
from karusel.cli.outputs import check_columns, check_rows_output, write_rows
from karusel.cli.progress import Progress
from karusel.cli.show import Labels, forecast_rows
from karusel.cli.work import Wanted, future_of, naming, read_like, short_name
from karusel.errors import UsageError
from karusel.forecasting.forecaster import Forecaster

__all__ = ["run_predict"]


def run_predict(
    path: Path,
    reading: Reading,
    future_data: list[str],
    wanted: Wanted,
    out: str | None,
    printing: Printing,
) -> None:
    """Run the command; results go to stdout and the file asked for."""
    source = reading.source or []
    if not source and reading.sql is None and replace(reading, source=None) != Reading():
        raise UsageError("columns and frequency are those of FILES, but none is given; leave them out")
    if out is not None:
        check_rows_output(out, files_read(printing, (path, *table_files(reading, future_data))), source)
    with Progress() as progress:
        progress(f"reading {path.name}")
        model = Forecaster.load(path)
        panel = model.panel_
        title = path.name
        if source or reading.sql is not None:
            panel = read_like(reading, model, progress).panel
            title = short_name(source)
        future = future_of(model, panel, future_data, progress)
        progress("forecast")
        with naming(title):
            forecast = wanted.forecast(model, future, panel)
        labels = Labels.of_model(model, title)
        if out is not None or printing.json:
            check_columns(out, labels.own, list(forecast.columns()))
        if out is not None:
            progress(f"writing {out}")
            write_rows(out, forecast_rows(forecast, labels))
    notes = (*panel.notes, *forecast.notes)
    if printing.json:
        document.print_document(
            {
                "model": str(path),
                "file": title,
                "horizon": model.h,
                "forecast": list(forecast_rows(forecast, labels).records()),
                "notes": list(notes),
                "versions": document.versions(),
            }
        )
    else:
        lines = [
            show.panel_found(panel, title),
            *(f"  {note}" for note in notes),
            "",
            *show.forecast_text(panel, forecast, labels),
            "",
            *show.verdict(model),
        ]
        show.print_lines(lines)
