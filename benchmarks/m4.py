"""M4 (Makridakis et al., 2020) by the pooled model: `m4.py --data DIR --freq Weekly --out FILE`.

DIR holds `m4/<freq>-train.csv.gz` and `m4/<freq>-test.csv.gz`, one series a row. Nothing is set per
frequency but the season lengths, which follow from it. With `--held-out` the last horizon of the training
part stands in for the test part, which is then not read. Rows: Naive2, whose OWA is 1 by definition;
smoothing alone; Karusel.
"""

from __future__ import annotations

import csv
import gzip
import pathlib

import forecasts
import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import metrics

Array = NDArray[np.float64]
HORIZONS = {"Yearly": 6, "Weekly": 13, "Hourly": 48}
LAGS = {"Yearly": 1, "Weekly": 1, "Hourly": 24}  # of MASE and Naive2, set by the competition
SEASONS: dict[str, tuple[int, ...]] = {"Yearly": (), "Weekly": (52,), "Hourly": (24, 168)}
GOALS = {"Yearly": (0.785, 26.0), "Weekly": (0.74, 18.0), "Hourly": (0.43, 8.0)}  # OWA, MSIS


def read(path: pathlib.Path) -> dict[str, Array]:
    """The series of one file by name."""
    if not path.exists():
        raise SystemExit(f"{path} is not there: --data must name the folder that holds m4/")
    with gzip.open(path, "rt", newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] not in ("V1", "id")]  # some files have a heading
    return {row[0]: np.array([float(v) for v in row[1:] if v not in ("", "NA")]) for row in rows}


def naive2(x: Array, horizon: int, m: int) -> Array:
    """The last value, seasonally adjusted where the competition's test finds a season."""
    if m == 1 or len(x) < 3 * m:
        return np.repeat(x[-1], horizon)
    away = x - x.mean()
    r = np.array([away[k:] @ away[:-k] for k in range(1, m + 1)]) / max(float(away @ away), 1e-12)
    if abs(r[-1]) <= 1.645 * np.sqrt((1 + 2 * np.sum(r[:-1] ** 2)) / len(x)):
        return np.repeat(x[-1], horizon)
    window = np.concatenate([[0.5], np.ones(m - 1), [0.5]]) / m
    middle = np.arange(m // 2, len(x) - m // 2)
    ratio = x[middle] / np.convolve(x, window, "valid")
    season = np.array([ratio[middle % m == phase].mean() for phase in range(m)])
    season *= m / season.sum()
    return np.asarray(x[-1] / season[(len(x) - 1) % m] * season[(len(x) + np.arange(horizon)) % m])


def errors(truth: Array, forecast: Array, scale: Array) -> tuple[float, float]:
    """sMAPE in percent and MASE, means over series."""
    scaled = float(np.mean(np.mean(np.abs(truth - forecast), axis=1) / scale))
    return metrics.smape(truth, forecast), scaled


def interval_score(truth: Array, low: Array, high: Array, scale: Array) -> tuple[float, float]:
    """MSIS at 95 % and coverage in percent."""
    score = high - low + 40 * np.maximum(low - truth, 0) + 40 * np.maximum(truth - high, 0)
    return float(np.mean(score.mean(1) / scale)), 100 * metrics.coverage(truth, low, high)


def main() -> None:
    parser = forecasts.options(__doc__)
    parser.add_argument("--freq", choices=list(HORIZONS), required=True)
    arguments = parser.parse_args()
    freq, horizon, m = arguments.freq, HORIZONS[arguments.freq], LAGS[arguments.freq]
    named = read(arguments.data / "m4" / f"{freq}-train.csv.gz")
    train = list(named.values())
    if arguments.held_out:
        truth = np.array([x[-horizon:] for x in train])
        train = [x[:-horizon] for x in train]
    else:
        tested = read(arguments.data / "m4" / f"{freq}-test.csv.gz")
        truth = np.array([tested[name][:horizon] for name in named])
    done = forecasts.run(train, horizon, SEASONS[freq], arguments)

    scale = np.array([metrics.naive_scale(x, m) for x in train])
    scale = np.where(scale > 0, scale, np.median(scale[scale > 0]))
    naive = np.array([naive2(x, horizon, m) for x in train])
    base = errors(truth, naive, scale)
    part = "last horizon of the training part" if arguments.held_out else "test part"
    print(f"M4 {freq}, {len(train)} series, {part}\n{forecasts.describe(done)}")
    for name, values in (("Naive2", naive), ("smoothing", done.smoothing), ("Karusel", done.forecast)):
        found = errors(truth, values, scale)
        owa = (found[0] / base[0] + found[1] / base[1]) / 2
        print(f"{name:10} OWA {owa:.4f}  sMAPE {found[0]:.3f}  MASE {found[1]:.4f}")
    msis, covered = interval_score(truth, done.low, done.high, scale)
    print(f"MSIS {msis:.3f}, coverage {covered:.1f} %; {done.seconds:.0f} s on {arguments.threads} thread(s)")
    print(f"goals: OWA at most {GOALS[freq][0]}, MSIS at most {GOALS[freq][1]:g}, coverage 92 to 97 %")
    forecasts.write(arguments.out, list(named), done.forecast)


if __name__ == "__main__":
    main()
