"""`karusel tune`: a few sensible settings, each judged by a backtest, within a time limit.

Settings are varied one after the other from the best so far: the look-back, the hidden units, the layers,
the learning rate. The last horizon of rows is kept from all trials; on it the winner is compared with the
defaults at the end, since an error that was the smallest of several flatters. Every trial is written to the
file as soon as it is done, so that a search that was broken off goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from karusel.cli import document, show
from karusel.cli.config import TRIED, as_toml, read_config
from karusel.cli.files import check_output, files_read, table_files, write_whole
from karusel.cli.options import Covariates, Printing, Reading, Running
from karusel.cli.progress import Progress
from karusel.cli.work import Series, naming, read_series, short_name
from karusel.errors import DataError, UsageError
from karusel.forecasting.backtest import NETWORK
from karusel.forecasting.covariates import KINDS
from karusel.forecasting.forecaster import Forecaster

__all__ = ["run_tune"]

Settings = dict[str, Any]  # of the Forecaster; {} are its defaults

_SEASONS_SEEN = (1, 2, 3)  # look-backs tried, in seasons
_STEPS_SEEN = (8, 16, 32)  # and where there is no season
_CHOICES: dict[str, tuple[Any, ...]] = {
    "hidden_size": (16, 32, 64),
    "num_layers": (1, 2),
    "learning_rate": (0.001, 0.005),
}
_NAMES = ("input_size", *_CHOICES)
_KEPT = ("error", "seconds", "data")  # of a trial, beside its settings


@dataclass(frozen=True)
class _Trial:
    settings: Settings
    error: float  # mean absolute scaled error of the backtest
    seconds: float


def run_tune(
    reading: Reading,
    covariates: Covariates,
    horizon: int,
    running: Running,
    time_limit: float,
    out: Path,
    printing: Printing,
) -> None:
    """Run the command; the winner and all trials go to `out`."""
    source = reading.source or []
    check_output(out, files_read(printing, table_files(reading)))
    kept = _read_kept(out) if out.is_file() else []
    started = time.perf_counter()
    with Progress() as progress:
        series = read_series(reading, covariates, progress)
        with naming(series.table.origin.name):
            search = _Search(series, horizon, running, out, kept)
            search.run(started + time_limit, progress)
            held_out = search.held_out(progress)
    result = {
        "file": series.table.origin.name,
        "horizon": horizon,
        "winner": search.best().settings,
        "tried": [
            {"settings": trial.settings, "error": trial.error, "seconds": round(trial.seconds, 3)}
            for trial in search.ranked()
        ],
        "left": search.left,
        "held_out": held_out,
        "out": str(out),
    }
    if printing.json:
        document.print_document({**result, "versions": document.versions()})
    else:
        show.print_lines(_text(series, search, held_out, short_name(source), out))


class _Search:
    """Trials on a panel without its last horizon of rows."""

    def __init__(
        self, series: Series, horizon: int, running: Running, out: Path, kept: list[dict[str, Any]]
    ) -> None:
        panel, self._season_length = series.panel, series.season_length
        self._panel, self.horizon, self._running, self._out = panel, horizon, running, out
        if panel.lengths.min() <= 2 * horizon:
            raise DataError(
                f"the shortest series has {panel.lengths.min()} rows; to tune {horizon} steps more than "
                f"{2 * horizon} are needed: give more history or a smaller horizon"
            )
        self._seen = panel.without_last(horizon)
        self._data = self._key()
        self._others = [row for row in kept if row["data"] != self._data]  # kept as they are
        self.trials = [_trial_of(row) for row in kept if row["data"] == self._data]
        self.left = 0

    def _key(self) -> str:
        """What all that a trial's error depends on comes to, beside the settings."""
        panel = self._panel
        arrays = (panel.values, panel.offsets, panel.starts, *map(panel.covariates.values, KINDS))
        others = (panel.frequency, panel.ids, panel.covariates.described, self._season_length)
        key = hashlib.sha256(repr((*others, self.horizon, self._running.seed)).encode())
        for array in arrays:
            key.update(array.tobytes())
        return key.hexdigest()[:16]

    def run(self, deadline: float, progress: Any) -> None:
        """Try what is not yet tried, as long as another trial may end in time; at least one."""
        for settings in self._candidates():
            if any(trial.settings == settings for trial in self.trials):
                continue
            usual = max((trial.seconds for trial in self.trials[-3:]), default=0.0)
            if self.trials and time.perf_counter() + usual > deadline:
                self.left += 1
                continue
            left = max(0.0, deadline - time.perf_counter())
            progress(f"trial {len(self.trials) + 1}, {_words(settings)}, at most {left:.0f} s left")
            self.trials.append(self._try(settings))
            self._write()

    def _candidates(self) -> Iterator[Settings]:
        """The defaults, then one setting at a time varied from the best so far."""
        yield {}
        season = self._panel.frequency.season_length
        sizes = [season * count for count in _SEASONS_SEEN] if season > 1 else list(_STEPS_SEEN)
        longest = int(self._seen.lengths.min()) - self.horizon
        choices = {"input_size": [size for size in sizes if 2 <= size <= longest // 2], **_CHOICES}
        for name, values in choices.items():
            best = self.best().settings
            yield from ({**best, name: value} for value in values if best.get(name) != value)

    def _try(self, settings: Settings) -> _Trial:
        started = time.perf_counter()
        model = self._forecaster(settings, backtest=True).fit(self._seen)
        if model.backtest_ is None:
            raise DataError(
                f"there are too few rows to tune {self.horizon} steps; give more history or a smaller horizon"
            )
        error = float(np.nanmean(model.backtest_.errors(NETWORK)[0]))
        return _Trial(settings, error, time.perf_counter() - started)

    def _forecaster(self, settings: Settings, *, backtest: bool) -> Forecaster:
        return Forecaster(
            self.horizon,
            **settings,
            season_length=self._season_length,
            backtest=backtest,
            random_state=self._running.seed,
            n_jobs=self._running.threads,
        )

    def held_out(self, progress: Any) -> dict[str, float]:
        """Mean absolute error on the last horizon of rows, of the winner and of the defaults."""
        progress("the rows held out")
        lasts = self._panel.offsets[1:, None] - self.horizon + np.arange(self.horizon)
        truth = self._panel.values[lasts]
        future = self._panel.covariates.future[lasts] if self._panel.covariates.of("future") else None
        errors = {}
        for name, settings in (("winner", self.best().settings), ("defaults", {})):
            made = self._forecaster(settings, backtest=False).fit(self._seen).forecast(X_df=future)
            errors[name] = float(np.nanmean(np.abs(truth - made.values)))
        return errors

    def best(self) -> _Trial:
        """The trial with the smallest error, the earliest at a tie."""
        return min(self.trials, key=lambda trial: trial.error)

    def ranked(self) -> list[_Trial]:
        """All trials, best first."""
        return sorted(self.trials, key=lambda trial: trial.error)

    def _write(self) -> None:
        winner = {"horizon": self.horizon, **self.best().settings, "seed": self._running.seed}
        rows = [
            {**trial.settings, "error": trial.error, "seconds": round(trial.seconds, 3), "data": self._data}
            for trial in self.ranked()
        ]
        comment = "The best settings that `karusel tune` found; `karusel fit --config` takes them."
        text = as_toml(winner, [*rows, *self._others], comment)

        def write(path: Path) -> None:
            path.write_text(text, encoding="utf-8")

        write_whole(self._out, write)


def _read_kept(out: Path) -> list[dict[str, Any]]:
    """The trials in a file that this command wrote before.

    Raises `UsageError` for a file that has more in it, `DataError` for trials that are none.
    """
    found = read_config(out)
    kept = found.pop(TRIED, [])
    others = [name for name in found if name not in ("horizon", "seed", *_NAMES)]
    if others:
        raise UsageError(f'{out} has "{others[0]}", which tune would drop; give another name for the output')
    if not isinstance(kept, list):
        raise DataError(f'{out}: "{TRIED}" is no list of trials; remove it')
    for number, row in enumerate(kept, 1):
        if fault := _fault_of(row):
            raise DataError(f"{out}, trial {number} {fault}; correct or remove it")
    return kept


def _fault_of(row: Any) -> str:
    """Why a row is no trial; empty where it is one."""
    if not isinstance(row, dict):
        return f"is {row!r}, no table"
    for name in _KEPT:
        if name not in row:
            return f'has no "{name}"'
    for name, value in row.items():
        if name not in (*_KEPT, *_NAMES):
            return f'has "{name}", which is no setting'
        numeric = type(value) in (int, float) and np.isfinite(value)
        if not (isinstance(value, str) if name == "data" else numeric):
            return f'has {value!r} as "{name}"'
    return ""


def _trial_of(row: dict[str, Any]) -> _Trial:
    settings = {name: value for name, value in row.items() if name in _NAMES}
    return _Trial(settings, row["error"], row["seconds"])


def _words(settings: Settings) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items()) or "defaults"


def _text(
    series: Series, search: _Search, held_out: dict[str, float], title: str, out: Path
) -> Iterator[str]:
    yield from show.found(series, title)
    yield ""
    yield f"{'error':>8}{'seconds':>9}  settings"
    for trial in search.ranked():
        yield f"{trial.error:>8.4f}{trial.seconds:>9.1f}  {_words(trial.settings)}"
    if search.left:
        yield f"not tried for want of time: {search.left}; the same command goes on with them"
    yield ""
    yield (
        f"Error: mean absolute scaled error from past cutoffs, the last {search.horizon} rows unseen. On "
        f"those: winner MAE {held_out['winner']:.4g}, defaults {held_out['defaults']:.4g}"
        + ("; the defaults did better there." if held_out["defaults"] < held_out["winner"] else ".")
    )
    yield f"{out} holds the winner: {_words(search.best().settings)}"
