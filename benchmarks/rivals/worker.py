"""A library as a long-lived process: told on stdin what to do, it answers with a time on stdout.

Started with the number of threads, it says `{}` when it is ready. One JSON object a line then: `{"task":
"train", "settings": {...}, "repeats": 5}` is answered by `{"seconds": of all repetitions, "memory_mb": peak
above that at the start, "outputs": [...]}`. A task that is asked for the first time is made first, outside
the time, as `Task(threads, **settings)`; `outputs` are a few of its numbers, the same for every library. So
the rounds of all libraries can alternate in one run though each lives in its own environment.

Data and weights are made here, the same for all.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np


class Task(Protocol):
    """What `serve` runs."""

    def run(self, repeats: int) -> float:
        """Does it so often; seconds."""
        ...

    def outputs(self) -> list[float]:
        """A few numbers that every library must agree on, or none."""
        ...


def serve(tasks: Mapping[str, Callable[..., Task]]) -> None:
    """Answers until stdin ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not garble the answers
    threads, made, start = int(sys.argv[1]), {}, peak_mb()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        name, first = told["task"], told["task"] not in made
        if first:
            made[name] = tasks[name](threads, **told["settings"])
        outputs = made[name].outputs() if first else []
        seconds = made[name].run(told["repeats"])
        answer = {"seconds": seconds, "memory_mb": peak_mb() - start, "outputs": outputs}
        print(json.dumps(answer), file=answers, flush=True)


def peak_mb() -> float:
    """This process's largest resident memory so far, in 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def clock(function: Callable[[], object], repeats: int) -> float:
    """Seconds of so many calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        function()
    return time.perf_counter() - start


def pieces(rows: int) -> list[slice]:
    """Rows a few at a time, for libraries whose memory then stays in the cache."""
    return [slice(first, first + 256) for first in range(0, rows, 256)]


def data(*shape: int) -> np.ndarray:
    """Random numbers in float32."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def lengths(rows: int, batches: int, shortest: int, longest: int) -> np.ndarray:
    """Lengths [batches*rows] of ragged rows; each batch holds the same ones, in another order."""
    random = np.random.default_rng(1)
    once = np.linspace(shortest, longest, rows).round().astype(np.int64)
    return np.concatenate([random.permutation(once) for _ in range(batches)])


def weights(inputs: int, hidden: int) -> dict[str, np.ndarray]:
    """An LSTM's W [I,4H], U [H,4H] and b [4H], gates i, f, g, o; V [H,1] and d [1] of a dense layer on it."""
    random = np.random.default_rng(2)
    shapes = {
        "W": (inputs, 4 * hidden),
        "U": (hidden, 4 * hidden),
        "b": (4 * hidden,),
        "V": (hidden, 1),
        "d": (1,),
    }
    bound = hidden**-0.5
    return {name: random.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
