"""LSTM(H) and Dense(1) on many sequences in one call: `./dev bench inference`.

Karusel, Keras (1,024 rows at a time) through `predict`; PyTorch under `inference_mode`, ragged sequences
packed or padded; JAX's compiled scan, padded; ONNX Runtime, padded with lengths; the last two 256 at a time,
which is quicker for them. Memory is each process's peak above what it took after its imports, the data
included.
"""

from __future__ import annotations

import argparse
from typing import Any

import measuring
from measuring import Case, Table
from results import OWN

# Sequences, steps, inputs, hidden
EQUAL = ((4096, 50, 8, 64), (512, 200, 1, 128))
RAGGED = (2000, 200, 8, 64)
SHORTEST = 5


def case(shape: tuple[int, ...], contenders: dict[str, tuple[str, str]], shortest: int) -> Case:
    given = dict(zip(("sequences", "steps", "inputs", "hidden"), shape, strict=True))
    name = ",".join(map(str, shape))
    return Case(name, {**given, "shortest": shortest}, contenders, {}, shape[0])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    equal = {library: (library, "predict") for library in (OWN, *measuring.RIVALS)}
    ragged = {
        OWN: (OWN, "predict"),
        "PyTorch packed": ("PyTorch", "predict"),
        "PyTorch padded": ("PyTorch", "predict padded"),
        "JAX padded": ("JAX", "predict"),
        "Keras masked": ("Keras", "predict"),
        "ONNX Runtime": ("ONNX Runtime", "predict"),
    }
    head, rate = "sequences,T,I,H", "sequences/s"
    equal_cases = [case(shape, equal, shape[1]) for shape in EQUAL]
    ragged_about = f"Sequences of {SHORTEST} to T steps."
    return measuring.measure_tables(
        [
            Table("equal", "Sequences of one length.", head, "ms", rate, equal_cases, memory=True),
            Table("ragged", ragged_about, head, "ms", rate, [case(RAGGED, ragged, SHORTEST)], memory=True),
        ],
        options,
        options.rivals,
    )


if __name__ == "__main__":
    measuring.main("inference", __doc__, measure)
