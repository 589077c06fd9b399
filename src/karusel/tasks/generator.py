"""Generator: a language model of text or music, which says how likely a text is and writes on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.errors import DataError
from karusel.layers import LSTM, Dense, Dropout, Embedding, Layer
from karusel.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from karusel.network import Sequential
from karusel.sampling import Sampling
from karusel.tasks.fitting import (
    Progress,
    check_choice,
    check_dropout,
    check_flag,
    check_learning,
    check_share,
    check_whole,
    fit_network,
    no_progress,
    usual_batch,
)
from karusel.tasks.sequences import by_text
from karusel.tasks.task import Task, all_or_nothing
from karusel.tasks.tokens import END, UNITS, Notes, Tokens, tokens_of
from karusel.windows import Windows

__all__ = ["Generator", "Likelihood"]

_STEPS = 50  # of an epoch, wanted
_BATCHES = (4, 64)
_NEVER = -100.0  # a logit whose chance float32 rounds to nothing
_DRAWN = 32  # tokens drawn in one call: some hundred microseconds
_MEASURED = 256  # tokens measured in one call


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a text or pieces of music.

    nats: mean of -log p over all tokens, each given those before it; of music, over all frames but each
        piece's first, -log p summed over the notes of a frame.
    tokens: of how many.
    characters: of text, how many characters these are (bytes, for unit "bytes").
    """

    nats: float
    tokens: int
    characters: int | None

    @property
    def perplexity(self) -> float:
        """exp(nats): among how many equally likely tokens the model would be as unsure."""
        return math.exp(min(self.nats, 700.0))

    @property
    def bits_per_character(self) -> float | None:
        """-log2 p for each character; None for music."""
        if self.characters is None:
            return None
        return self.nats * self.tokens / self.characters / math.log(2)


class Generator(Task):
    """Learns to go on with text, or with music of several notes at once.

    One LSTM after the other reads the tokens so far; a softmax over all tokens, or a sigmoid for each note,
    says what comes next. Text is read as long streams side by side whose state is carried along while
    gradients end after `steps` tokens. The last part of the data is held out: the epoch with the least loss
    there is kept.

    Parameters
    ----------
    unit : "characters", "bytes", "words", "pairs" or "notes"; by default notes for arrays, bytes for bytes,
        else characters. Pairs are pairs of bytes that often stand together, joined again and again; they need
        the package tokenizers.
    vocabulary_size : most words or pairs that are known; other words are one, "<unk>".
    hidden_size : hidden units of each LSTM; 128 by default.
    num_layers : LSTMs; 1 by default.
    embedding_size : numbers for each token; 64 by default.
    tied : whether the softmax shares the weights of the embedding; the last LSTM then has as many units as
        the embedding has numbers.
    dropout : share of numbers left out in training before, between and after the LSTMs, the same at all steps
        of a sequence (Gal & Ghahramani 2016); 0.1 by default.
    weight_drop : share of recurrent weights left out in each step of training (Merity et al. 2018); 0 by
        default.
    steps : tokens through which gradients go back; 100 by default. Of music they go through whole pieces.
    epochs : most epochs; 20 by default.
    batch_size : streams, or pieces, per optimiser step; from 4 for little data to 64 for much by default.
    learning_rate : of Adam with a cosine schedule; 0.006 by default.
    validation_share : share of the data held out at its end; 0.1 by default.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.
    precision : of the network's products, "float32" (default) or "bf16", which is faster where the processor
        has matrix tiles for it; where it cannot, float32 is used, with a note. See `karusel.Sequential`.

    Attributes
    ----------
    reader_, network_ : what was fitted.
    history_ : nats per token or frame, by epoch.

    Examples
    --------
    >>> from karusel.tasks import Generator
    >>> model = Generator(hidden_size=16, steps=20, epochs=10).fit("to be or not to be. " * 50)
    >>> len(model.generate("to ", 30, temperature=0.5))
    30
    """

    task = "generator"
    fits = "fit(X)"

    def __init__(
        self,
        *,
        unit: str | None = None,
        vocabulary_size: int = 10_000,
        hidden_size: int = 128,
        num_layers: int = 1,
        embedding_size: int = 64,
        tied: bool = False,
        dropout: float = 0.1,
        weight_drop: float = 0.0,
        steps: int = 100,
        epochs: int = 20,
        batch_size: int | None = None,
        learning_rate: float = 0.006,
        validation_share: float = 0.1,
        random_state: int = 0,
        n_jobs: int | None = None,
        precision: str = "float32",
    ) -> None:
        self.unit = unit
        self.vocabulary_size = vocabulary_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.embedding_size = embedding_size
        self.tied = tied
        self.dropout = dropout
        self.weight_drop = weight_drop
        self.steps = steps
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
        *,
        validation: Any = None,
        time_limit: float | None = None,
        progress: Progress = no_progress,
    ) -> Generator:
        """Fit to X: one text, a list of texts, each of which then has an end, or a list of pieces of music
        [T, N].

        `validation` is data of the same kind to hold out, instead of the end of X. `time_limit` is in
        seconds; `progress` is told each epoch and its losses, in nats per token or frame.
        """
        self._check()
        train = _listed(X)
        unit = self.unit or _unit_of(train[0])
        reader: Any = UNITS[unit](self.vocabulary_size) if unit in ("words", "pairs") else UNITS[unit]()
        held_out = None if validation is None else _listed(validation)
        reader = reader.fit(train + (held_out or []))
        self.ends_ = not _is_one(X)
        if isinstance(reader, Notes):
            examples, tested, streams = self._music(reader, train, held_out)
            network = self._network(self._layers(reader.notes, notes=True))
            batch = min(self.batch_size or _usual_batch(len(examples[0])), len(examples[0]))
            loss: Loss = BinaryCrossEntropy()
            scale = float(reader.notes)
        else:
            examples, tested, streams = self._text(reader, train, held_out)
            network = self._network(self._layers(reader.symbols, notes=False))
            network.build((None, 1))
            if not self.ends_:  # within one text no end ever comes next
                network.parameters[f"dense_{len(network.layers) - 1}.b"][END] = _NEVER
            batch, loss, scale = streams, SoftmaxCrossEntropy(), 1.0
        self.history_ = fit_network(
            network,
            loss,
            examples,
            tested,
            epochs=self.epochs,
            batch_size=batch,
            learning_rate=self.learning_rate,
            scale=scale,
            progress=progress,
            streams=streams,
            time_limit=time_limit,
        )
        self.reader_, self.network_ = reader, network
        return self

    def _text(
        self, reader: Tokens, train: list[Any], held_out: list[Any] | None
    ) -> tuple[tuple[Windows, Windows], tuple[Windows, Windows], int]:
        """Training and held-out windows of tokens, and how many streams they are."""
        tokens = self._read(reader, train)
        if held_out is None:
            cut = len(tokens) - max(2, round(self.validation_share * len(tokens)))
            tokens, tested = tokens[:cut], tokens[cut:]
        else:
            tested = self._read(reader, held_out)
        if len(tokens) <= self.steps:
            raise DataError(
                f"there are {max(0, len(tokens) - 1):,} {reader.unit} to train on, fewer than a window of "
                f"{self.steps}: give more text, or fewer steps"
            )
        windows = (len(tokens) - 1) // self.steps
        streams = min(self.batch_size or _usual_batch(windows), windows, len(tested) - 1)
        return _windows(tokens, streams, self.steps), _windows(tested, streams, self.steps), streams

    def _music(
        self, reader: Notes, train: list[Any], held_out: list[Any] | None
    ) -> tuple[tuple[Any, Any], tuple[Any, ...], None]:
        """Training and held-out pieces, each beginning with silence."""
        frames = [reader.read(piece, number) for number, piece in enumerate(train)]
        if held_out is None:
            count = max(1, round(self.validation_share * len(frames)))
            if count >= len(frames):
                raise DataError("there is one piece of music; give at least two, to hold one out")
            frames, tested = frames[:-count], frames[-count:]
        else:
            tested = [reader.read(piece, number) for number, piece in enumerate(held_out)]
        return _after_silence(frames), (*_after_silence(tested), _given_first(tested)), None

    def _read(self, reader: Tokens, texts: list[Any]) -> NDArray[np.int32]:
        """Tokens of texts with an end before the first, and after each if there are several."""
        end = np.array([END], np.int32)
        parts = [end]
        for number, text in enumerate(texts):
            read = reader.read(text)
            if not len(read):
                raise DataError(
                    f"text {number} is empty: leave it out" if self.ends_ else "the text is empty"
                )
            parts += [read, end] if self.ends_ else [read]
        return np.concatenate(parts)

    def _layers(self, outputs: int, *, notes: bool) -> list[Layer]:
        layers: list[Layer] = []
        if not notes:
            layers += [Embedding(outputs, self.embedding_size), Dropout(self.dropout, variational=True)]
        for number in range(self.num_layers):
            last = number == self.num_layers - 1
            hidden = self.embedding_size if self.tied and last else self.hidden_size
            layers += [
                LSTM(hidden, return_sequences=True, weight_drop=self.weight_drop),
                Dropout(self.dropout, variational=True),
            ]
        return [*layers, Dense(outputs, tied=self.tied)]

    def _network(self, layers: list[Layer]) -> Sequential:
        return Sequential(
            layers, random_state=self.random_state, n_jobs=self.n_jobs, precision=self.precision
        )

    # -- how likely ------------------------------------------------------------------------------

    def measure(self, X: Any) -> Likelihood:
        """How likely the model finds a text, texts or pieces of music; see `Likelihood`."""
        self._fitted()
        reader, network = self.reader_, self.network_
        parts = _listed(X)
        if isinstance(reader, Notes):
            frames = [reader.read(piece, number) for number, piece in enumerate(parts)]
            if all(len(piece) < 2 for piece in frames):
                raise DataError(
                    "all pieces have one frame; the first frame of a piece is given, not predicted"
                )
            x, y = _after_silence(frames)
            loss = network.evaluate(x, y, mask=_given_first(frames))
            return Likelihood(loss * reader.notes, sum(len(piece) - 1 for piece in frames), None)
        tokens = self._read(reader, parts)
        windows = _windows(tokens, 1, _MEASURED)
        return Likelihood(network.evaluate(*windows, streams=1), len(tokens) - 1, sum(map(len, parts)))

    def score(self, X: Any) -> float:
        """The mean of log p over all tokens, or frames, in nats: the larger the better."""
        return -self.measure(X).nats

    # -- writing ---------------------------------------------------------------------------------

    def stream(
        self,
        prompt: Any = None,
        length: int | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Iterator[Any]:
        """What comes after `prompt`, token by token as it is drawn: parts of the text, or frames [N].

        Without a prompt it begins as a training text begins, or with silence. It ends after `length` tokens,
        or where a model of several texts ends one, if ever. See `karusel.sampling.Sampling` for how tokens
        are drawn.
        """
        self._fitted()
        length = None if length is None else whole_number("Generator", "length", length)
        notes = isinstance(self.reader_, Notes)
        sampling = Sampling(temperature, top_k, top_p, seed, notes)
        given: NDArray[Any]
        if notes:
            silence = np.zeros((1, self.reader_.notes), np.float32)
            given = silence if prompt is None else np.concatenate([silence, self.reader_.read(prompt)])
        else:
            given = np.array([[END]], np.int32)
            if prompt:
                given = np.concatenate([given, self.reader_.read(prompt)[:, None]])
        drawn = self._drawn(given, length, sampling)
        return drawn if notes else self.reader_.write(drawn, int(given[-1].item()))

    def _drawn(self, given: NDArray[Any], length: int | None, sampling: Sampling) -> Iterator[Any]:
        """Tokens up to an end, or frames."""
        live = self.network_.stream()
        if len(given) > 1:
            live.run(given[None, :-1])
        last, count = given[-1], 0
        while length is None or count < length:
            drawn = live.generate(
                last, min(_DRAWN, (length or count + _DRAWN) - count), sampling, first=count
            )
            if sampling.notes:
                yield from drawn.astype(np.uint8)
            else:
                ends = np.flatnonzero(drawn == END)
                kept = drawn[: ends[0]] if len(ends) else drawn
                yield from kept.tolist()
                if len(ends):
                    return
            last, count = drawn[-1], count + len(drawn)

    def generate(
        self,
        prompt: Any = None,
        length: int = 200,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> Any:
        """What `stream` draws, in one piece: text, bytes of a model of bytes, or frames uint8 [length, N]."""
        parts = self.stream(prompt, length, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
        if isinstance(self.reader_, Notes):
            return np.stack(list(parts))
        return self.reader_.join(parts)

    # -- keeping ---------------------------------------------------------------------------------

    def _kept(self) -> dict[str, Any]:
        return {"reader": self.reader_.config(), "ends": self.ends_}

    def _take(self, header: dict[str, Any]) -> None:
        self.reader_, self.ends_ = tokens_of(header["reader"]), bool(header["ends"])
        self._check_outputs(self.reader_.notes if isinstance(self.reader_, Notes) else self.reader_.symbols)

    def _check(self) -> None:
        if self.unit is not None:
            check_choice(self, "unit", UNITS)
        check_share(self)
        check_learning(self)
        check_whole(
            *(self, "vocabulary_size", "num_layers", "embedding_size", "steps"), optional=("batch_size",)
        )
        check_dropout(self, "dropout", "weight_drop")
        check_flag(self, "tied")


def _usual_batch(examples: int) -> int:
    return usual_batch(examples, _STEPS, *_BATCHES)


def _is_one(X: Any) -> bool:
    """Whether this is one text, not several texts or pieces of music."""
    return isinstance(X, (str, bytes, bytearray))


def _unit_of(first: Any) -> str:
    if isinstance(first, (bytes, bytearray)):
        return "bytes"
    return "characters" if isinstance(first, str) else "notes"


def _listed(X: Any) -> list[Any]:
    """The texts or pieces of music, one or several."""
    listed = [X] if _is_one(X) else list(by_text(X)) if np.iterable(X) else []
    if not listed:
        raise DataError("there is nothing to read; give at least one text or piece of music")
    return listed


def _windows(tokens: NDArray[np.int32], streams: int, steps: int) -> tuple[Windows, Windows]:
    """Tokens and the next ones: so many streams side by side, cut into windows, the first of each first."""
    each = (len(tokens) - 1) // streams
    first = np.arange(0, each, steps)
    starts = (first[:, None] + np.arange(streams) * each).reshape(-1)
    lengths = np.repeat(np.minimum(steps, each - first), streams)
    return Windows(tokens, starts, lengths), Windows(tokens, starts + 1, lengths)


def _after_silence(pieces: Sequence[NDArray[np.float32]]) -> tuple[list[Any], list[Any]]:
    """What is read and what comes next, of each piece."""
    return [np.concatenate([np.zeros_like(one[:1]), one[:-1]]) for one in pieces], list(pieces)


def _given_first(pieces: Sequence[NDArray[np.float32]]) -> list[Any]:
    """Weights that leave out each piece's first frame, as published figures do."""
    return [np.arange(len(one)) > 0 for one in pieces]
