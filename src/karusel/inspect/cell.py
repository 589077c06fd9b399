"""Gates and states of LSTMs at every step, and what they say about each unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.inspect.trace import Sequences, Steps, read, run
from karusel.layers import LSTM, Attention, Layer

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Gates", "gates"]

CLOSED, OPEN = 0.05, 0.95  # beyond these a gate hardly passes a gradient on: its slope is below .05
STUCK = 0.5  # of all steps and units: a gate that is closed or open more often is named
DEAD = 0.02  # a hidden state moves less: a hundredth of the range from -1 to 1


@dataclass(frozen=True)
class Gates:
    """What one LSTM pass, of one depth and direction, did on given inputs.

    Attributes
    ----------
    name
        Layer, depth and direction, as in `Sequential.parameters`: "lstm_0.0.forward".
    dilation
        How many steps the recurrence reaches back.
    inputs
        What the network was fed, [n, T, I] or a list of [T_k, I]; of a pass in the encoder of an Attention,
        the source.
    input, forget, output
        The gates i, f and o after their sigmoid, in [0, 1]: [n, T, H] or a list of [T_k, H].
    candidate
        g, in [-1, 1], of the same shape; and so are
    cell
        c = f * c_before + i * g, and
    hidden
        h = o * tanh(c), in [-1, 1].
    """

    name: str
    dilation: int
    inputs: Steps
    input: Steps
    forget: Steps
    candidate: Steps
    output: Steps
    cell: Steps
    hidden: Steps

    @property
    def time_constants(self) -> NDArray[np.float64]:
        """Steps after which each unit's cell state has faded to 1/e: -d / ln(mean f), [H]; may be infinite.

        d is the dilation. The mean is over all steps of all rows. A unit that keeps a share f of its cell at
        each step keeps f^n after n of them, so it "remembers about" this many steps.
        """
        mean = _lines(self.forget).mean(axis=0, dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.asarray(self.dilation / np.abs(np.log(mean)), dtype=np.float64)

    @property
    def closed(self) -> dict[str, NDArray[np.float64]]:
        """By gate ("input", "forget", "output"): the share of steps with the gate below 0.05, [H]."""
        return {gate: (lines < CLOSED).mean(axis=0) for gate, lines in self._gates().items()}

    @property
    def open(self) -> dict[str, NDArray[np.float64]]:
        """By gate ("input", "forget", "output"): the share of steps with the gate above 0.95, [H]."""
        return {gate: (lines > OPEN).mean(axis=0) for gate, lines in self._gates().items()}

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Units [H] whose hidden state moves by less than 0.02, of a range of 2, over all steps and rows."""
        return np.asarray(np.ptp(_lines(self.hidden), axis=0) < DEAD)

    @property
    def reading(self) -> str:
        """What this means, in one to three sentences."""
        constants = self.time_constants
        units = len(constants)
        low, middle, high = (_steps(f(constants)) for f in (np.min, np.median, np.max))
        sentences = [
            f"{self.name}: its {units} units remember {low} to {high} steps, half of them {middle} or more."
            if low != high
            else f"{self.name}: its {units} units remember {high} steps each."
            if units > 1
            else f"{self.name}: its unit remembers about {high} steps."
        ]
        stuck = {
            f"{gate} gate is {state}": float(shares[gate].mean())
            for state, shares in (("closed", self.closed), ("open", self.open))
            for gate in shares
            if (gate, state) != ("forget", "open")  # that is a long memory
        }
        worst = max(stuck, key=stuck.__getitem__)
        if stuck[worst] >= STUCK:
            sentences.append(f"Its {worst} in {stuck[worst]:.0%} of all steps: saturated, it learns slowly.")
        if dead := int(self.dead.sum()):
            sentences.append(f"{dead} of {units} hardly move{'s' if dead == 1 else ''} at all.")
        return " ".join(sentences)

    def _gates(self) -> dict[str, NDArray[Any]]:
        return {gate: _lines(getattr(self, gate)) for gate in ("input", "forget", "output")}


def gates(
    network: Sequential, X: Any, *, lengths: Any = None, initial_state: Any = None, source: Any = None
) -> list[Gates]:
    """Gates and states of every LSTM at every step, by one pass of the network's program.

    Parameters
    ----------
    network
        A built network with at least one LSTM; dropout is off.
    X, lengths, initial_state, source
        As in `Sequential.predict`.

    Returns
    -------
    list of Gates
        One per LSTM layer, depth and direction, in this order; those in the encoder of an Attention stand
        where it does, "attention_2.lstm_1.0.forward".

    Raises
    ------
    UsageError
        For a network without an LSTM, or one that is not built.
    DataError
        For inputs that do not fit the network.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential, inspect
    >>> net = Sequential([LSTM(8), Dense(1)])
    >>> net.build((None, 2))
    >>> [seen] = inspect.gates(net, np.ones((3, 5, 2)))
    >>> seen.name, seen.forget.shape, seen.time_constants.shape
    ('lstm_0.0.forward', (3, 5, 8), (8,))
    """
    sequences = read(network, X, lengths, initial_state, source)
    _, found = run(network, "gates", sequences.examples(sequences.lines))
    return _seen(network.layers, "", sequences, found)


def _seen(
    layers: Sequence[Layer], scope: str, sequences: Sequences, found: dict[str, NDArray[Any]]
) -> list[Gates]:
    """What these layers' passes did on the sequences, of the outputs by role."""
    seen = []
    for number, layer in enumerate(layers):
        name = f"{scope}{layer.kind}_{number}"
        if isinstance(layer, Attention):
            assert sequences.source is not None
            seen += _seen(layer.encoder, f"{name}.", sequences.source, found)
        if not isinstance(layer, LSTM):
            continue
        for state in layer.state_names():
            role = f"{name}.{state}"
            i, f, g, o = np.split(found[f"{role}.gates"], 4, axis=1)  # gate order: i, f, g, o
            lines = (sequences.lines, i, f, g, o, found[f"{role}.c"], found[f"{role}.h"])
            seen.append(Gates(role, layer.dilation[int(state.split(".")[0])], *map(sequences.rows, lines)))
    return seen


def _lines(steps: Steps) -> NDArray[Any]:
    """All steps of all rows, [N, H]."""
    return np.concatenate(list(steps))


def _steps(count: float) -> str:
    return f"{count:.2g}" if count < 10 else f"{count:,.0f}" if np.isfinite(count) else "infinitely many"
