"""What tasks that give labels have in common: training with a part held out, calibration, and their file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import is_number
from karusel.callbacks import Callback
from karusel.errors import DataError, UsageError
from karusel.layers import LSTM, Layer, Transpose
from karusel.losses import SoftmaxCrossEntropy
from karusel.names import shortlist
from karusel.network import Sequential
from karusel.tasks.fitting import (
    Progress,
    check_choice,
    check_dropout,
    check_learning,
    check_share,
    check_whole,
    fit_network,
    usual_batch,
)
from karusel.tasks.sequences import READERS, Grid, Reader, Series, Texts, by_example, reader_of
from karusel.tasks.task import Task
from karusel.tasks.tokens import valid_text

__all__ = ["Labelling", "label_array", "number_labels", "softmax", "sweeps", "taken"]

ClassWeight = str | Mapping[Any, float] | None

_TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(8), 61))
_CALIBRATION = 20_000  # labels that are enough to choose a temperature by
_STEPS = 50  # of an epoch, wanted
_BATCHES = (8, 64)


@dataclass(frozen=True)
class HeldOut:
    """How many examples were held out, and the share of their labels that are found; they chose the epoch."""

    count: int
    accuracy: float


class Labelling(Task):
    """A network whose outputs are probabilities of labels."""

    kind: str | None
    unit: str
    patch: int
    epochs: int
    batch_size: int | None
    learning_rate: float
    validation_share: float
    class_weight: ClassWeight
    random_state: int

    classes_: NDArray[Any]
    reader_: Reader
    history_: dict[str, list[float]]
    temperature_: float
    held_out_: HeldOut

    @abstractmethod
    def predict(self, X: Any) -> Any:
        """The likeliest labels."""

    def _check(self) -> None:
        if self.kind is not None:
            check_choice(self, "kind", READERS)
        weight = self.class_weight
        named_so = isinstance(weight, str) and weight == "balanced"
        if not (weight is None or named_so or isinstance(weight, Mapping)):
            raise UsageError(
                f"{type(self).__name__}: class_weight must be None, 'balanced' or a weight for each label, "
                f"got {weight!r}"
            )
        check_share(self)
        check_learning(self)
        check_whole(self, "patch", "num_layers", "embedding_size", optional=("batch_size",))
        check_dropout(self, "dropout")
        check_choice(self, "direction", ("bidirectional", "forward"))

    def _kind_of(self, X: Any) -> str:
        if self.kind is not None:
            return self.kind
        first = next(iter(by_example(X)), None)
        if isinstance(first, np.ndarray):  # a row of a table, too
            first = next(iter(first.flat), None)
        while isinstance(first, (list, tuple)) and len(first):
            first = first[0]
        return Texts.kind if isinstance(first, (str, bytes)) else Series.kind

    def _label_weights(self, targets: NDArray[np.int64]) -> NDArray[np.float32]:
        """The weight of each label; `targets` are all that is trained on."""
        classes = self.classes_
        if self.class_weight is None:
            return np.ones(len(classes), np.float32)
        if isinstance(self.class_weight, Mapping):
            weights = {str(label): weight for label, weight in self.class_weight.items()}
            odd = set(weights) - set(map(str, classes.tolist()))
            if odd or not all(is_number(one) and 0 <= one < np.inf for one in weights.values()):
                raise UsageError(
                    f"{type(self).__name__}: class_weight must hold numbers from 0 up for some of the labels "
                    f"{named(classes)}, got {dict(self.class_weight)!r}"
                )
            return np.array([weights.get(str(label), 1.0) for label in classes.tolist()], np.float32)
        counts = np.bincount(targets.ravel(), minlength=len(classes))
        return (targets.size / (len(classes) * np.maximum(counts, 1))).astype(np.float32)

    def _network(self, layers: list[Layer]) -> Sequential:
        return Sequential(layers, random_state=self.random_state, n_jobs=self.n_jobs)

    def _train(
        self,
        network: Sequential,
        loss: SoftmaxCrossEntropy,
        train: tuple[Any, Any, Any],
        tested: tuple[Any, Any, Any],
        callbacks: list[Callback],
        progress: Progress,
        time_limit: float | None,
    ) -> None:
        """Trains on (sequences, targets, weights), and keeps the epoch that is best on such a part."""
        self.history_ = fit_network(
            network,
            loss,
            train[:2],
            tested,
            epochs=self.epochs,
            batch_size=self.batch_size or usual_batch(len(train[0]), _STEPS, *_BATCHES),
            learning_rate=self.learning_rate,
            callbacks=callbacks,
            progress=progress,
            sample_weight=train[2],
            time_limit=time_limit,
        )
        self.network_ = network

    def _calibrate(self, logits: NDArray[Any], targets: NDArray[np.int64], examples: int) -> None:
        """Chooses the temperature at which held-out labels [n] are likeliest, given logits [n, classes]."""
        self.held_out_ = HeldOut(examples, float(np.mean(logits.argmax(axis=1) == targets)))
        step = -(-len(targets) // _CALIBRATION)
        logits, targets = np.asarray(logits[::step], np.float64), targets[::step]
        rows = np.arange(len(targets))
        losses = [-np.mean(np.log(softmax(logits / t)[rows, targets] + 1e-300)) for t in _TEMPERATURES]
        self.temperature_ = float(_TEMPERATURES[int(np.argmin(losses))])

    def _numbers_of(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """The numbers of labels that must all have been there in training."""
        unseen = ~np.isin(y, self.classes_)
        if unseen.any():
            raise DataError(
                f"label {y[unseen].flat[0].item()!r} was not there in training, which had "
                f"{named(self.classes_)}; leave those examples out"
            )
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _kept(self) -> dict[str, Any]:
        return {
            "reader": self.reader_.config(),
            "classes": self.classes_.tolist(),
            "temperature": self.temperature_,
        }

    def _take(self, header: dict[str, Any]) -> None:
        self.reader_, self.classes_ = reader_of(header["reader"]), label_array(header["classes"])
        self.temperature_ = float(header["temperature"])
        if self.classes_.ndim != 1 or not 0 < self.temperature_ < np.inf:
            raise ValueError("its classes or its temperature are none")


def label_array(y: Any, what: str = "label") -> NDArray[Any]:
    """Labels as an array; raises `DataError` unless all are text or all whole numbers. `what` one is called.

    By itself NumPy would make text of None, of NaN, and of numbers beside text.
    """
    labels = np.asarray(y if hasattr(y, "dtype") else np.asarray(y, object))
    if labels.dtype.kind == "O" and labels.size:
        listed = labels.ravel().tolist()
        kind = str if isinstance(listed[0], str) else (int, np.integer, np.bool_)
        odd = next((k for k, one in enumerate(listed) if not isinstance(one, kind)), None)
        if odd is not None:
            place = ", ".join(map(str, np.unravel_index(odd, labels.shape)))
            raise DataError(
                f"{what} {place} is {listed[odd]!r}; labels must be all text or all whole numbers: convert "
                "it, or leave it out with its example"
            )
        labels = np.array(labels.tolist())
    if labels.dtype.kind not in "biuU" and labels.size:
        raise DataError(f"labels are {labels.dtype}; they must be text or whole numbers: convert them")
    return labels


def number_labels(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The different labels, ascending, and the number of each in `labels`, of any shape."""
    classes, numbers = np.unique(labels, return_inverse=True)
    for label in classes.tolist() if classes.dtype.kind == "U" else ():
        valid_text(label, f"the label {label!r}")
    if len(classes) < 2:
        raise DataError(f"all labels are {classes[0].item()!r}; at least two different ones are needed")
    return classes, numbers.reshape(labels.shape).astype(np.int64)


def named(classes: NDArray[Any]) -> str:
    """Labels as errors list them."""
    return shortlist(list(map(repr, classes.tolist())))


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities along the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def taken(sequences: Any, rows: NDArray[np.bool_]) -> Any:
    """Some of the rows of an array or a list."""
    if isinstance(sequences, np.ndarray):
        return sequences[rows]
    return [one for one, ours in zip(sequences, rows, strict=True) if ours]


def sweeps(grid: Grid, hidden_size: int, rounds: int) -> list[Layer]:
    """LSTMs that read a grid in both directions of each of its axes in turn, `rounds` times over."""
    layers: list[Layer] = []
    for _ in range(rounds):
        for length in grid:
            others = int(np.prod(grid)) // length
            lstm = LSTM(hidden_size, direction="bidirectional", dilation=others, return_sequences=True)
            layers += [lstm, Transpose(others)]
    return layers
