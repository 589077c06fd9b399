"""Classifier: one label for a whole sequence."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.callbacks import Callback, EarlyStopping
from karusel.errors import DataError, ModelFileError, UsageError
from karusel.layers import LSTM, Dense, Dropout, Embedding, Layer, Pool
from karusel.losses import SoftmaxCrossEntropy
from karusel.network import Sequential, fill
from karusel.optimizers import Adam, Cosine
from karusel.tasks.sequences import READERS, Images, Reader, Series, Texts, reader_of

__all__ = ["Classifier"]

_SETTINGS = (
    *("kind", "unit", "sweep", "patch", "hidden_size", "num_layers", "embedding_size", "dropout", "epochs"),
    *("batch_size", "learning_rate", "validation_share", "class_weight", "random_state", "n_jobs"),
)
_TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(8), 61))
_STEPS = 50  # of an epoch, wanted
_BATCHES = (8, 64)
_AVERAGED = 0.05  # of all steps, over which weights are averaged


class Classifier:
    """Labels whole sequences: series of numbers, texts, or images read as sequences.

    An LSTM in both directions reads the sequence; the mean and the largest of its outputs over all steps go
    to a softmax over the labels. Of images in patches one LSTM sweeps down and up, the next to the right and
    left (after ReNet; Visin et al., 2015). A part of the training data is held out: the epoch with the least
    loss there is kept, and the probabilities are calibrated there by a temperature (Guo et al., 2017).

    Parameters
    ----------
    kind : "series", "texts" or "images"; texts are known by their type.
    unit : of texts, "words" (default) or "characters".
    sweep : of images, "patches" (default), "rows" or "pixels"; `patch` pixels on each side, 4 by default.
    hidden_size : hidden units of each direction; 64 by default.
    num_layers : LSTM layers; 1 by default.
    embedding_size : numbers for each word or character; 64 by default.
    dropout : share of numbers left out in training before and after the LSTM; 0.3 by default.
    epochs : most epochs; 20 by default.
    batch_size : examples per optimiser step; from 8 for few examples to 64 for many by default.
    learning_rate : of Adam with a cosine schedule; 0.003 by default.
    validation_share : share of the examples held out; 0.1 by default.
    class_weight : None, or "balanced" to let every label count alike whatever its number of examples.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    classes_ : the labels, ascending.
    network_, reader_, temperature_ : what was fitted.
    history_ : losses by epoch.

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

    def __init__(
        self,
        *,
        kind: str | None = None,
        unit: str = "words",
        sweep: str = "patches",
        patch: int = 4,
        hidden_size: int = 64,
        num_layers: int = 1,
        embedding_size: int = 64,
        dropout: float = 0.3,
        epochs: int = 20,
        batch_size: int | None = None,
        learning_rate: float = 0.003,
        validation_share: float = 0.1,
        class_weight: str | None = None,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.kind = kind
        self.unit = unit
        self.sweep = sweep
        self.patch = patch
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

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        time_limit: float | None = None,
        progress: Callable[[int, dict[str, float]], None] = lambda epoch, logs: None,
    ) -> Classifier:
        """Fit to examples X and their labels y; returns self.

        X is a list or array of series [T, I] or [T], a list of texts, or an array of images [n, R, C] or
        [n, R, C, F]. y holds one label for each: text or whole numbers. `time_limit` is in seconds;
        `progress` is told each epoch and its losses.
        """
        self._check()
        classes, targets = _labels(y)
        reader = self._reader(X).fit(X)
        sequences = reader.read(X)
        if len(sequences) != len(targets):
            raise DataError(
                f"there are {len(sequences):,} examples and {len(targets):,} labels; they must be equal"
            )
        if len(classes) < 2:
            raise DataError(f"all labels are {classes[0].item()!r}; at least two different ones are needed")

        held_out = _held_out(targets, self.validation_share, self.random_state)
        rest = ~held_out
        weights = np.ones(len(classes))
        if self.class_weight == "balanced":
            weights = rest.sum() / (
                len(classes) * np.maximum(np.bincount(targets[rest], minlength=len(classes)), 1)
            )
        train, tested = (
            [one for one, ours in zip(sequences, part, strict=True) if ours] for part in (rest, held_out)
        )
        network = Sequential(
            self._layers(reader, len(classes)), random_state=self.random_state, n_jobs=self.n_jobs
        )
        usual = int(np.clip(2 ** round(np.log2(len(train) / _STEPS)), *_BATCHES))
        batch = usual if self.batch_size is None else self.batch_size
        steps = self.epochs * -(-len(train) // batch)
        decay = 1 - 1 / max(1.0, _AVERAGED * steps)
        rate = Cosine(self.learning_rate, steps, warmup_steps=min(100, steps // 10))
        network.compile(SoftmaxCrossEntropy(), Adam(rate, clip_norm=1.0, ema_decay=decay))
        history = network.fit(
            train,
            targets[rest],
            epochs=self.epochs,
            batch_size=batch,
            sample_weight=weights[targets[rest]].astype(np.float32),
            validation_data=(tested, targets[held_out]),
            callbacks=[EarlyStopping(patience=self.epochs), _Told(progress)],
            time_limit=time_limit,
        )
        self.classes_, self.reader_, self.network_ = classes, reader, network
        self.history_ = history.history
        self.temperature_ = _temperature(network.predict(tested), targets[held_out])
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The calibrated probability of each label [n, classes], in the order of `classes_`."""
        self._fitted()
        logits = np.asarray(self.network_.predict(self.reader_.read(X)), np.float64)
        return _softmax(logits / self.temperature_)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of each example [n]."""
        numbers = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[numbers])

    def score(self, X: Any, y: Any) -> float:
        """The share of examples that get their label."""
        found, wanted = self.predict(X), np.asarray(y)
        if wanted.shape != found.shape:
            raise DataError(f"there are {len(found):,} examples and labels of shape {list(wanted.shape)}")
        unseen = ~np.isin(wanted, self.classes_)
        if unseen.any():
            raise DataError(
                f"label {wanted[unseen][0].item()!r} was not there in training, which had "
                f"{', '.join(map(repr, self.classes_[:10].tolist()))}; leave those examples out"
            )
        return float(np.mean(found == wanted))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all that labelling needs to one data-only file, whole or not at all."""
        from karusel.saving import save_file

        self._fitted()
        header = {
            "settings": {name: getattr(self, name) for name in _SETTINGS},
            "reader": self.reader_.config(),
            "classes": self.classes_.tolist(),
            "temperature": self.temperature_,
            "network": self.network_.get_config(),
        }
        tensors = {name: np.asarray(a, np.float32) for name, a in self.network_.parameters.items()}
        save_file(path, "classifier", header, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """The classifier in a file that `save` wrote.

        Raises `FileMissingError` when there is none, `ModelFileError` for one that is damaged, truncated, of
        another version or of another kind.
        """
        from karusel.saving import load_file

        header, tensors = load_file(path, "classifier")
        try:
            made = cls(**header["settings"])
            made.classes_ = np.array(header["classes"])
            made.reader_, made.temperature_ = reader_of(header["reader"]), float(header["temperature"])
            made.network_ = Sequential.from_config(header["network"])
            fill(made.network_, tensors)
        except (KeyError, TypeError, ValueError) as fault:
            raise ModelFileError(f"model file {os.fspath(path)!r} describes no classifier: {fault}") from None
        made.network_.n_jobs = made.n_jobs
        return made

    def _reader(self, X: Any) -> Reader:
        kind = self.kind
        if kind is None:
            first = X[0] if len(X) else None
            kind = "texts" if isinstance(first, (str, bytes)) else "series"
        if kind == "texts":
            return Texts(self.unit)
        return Images(self.sweep, self.patch) if kind == "images" else Series()

    def _layers(self, reader: Reader, classes: int) -> list[Layer]:
        layers: list[Layer] = []
        if isinstance(reader, Texts):
            layers += [Embedding(reader.symbols, self.embedding_size), Dropout(self.dropout)]
        lstm = partial(LSTM, self.hidden_size, direction="bidirectional", return_sequences=True)
        if isinstance(reader, Images) and reader.sweep == "patches":
            for _ in range(self.num_layers):
                layers += [lstm(dilation=reader.columns), lstm()]
        else:
            layers.append(lstm(num_layers=self.num_layers, dropout=self.dropout))
        return [*layers, Pool(), Dropout(self.dropout), Dense(classes)]

    def _check(self) -> None:
        if self.kind not in (None, *READERS):
            raise UsageError(f"kind is {self.kind!r}; it must be one of {', '.join(READERS)}")
        if self.class_weight not in (None, "balanced"):
            raise UsageError(f"class_weight is {self.class_weight!r}; it must be None or 'balanced'")
        if not 0 < self.validation_share < 1:
            raise UsageError(f"validation_share is {self.validation_share!r}; it must lie between 0 and 1")
        for name in ("patch", "epochs", "batch_size"):
            value = getattr(self, name)
            if value is None and name == "batch_size":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise UsageError(f"{name} is {value!r}; it must be a whole number from 1 up")

    def _fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise UsageError("the classifier is not fitted; call fit(X, y) first")


class _Told(Callback):
    """Tells of each epoch."""

    def __init__(self, progress: Callable[[int, dict[str, float]], None]) -> None:
        self._progress = progress

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        self._progress(epoch, logs)


def _labels(y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The labels that there are, ascending, and the number of each example's."""
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.size == 0:
        raise DataError(f"labels must be one for each example, got shape {list(labels.shape)}")
    if labels.dtype.kind == "O":
        odd = next((one for one in labels if not isinstance(one, str)), None)
        if odd is not None:
            raise DataError(f"a label is {odd!r}; labels must be all text or all whole numbers")
        labels = labels.astype(str)
    if labels.dtype.kind not in "biuU":
        raise DataError(f"labels are {labels.dtype}; they must be text or whole numbers: convert them")
    classes, targets = np.unique(labels, return_inverse=True)
    return classes, targets.astype(np.int64)


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


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _temperature(logits: NDArray[Any], targets: NDArray[np.int64]) -> float:
    """The temperature at which held-out labels are likeliest."""
    rows = np.arange(len(targets))
    losses = [
        -np.mean(np.log(_softmax(np.asarray(logits, np.float64) / t)[rows, targets] + 1e-300))
        for t in _TEMPERATURES
    ]
    return float(_TEMPERATURES[int(np.argmin(losses))])
