"""Searching: the sequences that a network with an Attention writes after a source, the likeliest or drawn.

The encoder reads a source once. Then the layers after it make step by step: what was begun is kept as so many
rows beside one another, which share the encoded source, and whose states are carried along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import LARGEST_SEED, number_from_zero, whole_number
from karusel.batches import Examples, Stream
from karusel.errors import UsageError
from karusel.layers import LSTM, Embedding
from karusel.program.executor import EVALUATION_ROWS
from karusel.windows import Index

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["Found", "draw", "search"]

AT_ONCE = 64  # sources searched for side by side
ROWS = 1000  # strings drawn side by side
NEVER = -np.inf


@dataclass(frozen=True)
class Found:
    """A string of symbols, without its end, and the log of its probability, the end's included."""

    string: tuple[int, ...]
    log_p: float

    def score(self, power: float) -> float:
        """log p / T^power, T the steps that it took: what strings of different lengths are ranked by."""
        return float(self.log_p / (len(self.string) + 1) ** power)


def search(
    network: Sequential,
    sources: Sequence[Any],
    longest: Sequence[int],
    *,
    end: int = 0,
    width: int = 5,
    power: float = 1.0,
) -> list[list[Found]]:
    """For each source the best strings, the best first; at least one, at most `width`.

    Beam search: after each step the `width` likeliest beginnings are kept; a source is done when as many have
    ended. They are ranked by log p / T^power (length norm; Wu et al. 2016 has a like one), since log p alone
    prefers the short.

    Parameters
    ----------
    network
        Its first layer is an Embedding, its last a softmax over the same symbols; it has an Attention, and
        its other LSTMs run forward from zeros.
    sources
        What the network takes as `source=`.
    longest
        The most symbols to write for each; a string that has no end by then ends there.
    end
        The symbol that stands before the first and after the last.
    width
        Beginnings that are kept; 1 follows the likeliest symbol.
    power
        0: by log p alone; 1: by its mean over the steps.
    """
    whole_number("search", "width", width)
    number_from_zero("search", "power", power)
    order = sorted(range(len(sources)), key=lambda k: len(sources[k]))  # like beside like
    found: list[list[Found]] = [[] for _ in sources]
    for first in range(0, len(order), AT_ONCE):
        some = order[first : first + AT_ONCE]
        beams = _Beams(network, [sources[k] for k in some], [longest[k] for k in some], end, width)
        for k, ended in zip(some, beams.run(), strict=True):
            found[k] = sorted(ended, key=lambda one: -one.score(power))
    return found


def draw(
    network: Sequential,
    sources: Sequence[Any],
    longest: Sequence[int],
    *,
    end: int = 0,
    count: int = 100,
    seed: int = 0,
) -> list[list[tuple[int, ...]]]:
    """For each source `count` strings, without their ends, whose symbols are drawn by their probabilities.

    What is drawn for a source depends on the seed alone, not on the other sources. `network`, `sources`,
    `longest` and `end` are those of `search`.
    """
    whole_number("draw", "count", count)
    whole_number("draw", "seed", seed, 0, LARGEST_SEED)
    chance = np.random.default_rng(seed).random((max(longest, default=0), count))
    drawn: list[list[tuple[int, ...]]] = []
    at_once = max(1, ROWS // count)
    for first in range(0, len(sources), at_once):
        some = slice(first, first + at_once)
        drawn += _draw(_Steps(network, list(sources[some]), end), list(longest[some]), end, chance)
    return drawn


def _draw(
    steps: _Steps, longest: list[int], end: int, chance: NDArray[np.float64]
) -> list[list[tuple[int, ...]]]:
    count = chance.shape[1]
    strings: list[list[int]] = [[] for _ in range(len(longest) * count)]
    rows = np.arange(len(strings))  # those that go on
    last = np.full(len(rows), end, dtype=np.int32)
    states: dict[str, NDArray[Any]] = {}
    for step in range(max(longest, default=0)):
        p, states = steps.step(last, states, rows // count)
        below = np.cumsum(p, axis=1, dtype=np.float64)
        symbol = (below <= below[:, -1:] * chance[step, rows % count, None]).sum(axis=1)
        going = symbol != end
        for row, one in zip(rows[going], symbol[going], strict=True):
            strings[row].append(int(one))
        going &= np.array([step + 1 < longest[row // count] for row in rows])
        rows, last = rows[going], symbol[going].astype(np.int32)
        states = {role: state[going] for role, state in states.items()}
        if not len(rows):
            break
    return [[tuple(one) for one in strings[k * count : (k + 1) * count]] for k in range(len(longest))]


class _Steps:
    """Some sources, encoded, and what a step of the layers after the encoder makes."""

    def __init__(self, network: Sequential, sources: list[Any], end: int) -> None:
        for layer in network.layers:
            if isinstance(layer, LSTM) and (layer.direction != "forward" or layer.initial_state != "zeros"):
                raise UsageError(
                    f"search: LSTMs need direction='forward' and initial_state='zeros', got {layer!r}"
                )
        self._network = network
        rows = network._read_source(sources, len(sources))
        if rows is None:
            raise UsageError("search: the network needs an Attention")
        network._require_built()
        assert network.input_shape is not None
        first, outputs = network.layers[0], network._output.width
        known = first.input_dim if isinstance(first, Embedding) and network.input_shape[1] == 1 else 0
        if outputs > known:
            raise UsageError(
                "search: what the network writes it reads in the next step, so its first layer must be an "
                f"Embedding, of one symbol a step, that knows its {outputs} outputs, got {first!r}"
            )
        if network._last_activation != "softmax":
            raise UsageError(
                "search: the network's outputs must be probabilities: end it in a softmax, "
                f"got {network.layers[-1]!r}"
            )
        whole_number("search", "end", end, 0, known - 1)
        examples = Examples(rows.lengths, {"x": rows.stream()})
        self._lengths = rows.lengths
        self._memory, self._starts = network._lines("encode", "y", examples, "what the encoder makes")

    def step(
        self, last: NDArray[np.int32], states: dict[str, NDArray[Any]], source: Index
    ) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Probabilities [rows, symbols] of what comes after `last`, and the state each row is left in."""
        network, n, memory = self._network, len(last), self._memory
        each = np.arange(n, dtype=np.int64)
        inputs = {
            "x": Stream(last, each, 1),
            "source": Stream(memory.reshape(-1), self._starts[source] * memory.shape[1], memory.shape[1]),
        }
        examples = Examples(np.ones(n, np.int64), inputs, source_lengths=self._lengths[source])
        executor = network._executor("step", examples)
        left: dict[str, NDArray[Any]] = {}
        for role, buffer in executor.program.inputs.items():
            if role in inputs:
                continue
            begin, end = role, f"{role[:-1]}n"  # NAME.h0 and NAME.hn
            given = states.get(begin, np.zeros((n, buffer.width), dtype=network._dtype))
            left[begin] = np.empty_like(given)
            inputs[begin] = Stream(given.reshape(-1), each * buffer.width, buffer.width)
            examples.outputs[end] = Stream(left[begin].reshape(-1), each * buffer.width, buffer.width)
        symbols = executor.program.outputs["y"].width
        p = np.empty((n, symbols), dtype=network._dtype)
        examples.outputs["y"] = Stream(p.reshape(-1), each * symbols, symbols)
        executor.evaluate(network._weights, examples, each, EVALUATION_ROWS)
        return p, left


class _Beams:
    """The beginnings of strings for some sources, `width` for each, one row each."""

    def __init__(
        self, network: Sequential, sources: list[Any], longest: list[int], end: int, width: int
    ) -> None:
        self._steps, self._longest = _Steps(network, sources, end), longest
        self._end, self._width = end, width

    def run(self) -> list[list[Found]]:
        """What ended, for each source."""
        width = self._width
        ended: list[list[Found]] = [[] for _ in self._longest]
        source = np.arange(len(ended))  # of each group of `width` rows
        log_p = np.full((len(source), width), NEVER)
        log_p[:, 0] = 0.0  # at first there is one beginning, the empty one
        last = np.full(len(source) * width, self._end, dtype=np.int32)
        strings = np.empty((len(source), width, 0), dtype=np.int32)
        states: dict[str, NDArray[Any]] = {}
        while len(source):
            p, states = self._steps.step(last, states, np.repeat(source, width))
            before, symbol, log_p = self._likeliest(p, log_p)
            is_end = symbol == self._end
            for group, place in np.argwhere(is_end[:, :width] & (log_p[:, :width] > NEVER)):
                string = tuple(strings[group, before[group, place]].tolist())
                ended[source[group]].append(Found(string, float(log_p[group, place])))

            # The likeliest that go on, in their order.
            kept = np.argsort(is_end, axis=1, kind="stable")[:, :width]
            before, symbol = (np.take_along_axis(a, kept, axis=1) for a in (before, symbol))
            log_p = np.take_along_axis(log_p, kept, axis=1)
            strings = np.concatenate(
                [np.take_along_axis(strings, before[..., None], axis=1), symbol[..., None]], axis=2
            )
            for group, at in enumerate(source):
                if strings.shape[2] == self._longest[at] and not ended[at]:
                    ended[at].append(Found(tuple(strings[group, 0].tolist()), float(log_p[group, 0])))
            going = np.array(
                [len(ended[at]) < width and strings.shape[2] < self._longest[at] for at in source]
            )
            rows = (np.arange(len(source))[:, None] * width + before)[going].reshape(-1)
            states = {role: state[rows] for role, state in states.items()}
            source, log_p, strings = source[going], log_p[going], strings[going]
            last = symbol[going].reshape(-1).astype(np.int32)
        return [one[: self._width] for one in ended]

    def _likeliest(
        self, p: NDArray[Any], log_p: NDArray[np.float64]
    ) -> tuple[Index, Index, NDArray[np.float64]]:
        """Of each group the 2 width likeliest ways on, the likeliest first: the beginning, the symbol, log p.

        Twice as many as are kept, since each beginning may end.
        """
        width = self._width
        most = min(2 * width, p.shape[1])
        symbols = np.argpartition(p, -most, axis=1)[:, -most:]
        with np.errstate(divide="ignore"):
            ways = np.log(np.take_along_axis(p, symbols, axis=1).astype(np.float64))
        ways = (ways + log_p.reshape(-1, 1)).reshape(len(log_p), -1)
        symbols = symbols.reshape(len(log_p), -1)
        best = np.argsort(-ways, axis=1, kind="stable")[:, : 2 * width]
        return (
            best // most,
            np.take_along_axis(symbols, best, axis=1),
            np.take_along_axis(ways, best, axis=1),
        )
