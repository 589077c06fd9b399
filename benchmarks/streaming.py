"""One LSTM fed step by step, batch 1: `./dev bench streaming`.

`step`: a call from Python for each step, its output and state at hand after it: `stream.step`, `nn.LSTMCell`
under `inference_mode`, ONNX Runtime with the states as inputs and outputs, JAX's compiled step, Keras's
stateful layer through `predict_on_batch`. `loop`: many steps in one call, such as `stream.run` and `nn.LSTM`.
"""

from __future__ import annotations

import argparse
from typing import Any

import measuring
from measuring import Case, Table
from results import OWN, SECONDS

# Hidden units: most seconds of a step through Python, and in a native loop, the goals of issue 3
GOALS = {16: (1.5e-6, 80e-9), 64: (2.5e-6, 800e-9), 256: (14e-6, 13_000e-9)}
STEPS = {"step": 200, "loop": 4096}  # of one repetition


def cases(task: str, which: int) -> list[Case]:
    contenders = {library: (library, task) for library in (OWN, "PyTorch", "JAX", "Keras", "ONNX Runtime")}
    steps, found = STEPS[task], []
    for hidden, goals in GOALS.items():
        given = {"inputs": 1, "hidden": hidden, "steps": steps}
        goal = {threads: {SECONDS: goals[which]} for threads in measuring.THREADS}
        found.append(Case(str(hidden), given, contenders, goal, None, steps))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return measuring.measure_tables(
        [
            Table("step", "One step a call from Python, one input.", "H", "µs", "", cases("step", 0)),
            Table("loop", "4,096 steps a call; the time is that of a step.", "H", "ns", "", cases("loop", 1)),
        ],
        options,
        options.rivals,
    )


if __name__ == "__main__":
    measuring.main("streaming", __doc__, measure)
