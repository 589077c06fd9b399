"""The compiled engine's module (bindings/module.cpp); `karusel.program.native` is its only user."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Buffers = list[tuple[int, int, bool]]
_Calls = list[tuple[str, list[tuple[int, int, int, int, int]], list[float]]]
_Numbers = NDArray[np.float32] | None
_Lengths = tuple[NDArray[np.int64], NDArray[np.int64]]  # of the rows and of their sources
_Inputs = list[tuple[int, int, int, NDArray[Any], NDArray[np.int64], int, _Numbers, _Numbers]]
_Outputs = list[tuple[int, int, int, NDArray[Any], NDArray[np.int64], int]]

class Executor:
    def __init__(
        self,
        buffers: _Buffers,
        n_weights: int,
        calls: _Calls,
        offsets: list[int],
        arena_size: int,
        slice_rows: int,
        max_steps: int,
        source_steps: int,
        threads: int,
        bf16: bool,
        /,
    ) -> None: ...
    def evaluate(
        self,
        weights: NDArray[np.float32],
        lengths: _Lengths,
        inputs: _Inputs,
        outputs: _Outputs,
        order: NDArray[np.int64],
        batch: int,
        first_batch: int,
        seconds: float,
        loss: float,
        weight: float,
        /,
    ) -> tuple[int, float, float]: ...
    def gradient(
        self,
        weights: NDArray[np.float32],
        lengths: _Lengths,
        inputs: _Inputs,
        outputs: _Outputs,
        order: NDArray[np.int64],
        seed: int,
        gradient: NDArray[np.float32],
        /,
    ) -> tuple[float, float]: ...
    def train(
        self,
        w: NDArray[np.float32],
        m: NDArray[np.float32],
        v: NDArray[np.float32],
        average: NDArray[np.float32] | None,
        settings: tuple[float, float, float, float, float, float],
        step: int,
        lengths: _Lengths,
        inputs: _Inputs,
        outputs: _Outputs,
        order: NDArray[np.int64],
        batch: int,
        first_batch: int,
        rates: NDArray[np.float32],
        seed: int,
        seconds: float,
        totals: NDArray[np.float64],
    ) -> tuple[int, bool, int]: ...
    @property
    def allocations(self) -> int: ...

class Stepper:
    def __init__(
        self,
        buffers: _Buffers,
        n_weights: int,
        calls: _Calls,
        offsets: list[int],
        arena_size: int,
        weights: NDArray[np.float32],
        rows: int,
        max_steps: int,
        state_size: int,
        input: int,
        output: int,
        symbols: int,
        threads: int,
        y: NDArray[np.float32],
        /,
    ) -> None: ...
    def step(self, x: Any, /) -> NDArray[np.float32] | None: ...
    def run(self, x: NDArray[Any], steps: int, first: int, last: int, y: NDArray[np.float32], /) -> None: ...
    def generate(
        self,
        x: NDArray[Any],
        steps: int,
        draw: int,
        temperature: float,
        top_k: int,
        top_p: float,
        key: int,
        first: int,
        drawn: NDArray[Any],
        /,
    ) -> None: ...
    def read_state(self, state: NDArray[np.float32], /) -> None: ...
    def write_state(self, state: NDArray[np.float32], /) -> None: ...

def multiplies_bf16() -> bool: ...
def level() -> str: ...
def supported_levels() -> list[str]: ...
