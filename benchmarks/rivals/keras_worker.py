"""Worker: Keras on TensorFlow. See worker.py."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow
import worker
from keras.layers import LSTM, Dense, Input, Masking

PREDICT_ROWS = 1024  # a batch; Keras's own 32 would mean 32 times as many calls


def network(threads: int, inputs: int, hidden: int, *, masked: bool = False, stream: bool = False) -> Any:
    """LSTM(H) and Dense(1) with the weights that all share; a stream has no Dense and keeps its state."""
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    given = worker.weights(inputs, hidden)
    shape = Input(batch_shape=(1, None, inputs)) if stream else Input((None, inputs))
    lstm = LSTM(hidden, return_sequences=stream, stateful=stream)
    made = keras.Sequential([shape, *[Masking()] * masked, lstm, *[Dense(1)] * (not stream)])
    lstm.set_weights([given["W"], given["U"], given["b"]])
    if not stream:
        made.layers[-1].set_weights([given["V"], given["d"]])
    return made


def padded(sequences: int, batches: int, steps: int, inputs: int, shortest: int) -> np.ndarray:
    """Rows with zeros, which `Masking` leaves out, behind their ends."""
    X = worker.data(batches * sequences, steps, inputs)
    lengths = worker.lengths(sequences, batches, shortest, steps)
    X[np.arange(steps) >= lengths[:, None]] = 0
    return X


class Train:
    """A repetition is an epoch; all of them are one `fit`."""

    ragged = False

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        self.rows = rows
        self.network = network(threads, inputs, hidden, masked=self.ragged)
        self.network.compile(loss="mean_squared_error", optimizer="adam")
        self.X = padded(rows, batches, steps, inputs, 5 if self.ragged else steps)
        self.y = worker.data(batches * rows)

    def run(self, repeats: int) -> float:
        def fit() -> None:
            self.network.fit(self.X, self.y, epochs=repeats, batch_size=self.rows, shuffle=False, verbose=0)

        return worker.clock(fit, 1)

    def outputs(self) -> list[float]:
        return []


class TrainRagged(Train):
    ragged = True


class Step:
    """A stateful LSTM, one step at a time."""

    def __init__(self, threads: int, inputs: int, hidden: int, steps: int) -> None:
        self.X = worker.data(1, steps, inputs)
        self.steps = [self.X[:, t : t + 1] for t in range(steps)]
        self.network = network(threads, inputs, hidden, stream=True)

    def walk(self) -> None:
        for x in self.steps:
            self.network.predict_on_batch(x)

    def run(self, repeats: int) -> float:
        return worker.clock(self.walk, repeats)

    def outputs(self) -> list[float]:
        return [float(self.network.predict_on_batch(x)[0, 0, 0]) for x in self.steps[:3]]


class Loop(Step):
    """All steps in one call."""

    def run(self, repeats: int) -> float:
        return worker.clock(lambda: self.network.predict_on_batch(self.X), repeats)

    def outputs(self) -> list[float]:
        return self.network.predict_on_batch(self.X)[0, -3:, 0].tolist()


class Predict:
    """All sequences in one `predict`; ragged ones padded and masked."""

    def __init__(
        self, threads: int, sequences: int, steps: int, inputs: int, hidden: int, shortest: int
    ) -> None:
        self.network = network(threads, inputs, hidden, masked=shortest < steps)
        self.X = padded(sequences, 1, steps, inputs, shortest)

    def predict(self) -> np.ndarray:
        return self.network.predict(self.X, batch_size=PREDICT_ROWS, verbose=0)

    def run(self, repeats: int) -> float:
        return worker.clock(self.predict, repeats)

    def outputs(self) -> list[float]:
        return self.predict()[:20, 0].tolist()


worker.serve({"train": Train, "train ragged": TrainRagged, "step": Step, "loop": Loop, "predict": Predict})
