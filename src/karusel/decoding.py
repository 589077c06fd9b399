"""Decoders: strings of symbols from what a network trained with CTC gives at each step.

Both read probabilities p [T, O], column 0 for the blank; an alignment becomes its string when equal
neighbours are made one and blanks are left out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number

__all__ = ["beam", "greedy"]

NEVER = -math.inf


def log_sum(a: float, b: float) -> float:
    """log(exp a + exp b)"""
    top = max(a, b)
    return top if top == NEVER else top + math.log1p(math.exp(min(a, b) - top))


def greedy(p: NDArray[Any], before: int = 0) -> tuple[int, ...]:
    """The string of the likeliest alignment: the likeliest symbol of each step.

    before: the likeliest symbol of the step before these, where they go on from others; 0: none.
    """
    path = np.argmax(p, axis=1)
    new = path != np.concatenate([[before], path[:-1]])
    return tuple(path[new & (path != 0)].tolist())


def beam(p: NDArray[Any], width: int = 16) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest strings and the log of their probability, summed over alignments; likeliest first.

    Prefix search with a beam (Graves et al. 2006; Hannun et al. 2014): after each step the `width` likeliest
    beginnings of strings are kept, each with the probabilities of its alignments that end in a blank and
    in its last symbol. Sums leave out what fell off the beam.

    Parameters
    ----------
    p
        [T, O] probabilities of each step.
    width
        Beginnings that are kept; at least 1.
    """
    whole_number("beam", "width", width)
    with np.errstate(divide="ignore"):
        log_p = np.log(np.asarray(p, dtype=np.float64))
    begun: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, NEVER)}  # ends in a blank, in a symbol
    for line in log_p.tolist():
        symbols = sorted(range(1, len(line)), key=lambda k: -line[k])[:width]
        found: dict[tuple[int, ...], list[float]] = {}
        for string, (blank, symbol) in begun.items():
            whole = log_sum(blank, symbol)
            own = found.setdefault(string, [NEVER, NEVER])
            own[0] = log_sum(own[0], whole + line[0])
            if string:
                own[1] = log_sum(own[1], symbol + line[string[-1]])
            for k in symbols:
                longer = found.setdefault((*string, k), [NEVER, NEVER])
                begin = blank if string and string[-1] == k else whole
                longer[1] = log_sum(longer[1], begin + line[k])
        ranked = sorted(found.items(), key=lambda item: -log_sum(*item[1]))
        begun = {string: (one[0], one[1]) for string, one in ranked[:width] if max(one) > NEVER}
    return [(string, log_sum(*ends)) for string, ends in begun.items()]
