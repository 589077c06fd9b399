"""`karusel live`: values from a pipe, and a line for each with the forecast that follows it.

A line of input holds one value, or a time and a value; of several series their values in the order of the
ids, a time before them or not. The first line may be a header. A cell that is empty, or says that its value
is missing as one of a file may, is a missing value. A time may have an offset from UTC; for a model with a
time zone one without it is on that zone's clock.
"""

from __future__ import annotations

import csv
import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from karusel.cli.files import check_output, files_read
from karusel.cli.options import Printing
from karusel.cli.outputs import check_columns, or_null, time_cells
from karusel.cli.show import Labels, for_stdout
from karusel.errors import DataError
from karusel.forecasting.backtest import NETWORK
from karusel.forecasting.forecaster import Forecaster, names_of_columns
from karusel.forecasting.frequency import Frequency
from karusel.forecasting.live import Live, LiveForecast
from karusel.sources.notation import MISSING, parse_time

__all__ = ["run_live"]

_STEPS = ("forecast", "low", "high")  # what --json calls all steps


def run_live(path: Path, level: float, out: Path | None, printing: Printing) -> None:
    """Run the command until its input ends; then the model goes to `out`, with all values seen."""
    if out is not None:
        check_output(out, files_read(printing, ()))
    model = Forecaster.load(path)
    live = model.live(level)
    labels = Labels.of_model(model, path.name)
    own = (*labels.own, labels.value)
    made = ("outside", *(_STEPS if printing.json else names_of_columns(NETWORK, [level])))
    check_columns(None, own, made)
    table = csv.writer(sys.stdout, lineterminator="\n")
    if not printing.json:
        table.writerow(map(for_stdout, (*own, *made)))
        sys.stdout.flush()
    try:
        for cells in _rows(live, model, labels):
            if printing.json:
                print(json_module.dumps(dict(zip((*own, *made), cells, strict=True))))
            else:
                firsts = [cell[0] if isinstance(cell, list) else cell for cell in cells]
                table.writerow([for_stdout(one) if isinstance(one, str) else one for one in firsts])
            sys.stdout.flush()
    finally:
        if out is not None:
            live.save(out)


def _rows(live: Live, model: Forecaster, labels: Labels) -> Iterator[list[Any]]:
    """For each line of input and each series: its id if it has one, its time and value, whether that lay
    outside, and the steps that follow with their ends.
    """
    panel = model.panel_
    frequency, count = panel.frequency, len(panel)
    time = panel.ends[0]  # live series end together
    for number, line in enumerate(sys.stdin, 1):
        line = line.removeprefix("\ufeff")  # a mark (BOM) that some programs put before text
        if not line.strip() or (number == 1 and _is_header(line, count)):
            continue
        try:
            given, values = _read(line, count, frequency, labels.time_format)
            made = live.observe(given, values[0] if count == 1 else values)
        except DataError as error:
            raise DataError(f"line {number}: {error}") from None
        if given is None:
            time = frequency.at(time, np.asarray(1))
        else:
            time = frequency.from_utc(np.array([given]), panel.starts)[0]
        for one in range(count):
            name = [] if labels.id_col is None else [str(panel.ids[one])]
            said = time_cells(np.array([time]), labels.time_format, frequency)[0]
            yield [*name, said, or_null(values[one]), *_of(made, one, count)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")]))]


def _is_header(line: str, count: int) -> bool:
    """Whether none of a line's values is a number or missing."""
    values = _cells(line)[-count:]
    return not any(map(_is_number, values)) and not any(one.lower() in MISSING for one in values)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _of(made: LiveForecast, one: int, count: int) -> tuple[bool, list[float], list[float], list[float]]:
    """One series' part of what was forecast."""
    parts = (made.values, made.low, made.high)
    middle, low, high = (part.tolist() if count == 1 else part[one].tolist() for part in parts)
    return bool(made.outside if count == 1 else made.outside[one]), middle, low, high


def _read(line: str, count: int, frequency: Frequency, time_format: str) -> tuple[Any, list[float]]:
    """The time, None when the line has none, and the values."""
    cells = _cells(line)
    if len(cells) not in (count, count + 1):
        wanted = "a value, or a time and a value" if count == 1 else f"{count} values, or a time and them"
        raise DataError(f"{len(cells)} cells where {wanted} are expected, with commas between")
    time, whole = None, frequency.unit == "integer"
    if len(cells) > count:
        text = cells.pop(0)
        try:
            if text:
                time = int(text) if whole else parse_time(text, time_format, frequency.zone)
        except ValueError:
            example = "a date such as 2020-01-31 or 2020-01-31 12:00"
            kind = "a whole number" if whole else example
            raise DataError(f"the time {text!r} is not {kind}") from None
    values = []
    for cell in cells:
        try:
            values.append(float("nan") if cell.lower() in MISSING else float(cell))
        except ValueError:
            raise DataError(f"{cell!r} is not a number; leave it empty where it is missing") from None
    return time, values
