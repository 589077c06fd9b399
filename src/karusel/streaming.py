"""Streaming: a network fed step by step, its memory carried along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.layers import LSTM, Embedding

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Stepper", "Stream"]

CHUNK_STEPS = 256  # steps that one call of the engine takes at most: what its memory is planned for


class Stepper(Protocol):
    """What an executor offers a stream."""

    dtype: Any

    def run(self, x: NDArray[Any], steps: int, y: NDArray[Any]) -> None:
        """x [rows, steps, I] -> y [rows, steps, O], or [rows, O] with one output per row."""
        ...

    def state(self, name: str, width: int) -> NDArray[Any]:
        """A state buffer [rows, width], which can be written."""
        ...


class Stream:
    """A network with a memory of what it was fed: `net.stream()`.

    The outputs equal those for the whole sequence up to rounding. The weights are those of the moment
    when the stream was made.

    Parameters
    ----------
    network
        A built network whose LSTMs run forward.
    rows
        Streams side by side, fed together.
    initial_state
        For LSTMs with initial_state="given": a list of (h, c) pairs, each [rows, H].

    Examples
    --------
    >>> from karusel import LSTM, Dense, Sequential
    >>> net = Sequential([LSTM(8), Dense(1)])
    >>> net.build((None, 2))
    >>> stream = net.stream()
    >>> stream.step([0.1, 0.2]).shape
    (1,)
    """

    def __init__(self, network: Sequential, rows: int = 1, initial_state: Any = None) -> None:
        if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
            raise UsageError(f"rows must be a whole number from 1 up, got {rows!r}")
        if not network._per_step:
            raise UsageError("a network without time steps has no stream: use predict")
        self._network = network
        self.rows = int(rows)
        self._inputs = network.input_shape[1]  # type: ignore[index]
        self._outputs = network._output.width
        self._per_step = network._output.per_step
        first = network.layers[0]
        self._symbols = first.input_dim if isinstance(first, Embedding) else None
        self._stepper = network._stepper(self.rows, CHUNK_STEPS)
        self._states = [
            (f"lstm_{i}.{name}", state, layer.hidden_size, layer.dilation[depth], layer.initial_state)
            for i, layer in enumerate(network.layers)
            if isinstance(layer, LSTM)
            for depth, name in enumerate(layer.state_names())
            for state in ("h", "c")
        ]
        self._initial = network._read_state(initial_state, self.rows)
        self.reset()

    def reset(self) -> None:
        """Forgets everything: back to the initial state."""
        parameters = self._network.parameters
        for name, state, hidden, dilation, initial in self._states:
            array = self._state_array(name, state, hidden, dilation)
            if initial == "learned":
                array[:] = np.tile(parameters[f"{name}.{state}0"], dilation)
            elif initial == "given":
                given = self._initial[f"{name}.{state}0"].values.reshape(self.rows, hidden)
                array[:] = np.tile(given, dilation)
            else:
                array[:] = 0

    def _state_array(self, name: str, state: str, hidden: int, dilation: int) -> NDArray[Any]:
        return self._stepper.state(f"{name}.state_{state}", hidden * dilation)

    @property
    def state(self) -> NDArray[Any]:
        """The memory of all rows, as one array that can be kept and set again later."""
        parts = [self._state_array(*entry[:4]) for entry in self._states]
        if not parts:
            return np.zeros((self.rows, 0), dtype=self._stepper.dtype)
        return np.concatenate(parts, axis=1)

    @state.setter
    def state(self, value: Any) -> None:
        widths = [hidden * dilation for _, _, hidden, dilation, _ in self._states]
        array = np.asarray(value, dtype=self._stepper.dtype)
        if array.shape != (self.rows, sum(widths)):
            raise DataError(
                f"a state of this stream has shape {[self.rows, sum(widths)]}, got {list(array.shape)}"
            )
        if not np.isfinite(array).all():
            raise DataError("a state must hold finite numbers only")
        parts = np.split(array, np.cumsum(widths)[:-1], axis=1) if widths else []
        for entry, part in zip(self._states, parts, strict=True):
            self._state_array(*entry[:4])[:] = part

    def step(self, x: Any) -> NDArray[Any]:
        """One step of all rows: x [rows, I] -> [rows, O]; with one row also [I] -> [O]."""
        given = self._read(x)
        single = given.ndim == 1 and self.rows == 1 and given.shape == (self._inputs,)
        if not single and given.shape != (self.rows, self._inputs):
            raise DataError(
                f"a step of this stream needs x of shape {[self.rows, self._inputs]}, got {list(given.shape)}"
            )
        y = np.empty((self.rows, self._outputs), dtype=self._stepper.dtype)
        self._stepper.run(given, 1, y)
        return y[0] if single else y

    def run(self, x: Any) -> NDArray[Any]:
        """Many steps of all rows: x [rows, T, I] -> [rows, T, O], or [rows, O] with one output per row."""
        given = self._read(x)
        if (
            given.ndim != 3
            or given.shape[0] != self.rows
            or given.shape[2] != self._inputs
            or given.shape[1] < 1
        ):
            raise DataError(
                f"this stream needs x of shape [{self.rows}, steps, {self._inputs}], got {list(given.shape)}"
            )
        pieces = []
        for first in range(0, given.shape[1], CHUNK_STEPS):
            piece = np.ascontiguousarray(given[:, first : first + CHUNK_STEPS])
            steps = piece.shape[1] if self._per_step else 1
            y = np.empty((self.rows, steps, self._outputs), dtype=self._stepper.dtype)
            self._stepper.run(piece, piece.shape[1], y)
            pieces.append(y)
        return np.concatenate(pieces, axis=1) if self._per_step else pieces[-1][:, 0]

    def _read(self, x: Any) -> NDArray[Any]:
        dtype = np.int32 if self._symbols is not None else self._stepper.dtype
        array = np.ascontiguousarray(x, dtype=dtype)
        if self._symbols is not None:
            if array.size and (array.min() < 0 or array.max() >= self._symbols):
                raise DataError(f"an index of the stream lies outside 0 .. {self._symbols - 1}")
        elif not np.isfinite(array).all():
            raise DataError("a stream takes finite numbers only: a NaN would stay in its memory for good")
        return array
