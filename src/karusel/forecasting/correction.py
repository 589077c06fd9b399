"""The correction: a small ensemble of LSTM networks that learns what a window's anchor misses.

Each network reads the scaled input part [n, T, 2] and gives the correction of all h steps at once. Its last
layer starts at zero, so that training starts from the anchor. How many epochs to train and which share of the
correction to use are chosen on the latest part of the training windows, held out in time; then the
networks are trained anew on all windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from karusel import LSTM, AbsoluteError, Adam, Dense, Sequential

__all__ = ["Correction", "NetworkSettings", "fit_correction", "in_parallel"]

Result = TypeVar("Result")

_EPOCHS = 80  # the middle one of the three numbers of epochs tried, for few windows
_STEPS = 400  # optimiser steps at most in that many epochs
_AVERAGING = 0.98  # of the weights, over some 50 steps
_SHARES = np.linspace(0, 1, 11)
_USUAL_SHARE = 0.5  # smoothing and network in equal parts, unless held-out windows speak against it,
_FEW_HORIZONS = 3.0  # and half of that where the windows hold so few horizons
_LEAST_WINDOWS = 4  # fewer earlier windows teach too little to choose anything by


@dataclass(frozen=True)
class NetworkSettings:
    """What the networks of an ensemble are like."""

    hidden_size: int = 32
    num_layers: int = 1
    learning_rate: float = 0.002
    batch_size: int = 32
    n_members: int = 3
    random_state: int = 0
    n_jobs: int = 1
    seconds: float | None = None  # at most, for each network


@dataclass(frozen=True)
class Correction:
    """A trained ensemble. `epochs` and `share` are what was chosen; `unit` the scale of its outputs."""

    networks: tuple[Sequential, ...]
    unit: float
    epochs: int
    share: float

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of the members' corrections [n, h], in sizes of the windows, before `share` is applied."""
        x = features.astype(np.float32)
        outputs = [np.asarray(net.predict(x), np.float64) for net in self.networks]
        return np.asarray(self.unit * np.mean(outputs, axis=0))


def fit_correction(
    features: NDArray[np.float64],
    wanted: NDArray[np.float64],
    held_out: NDArray[np.bool_],
    earlier: NDArray[np.bool_],
    held_out_error: Callable[[NDArray[np.float64]], float],
    settings: NetworkSettings,
) -> Correction:
    """Choose epochs and share, then train on all windows.

    `features` [n, T, 2] and `wanted` [n, h] describe all training windows; `earlier` those whose targets end
    before the first `held_out` cutoff. `held_out_error` says how far a correction [k, h] of the held-out
    windows, in sizes, leaves the forecast from the truth.

    Windows that overlap tell little more than one a horizon. The fewer those are, the smaller is the usual
    share, and the more must another one gain: its distance over their number, as a part of smoothing's error.
    """
    horizons = len(wanted) / wanted.shape[1]
    usual = _USUAL_SHARE * horizons / (horizons + _FEW_HORIZONS)
    unit = float(np.mean(np.abs(wanted))) or 1.0
    x, y = features.astype(np.float32), (wanted / unit).astype(np.float32)
    middle = max(1, min(_EPOCHS, round(_STEPS * settings.batch_size / len(x))))
    epochs, share = middle, usual / 2  # untested
    if np.count_nonzero(earlier) >= _LEAST_WINDOWS:
        tried = sorted({max(1, middle // 2), middle, 2 * middle})

        def stages(seed: int) -> list[NDArray[np.float64]]:
            net, done, outputs = _network(x, y, settings, seed), 0, []
            for target in tried:
                net.fit(
                    x[earlier],
                    y[earlier],
                    epochs=target - done,
                    batch_size=settings.batch_size,
                    time_limit=None if settings.seconds is None else settings.seconds / len(tried),
                )
                done = target
                outputs.append(np.asarray(net.predict(x[held_out]), np.float64))
            return outputs

        seeds = [settings.random_state + 1000 + k for k in range(settings.n_members)]
        means = unit * np.mean(in_parallel(stages, seeds, settings.n_jobs), axis=0)
        costs = np.abs(_SHARES - usual) / horizons * held_out_error(np.zeros_like(means[0]))
        errors = [[held_out_error(share * mean) for share in _SHARES] + costs for mean in means]
        best = int(np.argmin(errors))
        epochs, share = tried[best // len(_SHARES)], float(_SHARES[best % len(_SHARES)])

    def member(seed: int) -> Sequential:
        net = _network(x, y, settings, seed)
        net.fit(x, y, epochs=epochs, batch_size=settings.batch_size, time_limit=settings.seconds)
        return net

    seeds = [settings.random_state + k for k in range(settings.n_members)]
    return Correction(tuple(in_parallel(member, seeds, settings.n_jobs)), unit, epochs, share)


def _network(
    features: NDArray[np.float32], wanted: NDArray[np.float32], settings: NetworkSettings, seed: int
) -> Sequential:
    net = Sequential(
        [LSTM(settings.hidden_size, num_layers=settings.num_layers), Dense(wanted.shape[1])],
        random_state=seed,
        n_jobs=1,  # members run side by side instead
    )
    net.compile(
        loss=AbsoluteError(), optimizer=Adam(settings.learning_rate, clip_norm=1.0, ema_decay=_AVERAGING)
    )
    net.build(input_shape=features.shape[1:])
    net.parameters["dense_1.W"][:] = 0.0  # no correction before training
    return net


def in_parallel(task: Callable[[int], Result], numbers: Sequence[int], n_jobs: int) -> list[Result]:
    """The task's results in the order of the numbers, such as seeds, whatever runs first."""
    if n_jobs == 1 or len(numbers) == 1:
        return [task(number) for number in numbers]
    with ThreadPoolExecutor(n_jobs) as pool:
        return list(pool.map(task, numbers))
