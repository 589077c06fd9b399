"""Spoken digits to text on public data: `speech.py --data DIR`, `--live`, `--rival`.

Free Spoken Digits (Jackson et al., 2016), 3,000 recordings at 8,000 samples a second: indices 0 to 4 of
every digit and speaker are tested, 5 to 49 trained on, together with strings of two to four of them joined.
Tested are single digits and 600 strings of three, each of one speaker. `--chosen` tests on indices 5 to 9
instead and trains on the rest: so the settings were chosen. `--rival` times epochs of the same network in
PyTorch beside Karusel's, in turn, on the same features.
"""

from __future__ import annotations

import argparse
import pathlib
import tarfile
from typing import Any

import numpy as np
from measuring import Clock, on_data, pytorch

from karusel import CTC, LSTM, Adam, Dense, Dropout, Sequential
from karusel.tasks import Transcriber
from karusel.tasks.speech import LogMel

RATE = 8000
JOINED = 3000  # strings to train on
TESTED = 600  # strings to test
CHUNK = 800  # samples of a live chunk: 100 ms
Recording = tuple[Any, str, str]  # samples, digit, speaker


def recordings(data: pathlib.Path, tested: range, trained: range) -> tuple[list[Recording], list[Recording]]:
    """Recordings to train on and to test."""
    parts: tuple[list[Recording], list[Recording]] = ([], [])
    with tarfile.open(data / "speech" / "fsdd.tar.gz") as archive:
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            path = pathlib.PurePath(member.name)
            if path.suffix != ".wav" or path.parent.name != "recordings":
                continue
            digit, speaker, index = path.stem.split("_")
            file = archive.extractfile(member)
            assert file is not None
            samples = np.frombuffer(file.read(), "<i2", offset=44)
            for part, indices in zip(parts, (trained, tested), strict=True):
                if int(index) in indices:
                    part.append((samples, digit, speaker))
    return parts


def strings(
    part: list[Recording], count: int, least: int, most: int, seed: int
) -> tuple[list[Any], list[str]]:
    """Recordings of one speaker joined, and what they say."""
    random = np.random.default_rng(seed)
    speakers = sorted({speaker for _, _, speaker in part})
    by = {name: [one for one in part if one[2] == name] for name in speakers}
    X, y = [], []
    for _ in range(count):
        own = by[speakers[random.integers(len(speakers))]]
        picked = [own[k] for k in random.integers(0, len(own), random.integers(least, most + 1))]
        X.append(np.concatenate([samples for samples, _, _ in picked]))
        y.append("".join(digit for _, digit, _ in picked))
    return X, y


def transcribe(arguments: argparse.Namespace) -> None:
    tested, trained = (range(5, 10), range(10, 50)) if arguments.chosen else (range(5), range(5, 50))
    train, test = recordings(arguments.data, tested, trained)
    X, y = [one[0] for one in train], [one[1] for one in train]
    more, their = strings(train, JOINED, 2, 4, seed=0)
    model = Transcriber(live=arguments.live, random_state=arguments.seed, n_jobs=arguments.threads)
    clock = Clock()
    model.fit(X + more, y + their, rate=RATE, progress=clock.epoch)
    took = clock.trained(arguments.threads)
    print(
        f"{len(X):,} recordings and {JOINED:,} strings to train on; "
        f"{model.network_.count_params():,} parameters"
    )
    print(took)
    singles = [one[0] for one in test], [one[1] for one in test]
    joined = strings(test, TESTED, 3, 3, seed=1)
    for width in (1, model.beam_width):
        model.beam_width = width
        share = 100 * model.score(*singles)
        print(f"beam {width}: {share:.2f} % of {len(test)} single digits right (goal 98.5 %)")
        print(
            f"beam {width}: {100 * model.score(*joined):.2f} % of {TESTED} strings of three right (goal 95 %)"
        )
    if arguments.live:
        listen(model, *joined)


def listen(model: Transcriber, X: list[Any], y: list[str]) -> None:
    """Feeds strings in chunks of 100 ms; how long each answer takes."""
    took, right = [], 0
    for samples, text in zip(X, y, strict=True):
        stream = model.stream()
        for first in range(0, len(samples), CHUNK):
            clock = Clock()
            stream.feed(samples[first : first + CHUNK])
            took.append(1000 * clock.read()[0])
        stream.finish()
        right += stream.text == text
    print(f"live: {100 * right / len(X):.2f} % of the strings right, {len(took):,} chunks of 100 ms")
    print(
        f"live: an answer in {np.median(took):.2f} ms (median), {np.percentile(took, 99):.2f} ms (99 %), "
        f"{max(took):.2f} ms (largest); goal 50 ms"
    )


# -- PyTorch -----------------------------------------------------------------------------------------


def rival(arguments: argparse.Namespace) -> None:
    """Epochs of both in turn, on the features of every fifth training recording and as many strings."""
    train, _ = recordings(arguments.data, range(5), range(5, 50))
    train = train[::5]
    more, their = strings(train, len(train), 2, 4, seed=0)
    features = LogMel(RATE)
    X = [features(one.astype(np.float32) / 2**15) for one in [one[0] for one in train] + more]
    mean, spread = np.concatenate(X).mean(0), np.concatenate(X).std(0)
    X = [(one - mean) / spread for one in X]
    y = [np.array([int(digit) + 1 for digit in text], np.int32) for text in [one[1] for one in train] + their]
    model, batch = Transcriber(), 32
    net = Sequential(
        [
            LSTM(
                model.hidden_size,
                num_layers=model.num_layers,
                direction="bidirectional",
                dropout=model.dropout,
                return_sequences=True,
            ),
            Dropout(model.dropout),
            Dense(11, activation="softmax"),
        ],
        n_jobs=arguments.threads,
    )
    net.compile(CTC(longest=4), Adam(0.001, clip_norm=1.0))
    times: dict[str, list[float]] = {"Karusel": [], "PyTorch": []}
    with pytorch(
        "torch_speech.py",
        {
            "hidden_size": model.hidden_size,
            "num_layers": model.num_layers,
            "dropout": model.dropout,
            "batch": batch,
            "threads": arguments.threads,
        },
        X=np.concatenate(X),
        steps=[len(one) for one in X],
        y=np.concatenate(y),
        symbols=[len(one) for one in y],
    ) as worker:
        for _ in range(arguments.rounds + 1):
            clock = Clock()
            net.fit(X, y, epochs=1, batch_size=batch)
            times["Karusel"].append(clock.read()[1])
            times["PyTorch"].append(worker.ask())
    print(
        f"an epoch of {len(X):,} recordings, {sum(map(len, X)):,} steps, batches of {batch}, "
        f"{arguments.threads} thread(s), seconds of processor time, median of {arguments.rounds}"
    )
    middle = {name: float(np.median(seconds[1:])) for name, seconds in times.items()}
    for name, seconds in middle.items():
        print(f"{name:<8} {seconds:.2f}")
    print(f"PyTorch / Karusel: {middle['PyTorch'] / middle['Karusel']:.2f} (goal 1.5)")


def main() -> None:
    parser = on_data(__doc__)
    parser.add_argument("--live", action="store_true", help="a network in one direction, fed as one speaks")
    parser.add_argument("--chosen", action="store_true", help="a part of the training recordings is tested")
    parser.add_argument("--rival", action="store_true", help="time epochs of this and of PyTorch instead")
    parser.add_argument("--rounds", type=int, default=3, help="epochs timed of each (default 3)")
    arguments = parser.parse_args()
    rival(arguments) if arguments.rival else transcribe(arguments)


if __name__ == "__main__":
    main()
