"""`karusel data`: what is found in a source, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from karusel.cli import document, show
from karusel.cli.options import Covariates, Reading
from karusel.cli.outputs import or_null
from karusel.cli.progress import Progress
from karusel.cli.work import Series, read_series, short_name
from karusel.forecasting.panel import Panel
from karusel.forecasting.rows import count_of
from karusel.forecasting.seasonality import find_season_lengths

__all__ = ["run_data"]

_SHOWN = 5  # columns that are not used, gaps and series that the text names


def run_data(reading: Reading, json: bool) -> None:
    """Run the command."""
    with Progress() as progress:
        series = read_series(reading, Covariates(), progress)
        progress("looking for seasons")
        seasons = find_season_lengths(series.panel)
    if json:
        document.print_document(_document(series, seasons))
    else:
        show.print_lines(_text(series, seasons, short_name(reading.source or [])))


def _roles(series: Series) -> dict[str, str]:
    """What each column of the source is used as."""
    table = series.table
    roles = dict.fromkeys(table.target_cols, "value")
    if table.id_col is not None:
        roles[table.id_col] = "id"
    if table.time_col is not None:
        roles[table.time_col] = "time"
    return {name: roles.get(name, "not used") for name in table.origin.columns}


def _document(series: Series, seasons: tuple[int, ...]) -> dict[str, Any]:
    panel = series.panel
    lengths = panel.lengths
    return {
        "file": series.table.origin.name,
        "found": document.found(series),
        "columns": _roles(series),
        "first": panel.frequency.label(panel.starts.min()),
        "last": panel.frequency.label(panel.ends.max()),
        "lengths": {
            "least": int(lengths.min()),
            "median": float(np.median(lengths)),
            "most": int(lengths.max()),
        },
        "missing": int(np.count_nonzero(~panel.mask)),
        "gaps": [
            {"series": str(gap.series), "first": panel.frequency.label(gap.first), "count": gap.count}
            for gap in panel.gaps()
        ],
        "left_out": [str(name) for name in panel.left_out],
        "values": {
            "least": or_null(float(np.nanmin(panel.values))),
            "most": or_null(float(np.nanmax(panel.values))),
            "mean": or_null(float(np.nanmean(panel.values))),
            "whole": panel.whole,
            "non_negative": panel.non_negative,
            "constant_series": [str(name) for name in _constant(panel)],
        },
        "seasons": {"from_times": list(panel.frequency.season_lengths), "from_values": list(seasons)},
        "versions": document.versions(),
    }


def _constant(panel: Panel) -> list[Any]:
    """The ids of the series that never change."""
    firsts = panel.values[panel.offsets[:-1]]  # known: a panel's series begin with a value
    other = ~((panel.values == np.repeat(firsts, panel.lengths)) | np.isnan(panel.values))
    changes = np.add.reduceat(other, panel.offsets[:-1])
    return [name for name, count in zip(panel.ids, changes, strict=True) if count == 0]


def _text(series: Series, seasons: tuple[int, ...], title: str) -> Iterator[str]:
    panel = series.panel
    yield from show.found(series, title)
    unused = [name for name, role in _roles(series).items() if role == "not used"]
    if unused:
        yield f"  not used: {_listed(unused)}"
    lengths = panel.lengths
    if lengths.min() == lengths.max():
        each = "in the series" if len(panel) == 1 else "in each series"
        yield f"lengths: {count_of(int(lengths[0]), 'row')} {each}"
    else:
        yield f"lengths: {lengths.min():,} to {lengths.max():,} rows, median {np.median(lengths):,.0f}"
    gaps = panel.gaps()
    if gaps:
        missing = int(np.count_nonzero(~panel.mask))
        places = [
            _place(panel, gap.series, panel.frequency.label(gap.first), gap.count) for gap in gaps[:_SHOWN]
        ]
        more = "" if len(gaps) <= _SHOWN else f" and {len(gaps) - _SHOWN:,} more"
        counts = f"{count_of(missing, 'value')} missing in {count_of(len(gaps), 'gap')}"
        yield f"gaps: {counts}: {'; '.join(places)}{more}"
    else:
        yield "gaps: none"
    kind = "whole numbers" if panel.whole else "numbers"
    sign = "none below 0" if panel.non_negative else "some below 0"
    yield f"values: {np.nanmin(panel.values):g} to {np.nanmax(panel.values):g}, {kind}, {sign}"
    constant = _constant(panel)
    if constant:
        yield f"constant: {_listed([str(name) for name in constant])}"
    times = ", ".join(map(str, panel.frequency.season_lengths)) or "none"
    yield f"seasons: {times} by the times; {', '.join(map(str, seasons)) or 'none'} found in the values"


def _place(panel: Panel, name: Any, first: str, count: int) -> str:
    where = "" if len(panel) == 1 else f'"{name}" '
    return f"{where}{first}" + (f", {count} values" if count > 1 else "")


def _listed(names: list[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in names[:_SHOWN])
    return listed + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
