"""How far back the inputs lie that still move the output: d output / d input by lag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.inspect.trace import Sequences, Steps, lags, read, run

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Horizon", "input_gradients", "memory_horizon", "output_gradient"]

HEARD = 0.01  # of the largest norm: below this an input counts as forgotten
_SHUT = 1e-30  # a derivative through gates that are as far shut as float32 has them


@dataclass(frozen=True)
class Horizon:
    """How strongly each past input moves the output.

    Attributes
    ----------
    norms
        By lag, [T]: the Frobenius norm of d output / d input, the input `lag` steps before the row's last,
        and the output of the row or, where there is one for each step, of its last step. Units of output per
        unit of input; the mean over all rows that have the lag.
    """

    norms: NDArray[np.float64]

    @property
    def moves(self) -> bool:
        """Whether any step moves the output."""
        return not self.norms.max() <= _SHUT

    @property
    def reach(self) -> int:
        """The largest lag at which the norm is at least 1 % of the largest."""
        norms = np.nan_to_num(self.norms, nan=np.inf, posinf=np.inf)  # too large for a number
        return int(np.flatnonzero(norms >= HEARD * norms.max())[-1])

    @property
    def reading(self) -> str:
        """What this means, in one or two sentences."""
        if not (known := np.isfinite(self.norms)).all():
            return f"The gradient overflows {_back(int(np.argmin(known)))}: it explodes."
        steps, strongest = len(self.norms), int(self.norms.argmax())
        largest = self.norms[strongest]
        if not self.moves:
            return "No step moves the output: its derivative by every input is 0."
        if steps == 1:
            return "There is only one step, and it moves the output."
        strong = f"the strongest, {_back(strongest)}, does"
        if self.reach == steps - 1:
            share = self.norms[-1] / largest
            return f"All {steps} steps move the output: the earliest by {share:.2g} of what {strong}."
        moving = f"The last {self.reach + 1} of {steps} steps move" if self.reach else "The last step moves"
        return f"{moving} the output: one further back does so by less than 1 % of what {strong}."


def memory_horizon(
    network: Sequential, X: Any, *, lengths: Any = None, initial_state: Any = None, source: Any = None
) -> Horizon:
    """The norm of d output / d input by lag, exact, from the backward part of the network's program.

    Each output costs one pass forward and back. Of a network that ends in a softmax the values before it are
    taken for outputs; where the inputs are indices, the outputs of the Embedding for inputs.

    Parameters
    ----------
    network
        A built network with at least one LSTM; dropout is off.
    X, lengths, initial_state, source
        As in `Sequential.predict`. The derivative depends on the inputs, so give typical ones, and several.

    Returns
    -------
    Horizon
        Norms by lag, how far back they reach, and what this means.

    Raises
    ------
    UsageError
        For a network without an LSTM, one that is not built, or a softmax before the last layer.
    DataError
        For inputs that do not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential, inspect
    >>> net = Sequential([LSTM(8), Dense(1)])
    >>> net.build((None, 2))
    >>> inspect.memory_horizon(net, np.ones((3, 5, 2))).norms.shape
    (5,)
    """
    sequences = read(network, X, lengths, initial_state, source)
    squares = np.zeros(len(sequences.lines))
    for output in range(network._output.width):
        _, dx = output_gradient(network, sequences, sequences.lines, output)
        squares += np.square(dx, dtype=np.float64).sum(axis=1)
    lag = lags(sequences.lengths)
    return Horizon(np.bincount(lag, np.sqrt(squares)) / np.bincount(lag))


def input_gradients(
    network: Sequential,
    X: Any,
    *,
    output: int = 0,
    lengths: Any = None,
    initial_state: Any = None,
    source: Any = None,
) -> Steps:
    """d output / d input, exact, from the backward part of the network's program.

    Parameters
    ----------
    network, X, lengths, initial_state, source
        As in `memory_horizon`.
    output
        Which of the network's outputs, from 0; of the row's last step where there is an output for each.

    Returns
    -------
    array or list
        [n, T, I], or a list of [T_k, I]: units of output per unit of input.

    Raises
    ------
    UsageError, DataError
        As `memory_horizon`, and for an output that the network does not have.
    """
    sequences = read(network, X, lengths, initial_state, source)
    return sequences.rows(output_gradient(network, sequences, sequences.lines, output)[1])


def output_gradient(
    network: Sequential, sequences: Sequences, lines: NDArray[Any], output: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """One output of each row [n], and its gradient by the inputs [N, I], for sequences with other lines."""
    width, per_step = network._output.width, network._output.per_step
    whole_number("inspect", "output", output, 0, width - 1)
    last = sequences.ends - 1 if per_step else np.arange(len(sequences.lengths))
    dy = np.zeros((len(lines) if per_step else len(last), width), dtype=network._dtype)
    dy[last, output] = 1
    _, found = run(network, "sensitivity", sequences.examples(lines, dy=dy))
    return found["y"][last, output], found["dx"]


def _back(lag: int) -> str:
    return "the last" if lag == 0 else f"{lag} step{'s' if lag > 1 else ''} before the last"
