"""The same LSTM learns M4's hourly series in float32 and in bf16: `precision.py --data DIR`.

A week of each series in, the next two days out, both in standard deviations of the week from its mean;
the last two days of the training part are held out, and the test part is not read. Both start from the same
weights and see the same batches. Printed are the held-out mean absolute errors after every epoch, the time,
and what a forecast by the day before has.
"""

from __future__ import annotations

import m4
import numpy as np
from measuring import Clock, on_data
from numpy.typing import NDArray

from karusel import LSTM, Adam, Dense, Sequential

Array = NDArray[np.float32]
DAY, INPUTS, HORIZON = 24, 168, m4.HORIZONS["Hourly"]
EVERY = 8  # hours from one training window to the next
GOAL = 0.01


def windows(x: NDArray[np.float64], first: int, last: int, every: int) -> tuple[Array, Array]:
    """Inputs [n, INPUTS, 1] and targets [n, HORIZON] of a series' windows, by the starts of their targets."""
    both = np.lib.stride_tricks.sliding_window_view(x, INPUTS + HORIZON)
    both = both[first - INPUTS : last - INPUTS + 1 : every]
    known = both[:, :INPUTS]
    spread = np.maximum(known.std(1, keepdims=True), 0.1 * x[:first].std())  # first: before all targets
    scaled = ((both - known.mean(1, keepdims=True)) / spread).astype(np.float32)
    return scaled[:, :INPUTS, None], scaled[:, INPUTS:]


def main() -> None:
    parser = on_data(__doc__, threads=1)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()

    series = list(m4.read(arguments.data / "m4" / "Hourly-train.csv.gz").values())
    ends = [len(x) - HORIZON for x in series]  # where the held-out targets begin
    taught = [windows(x, INPUTS, end - HORIZON, EVERY) for x, end in zip(series, ends, strict=True)]
    held = [windows(x, end, end, 1) for x, end in zip(series, ends, strict=True)]
    (X, y), (held_X, held_y) = (
        tuple(np.concatenate(part) for part in zip(*parts, strict=True)) for parts in (taught, held)
    )
    print(f"{len(X)} windows of {len(series)} series to learn from, {len(held_X)} held out")
    before = held_X[:, -DAY:, 0][:, np.arange(HORIZON) % DAY]
    print(f"{'day before':9}  held-out error {np.abs(held_y - before).mean():.4f}")

    best = {}
    for precision in ("float32", "bf16"):
        network = Sequential(
            [LSTM(arguments.hidden), Dense(HORIZON)],
            random_state=arguments.seed,
            n_jobs=arguments.threads,
            precision=precision,
        )
        network.compile("mean_absolute_error", Adam(0.001, clip_norm=1.0))
        clock = Clock()
        history = network.fit(
            X, y, epochs=arguments.epochs, batch_size=64, validation_data=(held_X, held_y)
        ).history["val_loss"]
        took = clock.trained(arguments.threads)
        best[precision] = min(history)
        print(
            f"{precision:9}  held-out error {best[precision]:.4f}; {took}; "
            + " ".join(f"{x:.4f}" for x in history)
        )
    print(f"bf16 / float32 {best['bf16'] / best['float32']:.4f}, goal at most {1 + GOAL}")


if __name__ == "__main__":
    main()
