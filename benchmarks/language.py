"""Language models of text and music for `tasks.py`: how likely they find the test part, and their speed.

Settings were chosen on the validation parts. The parts of music are those of Boulanger-Lewandowski et al.
(2012); Penn Treebank's those of Mikolov et al. (2010), a line's end being a word; War and Peace is cut
80/10/10 %, as Karpathy et al. (2015) did.
"""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from measuring import Clock, pytorch

from karusel import Sequential
from karusel.losses import BinaryCrossEntropy, SoftmaxCrossEntropy
from karusel.optimizers import Adam
from karusel.sampling import Sampling
from karusel.tasks import Generator
from karusel.tasks.tokens import UNITS

Parts = tuple[Any, Any, Any]  # training, validation, test
WRITTEN = 2000  # tokens
ROUNDS = 11
STEPS = 8  # of training in each round


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
        train, held_out, tested = (list(held[part][0]) for part in ("traindata", "validdata", "testdata"))
        return train, held_out, tested

    return read


TASKS: dict[str, tuple[Callable[[pathlib.Path], Parts], dict[str, Any], str, float]] = {
    # reader, settings of the generator, measure, goal
    "war_and_peace": (
        war_and_peace,
        {
            "hidden_size": 320,
            "steps": 50,
            "batch_size": 32,
            "epochs": 14,
            "dropout": 0.05,
        },
        "nats",
        1.25,
    ),
    "ptb": (
        ptb,
        {
            "unit": "words",
            "hidden_size": 200,
            "num_layers": 2,
            "embedding_size": 200,
            "tied": True,
            "steps": 35,
            "batch_size": 20,
            "epochs": 18,
            "dropout": 0.25,
            "weight_drop": 0.2,
            "learning_rate": 0.003,
        },
        "perplexity",
        105,
    ),
    "jsb": (
        music("JSB_Chorales"),
        {
            "hidden_size": 200,
            "dropout": 0.3,
            "weight_drop": 0.3,
            "epochs": 150,
            "batch_size": 16,
            "learning_rate": 0.003,
        },
        "nats",
        8.40,
    ),
    "nottingham": (
        music("Nottingham"),
        {"hidden_size": 320, "dropout": 0.2, "epochs": 40, "batch_size": 4, "learning_rate": 0.008},
        "nats",
        3.25,
    ),
}


def run(task: str, data: pathlib.Path, threads: int, seed: int) -> None:
    """Fit, measure, and print."""
    read, settings, measure, goal = TASKS[task]
    train, held_out, tested = read(data)
    model = Generator(random_state=seed, n_jobs=threads, **settings)
    clock = Clock()
    model.fit(train, validation=held_out, progress=clock.epoch)
    took = clock.trained(threads)
    print(f"{task}: {model.network_.count_params():,} weights, {json.dumps(settings)}")
    for name, part in (("validation", held_out), ("test", tested)):
        found = model.measure(part)
        words = f"{found.nats:.4f} nats"
        if found.bits_per_character is not None:
            words += f", perplexity {found.perplexity:.2f}, {found.bits_per_character:.3f} bits per character"
        print(f"{name:<12}{words}, of {found.tokens:,} {model.reader_.unit}")
    print(f"goal        {measure} {goal:g}")
    print(took)


def compare(task: str, data: pathlib.Path, threads: int) -> None:
    """Time training steps and written tokens, and PyTorch's, in turn; music in pieces of 64 frames.

    Karusel's steps are those of one `fit`, PyTorch's bare steps.
    """
    read, settings, _, _ = TASKS[task]
    train, held_out, _ = read(data)
    made = Generator(n_jobs=threads, **settings)
    several = isinstance(train, list)
    reader = UNITS[made.unit or ("notes" if several else "characters")]()
    reader = reader.fit(train if several else [train + held_out])
    notes = reader.notes if several else 0
    symbols = 0 if several else reader.symbols
    rows, steps = made.batch_size or 64, 64 if several else made.steps
    tokens = sum(map(len, train)) if several else len(reader.read(train))
    batches = tokens / (rows * steps)
    hidden = [made.hidden_size] * made.num_layers
    if made.tied:
        hidden[-1] = made.embedding_size

    network = Sequential(made._layers(notes or symbols, notes=several), n_jobs=threads)
    network.compile(BinaryCrossEntropy() if several else SoftmaxCrossEntropy(), Adam(clip_norm=1.0))
    random = np.random.default_rng(0)
    x: Any = (random.random((STEPS * rows, steps, notes)) < 0.05).astype(np.float32)
    x = x if several else random.integers(0, symbols, (STEPS * rows, steps))
    told = {"symbols": symbols, "notes": notes, "embedding": made.embedding_size, "hidden": hidden}
    told |= {"tied": made.tied, "dropout": made.dropout, "rows": rows, "steps": steps, "threads": threads}
    with pytorch("torch_language.py", told) as rival:
        version = rival.answer()
        network.fit(x, x, streams=rows)
        rival.ask("train")
        stream, sampling, begin = network.stream(), Sampling(notes=several), np.zeros(notes) if several else 0

        def learn() -> Any:
            return network.fit(x, x, streams=rows)

        def write() -> Any:
            return stream.generate(begin, WRITTEN, sampling)

        for what, ours, asked, times, words in (
            ("train", learn, STEPS, ROUNDS, f"an epoch of {batches:,.0f} steps of {rows} x {steps}, s"),
            ("write", write, 1, 5, "a written token, us"),
        ):
            unit = batches / STEPS if what == "train" else 1e6 / WRITTEN
            pairs = []
            for _ in range(times):
                clock = Clock()
                ours()
                took = clock.read()
                pairs.append((took, np.sum([rival.ask(what) for _ in range(asked)], axis=0)))
            for number, name in enumerate(("wall", "processor")):
                own, other = (unit * min(pair[side][number] for pair in pairs) for side in (0, 1))
                print(f"{words}, {name}: Karusel {own:,.1f}, {version} {other:,.1f}, ratio {other / own:.2f}")
