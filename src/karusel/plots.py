"""Plots: of a forecast lines of text, an SVG and a PNG; of captions and translations where they looked.

A PNG needs the extra `plot`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from karusel.tasks.captioner import Look
    from karusel.tasks.translator import Alignment

__all__ = [
    "Curve",
    "draw_alignment",
    "draw_attention",
    "draw_png",
    "draw_svg",
    "draw_text",
    "need_matplotlib",
    "new_figure",
]

_LEAST_WIDTH = 30
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # bits of a Braille cell, 4 x 2
_BRAILLE = 0x2800
_MIDNIGHT = " 00:00"
_NO_ROW = -1  # of a missing value


@dataclass(frozen=True)
class Curve:
    """What is drawn of one series: the end of its history, its forecast and one or more intervals.

    Missing values of the history are NaN and leave the line open. `times` are the texts of history's then
    forecast's times; `intervals` maps a level in percent to low and high ends; `season_length` spaces the
    marks of the time axis.
    """

    title: str
    history: NDArray[np.float64]
    forecast: NDArray[np.float64]
    intervals: dict[float, tuple[NDArray[np.float64], NDArray[np.float64]]]
    times: Sequence[str]
    season_length: int = 1

    def tail(self, count: int) -> Curve:
        """The same curve with only the last `count` values of history."""
        dropped = max(0, len(self.history) - count)
        return replace(self, history=self.history[dropped:], times=self.times[dropped:])

    def limits(self) -> tuple[float, float]:
        """Smallest and largest value drawn; never equal."""
        parts = [self.history, self.forecast, *(end for pair in self.intervals.values() for end in pair)]
        every = np.concatenate(parts)
        every = every[np.isfinite(every)]
        low, high = float(every.min()), float(every.max())
        room = max(1.0, 1e-3 * abs(low))  # 1 is nothing beside a large number
        return (low, high) if high > low else (low - room, high + room)

    def ticks(self) -> range:
        """Places of about eight times worth marking: whole seasons apart, one where the forecast begins."""
        past, total = len(self.history), len(self.history) + len(self.forecast)
        apart = self.season_length * max(1, round(total / self.season_length / 8))
        if apart > past:  # a season longer than what is drawn
            apart = max(1, total // 8)
        return range(past % apart, total, apart)

    def marks(self) -> list[str]:
        """What stands at the ticks: dates alone where all of them are midnights."""
        texts = [self.times[tick] for tick in self.ticks()]
        if all(text.endswith(_MIDNIGHT) for text in texts):
            return [text.removesuffix(_MIDNIGHT) for text in texts]
        return texts


def draw_text(curve: Curve, width: int, height: int = 15, *, unicode: bool = True) -> str:
    """The curve as lines of text at most `width` columns wide.

    The widest interval is shaded. Unicode draws lines in Braille dots, four rows of them to a line of text;
    ASCII draws `*` for history and `o` for the forecast.
    """
    width = max(_LEAST_WIDTH, width)
    # Four times as much history as forecast, as far as a line of text can show it.
    curve = curve.tail(min(max(4 * len(curve.forecast), 24), 2 * width))
    low, high = curve.limits()
    labels = [_number(value) for value in np.linspace(high, low, height)]
    margin = max(map(len, labels)) + 2
    columns = width - margin
    past, ahead = len(curve.history), len(curve.forecast)
    total = past + ahead

    across, down = (2 * columns, 4 * height) if unicode else (columns, height)
    x = np.rint(np.linspace(0, across - 1, total)).astype(int)

    def row_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
        known = np.isfinite(values)
        share = (high - np.clip(np.where(known, values, high), low, high)) / (high - low)
        return np.where(known, np.rint(share * (down - 1)), _NO_ROW).astype(np.int64)

    shade = np.zeros((height, columns), bool)
    if curve.intervals:
        ends = curve.intervals[max(curve.intervals)]
        top, bottom = (row_of(end) * height // down for end in (ends[1], ends[0]))
        cells = x[past:] * columns // across
        for column in range(cells[0], columns):
            at = np.interp(column, cells, np.arange(ahead))
            first, last = (round(float(np.interp(at, np.arange(ahead), end))) for end in (top, bottom))
            shade[first : last + 1, column] = True

    seen, expected = np.zeros((down, across), bool), np.zeros((down, across), bool)
    _trace(seen, x[:past], row_of(curve.history))
    joined = np.concatenate([curve.history[-1:], curve.forecast])
    _trace(expected, x[past - 1 :], row_of(joined))
    cells_text = _braille(seen | expected, shade) if unicode else _ascii(seen, expected, shade)

    lines = []
    for number, text in enumerate(cells_text):
        label = labels[number] if number in (0, height // 2, height - 1) else ""
        lines.append(
            f"{label:>{margin - 2}} {'┤' if unicode and label else '│' if unicode else '|'}{text}".rstrip()
        )
    begin = int(x[past]) * columns // across
    lines.append(" " * (margin - 1) + _axis(columns, begin, unicode=unicode))
    lines.append(" " * margin + _ticks(curve, columns, begin, past))
    return "\n".join(lines)


def _trace(grid: NDArray[np.bool_], x: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Join neighbouring points by straight lines, across none that is missing."""
    known = rows != _NO_ROW
    grid[rows[known], x[known]] = True
    both = known[:-1] & known[1:]
    for x0, x1, r0, r1 in zip(x[:-1][both], x[1:][both], rows[:-1][both], rows[1:][both], strict=True):
        steps = max(abs(int(x1 - x0)), abs(int(r1 - r0)), 1)
        share = np.arange(steps + 1) / steps
        grid[np.rint(r0 + share * (r1 - r0)).astype(int), np.rint(x0 + share * (x1 - x0)).astype(int)] = True


def _braille(grid: NDArray[np.bool_], shade: NDArray[np.bool_]) -> list[str]:
    height, columns = shade.shape
    bits = (grid.reshape(height, 4, columns, 2) * _DOTS[None, :, None, :]).sum(axis=(1, 3))
    return [
        "".join(chr(_BRAILLE + b) if b else "░" if s else " " for b, s in zip(bits[r], shade[r], strict=True))
        for r in range(height)
    ]


def _ascii(seen: NDArray[np.bool_], expected: NDArray[np.bool_], shade: NDArray[np.bool_]) -> list[str]:
    marks = np.where(expected, "o", np.where(seen, "*", np.where(shade, ":", " ")))
    return ["".join(row) for row in marks]


def _axis(columns: int, begin: int, *, unicode: bool) -> str:
    line, corner, tick = ("─", "└", "┴") if unicode else ("-", "+", "+")
    return corner + line * begin + tick + line * (columns - begin - 1)


def _ticks(curve: Curve, columns: int, begin: int, past: int) -> str:
    """The first time of the history, of the forecast, and the last, where they fit."""
    first, start, last = curve.times[0], curve.times[past], curve.times[-1]
    text = first.ljust(columns)[:columns]
    if begin > len(first) + 1 and begin + len(start) <= columns:
        text = text[:begin] + start + text[begin + len(start) :]
        taken = begin + len(start)
    else:
        taken = len(first)
    if columns - len(last) > taken:
        text = text[: columns - len(last)] + last
    return text.rstrip()


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.3g}"


def draw_svg(curves: Sequence[Curve], path: Path) -> None:
    """Write an SVG with one panel for each curve, as a report draws them; its text is text."""
    from karusel.report.chart import document
    from karusel.report.figures import forecast_chart

    path.write_text(
        document([(curve.title, forecast_chart(curve, 300)) for curve in curves]), encoding="utf-8"
    )


def need_matplotlib() -> None:
    """Raise `MissingDependencyError` unless matplotlib is installed."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingDependencyError(
            'a PNG plot needs matplotlib, which is not installed; run: pip install "karusel[plot]"'
        )


def new_figure(width: float, height: float) -> Figure:
    """A figure of these inches that needs no screen; raises as `need_matplotlib` does."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_png(curves: Sequence[Curve], path: Path, value_label: str, time_label: str) -> None:
    """Write a PNG with one panel for each curve, in a look that survives black-and-white print.

    History is a solid line, the forecast a dashed one with dots; intervals are grey, the wider the lighter.
    """
    # What comes from data is text: between two dollar signs, matplotlib would read a formula.
    figure = new_figure(9, 1.2 + 3.3 * len(curves))
    for axes, curve in zip(figure.subplots(len(curves), 1, squeeze=False)[:, 0], curves, strict=True):
        past, ahead = len(curve.history), len(curve.forecast)
        x, later = np.arange(past), np.arange(past, past + ahead)
        for number, level in enumerate(sorted(curve.intervals, reverse=True)):
            low, high = curve.intervals[level]
            grey = str(max(0.5, 0.87 - 0.17 * number))
            axes.fill_between(later, low, high, color=grey, linewidth=0, label=f"{level:g} % interval")
        axes.plot(x, curve.history, color="black", linewidth=1.4, label="history")
        axes.plot(
            np.arange(past - 1, past + ahead),
            np.concatenate([curve.history[-1:], curve.forecast]),
            color="black",
            linewidth=1.4,
            linestyle=(0, (4, 2)),
            marker="o",
            markersize=3.5 if ahead <= 60 else 0,
            markevery=slice(1, None),
            label="forecast",
        )
        axes.axvline(past - 0.5, color="0.5", linewidth=0.8, linestyle=":")
        axes.set_xticks(curve.ticks(), [text.replace(" ", "\n") for text in curve.marks()])
        axes.set_title(curve.title, loc="left", parse_math=False)
        axes.set_ylabel(value_label, parse_math=False)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    axes.set_xlabel(time_label, parse_math=False)
    lines, names = axes.get_legend_handles_labels()
    columns = min(len(names), 6)
    figure.legend(lines, names, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
    figure.savefig(path, format="png")


def draw_attention(images: NDArray[Any], looks: Sequence[Look], path: str | os.PathLike[str]) -> None:
    """Write a PNG: each image [R, C] or [R, C, 3], and beside it where each word of its caption looked.

    Patches fade to white the less a word looked at them. A line runs around the fewest patches that have half
    of its attention. images and looks: what `Captioner.attention` was given, and what it returned.

    Raises `MissingDependencyError` without matplotlib.
    """
    columns = 1 + max(len(look.words) for look in looks)
    figure = new_figure(1.25 * columns, 1.55 * len(looks))
    panels = figure.subplots(len(looks), columns, squeeze=False)
    for row, image, look in zip(panels, images, looks, strict=True):
        for axes in row[1 + len(look.words) :]:
            axes.set_axis_off()
        for axes in row:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("0.7")
        grey, most = image.ndim == 2, float(np.iinfo(image.dtype).max) if image.dtype.kind in "ui" else 1.0
        pixels = np.stack([image] * 3, axis=-1) / most if grey else image / most
        row[0].imshow(pixels, interpolation="nearest")
        row[0].set_title("image", fontsize="medium", fontstyle="italic")
        for axes, word, weights in zip(row[1:], look.words, look.weights, strict=False):
            side = pixels.shape[0] // weights.shape[0]
            share = np.kron(weights / weights.max(), np.ones((side, side)))[..., None]
            axes.imshow(1 - (1 - pixels) * (0.15 + 0.85 * share), interpolation="nearest")
            axes.set_title(word, fontsize="medium", parse_math=False)
            ranked = np.sort(weights, axis=None)[::-1]
            least = ranked[np.searchsorted(np.cumsum(ranked), 0.5 * ranked.sum())]
            for x, y in _edges(weights >= least):
                axes.plot(np.array(x) * side - 0.5, np.array(y) * side - 0.5, color="black", linewidth=1.2)
    figure.savefig(path, format="png")


def draw_alignment(alignments: Sequence[Alignment], path: str | os.PathLike[str]) -> None:
    """Write a PNG: for each translation a table of its pieces, downwards, by those of its source.

    A cell is the darker the more the piece of its row looked at that of its column; each row sums to one.
    alignments: what `Translator.alignment` returned.

    Raises `MissingDependencyError` without matplotlib.
    """
    heights = [1.2 + 0.25 * len(one.target) for one in alignments]
    width = 1.6 + 0.25 * max(len(one.source) for one in alignments)
    figure = new_figure(max(3.0, width), sum(heights))
    panels = figure.subplots(len(alignments), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, one in zip(panels, alignments, strict=True):
        axes.imshow(one.weights, cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
        sources, targets = one.labels
        axes.set_xticks(range(len(sources)), sources, rotation=90, parse_math=False)
        axes.set_yticks(range(len(targets)), targets, parse_math=False)
        axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
        axes.set_xticks(np.arange(1, len(sources)) - 0.5, minor=True)
        axes.set_yticks(np.arange(1, len(targets)) - 0.5, minor=True)
        axes.grid(which="minor", color="0.9", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
    figure.savefig(path, format="png")


def _edges(inside: NDArray[np.bool_]) -> Iterator[tuple[list[int], list[int]]]:
    """The edges between cells inside and others, x and y of their ends, in cells."""
    wide = np.pad(inside, 1)
    for r, c in np.argwhere(wide[:-1] != wide[1:]):
        yield [c - 1, c], [r, r]
    for r, c in np.argwhere(wide[:, :-1] != wide[:, 1:]):
        yield [c, c], [r - 1, r]
