"""How tasks fit their networks: one recipe of training, and the rules of the settings that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import (
    LARGEST_SEED,
    between,
    choice,
    positive_number,
    share,
    whole_number,
)
from karusel.callbacks import Callback, EarlyStopping
from karusel.errors import DataError, UsageError
from karusel.losses import Loss
from karusel.network import Sequential
from karusel.optimizers import Adam, Cosine

__all__ = [
    "Progress",
    "check_choice",
    "check_dropout",
    "check_flag",
    "check_learning",
    "check_share",
    "check_whole",
    "fit_network",
    "hold_out",
    "no_progress",
    "usual_batch",
]

Progress = Callable[[int, dict[str, float]], None]


def no_progress(epoch: int, logs: dict[str, float]) -> None:
    """Tells nobody."""


def fit_network(
    network: Sequential,
    loss: Loss,
    examples: Sequence[Any],
    held_out: Any,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    averaged: float = 0.05,
    scale: float = 1.0,
    callbacks: Sequence[Callback] = (),
    progress: Progress = no_progress,
    **options: Any,
) -> dict[str, list[float]]:
    """Fit to examples (X, y), keep the epoch that is best on `held_out`; returns the losses by epoch.

    Adam with a warm-up and a cosine schedule, gradients clipped at a norm of 1, weights averaged over the
    share `averaged` of all steps. Losses are told and returned times `scale`, and clipped as if they were so;
    `options` go to `Sequential.fit`.
    """
    steps = epochs * -(-len(examples[0]) // batch_size)
    rate = Cosine(learning_rate, steps, warmup_steps=min(100, steps // 10))
    decay = 1 - 1 / max(1.0, averaged * steps)
    network.compile(loss, Adam(rate, clip_norm=1.0 / scale, ema_decay=decay))
    history = network.fit(
        *examples,
        epochs=epochs,
        batch_size=batch_size,
        validation_data=held_out,
        callbacks=[EarlyStopping(patience=epochs), *callbacks, _Told(progress, scale)],
        **options,
    )
    return {name: [scale * one for one in losses] for name, losses in history.history.items()}


def hold_out(
    random: np.random.Generator, count: int, share: float, what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of examples drawn to be held out, and of the rest: one at least of both; `what` one is."""
    if count < 2:
        raise DataError(f"there is a single {what}; at least two are needed, to hold one out")
    held_out, rest = np.split(random.permutation(count), [int(np.clip(round(share * count), 1, count - 1))])
    return held_out, rest


def usual_batch(examples: int, steps: int, least: int, most: int) -> int:
    """A power of two with which an epoch has about so many steps."""
    return int(np.clip(2 ** round(np.log2(max(1, examples) / steps)), least, most))


def check_learning(task: Any) -> None:
    """Raise `UsageError` for settings that all tasks have, of a network and its training."""
    check_whole(task, "hidden_size", "epochs", optional=("n_jobs",))
    whole_number(_owner(task), "random_state", task.random_state, 0, LARGEST_SEED)
    positive_number(_owner(task), "learning_rate", task.learning_rate)


def check_whole(task: Any, *names: str, least: int = 1, optional: Sequence[str] = ()) -> None:
    """Raise `UsageError` for settings that are no whole numbers from `least` up, or None where `optional`."""
    for name in (*names, *optional):
        value = getattr(task, name)
        if value is not None or name not in optional:
            whole_number(_owner(task), name, value, least)


def check_share(task: Any) -> None:
    """Raise `UsageError` for a share to hold out that is none."""
    between(_owner(task), "validation_share", task.validation_share, 0, 1)


def check_dropout(task: Any, *names: str) -> None:
    """Raise `UsageError` for shares of numbers to leave out that are none."""
    for name in names:
        share(_owner(task), name, getattr(task, name))


def check_flag(task: Any, name: str) -> None:
    """Raise `UsageError` for a setting that is neither True nor False."""
    value = getattr(task, name)
    if not isinstance(value, (bool, np.bool_)):
        raise UsageError(f"{_owner(task)}: {name} must be True or False, got {value!r}")


def check_choice(task: Any, name: str, choices: Iterable[str]) -> None:
    """Raise `UsageError` for a setting that is none of some names."""
    choice(_owner(task), name, getattr(task, name), choices)


def _owner(task: Any) -> str:
    """What messages about a task's settings call it."""
    return type(task).__name__


class _Told(Callback):
    """Tells of each epoch."""

    def __init__(self, progress: Progress, scale: float) -> None:
        self._progress, self._scale = progress, scale

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        self._progress(epoch, {name: self._scale * loss for name, loss in logs.items()})
