"""One run of a network's program that hands out what it computes beside its outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.batches import Examples, Stream
from karusel.errors import UsageError
from karusel.layers import LSTM
from karusel.program.executor import EVALUATION_ROWS, Total, check_memory, flat_vector
from karusel.program.program import Extent

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Sequences", "Steps", "lags", "read", "require_lstm", "run"]

Steps: TypeAlias = NDArray[Any] | list[NDArray[Any]]
"""A line for each step of each row: an array [n, T, W], or a list of arrays [T_k, W]."""


@dataclass(frozen=True)
class Sequences:
    """Inputs as one array of lines [N, I], row after row, of `lengths` [n] steps each.

    listed: results with a line per step are lists of rows, not one array.
    states: initial states by role, for LSTMs whose state is given.
    """

    lines: NDArray[Any]
    lengths: NDArray[np.int64]
    listed: bool
    states: dict[str, Stream]

    @property
    def ends(self) -> NDArray[np.int64]:
        """One beyond each row's last line."""
        return np.cumsum(self.lengths)

    def rows(self, lines: NDArray[Any]) -> Steps:
        """Lines [N, W] as a caller sees them."""
        if self.listed:
            return np.split(lines, self.ends[:-1])
        return lines.reshape(len(self.lengths), -1, lines.shape[1])

    def per_row(self, lines: NDArray[Any]) -> NDArray[Any]:
        """Sums of lines [N, W] over the steps of each row: [n, W]."""
        return np.add.reduceat(lines, self.ends - self.lengths, axis=0)

    def examples(self, lines: NDArray[Any], **others: NDArray[Any]) -> Examples:
        """Examples that are fed these lines as x, and other arrays, [N, W] or [n, W], by role."""
        inputs = {
            role: Stream(np.ascontiguousarray(values).reshape(-1), self._starts(values), values.shape[1])
            for role, values in {"x": lines, **others}.items()
        }
        return Examples(self.lengths, inputs | self.states)

    def _starts(self, values: NDArray[Any]) -> NDArray[np.int64]:
        per_step = len(values) == self.ends[-1]
        first = self.ends - self.lengths if per_step else np.arange(len(self.lengths))
        return np.asarray(first * values.shape[1], dtype=np.int64)


def require_lstm(network: Sequential) -> None:
    """Raises UsageError for a network without an LSTM, or with a source beside its inputs."""
    if network._attention is not None:
        raise UsageError("karusel.inspect looks into networks of one sequence; this one has an Attention")
    if not any(isinstance(layer, LSTM) for layer in network.layers):
        raise UsageError("the network has no LSTM to look into; build it with karusel.LSTM")


def read(network: Sequential, X: Any, lengths: Any, initial_state: Any) -> Sequences:
    """Inputs for a network, checked as `predict` checks them."""
    require_lstm(network)
    network._require_built()
    rows = network._read_x(X, lengths)
    check_memory(int(rows.lengths.sum()) * rows.width, "a copy of the inputs")
    return Sequences(
        rows.lines(),
        np.ascontiguousarray(rows.lengths, dtype=np.int64),
        rows.kind != "array",
        network._read_state(initial_state, len(rows)),
    )


def run(network: Sequential, kind: str, examples: Examples) -> tuple[Total, dict[str, NDArray[Any]]]:
    """The network's program of a kind, run over examples: its loss, and its outputs by role.

    Outputs are lines, row after row: [N, W] with one for each step, [n, W] with one for each row.
    """
    executor = network._executor(kind, examples)
    ends, n = np.cumsum(examples.lengths), len(examples)
    filled, streams = {}, {}
    for role, view in executor.program.outputs.items():
        per_step = view.extent is Extent.STEPS
        lines = int(ends[-1]) if per_step else n
        check_memory(lines * view.width, f"{role} at every step")
        filled[role] = np.zeros((lines, view.width), dtype=executor.dtype)
        first = ends - examples.lengths if per_step else np.arange(n)
        streams[role] = Stream(filled[role].reshape(-1), first * view.width, view.width)
    examples, order = replace(examples, outputs=streams).ready(np.arange(n, dtype=np.int64))
    if not executor.program.backward:
        return executor.evaluate(network._weights, examples, order, EVALUATION_ROWS), filled
    gradient = flat_vector(executor.program.n_parameters, executor.dtype)
    return executor.gradient(network._weights, examples, order, 0, gradient), filled


def lags(lengths: NDArray[np.int64], reverse: bool = False) -> NDArray[np.int64]:
    """For every line, row after row: how many steps lie between it and its row's last (reverse: first)."""
    ends = np.cumsum(lengths)
    step = np.arange(int(ends[-1])) - np.repeat(ends - lengths, lengths)
    return step if reverse else np.repeat(lengths, lengths) - 1 - step
