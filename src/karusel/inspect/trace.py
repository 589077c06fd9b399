"""One run of a network's program that hands out what it computes beside its outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.batches import Examples, Stream
from karusel.errors import UsageError
from karusel.inputs import Rows
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
    source: of each row, for a network with an Attention.
    """

    lines: NDArray[Any]
    lengths: NDArray[np.int64]
    listed: bool
    states: dict[str, Stream]
    source: Sequences | None = None

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
        examples = Examples(self.lengths, inputs | self.states)
        if self.source is None:
            return examples
        source = self.source.examples(self.source.lines)
        inputs = examples.inputs | {"source": source.inputs["x"]}
        return replace(examples, inputs=inputs, source_lengths=source.lengths)

    def _starts(self, values: NDArray[Any]) -> NDArray[np.int64]:
        per_step = len(values) == self.ends[-1]
        first = self.ends - self.lengths if per_step else np.arange(len(self.lengths))
        return np.asarray(first * values.shape[1], dtype=np.int64)


def require_lstm(network: Sequential) -> None:
    """Raises UsageError for a network without an LSTM outside of an Attention's encoder."""
    if not any(isinstance(layer, LSTM) for layer in network.layers):
        raise UsageError("the network has no LSTM to look into; build it with karusel.LSTM")


def read(network: Sequential, X: Any, lengths: Any, initial_state: Any, source: Any) -> Sequences:
    """Inputs for a network, checked as `predict` checks them."""
    require_lstm(network)
    network._require_built()
    rows = network._read_x(X, lengths)
    sources = network._read_source(source, len(rows))
    states = network._read_state(initial_state, len(rows))
    return _copied(rows, states, None if sources is None else _copied(sources, {}, None))


def _copied(rows: Rows, states: dict[str, Stream], source: Sequences | None) -> Sequences:
    check_memory(int(rows.lengths.sum()) * rows.width, "a copy of the inputs")
    lengths = np.ascontiguousarray(rows.lengths, dtype=np.int64)
    return Sequences(rows.lines(), lengths, rows.kind != "array", states, source)


def run(network: Sequential, kind: str, examples: Examples) -> tuple[Total, dict[str, NDArray[Any]]]:
    """The network's program of a kind, run over examples: its loss, and its outputs by role.

    Outputs are lines, row after row: [N, W] with one for each step (or step of the source), [n, W] with one
    for each row.
    """
    executor, n = network._executor(kind, examples), len(examples)
    counts = {Extent.STEPS: examples.lengths, Extent.ROWS: np.ones(n, dtype=np.int64)}
    if examples.source_lengths is not None:
        counts[Extent.SOURCE] = examples.source_lengths
    filled, streams = {}, {}
    for role, view in executor.program.outputs.items():
        lines = counts[view.extent]
        ends = np.cumsum(lines)
        check_memory(int(ends[-1]) * view.width, f"{role} at every step")
        filled[role] = np.zeros((ends[-1], view.width), dtype=executor.dtype)
        streams[role] = Stream(filled[role].reshape(-1), (ends - lines) * view.width, view.width)
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
