"""One HTML file of a forecast and the evidence for it, which needs nothing beside itself."""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

import numpy as np

import karusel
from karusel.errors import UsageError
from karusel.forecasting.forecaster import Forecast, Forecaster
from karusel.names import one_line
from karusel.report import sections
from karusel.report.chart import PRINTED, style
from karusel.report.html import Html, join, tag
from karusel.report.looked import looked
from karusel.report.subject import Subject
from karusel.whole import write_whole

__all__ = ["write_page", "write_report"]

_HERE = Path(__file__).parent


def write_report(
    forecaster: Forecaster,
    forecast: Forecast,
    path: str | Path,
    *,
    title: str | None = None,
    value_name: str = "value",
    time_name: str = "time",
    source: str = "",
    notes: Sequence[str] = (),
    command: str = "",
    date: datetime.date | None = None,
) -> None:
    """Write a report of a forecast as one HTML file.

    The file needs no network and no script, fits a phone, a desk and paper, and is put in its place whole. It
    holds the verdict, the forecast with its intervals, the backtest, what was found in the data, settings and
    versions. Of more than 50 series, 50 are drawn and up to 10,000 listed. The same arguments give the same
    bytes.

    Parameters
    ----------
    forecaster : a fitted one.
    forecast : its `forecast(level=...)`.
    path : file to write; its folder must exist.
    title : from `value_name` and the number of steps by default.
    value_name, time_name : what the values and the times are called.
    source : where the data came from, such as the name of a file. Passwords in addresses are not shown.
    notes : sentences on how the data were read, shown before the forecaster's own notes.
    command : how to make the report again; the Python call by default.
    date : day of the report; today by default.

    Raises `KaruselError` when the file cannot be written, `UsageError` for a forecast of other series.

    Examples
    --------
    >>> from karusel import Forecaster
    >>> from karusel.report import write_report
    >>> forecaster = Forecaster(h=2).fit([float(t % 4) for t in range(40)])
    >>> write_report(forecaster, forecaster.forecast(level=[80]), "report.html")  # doctest: +SKIP
    """
    panel = forecaster.panel_
    if forecast.ids != panel.ids or not np.array_equal(forecast.times[:, 0], panel.future_times(1)[:, 0]):
        raise UsageError("the forecast is of other series than the forecaster's, or older; make it anew")
    shown = [_without_password(text) for text in (source, command)]
    subject = Subject(forecaster, forecast, value_name, time_name, shown[0], notes, shown[1])
    words = [title] if title is not None else _title(subject)
    day = (date or datetime.date.today()).isoformat()
    write_page(Path(path), join(*words), _parts(subject, words, day), day)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


def _without_password(text: str) -> str:
    """Addresses of databases with `***` in place of a password: a report is handed on."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:***@", text)


def _title(subject: Subject) -> list[str]:
    ahead = f": the next {subject.horizon} steps" if subject.horizon > 1 else ": the next step"
    return [
        f"{len(subject.forecast.ids):,} series" if subject.several else one_line(subject.value_name),
        ahead,
    ]


def _parts(subject: Subject, title: Sequence[str], date: str) -> list[Html]:
    parts = [sections.headline(subject, title, date)]
    parts += [sections.overview(subject)] if subject.several else [sections.forecasts(subject)]
    parts += [sections.evidence(subject), looked(subject)]
    parts += [sections.series(subject)] if subject.several else []
    return [*parts, sections.findings(subject), sections.settings(subject), sections.words()]


def write_page(path: Path, title: Html, parts: Sequence[Html], date: str) -> None:
    """Write one HTML file that needs nothing beside itself, whole or not at all."""
    made = f"Made by karusel {karusel.__version__} on {date}. This file needs nothing beside itself."
    script = _read("choose.js")
    text = Template(_read("page.html")).substitute(
        title=title,
        version=karusel.__version__,
        style=style({colour: f"var(--{colour})" for colour in PRINTED}) + "\n" + _read("style.css"),
        # Nothing but this script may run, and nothing may be fetched, whatever a name in the data looks like.
        hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        script=script,
        body=join(tag("main", *parts), tag("footer", made)),
    )
    write_whole(path, lambda whole: _write(whole, text))


def _read(file: str) -> str:
    return _HERE.joinpath(file).read_text(encoding="utf-8").strip()
