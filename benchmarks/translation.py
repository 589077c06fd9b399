"""Translation for `tasks.py`: Multi30k, German to English (Elliott et al., 2016), 29,000 sentences.

Settings were chosen on the validation part. BLEU is sacrebleu's: of the text as it lies there, which is in
lower case and cut into words, with `none`, and cut anew with `13a`.
"""

from __future__ import annotations

import gzip
import pathlib
from typing import Any

import numpy as np
from measuring import Clock, compared, pytorch

from karusel.losses import SoftmaxCrossEntropy
from karusel.optimizers import Adam
from karusel.tasks import Translator
from karusel.tasks.tokens import Pairs
from karusel.tasks.writing import decoding

TASKS = ("multi30k",)
GOAL = 28.0
BATCH = 64
TIMED = 3200  # sentences of an epoch that is timed
ROUNDS = 3


def part(data: pathlib.Path, name: str) -> tuple[list[str], list[str]]:
    """German and English sentences of one part."""

    def lines(language: str) -> list[str]:
        path = data / "translation" / "multi30k" / f"tok.{name}.lc.norm.tok.{language}.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read().removesuffix("\n").split("\n")

    return lines("de"), lines("en")


def run(task: str, data: pathlib.Path, threads: int, seed: int, **settings: Any) -> None:
    train, held_out, tested = (part(data, name) for name in ("train", "val", "test_2016_flickr"))
    model = Translator(random_state=seed, n_jobs=threads, **settings)
    clock = Clock()
    model.fit(*train, validation=held_out, progress=clock.epoch)
    took = clock.trained(threads)
    print(
        f"{task}: {len(train[0]):,} sentences to train on, {model.tokens_.symbols - 1:,} byte pairs, "
        f"{model.network_.count_params():,} weights"
    )
    print(took)
    for width in (1, model.beam_width):
        model.beam_width = width
        for name, (sources, targets) in (("validation", held_out), ("test 2016", tested)):
            clock = Clock()
            found = model.predict(sources)
            seconds, _ = clock.read()
            bleu, anew = (model.bleu(found, targets, tokenize=how) for how in ("none", "13a"))
            print(
                f"beam {width}, {name}: BLEU {bleu:.2f} ({anew:.2f} with 13a), goal {GOAL:g}; "
                f"{len(found):,} sentences in {seconds:.1f} s",
                flush=True,
            )
    for source, target, one in list(zip(*tested, found, strict=True))[:5]:
        print(f"  {source}\n    {one}\n    ({target})")


def compare(task: str, data: pathlib.Path, threads: int) -> None:
    """Times an epoch of the network here and in PyTorch, in turn, on the first sentences."""
    sources, targets = part(data, "train")
    model = Translator(n_jobs=threads)
    model.tokens_ = Pairs(model.vocabulary_size).fit([*sources, *targets])
    read, (x, y) = model._read(sources[:TIMED]), decoding(model._tokens(targets[:TIMED]))
    network = model._network()
    network.compile(SoftmaxCrossEntropy(), Adam(0.001, clip_norm=1.0))
    network.build((None, 1))
    with pytorch(
        "torch_translation.py",
        {
            "symbols": model.tokens_.symbols,
            "units": model.hidden_size,
            "layers": model.num_layers,
            "dropout": model.dropout,
            "batch": BATCH,
            "threads": threads,
        },
        sources=np.concatenate(read),
        source_lengths=[len(one) for one in read],
        targets=np.concatenate(y),
        target_lengths=[len(one) for one in y],
    ) as rival:
        weights, version = rival.answer()
        print(
            f"{task}: an epoch of {len(x):,} sentences, batches of {BATCH}, {threads} thread(s): wall s, "
            f"processor s; {network.count_params():,} weights, {weights:,} in {version}"
        )
        pairs = []
        for _ in range(ROUNDS + 1):
            clock = Clock()
            network.fit(x, y, source=read, epochs=1, batch_size=BATCH)
            pairs.append((clock.read(), rival.ask()))
            print(compared(*pairs[-1]), flush=True)
    own, other = (float(np.median([pair[side][1] for pair in pairs[1:]])) for side in (0, 1))
    print(f"processor time, median of {ROUNDS}: {other / own:.2f} times faster (goal 1.1)")
