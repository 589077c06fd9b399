"""A report of a network: how far back it remembers, what its units keep, what its gates do."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from karusel.inspect import Gates, Horizon
from karusel.names import one_line
from karusel.network import Sequential
from karusel.report.chart import Chart
from karusel.report.figures import gates_chart, memory_chart, share_chart
from karusel.report.html import Html, join, name, tag
from karusel.report.page import write_page
from karusel.report.tables import facts, grid

__all__ = ["write_network_report"]

_MARKS = 8  # below a chart, about
_WORDS = {
    "LSTM": "long short-term memory, a small neural network that reads a sequence step by step.",
    "Unit": "one of its memory cells.",
    "Cell state": "what a unit keeps from step to step.",
    "Hidden state": "what a unit shows of its cell state to the rest of the network.",
    "Forget gate": "how much of its cell state a unit keeps at a step: 1 all of it, 0 nothing.",
    "Input gate": "how much of what is new a unit adds to its cell state.",
    "Output gate": "how much of its cell state a unit shows.",
    "Dead": "a unit whose hidden state hardly moves, whatever is read.",
}


def write_network_report(
    path: str | Path,
    network: Sequential,
    passes: Sequence[Gates],
    horizon: Horizon,
    *,
    title: str,
    data: str,
    date: datetime.date | None = None,
) -> None:
    """Write what was found inside a network as one HTML file that needs nothing beside itself.

    Parameters
    ----------
    path
        The file; its folder must exist.
    network
        The network.
    passes, horizon
        What `karusel.inspect.gates` and `memory_horizon` found.
    title
        What the network is called.
    data
        A sentence on what it was fed.
    date
        Day of the report; today by default.

    Raises
    ------
    KaruselError
        When the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential, inspect
    >>> from karusel.report import write_network_report
    >>> net, X = Sequential([LSTM(8), Dense(1)]), np.ones((3, 5, 2))
    >>> net.build((None, 2))
    >>> found = inspect.gates(net, X), inspect.memory_horizon(net, X)
    >>> write_network_report("inside.html", net, *found, title="net", data="3 rows")  # doctest: +SKIP
    """
    day = (date or datetime.date.today()).isoformat()
    head = tag(
        "header",
        tag("h1", name(title)),
        tag("p", f"{network.count_params():,} parameters; ", data, f"; made on {day}", class_="soft"),
        tag("pre", repr(network)),
    )
    parts = [head, _memory(horizon), _units(passes), _gates(passes)]
    parts.append(tag("section", tag("h2", "Words"), facts(list(_WORDS.items()))))
    write_page(Path(path), join(one_line(title)), parts, day)


def _memory(horizon: Horizon) -> Html:
    heading = tag("h2", "How far back it remembers")
    largest, count = float(horizon.norms.max()), len(horizon.norms)
    if largest == 0:
        return tag("section", heading, tag("p", horizon.reading))
    label = f"How strongly each of {count} steps moves the output, in percent of the strongest"
    marks = {float(count - 1 - lag): _lag(lag) for lag in range(0, count, max(1, -(-count // _MARKS)))}
    chart = share_chart(label, 100 * horizon.norms[::-1] / largest, None, dict(sorted(marks.items())))
    caption = (
        "How strongly each input moves the output (the norm of d output / d input), in percent of the "
        "strongest. Below: steps before the last."
    )
    return tag("section", heading, tag("p", horizon.reading), chart.figure(caption))


def _lag(lag: int) -> str:
    return "last" if lag == 0 else f"-{lag:,}"


def _units(passes: Sequence[Gates]) -> Html:
    head = ["LSTM", "units", "least", "median", "most", "dead"]
    rows = []
    for seen in passes:
        constants = seen.time_constants
        cells = [f"{len(constants):,}", *(f"{f(constants):.3g}" for f in (np.min, np.median, np.max))]
        cells.append(f"{int(seen.dead.sum()):,}")
        rows.append(tag("tr", tag("th", seen.name, scope="row"), *(tag("td", cell) for cell in cells)))
    text = (
        "A unit that keeps a share f of its cell state at each step, by its forget gate, remembers over "
        "-1 / ln f steps. The least, the median and the most of each LSTM:"
    )
    charts = _charts(passes, memory_chart, "How many units (upwards) remember over how many steps.")
    return tag(
        "section",
        tag("h2", "What its units keep"),
        *(tag("p", seen.reading) for seen in passes),
        tag("p", text, class_="explain"),
        grid(head, rows),
        tag("div", *charts, class_="pair even"),
    )


def _gates(passes: Sequence[Gates]) -> Html:
    charts = _charts(passes, gates_chart, "How far the gates are open at each step: 0 closed, 1 open.")
    text = "The mean over all units and sequences. A gate near 0 or 1 throughout hardly learns."
    return tag(
        "section",
        tag("h2", "What its gates do"),
        tag("p", text, class_="explain"),
        tag("div", *charts, class_="pair even"),
    )


def _charts(passes: Sequence[Gates], chart: Callable[[Gates], Chart], caption: str) -> Iterator[Html]:
    for seen in passes:
        yield tag("div", tag("h3", seen.name), chart(seen).figure(caption))
