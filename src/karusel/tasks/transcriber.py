"""Transcriber: speech to text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.decoding import beam, greedy
from karusel.errors import DataError, UsageError
from karusel.layers import LSTM, Dense, Dropout
from karusel.losses import CTC
from karusel.network import Sequential
from karusel.tasks.fitting import (
    Progress,
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
from karusel.tasks.sequences import by_text
from karusel.tasks.speech import LogMel, Numbers, _samples, masked, read_recordings, varied
from karusel.tasks.task import Task, all_or_nothing, finite
from karusel.tasks.tokens import valid_text
from karusel.typed import check_fields

__all__ = ["Transcriber", "TranscriberStream"]

_BATCHES = (4, 32)
_STEPS = 100  # of an epoch, wanted
_AVERAGED = 0.02  # of all steps, over which weights are averaged
_TAIL = 0.2  # seconds of silence behind a recording: a live network answers only after it has heard


class Transcriber(Task):
    """Writes down what recordings say.

    Log-mel features go through an LSTM in both directions to the probabilities of each character, or of none,
    at each step; CTC (Graves et al., 2006) learns them from texts alone, without knowing when what is said. A
    beam search finds the likeliest text. A part of the recordings is held out: the epoch with the least loss
    there is kept. Training hears each recording several times: as it is, and varied in speed, loudness and
    noise, with bands and moments missing.

    Parameters
    ----------
    live : False; True for an LSTM in one direction, which can `stream`.
    hidden_size : hidden units of each direction; 128 by default.
    num_layers : LSTM layers; 2 by default.
    dropout : share of numbers left out in training between layers; 0.4 by default.
    variations : varied copies of each recording to train on; 2 by default.
    beam_width : texts kept in the search; 16 by default. 1 follows the likeliest character of each step.
    epochs : most epochs; 12 by default.
    batch_size : recordings per optimiser step; from 4 for few to 32 for many by default.
    learning_rate : of Adam with a cosine schedule; 0.004 by default.
    validation_share : share of the recordings held out; 0.1 by default.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    characters_ : all characters of the texts, in the order of the network's outputs after the blank.
    features_ : the `LogMel` that reads recordings; `mean_`, `spread_` : of each of its numbers in training.
    network_ : what was fitted.
    history_ : losses by epoch; `validation_score_` : the share of texts right among what was held out.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel.tasks import Transcriber
    >>> random = np.random.default_rng(0)
    >>> def said(text):
    ...     tones = {"a": 300, "b": 900}
    ...     t = np.arange(1200) / 8000
    ...     parts = [np.sin(2 * np.pi * tones[one] * t) * np.hanning(1200) for one in text]
    ...     return np.concatenate(parts) / 2 + random.normal(0, 0.01, 1200 * len(text))
    >>> texts = ["".join(random.choice(["a", "b"], 1 + k % 3)) for k in range(60)]
    >>> model = Transcriber(hidden_size=24, num_layers=1, epochs=30)
    >>> model = model.fit([said(text) for text in texts], texts, rate=8000)
    >>> model.predict([said("abba")])
    ['abba']
    """

    task = "transcriber"

    def __init__(
        self,
        *,
        live: bool = False,
        hidden_size: int = 128,
        num_layers: int = 2,
        dropout: float = 0.4,
        variations: int = 2,
        beam_width: int = 16,
        epochs: int = 12,
        batch_size: int | None = None,
        learning_rate: float = 0.004,
        validation_share: float = 0.1,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.live = live
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.variations = variations
        self.beam_width = beam_width
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_share = validation_share
        self.random_state = random_state
        self.n_jobs = n_jobs

    @all_or_nothing
    def fit(
        self,
        X: Any,
        y: Sequence[str],
        *,
        rate: int | None = None,
        time_limit: float | None = None,
        progress: Progress = no_progress,
    ) -> Transcriber:
        """Fit to recordings X and what they say, y; returns self.

        X is a list of paths of WAV files, or of arrays [n] of samples, with `rate` samples a second; y holds
        a text for each. `time_limit` is in seconds; `progress` is told each epoch and its losses.
        """
        self._check()
        recordings, rate, names = read_recordings(X, _whole_rate(rate))
        texts = _texts(y, len(recordings))
        self.features_ = LogMel(rate)
        self.characters_ = "".join(sorted(set("".join(texts))))
        if not self.characters_:
            raise DataError("all texts are empty; at least one must hold a character")
        strings = [self._string(text) for text in texts]
        self._check_lengths(recordings, strings, names)

        random = np.random.default_rng(self.random_state)
        held_out, rest = hold_out(random, len(recordings), self.validation_share, "recording")
        plain = [self.features_(self._with_tail(recordings[k])) for k in rest]
        steps = np.concatenate(plain)
        self.mean_, self.spread_ = steps.mean(axis=0), np.maximum(steps.std(axis=0), 1e-3)
        train, targets = [self._normal(one) for one in plain], [strings[k] for k in rest]
        for _ in range(self.variations):
            for k in rest:
                features = self._normal(self.features_(self._with_tail(varied(recordings[k], random))))
                if _fits(strings[k], len(features)):
                    train.append(masked(features, random, self.features_.bands))
                    targets.append(strings[k])

        network = Sequential(
            [
                LSTM(
                    self.hidden_size,
                    num_layers=self.num_layers,
                    direction="forward" if self.live else "bidirectional",
                    dropout=self.dropout,
                    return_sequences=True,
                ),
                Dropout(self.dropout),
                Dense(1 + len(self.characters_), activation="softmax"),
            ],
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        tested = self._read([recordings[k] for k in held_out])
        self.history_ = fit_network(
            network,
            CTC(max(map(len, strings))),
            (train, targets),
            (tested, [strings[k] for k in held_out]),
            epochs=self.epochs,
            batch_size=self.batch_size or usual_batch(len(train), _STEPS, *_BATCHES),
            learning_rate=self.learning_rate,
            averaged=_AVERAGED,
            progress=progress,
            time_limit=time_limit,
        )
        self.network_ = network
        heard = [self._decode(p) for p in network.predict(tested)]
        self.validation_score_ = float(np.mean([a == texts[k] for a, k in zip(heard, held_out, strict=True)]))
        return self

    def predict(self, X: Any, *, rate: int | None = None) -> list[str]:
        """The text of each recording; `rate` of arrays may be left out, it must be that of training."""
        return [self._decode(p) for p in self.predict_proba(X, rate=rate)]

    def predict_proba(self, X: Any, *, rate: int | None = None) -> list[NDArray[np.float32]]:
        """Of each recording the probabilities [steps, 1 + characters] of the blank and of every character."""
        self._fitted()
        own, rate = self.features_.rate, _whole_rate(rate)
        if rate not in (None, own):
            raise DataError(
                f"the recordings have {rate:,} samples a second, the model was trained at {own:,}; "
                "convert them"
            )
        recordings, _, names = read_recordings(X, own)
        self._check_lengths(recordings, [np.zeros(0, np.int32)] * len(recordings), names)
        return list(self.network_.predict(self._read(recordings)))

    def score(self, X: Any, y: Sequence[str], *, rate: int | None = None) -> float:
        """The share of recordings whose text is right, character for character."""
        found = self.predict(X, rate=rate)
        wanted = _texts(y, len(found))
        return float(np.mean([a == b for a, b in zip(found, wanted, strict=True)]))

    def error_rate(self, X: Any, y: Sequence[str], *, rate: int | None = None) -> float:
        """Characters to insert, delete or change until all texts are right, per character of those in y."""
        return self.errors(self.predict(X, rate=rate), y)

    @staticmethod
    def errors(found: Sequence[str], y: Sequence[str]) -> float:
        """The same for texts that were found before."""
        wanted = _texts(y, len(found))
        length = sum(map(len, wanted))
        if length == 0:
            raise DataError("all texts are empty; at least one must hold a character")
        return sum(map(_distance, found, wanted)) / length

    def stream(self) -> TranscriberStream:
        """Transcription while someone speaks; needs `live=True`."""
        self._fitted()
        return TranscriberStream(self)

    def _kept(self) -> dict[str, Any]:
        scales = {"mean": self.mean_.tolist(), "spread": self.spread_.tolist()}
        return {"features": self.features_.config(), "characters": self.characters_, "scales": scales}

    def _take(self, header: dict[str, Any]) -> None:
        self.features_, self.characters_ = LogMel(**header["features"]), str(header["characters"])
        check_fields(self.features_)
        self._check_outputs(1 + len(self.characters_))
        self.mean_, self.spread_ = (finite(header["scales"][name], np.float32) for name in ("mean", "spread"))
        if not self.mean_.shape == self.spread_.shape == (self.features_.width,):
            raise ValueError(f"mean and spread are not of shape {[self.features_.width]}")
        if not (self.spread_ > 0).all():
            raise ValueError("a spread in it is not above 0")

    def _decode(self, p: NDArray[Any]) -> str:
        string = greedy(p) if self.beam_width == 1 else beam(p, self.beam_width)[0][0]
        return self._text(string)

    def _text(self, string: Sequence[int]) -> str:
        return "".join(self.characters_[k - 1] for k in string)

    def _string(self, text: str) -> NDArray[np.int32]:
        return np.array([self.characters_.index(one) + 1 for one in text], np.int32)

    def _read(self, recordings: list[Numbers]) -> list[Numbers]:
        return [self._normal(self.features_(self._with_tail(one))) for one in recordings]

    def _normal(self, features: Numbers) -> Numbers:
        return np.asarray((features - self.mean_) / self.spread_, np.float32)

    def _with_tail(self, samples: Numbers) -> Numbers:
        return np.concatenate([samples, self._tail()])

    def _tail(self) -> Numbers:
        return np.zeros(round(_TAIL * self.features_.rate), np.float32)

    def _check_lengths(
        self, recordings: list[Numbers], strings: Sequence[NDArray[np.int32]], names: list[str]
    ) -> None:
        """Raises DataError for a recording that is too short for what it says."""
        least, rate = self.features_.least, self.features_.rate
        for samples, string, name in zip(recordings, strings, names, strict=True):
            if len(samples) < least:
                raise DataError(
                    f"{name} has {len(samples):,} samples; at least {least:,} are needed "
                    f"({1000 * least / rate:.0f} ms)"
                )
            if not _fits(string, self.features_.steps(len(samples) + len(self._tail()))):
                raise DataError(
                    f"{name} lasts {len(samples) / rate:.2f} s: too short for its text of "
                    f"{len(string)} characters"
                )

    def _check(self) -> None:
        check_share(self)
        check_learning(self)
        check_whole(self, "num_layers", "beam_width", optional=("batch_size",))
        check_whole(self, "variations", least=0)
        check_dropout(self, "dropout")
        check_flag(self, "live")


class TranscriberStream:
    """Text while it is being said: `model.stream()`.

    The likeliest character of each step is written as soon as the step is over; what was written stays.

    Attributes
    ----------
    text : all that was written so far.
    """

    def __init__(self, model: Transcriber) -> None:
        if not model.live:
            raise UsageError(
                "this transcriber reads recordings in both directions; train one with live=True to stream"
            )
        self._model = model
        self._network = model.network_.stream()
        self.reset()

    def reset(self) -> None:
        """Forgets everything: the next sample is the first."""
        self._network.reset()
        self._rest = np.empty(0, np.float32)
        self._last = 0
        self.text = ""

    def feed(self, samples: Any) -> str:
        """What is new in the text after these samples [n], of any number, at the rate of training."""
        features = self._model.features_
        heard = np.concatenate([self._rest, _samples(samples, "the chunk")])
        found = features(heard)
        self._rest = heard[len(found) * features.step :]
        if len(found) == 0:
            return ""
        p = self._network.run(self._model._normal(found)[None])[0]
        new = self._model._text(greedy(p, self._last))
        self._last = int(np.argmax(p[-1]))
        self.text += new
        return new

    def finish(self) -> str:
        """What is new after the end; returns it, and is ready for another recording after `reset`."""
        return self.feed(self._model._tail())


def _whole_rate(rate: Any) -> int | None:
    return None if rate is None else whole_number("Transcriber", "rate", rate)


def _texts(y: Any, n: int) -> list[str]:
    texts = list(by_text(y))
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {number} is {type(text).__name__}, not text; convert it")
        valid_text(text, f"text {number}")
    if len(texts) != n:
        raise DataError(f"there are {n:,} recordings and {len(texts):,} texts; they must be equally many")
    return texts


def _fits(string: NDArray[np.int32], steps: int) -> bool:
    """Whether so many steps can hold a string: one for each symbol, one between equal neighbours."""
    return steps > 0 and len(string) + int((string[1:] == string[:-1]).sum()) <= steps


def _distance(a: str, b: str) -> int:
    """Characters to insert, delete or change in one text to make it the other (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
