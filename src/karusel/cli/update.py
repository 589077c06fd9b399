"""`karusel update`: later rows of the series, or new series, put into a model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from karusel.cli import document, show
from karusel.cli.files import check_output, files_read, table_files
from karusel.cli.options import Printing, Reading
from karusel.cli.progress import Progress
from karusel.cli.work import naming, read_like, short_name
from karusel.errors import UsageError
from karusel.forecasting.forecaster import Forecaster
from karusel.forecasting.rows import count_of

__all__ = ["run_update"]


def run_update(path: Path, reading: Reading, train: bool, out: Path | None, printing: Printing) -> None:
    """Run the command; the model file is replaced, or another one written."""
    source = reading.source or []
    if not source and reading.sql is None:
        raise UsageError("no file of later rows is given; name one, or - for standard input")
    target = path if out is None else out
    if out is not None or path.is_file():  # else reading says what is wrong
        check_output(target, files_read(printing, table_files(reading)))
    with Progress() as progress:
        progress(f"reading {path.name}")
        model = Forecaster.load(path)
        before = model.panel_
        later = read_like(reading, model, progress).panel
        progress("update")
        with naming(short_name(source)):
            notes = before.noted(later)
            model.update(later, train=train, progress=progress)
        progress(f"writing {target}")
        model.save(target)
    panel = model.panel_
    values, series = int(np.count_nonzero(later.mask)), len(panel) - len(before)
    if printing.json:
        document.print_document(
            {
                "model": str(target),
                "values_added": values,
                "series_added": series,
                "values": len(panel.values),
                "series": len(panel),
                "last": panel.frequency.label(panel.ends.max()),
                "trained": train,
                "notes": list(notes),
                "versions": document.versions(),
            }
        )
    else:
        new = f", {series} of {len(panel)} series new" if series else ""
        lines = [
            show.panel_found(panel, target.name),
            f"  {count_of(values, 'value')} added{new}; "
            + ("fitted anew" if train else "the networks are as they were"),
            *(f"  {note}" for note in notes),
            *(show.evidence(model) if train else ()),
        ]
        show.print_lines(lines)
