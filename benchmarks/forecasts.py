"""What the benchmarks of forecasts share: options, one fit in the default settings, the CSV of forecasts."""

from __future__ import annotations

import argparse
import csv
import pathlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from measuring import Clock, on_data
from numpy.typing import NDArray

from karusel.forecasting import windows
from karusel.forecasting.members import EnsembleSettings
from karusel.forecasting.panel import from_columns
from karusel.forecasting.pooled import PooledModel, fit_pooled

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """Forecasts [S, h] in the order of the series given, smoothing's alone, and the ends at 95 %."""

    model: PooledModel
    forecast: Array
    smoothing: Array
    low: Array
    high: Array
    seconds: float


def options(description: str | None) -> argparse.ArgumentParser:
    """The options that all of them have."""
    parser = on_data(description, threads=1)
    parser.add_argument("--out", type=pathlib.Path, help="CSV of forecasts: unique_id, step, y_hat")
    parser.add_argument(
        "--held-out", action="store_true", help="score the last horizon of the training part instead"
    )
    parser.add_argument("--members", type=int, help="networks (default: from the number of series)")
    return parser


def run(
    train: Sequence[Array],
    horizon: int,
    seasons: Sequence[int],
    arguments: argparse.Namespace,
    first_days: Sequence[np.datetime64] | None = None,
) -> Run:
    """Fit and forecast the series, of days if their first ones are given; stages and times go to stderr."""
    ids = np.repeat(np.arange(len(train)), [len(x) for x in train])
    times = None
    if first_days is not None:
        times = np.concatenate(
            [first + np.arange(len(x)) for first, x in zip(first_days, train, strict=True)]
        )
    panel = from_columns(np.concatenate(train), times, ids)
    clock = Clock(sys.stderr)
    settings = EnsembleSettings(
        n_members=arguments.members, n_jobs=arguments.threads, random_state=arguments.seed
    )
    model = fit_pooled(panel, horizon, seasons, settings, clock.tell)
    cutoffs = windows.last_cutoffs(panel)
    forecast, intervals = model.predict_at(panel, cutoffs)
    seconds, _ = clock.read()
    smoothed = model.predict_without_network(windows.Cutoffs(panel, cutoffs)).values
    return Run(model, forecast, smoothed, *intervals[95.0], seconds)


def describe(done: Run) -> str:
    """What was chosen on held-out time, in a line."""
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in done.model.losses.items())
    return (
        f"{done.model.reader}\nshare of the networks {done.model.share:.1f}; "
        f"95 % interval widened {done.model.widening[95.0]:.2f} times; loss on held-out time: {losses}"
    )


def write(path: pathlib.Path | None, names: Sequence[str], forecast: Array) -> None:
    """The forecasts as a long table, every digit kept."""
    if path is None:
        return
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["unique_id", "step", "y_hat"])
        for name, row in zip(names, forecast, strict=True):
            writer.writerows((name, k + 1, repr(float(value))) for k, value in enumerate(row))
