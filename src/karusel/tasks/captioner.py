"""Captioner: images to texts that say what they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.callbacks import Callback
from karusel.errors import DataError
from karusel.layers import Dense, Dropout
from karusel.losses import SoftmaxCrossEntropy
from karusel.network import Sequential
from karusel.searching import draw, search
from karusel.tasks.fitting import (
    Progress,
    check_choice,
    check_dropout,
    check_flag,
    check_learning,
    check_share,
    check_whole,
    fit_network,
    hold_out,
    no_progress,
    usual_batch,
)
from karusel.tasks.labelling import sweeps
from karusel.tasks.moving import Moved
from karusel.tasks.sequences import Images, by_text, reader_of
from karusel.tasks.task import Task, all_or_nothing
from karusel.tasks.tokens import END, UNKNOWN, Pairs, Tokens, Words, tokens_of, valid_text
from karusel.tasks.writing import after_end, bleu, decoder, decoding, most_alike, text_of

__all__ = ["Captioner", "Look"]

_UNITS: dict[str, type[Any]] = {one.unit: one for one in (Words, Pairs)}
_STEPS = 100  # of an epoch, wanted
_BATCHES = (8, 64)
_AT_ONCE = 64  # images read at once


@dataclass(frozen=True)
class Look:
    """Where a caption looked: weights [T, rows, columns], of each of its T words over the patches.

    The weights of a word sum to one.
    """

    words: list[str]
    weights: NDArray[np.float32]


class Captioner(Task):
    """Learns to say in words what images show, from images and their captions.

    Images are cut into patches, and LSTMs sweep over them down and up, then right and left (ReNet; Visin et
    al. 2015). A decoder, an LSTM whose every step looks at all patches through an `Attention` (Luong et al.
    2015; for captions Xu et al. 2015), writes the caption. Some images are held out: the epoch with the least
    loss there is kept.

    Parameters
    ----------
    unit : "words" (default), what stands between blanks, or "pairs", byte pairs (needs the extra `text`).
    vocabulary_size : words or byte pairs that are known, the most frequent; 2000 by default. Other words are
        never written.
    patch : pixels on each side of a patch; 8 by default.
    shift : pixels by which training images are moved, anew for each epoch and at random between none and so
        many in each direction; 0 by default.
    mirror : whether half of the training images, anew for each epoch, change left and right; False by
        default, since captions may tell them apart.
    hidden_size : hidden units of each LSTM, and numbers for each word; 128 by default.
    num_layers : rounds of sweeps; 1 by default.
    dropout : share of numbers left out in training between layers; 0.3 by default.
    beam_width : captions kept in the search; 5 by default. 1 follows the likeliest word.
    samples : captions drawn for each image; of those that the search found, the one is taken that is most
        like these. 100 by default. 0 takes the likeliest.
    epochs : most epochs; 20 by default.
    batch_size : captions per optimiser step; from 8 for few to 64 for many by default.
    learning_rate : of Adam with a cosine schedule; 0.004 by default.
    validation_share : share of the images held out where no others are given; 0.1 by default.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.
    precision : of the network's products, "float32" (default) or "bf16", which is faster where the processor
        has matrix tiles for it; where it cannot, float32 is used, with a note. See `karusel.Sequential`.

    Attributes
    ----------
    tokens_ : the words or byte pairs.
    reader_ : how images are cut into patches.
    longest_ : tokens of the longest caption of the training.
    network_ : what was fitted.
    history_ : nats per word or byte pair, by epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel.tasks import Captioner
    >>> dark = np.random.default_rng(0).integers(0, 100, (60, 8, 8)).astype(np.uint8)
    >>> X = np.concatenate([dark, dark + 150])
    >>> y = ["a dark image"] * 60 + ["an image full of light"] * 60
    >>> model = Captioner(patch=4, hidden_size=16, dropout=0.1, epochs=10, learning_rate=0.01).fit(X, y)
    >>> model.predict(X[[0, -1]])
    ['a dark image', 'an image full of light']
    """

    task = "captioner"
    fits = "fit(images, captions)"

    def __init__(
        self,
        *,
        unit: str = "words",
        vocabulary_size: int = 2000,
        patch: int = 8,
        shift: int = 0,
        mirror: bool = False,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.3,
        beam_width: int = 5,
        samples: int = 100,
        epochs: int = 20,
        batch_size: int | None = None,
        learning_rate: float = 0.004,
        validation_share: float = 0.1,
        random_state: int = 0,
        n_jobs: int | None = None,
        precision: str = "float32",
    ) -> None:
        self.unit = unit
        self.vocabulary_size = vocabulary_size
        self.patch = patch
        self.shift = shift
        self.mirror = mirror
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.beam_width = beam_width
        self.samples = samples
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
        X: Any,
        y: Sequence[str | Sequence[str]],
        *,
        validation: tuple[Any, Sequence[str | Sequence[str]]] | None = None,
        time_limit: float | None = None,
        progress: Progress = no_progress,
    ) -> Captioner:
        """Fit to images X and their captions y; returns self.

        X is an array [n, R, C] or [n, R, C, colours]; y holds a caption of each, or a list of several.
        `validation` is (X, y) to hold out, instead of some of these. `time_limit` is in seconds; `progress`
        is told each epoch and its losses.
        """
        self._check()
        captions = _captions(X, y)
        self.reader_ = reader = Images("patches", self.patch).fit(X)
        pixels = reader.numbers(X)
        if validation is None:
            random = np.random.default_rng(self.random_state)
            held_out, rest = hold_out(random, len(captions), self.validation_share, "image")
            tested = pixels[held_out], [captions[k] for k in held_out]
            pixels, captions = pixels[rest], [captions[k] for k in rest]
        else:
            tested = reader.numbers(validation[0]), _captions(*validation)
        self.tokens_ = _UNITS[self.unit](self.vocabulary_size).fit([one for its in captions for one in its])
        network = self._network()
        of, read, following, weights = self._examples(captions)
        source = reader.cut(pixels)[of].astype(network._dtype)
        moved: list[Callback] = []
        if self.shift or self.mirror:
            moved = [Moved(reader, pixels, source, self.shift, self.random_state, of=of, mirror=self.mirror)]
        its, *examples = self._examples(tested[1])
        self.longest_ = max(map(len, following))
        self.history_ = fit_network(
            network,
            SoftmaxCrossEntropy(),
            (read, following),
            (*examples, reader.cut(tested[0])[its]),
            epochs=self.epochs,
            batch_size=self.batch_size or usual_batch(len(read), _STEPS, *_BATCHES),
            learning_rate=self.learning_rate,
            callbacks=moved,
            progress=progress,
            sample_weight=weights,
            source=source,
            time_limit=time_limit,
        )
        self.network_ = network
        return self

    def _examples(
        self, captions: list[list[str]]
    ) -> tuple[NDArray[np.int64], list[Any], list[Any], list[Any]]:
        """Of every caption: the number of its image, what the decoder reads, what comes next, and weights.

        Unknown words are read, but never to be written.
        """
        of = np.repeat(np.arange(len(captions)), [len(its) for its in captions])
        read, following = decoding([self.tokens_.read(one) for its in captions for one in its])
        weights = [self._written(one).astype(np.float32) for one in following]
        return of, read, following, weights

    def _written(self, tokens: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which tokens are such as may be written."""
        return tokens != UNKNOWN if self.unit == Words.unit else np.ones(len(tokens), bool)

    def _network(self) -> Sequential:
        units, steps = self.hidden_size, (None, self.patch**2 * self.reader_.shape[2])
        encoder = [
            Dense(units, activation="relu", input_shape=steps),
            *sweeps(self.reader_.grid, units, self.num_layers),
            Dropout(self.dropout),
        ]
        return Sequential(
            decoder(self.tokens_.symbols, units, self.dropout, encoder),
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            precision=self.precision,
        )

    # -- captions --------------------------------------------------------------------------------

    def predict(self, X: Any) -> list[str]:
        """A caption of each image."""
        self._fitted()
        return [text_of(self.tokens_, tokens) for tokens, _ in self._found(X)]

    def attention(self, X: Any) -> list[Look]:
        """Where the caption that `predict` finds for each image looked, word by word."""
        self._fitted()
        looks = []
        for tokens, source in self._found(X):
            (weights,) = self.network_.alignment([after_end(tokens)], source=[source])
            pieces = [one.strip() for one in self.tokens_.write(tokens.tolist(), END)]
            grid = weights[:-1].reshape(len(tokens), *self.reader_.grid)  # all but the end
            looks.append(Look(pieces, grid.astype(np.float32)))
        return looks

    def score(
        self, X: Any, y: Sequence[str | Sequence[str]], *, tokenize: str = "13a", order: int = 4
    ) -> float:
        """BLEU of the captions of X against one or more others of each; see `bleu`."""
        captions = _captions(X, y)
        return self.bleu(self.predict(X), captions, tokenize=tokenize, order=order)

    @staticmethod
    def bleu(
        found: Sequence[str], y: Sequence[str | Sequence[str]], *, tokenize: str = "13a", order: int = 4
    ) -> float:
        """BLEU from 0 to 100 of captions found before, by the package sacrebleu; see `karusel.tasks.writing`.

        order: the longest strings of words that count: 1 for BLEU-1, up to 4. tokenize: how sacrebleu cuts
        into words: "13a", "intl", "char", or "none" for text cut already.
        """
        return bleu(found, _captions(found, y), tokenize=tokenize, order=order)

    def _found(self, X: Any) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """The tokens of each image's caption, and its patches."""
        pixels = self.reader_.numbers(X)
        for first in range(0, len(pixels), _AT_ONCE):
            sources = list(self.reader_.cut(pixels[first : first + _AT_ONCE]))
            longest = [self.longest_] * len(sources)
            found = search(self.network_, sources, longest, end=END, width=self.beam_width)
            strings = [[one.string for one in its] for its in found]
            best = [0] * len(strings)
            if self.samples and self.beam_width > 1:
                drawn = draw(
                    self.network_, sources, longest, end=END, count=self.samples, seed=self.random_state
                )
                best = [most_alike(its, like) for its, like in zip(strings, drawn, strict=True)]
            for its, k, source in zip(strings, best, sources, strict=True):
                yield np.array(its[k], np.int32), source

    # -- keeping ---------------------------------------------------------------------------------

    def _kept(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens_.config(),
            "reader": self.reader_.config(),
            "longest": self.longest_,
        }

    def _take(self, header: dict[str, Any]) -> None:
        tokens, reader = tokens_of(header["tokens"]), reader_of(header["reader"])
        if not isinstance(tokens, Tokens) or type(reader) is not Images:
            raise ValueError("it reads no images, or writes no text")
        self.tokens_, self.reader_, self.longest_ = tokens, reader, int(header["longest"])
        self._check_outputs(tokens.symbols)

    def _check(self) -> None:
        check_choice(self, "unit", _UNITS)
        check_share(self)
        check_learning(self)
        check_whole(self, "patch", "num_layers", "beam_width", optional=("batch_size",))
        check_whole(self, "vocabulary_size", least=2)
        check_whole(self, "shift", "samples", least=0)
        check_dropout(self, "dropout")
        check_flag(self, "mirror")


def _captions(X: Any, y: Any) -> list[list[str]]:
    """The captions of each image, checked."""
    if isinstance(y, (str, bytes)) or not np.iterable(y):
        raise DataError(f"captions must be a list with those of each image, got {type(y).__name__}")
    listed = list(by_text(y, "caption"))
    if len(X) != len(listed):
        raise DataError(
            f"there are {len(X):,} images and captions of {len(listed):,}; they must be equally many"
        )
    if not listed:
        raise DataError("there are no images; give at least one")
    several = []
    for number, given in enumerate(listed, start=1):
        if not np.iterable(given) or isinstance(given, bytes):
            raise DataError(
                f"image {number} has {type(given).__name__} for captions; give a text or a list of texts"
            )
        its = [given] if isinstance(given, str) else list(given)
        if not its:
            raise DataError(f"image {number} has no caption; give one, or leave it out")
        for one in its:
            if not isinstance(one, str) or not one.strip():
                raise DataError(f"image {number} has the caption {one!r}; give a text, or leave it out")
            valid_text(one, f"the caption of image {number}")
        several.append([" ".join(one.split()) for one in its])
    return several
