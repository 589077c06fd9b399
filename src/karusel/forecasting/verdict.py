"""The verdict: one sentence that says whether the network is worth using on this series.

The lag-copy test asks whether the one-step forecasts only repeat the last value: they move away from it much
less than the truth does, and are no better than it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karusel.forecasting.backtest import NETWORK, Backtest

__all__ = ["Verdict", "judge"]

_CLEAR = 0.05  # skill below this, either way, is called level
_SAME = 0.02  # simple methods so close to the best of them count as equal; the simplest is named
_MOSTLY = 0.6  # share of cutoffs that a clear winner must win
_STILL = 0.5  # movement, as a share of the truth's, below which a forecast only repeats


@dataclass(frozen=True)
class Verdict:
    """`outcome` is "network", "level" or "simple".

    `best_simple` is the simplest method within 2 % of the best one's error; `skill` is 1 - network's error /
    its error (mean absolute scaled errors); `cutoffs_won` the share of cutoffs, 0 to 1, with less error than
    its.
    """

    outcome: str
    best_simple: str
    skill: float
    cutoffs_won: float
    lag_copy: bool
    sentence: str


def judge(backtest: Backtest) -> Verdict:
    """Judge the network by a backtest."""
    errors = {method: backtest.scaled_errors(method) for method in backtest.forecasts}
    means = {method: float(np.mean(error)) for method, error in errors.items() if method != NETWORK}
    best_simple = next(method for method, mean in means.items() if mean <= (1 + _SAME) * min(means.values()))
    network, simple = errors[NETWORK], errors[best_simple]
    scale = float(np.mean(simple))
    skill = 1 - float(np.mean(network)) / scale if scale > 0 else (0.0 if np.mean(network) == 0 else -1.0)
    won = float(np.mean(network < simple))
    lag_copy = _copies_last_value(backtest)
    if skill > _CLEAR and won >= _MOSTLY:
        outcome = "network"
    elif skill < -_CLEAR:
        outcome = "simple"
    else:
        outcome = "level"
    return Verdict(
        outcome,
        best_simple,
        skill,
        won,
        lag_copy,
        _sentence(backtest, outcome, best_simple, skill, won, lag_copy),
    )


def _copies_last_value(backtest: Backtest) -> bool:
    forecast, truth, last = backtest.forecasts[NETWORK][..., 0], backtest.truth[..., 0], backtest.last
    movement = float(np.mean(np.abs(truth - last)))
    if movement == 0:
        return False
    moved = float(np.mean(np.abs(forecast - last)))
    return moved < _STILL * movement and float(np.mean(np.abs(truth - forecast))) > (1 - _SAME) * movement


def _sentence(
    backtest: Backtest, outcome: str, best_simple: str, skill: float, won: float, lag_copy: bool
) -> str:
    count = backtest.cutoffs
    over = f"over {count} past cutoff{'s' if count > 1 else ''}"
    percent = f"{abs(100 * skill):.0f} %"
    if outcome == "network":
        text = (
            f"The LSTM is worth using here: {over} its error is {percent} less than that of the best simple "
            f"method, {best_simple}, and it is ahead at {100 * won:.0f} % of them"
        )
    elif outcome == "simple":
        text = (
            f"A simple method wins here: {over} the LSTM's error is {_more(skill)} that of "
            f"{best_simple}; use {best_simple}"
        )
    else:
        text = (
            f"No clear winner: {over} the LSTM and the best simple method, {best_simple}, are level "
            f"({percent} {'less' if skill >= 0 else 'more'} error, ahead at {100 * won:.0f} % of cutoffs); "
            f"{best_simple} is simpler"
        )
    if lag_copy:
        text += "; the LSTM's next-step forecasts only repeat the last value (lag-copy test)"
    return text + "."


def _more(skill: float) -> str:
    """How much larger the network's error is, in words that stay readable."""
    times = 1 - skill
    if times < 2:
        return f"{100 * (times - 1):.0f} % more than"
    return f"{times:.1f} times" if times < 1000 else "more than 1,000 times"
