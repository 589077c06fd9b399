"""A panel of many series, fitted, backtested and forecast: `panel.py --series 10000 --rows 200`.

Daily series with a week, a level that walks and noise, made from a seed. The naive row is the last week.
Prints errors on the 14 days held out, the time and the largest memory that the process took.
"""

from __future__ import annotations

import argparse
import resource

import numpy as np
from measuring import Clock
from numpy.typing import NDArray

from karusel import Forecaster

HORIZON, WEEK = 14, 7


def made(series: int, rows: int, seed: int) -> NDArray[np.float64]:
    """Values [S, T + h] above zero."""
    random = np.random.default_rng(seed)
    t = np.arange(rows + HORIZON)
    level = 3 + random.normal(size=(series, 1)) + (0.02 * random.normal(size=(series, t.size))).cumsum(1)
    depth, phase = 0.3 * random.random((series, 1)), random.integers(0, WEEK, (series, 1))
    week = depth * np.sin(2 * np.pi * (t + phase) / WEEK)
    return np.asarray(np.exp(level + week + 0.1 * random.normal(size=(series, t.size))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-backtest", action="store_true")
    arguments = parser.parse_args()
    values = made(arguments.series, arguments.rows, 0)
    train, truth = values[:, :-HORIZON], values[:, -HORIZON:]
    clock = Clock()
    model = Forecaster(
        HORIZON, season_length=WEEK, n_jobs=arguments.threads, backtest=not arguments.no_backtest
    )
    forecast = model.fit(train, progress=clock.tell).predict()
    seconds, _ = clock.read()
    scale = np.mean(np.abs(train[:, WEEK:] - train[:, :-WEEK]), axis=1)
    print(f"{arguments.series} series of {arguments.rows} rows, {HORIZON} steps ahead")
    for name, one in (("seasonal naive", np.tile(train[:, -WEEK:], 2)), ("Karusel", forecast)):
        print(f"{name:15} MASE {np.mean(np.abs(one - truth).mean(1) / scale):.4f}")
    if model.verdict_ is not None:
        print(model.verdict_.sentence)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{seconds:.0f} s on {arguments.threads} thread(s), {peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
