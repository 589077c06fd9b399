"""The reference executor: runs a program with the float64 NumPy kernels of `karusel.reference`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.batches import Examples
from karusel.program.executor import OptimizerState, Progress, Total
from karusel.program.program import Argument, Call, Extent, Gradient, Parameter, Program, View
from karusel.randomness import step_seed
from karusel.reference import KERNEL_FUNCTIONS, Packing, pack
from karusel.sampling import Sampling

__all__ = ["ReferenceExecutor", "ReferenceStepper"]

# What a kernel needs to know besides its call.
WITH_SCALE = {
    "squared_loss",
    "absolute_loss",
    "huber_loss",
    "pinball_loss",
    "binary_cross_entropy",
    "softmax_cross_entropy",
    "ctc_loss",
    "surrogate_loss",
}
WITH_SEED = {"dropout_forward", "dropout_backward", "weight_drop_forward", "weight_drop_backward"}
WITH_SOURCE = {"attention_forward", "attention_backward"}
ONE_TERM = {"ctc_loss", "surrogate_loss"}  # for all numbers of a line, or of a row

Array = NDArray[Any]


class _Memory:
    """The arrays that a program's arguments name, for one packing."""

    def __init__(
        self,
        program: Program,
        packing: Packing,
        weights: Array,
        gradient: Array | None,
        states: dict[str, Array] | None = None,
        source: Packing | None = None,
    ) -> None:
        self.packing = packing
        self.source = source or packing
        drops = any(call.kernel == "weight_drop_forward" for call in program.forward)
        self.weights = weights.copy() if drops else weights
        self.gradient = gradient
        lines = {
            Extent.STEPS: packing.total,
            Extent.ROWS: packing.rows,
            Extent.SOURCE: self.source.total,
        }
        self.arrays: dict[str, Array] = {
            b.name: np.zeros((lines[b.extent], b.width), dtype=np.int64 if b.integer else np.float64)
            for b in program.buffers
            if not b.state
        } | (states or {})

    def find(self, argument: Argument) -> Array | None:
        """The array of an argument: a view, so that kernels write through it."""
        if isinstance(argument, View):
            columns = slice(argument.first, argument.first + argument.width)
            return self.arrays[argument.buffer.name][:, columns]
        if isinstance(argument, Parameter):
            return _part(self.weights, argument)
        if isinstance(argument, Gradient):
            assert self.gradient is not None
            return _part(self.gradient, argument.parameter)
        return None

    def side(self, extent: Extent) -> Packing:
        """How the lines of buffers with a line for each step, of the row or of its source, are packed."""
        return self.source if extent is Extent.SOURCE else self.packing

    def run(self, call: Call, seed: int, scale: float) -> float:
        context: dict[str, Any] = {}
        if call.kernel in WITH_SCALE:
            context["scale"] = scale
        if call.kernel in WITH_SEED:
            context["seed"] = seed
        packing = self.packing
        if call.kernel in WITH_SOURCE:
            context["source"] = self.source
        elif call.extent() is Extent.SOURCE:
            packing = self.source
        arrays = {name: self.find(argument) for name, argument in call.arguments.items()}
        kernel: Callable[..., float | None] = KERNEL_FUNCTIONS[call.kernel]
        return kernel(packing, **arrays, **call.attributes, **context) or 0.0


def _part(vector: Array, parameter: Parameter) -> Array:
    part = vector[parameter.offset : parameter.offset + parameter.size]
    return part.reshape(parameter.rows, parameter.cols)


class ReferenceExecutor:
    """Runs a program in float64, one batch at a time."""

    dtype = np.float64

    def __init__(self, program: Program) -> None:
        self.program = program

    def _run(
        self,
        weights: Array,
        examples: Examples,
        rows: NDArray[np.int64],
        seed: int,
        gradient: Array | None,
    ) -> Total:
        packing = pack(examples.lengths[rows])
        source = None if examples.source_lengths is None else pack(examples.source_lengths[rows])
        memory = _Memory(self.program, packing, weights, gradient, source=source)
        sorted_rows = rows[packing.name]
        for role, buffer in self.program.inputs.items():
            array, stream = memory.arrays[buffer.name], examples.inputs[role]
            if buffer.extent is Extent.ROWS:
                array[:] = stream.lines(sorted_rows, buffer.width)
            else:
                side = memory.side(buffer.extent)
                for t, n in enumerate(side.active):
                    lines = stream.lines(rows[side.name[:n]], buffer.width, t)
                    array[side.lines(t, 0, int(n))] = lines

        weight = self._weight(memory)
        scale = 1 / weight if weight else 0.0
        calls = self.program.forward if gradient is None else self.program.calls
        loss = sum(memory.run(call, seed, scale) for call in calls)

        for role, stream in examples.outputs.items():
            view = self.program.outputs[role]
            filled = memory.find(view)
            assert filled is not None
            columns = np.arange(view.width)
            if view.extent is Extent.ROWS:
                stream.values[stream.starts[sorted_rows][:, None] + columns] = filled
            else:
                side = memory.side(view.extent)
                for t, n in enumerate(side.active):
                    first = stream.starts[rows[side.name[:n]]] + t * stream.stride
                    stream.values[first[:, None] + columns] = filled[side.lines(t, 0, int(n))]
        return Total(loss, weight)

    def _weight(self, memory: _Memory) -> float:
        """The sum of the weights of all terms of the loss: what it is divided by."""
        loss = self.program.loss
        if loss is None:
            return 0.0
        # Of the classes that one label chooses from only one counts.
        of = "target" if loss.kernel == "softmax_cross_entropy" else "y"
        lines, weight = memory.find(loss.arguments[of]), memory.find(loss.arguments["weight"])
        assert lines is not None
        terms = 1 if loss.kernel in ONE_TERM else lines.shape[1]
        if weight is None:
            return float((memory.packing.rows if loss.kernel == "ctc_loss" else len(lines)) * terms)
        return float(weight.sum() * (terms // weight.shape[1]))

    def evaluate(self, weights: Array, examples: Examples, order: NDArray[np.int64], batch: int) -> Total:
        totals = [
            self._run(weights, examples, order[first : first + batch], 0, None)
            for first in range(0, len(order), batch)
        ]
        return Total(sum(t.loss for t in totals), sum(t.weight for t in totals))

    def gradient(
        self, weights: Array, examples: Examples, order: NDArray[np.int64], seed: int, gradient: Array
    ) -> Total:
        gradient[:] = 0
        return self._run(weights, examples, order, seed, gradient)

    def train(
        self,
        optimizer: OptimizerState,
        examples: Examples,
        order: NDArray[np.int64],
        batch: int,
        first_batch: int,
        rates: Array,
        seed: int,
        seconds: float,
        totals: NDArray[np.float64],
    ) -> Progress:
        end = time.monotonic() + seconds
        gradient = np.zeros_like(optimizer.weights)
        done, begun = 0, optimizer.step
        for i in range(first_batch, -(-len(order) // batch)):
            rows = order[i * batch : (i + 1) * batch]
            one = self.gradient(optimizer.weights, examples, rows, step_seed(seed, optimizer.step), gradient)
            if not np.isfinite(one.loss):
                return Progress(done, False)
            if one.weight > 0:
                adam(optimizer, gradient, float(rates[optimizer.step - begun]))
            totals[i] = one
            done += 1
            if time.monotonic() >= end:
                break
        return Progress(done, True)


def adam(o: OptimizerState, gradient: Array, rate: float) -> None:
    """One step of Adam (Kingma & Ba 2015), decoupled weight decay (Loshchilov & Hutter 2019)."""
    o.step += 1
    norm = float(np.sqrt(np.sum(gradient**2)))
    g = gradient * (o.clip_norm / norm) if 0 < o.clip_norm < norm else gradient
    o.weights *= 1 - rate * o.weight_decay
    o.m[:] = o.beta_1 * o.m + (1 - o.beta_1) * g
    o.v[:] = o.beta_2 * o.v + (1 - o.beta_2) * g**2
    m = o.m / (1 - o.beta_1**o.step)
    v = o.v / (1 - o.beta_2**o.step)
    o.weights -= rate * m / (np.sqrt(v) + o.epsilon)
    if o.average is not None:
        o.average[:] = o.ema_decay * o.average + (1 - o.ema_decay) * o.weights


class ReferenceStepper:
    """Runs a stateful forward program step by step in float64."""

    dtype = np.float64

    def __init__(self, program: Program, weights: Array, rows: int, max_steps: int) -> None:
        self.program = program
        self._weights = weights.copy()
        self._rows = rows
        self._max_steps = max_steps
        self._states = {b.name: np.zeros((rows, b.width)) for b in program.states.values()}
        self._turn = threading.Lock()

    def step(self, x: Any) -> None:
        """Always the long way."""

    def clear(self) -> None:
        with self._turn:
            for state in self._states.values():
                state[:] = 0.0

    def run(self, x: Array, first: int, last: int, y: Array) -> None:
        with self._turn:
            for t in range(first, last, self._max_steps):
                self._run_chunk(x, t, min(t + self._max_steps, last), y)

    def _run_chunk(self, x: Array, first: int, last: int, y: Array) -> None:
        steps = last - first
        packing = pack(np.full(self._rows, steps, dtype=np.int64))
        memory = _Memory(self.program, packing, self._weights, None, self._states)
        x_lines = x[:, first:last].swapaxes(0, 1).reshape(steps * self._rows, -1)
        memory.arrays[self.program.inputs["x"].name][:] = x_lines
        for call in self.program.forward:
            memory.run(call, 0, 0.0)
        view = self.program.outputs["y"]
        out = memory.arrays[view.buffer.name]
        if view.extent is Extent.STEPS:
            y[:, first:last] = out.reshape(steps, self._rows, -1).swapaxes(0, 1)
        else:
            y[:] = out

    def generate(self, x: Array, sampling: Sampling, first: int, drawn: Array) -> None:
        y = np.zeros((1, 1, self.program.outputs["y"].width))
        for t in range(len(drawn)):
            self.run(x.reshape(1, 1, -1) if t == 0 else drawn[None, t - 1 : t], 0, 1, y)
            drawn[t] = sampling.draw(y[0, 0], first + t)

    @property
    def state(self) -> Array:
        with self._turn:
            return np.concatenate([np.zeros((self._rows, 0)), *self._states.values()], axis=1)

    @state.setter
    def state(self, value: Array) -> None:
        first = 0
        with self._turn:
            for state in self._states.values():
                state[:] = value[:, first : first + state.shape[1]]
                first += state.shape[1]
