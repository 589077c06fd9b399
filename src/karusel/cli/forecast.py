"""`karusel forecast`: read, fit, backtest, then say it as text or JSON."""

from __future__ import annotations

import csv
import json
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import karusel
from karusel.cli.files import check_output, write_whole
from karusel.cli.progress import Progress
from karusel.errors import DataError, UsageError
from karusel.forecasting.forecaster import Forecast, Forecaster
from karusel.forecasting.intervals import check_levels
from karusel.plots import Curve, draw_png, draw_svg, draw_text, need_matplotlib
from karusel.sources import Table, read_table

__all__ = ["Request", "run_forecast"]

_SERIES_SHOWN = 3
_PANELS_DRAWN = 6
_GLYPHS = "⠿░┤│└─┴"


@dataclass(frozen=True)
class Request:
    """What the command was asked for."""

    file: Path
    horizon: int
    time_col: str | None
    target_cols: tuple[str, ...]
    id_col: str | None
    freq: str | None
    season_length: int | None
    levels: str
    out: Path | None
    plot: Path | None
    report: Path | None
    json: bool
    seed: int
    threads: int | None


@dataclass(frozen=True)
class _Result:
    request: Request
    table: Table
    model: Forecaster
    forecast: Forecast
    seconds: float


def run_forecast(request: Request) -> None:
    """Run the command; results go to stdout and the files asked for."""
    levels = _read_levels(request.levels)
    named: dict[Path, str] = {}
    for option, path in (("--out", request.out), ("--plot", request.plot), ("--report", request.report)):
        if path is not None:
            check_output(path, request.file)
            if path in named:
                raise UsageError(f"{named[path]} and {option} both name {path}; give each its own file")
            named[path] = option
    if request.plot is not None:
        if request.plot.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--plot {request.plot} is neither a .png nor a .svg file; name one of them")
        if _is_png(request.plot):
            need_matplotlib()
    started = time.perf_counter()
    with Progress() as progress:
        progress(f"reading {request.file.name}")
        table = read_table(
            request.file, id_col=request.id_col, time_col=request.time_col, target_cols=request.target_cols
        )
        try:
            panel = table.panel(request.freq, request.season_length)
            model = Forecaster(request.horizon, random_state=request.seed, n_jobs=request.threads)
            model.fit(panel, progress=progress)
        except DataError as error:
            raise DataError(f"{request.file}: {error}") from None
        forecast = model.forecast(levels if model.backtest_ is not None else ())
        result = _Result(request, table, model, forecast, time.perf_counter() - started)
        if request.out is not None:
            progress(f"writing {request.out}")
            write_whole(request.out, lambda path: _write_csv(result, path))
        if request.plot is not None:
            progress(f"drawing {request.plot}")
            write_whole(request.plot, lambda path: _write_plot(result, path))
        if request.report is not None:
            progress(f"writing {request.report}")
            _write_report(result, request.report)
    if request.json:
        print(json.dumps(_document(result), indent=1, allow_nan=False))
    else:
        print("\n".join(_text(result)))


def _read_levels(text: str) -> tuple[float, ...]:
    try:
        levels = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--level {text!r} is not a list of percentages; write one such as 80,95") from None
    return check_levels(levels)


def _row_names(result: _Result) -> tuple[str | None, str]:
    """Names of the id column, None for a single series without one, and of the time column."""
    several = len(result.model.panel_) > 1 or result.table.id_col is not None
    return (result.table.id_col or "unique_id") if several else None, result.table.time_col or "step"


def _rows(result: _Result) -> Iterator[dict[str, Any]]:
    id_name, time_name = _row_names(result)
    columns = result.forecast.columns()
    for number, name in enumerate(result.forecast.ids):
        for step, when in enumerate(result.forecast.times[number]):
            row = {id_name: name} if id_name else {}
            row[time_name] = result.table.format_time(when)
            yield row | {label: float(values[number, step]) for label, values in columns.items()}


def _write_csv(result: _Result, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer: csv.DictWriter[str] | None = None
        for row in _rows(result):
            if writer is None:
                writer = csv.DictWriter(file, list(row), lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)


def _curve(result: _Result, number: int) -> Curve:
    panel, forecast = result.model.panel_, result.forecast
    times = [*panel.series_times(number), *forecast.times[number]]
    name = result.table.target_cols[0] if len(panel) == 1 else str(panel.ids[number])
    return Curve(
        title=f"{name}: forecast of {result.request.horizon} steps, {result.request.file.name}",
        history=panel.series(number),
        forecast=forecast.values[number],
        intervals={level: (low[number], high[number]) for level, (low, high) in forecast.intervals.items()},
        times=[panel.frequency.label(when) for when in times],
        season_length=panel.frequency.season_length,
    )


def _is_png(path: Path) -> bool:
    return path.suffix.lower() == ".png"


def _value_name(result: _Result) -> str:
    return result.table.target_cols[0] if len(result.table.target_cols) == 1 else "value"


def _write_plot(result: _Result, path: Path) -> None:
    curves = [_curve(result, k) for k in range(min(len(result.model.panel_), _PANELS_DRAWN))]
    shown = [curve.tail(max(60, 6 * result.request.horizon)) for curve in curves]
    assert result.request.plot is not None
    if _is_png(result.request.plot):
        draw_png(shown, path, _value_name(result), _row_names(result)[1])
    else:
        draw_svg(shown, path)


def _write_report(result: _Result, path: Path) -> None:
    from karusel.report import write_report

    write_report(
        result.model,
        result.forecast,
        path,
        value_name=_value_name(result),
        time_name=_row_names(result)[1],
        source=result.request.file.name,
        notes=[result.table.form.describe()],
        command=shlex.join(["karusel", *sys.argv[1:]]),
    )


def _document(result: _Result) -> dict[str, Any]:
    model, table = result.model, result.table
    panel, backtest, verdict = model.panel_, model.backtest_, model.verdict_
    evidence = None
    if backtest is not None:
        evidence = {
            "cutoffs": backtest.cutoffs,
            "refits": backtest.refits,
            "methods": {
                method: {name: _or_null(value) for name, value in row.items()}
                for method, row in backtest.table().items()
            },
            "notes": list(backtest.notes),
            "coverage": {f"{level:g}": share for level, share in model.coverage_.items()},
            "coverage_values": model.coverage_values_,
        }
    return {
        "file": str(result.request.file),
        "found": {
            "form": table.form.describe(),
            "rows": len(table.values),
            "series": len(panel),
            "id_col": table.id_col,
            "time_col": table.time_col,
            "target_cols": list(table.target_cols),
            "frequency": panel.frequency.describe(),
            "season_length": panel.frequency.season_length,
            "notes": list(panel.notes),
        },
        "horizon": result.request.horizon,
        "forecast": [{name: _or_null(value) for name, value in row.items()} for row in _rows(result)],
        "backtest": evidence,
        "verdict": None
        if verdict is None
        else {
            "outcome": verdict.outcome,
            "best_simple": verdict.best_simple,
            "skill": _or_null(verdict.skill),
            "skill_interval": [_or_null(verdict.skill_low), _or_null(verdict.skill_high)],
            "cutoffs_won": verdict.cutoffs_won,
            "series_won": verdict.series_won,
            "worst_series": list(verdict.worst),
            "lag_copy": verdict.lag_copy,
            "sentence": verdict.sentence,
        },
        "model": {
            "members": model.model_.members,
            "epochs": model.model_.epochs,
            "share": model.model_.share,
            "window": model.model_.length,
            "season_length": model.season_length_,
            "log": model.model_.log,
        },
        "seconds": round(result.seconds, 3),
        "versions": {
            "karusel": karusel.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _or_null(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _text(result: _Result) -> Iterator[str]:
    yield from _found(result)
    yield ""
    for number in range(min(len(result.forecast.ids), _SERIES_SHOWN)):
        yield from _table(result, number)
        yield ""
    hidden = len(result.forecast.ids) - _SERIES_SHOWN
    if hidden > 0:
        yield f"... and {hidden} more series; --out FILE writes all of them"
        yield ""
    yield draw_text(
        _curve(result, 0), min(shutil.get_terminal_size().columns - 1, 110), unicode=_shows_unicode()
    )
    yield ""
    yield from _evidence(result)


def _found(result: _Result) -> Iterator[str]:
    table, panel, model = result.table, result.model.panel_, result.model
    frequency = panel.frequency
    span = f"{frequency.label(panel.starts.min())} to {frequency.label(panel.ends.max())}"
    size = f"{len(panel)} series, " if len(panel) > 1 else ""
    yield f"{result.request.file.name}: {size}{len(panel.values)} values, {span}; {frequency.describe()}"
    when = f'times in "{table.time_col}"' if table.time_col else "no column of times, rows counted"
    values = ", ".join(f'"{name}"' for name in table.target_cols[:4]) + (
        f" and {len(table.target_cols) - 4} more" if len(table.target_cols) > 4 else ""
    )
    ids = f', series in "{table.id_col}"' if table.id_col else ""
    yield f"  {when}, values in {values}{ids}; {table.form.describe()}"
    for note in panel.notes:
        yield f"  {note}"
    season = frequency.season_length
    if model.season_length_ == season:
        words = f"season of {season} steps" if season > 1 else "no season"
    else:
        words = f"season of {season} steps not used: too few rows for it"
    fitted = model.model_
    yield (
        f"  {words}{', on logarithms' if fitted.log else ''}; {fitted.members} LSTM networks, "
        f"{fitted.epochs} epochs, correction used at {100 * fitted.share:.0f} %; "
        f"{result.seconds:.1f} s"
    )


def _table(result: _Result, number: int) -> Iterator[str]:
    panel = result.model.panel_
    columns = result.forecast.columns()
    decimals = _decimals(float(np.nanmax(np.abs(panel.series(number)))))
    labels = [panel.frequency.label(when) for when in result.forecast.times[number]]
    time_name = _row_names(result)[1]
    first = max(len(time_name), *map(len, labels))
    if len(panel) > 1:
        yield str(panel.ids[number])
    body = {name: [f"{value:.{decimals}f}" for value in values[number]] for name, values in columns.items()}
    widths = {name: max(len(name), *map(len, cells)) for name, cells in body.items()}
    yield "  ".join([f"{time_name:<{first}}", *(f"{name:>{widths[name]}}" for name in body)])
    for row, label in enumerate(labels):
        yield "  ".join(
            [f"{label:<{first}}", *(f"{cells[row]:>{widths[name]}}" for name, cells in body.items())]
        )


def _decimals(largest: float) -> int:
    """Digits after the point so that about four figures are shown."""
    if not np.isfinite(largest) or largest == 0:
        return 2
    return int(np.clip(3 - np.floor(np.log10(largest)), 0, 8))


def _evidence(result: _Result) -> Iterator[str]:
    model = result.model
    backtest, verdict = model.backtest_, model.verdict_
    if backtest is None or verdict is None:
        yield "No backtest and no intervals: too few rows. Nothing is known about the forecast's error."
        return
    refits = f"{backtest.refits} refit{'s' if backtest.refits > 1 else ''}"
    yield f"Backtest: {backtest.cutoffs} past cutoffs, {result.request.horizon} steps from each, {refits}"
    rows = backtest.table()
    decimals = _decimals(max(row["MAE"] for row in rows.values()))
    yield f"{'method':<16}{'MAE':>12}{'RMSE':>12}{'MASE':>8}{'sMAPE':>9}"
    for method, row in rows.items():
        yield (
            f"{method:<16}{row['MAE']:>12.{decimals}f}{row['RMSE']:>12.{decimals}f}"
            f"{row['MASE']:>8.2f}{row['sMAPE']:>7.1f} %"
        )
    for note in backtest.notes:
        yield f"  {note}"
    if model.coverage_:
        reached = ", ".join(
            f"{100 * share:.0f} % reached where {level:g} % is promised"
            for level, share in model.coverage_.items()
        )
        yield f"Intervals on {model.coverage_values_} held-out values: {reached}"
    else:
        yield "Intervals: too few past cutoffs to check what they cover"
    yield f"Verdict: {verdict.sentence}"


def _shows_unicode() -> bool:
    try:
        _GLYPHS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
