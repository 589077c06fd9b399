"""Labeller: one label for each step of a sequence, or for each pixel of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import choice
from karusel.errors import DataError, UsageError
from karusel.layers import LSTM, Dense, Dropout, Embedding, Layer
from karusel.losses import SoftmaxCrossEntropy
from karusel.tasks.fitting import Progress, check_choice, no_progress
from karusel.tasks.labelling import (
    ClassWeight,
    Labelling,
    label_array,
    number_labels,
    softmax,
    sweeps,
    taken,
)
from karusel.tasks.sequences import Images, Reader, Series, Texts, by_example
from karusel.tasks.task import all_or_nothing

__all__ = ["LabelStream", "Labeller"]

MEASURES = ("accuracy", "mean_iou")
_IMAGES_AT_ONCE = 16


class Labeller(Labelling):
    """Labels every step: of series of numbers, every word or character of texts, every pixel of images.

    An LSTM in both directions reads the sequence, and a softmax over the labels reads its output at each
    step. Images are cut into patches; one LSTM sweeps down and up, the next to the right and left (ReNet;
    Visin et al., 2015), and each step labels all pixels of its patch. Some examples are held out: the epoch
    with the least loss there is kept, and the probabilities are calibrated there by a temperature (Guo et
    al., 2017).

    Parameters
    ----------
    kind : "series", "texts" or "images"; texts are known by their type, other data are series by default.
    unit : of texts, "words" (default) or "characters".
    patch : pixels on each side of a patch of an image; 4 by default.
    direction : "bidirectional" (default), or "forward", whose labels do not depend on later steps, so that it
        can `stream`; of series and texts.
    hidden_size : hidden units of each direction; 64 by default.
    num_layers : LSTM layers, or rounds of sweeps; 1 by default.
    embedding_size : numbers for each word or character; 64 by default.
    dropout : share of numbers left out in training before and after the LSTM; 0.3 by default.
    epochs : most epochs; 20 by default.
    batch_size : examples per optimiser step; from 8 for few examples to 64 for many by default.
    learning_rate : of Adam with a cosine schedule; 0.003 by default.
    validation_share : share of the examples held out; 0.1 by default.
    class_weight : None, "balanced" to let every label count alike whatever its number of steps, or the weight
        of each label, 1 for those not named.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    classes_ : the labels, ascending.
    network_, reader_, temperature_ : what was fitted.
    history_ : losses by epoch.
    held_out_ : `count` of the examples held out and the `accuracy` there, a little too good: they chose the
        epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel.tasks import Labeller
    >>> X = [np.sin(np.arange(30) / 3 + k) for k in range(40)]
    >>> y = [np.where(one > 0, "up", "down") for one in X]
    >>> model = Labeller(hidden_size=8, epochs=20).fit(X, y)
    >>> model.predict([[-0.9, -0.5, 0.5, 0.9]])
    [array(['down', 'down', 'up', 'up'], dtype='<U4')]
    """

    task = "labeller"

    def __init__(
        self,
        *,
        kind: str | None = None,
        unit: str = "words",
        patch: int = 4,
        direction: str = "bidirectional",
        hidden_size: int = 64,
        num_layers: int = 1,
        embedding_size: int = 64,
        dropout: float = 0.3,
        epochs: int = 20,
        batch_size: int | None = None,
        learning_rate: float = 0.003,
        validation_share: float = 0.1,
        class_weight: ClassWeight = None,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.kind = kind
        self.unit = unit
        self.patch = patch
        self.direction = direction
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_share = validation_share
        self.class_weight = class_weight
        self.random_state = random_state
        self.n_jobs = n_jobs

    @all_or_nothing
    def fit(
        self, X: Any, y: Any, *, time_limit: float | None = None, progress: Progress = no_progress
    ) -> Labeller:
        """Fit to examples X and the labels y of their steps; returns self.

        X is a list or array of series [T, I] or [T]; a list of texts, each a list of words where words are
        labelled; or an array of images [n, R, C] or [n, R, C, F]. y holds the labels of each: a list of as
        many as it has steps, or an array [n, R, C]. Labels are text or whole numbers. `time_limit` is in
        seconds; `progress` is told each epoch and its losses.
        """
        self._check()
        if len(X) != len(y):
            raise DataError(
                f"there are {len(X):,} examples and labels for {len(y):,}; they must be equally many"
            )
        self.reader_ = reader = self._reader(X).fit(X)
        sequences = reader.read(X)
        labels = _label_arrays(reader, sequences, y)
        flat = np.concatenate([one.ravel() for one in labels])
        self.classes_, numbers = number_labels(flat)
        ends = np.cumsum([one.size for one in labels])
        targets: Any = [
            part.reshape(one.shape) for part, one in zip(np.split(numbers, ends[:-1]), labels, strict=True)
        ]
        if isinstance(reader, Images):
            targets = np.stack(targets)
        held_out = _held_out(len(targets), self.validation_share, self.random_state)
        rest = ~held_out
        weight_of = self._label_weights(np.concatenate([one.ravel() for one in taken(targets, rest)]))
        train, tested = (
            (taken(sequences, part), taken(targets, part), _weights(weight_of, taken(targets, part)))
            for part in (rest, held_out)
        )
        several = len(self.classes_) if isinstance(reader, Images) else None
        network = self._network(self._layers(reader))
        self._train(network, SoftmaxCrossEntropy(several), train, tested, [], progress, time_limit)
        logits = np.concatenate([self._per_label(one) for one in network.predict(tested[0])])
        truth = np.concatenate([one.ravel() for one in tested[1]])
        self._calibrate(logits, truth, int(held_out.sum()))
        return self

    def predict_proba(self, X: Any) -> Any:
        """The calibrated probability of each label at each step, in the order of `classes_`.

        A list of arrays [T, classes], or an array [n, R, C, classes] of images.
        """
        parts = list(self._probabilities(X))
        return np.concatenate(parts) if isinstance(self.reader_, Images) else parts

    def predict(self, X: Any) -> Any:
        """The likeliest label of each step: a list of arrays [T], or an array [n, R, C] of images."""
        parts = [self.classes_[np.argmax(one, axis=-1)] for one in self._probabilities(X)]
        return np.concatenate(parts) if isinstance(self.reader_, Images) else parts

    def score(self, X: Any, y: Any, measure: str = "accuracy") -> float:
        """How good the labels of X are, given the right ones.

        "accuracy" is the share of steps or pixels that get their label; "mean_iou" the mean, over all labels
        in y or in what is predicted, of the steps that have it in both / those that have it in either.
        """
        return self.compare(self.predict(X), y, measure)

    def compare(self, found: Any, y: Any, measure: str = "accuracy") -> float:
        """The same for labels that `predict` found before."""
        self._fitted()
        choice("Labeller", "measure", measure, MEASURES)
        if len(found) != len(y):
            raise DataError(
                f"there are {len(found):,} examples and labels for {len(y):,}; they must be equally many"
            )
        wanted = _label_arrays(self.reader_, found, y, joined=True)
        truth = self._numbers_of(np.concatenate([one.ravel() for one in wanted]))
        guess = self._numbers_of(np.concatenate([one.ravel() for one in found]))
        count = len(self.classes_)
        pairs = np.bincount(truth * count + guess, minlength=count * count).reshape(count, count)
        if measure == "accuracy":
            return float(np.trace(pairs) / pairs.sum())
        either = pairs.sum(axis=0) + pairs.sum(axis=1) - np.diag(pairs)
        return float(np.mean(np.diag(pairs)[either > 0] / either[either > 0]))

    def stream(self) -> LabelStream:
        """A stream of steps that are labelled as they come; needs direction="forward"."""
        self._fitted()
        return LabelStream(self)

    def _reader(self, X: Any) -> Reader:
        kind = self._kind_of(X)
        if kind == Texts.kind:
            return Texts(self.unit)
        return Images("patches", self.patch) if kind == Images.kind else Series()

    def _layers(self, reader: Reader) -> list[Layer]:
        classes = len(self.classes_)
        if isinstance(reader, Images):
            read = sweeps(reader.grid, self.hidden_size, self.num_layers)
            return [*read, Dropout(self.dropout), Dense(self.patch**2 * classes)]
        layers: list[Layer] = []
        if isinstance(reader, Texts):
            layers += [Embedding(reader.symbols, self.embedding_size), Dropout(self.dropout)]
        lstm = LSTM(
            self.hidden_size,
            num_layers=self.num_layers,
            direction=self.direction,
            dropout=self.dropout,
            return_sequences=True,
        )
        return [*layers, lstm, Dropout(self.dropout), Dense(classes)]

    def _take(self, header: dict[str, Any]) -> None:
        super()._take(header)
        pixels = self.reader_.patch**2 if isinstance(self.reader_, Images) else 1  # of a step
        self._check_outputs(pixels * len(self.classes_))

    def _check(self) -> None:
        super()._check()
        if self.kind is not None:
            check_choice(self, "kind", (Series.kind, Texts.kind, Images.kind))
        check_choice(self, "unit", ("words", "characters"))

    def _per_label(self, outputs: NDArray[Any]) -> NDArray[Any]:
        """Outputs of steps as logits [.., classes], one line for each label."""
        return outputs.reshape(-1, len(self.classes_))

    def _probabilities(self, X: Any) -> Iterator[NDArray[np.float64]]:
        """Probabilities of one sequence after the other, or of some images at a time."""
        self._fitted()
        reader = self.reader_
        if not isinstance(reader, Images):
            for one in self.network_.predict(reader.read(X)):
                yield softmax(np.asarray(one, np.float64) / self.temperature_)
            return
        classes, pixels = len(self.classes_), reader.pixels(X)
        for first in range(0, len(pixels), _IMAGES_AT_ONCE):
            part = reader.centred(pixels[first : first + _IMAGES_AT_ONCE])
            outputs = self.network_.predict(reader.cut(part))
            logits = reader.joined(np.asarray(outputs, np.float64))
            yield softmax(logits / self.temperature_).reshape(*logits.shape[:3], classes)


class LabelStream:
    """Steps that are labelled as they come: `labeller.stream()`.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel.tasks import Labeller
    >>> X = [np.sin(np.arange(30) / 3 + k) for k in range(40)]
    >>> y = [np.where(one > 0, "up", "down") for one in X]
    >>> stream = Labeller(hidden_size=8, epochs=20, direction="forward").fit(X, y).stream()
    >>> [str(stream.step(x)) for x in (0.9, 0.2, -0.9)]
    ['up', 'up', 'down']
    """

    def __init__(self, labeller: Labeller) -> None:
        if isinstance(labeller.reader_, Images):
            raise UsageError("images do not stream: their sweeps need all pixels; use predict")
        self._labeller = labeller
        self._stream = labeller.network_.stream()

    def step_proba(self, x: Any) -> NDArray[np.float64]:
        """The probability of each label [classes] at the next step: a number, several, or a word."""
        reader = self._labeller.reader_
        if isinstance(reader, Texts):
            (steps,) = reader.read([[x]])
        else:
            (steps,) = reader.read([np.asarray(x, np.float64).reshape(1, -1)])
        logits = np.asarray(self._stream.step(np.reshape(steps[0], -1)), np.float64)
        return softmax(logits / self._labeller.temperature_)

    def step(self, x: Any) -> Any:
        """The likeliest label of the next step."""
        return self._labeller.classes_[int(np.argmax(self.step_proba(x)))]

    def reset(self) -> None:
        """Forgets all steps."""
        self._stream.reset()


def _label_arrays(reader: Reader, sequences: Any, y: Any, joined: bool = False) -> list[NDArray[Any]]:
    """The labels of each example: as many as it has steps, or of images those of each patch [T, P * P].

    joined: those of images by pixels instead.
    """
    y = by_example(y)
    if isinstance(reader, Images):
        pixels = _of_one_kind([label_array(one, f"image {k}, label") for k, one in enumerate(y)])
        odd = next((one.shape for one in pixels if one.shape != reader.shape[:2]), None)
        if odd is not None:
            size, own = (" x ".join(map(str, one)) for one in (odd, reader.shape[:2]))
            raise DataError(f"the labels have {size} pixels, but the images {own}; every pixel needs a label")
        return pixels if joined else list(reader.cut(np.stack(pixels)[..., None]))
    arrays = []
    for number, (steps, one) in enumerate(zip(sequences, y, strict=True)):
        labels = label_array(list(one) if isinstance(one, str) else one, f"example {number}, label")
        if labels.shape != (len(steps),):
            what = {"series": "steps", "texts": "words or characters"}[reader.kind]
            raise DataError(
                f"example {number} has {len(steps)} {what} and labels of shape {list(labels.shape)}; each "
                "needs one label"
            )
        arrays.append(labels)
    return _of_one_kind(arrays)


def _of_one_kind(labels: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Labels of examples; raises `DataError` where some are text and others numbers."""
    odd = next(
        (k for k, one in enumerate(labels) if (one.dtype.kind == "U") != (labels[0].dtype.kind == "U")), None
    )
    if odd is not None:
        first, other = (labels[k].flat[0].item() for k in (0, odd))
        raise DataError(
            f"example 0 has the label {first!r}, example {odd} {other!r}; labels must be all text or all "
            "whole numbers: convert them"
        )
    return labels


def _weights(weight_of: NDArray[np.float32], targets: Any) -> Any:
    """The weight of each target, in the same shapes."""
    if isinstance(targets, np.ndarray):
        return weight_of[targets]
    return [weight_of[one] for one in targets]


def _held_out(examples: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which examples are held out: a share of them, at random, at least one and not all."""
    if examples < 2:
        raise DataError(
            "there is a single example; at least two are needed, to hold one out: cut it into parts"
        )
    held_out = np.zeros(examples, bool)
    rows = np.random.default_rng(seed).permutation(examples)
    held_out[rows[: min(int(np.ceil(share * examples)), examples - 1)]] = True
    return held_out
