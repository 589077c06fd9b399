"""Translator: sentences of one language to sentences of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.layers import LSTM, Dropout, Embedding, LayerNorm
from karusel.losses import SoftmaxCrossEntropy
from karusel.network import Sequential
from karusel.searching import search
from karusel.tasks.fitting import (
    Progress,
    check_dropout,
    check_learning,
    check_share,
    check_whole,
    fit_network,
    hold_out,
    no_progress,
    usual_batch,
)
from karusel.tasks.sequences import by_text
from karusel.tasks.task import Task, all_or_nothing
from karusel.tasks.tokens import END, Pairs, tokens_of, valid_text
from karusel.tasks.writing import after_end, bleu, decoder, decoding, text_of, with_end

__all__ = ["Alignment", "Translator"]

_STEPS = 400  # of an epoch, wanted
_BATCHES = (8, 64)
_POWER = 1.0  # of the length in the search

Tokens = NDArray[np.int32]


@dataclass(frozen=True)
class Alignment:
    """Where a translation looked: weights [T, S], of each of its T pieces over the S of its source.

    Pieces are byte pairs as text; the blank before a word is part of its first. The last of each is "", its
    end.
    """

    source: list[str]
    target: list[str]
    weights: NDArray[np.float32]

    @property
    def labels(self) -> tuple[list[str], list[str]]:
        """The pieces of source and target as they are shown: without blanks around them, the end by name."""
        shown = [
            [piece.strip() or ("(blank)" if piece else "(end)") for piece in pieces]
            for pieces in (self.source, self.target)
        ]
        return shown[0], shown[1]


class Translator(Task):
    """Learns to translate from sentences and their translations.

    An encoder, a bidirectional LSTM, reads the source; a decoder, an LSTM whose every step looks at the whole
    of it through an `Attention` (Luong et al. 2015), writes the translation. Both languages are cut into
    the same byte pairs (Sennrich et al. 2016), so any name can be copied. They need the package tokenizers.

    Parameters
    ----------
    vocabulary_size : byte pairs that both languages share; 6000 by default.
    hidden_size : hidden units of each LSTM, and numbers for each pair; 256 by default.
    num_layers : LSTM layers of the encoder; 1 by default.
    dropout : share of numbers left out in training between layers; 0.3 by default.
    beam_width : translations kept in the search; 5 by default. 1 follows the likeliest pair.
    epochs : most epochs; 12 by default.
    batch_size : sentences per optimiser step; from 8 for few to 64 for many by default.
    learning_rate : of Adam with a cosine schedule; 0.004 by default.
    validation_share : share of the sentences held out where no others are given; 0.1 by default.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.
    precision : of the network's products, "float32" (default) or "bf16", which is faster where the processor
        has matrix tiles for it; where it cannot, float32 is used, with a note. See `karusel.Sequential`.

    Attributes
    ----------
    tokens_ : the byte pairs.
    letters_ : the letters of the sources that it was trained on.
    network_ : what was fitted.
    history_ : nats per byte pair, by epoch.

    Examples
    --------
    >>> import itertools
    >>> from karusel.tasks import Translator
    >>> words = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four"}
    >>> sources = [" ".join(some) for n in (1, 2, 3) for some in itertools.product(words, repeat=n)]
    >>> targets = [" ".join(words[word] for word in one.split()) for one in sources]
    >>> model = Translator(vocabulary_size=300, hidden_size=48, dropout=0.1, epochs=60, learning_rate=0.01)
    >>> model = model.fit(sources, targets)
    >>> model.predict(["zwei drei eins"])
    ['two three one']
    """

    task = "translator"

    def __init__(
        self,
        *,
        vocabulary_size: int = 6000,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.3,
        beam_width: int = 5,
        epochs: int = 12,
        batch_size: int | None = None,
        learning_rate: float = 0.004,
        validation_share: float = 0.1,
        random_state: int = 0,
        n_jobs: int | None = None,
        precision: str = "float32",
    ) -> None:
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.beam_width = beam_width
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_share = validation_share
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.precision = precision

    # -- fitting ---------------------------------------------------------------------------------

    @all_or_nothing
    def fit(
        self,
        X: Sequence[str],
        y: Sequence[str],
        *,
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
        time_limit: float | None = None,
        progress: Progress = no_progress,
    ) -> Translator:
        """Fit to sentences X and their translations y; returns self.

        `validation` is (X, y) to hold out, instead of some of these. `time_limit` is in seconds; `progress`
        is told each epoch and its losses, in nats per byte pair.
        """
        self._check()
        sources, targets = _parallel(X, y)
        if validation is None:
            random = np.random.default_rng(self.random_state)
            held_out, rest = hold_out(random, len(sources), self.validation_share, "sentence")
            tested = [sources[k] for k in held_out], [targets[k] for k in held_out]
            sources, targets = [sources[k] for k in rest], [targets[k] for k in rest]
        else:
            tested = _parallel(*validation)
        self.tokens_ = Pairs(self.vocabulary_size).fit(sources + targets)
        self.letters_ = "".join(sorted({one for text in sources for one in text if one.isalpha()}))
        examples, read = decoding(self._tokens(targets)), self._read(sources)
        network = self._network()
        self.history_ = fit_network(
            network,
            SoftmaxCrossEntropy(),
            examples,
            (*decoding(self._tokens(tested[1])), None, self._read(tested[0])),
            epochs=self.epochs,
            batch_size=self.batch_size or usual_batch(len(read), _STEPS, *_BATCHES),
            learning_rate=self.learning_rate,
            progress=progress,
            source=read,
            time_limit=time_limit,
        )
        self.network_ = network
        return self

    def _network(self) -> Sequential:
        symbols, units, rate = self.tokens_.symbols, self.hidden_size, self.dropout
        encoder = [
            Embedding(symbols, units),
            LayerNorm(),  # as in the decoder
            Dropout(rate),
            LSTM(
                units,
                num_layers=self.num_layers,
                direction="bidirectional",
                dropout=rate,
                return_sequences=True,
            ),
            Dropout(rate),
        ]
        return Sequential(
            decoder(symbols, units, rate, encoder),
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            precision=self.precision,
        )

    # -- translating -----------------------------------------------------------------------------

    def predict(self, X: Sequence[str]) -> list[str]:
        """The translation of each sentence."""
        return [text_of(self.tokens_, tokens) for tokens in self._translate(self._sources(X))]

    def alignment(self, X: Sequence[str], y: Sequence[str] | None = None) -> list[Alignment]:
        """Where each translation looks; of the translations y, or of those that `predict` finds."""
        read = self._sources(X)
        if y is None:
            targets = self._translate(read)
        else:
            _, given = _parallel(X, y)
            targets = self._tokens(given)
        weights = self.network_.alignment([after_end(one) for one in targets], source=read)
        return [
            Alignment(self._pieces(source), self._pieces(target), found.astype(np.float32))
            for source, target, found in zip(read, map(with_end, targets), weights, strict=True)
        ]

    def score(self, X: Sequence[str], y: Sequence[str], *, tokenize: str = "13a") -> float:
        """BLEU of the translations of X against y; see `bleu`."""
        _, targets = _parallel(X, y)
        return self.bleu(self.predict(X), targets, tokenize=tokenize)

    @staticmethod
    def bleu(found: Sequence[str], y: Sequence[str], *, tokenize: str = "13a") -> float:
        """BLEU from 0 to 100 of translations found before, by sacrebleu; see `karusel.tasks.writing`.

        tokenize: how sacrebleu cuts into words: "13a", "intl", "char", or "none" for text cut already.
        """
        return bleu(found, [[one] for one in _sentences(y, "translation")], tokenize=tokenize)

    def _translate(self, sources: list[Tokens]) -> list[Tokens]:
        longest = [2 * len(one) + 10 for one in sources]
        found = search(self.network_, sources, longest, end=END, width=self.beam_width, power=_POWER)
        return [np.array(best[0].string, np.int32) for best in found]

    # -- keeping ---------------------------------------------------------------------------------

    def _kept(self) -> dict[str, Any]:
        return {"tokens": self.tokens_.config(), "letters": self.letters_}

    def _take(self, header: dict[str, Any]) -> None:
        tokens = tokens_of(header["tokens"])
        if not isinstance(tokens, Pairs):
            raise ValueError("its tokens are no byte pairs")
        self.tokens_, self.letters_ = tokens, str(header["letters"])
        self._check_outputs(tokens.symbols)

    # -- text ------------------------------------------------------------------------------------

    def _sources(self, X: Sequence[str]) -> list[Tokens]:
        """Sentences to translate, checked, as tokens."""
        self._fitted()
        sentences = _sentences(X, "sentence")
        known = self.letters_.casefold()
        for number, text in enumerate(sentences, start=1):
            letters = Counter(one for one in text.casefold() if one.isalpha())
            strange = [one for one in letters if one not in known]
            if 2 * sum(letters[one] for one in strange) > letters.total():
                raise DataError(
                    f"sentence {number} is written in letters that no sentence of the training had, such as "
                    f"{strange[0]!r}: the model reads another script"
                )
        return self._read(sentences)

    def _tokens(self, texts: Sequence[str]) -> list[Tokens]:
        return [self.tokens_.read(text) for text in texts]

    def _read(self, texts: Sequence[str]) -> list[Tokens]:
        """Sources, with their ends."""
        return [with_end(one) for one in self._tokens(texts)]

    def _pieces(self, tokens: Tokens) -> list[str]:
        return [*self.tokens_.write(tokens[:-1].tolist(), END), ""]

    def _check(self) -> None:
        check_share(self)
        check_learning(self)
        check_whole(self, "vocabulary_size", "num_layers", "beam_width", optional=("batch_size",))
        check_dropout(self, "dropout")


def _sentences(X: Any, what: str) -> list[str]:
    if isinstance(X, (str, bytes)) or not np.iterable(X):
        raise DataError(
            f"{what}s must be a list of texts, got {type(X).__name__}: put a single one in a list"
        )
    texts = list(by_text(X, what))
    if not texts:
        raise DataError(f"there is no {what}; give at least one")
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise DataError(f"{what} {number} is {type(text).__name__}, not text; convert it")
        if not valid_text(text, f"{what} {number}").strip():
            raise DataError(f"{what} {number} is empty; leave it out")
    return [text.strip() for text in texts]


def _parallel(X: Any, y: Any) -> tuple[list[str], list[str]]:
    """Sentences and their translations."""
    sources, targets = _sentences(X, "sentence"), _sentences(y, "translation")
    if len(sources) != len(targets):
        raise DataError(
            f"there are {len(sources):,} sentences and {len(targets):,} translations; they must be equally "
            "many"
        )
    return sources, targets
