"""Sets of the Monash archive (Godahewa et al., 2021) by the pooled model: `monash.py --data DIR --set NAME`.

DIR holds `monash/*.tsf.gz`; the last horizon of every series is the test part. Printed are the mean over
series of the mean absolute error for the last value, smoothing and Karusel, beside the published row of
DeepAR. With `--held-out` the last horizon is cut off first and the one before it scored.
"""

from __future__ import annotations

import gzip
import pathlib

import forecasts
import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import metrics

Array = NDArray[np.float64]
# file, horizon, season lengths, DeepAR's mean absolute error as published
SETS: dict[str, tuple[str, int, tuple[int, ...], float]] = {
    "fred_md": ("fred_md_dataset", 12, (12,), 4264.36),
    "us_births": ("us_births_dataset", 30, (7, 364), 424.93),
    "saugeen": ("saugeenday_dataset", 30, (7, 364), 23.51),
    "solar_weekly": ("solar_weekly_dataset", 5, (52,), 721.59),
    "traffic_weekly": ("traffic_weekly_dataset", 8, (52,), 1.18),
    "sunspot": ("sunspot_dataset_without_missing_values", 30, (7, 364), 0.77),
    "electricity_weekly": ("electricity_weekly_dataset", 8, (52,), 50312.05),
    "vehicle_trips": ("vehicle_trips_dataset_without_missing_values", 30, (7, 364), 22.00),
}


def read(path: pathlib.Path) -> tuple[list[Array], list[np.datetime64] | None]:
    """The series of a .tsf file, and the first day of each where they are daily."""
    if not path.exists():
        raise SystemExit(f"{path} is not there: --data must name the folder that holds monash/")
    with gzip.open(path, "rt", encoding="cp1252") as file:
        lines = [line.strip() for line in file]
    rows = lines[next(k for k, line in enumerate(lines) if line.startswith("@data")) + 1 :]
    cells = [row.split(":") for row in rows if row]
    series = [np.array([np.nan if v == "?" else float(v) for v in row[-1].split(",")]) for row in cells]
    if "@frequency daily" not in lines:
        return series, None
    return series, [np.datetime64(row[-2].split()[0], "D") for row in cells]


def main() -> None:
    parser = forecasts.options(__doc__)
    parser.add_argument("--set", choices=list(SETS), required=True)
    arguments = parser.parse_args()
    file, horizon, seasons, published = SETS[arguments.set]
    series, first_days = read(arguments.data / "monash" / f"{file}.tsf.gz")
    if arguments.held_out:
        series = [x[:-horizon] for x in series]
    truth = np.array([x[-horizon:] for x in series])
    train = [x[:-horizon] for x in series]
    done = forecasts.run(train, horizon, seasons, arguments, first_days)

    part = "horizon before the last" if arguments.held_out else "test part"
    print(f"Monash {arguments.set}, {len(train)} series, {part}\n{forecasts.describe(done)}")
    last = np.array([np.repeat(x[-1], horizon) for x in train])
    for name, values in (("last value", last), ("smoothing", done.smoothing), ("Karusel", done.forecast)):
        print(f"{name:10} MAE {metrics.mae(truth, values):.6g}")
    print(f"DeepAR     MAE {published:g} (published); {done.seconds:.0f} s on {arguments.threads} thread(s)")
    forecasts.write(arguments.out, [f"T{k + 1}" for k in range(len(train))], done.forecast)


if __name__ == "__main__":
    main()
