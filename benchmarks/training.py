"""Training steps of LSTM(H) and Dense(1), squared error on the last output, Adam: `./dev bench training`.

Karusel through its public `fit` of several epochs, so all that `fit` does around the steps counts; PyTorch as
the bare step on tensors that lie ready; JAX as one compiled scan over the epoch; Keras through `fit`. GFLOP/s
are 24*B*T*H*(I+H) a step: forward, the gradient of the input and that of the weights, a multiply-add as two;
the share is of the multiply-add peak that `peak.cpp` measures in the same run.
"""

from __future__ import annotations

import argparse
from typing import Any

import measuring
from measuring import Case, Table
from results import OF_PEAK, OVER_ONE_THREAD, OWN

Shape = tuple[int, int, int, int]
# B,T,I,H: (times faster than PyTorch on one and two threads, share of peak), the goals of issue 3
GOALS: dict[Shape, tuple[float, float, float | None]] = {
    (1, 4, 1, 50): (80, 80, None),
    (32, 24, 1, 64): (2.1, 3.3, 0.80),
    (32, 50, 8, 128): (1.5, 1.9, 0.85),
    (64, 100, 32, 256): (1.4, 1.5, 0.85),
    (128, 50, 64, 512): (1.25, 1.3, 0.85),
    (256, 24, 1, 32): (2.7, 3.5, 0.70),
    (1, 200, 1, 64): (3.8, 4.0, 0.50),
}
BF16_GOALS = {"Karusel float32": 1.7, "PyTorch bf16": 1.3}
BF16: tuple[Shape, ...] = ((64, 100, 32, 256), (128, 50, 64, 512))
LARGE_STEP = 0.2  # GFLOP from which an epoch is short
RAGGED: Shape = (32, 100, 8, 64)  # rows of 5 to 100 steps
RAGGED_GOALS = ((8, 3), (12, 4))  # on one and two threads: against packed sequences, against padding
LARGE_HIDDEN, TWO_THREADS_GOAL = 64, 1.7  # from so many hidden units on, two threads over one


def gflop(shape: Shape) -> float:
    """GFLOP of one training step."""
    rows, steps, inputs, hidden = shape
    return 24e-9 * rows * steps * hidden * (inputs + hidden)


def settings(shape: Shape) -> dict[str, int]:
    """An epoch holds 40 batches as in the notebook's job, 2 where a step is long."""
    batches = 2 if gflop(shape) >= LARGE_STEP else 40
    return {"batches": batches, **dict(zip(("rows", "steps", "inputs", "hidden"), shape, strict=True))}


def name(shape: Shape) -> str:
    return ",".join(map(str, shape))


def equal_rows(shape: Shape) -> Case:
    one, two, share = GOALS[shape]
    peak = {} if share is None else {OF_PEAK: share}
    over_one = TWO_THREADS_GOAL if shape[-1] >= LARGE_HIDDEN else 1.0
    given = settings(shape)
    return Case(
        name(shape),
        given,
        {library: (library, "train") for library in (OWN, "PyTorch", "JAX", "Keras")},
        {1: {"PyTorch": one, **peak}, 2: {"PyTorch": two, **peak, OVER_ONE_THREAD: over_one}},
        gflop(shape),
        given["batches"],
    )


def bf16_rows(shape: Shape) -> Case:
    given = settings(shape)
    contenders = {
        OWN: (OWN, "train bf16"),
        "Karusel float32": (OWN, "train"),
        "PyTorch bf16": ("PyTorch", "train bf16"),
    }
    goals = dict.fromkeys(measuring.THREADS, BF16_GOALS)
    return Case(name(shape), given, contenders, goals, gflop(shape), given["batches"])


def ragged_rows() -> Case:
    given = settings(RAGGED)
    contenders = {
        OWN: (OWN, "train ragged"),
        "PyTorch packed": ("PyTorch", "train packed"),
        "PyTorch padded": ("PyTorch", "train padded"),
        "JAX padded": ("JAX", "train ragged"),
        "Keras masked": ("Keras", "train ragged"),
    }
    goals = {
        threads: {"PyTorch packed": packed, "PyTorch padded": padded}
        for threads, (packed, padded) in zip(measuring.THREADS, RAGGED_GOALS, strict=True)
    }
    return Case(name(RAGGED), given, contenders, goals, None, given["batches"])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    steps = Table("step", "Rows of one length.", "B,T,I,H", "ms", "GFLOP/s", list(map(equal_rows, GOALS)))
    ragged = Table("ragged", "Rows of 5 to T steps.", "B,T,I,H", "ms", "", [ragged_rows()])
    about = "Rows of one length in bf16; PyTorch by autocast."
    bf16 = Table("bf16", about, "B,T,I,H", "ms", "GFLOP/s", list(map(bf16_rows, BF16)))
    return measuring.measure_tables([steps, ragged, bf16], options, options.rivals or ["PyTorch"])


if __name__ == "__main__":
    measuring.main("training", __doc__, measure)
