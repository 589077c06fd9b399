"""Translation for `tasks.py`: Multi30k, German to English (Elliott et al., 2016), 29,000 sentences.

Settings were chosen on the validation part. BLEU is sacrebleu's: of the text as it lies there, which is in
lower case and cut into words, with `none`, and cut anew with `13a`.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import subprocess
import tempfile
import time
from typing import Any

import numpy as np
from measuring import RIVALS_PYTHON

from karusel.losses import SoftmaxCrossEntropy
from karusel.optimizers import Adam
from karusel.tasks import Translator
from karusel.tasks.tokens import Pairs
from karusel.tasks.writing import decoding

TASKS = ("multi30k",)
GOAL = 28.0
BATCH = 64
TIMED = 3200  # sentences of an epoch that is timed
HERE = pathlib.Path(__file__).parent


def part(data: pathlib.Path, name: str) -> tuple[list[str], list[str]]:
    """German and English sentences of one part."""

    def lines(language: str) -> list[str]:
        path = data / "translation" / "multi30k" / f"tok.{name}.lc.norm.tok.{language}.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read().removesuffix("\n").split("\n")

    return lines("de"), lines("en")


def run(data: pathlib.Path, threads: int, seed: int, **settings: Any) -> None:
    train, held_out, tested = (part(data, name) for name in ("train", "val", "test_2016_flickr"))
    model = Translator(random_state=seed, n_jobs=threads, **settings)
    start, processor = time.perf_counter(), time.process_time()

    def progress(epoch: int, logs: dict[str, float]) -> None:
        losses = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"{time.perf_counter() - start:6.0f} s  epoch {epoch + 1}: {losses}", flush=True)

    model.fit(*train, validation=held_out, progress=progress)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(
        f"multi30k: {len(train[0]):,} sentences to train on, {model.tokens_.symbols - 1:,} byte pairs, "
        f"{model.network_.count_params():,} weights"
    )
    print(f"{seconds:.0f} s of training on {threads} thread(s), {processor:.0f} s of processor time")
    for width in (1, model.beam_width):
        model.beam_width = width
        for name, (sources, targets) in (("validation", held_out), ("test 2016", tested)):
            start = time.perf_counter()
            found = model.predict(sources)
            took = time.perf_counter() - start
            bleu, anew = (model.bleu(found, targets, tokenize=how) for how in ("none", "13a"))
            print(
                f"beam {width}, {name}: BLEU {bleu:.2f} ({anew:.2f} with 13a), goal {GOAL:g}; "
                f"{len(found):,} sentences in {took:.1f} s",
                flush=True,
            )
    for source, target, one in list(zip(*tested, found, strict=True))[:5]:
        print(f"  {source}\n    {one}\n    ({target})")


def compare(data: pathlib.Path, threads: int, rounds: int = 3) -> None:
    """Times an epoch of the network here and in PyTorch, in turn, on the first sentences."""
    sources, targets = (lines[:TIMED] for lines in part(data, "train"))
    model = Translator(n_jobs=threads)
    model.tokens_ = Pairs(model.vocabulary_size).fit([*part(data, "train")[0], *part(data, "train")[1]])
    read, (x, y) = model._read(sources), decoding(model._tokens(targets))
    network = model._network()
    network.compile(SoftmaxCrossEntropy(), Adam(0.001, clip_norm=1.0))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "job.npz"
        np.savez(
            path,
            sources=np.concatenate(read),
            source_lengths=[len(one) for one in read],
            targets=np.concatenate(y),
            target_lengths=[len(one) for one in y],
        )
        settings = {
            "symbols": model.tokens_.symbols,
            "units": model.hidden_size,
            "layers": model.num_layers,
            "dropout": model.dropout,
            "batch": BATCH,
            "threads": threads,
        }
        with subprocess.Popen(
            [RIVALS_PYTHON, HERE / "rivals" / "torch_translation.py", path, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as rival:
            assert rival.stdin is not None
            assert rival.stdout is not None
            weights, version = json.loads(rival.stdout.readline())
            network.build((None, 1))
            print(
                f"an epoch of {len(x):,} sentences, batches of {BATCH}, {threads} thread(s): wall s, "
                f"processor s; {network.count_params():,} weights, {weights:,} in {version}"
            )
            pairs = []
            for _ in range(rounds + 1):
                wall, processor = time.perf_counter(), time.process_time()
                network.fit(x, y, source=read, epochs=1, batch_size=BATCH)
                ours = time.perf_counter() - wall, time.process_time() - processor
                print(file=rival.stdin, flush=True)
                pairs.append((ours, json.loads(rival.stdout.readline())))
                theirs = pairs[-1][1]
                print(
                    f"Karusel {ours[0]:7.2f} {ours[1]:7.2f}   PyTorch {theirs[0]:7.2f} {theirs[1]:7.2f}   "
                    f"{theirs[0] / ours[0]:.2f} and {theirs[1] / ours[1]:.2f} times faster",
                    flush=True,
                )
            own, other = (float(np.median([pair[side][1] for pair in pairs[1:]])) for side in (0, 1))
            print(f"processor time, median of {rounds}: {other / own:.2f} times faster (goal 1.1)")
            rival.stdin.close()
