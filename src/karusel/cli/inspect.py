"""`karusel inspect`: what the gates of a saved network do and how far it remembers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.cli.document import print_document, versions
from karusel.cli.files import check_apart, check_output, check_png, write_whole
from karusel.cli.show import print_lines
from karusel.errors import DataError, UsageError
from karusel.inspect import Gates, Horizon, gates, memory_horizon
from karusel.inspect.plots import draw_summary
from karusel.layers import Embedding
from karusel.names import shortlist
from karusel.network import Sequential, load
from karusel.sources import read_table

__all__ = ["Request", "run_inspect"]

_NOISE_ROWS, _NOISE_STEPS = 8, 100  # of what stands in for data; the steps where the network sets none
_GATES = ("input", "forget", "output")


@dataclass(frozen=True)
class Request:
    """What the command was asked for."""

    model: Path
    data: Path | None
    input_cols: tuple[str, ...]
    plot: Path | None
    report: Path | None
    json: bool
    threads: int | None


@dataclass(frozen=True)
class _Result:
    request: Request
    network: Sequential
    sequences: list[NDArray[Any]]
    passes: list[Gates]
    horizon: Horizon

    def data(self) -> str:
        """What the network was fed."""
        count, longest = len(self.sequences), max(map(len, self.sequences))
        upto = "up to " if len({len(sequence) for sequence in self.sequences}) > 1 else ""
        steps = f"{longest} step{'s' if longest > 1 else ''}"
        size = f"{count} sequence{'s' if count > 1 else ''} of {upto}{steps}"
        if self.request.data is None:
            return (
                f"no DATA given: {size} of noise stand in; give typical data for figures that mean something"
            )
        return f"{self.request.data.name}: {size}"


def run_inspect(request: Request) -> None:
    """Run the command; results go to stdout and the file asked for."""
    check_apart({"--plot": request.plot, "--report": request.report})
    read = [path for path in (request.model, request.data) if path is not None]
    if request.plot is not None:
        check_png(request.plot, read)
    if request.report is not None:
        check_output(request.report, read)
    if request.input_cols and request.data is None:
        raise UsageError("--input-col names columns of DATA; give the file too")
    network = load(request.model)
    network.n_jobs = request.threads
    begins = bool(network._state_names(given=True))
    if begins or network._attention is not None:
        needs = "LSTM needs an initial state" if begins else "Attention needs a source"
        raise DataError(
            f"{request.model}: its {needs} with each call; look into it in Python, with karusel.inspect"
        )
    sequences = _noise(network) if request.data is None else _read(request.data, request.input_cols, network)
    try:
        passes, horizon = gates(network, sequences), memory_horizon(network, sequences)
    except UsageError as error:  # what the network is, not how it was called
        raise DataError(f"{request.model}: {error}") from None
    except DataError as error:
        raise DataError(f"{request.data or request.model}: {error}") from None
    result = _Result(request, network, sequences, passes, horizon)
    if request.plot is not None:
        write_whole(request.plot, lambda path: draw_summary(passes, horizon, path))
    if request.report is not None:
        from karusel.report import write_network_report

        write_network_report(
            request.report, network, passes, horizon, title=request.model.name, data=result.data()
        )
    if request.json:
        print_document(_document(result))
    else:
        print_lines(_text(result))


def _noise(network: Sequential) -> list[NDArray[Any]]:
    """Sequences for a network without data: standard normal numbers, or indices drawn alike."""
    assert network.input_shape is not None
    steps, width = network.input_shape
    shape = (_NOISE_ROWS, steps or _NOISE_STEPS, width)
    random = np.random.Generator(np.random.Philox(0))
    if isinstance(layer := network.layers[0], Embedding):
        return list(random.integers(0, layer.input_dim, shape))
    return list(random.standard_normal(shape))


def _read(file: Path, input_cols: tuple[str, ...], network: Sequential) -> list[NDArray[Any]]:
    """The series of a CSV file as sequences, cut into pieces of the length that the network was built for."""
    assert network.input_shape is not None
    steps, width = network.input_shape
    table = read_table(file, target_cols=input_cols)
    names = table.target_cols
    if len(names) != width:
        raise DataError(
            f"{file}: {len(names)} column{'s' if len(names) > 1 else ''} of numbers ({shortlist(names, 4)}) "
            f"where the network reads {width} per step; name the columns with --input-col"
        )
    empty = np.argwhere(~np.isfinite(table.values))
    if len(empty):
        row, column = empty[0]
        raise DataError(
            f"{file}: row {row + 1} below the header has no number in column {names[column]!r}: fill it, or "
            "drop the row"
        )
    ids = np.zeros(len(table.values), dtype=np.int64)
    if table.ids is not None:
        ids = table.ids.codes
    sequences = []
    for number in range(int(ids.max()) + 1):
        series = table.values[ids == number]
        if steps is None or len(series) <= steps:
            sequences.append(series)
        else:  # the last piece ends with the series
            sequences += np.split(series[len(series) % steps :], len(series) // steps)
    return sequences


def _document(result: _Result) -> dict[str, Any]:
    request, horizon = result.request, result.horizon
    return {
        "model": str(request.model),
        "network": repr(result.network),
        "parameters": result.network.count_params(),
        "data": None if request.data is None else str(request.data),
        "sequences": len(result.sequences),
        "steps": max(map(len, result.sequences)),
        "passes": [
            {
                "name": seen.name,
                "time_constants": [float(v) if np.isfinite(v) else None for v in seen.time_constants],
                "closed": {gate: shares.tolist() for gate, shares in seen.closed.items()},
                "open": {gate: shares.tolist() for gate, shares in seen.open.items()},
                "dead": seen.dead.tolist(),
                "reading": seen.reading,
            }
            for seen in result.passes
        ],
        "horizon": {"norms": horizon.norms.tolist(), "reach": horizon.reach, "reading": horizon.reading},
        "versions": versions(),
    }


def _text(result: _Result) -> Iterator[str]:
    network = result.network
    yield f"{result.request.model.name}: {network!r}, {network.count_params():,} parameters"
    yield f"  {result.data()}"
    yield ""
    first = max(len(seen.name) for seen in result.passes)
    yield f"{'':<{first}}  {'':>5}  {'memory, steps':>24}  {'gates below .05':>23}  {'gates above .95':>23}"
    gate_names = "".join(f"{gate:>8}" for gate in _GATES)
    memory_names = f"{'least':>8}{'median':>8}{'most':>8}"
    yield f"{'LSTM':<{first}}  {'units':>5}  {memory_names} {gate_names} {gate_names}  {'dead':>4}"
    for seen in result.passes:
        constants = seen.time_constants
        memory = "".join(f"{f(constants):>8.3g}" for f in (np.min, np.median, np.max))
        shares = " ".join(
            "".join(f"{table[gate].mean():>8.0%}" for gate in _GATES) for table in (seen.closed, seen.open)
        )
        yield f"{seen.name:<{first}}  {len(constants):>5}  {memory} {shares}  {seen.dead.sum():>4}"
    yield ""
    for seen in result.passes:
        yield seen.reading
    yield result.horizon.reading
