"""Worker: JAX: `lax.scan` under `jit`, the inputs' products ahead of the scan. See worker.py."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import worker

Parameters = dict[str, jax.Array]


def cell(p: Parameters, state: tuple[jax.Array, jax.Array], a: jax.Array) -> Any:
    """From x_t W + b and (h, c) [B,H] to the next (h, c) and h."""
    h, c = state
    i, f, g, o = jnp.split(a + h @ p["U"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def last_outputs(p: Parameters, x: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
    """The dense layer on each row's last output; x [B,T,I] -> [B]."""
    a = jnp.swapaxes(x @ p["W"] + p["b"], 0, 1)
    zeros = jnp.zeros((len(x), p["U"].shape[0]))
    if lengths is None:
        # Outputs that nobody asks for are not kept.
        (last, _), _ = jax.lax.scan(lambda state, a_t: (cell(p, state, a_t)[0], None), (zeros, zeros), a)
    else:
        _, outputs = jax.lax.scan(lambda state, a_t: cell(p, state, a_t), (zeros, zeros), a)
        last = outputs[lengths - 1, jnp.arange(len(x))]
    return (last @ p["V"] + p["d"])[:, 0]


def loss(p: Parameters, x: jax.Array, y: jax.Array, lengths: jax.Array | None) -> jax.Array:
    return jnp.mean((last_outputs(p, x, lengths) - y) ** 2)


def adam(p: Parameters, m: Parameters, v: Parameters, t: jax.Array, g: Parameters) -> Any:
    """Adam's step t with its usual settings."""
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    scale, root = 0.001 / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
    p = jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) / root + 1e-8), p, m, v)
    return p, m, v


def step(state: Any, batch: Any) -> Any:
    p, m, v, t = state
    value, g = jax.value_and_grad(loss)(p, *batch)
    return (*adam(p, m, v, t + 1, g), t + 1), value


class Train:
    """A repetition is an epoch: one compiled scan over the batches."""

    ragged = False

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        x = jnp.asarray(worker.data(batches * rows, steps, inputs)).reshape(batches, rows, steps, inputs)
        y = jnp.asarray(worker.data(batches * rows)).reshape(batches, rows)
        lengths = jnp.asarray(worker.lengths(rows, batches, 5, steps)).reshape(batches, rows)
        self.data = (x, y, lengths if self.ragged else None)
        p = jax.tree.map(jnp.asarray, worker.weights(inputs, hidden))
        zeros = jax.tree.map(jnp.zeros_like, p)
        self.state = (p, zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
        self.epoch = jax.jit(lambda state, data: jax.lax.scan(step, state, data), donate_argnums=0)

    def run(self, repeats: int) -> float:
        def epoch() -> None:
            self.state, losses = self.epoch(self.state, self.data)
            losses.block_until_ready()

        return worker.clock(epoch, repeats)

    def outputs(self) -> list[float]:
        return []


class TrainRagged(Train):
    ragged = True


class Step:
    """A compiled step at a time, its output awaited each time."""

    def __init__(self, threads: int, inputs: int, hidden: int, steps: int) -> None:
        self.x = jnp.asarray(worker.data(1, steps, inputs))
        self.steps = [self.x[:, t] for t in range(steps)]
        self.p = jax.tree.map(jnp.asarray, worker.weights(inputs, hidden))
        self.zeros = jnp.zeros((1, hidden))
        self.step = jax.jit(lambda p, state, x: cell(p, state, x @ p["W"] + p["b"])[0])

    def walk(self) -> None:
        state = (self.zeros, self.zeros)
        for x in self.steps:
            state = self.step(self.p, state, x)
            state[0].block_until_ready()

    def run(self, repeats: int) -> float:
        return worker.clock(self.walk, repeats)

    def outputs(self) -> list[float]:
        found, state = [], (self.zeros, self.zeros)
        for x in self.steps[:3]:
            state = self.step(self.p, state, x)
            found.append(float(state[0][0, 0]))
        return found


class Loop(Step):
    """All steps in one call."""

    def __init__(self, threads: int, inputs: int, hidden: int, steps: int) -> None:
        super().__init__(threads, inputs, hidden, steps)

        def loop(p: Parameters, x: jax.Array) -> jax.Array:
            a = jnp.swapaxes(x @ p["W"] + p["b"], 0, 1)
            return jax.lax.scan(lambda state, a_t: cell(p, state, a_t), (self.zeros, self.zeros), a)[1]

        self.loop = jax.jit(loop)

    def run(self, repeats: int) -> float:
        return worker.clock(lambda: self.loop(self.p, self.x).block_until_ready(), repeats)

    def outputs(self) -> list[float]:
        return self.loop(self.p, self.x)[-3:, 0, 0].tolist()


class Predict:
    """256 sequences a call; ragged ones padded."""

    def __init__(
        self, threads: int, sequences: int, steps: int, inputs: int, hidden: int, shortest: int
    ) -> None:
        self.p = jax.tree.map(jnp.asarray, worker.weights(inputs, hidden))
        X, lengths = worker.data(sequences, steps, inputs), worker.lengths(sequences, 1, shortest, steps)
        self.pieces = [
            (jnp.asarray(X[piece]), jnp.asarray(lengths[piece]) if shortest < steps else None)
            for piece in worker.pieces(sequences)
        ]
        self.network = jax.jit(last_outputs)

    def predict(self) -> np.ndarray:
        return np.concatenate([self.network(self.p, *piece) for piece in self.pieces])

    def run(self, repeats: int) -> float:
        return worker.clock(self.predict, repeats)

    def outputs(self) -> list[float]:
        return self.predict()[:20].tolist()


worker.serve({"train": Train, "train ragged": TrainRagged, "step": Step, "loop": Loop, "predict": Predict})
