"""Examples: the arrays that feed a program; executors take them as they are.

An example is one row of a batch: a sequence with its target. Streams say where each example lies in
flat storage, so windows that overlap, ragged rows and padded arrays all cost no copy. What callers give is
read and checked before, by `karusel.inputs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.windows import PIECE, Index, Runs

__all__ = ["Examples", "Stream", "piecewise", "printable", "scaled"]


@dataclass(frozen=True)
class Stream:
    """One array that feeds a buffer, or is filled from one.

    The line of example e at step t is values[starts[e] + t * stride :][:width]; buffers with one line
    per row use t = 0. What a buffer is fed is (line - shift[e]) * scale[e]; None: 0 and 1.
    """

    values: NDArray[Any]
    starts: Index | Runs
    stride: int
    shift: NDArray[Any] | None = None
    scale: NDArray[Any] | None = None

    def lines(self, examples: Index, width: int, t: int = 0) -> NDArray[Any]:
        """The lines of some examples at one step, copied."""
        first = self.starts[examples] + t * self.stride
        lines = self.values[first[:, None] + np.arange(width)]
        return scaled(lines, self.shift, self.scale, examples[:, None])

    def take(self, rows: Index) -> Stream:
        """The stream of these examples alone."""
        shift, scale = (None if a is None else a[rows] for a in (self.shift, self.scale))
        return Stream(self.values, printable(self.starts, rows), self.stride, shift, scale)


@dataclass(frozen=True)
class Examples:
    """Examples by number: their lengths, their inputs by role, and outputs to fill by role.

    weight_width: numbers of weight per line of the target; 0: none.
    source_lengths: of each example's source, if it has one.
    streams: if not 0, example e goes on from the state that example e - streams left: what the outputs of one
        write, the inputs of another read. Batches then hold `streams` examples, in order.
    """

    lengths: Index
    inputs: dict[str, Stream] = field(default_factory=dict)
    outputs: dict[str, Stream] = field(default_factory=dict)
    weight_width: int = 0
    source_lengths: Index | None = None
    streams: int = 0

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def max_steps(self) -> int:
        return int(self.lengths.max())

    @property
    def max_source_steps(self) -> int:
        return 0 if self.source_lengths is None else int(self.source_lengths.max())

    def ready(self, order: Index) -> tuple[Examples, Index]:
        """The examples in `order` as an executor takes them: with all starts written out."""
        if len(self) <= PIECE:
            return self, order
        return self.take(order), np.arange(len(order), dtype=np.int64)

    def take(self, rows: Index) -> Examples:
        """These examples alone."""
        inputs, outputs = (
            {role: stream.take(rows) for role, stream in streams.items()}
            for streams in (self.inputs, self.outputs)
        )
        sources = None if self.source_lengths is None else printable(self.source_lengths, rows)
        return replace(
            self,
            lengths=printable(self.lengths, rows),
            source_lengths=sources,
            inputs=inputs,
            outputs=outputs,
        )

    def pieces(self, rows: Index | Runs) -> Iterator[tuple[Examples, Index]]:
        """The examples in `rows`, ready, a piece at a time."""
        for places in piecewise(len(rows)):
            yield self.ready(rows[places])


def scaled(
    values: NDArray[Any], shift: NDArray[Any] | None, scale: NDArray[Any] | None, rows: Index
) -> NDArray[Any]:
    """Numbers as they are fed: (value - shift[row]) * scale[row]."""
    if shift is not None:
        values = values - shift[rows]
    return values if scale is None else values * scale[rows]


def printable(numbers: NDArray[Any] | Runs, places: Index) -> Index:
    """The numbers at these places, as an executor reads them."""
    return np.ascontiguousarray(numbers[places], dtype=np.int64)


def piecewise(n: int, each: int = 1) -> Iterator[Index]:
    """0 .. n - 1 in pieces; `each`: numbers that stand behind one place."""
    size = max(1, PIECE // each)
    for first in range(0, n, size):
        yield np.arange(first, min(first + size, n))
