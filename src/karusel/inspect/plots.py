"""Pictures of what `karusel.inspect` finds: PNGs that survive black-and-white print (the `plot` extra)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.inspect.cell import Gates
from karusel.inspect.flow import Flow
from karusel.inspect.horizon import HEARD, Horizon
from karusel.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["draw_flow", "draw_gates", "draw_horizon", "draw_summary", "draw_time_constants"]

_LINES = ("-", "--", ":", "-.", (0, (1, 1, 4, 1, 1, 1)))  # told apart without colour
_GREYS = ("0", "0.45", "0.65")
_MOST_LINES = len(_LINES) * len(_GREYS)  # of one panel
_MOST_INPUTS = len(_LINES)
# What is drawn of a pass: its title, and whether it lies between 0 and 1 like a gate.
_MAPS = {
    "input": ("input gate i", True),
    "forget": ("forget gate f", True),
    "output": ("output gate o", True),
    "candidate": ("candidate g", False),
    "cell": ("cell state c", False),
    "hidden": ("hidden state h", False),
}


def draw_gates(seen: Gates, path: str | os.PathLike[str], *, row: int = 0) -> None:
    """Write a PNG: one row's input series, and below it every gate and state of one pass as a heat map.

    Units stand one below the other, the longest memory on top. Gates run from white (closed, 0) to black
    (open, 1); candidate and states from white through grey (0) to black.

    Parameters
    ----------
    seen
        One of what `gates` returned.
    path
        The file.
    row
        Which of the rows, from 0.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    UsageError
        For a row that is not there.
    """
    row = whole_number("draw_gates", "row", row, 0, len(seen.inputs) - 1)
    figure = new_figure(9, _gates_height(seen))
    _gates_into(figure, seen, row)
    _write(figure, path)


def draw_time_constants(seen: Gates | Sequence[Gates], path: str | os.PathLike[str]) -> None:
    """Write a PNG: over how many steps the units remember, as a histogram for each pass.

    Parameters
    ----------
    seen
        What `gates` returned, or one of it.
    path
        The file.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    passes = [seen] if isinstance(seen, Gates) else list(seen)
    figure = new_figure(9, _constants_height(passes))
    _constants_into(figure, passes)
    _write(figure, path)


def draw_horizon(horizon: Horizon, path: str | os.PathLike[str]) -> None:
    """Write a PNG: the norm of d output / d input by lag, and how far back it reaches.

    Parameters
    ----------
    horizon
        What `memory_horizon` returned.
    path
        The file.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    figure = new_figure(9, 4)
    _horizon_into(figure.subplots(), horizon)
    _write(figure, path)


def draw_flow(flow: Flow, path: str | os.PathLike[str]) -> None:
    """Write a PNG: how strongly the loss reaches each LSTM, by step and by depth.

    Parameters
    ----------
    flow
        What `gradient_flow` returned.
    path
        The file.

    Raises
    ------
    MissingDependencyError
        Without matplotlib.
    """
    passes = list(flow.norms)
    figure = new_figure(11, max(4, 1.5 + 0.3 * len(passes)))
    by_step, by_depth = figure.subplots(1, 2, width_ratios=[3, 2])
    shown = passes[-_MOST_LINES:]
    for number, name in enumerate(shown):
        norms = flow.norms[name]
        style, grey = _LINES[number % len(_LINES)], _GREYS[number // len(_LINES)]
        by_step.plot(
            np.arange(len(norms)),
            _drawn(norms),
            color=grey,
            linestyle=style,
            marker=_marker(len(norms)),
            linewidth=1.5,
            label=name,
        )
    _log_axis(by_step, any(norms.max() > 0 for norms in flow.norms.values()))
    longest = max(map(len, flow.norms.values()))
    by_step.set_xlim(longest - 0.5, -0.5)
    left_out = f" (the last {len(shown)} of {len(passes)} passes)" if len(shown) < len(passes) else ""
    by_step.set_title(f"Gradient by step{left_out}", loc="left")
    by_step.set_xlabel("steps before the end of the pass")
    by_step.set_ylabel("norm of d loss / d h")
    by_step.legend(loc="best", frameon=False, fontsize="small")

    depth = _drawn(np.array(list(flow.depth.values())))
    by_depth.plot(depth, np.arange(len(passes)), color="black", linewidth=1.2, marker="o", markersize=5)
    by_depth.set_yticks(np.arange(len(passes)), passes)
    by_depth.set_ylim(-0.5, len(passes) - 0.5)
    known = depth[np.isfinite(depth)]
    if len(known):
        by_depth.set_xscale("log")
        # Whole decades, so that their marks have room.
        low, high = np.floor(np.log10(known.min() / 1.5)), np.ceil(np.log10(known.max() * 1.5))
        by_depth.set_xlim(10**low, 10**high)
    by_depth.set_title("Gradient by depth, inputs below", loc="left")
    by_depth.set_xlabel("norm of d loss / d h, all steps")
    by_depth.grid(axis="x", color="0.9", linewidth=0.6)
    by_depth.set_axisbelow(True)
    by_depth.spines[["top", "right"]].set_visible(False)
    _write(figure, path)


def draw_summary(seen: Sequence[Gates], horizon: Horizon, path: str | os.PathLike[str]) -> None:
    """Write a PNG: the gates of the first pass, all time constants, and the memory horizon, in one."""
    constants, gates = _constants_height(seen), _gates_height(seen[0])
    figure = new_figure(9, gates + constants + 3.5)
    parts: Any = figure.subfigures(3, 1, height_ratios=[gates, constants, 3.5])
    top, middle, bottom = parts
    _gates_into(top, seen[0], 0)
    _constants_into(middle, seen)
    _horizon_into(bottom.subplots(), horizon)
    _write(figure, path)


def _write(figure: Figure, path: str | os.PathLike[str]) -> None:
    figure.savefig(path, format="png")


def _gates_into(figure: Any, seen: Gates, row: int) -> None:
    """figure: a Figure or a SubFigure."""
    series = np.asarray(seen.inputs[row])
    steps = len(series)
    length = f"{steps} step{'s' if steps > 1 else ''}"
    order = np.argsort(-seen.time_constants, kind="stable")
    axes = figure.subplots(1 + len(_MAPS), 1, sharex=True)
    figure.suptitle(f"{seen.name}: gates and states, row {row}, {length}", x=0.01, ha="left")
    top = axes[0]
    for feature in range(min(series.shape[1], _MOST_INPUTS)):
        top.plot(
            series[:, feature],
            color="black",
            linestyle=_LINES[feature],
            marker=_marker(steps),
            linewidth=1.2,
            label=f"input {feature}",
        )
    if series.shape[1] > 1:
        left_out = f"the first of {series.shape[1]}" if series.shape[1] > _MOST_INPUTS else None
        top.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=_MOST_INPUTS,
            frameon=False,
            fontsize="small",
            title=left_out,
        )
    top.set_ylabel("input")
    top.spines[["top", "right"]].set_visible(False)
    for panel, (name, (title, is_gate)) in zip(axes[1:], _MAPS.items(), strict=True):
        values = np.asarray(getattr(seen, name)[row])[:, order].T
        most = 1.0 if name in ("candidate", "hidden") else float(np.abs(values).max()) or 1.0
        low, high = (0.0, 1.0) if is_gate else (-most, most)
        image = panel.imshow(
            values, aspect="auto", cmap="Greys", vmin=low, vmax=high, interpolation="nearest", origin="upper"
        )
        panel.set_title(title, loc="left", fontsize="medium")
        panel.set_yticks([])
        panel.set_ylabel(f"{len(order)} unit{'s' if len(order) > 1 else ''}")
        figure.colorbar(image, ax=panel, pad=0.01, ticks=[low, (low + high) / 2, high], format="%.3g")
    axes[-1].set_xlabel("step (units: the longest memory on top)")
    axes[-1].set_xlim(-0.5, steps - 0.5)
    _whole_numbers(axes[-1].xaxis)


def _gates_height(seen: Gates) -> float:
    """Inches that `_gates_into` needs."""
    return 2.2 + len(_MAPS) * min(2.2, 0.7 + 0.06 * len(seen.time_constants))


def _constants_height(passes: Sequence[Gates]) -> float:
    """Inches that `_constants_into` needs."""
    return 0.8 + 2.2 * len(passes)


def _constants_into(figure: Any, passes: Sequence[Gates]) -> None:
    """figure: a Figure or a SubFigure."""
    from matplotlib.ticker import LogFormatter

    axes: list[Axes] = list(figure.subplots(len(passes), 1, squeeze=False, sharex=True)[:, 0])
    constants = {seen.name: seen.time_constants for seen in passes}
    every = np.concatenate(list(constants.values()))
    finite = every[np.isfinite(every) & (every > 0)]
    low, high = (finite.min(), finite.max()) if len(finite) else (1.0, 1.0)
    bins = np.geomspace(low / 1.2, high * 1.2, 21)
    for panel, (name, values) in zip(axes, constants.items(), strict=True):
        panel.hist(np.clip(values, low, high), bins.tolist(), color="0.75", edgecolor="black", linewidth=0.8)
        middle = float(np.median(values))
        if np.isfinite(middle):
            panel.axvline(
                middle, color="black", linestyle="--", linewidth=1.2, label=f"median {middle:.3g} steps"
            )
            panel.legend(loc="best", frameon=False, fontsize="small")
        panel.set_xscale("log")
        endless = int(np.isinf(values).sum())
        note = f" ({endless} without end stand at the right)" if endless else ""
        panel.set_title(f"{name}: memory of its {len(values)} units{note}", loc="left")
        panel.set_ylabel("units")
        _whole_numbers(panel.yaxis)
        panel.spines[["top", "right"]].set_visible(False)
    for formatter in (axes[-1].xaxis.set_major_formatter, axes[-1].xaxis.set_minor_formatter):
        formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    axes[-1].set_xlabel("time constant, steps")


def _horizon_into(axes: Axes, horizon: Horizon) -> None:
    norms = _drawn(horizon.norms)
    marker = "o" if len(norms) <= 60 else None
    axes.plot(np.arange(len(norms)), norms, color="black", linewidth=1.3, marker=marker, markersize=3.5)
    _log_axis(axes, horizon.norms.max() > 0)
    if horizon.norms.max() > 0:
        axes.axhline(
            HEARD * horizon.norms.max(), color="0.5", linestyle=":", linewidth=1.2, label="1 % of the largest"
        )
        if horizon.reach < len(norms) - 1:
            axes.axvspan(horizon.reach + 0.5, len(norms) - 0.5, color="0.9", linewidth=0, label="forgotten")
        axes.legend(loc="best", frameon=False, fontsize="small")
    if not horizon.moves:
        heard = "no step moves the output"
    elif horizon.reach == len(norms) - 1:
        heard = (
            f"all {len(norms)} steps move the output" if len(norms) > 1 else "the one step moves the output"
        )
    elif horizon.reach == 0:
        heard = f"the last of {len(norms)} steps moves the output"
    else:
        heard = f"the last {horizon.reach + 1} of {len(norms)} steps move the output"
    axes.set_title(f"Memory horizon: {heard}", loc="left")
    axes.set_xlabel("lag: steps before the last")
    axes.set_ylabel("norm of d output / d input")
    axes.set_xlim(-0.5, len(norms) - 0.5)


def _log_axis(axes: Axes, something: bool) -> None:
    """something: whether any norm is above zero; a logarithmic axis cannot be drawn without."""
    if something:
        axes.set_yscale("log")
    _whole_numbers(axes.xaxis)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def _marker(steps: int) -> str | None:
    """A line through one point is none."""
    return "o" if steps == 1 else None


def _drawn(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norms as a logarithmic axis can show them: zeros leave the line open."""
    return np.where(norms > 0, norms, np.nan)
