"""The way of the data, at size: all windows of a large panel, none copied: `./dev bench datapath --dry`.

A panel of 100,000 series of 500 points in one float32 array of 200 MB has 46.6 million windows of 28 lines
and the 7 that follow. A fit over them is stopped after some seconds. Printed are the seconds until its
first training step (windows cut, every number checked, memory made), those that its epochs take to shuffle
and to write out where their windows start, the share of both in the whole fit, and how much memory the
process came to need beyond what it was given. The same with a shift and a scale for each window, and with a
mask of missing targets, which are storage of their own.

Seconds are the processor's, of one thread, so that other programs change them little.

Nothing is compared here and nothing kept: a line says whether preparing took less than 2 % of the fit.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import machine
import numpy as np

LENGTH, HORIZON, HIDDEN, BATCH = 28, 7, 32, 256
GOAL = 0.02
KINDS = {
    "plain": "windows alone",
    "scaled": "a shift and a scale for each window",
    "missing": "a tenth of the targets missing, with a mask",
}


def peak() -> float:
    """MB that this process held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def panel(series: int, points: int) -> Any:
    """Waves of unlike levels and phases, float32 [series * points], made series by series."""
    random = np.random.default_rng(0)
    values = np.empty((series, points), np.float32)
    t = np.arange(points, dtype=np.float32)
    for row in values:
        level, phase, period = random.uniform([-1, 0, 5], [1, 6, 40])
        row[:] = level + np.sin(phase + t / period)
        row += random.normal(scale=0.1, size=points)
    return values.reshape(-1)


class Clock:
    """Sums the seconds that the calls of a function take."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.seconds, self.function = 0.0, function

    def method(self) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            try:
                return self.function(*arguments)
            finally:
                self.seconds += time.process_time() - start

        return timed


def measure(kind: str, series: int, points: int, seconds: float, steps: int) -> None:
    """One fit in this process; prints its line."""
    from karusel import LSTM, Callback, Dense, Sequential, Windows
    from karusel.batches import Examples
    from karusel.training import Training

    class FirstStep(Callback):
        at = 0.0

        def on_begin(self, training: Any) -> None:
            self.at = time.process_time()

    values = panel(series, points)
    offsets = np.arange(series + 1) * points
    n = series * (points - LENGTH - HORIZON + 1)
    shift = scale = mask = None
    inputs, bytes_given = values, values.nbytes
    if kind == "scaled":
        random = np.random.default_rng(1)
        shift, scale = random.random(n, dtype=np.float32), 1 + random.random(n, dtype=np.float32)
        bytes_given += shift.nbytes + scale.nbytes
    if kind == "missing":
        known = (np.random.default_rng(1).random(values.size, dtype=np.float32) > 0.1).astype(np.float32)
        inputs = values.copy()
        values[known == 0] = np.nan
        bytes_given += known.nbytes + inputs.nbytes
    net = Sequential([LSTM(HIDDEN), Dense(HORIZON)], n_jobs=1)
    net.compile("mse")
    net.build((LENGTH, 1))
    first, before = FirstStep(), peak()
    # Timed from outside, so that the product needs no clocks of its own.
    shuffling, cutting = Clock(Training._order), Clock(Examples.ready)
    Training._order, Examples.ready = shuffling.method(), cutting.method()

    start = time.process_time()
    X, y = Windows.pairs(inputs, offsets, LENGTH, HORIZON, shift=shift, scale=scale)
    if kind == "missing":
        y = Windows.pairs(values, offsets, LENGTH, HORIZON)[1]
        mask = Windows.pairs(known, offsets, LENGTH, HORIZON)[1]
    history = net.fit(
        X, y, mask=mask, batch_size=BATCH, epochs=1_000_000, steps_per_epoch=steps, time_limit=seconds,
        callbacks=[first],
    )  # fmt: skip
    end = time.process_time()
    prepared, epochs = first.at - start, shuffling.seconds + cutting.seconds
    share = (prepared + epochs) / (end - start)
    print(
        f"{KINDS[kind]:<45} {len(X):>12,} windows  {prepared:5.2f} s before, {epochs:5.2f} s in "
        f"{end - start:6.1f} s of fit: "
        f"{100 * share:.2f} %  {bytes_given / 1e6:5.0f} MB given, {peak() - before:4.0f} MB more  "
        f"{net._optimizer_state.step * BATCH:,} windows trained on, "
        f"loss {history.history['loss'][0]:.3f} to {history.history['loss'][-1]:.3f}  "
        f"{'goal met' if share < GOAL else 'GOAL MISSED'}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", type=int, default=100_000, help="series of the panel (default 100,000)")
    parser.add_argument("--points", type=int, default=500, help="points of each (default 500)")
    parser.add_argument("--seconds", type=float, default=60, help="time limit of each fit (default 60)")
    parser.add_argument("--steps", type=int, default=1000, help="training steps per epoch (default 1,000)")
    parser.add_argument("--kind", choices=list(KINDS), help="one of the fits alone, in this process")
    parser.add_argument("--dry", action="store_true", help="as always: nothing is written")
    options = parser.parse_args()
    numbers = [options.series, options.points, options.seconds, options.steps]
    if options.kind:
        measure(options.kind, *numbers)
        return
    described = machine.describe()
    about = f"{LENGTH} lines to {HORIZON}, H {HIDDEN}, batch {BATCH}"
    print(f"{described['processor']}, {described['cores']} cores; {about}", flush=True)
    names = ("--series", "--points", "--seconds", "--steps")
    for kind in KINDS:  # a process each: peak memory never falls
        line = [sys.executable, __file__, "--kind", kind]
        for name, number in zip(names, numbers, strict=True):
            line += [name, str(number)]
        subprocess.run(line, check=True)


if __name__ == "__main__":
    main()
