"""Members: the networks of an ensemble for many series, each trained on windows of all of them.

A member reads windows by its own `Reader` (`karusel.forecasting.features`) and forecasts all steps at once,
in sizes from the anchor: the median, or, one member, five quantiles around it (a network that is asked for
all of them gives worse medians). Its last layer starts with no weights and the quantiles of the anchor's
errors, so that training starts from the anchor. Each window weighs so that the loss is half sMAPE, half MASE,
both in units of the anchor's own error; for values that are not all positive, MASE alone. Members differ in
look-back, weights at the start and the windows drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from karusel import LSTM, Adam, Cosine, Dense, Pinball, Sequential
from karusel.errors import DataError
from karusel.forecasting.correction import in_parallel
from karusel.forecasting.encoding import Encoding
from karusel.forecasting.features import Reader, Reading
from karusel.forecasting.panel import Panel
from karusel.forecasting.windows import Cutoffs

__all__ = ["FEW", "QUANTILES", "Ensemble", "EnsembleSettings", "Member", "fit_ensemble", "too_few_known"]

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
FEW = 20  # series that teach less than networks of the usual size can learn
_LOOK_BACKS = (0.5, 1.0, 1.5, 0.5, 1.0)  # of the reader's, member by member
_LOOK_BACKS_OF_FEW = (0.5, 1.0, 0.5)
_MOST_WINDOWS = 100_000
_MOST_INPUTS = 48_000_000  # numbers that the features of a member's windows may take
_VISITS, _VISITS_OF_MANY = 600_000, 240_000  # of windows in training, wanted
_MANY = 2_000  # series: so many teach as much in fewer visits, and cost enough
_LEAST_EPOCHS, _MOST_EPOCHS = 2, 8
_STEPS, _STEPS_OF_MANY = 5000, 2500  # of the optimizer, wanted
_HIDDEN, _SHORT = 128, 32  # units, and the longest horizon that they serve; twice as many for longer ones
_HIDDEN_OF_FEW = 64
_SMALLEST_BATCH, _LARGEST_BATCH = 16, 256
_AVERAGING = 0.99
_FARTHEST = 30.0  # sizes from the anchor beyond which a target is cut
_HEAVIEST = 20.0  # times the mean weight


@dataclass(frozen=True)
class EnsembleSettings:
    """What the networks are like, and how many."""

    hidden_size: int | None = None  # from horizon and number of series
    num_layers: int = 1
    learning_rate: float = 0.003
    batch_size: int | None = None  # from the number of windows
    look_back: int | None = None  # from horizon and seasons
    n_members: int | None = None  # from the number of series
    random_state: int = 0
    n_jobs: int = 1
    seconds: float | None = None  # at most, for each network

    def look_backs(self, series: int) -> list[float]:
        """What part of the reader's look-back each network of so many series has."""
        usual = _LOOK_BACKS_OF_FEW if series < FEW else _LOOK_BACKS
        return [usual[k % len(usual)] for k in range(self.n_members or len(usual))]

    def hidden(self, series: int, horizon: int) -> int:
        """Hidden units of each layer."""
        usual = _HIDDEN_OF_FEW if series < FEW else _HIDDEN if horizon <= _SHORT else 2 * _HIDDEN
        return self.hidden_size or usual


@dataclass(frozen=True)
class Member:
    """One trained network. `unit` is the scale of its outputs, in sizes."""

    reader: Reader
    encoding: Encoding
    quantiles: tuple[float, ...]
    network: Sequential
    unit: float
    epochs: int

    def predict(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        """Quantiles [n, h, Q] in u, ascending."""
        reading = _read(self.reader, self.encoding, cutoffs)
        outputs = np.asarray(self.network.predict(reading.features), np.float64)
        outputs = np.sort(outputs.reshape(len(cutoffs), self.reader.horizon, -1), axis=2)
        return np.asarray(reading.anchor[:, :, None] + self.unit * reading.size[:, :, None] * outputs)


@dataclass(frozen=True)
class Ensemble:
    """Trained members: `points` forecast medians, whose mean is used; `spread` the quantiles around it."""

    points: tuple[Member, ...]
    spread: Member

    @property
    def length(self) -> int:
        """Values of an input part."""
        return max(member.reader.length for member in (*self.points, self.spread))

    @property
    def shortest(self) -> int:
        """Values of the shortest input part of a member, one of which must be known."""
        return min(member.reader.length for member in (*self.points, self.spread))

    def predict(self, cutoffs: Cutoffs) -> NDArray[np.float64]:
        """Quantiles [n, h, Q] in u: the spread's around the points' mean."""
        pieces = []
        for piece in cutoffs.pieces(self.length):
            middle = np.mean([member.predict(piece) for member in self.points], axis=0)
            spread = self.spread.predict(piece)
            pieces.append(spread - spread[:, :, [QUANTILES.index(0.5)]] + middle)
        return np.concatenate(pieces)


def fit_ensemble(
    training: Cutoffs,
    scales: NDArray[np.float64],
    reader: Reader,
    encoding: Encoding,
    settings: EnsembleSettings,
) -> Ensemble:
    """Train the members on windows of series of these `scales` [S], several at a time.

    Raises `DataError` when too few values are known to learn every step ahead from.
    """
    factors = settings.look_backs(len(training.panel))

    def one(number: int) -> Member:
        factor, quantiles = (*factors, 1.0)[number], ((0.5,) if number < len(factors) else QUANTILES)
        steps = max(2, round(factor * reader.look_back / reader.patch))
        own = replace(reader, look_back=steps * reader.patch)
        return _fit_member(
            training, scales, own, encoding, quantiles, settings, settings.random_state + number
        )

    members = in_parallel(one, range(len(factors) + 1), settings.n_jobs)
    return Ensemble(tuple(members[:-1]), members[-1])


def _read(reader: Reader, encoding: Encoding, cutoffs: Cutoffs) -> Reading:
    """Windows with their covariates, as many of a step's as its patch holds."""
    reading = reader.read(cutoffs.inputs(reader.length), cutoffs.days)
    if not encoding.codes:
        return reading
    channels = encoding.channels(cutoffs, reader.look_back, reader.horizon)
    channels = channels.reshape(*reading.features.shape[:2], -1)
    return replace(reading, features=np.concatenate([reading.features, channels], axis=2))


def _fit_member(
    training: Cutoffs,
    scales: NDArray[np.float64],
    reader: Reader,
    encoding: Encoding,
    quantiles: tuple[float, ...],
    settings: EnsembleSettings,
    seed: int,
) -> Member:
    training = training.take(np.flatnonzero(training.known(reader.length)))
    if not np.isfinite(training.targets(reader.horizon)).any(0).all():
        raise too_few_known(training.panel, reader.horizon)
    width = _read(reader, encoding, training.take(np.zeros(1, np.int64))).features.size
    most = min(_MOST_WINDOWS, _MOST_INPUTS // width)
    if len(training) > most:
        drawn = np.random.default_rng(seed).choice(len(training), most, replace=False)
        training = training.take(np.sort(drawn))
    pieces = [_read(reader, encoding, piece) for piece in training.pieces(reader.length)]
    reading = Reading(
        np.concatenate([piece.features for piece in pieces]),
        np.concatenate([piece.anchor for piece in pieces]),
        np.concatenate([piece.size for piece in pieces]),
    )
    targets = reader.transform(training.targets(reader.horizon))
    wanted = np.clip((targets - reading.anchor) / reading.size, -_FARTHEST, _FARTHEST)
    known = np.isfinite(wanted)
    weights = _weights(reader, reading, wanted, scales[training.numbers])
    unit = float(np.nanmean(np.abs(wanted) * weights[:, None])) or 1.0

    rows = len(training)
    many = len(training.panel) > _MANY
    visits, wanted_steps = (_VISITS_OF_MANY, _STEPS_OF_MANY) if many else (_VISITS, _STEPS)
    epochs = int(np.clip(round(visits / rows), _LEAST_EPOCHS, _MOST_EPOCHS))
    usual = int(np.clip(2 ** round(np.log2(epochs * rows / wanted_steps)), _SMALLEST_BATCH, _LARGEST_BATCH))
    batch = settings.batch_size or usual
    steps = epochs * -(-rows // batch)
    hidden = settings.hidden(len(training.panel), reader.horizon)
    network = Sequential(
        [
            LSTM(hidden, num_layers=settings.num_layers),
            Dense(reader.horizon * len(quantiles)),
        ],
        random_state=seed,
        n_jobs=1,  # members run side by side instead
    )
    rate = Cosine(settings.learning_rate, steps, warmup_steps=min(50, steps // 10))
    network.compile(loss=Pinball(quantiles), optimizer=Adam(rate, clip_norm=1.0, ema_decay=_AVERAGING))
    network.build(input_shape=reading.features.shape[1:])
    network.parameters["dense_1.W"][:] = 0.0  # the anchor before training, with its own errors' quantiles
    network.parameters["dense_1.b"][:] = (np.nanquantile(wanted, quantiles, axis=0).T / unit).ravel()
    network.fit(
        reading.features,
        np.where(known, wanted / unit, 0.0).astype(np.float32),
        sample_weight=(weights if known.all() else weights[:, None] * known).astype(np.float32),
        epochs=epochs,
        batch_size=batch,
        time_limit=settings.seconds,
    )
    return Member(reader, encoding, quantiles, network, unit, epochs)


def too_few_known(panel: Panel, horizon: int) -> DataError:
    """What is wrong with values that are mostly missing."""
    known, what = np.count_nonzero(panel.mask), "the series" if len(panel) == 1 else f"{len(panel)} series"
    return DataError(
        f"only {known:,} of {panel.values.size:,} values of {what} are known, too few or too far apart to "
        f"learn from for a horizon of {horizon}; give more values, or a frequency of longer steps"
    )


def _weights(
    reader: Reader,
    reading: Reading,
    wanted: NDArray[np.float64],
    scales: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Weight of each window [n], 1 on average."""
    miss = np.nanmean(np.abs(wanted), axis=1)  # the anchor's, in sizes
    size = reading.size[:, 0]
    level = np.exp(np.mean(reading.anchor, axis=1)) if reader.log else 1.0
    parts = [size * level / scales]
    if reader.relative:
        parts.append(size)  # an error in logarithms is a relative one
    weights = np.sum([part / (np.mean(part * miss) + 1e-300) for part in parts], axis=0)
    weights = np.minimum(weights / np.mean(weights), _HEAVIEST)
    return np.asarray(weights / np.mean(weights))
