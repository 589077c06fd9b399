"""Worker: Karusel. See worker.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import worker

from karusel import LSTM, Dense, Sequential
from karusel.batches import Examples, Stream
from karusel.inputs import read_rows
from karusel.program.executor import OptimizerState, flat_vector

ENDLESS = 1e9  # seconds


def network(
    threads: int, inputs: int, hidden: int, *, dense: bool, per_step: bool = False, precision: str = "float32"
) -> Sequential:
    """LSTM(H), and Dense(1) if so wished, with the weights that all share."""
    layers = [LSTM(hidden, return_sequences=per_step), *[Dense(1)] * dense]
    made = Sequential(layers, random_state=0, n_jobs=threads, precision=precision)
    made.build((None, inputs))
    given = worker.weights(inputs, hidden)
    for array, name in zip(made.parameters.values(), "WUbVd", strict=False):
        array[:] = given[name]
    return made


class Train:
    """A repetition is an epoch; all of them are one `fit`."""

    ragged, precision = False, "float32"

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        self.rows = rows
        self.X, self.y = worker.data(batches * rows, steps, inputs), worker.data(batches * rows)
        self.lengths = worker.lengths(rows, batches, 5, steps) if self.ragged else None
        self.network = network(threads, inputs, hidden, dense=True, precision=self.precision)
        self.network.compile(loss="mean_squared_error", optimizer="adam")

    def run(self, repeats: int) -> float:
        def fit() -> None:
            self.network.fit(
                self.X, self.y, epochs=repeats, batch_size=self.rows, shuffle=False, lengths=self.lengths
            )

        return worker.clock(fit, 1)

    def outputs(self) -> list[float]:
        return []


class TrainRagged(Train):
    ragged = True


class TrainBf16(Train):
    precision = "bf16"


class Kernels:
    """Passes of an LSTM over several batches, each pass of all batches one call of the engine.

    Nothing of the engine can be called alone, so parts of a training step are differences. With weight zero
    for every target the engine computes a batch's gradient, and makes no optimizer step.
    """

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        self.batches, self.rows = batches, rows
        made = network(threads, inputs, hidden, dense=False)
        made.compile(loss="mean_squared_error", optimizer="adam")
        X, y = worker.data(rows, steps, inputs), worker.data(rows, hidden)
        self.examples = made._examples(X, y, None, np.ones(rows, np.float32), None, None)
        weight = self.examples.inputs["weight"]
        nothing = {"weight": replace(weight, values=np.zeros_like(weight.values))}
        self.masked = replace(self.examples, inputs=self.examples.inputs | nothing)
        self.loss, self.train = (made._executor(kind, self.examples) for kind in ("loss", "train"))
        self.order = np.tile(np.arange(rows), batches)
        w = made._weights
        m, v = (flat_vector(len(w), np.float32) for _ in range(2))
        self.optimizer = OptimizerState(w, m, v, None, 0, 0.9, 0.999, 1e-8, 0.0, 0.0, 0.0)
        self.rates = np.full(batches, 1e-6, np.float32)
        self.totals = np.empty((batches, 2))

    def forward_seconds(self, repeats: int) -> float:
        w = self.optimizer.weights
        return worker.clock(lambda: self.loss.evaluate(w, self.examples, self.order, self.rows), repeats)

    def train_seconds(self, examples: Examples, repeats: int) -> float:
        def train() -> None:
            self.train.train(
                self.optimizer, examples, self.order, self.rows, 0, self.rates, 0, ENDLESS, self.totals
            )

        return worker.clock(train, repeats)

    def outputs(self) -> list[float]:
        return []


class Forward(Kernels):
    def run(self, repeats: int) -> float:
        return self.forward_seconds(repeats)


def difference(repeats: int, longer: Callable[[], float], shorter: Callable[[], float]) -> float:
    """Seconds of `repeats` calls of one less those of the other: of medians, since a disturbance of either
    would be taken for the difference.
    """
    pairs = np.array([(longer(), shorter()) for _ in range(max(repeats, 5))])
    return repeats * float(np.subtract(*np.median(pairs, axis=0)))


class Backward(Kernels):
    """A gradient less a forward pass."""

    def run(self, repeats: int) -> float:
        return difference(
            repeats, lambda: self.train_seconds(self.masked, 1), lambda: self.forward_seconds(1)
        )


class Adam(Kernels):
    """A training step less its gradient, for a single row and step, the cheapest gradient there is."""

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        super().__init__(threads, batches, 1, 1, inputs, hidden)

    def run(self, repeats: int) -> float:
        return difference(
            repeats,
            lambda: self.train_seconds(self.examples, 1),
            lambda: self.train_seconds(self.masked, 1),
        )


class DenseForward:
    """Dense(H) on B*T rows of H numbers."""

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        self.rows, n = rows * steps, batches * rows * steps
        made = Sequential([Dense(hidden)], n_jobs=threads)
        made.build((hidden,))
        x = read_rows(worker.data(self.rows, hidden), what="X", dtype=np.float32, width=hidden, n=None)
        self.examples = Examples(x.lengths, {"x": x.stream()})
        self.examples.outputs["y"] = Stream(np.empty_like(x.values), x.starts, hidden)
        self.executor, self.weights = made._executor("predict", self.examples), made._weights
        self.order = np.arange(n) % self.rows

    def run(self, repeats: int) -> float:
        def forward() -> None:
            self.executor.evaluate(self.weights, self.examples, self.order, self.rows)

        return worker.clock(forward, repeats)

    def outputs(self) -> list[float]:
        return []


class Step:
    """One step of a stream at a time."""

    def __init__(self, threads: int, inputs: int, hidden: int, steps: int) -> None:
        self.X = worker.data(1, steps, inputs)
        self.stream = network(threads, inputs, hidden, dense=False, per_step=True).stream()
        self.steps = list(self.X[0])

    def run(self, repeats: int) -> float:
        step = self.stream.step

        def walk() -> None:
            for x in self.steps:
                step(x)

        return worker.clock(walk, repeats)

    def outputs(self) -> list[float]:
        return [float(self.stream.step(x)[0]) for x in self.steps[:3]]


class Loop(Step):
    """All steps in one call."""

    def run(self, repeats: int) -> float:
        return worker.clock(lambda: self.stream.run(self.X), repeats)

    def outputs(self) -> list[float]:
        return self.stream.run(self.X)[0, -3:, 0].tolist()


class Predict:
    """All sequences in one `predict`."""

    def __init__(
        self, threads: int, sequences: int, steps: int, inputs: int, hidden: int, shortest: int
    ) -> None:
        self.network = network(threads, inputs, hidden, dense=True)
        self.X = worker.data(sequences, steps, inputs)
        if shortest < steps:
            lengths = worker.lengths(sequences, 1, shortest, steps)
            self.X = [row[:length] for row, length in zip(self.X, lengths, strict=True)]

    def run(self, repeats: int) -> float:
        return worker.clock(lambda: self.network.predict(self.X), repeats)

    def outputs(self) -> list[float]:
        return self.network.predict(self.X[:20])[:, 0].tolist()


worker.serve(
    {
        "train": Train,
        "train ragged": TrainRagged,
        "train bf16": TrainBf16,
        "forward": Forward,
        "backward": Backward,
        "adam": Adam,
        "dense": DenseForward,
        "step": Step,
        "loop": Loop,
        "predict": Predict,
    }
)
