"""`karusel live`: values from a pipe, and a line for each with the forecast that follows it.

A line of input holds one value, or a time and a value; of several series their values in the order of the
ids, a time before them or not. An empty cell is a missing value.
"""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from karusel.cli.files import check_output, files_read
from karusel.cli.options import Printing, Reading
from karusel.cli.outputs import or_null
from karusel.cli.show import Labels
from karusel.errors import DataError
from karusel.forecasting.forecaster import Forecaster
from karusel.forecasting.live import Live, LiveForecast
from karusel.sources.notation import format_times, parse_time

__all__ = ["run_live"]

_MISSING = ("", "na", "n/a", "nan", "null", "none")


def run_live(path: Path, level: float, out: Path | None, printing: Printing) -> None:
    """Run the command until its input ends; then the model goes to `out`, with all values seen."""
    if out is not None:
        check_output(out, files_read(Reading(), printing))
    model = Forecaster.load(path)
    live = model.live(level)
    labels = Labels.of_model(model, path.name)
    if not printing.json:
        ends = [f"LSTM-lo-{level:g}", f"LSTM-hi-{level:g}"]
        names = [name for name in (labels.id_col, labels.time_col) if name is not None]
        print(",".join([*names, labels.value, "outside", "LSTM", *ends]), flush=True)
    try:
        for record in _records(live, model, labels):
            if printing.json:
                print(json_module.dumps(record))
            else:
                cells = [value[0] if isinstance(value, list) else value for value in record.values()]
                print(",".join("" if cell is None else str(cell) for cell in cells))
            sys.stdout.flush()
    finally:
        if out is not None:
            live.save(out)


def _records(live: Live, model: Forecaster, labels: Labels) -> Iterator[dict[str, Any]]:
    """For each line of input and each series: its time and value, whether that lay outside, what follows."""
    panel = model.panel_
    frequency, count = panel.frequency, len(panel)
    time = panel.ends[0]  # live series end together
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            given, values = _read(line, count, None if frequency.unit == "integer" else labels.time_format)
            made = live.observe(given, values[0] if count == 1 else values)
        except DataError as error:
            raise DataError(f"line {number}: {error}") from None
        time = frequency.at(time, np.asarray(1)) if given is None else np.asarray(given)
        for one in range(count):
            outside, *steps = _of(made, one, count)
            record = {} if labels.id_col is None else {labels.id_col: str(panel.ids[one])}
            yield {
                **record,
                labels.time_col: format_times(np.array([time]), labels.time_format)[0],
                labels.value: or_null(values[one]),
                "outside": outside,
                **dict(zip(("forecast", "low", "high"), steps, strict=True)),
            }


def _of(made: LiveForecast, one: int, count: int) -> tuple[bool, list[float], list[float], list[float]]:
    """One series' part of what was forecast."""
    parts = (made.values, made.low, made.high)
    middle, low, high = (part.tolist() if count == 1 else part[one].tolist() for part in parts)
    return bool(made.outside if count == 1 else made.outside[one]), middle, low, high


def _read(line: str, count: int, time_format: str | None) -> tuple[Any, list[float]]:
    """The time, None when the line has none, and the values. Without a format times are whole numbers."""
    cells = [cell.strip() for cell in line.rstrip("\r\n").split(",")]
    if len(cells) not in (count, count + 1):
        wanted = "a value, or a time and a value" if count == 1 else f"{count} values, or a time and them"
        raise DataError(f"{len(cells)} cells where {wanted} are expected, with commas between")
    time = None
    if len(cells) > count:
        text = cells.pop(0)
        try:
            if text:
                time = int(text) if time_format is None else parse_time(text, time_format)
        except ValueError:
            example = "a date such as 2020-01-31 or 2020-01-31 12:00"
            kind = "a whole number" if time_format is None else example
            raise DataError(f"the time {text!r} is not {kind}") from None
    values = []
    for cell in cells:
        try:
            values.append(float("nan") if cell.lower() in _MISSING else float(cell))
        except ValueError:
            raise DataError(f"{cell!r} is not a number; leave it empty where it is missing") from None
    return time, values
