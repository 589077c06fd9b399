"""The best forecast that the backtest knows of: one method's, or a blend of those that are about as good.

    forecast = sum over methods m of w_m f_m

Methods within 10 % of the least error take part. Their weights are halfway between equal ones and those that
fall with the square of the error (Bates and Granger, 1969, without covariances; shrunk as in Diebold and
Pauly, 1990): few cutoffs hardly tell methods apart that are about as good, and equal weights are hard to beat
(Timmermann, 2006). Where one method is clearly ahead, it is alone. How good the rule itself is, is measured
on cutoffs whose weights came from earlier ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.backtest import LEVELS, NETWORK, SMOOTHING, Backtest
from karusel.forecasting.baselines import baselines
from karusel.forecasting.intervals import Calibration, reached_coverage, rolling
from karusel.forecasting.model import FittedModel
from karusel.forecasting.prediction import Prediction
from karusel.forecasting.windows import Cutoffs

__all__ = ["BEST", "Best", "choose_best"]

BEST = "best"
_NEAR = 0.1  # of the least error
_SHRUNK = 0.5  # towards equal weights


@dataclass(frozen=True)
class Best:
    """What to forecast with. `weights` by method, adding up to 1, the heaviest first.

    `calibration` is that of its intervals, on its own errors. What follows is measured at past cutoffs whose
    weights were chosen on earlier ones: `skill`, 1 - its error / the network's, over `cutoffs` of them (NaN
    and 0 when there are too few), and `coverage`, from 0 to 1, of intervals by level on `coverage_values`
    values. `sentence` says what was chosen and its skill.
    """

    season_length: int
    weights: dict[str, float]
    calibration: Calibration
    skill: float
    cutoffs: int
    coverage: dict[float, float]
    coverage_values: int
    sentence: str

    def predict(self, cutoffs: Cutoffs, model: FittedModel) -> Prediction:
        """Forecasts of the windows at `cutoffs`, with the units that `calibration` is in.

        Simple methods learn from each series until its first cutoff here, and from whole ones that have none.
        """
        network = model.predict(cutoffs)
        if self.weights.get(NETWORK) == 1:
            return network
        forecasts = {NETWORK: network.values}
        if SMOOTHING in self.weights:
            forecasts[SMOOTHING] = model.predict_without_network(cutoffs).values
        behind = np.zeros(len(cutoffs.panel), np.int64)
        np.maximum.at(behind, cutoffs.numbers, cutoffs.panel.offsets[cutoffs.numbers + 1] - 1 - cutoffs.at)
        known = cutoffs.panel.without_last(behind)
        for method in baselines(model.horizon, self.season_length, known.frequency.cycle):
            if method.name in self.weights:
                forecasts[method.name] = method.fit(known).forecast(cutoffs)
        blend = np.sum([weight * forecasts[name] for name, weight in self.weights.items()], axis=0)
        return replace(network, middle=blend)


def choose_best(backtest: Backtest, season_length: int) -> Best:
    """Choose by the errors at all cutoffs, among the methods that were run at all of them."""
    complete = {
        name: forecast
        for name, forecast in backtest.forecasts.items()
        if not np.isnan(forecast[~np.isnan(backtest.truth)]).any()
    }
    errors = {name: backtest.errors(name)[0] for name in complete}
    weights = _weights(errors, slice(None))
    alone = weights.get(NETWORK) == 1
    calibration = backtest.calibration() if alone else _with_blend(backtest, weights).calibration(BEST)

    tried = np.full(backtest.truth.shape, np.nan)
    for group, _ in rolling(backtest.scores(), backtest.step):
        earlier = _weights(errors, slice(0, group[0] - backtest.overlap + 1))
        tried[group] = _blend({name: forecast[group] for name, forecast in complete.items()}, earlier)
    rolled = replace(backtest, forecasts={**complete, BEST: tried})
    own, network = rolled.errors(BEST, NETWORK)
    cutoffs = int(np.count_nonzero(~np.isnan(own).all((1, 2))))
    total = float(np.nansum(network))
    skill = 1 - float(np.nansum(own)) / total if cutoffs and total > 0 else float("nan")
    coverage, values = reached_coverage(rolled.scores(BEST), LEVELS, backtest.step)
    sentence = _sentence(weights, skill, cutoffs)
    return Best(season_length, weights, calibration, skill, cutoffs, coverage, values, sentence)


def _weights(errors: dict[str, NDArray[np.float64]], known: slice) -> dict[str, float]:
    means = {name: float(np.nanmean(error[known])) for name, error in errors.items()}
    least = min(means.values())
    near = {name: mean for name, mean in means.items() if mean <= (1 + _NEAR) * least}
    inverse = {name: (least / mean) ** 2 if mean > 0 else 1.0 for name, mean in near.items()}
    total = sum(inverse.values())
    weights = {name: _SHRUNK / len(near) + (1 - _SHRUNK) * one / total for name, one in inverse.items()}
    return dict(sorted(weights.items(), key=lambda item: -item[1]))


def _with_blend(backtest: Backtest, weights: dict[str, float]) -> Backtest:
    """The backtest with the blend as one more method, at recent cutoffs too if all of it was run there."""
    recent = backtest.recent
    if recent is not None:
        recent = _with_blend(recent, weights) if weights.keys() <= recent.forecasts.keys() else None
    forecasts = {**backtest.forecasts, BEST: _blend(backtest.forecasts, weights)}
    return replace(backtest, forecasts=forecasts, recent=recent)


def _blend(forecasts: dict[str, NDArray[np.float64]], weights: dict[str, float]) -> NDArray[np.float64]:
    return np.asarray(np.sum([weight * forecasts[name] for name, weight in weights.items()], axis=0))


def _sentence(weights: dict[str, float], skill: float, cutoffs: int) -> str:
    if len(weights) == 1:
        text = f"The best forecast here is that of {next(iter(weights))} alone"
    else:
        listed = ", ".join(f"{100 * weight:.0f} % {name}" for name, weight in weights.items())
        text = f"The best forecast here is a blend: {listed}"
    if np.isnan(skill):
        return text + "."
    word = "less" if skill >= 0 else "more"
    return (
        f"{text}; chosen like this on earlier cutoffs it had {100 * abs(skill):.0f} % {word} error than the "
        f"LSTM at {cutoffs} later ones."
    )
