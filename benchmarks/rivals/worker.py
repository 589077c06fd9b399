"""A rival as a long-lived process: told on stdin what to train, it answers with a time on stdout.

One JSON object a line. `{"shape": [B, T, I, H], "threads": 2, "batches": 40, "epochs": 5,
"ragged": ""}` is answered by
`{"seconds_per_step": ...}`; what is asked for the first time is built first, outside the time. With
`"ragged": "packed"` or `"padded"` the rows have lengths from 5 to T and are trained in that manner.
So the rounds of all rivals can alternate in one run though each lives in its own environment.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np


def data(batches: int, rows: int, steps: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [batches*B,T,I] and targets [batches*B] in float32, the same for every rival."""
    random = np.random.default_rng(0)
    X = random.standard_normal((batches * rows, steps, inputs)).astype(np.float32)
    return X, random.standard_normal(batches * rows).astype(np.float32)


def lengths(batches: int, rows: int, steps: int) -> np.ndarray:
    """Lengths [batches*B] of ragged rows, from 5 to T; each batch holds the same ones, in another order."""
    random = np.random.default_rng(1)
    once = np.linspace(5, steps, rows).round().astype(np.int64)
    return np.concatenate([random.permutation(once) for _ in range(batches)])


def serve(trainer: Any) -> None:
    """Answers until stdin ends.

    `trainer(batches, B, T, I, H, threads, ragged)` must offer `fit_seconds(epochs)`.
    """
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not garble the answers
    trainers: dict[tuple[int, str], Any] = {}
    at_hand: tuple[int, ...] = ()
    for line in sys.stdin:
        told = json.loads(line)
        shape = (told["batches"], *told["shape"])
        if shape != at_hand:
            trainers, at_hand = {}, shape
        manner = (told["threads"], told["ragged"])
        if manner not in trainers:
            trainers[manner] = trainer(*shape, *manner)
        seconds = trainers[manner].fit_seconds(told["epochs"]) / (told["epochs"] * told["batches"])
        print(json.dumps({"seconds_per_step": seconds}), file=answers, flush=True)
