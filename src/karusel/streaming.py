"""Streaming: a network fed step by step, its memory carried along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.errors import DataError, UsageError
from karusel.inputs import read_numbers
from karusel.layers import LSTM, Embedding
from karusel.sampling import Sampling

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Stepper", "Stream"]

CHUNK_STEPS = 64  # steps that an executor plans its memory for
PIECE_WORK = 1 << 30  # products between two looks at Ctrl-C: some tenths of a second


class Stepper(Protocol):
    """What an executor offers a stream."""

    dtype: Any

    def step(self, x: Any, /) -> NDArray[Any] | None:
        """The short way of a small step whose x is plain: y of a new array, as `Stream.step` returns it.

        None, with nothing changed, when the long way is to be taken.
        """
        ...

    def clear(self) -> None:
        """Sets all state to zeros."""
        ...

    def run(self, x: NDArray[Any], first: int, last: int, y: NDArray[Any]) -> None:
        """Steps [first, last) of x [rows, steps, I] into y [rows, steps, O].

        y is [rows, O] with one output per row: what it is after these steps.
        """
        ...

    def generate(self, x: NDArray[Any], sampling: Sampling, first: int, drawn: NDArray[Any]) -> None:
        """From x [I] on, what is drawn in each step goes to drawn [steps, I], and is the input of the next.

        first: the number of the first draw.
        """
        ...

    @property
    def state(self) -> NDArray[Any]:
        """A copy of all state buffers, side by side in the program's order: [rows, their widths]."""
        ...

    @state.setter
    def state(self, value: NDArray[Any]) -> None: ...


class Stream:
    """A network with a memory of what it was fed: `net.stream()`.

    The outputs equal those for the whole sequence up to rounding. The weights are those of the moment
    when the stream was made. A call that is refused changes nothing.

    Threads may share a stream: its memory stays whole, and each step is one thread's alone, in no certain
    order. A long `run` or `generate` may let steps of other threads in between.

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
        self.rows = whole_number("Stream", "rows", rows)
        if not network._per_step:
            raise UsageError("a network without time steps has no stream: use predict")
        self._inputs = network.input_shape[1]  # type: ignore[index]
        self._outputs = network._output.width
        self._per_step = network._output.per_step
        self._last_activation = network._last_activation
        first = network.layers[0]
        self._symbols = first.input_dim if isinstance(first, Embedding) else None
        self._stepper = network._stepper(self.rows, CHUNK_STEPS)
        self._short_step = self._stepper.step
        chunk_work = CHUNK_STEPS * self.rows * len(network._weights)
        self._piece_steps = CHUNK_STEPS * max(1, PIECE_WORK // chunk_work)
        self._begin = self._initial_state(network, initial_state)
        self.reset()

    def _initial_state(self, network: Sequential, initial_state: Any) -> NDArray[Any]:
        given = network._read_state(initial_state, self.rows)
        parts = [np.zeros((self.rows, 0))]
        for i, layer in enumerate(network.layers):
            if not isinstance(layer, LSTM):
                continue
            for depth, name in enumerate(layer.state_names()):
                for state in (f"lstm_{i}.{name}.h0", f"lstm_{i}.{name}.c0"):
                    if layer.initial_state == "learned":
                        part = np.tile(network.parameters[state], (self.rows, 1))
                    elif layer.initial_state == "given":
                        part = given[state].values.reshape(self.rows, layer.hidden_size)
                    else:
                        part = np.zeros((self.rows, layer.hidden_size))
                    parts.append(np.tile(part, layer.dilation[depth]))
        return np.concatenate(parts, axis=1, dtype=self._stepper.dtype)

    def reset(self) -> None:
        """Forgets everything: back to the initial state."""
        self._stepper.state = self._begin

    @property
    def state(self) -> NDArray[Any]:
        """The memory of all rows, as one array that can be kept and set again later."""
        return self._stepper.state

    @state.setter
    def state(self, value: Any) -> None:
        array = read_numbers(value, "a state", self._stepper.dtype)
        if array.shape != self._begin.shape:
            raise DataError(
                f"a state of this stream has shape {list(self._begin.shape)}, got {list(array.shape)}"
            )
        if not np.isfinite(array).all():
            raise DataError("a state must hold finite numbers only")
        self._stepper.state = array

    def step(self, x: Any) -> NDArray[Any]:
        """One step of all rows: x [rows, I] -> [rows, O]; with one row also [I] -> [O].

        With one row of one input x may be a number. The result is a new array each time.
        """
        y = self._short_step(x)
        return self._long_step(x) if y is None else y

    def _long_step(self, x: Any) -> NDArray[Any]:
        """A step that the executor does not take by itself: to be converted, or refused, or much work."""
        given = self._read(x)
        single = self.rows == 1 and given.shape == (self._inputs,)
        if not single and given.shape != (self.rows, self._inputs):
            raise DataError(
                f"a step of this stream needs x of shape {[self.rows, self._inputs]}, got {list(given.shape)}"
            )
        y = self._run(given.reshape(self.rows, 1, self._inputs)).reshape(self.rows, self._outputs)
        return y[0] if single else y

    def run(self, x: Any) -> NDArray[Any]:
        """Many steps of all rows: x [rows, T, I] -> [rows, T, O], or [rows, O] with one output per row.

        Other threads run meanwhile. Ctrl-C ends it between two steps, and the memory is what it was there.
        """
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
        return self._run(given)

    def _run(self, x: NDArray[Any]) -> NDArray[Any]:
        steps = x.shape[1]
        shape = (self.rows, steps, self._outputs) if self._per_step else (self.rows, self._outputs)
        y = np.empty(shape, dtype=self._stepper.dtype)
        for first in range(0, steps, self._piece_steps):
            self._stepper.run(x, first, min(first + self._piece_steps, steps), y)
        return y

    def generate(self, x: Any, steps: int, sampling: Sampling, *, first: int = 0) -> NDArray[Any]:
        """Steps of the only row that the network feeds itself: an input is drawn from the outputs before it.

        y are logits: of one symbol an Embedding reads, or of as many notes as the network has inputs. So the
        network must not end in a softmax or a sigmoid. Ctrl-C ends it between two steps, as it ends `run`.

        Parameters
        ----------
        x
            The first input [I], or the symbol.
        steps
            How many to draw. The last is drawn, but not read yet: it is the x to go on with.
        sampling
            How to draw.
        first
            The number of the first draw: the n-th depends on the seed and n alone.

        Returns
        -------
        array
            What was drawn: symbols [steps], or zeros and ones [steps, I].
        """
        begin = self._read(x).reshape(-1)
        notes = self._symbols is None
        if self.rows != 1 or not self._per_step:
            raise UsageError("generate needs a stream of one row, of a network with an output per step")
        if (
            sampling.notes != notes
            or len(begin) != self._inputs
            or self._inputs != (self._outputs if notes else 1)
            or (self._symbols is not None and self._outputs > self._symbols)
        ):
            raise UsageError(
                "generate needs a network that puts out what it reads: an Embedding of one symbol a step "
                "that knows all outputs, drawn with notes=False, or as many outputs as inputs, drawn with "
                "notes=True"
            )
        if self._last_activation in ("softmax", "sigmoid"):
            raise UsageError(
                f"generate draws from the values before a {self._last_activation}, and the network ends in "
                "one: leave it out (the cross-entropy losses need none), or draw from what step gives"
            )
        steps = whole_number("generate", "steps", steps)
        most = 2**63 // self._outputs - steps  # each number drawn has one of its own
        first = whole_number("generate", "first", first, 0, most)
        drawn = np.empty((steps, self._inputs), dtype=begin.dtype)
        for done in range(0, steps, self._piece_steps):
            part = drawn[done : done + self._piece_steps]
            self._stepper.generate(begin, sampling, first + done, part)
            begin = part[-1]
        return drawn if notes else drawn[:, 0]

    def _read(self, x: Any) -> NDArray[Any]:
        array = read_numbers(x, "x", self._stepper.dtype if self._symbols is None else np.int32)
        if self._symbols is not None:
            if array.size and (array.min() < 0 or array.max() >= self._symbols):
                raise DataError(f"an index of the stream lies outside 0 .. {self._symbols - 1}")
        elif not np.isfinite(array).all():
            raise DataError("a stream takes finite numbers only: a NaN would stay in its memory for good")
        return array
