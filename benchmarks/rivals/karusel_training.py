"""Worker: training steps of LSTM(H) and Dense(1) in Karusel, through `fit`. See worker.py."""

from __future__ import annotations

import time

import worker

from karusel import LSTM, Dense, Sequential


class Trainer:
    """Rows for several batches; a round is one `fit` of several epochs."""

    def __init__(
        self, batches: int, rows: int, steps: int, inputs: int, hidden: int, threads: int, ragged: str
    ) -> None:
        self.rows = rows
        self.X, self.y = worker.data(batches, rows, steps, inputs)
        self.lengths = worker.lengths(batches, rows, steps) if ragged else None
        self.network = Sequential([LSTM(hidden), Dense(1)], random_state=0, n_jobs=threads)
        self.network.compile(loss="mean_squared_error", optimizer="adam")

    def fit_seconds(self, epochs: int) -> float:
        start = time.perf_counter()
        self.network.fit(
            self.X, self.y, epochs=epochs, batch_size=self.rows, shuffle=False, lengths=self.lengths
        )
        return time.perf_counter() - start


worker.serve(Trainer)
