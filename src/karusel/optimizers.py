"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import choice, number_from_zero, positive_number, share, whole_number
from karusel.errors import UsageError

__all__ = ["Adam", "AdamW", "Constant", "Cosine", "Schedule", "Step", "get_optimizer"]


class Schedule(ABC):
    """A learning rate for each training step, counted from 0."""

    kind: ClassVar[str]

    @abstractmethod
    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """The rate at each of some steps."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, in types that JSON has."""

    def config(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.settings()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings().items())})"


class Constant(Schedule):
    """The same rate at every step."""

    kind = "constant"

    def __init__(self, rate: float) -> None:
        self.rate = positive_number("Constant", "rate", rate)

    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.full(len(steps), self.rate)

    def settings(self) -> dict[str, Any]:
        return {"rate": self.rate}


class Cosine(Schedule):
    """Linear warm-up, then half a cosine down (Loshchilov & Hutter 2017).

    Step s < warmup_steps: rate (s + 1) / warmup_steps; then final_rate + (rate - final_rate)
    (1 + cos(pi p)) / 2 with p = (s - warmup_steps) / (total_steps - warmup_steps), at most 1.

    Parameters
    ----------
    rate
        The highest rate.
    total_steps
        Steps after which the rate is `final_rate`.
    warmup_steps
        Steps of warm-up. Default 0.
    final_rate
        Default 0.
    """

    kind = "cosine"

    def __init__(self, rate: float, total_steps: int, warmup_steps: int = 0, final_rate: float = 0.0) -> None:
        self.rate = positive_number("Cosine", "rate", rate)
        self.total_steps = whole_number("Cosine", "total_steps", total_steps, most=math.inf)
        self.warmup_steps = whole_number("Cosine", "warmup_steps", warmup_steps, 0, math.inf)
        if self.warmup_steps >= self.total_steps:
            raise UsageError(
                f"Cosine: warmup_steps must be below total_steps ({total_steps}), got {warmup_steps}"
            )
        self.final_rate = number_from_zero("Cosine", "final_rate", final_rate)
        if self.final_rate > self.rate:
            raise UsageError(f"Cosine: final_rate must be between 0 and rate ({rate}), got {final_rate!r}")

    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        warm = self.rate * (steps + 1) / max(self.warmup_steps, 1)
        p = np.clip((steps - self.warmup_steps) / (self.total_steps - self.warmup_steps), 0.0, 1.0)
        cool = self.final_rate + (self.rate - self.final_rate) * (1 + np.cos(np.pi * p)) / 2
        return np.where(steps < self.warmup_steps, warm, cool)

    def settings(self) -> dict[str, Any]:
        return {
            "rate": self.rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "final_rate": self.final_rate,
        }


class Step(Schedule):
    """rate * factor^(s // every) at step s."""

    kind = "step"

    def __init__(self, rate: float, every: int, factor: float = 0.1) -> None:
        self.rate = positive_number("Step", "rate", rate)
        self.every = whole_number("Step", "every", every)
        self.factor = positive_number("Step", "factor", factor)

    def rates(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(self.rate * self.factor ** (steps // self.every))

    def settings(self) -> dict[str, Any]:
        return {"rate": self.rate, "every": self.every, "factor": self.factor}


SCHEDULES = {schedule.kind: schedule for schedule in (Constant, Cosine, Step)}


class Adam:
    """Adam (Kingma & Ba 2015), in PyTorch's form::

        m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2
        w = w - rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Parameters
    ----------
    learning_rate
        A number or a schedule. Default 0.001.
    beta_1, beta_2
        Decay of the averages of the gradient and of its square. Defaults 0.9 and 0.999.
    epsilon
        Default 1e-8 (Keras: 1e-7, and inside the bias correction).
    clip_norm
        A gradient whose norm over all parameters is larger is scaled down to it. None: no clipping.
    ema_decay
        With d given, weights are averaged over steps, average = d average + (1 - d) w, and the average is
        what the network ends with. None: no averaging.
    """

    kind = "adam"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
    ) -> None:
        name = type(self).__name__
        self.schedule = (
            learning_rate
            if isinstance(learning_rate, Schedule)
            else Constant(positive_number(name, "learning_rate", learning_rate))
        )
        self.beta_1 = share(name, "beta_1", beta_1)
        self.beta_2 = share(name, "beta_2", beta_2)
        self.epsilon = positive_number(name, "epsilon", epsilon)
        self.clip_norm = None if clip_norm is None else positive_number(name, "clip_norm", clip_norm)
        self.ema_decay = None if ema_decay is None else share(name, "ema_decay", ema_decay)
        self.weight_decay = 0.0

    def config(self) -> dict[str, Any]:
        config = {
            "kind": self.kind,
            "schedule": self.schedule.config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "clip_norm": self.clip_norm,
            "ema_decay": self.ema_decay,
        }
        if self.kind == "adamw":
            config["weight_decay"] = self.weight_decay
        return config

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.schedule!r})"


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): first w = w (1 - rate * weight_decay).

    As in PyTorch, all parameters decay.

    Parameters
    ----------
    weight_decay
        Default 0.01. The others are Adam's.
    """

    kind = "adamw"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        *,
        weight_decay: float = 0.01,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, clip_norm=clip_norm, ema_decay=ema_decay)
        self.weight_decay = number_from_zero("AdamW", "weight_decay", weight_decay)


OPTIMIZERS: dict[str, type[Adam]] = {"adam": Adam, "adamw": AdamW}


def get_optimizer(optimizer: str | Adam | dict[str, Any]) -> Adam:
    """The optimizer that a name, a config or an optimizer itself means."""
    if isinstance(optimizer, Adam):
        return optimizer
    if isinstance(optimizer, dict):
        settings = dict(optimizer)
        schedule = dict(settings.pop("schedule"))
        rate = SCHEDULES[schedule.pop("kind")](**schedule)
        return OPTIMIZERS[settings.pop("kind")](rate, **settings)
    name = optimizer.lower() if isinstance(optimizer, str) else optimizer
    return OPTIMIZERS[choice("Sequential", "optimizer", name, OPTIMIZERS)]()
