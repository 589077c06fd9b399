"""Fitting: from a panel to a model that forecasts it, with everything that stands around the networks.

    values  ->  effects of known covariates taken out  ->  model of the rest
    forecast of the rest  ->  effects put back  ->  the nearest values that can be

Fewer than 20 series that are whole and long enough get `karusel.forecasting.model`, which fits one smoothing
and one correction to the fastest season; all others, and series that hold several of their slow seasons, such
as hours of weeks or days of years, get `karusel.forecasting.pooled`, which masks what is missing, pools short
series with the rest and knows two seasons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.correction import NetworkSettings
from karusel.forecasting.effects import Effects, fit_effects
from karusel.forecasting.encoding import fit_encoding
from karusel.forecasting.features import plain_reader
from karusel.forecasting.members import FEW, EnsembleSettings
from karusel.forecasting.model import FittedModel, fit_model
from karusel.forecasting.panel import Panel
from karusel.forecasting.pooled import PooledModel, fit_pooled, rows_to_pool
from karusel.forecasting.prediction import Prediction, Support, Units
from karusel.forecasting.scaling import rows_for_season, rows_needed
from karusel.forecasting.seasonality import find_season_lengths
from karusel.forecasting.windows import Cutoffs

__all__ = ["Fitted", "Settings", "fit", "why_no_season", "with_seasons"]

_SLOW_SEASONS = 3  # that a series must hold for the model that knows them


@dataclass(frozen=True)
class Settings:
    """What a forecaster was asked for; None leaves a choice to the model."""

    horizon: int
    input_size: int | None = None
    hidden_size: int | None = None
    num_layers: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    n_members: int | None = None
    random_state: int = 0
    n_jobs: int = 1
    seconds: float | None = None  # about so long may a fit take

    def within(self, seconds: float) -> Settings:
        """The same, to be done in about so many seconds."""
        return replace(self, seconds=seconds)

    def networks(self, series: int) -> dict[str, Any]:
        """What was given of the networks' settings; the rest is as each model likes it for so many series."""
        names = ("hidden_size", "num_layers", "learning_rate", "batch_size", "n_members")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        common: dict[str, Any] = {"random_state": self.random_state, "n_jobs": self.n_jobs}
        if self.seconds is not None:
            members = len(EnsembleSettings(n_members=self.n_members).look_backs(series))
            # Each fit trains all of them twice, as many side by side as there are threads.
            common["seconds"] = self.seconds / (2 * -(-(members + 1) // self.n_jobs))
        return {**given, **common}


@dataclass(frozen=True)
class Fitted:
    """A fitted model and what stands around it; itself a `FittedModel`."""

    model: FittedModel
    effects: Effects | None
    support: Support

    @property
    def pooled(self) -> bool:
        """Whether the model is one for all series together."""
        return isinstance(self.model, PooledModel)

    @property
    def horizon(self) -> int:
        """Steps of a forecast."""
        return self.model.horizon

    @property
    def length(self) -> int:
        """Values of an input part."""
        return self.model.length

    @property
    def shortest(self) -> int:
        """Values of its shortest input part, one of which must be known."""
        return self.model.shortest

    @property
    def season_length(self) -> int:
        """The season in use, 1 for none."""
        return self.model.season_length

    @property
    def units(self) -> Units:
        """What the model computes in."""
        return self.model.units

    @property
    def members(self) -> int:
        """Networks that forecast."""
        return self.model.members

    @property
    def epochs(self) -> int:
        """Epochs that each network was trained for."""
        return self.model.epochs

    @property
    def share(self) -> float:
        """The networks' part in the forecast."""
        return self.model.share

    def notes(self) -> tuple[str, ...]:
        """What was found and decided, in sentences."""
        found = []
        if self.support.whole:
            found.append("all values are whole numbers: forecasts are rounded to them")
        if self.support.non_negative:
            found.append("no value is negative: forecasts are never below 0")
        if self.effects is not None:
            form = "factors" if self.effects.relative else "additions"
            found.append(f"effects of the covariates known in the future are taken as {form}")
        return tuple(found)

    def takes(self, cutoffs: Cutoffs) -> NDArray[np.bool_]:
        """Which windows hold nothing but values that the model, once effects are taken out, is for [n]."""
        return self.model.takes(self._rest(cutoffs))

    def predict(self, cutoffs: Cutoffs) -> Prediction:
        """Forecasts of the windows at `cutoffs`, in the data's own units."""
        return self.predict_with(cutoffs, cutoffs.usual_steps(self.season_length))

    def predict_with(self, cutoffs: Cutoffs, usual: NDArray[np.float64]) -> Prediction:
        """The same where the usual steps of the windows' series [n, 1] are known from more rows."""
        return self._around(self.model.predict(self._rest(cutoffs)), cutoffs).in_own_units(usual)

    def predict_without_network(self, cutoffs: Cutoffs) -> Prediction:
        """What is forecast when the networks' part is left out."""
        return self._around(self.model.predict_without_network(self._rest(cutoffs)), cutoffs)

    def _rest(self, cutoffs: Cutoffs) -> Cutoffs:
        return cutoffs if self.effects is None else Cutoffs(self.effects.remove(cutoffs.panel), cutoffs.at)

    def _around(self, prediction: Prediction, cutoffs: Cutoffs) -> Prediction:
        if self.effects is None:
            return prediction.within(1.0, 0.0, self.support)
        return prediction.within(*self.effects.ahead(cutoffs, self.horizon), self.support)


def with_seasons(panel: Panel) -> Panel:
    """The panel with the seasons that its values show, where its times suggest none."""
    if panel.frequency.season_lengths:
        return panel
    return replace(panel, frequency=replace(panel.frequency, season_lengths=find_season_lengths(panel)))


def fit(panel: Panel, settings: Settings, like: Fitted | None = None) -> Fitted:
    """Fit to all that the panel holds, a model of the kind that `like` has if that is given.

    Raises `DataError` when that is too little.
    """
    support = Support(panel.non_negative, panel.whole)
    effects = fit_effects(panel, fit_encoding(panel.covariates), panel.frequency.season_length)
    rest = panel if effects is None else effects.remove(panel)
    pooled = _is_to_be_pooled(rest, settings.horizon) if like is None else like.pooled
    return Fitted(_fit_model(rest, settings, pooled), effects, support)


def _is_to_be_pooled(panel: Panel, horizon: int) -> bool:
    whole = bool(panel.mask.all())
    too_short = panel.lengths < rows_needed(horizon)
    alone = not panel.covariates.described and whole and (not too_short.any() or too_short.all())
    return not alone or len(panel) >= FEW or _has_slow_seasons(panel, horizon)


def _has_slow_seasons(panel: Panel, horizon: int) -> bool:
    """Whether every series holds so many seasons of the pooled model's slow one, and that has no others."""
    seasons = panel.frequency.season_lengths
    reader = plain_reader(horizon, seasons, False)
    if not reader.slow or set(seasons) - {1, reader.fast, reader.slow}:
        return False
    return int(panel.lengths.min()) >= max(_SLOW_SEASONS * reader.slow, rows_to_pool(horizon))


def why_no_season(model: Fitted, panel: Panel) -> str:
    """Why a model goes without the season of the panel that it was fitted to, in words."""
    rows, season_length = int(panel.lengths.min()), panel.frequency.season_length
    if model.pooled or rows < rows_for_season(season_length, model.horizon):
        return "too few rows for it"
    return "past values are forecast better without it"


def _fit_model(panel: Panel, settings: Settings, pooled: bool) -> FittedModel:
    horizon, frequency = settings.horizon, panel.frequency
    if not pooled:
        networks = NetworkSettings(**settings.networks(len(panel)))
        return fit_model(panel, horizon, frequency.season_length, settings.input_size, networks)
    ensemble = EnsembleSettings(**settings.networks(len(panel)), look_back=settings.input_size)
    return fit_pooled(panel, horizon, frequency.season_lengths, ensemble)
