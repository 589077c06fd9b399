"""Writing: what tasks have in common whose networks write a text while they look at a source.

Texts are lists of tokens with an end; the decoder reads what was written so far, an end at first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import choice, whole_number
from karusel.errors import DataError, MissingDependencyError
from karusel.layers import LSTM, Attention, Dense, Dropout, Embedding, Layer, LayerNorm
from karusel.tasks.tokens import END, Tokens

__all__ = ["after_end", "bleu", "decoder", "decoding", "most_alike", "text_of", "with_end"]

_TOKENIZERS = ("13a", "none", "intl", "char")
_MOST_ORDER = 4

Ids = NDArray[np.int32]


def decoder(symbols: int, units: int, dropout: float, encoder: list[Layer]) -> list[Layer]:
    """Layers that write so many symbols, each step looking at what `encoder` made of the source.

    Embeddings begin small, as a softmax that shares them needs; LSTMs learn faster from larger numbers.
    """
    return [
        Embedding(symbols, units),
        LayerNorm(),
        Dropout(dropout),
        LSTM(units, return_sequences=True),
        Attention(units, encoder),
        Dropout(dropout),
        Dense(symbols, activation="softmax", tied=True),
    ]


def with_end(tokens: Ids) -> Ids:
    """A text's tokens and its end."""
    return np.append(tokens, np.int32(END))


def after_end(tokens: Ids) -> Ids:
    """What the decoder reads to write a text's tokens and its end."""
    return np.insert(tokens, 0, END)


def decoding(texts: Sequence[Ids]) -> tuple[list[Ids], list[Ids]]:
    """What the decoder reads, and what comes next, of texts without their ends."""
    return [after_end(one) for one in texts], [with_end(one) for one in texts]


def text_of(units: Tokens, ids: Ids) -> str:
    """The text that tokens make, without blanks around it."""
    text: str = units.join(units.write(ids.tolist(), END))
    return text.strip()


def most_alike(candidates: Sequence[tuple[int, ...]], drawn: Sequence[tuple[int, ...]]) -> int:
    """The number of the candidate that has most tokens in common with texts drawn from the same network.

    That is the largest mean of F1 = 2 |a and b| / (|a| + |b|) over bags of tokens: the least Bayes risk
    (Kumar & Byrne 2004; with texts drawn, Eikema & Aziz 2020).
    """
    bags = [Counter(one) for one in drawn if one]

    def gain(candidate: tuple[int, ...]) -> float:
        bag = Counter(candidate)
        return sum((bag & other).total() / (len(candidate) + other.total()) for other in bags)

    return int(np.argmax([gain(one) for one in candidates]))


def bleu(
    found: Sequence[str], references: Sequence[Sequence[str]], *, tokenize: str = "13a", order: int = 4
) -> float:
    """BLEU from 0 to 100 (Papineni et al. 2002) by the package sacrebleu, against one or more texts for each.

    tokenize: how sacrebleu cuts into words: "13a", "intl", "char", or "none" for text cut already.
    order: the longest strings of words that count; BLEU-1 counts single words.

    Raises `DataError` for texts and references that are not equally many, or none.
    """
    choice("bleu", "tokenize", tokenize, _TOKENIZERS)
    whole_number("bleu", "order", order, 1, _MOST_ORDER)
    try:
        from sacrebleu import BLEU
    except ImportError:
        raise MissingDependencyError(
            "BLEU needs the package sacrebleu: pip install 'karusel[translate]'"
        ) from None
    if isinstance(found, (str, bytes)) or not all(isinstance(one, str) for one in found):
        raise DataError("what was found must be a list of texts: put a single one in a list")
    if len(found) != len(references):
        raise DataError(
            f"there are {len(found):,} texts found and references of {len(references):,}; they must be "
            "equally many"
        )
    if len(found) == 0:
        raise DataError("there are no texts; give at least one")
    most = max(map(len, references))
    streams: Any = [[one[k] if k < len(one) else None for one in references] for k in range(most)]
    # `force`: no warning that text seems to be cut already.
    metric = BLEU(tokenize=tokenize, max_ngram_order=order, force=True)
    return float(metric.corpus_score(list(found), streams).score)
