"""Classifier: one label for a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.callbacks import Callback
from karusel.errors import DataError
from karusel.layers import LSTM, Dense, Dropout, Embedding, Layer, Pool
from karusel.losses import SoftmaxCrossEntropy
from karusel.tasks.fitting import Progress, check_choice, check_whole, no_progress
from karusel.tasks.labelling import (
    ClassWeight,
    Labelling,
    label_array,
    number_labels,
    softmax,
    sweeps,
    taken,
)
from karusel.tasks.moving import Moved
from karusel.tasks.sequences import SWEEPS, TEXT_UNITS, Images, Reader, Series, Texts, Videos
from karusel.tasks.task import all_or_nothing

__all__ = ["Classifier"]


class Classifier(Labelling):
    """Labels whole sequences: series of numbers, texts, images and videos read as sequences.

    An LSTM in both directions reads the sequence; the mean and the largest of its outputs over all steps go
    to a softmax over the labels. Of images in patches one LSTM sweeps down and up, the next to the right and
    left (ReNet; Visin et al., 2015), of videos a third one forth and back in time. Pixel by pixel an LSTM
    begins with long memories (Tallec & Ollivier, 2018). A part of the training data is held out: the epoch
    with the least loss there is kept, and the probabilities are calibrated there by a temperature (Guo et
    al., 2017).

    Parameters
    ----------
    kind : "series", "texts", "images" or "videos"; texts are known by their type, other data are series by
        default.
    unit : of texts, "words" (default), "characters" or "pairs" (needs the extra `text`).
    sweep : of images, "patches" (default), "rows" or "pixels"; `patch` pixels on each side, 4 by default.
    shift : pixels by which training images and videos are moved, anew for each epoch and at random between
        none and so many in each direction; 0 by default.
    direction : "bidirectional" (default) or "forward", of all but images in patches and videos.
    hidden_size : hidden units of each direction; 64 by default.
    num_layers : LSTM layers, or rounds of sweeps; 1 by default.
    embedding_size : numbers for each word, character or byte pair; 64 by default.
    dropout : share of numbers left out in training before and after the LSTM; 0.3 by default.
    epochs : most epochs; 20 by default.
    batch_size : examples per optimiser step; from 8 for few examples to 64 for many by default.
    learning_rate : of Adam with a cosine schedule; 0.003 by default.
    validation_share : share of the examples held out; 0.1 by default.
    class_weight : None, "balanced" to let every label count alike whatever its number of examples, or the
        weight of each label, 1 for those not named.
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
    >>> from karusel.tasks import Classifier
    >>> t = np.arange(20)
    >>> X = [np.sin(t / (2 if k % 2 else 4)) for k in range(60)]
    >>> y = ["fast" if k % 2 else "slow" for k in range(60)]
    >>> model = Classifier(hidden_size=8, epochs=10).fit(X, y)
    >>> model.predict([np.sin(t / 2)])
    array(['fast'], dtype='<U4')
    """

    task = "classifier"

    def __init__(
        self,
        *,
        kind: str | None = None,
        unit: str = "words",
        sweep: str = "patches",
        patch: int = 4,
        shift: int = 0,
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
        self.sweep = sweep
        self.patch = patch
        self.shift = shift
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
    ) -> Classifier:
        """Fit to examples X and their labels y; returns self.

        X is a list or array of series [T, I] or [T]; a list of texts; an array of images [n, R, C] or
        [n, R, C, F], or of videos [n, frames, R, C] or [n, frames, R, C, F]. y holds one label for each: text
        or whole numbers. `time_limit` is in seconds; `progress` is told each epoch and its losses.
        """
        self._check()
        labels = label_array(y)
        if labels.ndim != 1 or labels.size == 0:
            raise DataError(f"labels must be one for each example, got shape {list(labels.shape)}")
        if len(X) != len(labels):
            raise DataError(
                f"there are {len(X):,} examples and {len(labels):,} labels; they must be equally many"
            )
        self.classes_, targets = number_labels(labels)
        self.reader_ = reader = self._reader(X).fit(X)
        sequences = reader.read(X)
        held_out = _held_out(targets, self.validation_share, self.random_state)
        rest = ~held_out
        weights = self._label_weights(targets[rest])[targets]
        train, tested = taken(sequences, rest), taken(sequences, held_out)
        network = self._network(self._layers(reader))
        moved: list[Callback] = []
        if self.shift and isinstance(reader, Images):
            train = train.astype(network._dtype)
            moved = [Moved(reader, reader.numbers(X)[rest], train, self.shift, self.random_state)]
        self._train(
            network,
            SoftmaxCrossEntropy(),
            (train, targets[rest], weights[rest]),
            (tested, targets[held_out], weights[held_out]),
            moved,
            progress,
            time_limit,
        )
        self._calibrate(self.network_.predict(tested), targets[held_out], int(held_out.sum()))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The calibrated probability of each label [n, classes], in the order of `classes_`."""
        self._fitted()
        logits = np.asarray(self.network_.predict(self.reader_.read(X)), np.float64)
        return softmax(logits / self.temperature_)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of each example [n]."""
        numbers = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[numbers])

    def score(self, X: Any, y: Any) -> float:
        """The share of examples that get their label."""
        return self.compare(self.predict(X), y)

    def compare(self, found: NDArray[Any], y: Any) -> float:
        """The same for labels that `predict` found before."""
        self._fitted()
        wanted = label_array(y)
        if wanted.shape != found.shape:
            raise DataError(f"there are {len(found):,} examples and labels of shape {list(wanted.shape)}")
        self._numbers_of(wanted)
        return float(np.mean(found == wanted))

    def _reader(self, X: Any) -> Reader:
        kind = self._kind_of(X)
        if kind == Texts.kind:
            return Texts(self.unit)
        if kind == Images.kind:
            return Images(self.sweep, self.patch)
        return Videos(self.sweep, self.patch) if kind == Videos.kind else Series()

    def _layers(self, reader: Reader) -> list[Layer]:
        layers: list[Layer] = []
        if isinstance(reader, Texts):
            layers += [Embedding(reader.symbols, self.embedding_size), Dropout(self.dropout)]
        if isinstance(reader, Images) and reader.sweep == "patches":
            layers += sweeps(reader.grid, self.hidden_size, self.num_layers)
        else:
            # A pixel says little by itself: memories last up to two rows from the start.
            memory: dict[str, Any] = {}
            if isinstance(reader, Images) and reader.sweep == "pixels":
                memory = {"init": "chrono", "chrono_length": 2 * reader.shape[1]}
            layers.append(
                LSTM(
                    self.hidden_size,
                    num_layers=self.num_layers,
                    direction=self.direction,
                    dropout=self.dropout,
                    return_sequences=True,
                    **memory,
                )
            )
        return [*layers, Pool(), Dropout(self.dropout), Dense(len(self.classes_))]

    def _take(self, header: dict[str, Any]) -> None:
        super()._take(header)
        self._check_outputs(len(self.classes_), per_step=False)

    def _check(self) -> None:
        super()._check()
        check_choice(self, "unit", TEXT_UNITS)
        check_choice(self, "sweep", SWEEPS)
        check_whole(self, "shift", least=0)


def _held_out(targets: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which examples are held out: of every label its share, at random, but never all of one."""
    random = np.random.default_rng(seed)
    held_out = np.zeros(len(targets), bool)
    for number in range(targets.max() + 1):
        rows = random.permutation(np.flatnonzero(targets == number))
        held_out[rows[: min(int(np.ceil(share * rows.size)), rows.size - 1)]] = True
    if not held_out.any():
        raise DataError("every label has a single example; at least one label needs two, to hold one out")
    return held_out
