"""The verdict: one sentence that says whether the network is worth using on this series.

Skill is 1 - network's error / error of the best simple method. Cutoffs that lie less than a horizon apart
share a part of their truth, so that their errors hang together; the uncertainty of skill comes from means
over overlapping batches of cutoffs (`skill_of`).

The lag-copy test asks whether the one-step forecasts only repeat the last value: they move away from it much
less than the truth does, and are no better than it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.backtest import NETWORK, Backtest

__all__ = ["Skill", "Verdict", "judge", "skill_of"]

_CLEAR = 0.05  # skill below this, either way, is called level
_SAME = 0.02  # simple methods so close to the best of them count as equal; the simplest is named
_MOSTLY = 0.6  # share of cutoffs that a clear winner must win
_EQUAL = 1e-6  # difference, as a share, of errors that are the same
_STILL = 0.5  # movement, as a share of the truth's, below which a forecast only repeats
_NAMED = 3  # series in a sentence
# Student's t that 95 % lie below, by one over the degrees of freedom.
_ONE_OVER = 1 / np.array([np.inf, 120, 60, 30, 20, 15, 10, 8, 6, 5, 4, 3, 2, 1.5, 1])
_STUDENT = np.array(
    [1.645, 1.658, 1.671, 1.697, 1.725, 1.753, 1.812, 1.860, 1.943, 2.015, 2.132, 2.353, 2.920, 3.705, 6.314]
)


@dataclass(frozen=True)
class Skill:
    """`value` is 1 - error / error of a simple method; between `low` and `high` it lies with 90 % confidence,
    NaN where there are too few cutoffs to tell.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """`outcome` is "network", "level" or "simple".

    `best_simple` is the simplest method within 2 % of the best one's error; `skill` is 1 - network's error /
    its error (mean absolute scaled errors), `skill_low` and `skill_high` the ends of its 90 % interval, NaN
    when unknown; `cutoffs_won` the share of cutoffs, 0 to 1, with less error than its, `series_won` that of
    series; `worst` the ids of the series with the least skill below 0, the worst first, three at most.
    """

    outcome: str
    best_simple: str
    skill: float
    cutoffs_won: float
    lag_copy: bool
    sentence: str
    skill_low: float
    skill_high: float
    series_won: float
    worst: tuple[Hashable, ...]


def judge(backtest: Backtest) -> Verdict:
    """Judge the network by a backtest."""
    relative = {m: backtest.relative_error(m) for m in backtest.forecasts if m != NETWORK}
    best_simple = next(m for m, error in relative.items() if error <= (1 + _SAME) * min(relative.values()))
    network, simple = backtest.errors(NETWORK, best_simple)
    skill = skill_of(np.nansum(network, axis=(1, 2)), np.nansum(simple, axis=(1, 2)), backtest.overlap)
    won = _won(network, simple, (1, 2))
    lag_copy = _copies_last_value(backtest)
    if skill.value > _CLEAR and won >= _MOSTLY and not skill.low <= 0:
        outcome = "network"
    elif skill.value < -_CLEAR:
        outcome = "simple"
    else:
        outcome = "level"
    series_won = _won(network, simple, (0, 2))
    worst = _worst(network, simple, backtest.ids)
    same = np.allclose(network, simple, rtol=_EQUAL, atol=0, equal_nan=True)
    parts = [_sentence(backtest, "same" if same else outcome, best_simple, skill, won)]
    if len(backtest.ids) > 1:
        named = ", ".join(f'"{name}"' for name in worst)
        parts.append(
            f"of {len(backtest.ids):,} series it is ahead on {100 * series_won:.0f} %"
            + (f", and furthest behind on {named}" if worst else "")
        )
    if lag_copy:
        parts.append("the LSTM's next-step forecasts only repeat the last value (lag-copy test)")
    return Verdict(
        outcome,
        best_simple,
        skill.value,
        won,
        lag_copy,
        "; ".join(parts) + ".",
        skill.low,
        skill.high,
        series_won,
        worst,
    )


def skill_of(network: NDArray[np.float64], simple: NDArray[np.float64], overlap: int) -> Skill:
    """Skill from the errors at C cutoffs [C] of which each shares truth with the `overlap` - 1 after it.

    With d_c = (1 - skill) simple_c - network_c, whose mean is 0, the variance of skill is that of mean(d)
    over mean(simple)^2 (a ratio's, to first order). The variance of a mean of dependent values is taken from
    its means over overlapping batches, b = `overlap` values each (Meketon and Schmeiser, 1984), as a block
    bootstrap has it (Künsch, 1989), with some 1.5 (C / b - 1) degrees of freedom. Batches understate what
    hangs together; the result is multiplied by what that amounts to for errors whose correlation falls
    in a straight line to 0 over b cutoffs, as the share of common truth does.
    """
    total = float(np.sum(simple))
    if total == 0:
        value = 0.0 if np.sum(network) == 0 else -1.0
        return Skill(value, float("nan"), float("nan"))
    value = 1 - float(np.sum(network)) / total
    count = network.size
    if count < 2 * overlap:
        return Skill(value, float("nan"), float("nan"))
    away = (1 - value) * simple - network
    sums = np.concatenate([[0.0], np.cumsum(away)])
    means = (sums[overlap:] - sums[:-overlap]) / overlap
    whole, part = _variance_of_mean(count, overlap), _variance_of_mean(overlap, overlap)
    variance = float(np.mean(means**2)) * whole / (part - whole)
    half = _student(1.5 * (count / overlap - 1)) * float(np.sqrt(variance)) / (total / count)
    return Skill(value, value - half, value + half)


def _variance_of_mean(count: int, overlap: int) -> float:
    """Of a mean of `count` values of variance 1 with correlations 1 - k / overlap at lags k < overlap."""
    lags = np.arange(1, min(count, overlap))
    return (count + 2 * float(np.sum((count - lags) * (1 - lags / overlap)))) / count**2


def _student(freedom: float) -> float:
    return float(np.interp(1 / freedom, _ONE_OVER, _STUDENT))


def _won(network: NDArray[np.float64], simple: NDArray[np.float64], axes: tuple[int, int]) -> float:
    """The share of cutoffs or series with less error than the simple method's."""
    there = ~np.isnan(network).all(axes)
    return float(np.mean((np.nansum(network, axes) < np.nansum(simple, axes))[there]))


def _worst(
    network: NDArray[np.float64], simple: NDArray[np.float64], ids: tuple[Hashable, ...]
) -> tuple[Hashable, ...]:
    own, other = np.nansum(network, (0, 2)), np.nansum(simple, (0, 2))
    behind = np.where(own > other, own / np.maximum(other, 1e-300), 0.0)
    order = np.argsort(-behind, kind="stable")[:_NAMED]
    return tuple(ids[number] for number in order if behind[number] > 0) if len(ids) > 1 else ()


def _copies_last_value(backtest: Backtest) -> bool:
    error, last_error = (one[..., 0] for one in backtest.errors(NETWORK, "last value"))
    away = np.abs(backtest.forecasts[NETWORK][..., 0] - backtest.last) / backtest.sizes
    movement = float(np.nansum(last_error))
    moved = float(np.nansum(np.where(np.isnan(error), 0.0, away)))
    return movement > 0 and moved < _STILL * movement and float(np.nansum(error)) > (1 - _SAME) * movement


def _sentence(backtest: Backtest, outcome: str, best_simple: str, skill: Skill, won: float) -> str:
    count = backtest.cutoffs
    over = f"over {count} past cutoff{'s' if count > 1 else ''}"
    if outcome == "same":
        return (
            f"The LSTM adds nothing here: {over} its forecasts were those of the best simple method, "
            f"{best_simple}"
        )
    if outcome == "network":
        return (
            f"The LSTM is worth using here: {over} its error is {_less_or_more(skill)} that of the best "
            f"simple method, {best_simple}, and it is ahead at {100 * won:.0f} % of them"
        )
    if outcome == "simple":
        return (
            f"A simple method wins here: {over} the LSTM's error is {_less_or_more(skill)} that of "
            f"{best_simple}, so it shows no skill; use {best_simple}"
        )
    shown = ", so it shows no skill" if skill.value < 0 else ""
    return (
        f"No clear winner: {over} the LSTM's error is {_less_or_more(skill)} that of the best simple method, "
        f"{best_simple}, and it is ahead at {100 * won:.0f} % of them{shown}; {best_simple} is simpler"
    )


def _less_or_more(skill: Skill) -> str:
    """How the network's error compares, in words that stay readable, such as "12 % (5 to 19 %) less than"."""
    if skill.value < -1:
        times = 1 - skill.value
        return f"{times:.1f} times" if times < 1000 else "more than 1,000 times"
    word, sign = ("less", 1) if skill.value >= 0 else ("more", -1)
    away = 100 * abs(skill.value)
    if np.isnan(skill.low):
        return f"{away:.0f} % {word} than"
    near, far = sorted((100 * sign * skill.low, 100 * sign * skill.high))
    digits = int(round(near) == round(far) and round(near, 1) != round(far, 1))
    if round(near, digits) < 0:
        other = "more" if sign > 0 else "less"
        ends = f"{-near:.{digits}f} % {other} to {far:.{digits}f} % {word}"
        return f"{away:.{digits}f} % {word} ({ends}) than"
    return f"{away:.{digits}f} % {word} ({abs(near):.{digits}f} to {far:.{digits}f} %) than"
