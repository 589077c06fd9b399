"""The charts of a report: a forecast behind its history, and errors in the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from karusel.numbers import tick_texts, ticks
from karusel.report.chart import Chart, Kind

if TYPE_CHECKING:
    from karusel.inspect import Gates
    from karusel.plots import Curve

__all__ = [
    "error_chart",
    "forecast_chart",
    "gates_chart",
    "memory_chart",
    "share_chart",
    "spread_chart",
]

_HEADROOM = 0.04  # of the range, above and below what is drawn
_BINS = 24
_SHOWN = 0.98  # share of the series in a chart of errors; the rest stands in its last bar


def forecast_chart(curve: Curve, height: int = 260) -> Chart:
    """History, forecast and intervals of one series; intervals open out from the last known value."""
    past, ahead = len(curve.history), len(curve.forecast)
    low, high = curve.limits()
    room = _HEADROOM * (high / 2 - low / 2) * 2
    if np.isfinite(high + room) and np.isfinite(low - room):
        low, high = (0.0 if low >= 0 > low - room else low - room), high + room
    first, final = curve.times[0], curve.times[-1]
    label = f"{curve.title}: {past} past values from {first}, then {ahead} forecast up to {final}"
    chart = Chart(label, (0, past + ahead - 1), (low, high), height)
    ticks = curve.ticks()
    chart.x_ticks(ticks, curve.marks(), first=len(range(ticks.start, past, ticks.step)))
    last = curve.history[-1:][np.isfinite(curve.history[-1:])]
    later = np.arange(past - last.size, past + ahead)
    for level in sorted(curve.intervals, reverse=True):
        low_end, high_end = (np.concatenate([last, end]) for end in curve.intervals[level])
        chart.band(later, low_end, high_end, f"{level:g} % interval")
    chart.rule(past - 0.5)
    chart.line(np.arange(past), curve.history, "history", "history")
    chart.line(later, np.concatenate([last, curve.forecast]), "forecast", "forecast", dots=ahead)
    return chart


def error_chart(
    label: str, lines: Mapping[str, NDArray[np.float64]], x: NDArray[np.float64], marks: Mapping[float, str]
) -> Chart:
    """Errors from 0 up, the network's solid, the other's dotted; `marks` are the texts below by place."""
    top = max((float(np.nanmax(line)) for line in lines.values() if np.isfinite(line).any()), default=0.0)
    chart = Chart(label, (float(x[0]), float(x[-1])), (0, (1 + _HEADROOM) * top or 1.0), 200)
    chart.x_ticks(list(marks), list(marks.values()))
    kinds: Sequence[Kind] = ("network", "rival")
    for kind, (name, line) in zip(kinds, lines.items(), strict=True):
        chart.line(x, line, kind, name)
    return chart


def spread_chart(label: str, errors: NDArray[np.float64]) -> Chart:
    """How many series have an error of which size."""
    top = float(np.quantile(errors, _SHOWN)) or 1.0
    edges = np.linspace(0, top, _BINS + 1)
    counts, _ = np.histogram(np.minimum(errors, top), edges)
    chart = Chart(label, (0, top), (0, (1 + _HEADROOM) * int(counts.max())), 160)
    places = ticks(0, top, 8)
    chart.x_ticks(list(places), tick_texts(places))
    chart.bars(edges, counts.astype(np.float64))
    return chart


def share_chart(
    label: str,
    shares: NDArray[np.float64],
    networks: NDArray[np.float64] | None,
    marks: Mapping[float, str],
) -> Chart:
    """A bar for each past value, and a line for what the networks do; `marks` as in `error_chart`."""
    top = max(float(part.max()) for part in (shares, networks) if part is not None)
    chart = Chart(label, (-0.5, len(shares) - 0.5), (0, (1 + _HEADROOM) * top), 160)
    chart.x_ticks(list(marks), list(marks.values()), first=len(marks) - 1)
    chart.bars(
        np.arange(len(shares) + 1, dtype=np.float64) - 0.5, shares, "" if networks is None else "all together"
    )
    if networks is not None:
        chart.line(np.arange(len(networks)), networks, "network", "through the networks")
    return chart


def memory_chart(seen: Gates) -> Chart:
    """How many units of one LSTM remember over how many steps; those of no step stand in the first bar, those
    without end in the last.
    """
    constants = seen.time_constants
    finite = constants[np.isfinite(constants) & (constants > 0)]
    low, high = (np.log10([finite.min(), finite.max()]) if finite.size else np.zeros(2)) + [-0.05, 0.05]
    edges = np.linspace(low, high, min(_BINS, 2 * len(constants)) + 1)
    counts, _ = np.histogram(np.log10(np.clip(constants, 10**low, 10**high)).clip(low, high), edges)
    label = f"How many of {len(constants)} units of {seen.name} remember over how many steps"
    chart = Chart(label, (low, high), (0, (1 + _HEADROOM) * int(counts.max())), 160)
    places = edges[:: max(1, len(edges) // 6)]
    chart.x_ticks(places.tolist(), [f"{10**place:.3g}" for place in places])
    chart.bars(edges, counts.astype(np.float64))
    return chart


def gates_chart(seen: Gates) -> Chart:
    """The mean of each gate by step, over the units and rows of one LSTM."""
    count = max(map(len, seen.input))
    x = np.arange(1, count + 1, dtype=np.float64)
    label = f"How far the gates of {seen.name} are open at each of {count} steps"
    chart = Chart(label, (1, max(count, 2)), (0, 1), 160)
    places = range(1, count + 1, -(-count // 8))
    chart.x_ticks(list(map(float, places)), list(map(str, places)))
    kinds: Sequence[Kind] = ("forecast", "history", "rival")
    for kind, gate in zip(kinds, ("input", "forget", "output"), strict=True):
        total, rows = np.zeros(count), np.zeros(count)
        for row in getattr(seen, gate):
            total[: len(row)] += np.asarray(row).mean(axis=1)
            rows[: len(row)] += 1
        chart.line(x, total / rows, kind, f"{gate} gate", dots=0)
    return chart
