"""The native executor: hands a program to the C++ engine and examples to its calls."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel import _engine
from karusel.batches import Examples
from karusel.program.executor import CALL_SECONDS, OptimizerState, Progress, Total, check_memory
from karusel.program.plan import Plan, plan, slice_rows
from karusel.program.program import Argument, Extent, Gradient, Parameter, Program, View
from karusel.sampling import Sampling

__all__ = ["NativeExecutor", "NativeStepper"]

_Buffers = list[tuple[int, int, bool]]
_Calls = list[tuple[str, list[tuple[int, int, int, int, int]], list[float]]]

# engine/include/karusel/program.h: enum Space
NONE, BUFFER, WEIGHT, GRADIENT = range(4)
EXTENTS = {Extent.STEPS: 0, Extent.ROWS: 1, Extent.SOURCE: 2}  # the same file: enum Extent


def _serialize(program: Program, placed: Plan) -> tuple[_Buffers, int, _Calls, list[int], int]:
    """A program as the engine's constructors take it."""
    index = {buffer: i for i, buffer in enumerate(program.buffers)}

    def argument(a: Argument) -> tuple[int, int, int, int, int]:
        if isinstance(a, View):
            return BUFFER, index[a.buffer], a.first, 0, a.width
        if isinstance(a, Parameter):
            return WEIGHT, 0, a.offset, a.rows, a.cols
        if isinstance(a, Gradient):
            return GRADIENT, 0, a.parameter.offset, a.parameter.rows, a.parameter.cols
        return NONE, 0, 0, 0, 0

    buffers = [(EXTENTS[b.extent], b.width, b.state) for b in program.buffers]
    calls = [
        (call.kernel, [argument(a) for a in call.arguments.values()], call.numbers())
        for call in program.calls
    ]
    return buffers, program.n_parameters, calls, list(placed.offsets), placed.arena_size


class NativeExecutor:
    """Runs a program in the engine, on up to `threads` threads; results do not depend on their number.

    bf16: whether matrix products round their factors to bf16.
    """

    dtype = np.float32

    def __init__(
        self,
        program: Program,
        max_steps: int,
        threads: int,
        *,
        source_steps: int = 0,
        bf16: bool = False,
    ) -> None:
        self.program = program
        rows = slice_rows(program)
        placed = plan(program, rows, max_steps, source_steps)
        check_memory(
            placed.arena_size * threads + 4 * program.n_parameters,
            f"a batch of sequences of {max_steps:,} steps through this network",
        )
        self._buffers = {buffer: i for i, buffer in enumerate(program.buffers)}
        self._engine = _engine.Executor(
            *_serialize(program, placed), rows, max_steps, source_steps, threads, bf16
        )

    @property
    def allocations(self) -> int:
        """How often the engine took memory since it was made."""
        return self._engine.allocations

    def _lengths(self, examples: Examples) -> tuple[Any, Any]:
        """Of the rows, and of their sources; both have the former where there are none."""
        own, sources = examples.lengths, examples.source_lengths
        return own, own if sources is None else sources

    def _inputs(self, examples: Examples) -> list[tuple[Any, ...]]:
        return [
            (self._buffers[buffer], 0, buffer.width, s.values, s.starts, s.stride, s.shift, s.scale)
            for role, buffer in self.program.inputs.items()
            for s in [examples.inputs[role]]
        ]

    def _outputs(self, examples: Examples) -> list[tuple[Any, ...]]:
        return [
            (self._buffers[view.buffer], view.first, view.width, s.values, s.starts, s.stride)
            for role, s in examples.outputs.items()
            for view in [self.program.outputs[role]]
        ]

    def evaluate(
        self, weights: NDArray[Any], examples: Examples, order: NDArray[np.int64], batch: int
    ) -> Total:
        data = self._lengths(examples), self._inputs(examples), self._outputs(examples)
        total, done = Total(0.0, 0.0), 0
        while done * batch < len(order):
            batches, *sums = self._engine.evaluate(weights, *data, order, batch, done, CALL_SECONDS, *total)
            total, done = Total(*sums), done + batches
        return total

    def gradient(
        self,
        weights: NDArray[Any],
        examples: Examples,
        order: NDArray[np.int64],
        seed: int,
        gradient: NDArray[Any],
    ) -> Total:
        loss, weight = self._engine.gradient(
            weights,
            self._lengths(examples),
            self._inputs(examples),
            self._outputs(examples),
            order,
            seed,
            gradient,
        )
        return Total(loss, weight)

    def train(
        self,
        optimizer: OptimizerState,
        examples: Examples,
        order: NDArray[np.int64],
        batch: int,
        first_batch: int,
        rates: NDArray[Any],
        seed: int,
        seconds: float,
        totals: NDArray[np.float64],
    ) -> Progress:
        o = optimizer
        batches, finite, o.step = self._engine.train(
            o.weights,
            o.m,
            o.v,
            o.average,
            (o.beta_1, o.beta_2, o.epsilon, o.weight_decay, o.ema_decay, o.clip_norm),
            o.step,
            self._lengths(examples),
            self._inputs(examples),
            self._outputs(examples),
            order,
            batch,
            first_batch,
            rates,
            seed,
            seconds,
            totals,
        )
        return Progress(batches, finite)


class NativeStepper:
    """Runs a stateful forward program step by step in the engine."""

    dtype = np.float32

    def __init__(
        self, program: Program, weights: NDArray[Any], rows: int, max_steps: int, threads: int
    ) -> None:
        placed = plan(program, rows, max_steps)
        check_memory(placed.arena_size + placed.state_size, f"a stream of {rows:,} rows")
        index = {buffer: i for i, buffer in enumerate(program.buffers)}
        x, y = program.inputs["x"], program.outputs["y"].buffer
        tables = [call.arguments["E"] for call in program.forward if call.kernel == "embedding_forward"]
        symbols = tables[0].rows if tables and isinstance(tables[0], Parameter) else 0
        self._engine = _engine.Stepper(
            *_serialize(program, placed),
            weights,
            rows,
            max_steps,
            placed.state_size,
            index[x],
            index[y],
            symbols,
            threads,
            np.empty((rows, y.width), dtype=self.dtype),
        )
        self.step = self._engine.step
        self._rows = rows
        self._state_size = placed.state_size
        self._places = [(placed.offsets[index[b]], b.width) for b in program.states.values()]
        self._nothing = np.zeros(self._state_size, dtype=self.dtype)

    def clear(self) -> None:
        self._engine.write_state(self._nothing)

    def run(self, x: NDArray[Any], first: int, last: int, y: NDArray[Any]) -> None:
        self._engine.run(x.reshape(-1), x.shape[1], first, last, y.reshape(-1))

    def generate(self, x: NDArray[Any], sampling: Sampling, first: int, drawn: NDArray[Any]) -> None:
        self._engine.generate(
            x.reshape(-1),
            len(drawn),
            int(sampling.notes),
            sampling.temperature,
            sampling.top_k or 0,
            sampling.top_p,
            sampling.key,
            first,
            drawn.reshape(-1),
        )

    @property
    def state(self) -> NDArray[Any]:
        flat = np.empty(self._state_size, dtype=self.dtype)
        self._engine.read_state(flat)
        return np.concatenate([np.zeros((self._rows, 0), self.dtype), *self._parts(flat)], axis=1)

    @state.setter
    def state(self, value: NDArray[Any]) -> None:
        flat = np.zeros(self._state_size, dtype=self.dtype)
        first = 0
        for part in self._parts(flat):
            part[:] = value[:, first : first + part.shape[1]]
            first += part.shape[1]
        self._engine.write_state(flat)

    def _parts(self, flat: NDArray[Any]) -> list[NDArray[Any]]:
        """Views of each state [rows, width] where the plan put it."""
        return [
            flat[first : first + self._rows * width].reshape(self._rows, width)
            for first, width in self._places
        ]
