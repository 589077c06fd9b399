"""How long an LSTM can learn to remember: the adding problem, with long-memory initialisation and without.

Each step brings a number from [0, 1) and a mark; two of the T steps are marked, one in each half, and the
answer is the sum of their numbers (Hochreiter & Schmidhuber 1997). Guessing the mean has an error of .167.
Both networks train on the same batches; the plain one gets as many as the other needed, and its gradient flow
says why it fails.

    python benchmarks/memory.py --steps 500
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import machine
import numpy as np

from karusel import LSTM, Adam, Callback, Dense, Sequential, inspect

SOLVED = 1e-3  # mean squared error
ROWS, TEST_ROWS = 32_000, 1_000
EPOCH = 100  # training steps between two looks at the error
SETTINGS: dict[str, dict[str, Any]] = {
    "chrono": {"init": "chrono"},
    "plain": {},
}


def adding(rows: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X [rows, steps, 2] and the sums [rows]."""
    random = np.random.default_rng(seed)
    X = np.zeros((rows, steps, 2), np.float32)
    X[:, :, 0] = random.random((rows, steps))
    every, half = np.arange(rows), steps // 2
    for marked in (random.integers(0, half, rows), random.integers(half, steps, rows)):
        X[every, marked, 1] = 1
    return X, (X[:, :, 0] * X[:, :, 1]).sum(axis=1)


class Until(Callback):
    """Ends training when the held-out error is small enough, and says how it goes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        if (epoch + 1) % 10 == 0:
            print(f"  {self.name}: {(epoch + 1) * EPOCH:,} steps, error {logs['val_loss']:.5f}", flush=True)
        if logs["val_loss"] < SOLVED / 2:
            training.stop()


def run(options: argparse.Namespace) -> None:
    T = options.steps
    X, y = adding(ROWS, T, seed=1)
    held_out, test = adding(TEST_ROWS, T, seed=2), adding(TEST_ROWS, T, seed=3)
    print(
        f"adding problem, T = {T}; LSTM({options.units}), batches of {options.batch}; {machine.processor()}"
    )
    epochs = options.most // EPOCH
    for name, settings in SETTINGS.items():
        if "init" in settings:
            settings = {**settings, "chrono_length": T}
        net = Sequential(
            [LSTM(options.units, **settings), Dense(1)], random_state=options.seed, n_jobs=options.threads
        )
        net.compile(loss="mean_squared_error", optimizer=Adam(options.rate, clip_norm=1.0))
        flow = inspect.gradient_flow(net, test[0][:64], test[1][:64])
        started = time.perf_counter()
        history = net.fit(
            X,
            y,
            epochs=epochs,
            batch_size=options.batch,
            steps_per_epoch=EPOCH,
            validation_data=held_out,
            callbacks=[Until(name)],
            time_limit=60 * options.minutes,
        )
        seconds = time.perf_counter() - started
        error = net.evaluate(*test)
        print(
            f"{name}: test error {error:.5f} after {history.epochs * EPOCH:,} steps, {seconds / 60:.1f} min"
            f" ({'solved' if error < SOLVED else 'not solved'})"
        )
        print(f"  before training: {flow.reading}")
        print(f"  after: {inspect.memory_horizon(net, test[0][:64]).reading}", flush=True)
        epochs = history.epochs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=500, help="T (default 500)")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-3, help="of Adam")
    parser.add_argument("--most", type=int, default=30_000, help="training steps at most")
    parser.add_argument("--minutes", type=float, default=15, help="of each fit at most")
    parser.add_argument("--threads", type=int, help="all by default")
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args())
