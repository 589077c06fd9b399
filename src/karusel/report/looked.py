"""The section on what the model looked at: which past values moved the forecast, and how far back they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting.backtest import NETWORK
from karusel.forecasting.influence import Influence, influence
from karusel.numbers import decimals, number
from karusel.report.figures import share_chart
from karusel.report.html import Html, join, name, tag
from karusel.report.subject import Subject

__all__ = ["looked"]

_SEVERAL = 3  # series of many that are looked at, from the first to the last
_MOST, _HALF = 0.9, 0.5  # of all influence
_HARDLY_ANY = 0.01  # of all influence
_LEAST_WRITTEN = 1e-4  # below this a number is written with a power of ten
_MARKS = 8  # below the chart, about


def looked(subject: Subject) -> Html:
    """Which past values mattered, how far back they go, and how much of it is the networks' doing."""
    panel, model = subject.forecaster.panel_, subject.forecaster.model_
    chosen = np.unique(np.linspace(0, len(panel) - 1, _SEVERAL).round().astype(int)).tolist()
    found = [influence(model, panel, which) for which in chosen]
    read = max(min(model.length, one.rows) for one in found)
    shares = np.mean([one.shares[-read:] for one in found], axis=0)
    networks = np.mean([one.shares_of_networks[-read:] for one in found], axis=0)
    parts = [tag("h2", "What the model looked at"), *_whose(subject, chosen)]
    if not shares.any():
        return tag("section", *parts, tag("p", "No past value by itself moves this forecast."))

    def called(back: int) -> str:
        """The value so many steps before the last one, by its time where there is one series."""
        if subject.several:
            return "last" if back == 0 else f"-{back:,}"
        step = np.asarray(found[0].rows - 1 - back)
        return subject.label(panel.frequency.at(panel.starts[0], step))

    top = read - 1 - int(shares.argmax())
    sentences = [_memory(shares)]
    if subject.several:
        where = "the last value" if top == 0 else f"the value {_steps(top)} before the last one"
        sentences.append(f"What counts most is {where}: {100 * shares.max():.0f} % of all.")
    else:
        sentences.append(f"What counts most is the value of {called(top)}: {_experiment(found[0], top)}.")
    first = "" if subject.several else f", from {called(read - 1)} on"
    sentences.append(f"It reads the last {_values(read)}{first}; what came before has no influence at all.")
    every = max(1, -(-read // _MARKS))
    marks = {float(read - 1 - back): called(back) for back in range(0, read, every)}
    chart = share_chart(
        f"The influence of each of the last {read} values on the forecast, in percent of all",
        100 * shares,
        100 * networks if model.share else None,
        dict(sorted(marks.items())),
    )
    steps = " Below: steps before the last value." if subject.several else ""
    caption = (
        "The influence of each past value on the forecast, in percent of all: every value was made a little "
        f"higher and lower by itself, and the forecast made anew.{steps}"
    )
    return tag(
        "section",
        *parts,
        tag("p", " ".join(sentences)),
        tag("p", _part_of_networks(networks, model.share)),
        chart.figure(caption),
    )


def _whose(subject: Subject, chosen: Sequence[int]) -> Iterator[Html]:
    """What is looked into, where that is not simply the forecast shown above."""
    panel, best = subject.forecaster.panel_, subject.forecaster.best_
    weight = 1.0 if best is None else best.weights.get(NETWORK, 0.0)
    if weight < 1:
        part = f"{100 * weight:.0f} % of the weight" if weight else "no part"
        text = f"The forecast above is not the LSTM's alone. Here it is the LSTM's, which has {part} in it."
        yield tag("p", text)
    if panel.covariates.of("future"):
        text = (
            f"This is about the forecast made {_steps(subject.horizon)} before the end, the latest one whose "
            "covariates are all known here; their own effects are left out."
        )
        yield tag("p", text)
    if subject.several:
        names = join(*(join(", " if at else "", name(panel.ids[k])) for at, k in enumerate(chosen)))
        yield tag("p", f"The mean over {len(chosen)} of {len(panel):,} series: ", names, ".")


def _memory(shares: NDArray[np.float64]) -> str:
    """How far back it remembers: how many of the latest values have most of the influence."""
    most, half = (_latest(shares, part) for part in (_MOST, _HALF))
    if most == 1:
        return "The model remembers hardly more than the last value, which has nine tenths of all influence."
    of_half = "the last one alone" if half == 1 else f"the last {_values(half)}"
    both = f", {of_half} half of it" if half < most else ""
    return (
        f"The model remembers {_steps(most)}: the last {_values(most)} have nine tenths of all influence on "
        f"the forecast{both}."
    )


def _experiment(found: Influence, back: int) -> str:
    """What a round change of one value would have done to the forecast."""
    change = 10.0 ** np.round(np.log10(found.step))
    answer = float(change * found.whole[:, -1 - back].mean())
    ahead = "the forecast would be" if len(found.whole) == 1 else "the forecasts would on average be"
    word = "higher" if answer >= 0 else "lower"
    return f"had it been {_rough(change, 1)} higher, {ahead} {_rough(abs(answer), 2)} {word}"


def _rough(value: float, figures: int) -> str:
    """A number with so many figures, or more before the point."""
    if 0 < value < _LEAST_WRITTEN:
        return f"{value:.{figures - 1}e}"
    return number(value, max(0, decimals(value) + figures - 4))


def _part_of_networks(networks: NDArray[np.float64], share: float) -> str:
    if share == 0:
        return "None of this is the networks' doing: on held-out values they had nothing to add to smoothing."
    part = networks.sum()
    if part < _HARDLY_ANY:
        return "The networks have less than 1 % of this influence. The rest is smoothing, which they correct."
    latest = f"nearly all of it through the last {_values(_latest(networks, _MOST))}"
    if part > 1:
        return (
            f"The networks' own influence is {100 * part:.0f} % of this, {latest}: they take back some of "
            "what smoothing does."
        )
    return (
        f"The networks have {100 * part:.0f} % of this influence, {latest}. The rest is smoothing, which "
        "they correct."
    )


def _latest(shares: NDArray[np.float64], part: float) -> int:
    """How many of the latest values have this part of all shares."""
    from_last = np.cumsum(shares[::-1])
    return int(np.argmax(from_last >= part * from_last[-1])) + 1


def _steps(count: int) -> str:
    return f"{count:,} step{'s' if count > 1 else ''}"


def _values(count: int) -> str:
    return f"{count:,} values" if count > 1 else "value"
