"""NN5 (111 daily series of cash withdrawals, 56 days ahead) by the pooled model: `nn5.py --data DIR`.

DIR holds `tscompdata/nn5.rda`, read with the package `rdata` (`pip install rdata`). In training,
days without a value or with a value of 0 (a closed machine) take the value of a week before; in the test part
days with 0 are scored like the others, as in the published figures. Printed is sMAPE, the mean over series,
beside seasonal naive and the published mean of ten stacked LSTMs. With `--held-out` the last 56 training days
are scored instead.
"""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import forecasts
import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import metrics

Array = NDArray[np.float64]
HORIZON, SEASONS = 56, (7, 364)
PUBLISHED = 23.84


def read(path: pathlib.Path) -> dict[str, Array]:
    """The series by name, training and test part together, NaN where a value is missing."""
    if not path.exists():
        raise SystemExit(f"{path} is not there: --data must name the folder that holds tscompdata/")
    try:
        rdata = importlib.import_module("rdata")
    except ImportError:
        raise SystemExit("this benchmark needs the package rdata: pip install rdata") from None
    series: dict[str, Any] = rdata.read_rda(path)["nn5"]
    return {str(name): np.asarray(one, np.float64) for name, one in series.items()}


def filled(x: Array) -> Array:
    """Missing values and zeros as those of a week before, or of the next week that has one at the start."""
    y: Array = np.where(x > 0, x, np.nan)
    for order in (range(7, len(y)), range(len(y) - 8, -1, -1)):
        for k in order:
            if np.isnan(y[k]):
                y[k] = y[k - 7] if order.step > 0 else y[k + 7]
    return y


def smape(truth: Array, forecast: Array) -> float:
    """Mean over series of the mean over known days, in percent."""
    known = np.isfinite(truth)
    return float(np.mean([metrics.smape(y[k], f[k]) for y, f, k in zip(truth, forecast, known, strict=True)]))


def main() -> None:
    arguments = forecasts.options(__doc__).parse_args()
    named = read(arguments.data / "tscompdata" / "nn5.rda")
    series = list(named.values())
    if arguments.held_out:
        series = [x[:-HORIZON] for x in series]
    truth = np.array([x[-HORIZON:] for x in series])
    train = [filled(x[:-HORIZON]) for x in series]
    done = forecasts.run(train, HORIZON, SEASONS, arguments)

    part = "last horizon of the training part" if arguments.held_out else "test part"
    print(f"NN5, {len(train)} series, {part}\n{forecasts.describe(done)}")
    naive = np.array([np.tile(x[-7:], HORIZON // 7) for x in train])
    for name, values in (
        ("seasonal naive", naive),
        ("smoothing", done.smoothing),
        ("Karusel", done.forecast),
    ):
        print(f"{name:15} sMAPE {smape(truth, values):.3f}")
    print(f"stacked LSTMs   sMAPE {PUBLISHED} (published)")
    print(f"{done.seconds:.0f} s on {arguments.threads} thread(s)")
    forecasts.write(arguments.out, list(named), done.forecast)


if __name__ == "__main__":
    main()
