"""Language models of text and music for `tasks.py`: how likely they find the test part, and their speed.

Settings were chosen on the validation parts. The parts of music are those of Boulanger-Lewandowski et al.
(2012); Penn Treebank's those of Mikolov et al. (2010), a line's end being a word; War and Peace is cut
80/10/10 %, as Karpathy et al. (2015) did.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from karusel.sampling import Sampling
from karusel.tasks import Generator

Parts = tuple[Any, Any, Any]  # training, validation, test
WRITTEN = 2000  # tokens


def war_and_peace(data: pathlib.Path) -> Parts:
    """Characters of one book."""
    with gzip.open(data / "text" / "war_and_peace" / "warpeace_input.txt.gz", "rt", encoding="utf-8") as file:
        text = file.read()
    cuts = [round(len(text) * share) for share in (0.8, 0.9)]
    return text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]


def ptb(data: pathlib.Path) -> Parts:
    """Words of newspapers."""

    def part(name: str) -> str:
        with gzip.open(data / "text" / "ptb" / f"ptb.{name}.txt.gz", "rt", encoding="utf-8") as file:
            return file.read()

    return part("train"), part("valid"), part("test")


def music(name: str) -> Callable[[pathlib.Path], Parts]:
    """Frames of 88 notes."""

    def read(data: pathlib.Path) -> Parts:
        from scipy.io import loadmat

        held = loadmat(data / "music" / f"{name}.mat")
        return tuple(list(held[part][0]) for part in ("traindata", "validdata", "testdata"))  # type: ignore

    return read


TASKS: dict[str, tuple[Callable[[pathlib.Path], Parts], dict[str, Any], str, float]] = {
    # reader, settings of the generator, measure, goal
    "war_and_peace": (
        war_and_peace,
        {"hidden_size": 256, "steps": 100, "batch_size": 64, "epochs": 20, "dropout": 0.0},
        "nats",
        1.25,
    ),
    "ptb": (
        ptb,
        {
            "unit": "words",
            "hidden_size": 200,
            "embedding_size": 200,
            "tied": True,
            "steps": 35,
            "dropout": 0.3,
        },
        "perplexity",
        105,
    ),
    "jsb": (music("JSB_Chorales"), {"hidden_size": 150, "dropout": 0.5, "epochs": 100}, "nats", 8.40),
    "nottingham": (music("Nottingham"), {"hidden_size": 150, "dropout": 0.3, "epochs": 40}, "nats", 3.25),
}


def run(task: str, data: pathlib.Path, threads: int, seed: int, rivals: pathlib.Path | None) -> None:
    """Fit, measure, and print."""
    read, settings, measure, goal = TASKS[task]
    train, held_out, tested = read(data)
    start, used = time.perf_counter(), time.process_time()

    def progress(epoch: int, logs: dict[str, float]) -> None:
        losses = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"{time.perf_counter() - start:6.0f} s  epoch {epoch + 1}: {losses}", flush=True)

    model = Generator(random_state=seed, n_jobs=threads, **settings)
    model.fit(train, validation=held_out, progress=progress)
    wall, used = time.perf_counter() - start, time.process_time() - used
    print(f"{task}: {model.network_.count_params():,} weights, {json.dumps(settings)}")
    for name, part in (("validation", held_out), ("test", tested)):
        found = model.measure(part)
        words = f"{found.nats:.4f} nats, perplexity {found.perplexity:.2f}"
        if found.bits_per_character is not None:
            words += f", {found.bits_per_character:.3f} bits per character"
        print(f"{name:<12}{words}, of {found.tokens:,} {model.reader_.unit}")
    print(f"goal        {measure} {goal:g}")
    print(f"{wall:.0f} s of training on {threads} thread(s), {used:.0f} s of processor time")
    compare(model, train, threads, rivals)


def compare(model: Generator, train: Any, threads: int, rivals: pathlib.Path | None) -> None:
    """A training step's and a written token's time, beside PyTorch's if its Python is there."""
    notes = getattr(model.reader_, "notes", 0)
    rows, steps = model.batch_size or 64, 64 if notes else model.steps
    hidden = [model.hidden_size] * model.num_layers
    if model.tied:
        hidden[-1] = model.embedding_size
    symbols = 0 if notes else model.reader_.symbols
    told = {"symbols": symbols, "notes": notes, "embedding": model.embedding_size, "hidden": hidden}
    told |= {"tied": model.tied, "rows": rows, "steps": steps, "batches": 15, "threads": threads}
    told["written"] = WRITTEN
    random = np.random.default_rng(0)
    x: Any = (random.random((20 * rows, steps, notes)) < 0.05).astype(np.float32)
    x = x if notes else random.integers(0, symbols, (20 * rows, steps))
    network = Generator(**{name: getattr(model, name) for name in ("n_jobs",)})._network(
        model._layers(notes or symbols, notes=bool(notes))
    )
    network.compile(model.network_.loss, model.network_.optimizer)
    network.fit(x[: 2 * rows], x[: 2 * rows], streams=rows)
    taken = []
    for first in range(0, len(x), rows):
        start, used = time.perf_counter(), time.process_time()
        network.fit(x[first : first + rows], x[first : first + rows], streams=rows)
        taken.append((time.perf_counter() - start, time.process_time() - used))
    stream, sampling = model.network_.stream(), Sampling(notes=bool(notes))
    begin = np.zeros(notes) if notes else 0
    written = []
    for _ in range(5):
        start, used = time.perf_counter(), time.process_time()
        stream.generate(begin, WRITTEN, sampling)
        written.append(((time.perf_counter() - start) / WRITTEN, (time.process_time() - used) / WRITTEN))
    ours = {
        "step": statistics.median(one for one, _ in taken),
        "step_processor": statistics.median(one for _, one in taken),
        "token": min(one for one, _ in written),
        "token_processor": min(one for _, one in written),
    }
    theirs = {}
    if rivals is not None:
        worker = pathlib.Path(__file__).parent / "rivals" / "torch_language.py"
        done = subprocess.run(
            [rivals, worker], input=json.dumps(told), capture_output=True, text=True, check=True
        )
        theirs = json.loads(done.stdout)
    for name, words in (("step", f"a training step of {rows} x {steps}"), ("token", "a written token")):
        for kind, title in (("", "wall"), ("_processor", "processor")):
            own = ours[name + kind]
            line = f"{words}, {title} time: Karusel {1e6 * own:,.1f} us"
            if theirs:
                other = theirs[name + kind]
                line += f", PyTorch {theirs['torch']} {1e6 * other:,.1f} us, ratio {other / own:.2f}"
            print(line)
