"""Plots: text that fits the terminal, a PNG that can be opened, and any values that a series can hold.

SVG plots are those of a report (`test_report.py`).
"""

from __future__ import annotations

import re
import struct
import sys

import numpy as np
import pytest

from karusel.errors import MissingDependencyError
from karusel.plots import Curve, draw_alignment, draw_attention, draw_png, draw_text, need_matplotlib
from karusel.tasks.captioner import Look
from karusel.tasks.translator import Alignment


def curve(history, forecast, half_widths=None, title="a curve"):
    history, forecast = np.asarray(history, float), np.asarray(forecast, float)
    return Curve(
        title=title,
        history=history,
        forecast=forecast,
        intervals={level: (forecast - half, forecast + half) for level, half in (half_widths or {}).items()},
        times=[f"t{k}" for k in range(len(history) + len(forecast))],
        season_length=4,
    )


def columns_with(lines, marks):
    """Columns in which one of the marks stands."""
    return {column for line in lines for column, mark in enumerate(line) if mark in marks}


ROWS = 15  # of the plot itself; the axis and its times lie below
WAVE = curve(50 + 40 * np.sin(np.arange(48) / 4), [60, 70, 80, 85], {80: 5, 95: 10})


@pytest.mark.parametrize("width", [30, 31, 47, 80, 110, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_text_fits_the_width(width, unicode):
    lines = draw_text(WAVE, width, unicode=unicode).splitlines()
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) >= width - 2  # and fills it
    assert len(lines) == ROWS + 2


@pytest.mark.parametrize("unicode", [True, False])
def test_missing_values_leave_the_line_open(unicode, tmp_path):
    history = np.full(24, 5.0)
    history[6:18] = np.nan
    history[12] = 5.0
    gapped = curve(history, [5.0, 5.0])
    lines = [
        re.split("[│┤|]", line)[1] for line in draw_text(gapped, 80, unicode=unicode).splitlines()[:ROWS]
    ]
    (drawn,) = (line for line in lines if line.strip())
    apart = (len(drawn) - 1) / 25
    seen = {round(column / apart, 1) for column, mark in enumerate(drawn) if mark != " "}
    assert {point for point in seen if 5.5 < point < 17.5} <= {11.8, 11.9, 12.0, 12.1, 12.2}
    assert any(11.5 < point < 12.5 for point in seen)
    assert min(seen) == 0
    assert max(seen) == 25
    draw_png([gapped], tmp_path / "gapped.png", "value", "step")


def test_a_terminal_too_narrow_gets_the_least_width():
    assert draw_text(WAVE, 3) == draw_text(WAVE, 30)


def test_ascii_stays_ascii_and_tells_history_from_forecast():
    text = draw_text(WAVE, 80, unicode=False)
    assert text.isascii()
    lines = [line.partition("|")[2] for line in text.splitlines()[:ROWS]]
    past, ahead, shade = (columns_with(lines, mark) for mark in "*o:")
    assert past
    assert ahead
    assert shade
    assert max(past) <= min(ahead) + 1
    assert min(shade) > max(past) - 2


def test_braille_dots_follow_the_values():
    """A rising line has its dots in the left column below, in the right column above."""
    lines = draw_text(curve(np.arange(40), [40, 41]), 60).splitlines()
    drawn = [line.partition("│")[2] or line.partition("┤")[2] for line in lines[:ROWS]]
    first_column = [line.index(next(mark for mark in line if ord(mark) > 0x2800)) for line in drawn]
    assert first_column == sorted(first_column, reverse=True)
    assert first_column[0] > first_column[-1] + 30


def test_the_limits_stand_beside_their_rows():
    lines = draw_text(curve([2, 3, 7, 5], [4, 6]), 60).splitlines()
    assert lines[0].startswith("    7 ┤")
    assert lines[7].startswith("  4.5 ┤")
    assert lines[14].startswith("    2 ┤")


def test_the_shade_lies_between_the_ends_of_the_widest_interval():
    lines = draw_text(curve([0, 10] * 10, [5] * 10, {50: 1, 95: 5}), 60, unicode=False).splitlines()
    assert [":" in line for line in lines[:ROWS]] == [row != 7 for row in range(ROWS)]  # 7: the forecast
    narrow = draw_text(curve([0, 10] * 10, [5] * 10, {50: 1}), 60, unicode=False).splitlines()
    assert 0 < sum(":" in line for line in narrow[:ROWS]) < 6


def test_times_below_the_axis():
    *_, axis, ticks = draw_text(WAVE, 80, unicode=False).splitlines()
    begin = axis.rindex("+")
    assert ticks.split() == ["t24", "t48", "t51"]  # 24 steps of history are drawn
    assert ticks.index("t48") == begin


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize(
    ("history", "forecast"),
    [
        ([5.0] * 30, [5.0] * 4),
        ([1e17] * 30, [1e17] * 4),
        ([0.0] * 30, [0.0]),
        ([3.0], [4.0]),
        ([3.0], [3.0]),
        ([1e300, -1e300, 5], [1e299]),
        ([1e-300, 3e-300], [2e-300]),
        ([1e15, 1e15 + 1], [1e15 + 2]),
        (np.arange(5000), np.arange(900)),
    ],
    ids=[
        "constant",
        "large constant",
        "zeros",
        "one value",
        "one value twice",
        "huge",
        "tiny",
        "close",
        "long",
    ],
)
def test_any_values_are_drawn(history, forecast, unicode):
    lines = draw_text(curve(history, forecast, {80: 0.0}), 70, unicode=unicode).splitlines()
    assert max(map(len, lines)) <= 70
    assert len(lines) == ROWS + 2
    assert columns_with(lines[:ROWS], "o" if not unicode else [chr(0x2800 + k) for k in range(1, 256)])


def test_huge_values_are_written_short():
    top = draw_text(curve([1.23456789e12, 2], [3]), 60).splitlines()[0]
    assert top.startswith("1.23e+12 ┤")


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_a_png_with_one_panel_for_each_curve(tmp_path):
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    draw_png([WAVE], one, "value", "time")
    draw_png([WAVE, curve([5.0], [5.0], {80: 1.0})], two, "value", "time")
    (width, height), (same_width, taller) = png_size(one), png_size(two)
    assert (width, height) == (1080, 540)  # 9 x 4.5 inches at 120 dots
    assert same_width == width
    assert taller > 1.5 * height
    assert one.read_bytes().endswith(b"IEND\xaeB`\x82")


def test_a_title_in_another_script(tmp_path):
    draw_png([curve([1, 2, 3], [4], title="пассажиры: 5 $ за _x_")], tmp_path / "a.png", "цена, $", "дата")
    assert png_size(tmp_path / "a.png") == (1080, 540)


def test_no_text_is_taken_for_a_formula(tmp_path):
    formula, path = r"$\no$ such", tmp_path / "a.png"
    draw_png([curve([1, 2, 3], [4], title=formula)], path, formula, formula)
    draw_alignment([Alignment([formula, ""], [formula], np.ones((1, 2), np.float32))], path)
    draw_attention(np.ones((1, 4, 4)), [Look([formula], np.ones((1, 2, 2), np.float32))], path)


def test_drawing_leaves_matplotlibs_global_state_alone(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # of another test
    draw_png([WAVE], tmp_path / "a.png", "value", "time")
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for attempt in (need_matplotlib, lambda: draw_png([WAVE], tmp_path / "a.png", "value", "time")):
        with pytest.raises(MissingDependencyError, match=r'pip install "karusel\[plot\]"'):
            attempt()
    assert not list(tmp_path.iterdir())
