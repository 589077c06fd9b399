"""Encoding: covariates as numbers that networks and effects can work with.

A number is centred by its mean and divided by its standard deviation over the panel that was fitted; a
category becomes one column, 1 where it holds, for each of the 16 commonest. A missing number, and a category
that is missing, rare or new, is 0: nothing is said about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.covariates import KINDS, Covariate, Covariates, Kind
from karusel.forecasting.windows import Cutoffs

__all__ = ["Code", "Encoding", "fit_encoding"]

_MOST_CATEGORIES = 16
_FARTHEST = 10.0  # standard deviations beyond which a number is cut


@dataclass(frozen=True)
class Code:
    """How one covariate is encoded: by `centre` and `spread`, or by the codes of its `categories`."""

    covariate: Covariate
    centre: float = 0.0
    spread: float = 1.0
    categories: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        return 1 if self.covariate.categories is None else len(self.categories)

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Numbers [N, width] from a covariate's values [N]."""
        if self.covariate.categories is not None:
            return np.asarray(values[:, None] == np.array(self.categories, np.float64), np.float32)
        away = np.clip((values[:, None] - self.centre) / self.spread, -_FARTHEST, _FARTHEST)
        return np.nan_to_num(away).astype(np.float32)


@dataclass(frozen=True)
class Encoding:
    """How all covariates of a panel are encoded."""

    codes: tuple[Code, ...]

    def of(self, covariates: Covariates, kind: Kind) -> NDArray[np.float32]:
        """The covariates of one kind, encoded: [N, C], or [S, C] for static ones."""
        values = covariates.values(kind)
        codes = [code for code in self.codes if code.covariate.kind == kind]
        parts = [code.encode(values[:, number]) for number, code in enumerate(codes)]
        return np.concatenate([np.empty((len(values), 0), np.float32), *parts], axis=1)

    def channels(self, cutoffs: Cutoffs, look_back: int, horizon: int) -> NDArray[np.float32]:
        """What networks read of the covariates of windows [n, look_back, C].

        At each of the last `look_back` steps t: those of the past and the future at t, those of the future at
        t + horizon, and the static ones. So the last `horizon` steps bring what is known of the target part.
        """
        covariates = cutoffs.panel.covariates
        past, future = self.of(covariates, "past"), self.of(covariates, "future")
        at = cutoffs.at[:, None] + np.arange(1 - look_back, 1)
        inside = (at >= cutoffs.starts[:, None])[:, :, None]
        at = np.maximum(at, cutoffs.starts[:, None])
        static = self.of(covariates, "static")[cutoffs.numbers]
        parts = [past[at] * inside, future[at] * inside]
        if future.shape[1]:
            parts.append(future[at + horizon] * inside)
        parts.append(np.repeat(static[:, None, :], look_back, axis=1))
        return np.concatenate(parts, axis=2)


def fit_encoding(covariates: Covariates) -> Encoding:
    """The encoding that suits the covariates of a panel."""
    return Encoding(
        tuple(
            _code(covariate, covariates.values(kind)[:, number])
            for kind in KINDS
            for number, covariate in enumerate(covariates.of(kind))
        )
    )


def _code(covariate: Covariate, values: NDArray[np.float64]) -> Code:
    if covariate.categories is not None:
        counts = np.bincount(values.astype(np.int64), minlength=len(covariate.categories) + 1)[1:]
        commonest = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
        return Code(covariate, categories=tuple(int(code) + 1 for code in np.sort(commonest)))
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Code(covariate)
    spread = float(np.std(known))
    return Code(covariate, float(np.mean(known)), spread if spread > 0 else 1.0)
