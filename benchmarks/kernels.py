"""The engine's parts at the sizes of the training steps, beside PyTorch's: `./dev bench kernels`.

An LSTM's forward pass (8*B*T*H*(I+H) FLOP) beside `nn.LSTM` under `inference_mode` and with its tape; the
backward pass from the last outputs (16*B*T*H*(I+H)); Dense(H) on B*T rows of H numbers (2*B*T*H*H) beside
`Linear`; Adam on the LSTM's parameters beside the fused one. Karusel's backward pass is a gradient less a
forward pass, its Adam a training step less its gradient: the engine offers no part alone.
"""

from __future__ import annotations

import argparse
from typing import Any

import measuring
import training
from measuring import Case, Table
from results import OWN

HEAD = "B,T,I,H"


def cases(contenders: dict[str, tuple[str, str]], part: float | None) -> list[Case]:
    """The training steps' sizes; part: of a whole step's FLOP, None for no rate."""
    found = []
    for shape in training.GOALS:
        given = training.settings(shape)
        work = None if part is None else part * training.gflop(shape)
        found.append(Case(training.name(shape), given, contenders, {}, work, given["batches"]))
    return found


def dense() -> list[Case]:
    found = []
    for shape in training.GOALS:
        rows, steps, _, hidden = shape
        given, work = training.settings(shape), 2e-9 * rows * steps * hidden**2
        contenders = {OWN: (OWN, "dense"), "PyTorch": ("PyTorch", "dense")}
        found.append(Case(training.name(shape), given, contenders, {}, work, given["batches"]))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    forward = {OWN: (OWN, "forward"), "PyTorch inference": ("PyTorch", "infer")}
    forward["PyTorch with tape"] = ("PyTorch", "tape")
    backward, adam = ({OWN: (OWN, task), "PyTorch": ("PyTorch", task)} for task in ("backward", "adam"))
    return measuring.measure_tables(
        [
            Table("forward", "The LSTM's forward pass.", HEAD, "ms", "GFLOP/s", cases(forward, 1 / 3)),
            Table("backward", "The LSTM's backward pass.", HEAD, "ms", "GFLOP/s", cases(backward, 2 / 3)),
            Table("dense", "Dense(H) on B*T rows of H numbers.", HEAD, "ms", "GFLOP/s", dense()),
            Table("adam", "Adam on the LSTM's parameters.", HEAD, "ms", "", cases(adam, None)),
        ],
        options,
        options.rivals,
    )


if __name__ == "__main__":
    measuring.main("kernels", __doc__, measure)
