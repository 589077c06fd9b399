"""Charts as SVG in a few lines: bands, lines, dots, bars and a rule, with axes and a legend.

In a page a chart takes the width that there is. Its shapes are drawn `WIDTH` units wide and stretched, while
text, dots and the thickness of lines keep their size: their horizontal places are percentages. So one chart
serves a phone, a desk and paper. As a file of its own the same chart is `WIDTH` pixels wide, not stretched.

Lines differ in dashes and dots, not in colour alone, so that they survive black-and-white print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from karusel.numbers import tick_texts, ticks
from karusel.report.html import Html, join, tag

__all__ = ["PRINTED", "WIDTH", "Chart", "document", "style"]

Kind: TypeAlias = Literal["history", "forecast", "network", "rival"]

WIDTH = 1000
_THINNED = 500  # buckets of a longer line, each drawn by four of its points
_DOTTED = 60  # points from which a line has no dots, and bars no lines between them
_LETTER = 6.8  # pixels that a letter or digit of the axes takes at most, near enough
_NARROW, _WIDE = 290, 410  # pixels of axis that there are on a phone, and on anything wider
_GAP = 16  # pixels between two texts of the x axis
_BELOW = 22  # pixels for the texts of the x axis
_RIGHT = 28  # pixels at the right of a drawing into which a text may reach
_KEY = (28, 12)  # size of a legend's sample
_ABOVE, _BETWEEN = 56, 20  # pixels of a file: above a drawing, below its axis

PRINTED = {
    "ink": "#000",
    "soft": "#444",
    "grid": "#ddd",
    "paper": "#fff",
    "accent": "#0b4fb3",
    "warm": "#a34100",
}
_STYLE = Template(
    """
.chart text{font:12px system-ui,sans-serif;fill:$soft;font-variant-numeric:tabular-nums}
.chart .x{text-anchor:middle}.chart .y,.chart .end{text-anchor:end}.chart .start{text-anchor:start}
.chart .title{font-size:15px;font-weight:600;fill:$ink}
.chart svg{overflow:visible}
.grid{stroke:$grid}.axis{stroke:$soft}.rule{stroke:$soft;stroke-dasharray:2 3}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.history{stroke:$ink}.forecast,.network{stroke:$accent}.rival{stroke:$warm}
.line.forecast{stroke-dasharray:6 4}.line.rival{stroke-dasharray:2 4}
.dot{stroke-width:1.4}.dot.forecast,.dot.network{fill:$accent}.dot.rival{fill:$paper}
.band{fill:$accent;fill-opacity:.17}
.bar{fill:$accent;fill-opacity:.55;stroke:$paper}.bar.thin{stroke:none;shape-rendering:crispEdges}
"""
)


def style(colours: Mapping[str, str]) -> str:
    """The style sheet of charts; `colours` as `PRINTED` names them."""
    return _STYLE.substitute(colours).strip()


class Chart:
    """One chart; x and y run over the ranges given, `label` says what it shows to those who cannot see it."""

    def __init__(self, label: str, x: tuple[float, float], y: tuple[float, float], height: int = 240) -> None:
        self.label, self.height = label, height
        self._x, self._y = x, y
        self._bars: list[Html] = []
        self._stretched: list[Html] = []
        self._marks: list[Html] = []
        self._axes: list[Html] = []
        self._lines: list[tuple[str, Html]] = []  # names and samples, for the legend
        self._bands: list[tuple[str, Html]] = []
        found = ticks(*y, most=max(2, height // 45))
        texts = tick_texts(found)
        self.left = round(max(map(len, texts)) * _LETTER + 10)
        for at, text in zip(self._down(found), texts, strict=True):
            down = _short(at)
            self._axes.append(tag("line", class_="grid", x1=0, x2="100%", y1=down, y2=down))
            self._axes.append(tag("text", text, class_="y", x=-6, y=_short(at + 4)))
        self._axes.append(tag("line", class_="axis", x1=0, x2="100%", y1=height, y2=height))

    def _down(self, values: ArrayLike) -> NDArray[np.float64]:
        """Pixels from the top; what lies outside the range is drawn at its edge."""
        low, high = self._y
        inside = np.clip(np.asarray(values, np.float64), low, high)
        return np.asarray(self.height * ((high / 2 - inside / 2) / (high / 2 - low / 2)))

    def _along(self, values: ArrayLike) -> NDArray[np.float64]:
        """Share of the width, from 0 to 1."""
        low, high = self._x
        return np.asarray((np.asarray(values, np.float64) - low) / (high - low))

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, name: str) -> None:
        """The area between two lines; later ones lie over earlier ones and look darker."""
        along, bottom, top = WIDTH * self._along(x), self._down(low), self._down(high)
        known = ~np.isnan(bottom + top)
        along, top, bottom = along[known], top[known], bottom[known]
        outline = _path(np.append(along, along[::-1]), np.append(top, bottom[::-1]))
        self._stretched.append(tag("path", class_="band", d=f"{outline}Z"))
        width, height = _KEY
        samples = [tag("rect", class_="band", width=width, height=height)] * (len(self._bands) + 1)
        self._bands.append((name, join(*samples)))

    def line(self, x: ArrayLike, y: ArrayLike, kind: Kind, name: str, *, dots: int | None = None) -> None:
        """A line, open where y is NaN; its last `dots` points (all by default) get dots if they are few."""
        along, down = self._along(x), self._down(y)
        marked = range(len(down) - (len(down) if dots is None else dots), len(down))
        dotted = kind != "history" and 0 < len(marked) <= _DOTTED
        path = _path(*_thinned(WIDTH * along, down))
        self._stretched.append(tag("path", class_=f"line {kind}", d=path))
        if dotted:
            self._marks += [
                _dot(kind, f"{_short(100 * along[k])}%", down[k]) for k in marked if np.isfinite(down[k])
            ]
        width, height = _KEY
        sample = tag("line", class_=f"line {kind}", x1=1, x2=width - 1, y1=height / 2, y2=height / 2)
        self._lines.append((name, join(sample, _dot(kind, width / 2, height / 2)) if dotted else sample))

    def bars(self, edges: NDArray[np.float64], heights: NDArray[np.float64], name: str = "") -> None:
        """Bars from 0 up, between neighbouring `edges`; with a name they stand in the legend."""
        # On a phone the lines between so many would leave nothing of them.
        class_ = "bar thin" if len(heights) > _DOTTED else "bar"
        along, down = 100 * self._along(edges), self._down(heights)
        for first, last, top in zip(along[:-1], along[1:], down, strict=True):
            place = {"x": f"{_short(first)}%", "width": f"{_short(last - first)}%"}
            self._bars.append(
                tag("rect", class_=class_, y=_short(top), height=_short(self.height - top), **place)
            )
        if name:
            width, height = _KEY
            self._lines.append((name, tag("rect", class_="bar", width=width, height=height)))

    def rule(self, x: float) -> None:
        """A vertical line."""
        at = f"{_short(100 * float(self._along(x)))}%"
        self._axes.append(tag("line", class_="rule", x1=at, x2=at, y1=0, y2=self.height))

    def x_ticks(self, at: Sequence[float], texts: Sequence[str], first: int = 0) -> None:
        """Marks below; where there is no room for all, those a multiple away from number `first` stay."""
        along = self._along(at)
        widths = np.array([len(text) * _LETTER for text in texts])
        # Where a text that is centred on its mark would leave the drawing, it begins or ends there.
        starts = _NARROW * along + self.left < widths / 2
        ends = ~starts & (_NARROW * (1 - along) + _RIGHT < widths / 2)
        before = widths * np.where(starts, 0.0, np.where(ends, 1.0, 0.5))

        def apart(room: float, unit: int) -> int:
            """The least multiple of `unit` that leaves a gap between all texts on so many pixels."""
            for every in range(unit, len(texts), unit):
                kept = slice((first % every), None, every)
                left = (room * along - before)[kept]
                if np.all(left[1:] - (left + widths[kept])[:-1] >= _GAP):
                    return every
            return max(1, -(-len(texts) // unit)) * unit

        wide = apart(_WIDE, 1)
        narrow = apart(_NARROW, wide)
        for count, (place, text) in enumerate(zip(along, texts, strict=True)):
            if (count - first) % wide:
                continue
            x = f"{_short(100 * place)}%"
            towards = " start" if starts[count] else " end" if ends[count] else ""
            only = "" if (count - first) % narrow == 0 else " wide"
            self._axes.append(
                tag("line", class_=f"axis{only}", x1=x, x2=x, y1=self.height, y2=self.height + 4)
            )
            self._axes.append(tag("text", text, class_=f"x{towards}{only}", x=x, y=self.height + 17))

    def _content(self) -> Html:
        box = f"0 0 {WIDTH} {self.height}"
        shapes = tag(
            "svg", *self._stretched, width="100%", height=self.height, viewBox=box, preserveAspectRatio="none"
        )
        return join(*self._axes, *self._bars, shapes, *self._marks)

    def figure(self, caption: str) -> Html:
        """The chart for a page: legend, drawing, caption."""
        width, height = _KEY
        keys = [
            tag(
                "li",
                tag("svg", sample, class_="key chart", width=width, height=height, aria_hidden="true"),
                key,
            )
            for key, sample in self._lines + self._bands
        ]
        drawing = tag(
            "svg",
            self._content(),
            class_="chart",
            role="img",
            aria_label=self.label,
            height=self.height + _BELOW,
            style=f"--left:{self.left}px",
        )
        legend = [tag("ul", *keys, class_="keys")] if keys else []
        return tag("figure", *legend, drawing, *([tag("figcaption", caption)] if caption else []))

    def group(self, title: str, top: float, left: float) -> Html:
        """The chart for a file: title, legend and drawing below `top`."""
        parts = [tag("text", title, class_="title", x=left, y=top + 18)]
        x, (width, height) = left, _KEY
        for key, sample in self._lines + self._bands:
            parts.append(tag("svg", sample, x=x, y=top + 30, width=width, height=height))
            parts.append(tag("text", key, x=x + width + 6, y=top + 40))
            x += width + 6 + len(key) * _LETTER + 18
        place = {"x": left, "y": top + _ABOVE, "width": WIDTH, "height": self.height}
        return join(
            *parts,
            tag("svg", self._content(), overflow="visible", role="img", aria_label=self.label, **place),
        )


def document(charts: Sequence[tuple[str, Chart]]) -> str:
    """Charts with their titles, one below the other, as the text of an SVG file."""
    left = max(chart.left for _, chart in charts) + 10
    parts, top = [], 0
    for title, chart in charts:
        parts.append(chart.group(title, top, left))
        top += _ABOVE + chart.height + _BELOW + _BETWEEN
    width = left + WIDTH + _RIGHT
    return tag(
        "svg",
        tag("style", Html(style(PRINTED))),
        tag("rect", width=width, height=top, fill=PRINTED["paper"]),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        class_="chart",
        width=width,
        height=top,
        viewBox=f"0 0 {width} {top}",
    )


def _short(value: float) -> str:
    """A coordinate with two digits at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _dot(kind: Kind, x: str | float, y: float) -> Html:
    return tag("circle", class_=f"dot {kind}", cx=x, cy=_short(y), r=2.6)


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Straight lines through the known points; a point without neighbours becomes a dot."""
    known = np.isfinite(y)
    after_gap = known & ~np.concatenate([[False], known[:-1]])
    before_gap = known & ~np.concatenate([known[1:], [False]])
    alone = after_gap & before_gap
    return "".join(
        f"{'M' if after_gap[k] else 'L'}{_short(x[k])} {_short(y[k])}{'h0' if alone[k] else ''}"
        for k in np.flatnonzero(known)
    )


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same line to the eye: each bucket's first, lowest, highest and last point, and a NaN if it has one.

    M4 aggregation (Jugel, Jerzak, Hackenbroich and Markl, 2014).
    """
    if len(y) <= 4 * _THINNED:
        return x, y
    kept: list[int] = []
    for bucket in np.array_split(np.arange(len(y)), _THINNED):
        values = y[bucket]
        known = np.flatnonzero(np.isfinite(values))
        chosen = {int(np.argmax(np.isnan(values)))} if known.size < values.size else set()
        if known.size:
            extremes = known[np.argmin(values[known])], known[np.argmax(values[known])]
            chosen |= {int(place) for place in (known[0], *extremes, known[-1])}
        kept += [int(bucket[0]) + place for place in sorted(chosen)]
    return x[kept], y[kept]
