"""Captions for `tasks.py`: 1,000 images of Flickr8k (Hodosh et al., 2013), five captions of each.

Images are brought to 64 x 64 pixels, captions to lower case; full stops are left out, since they say nothing.
The parts are the official ones; the few images that none of them names are left out. Settings were
chosen on the development part. Two captions that look at no image stand beside: the one training caption that
is best for all training images by BLEU-1, and the most frequent words, so many that they are best there. BLEU
is sacrebleu's, of text cut already.
"""

from __future__ import annotations

import csv
import gzip
import io
import pathlib
import tarfile
from collections import Counter
from typing import Any

import numpy as np
from measuring import Clock

from karusel.tasks import Captioner

TASKS = ("flickr8k",)
SIDE = 64
SETTINGS: dict[str, Any] = {
    "hidden_size": 96,
    "dropout": 0.4,
    "mirror": True,
    "shift": 4,
    "epochs": 10,
    "beam_width": 10,
}
Part = tuple[Any, list[list[str]]]


def part(data: pathlib.Path, name: str) -> Part:
    """Images and their captions of one part: train, dev or test."""
    from PIL import Image

    with gzip.open(data / "images" / f"Flickr_8k.{name}Images.txt.gz", "rt") as file:
        wanted = set(file.read().split())
    images, captions = [], []
    with tarfile.open(data / "images" / "flickr8k_1000_images_captions.tar") as archive:

        def content(member: str) -> bytes:
            file = archive.extractfile(member)
            assert file is not None
            return file.read()

        listed: dict[str, list[str]] = {}
        for row in csv.DictReader(io.StringIO(content("data/captions.txt").decode())):
            words = [word for word in row["caption"].lower().split() if word != "."]
            if words:
                listed.setdefault(row["image"], []).append(" ".join(words).removesuffix("."))
        for image in sorted(wanted & set(listed)):
            with Image.open(io.BytesIO(content(f"data/images/{image}"))) as opened:
                small = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
                images.append(np.asarray(small))
            captions.append(listed[image])
    return np.stack(images), captions


class Constant:
    """BLEU-1 of one caption for all images, and those captions that are best by it."""

    def __init__(self, captions: list[list[str]]) -> None:
        self.captions = captions
        self.lengths = [np.array([len(one.split()) for one in its]) for its in captions]
        # Of how many images some caption has a word so many times at least: where each further one is right.
        self.right: Counter[tuple[str, int]] = Counter()
        for its in captions:
            most: Counter[str] = Counter()
            for one in its:
                most |= Counter(one.split())
            self.right.update((word, k + 1) for word, count in most.items() for k in range(count))

    def bleu1(self, caption: str) -> float:
        words, images = Counter(caption.split()), len(self.captions)
        right = sum(self.right[word, k + 1] for word, count in words.items() for k in range(count))
        length = words.total()
        nearest = sum(min(its, key=lambda one: (abs(one - length), one)) for its in self.lengths)
        brevity = np.exp(min(0.0, 1 - nearest / (images * length)))
        return float(100 * brevity * right / (images * length))

    def sentence(self) -> str:
        """The best of all these captions."""
        return max(sorted({one for its in self.captions for one in its}), key=self.bleu1)

    def words(self) -> str:
        """The most frequent words, so many as are best; a word comes twice where that is more often right."""
        frequent = [word for (word, _), _ in self.right.most_common(30)]
        return max((" ".join(frequent[:count]) for count in range(1, 31)), key=self.bleu1)


def run(task: str, data: pathlib.Path, threads: int, seed: int, **settings: Any) -> None:
    train, held_out, tested = (part(data, name) for name in ("train", "dev", "test"))
    model = Captioner(random_state=seed, n_jobs=threads, **{**SETTINGS, **settings})
    clock = Clock()
    model.fit(*train, validation=held_out, progress=clock.epoch)
    took = clock.trained(threads)
    counts = [len(images) for images, _ in (train, held_out, tested)]
    print(
        "{}: {} images to train on, {} of development, {} tested; ".format(task, *counts)
        + f"{model.tokens_.symbols - 1:,} words, {model.network_.count_params():,} weights"
    )
    print(took)
    constant = Constant(train[1])
    fixed = {"best training caption": constant.sentence(), "most frequent words": constant.words()}
    for name, (images, captions) in (("development", held_out), ("test", tested)):
        rows = {what: [one] * len(captions) for what, one in fixed.items()}
        rows["Karusel"] = model.predict(images)
        print(f"{name:<24} BLEU-1  BLEU-4   words")
        for what, found in rows.items():
            scores = [model.bleu(found, captions, tokenize="none", order=order) for order in (1, 4)]
            length = np.mean([len(one.split()) for one in found])
            print(f"  {what:<22} {scores[0]:6.2f}  {scores[1]:6.2f}  {length:6.1f}", flush=True)
    for what, one in fixed.items():
        print(f"  {what}: {one}")
    print(f"  {len(set(rows['Karusel']))} different captions, such as")
    for one in sorted(set(rows["Karusel"]))[:: max(1, len(set(rows["Karusel"])) // 8)]:
        print(f"    {one}")
