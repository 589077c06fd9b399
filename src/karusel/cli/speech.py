"""What `karusel transcribe` does: fit a transcriber, write down what WAV files say, count its errors."""

from __future__ import annotations

import csv
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from karusel.cli.document import print_document, versions
from karusel.cli.files import check_output, files_read
from karusel.cli.options import Printing, Running
from karusel.cli.progress import Progress
from karusel.cli.show import print_lines, print_pairs
from karusel.cli.transcribe import Learning
from karusel.cli.work import naming
from karusel.cli.writing import searching
from karusel.errors import DataError, unreadable
from karusel.tasks.transcriber import Transcriber

__all__ = ["run_run", "run_score", "run_train"]


def run_train(
    path: Path, learning: Learning, running: Running, out: Path, time_limit: float | None, printing: Printing
) -> None:
    """Fit a transcriber and write it to `out`."""
    files, texts = _listed(path)
    check_output(out, files_read(printing, (path, *files)))
    started = time.perf_counter()
    model = Transcriber(**asdict(learning), random_state=running.seed, n_jobs=running.threads)
    with Progress() as progress:
        progress(f"epoch 1/{model.epochs}")

        def epoch(number: int, logs: dict[str, float]) -> None:
            progress(f"epoch {number + 2}/{model.epochs}, loss {logs['val_loss']:.3f} on what is held out")

        with naming(path.name):
            model.fit(files, texts, time_limit=time_limit, progress=epoch)
        progress(f"writing {out}")
        model.save(out)
    seconds = time.perf_counter() - started
    losses = model.history_["val_loss"]
    best = int(np.argmin(losses)) + 1
    if printing.json:
        print_document(
            {
                "file": str(path),
                "recordings": len(files),
                "rate": model.features_.rate,
                "characters": model.characters_,
                "weights": model.network_.count_params(),
                "epochs": len(losses),
                "best_epoch": best,
                "held_out": {"loss": losses[best - 1], "right": model.validation_score_},
                "out": str(out),
                "seconds": round(seconds, 3),
                "versions": versions(),
            }
        )
        return
    characters = model.characters_.replace("\n", "\\n")
    print_lines(
        [
            f"{path.name}: {len(files):,} recordings of {model.features_.rate:,} samples a second; "
            f"{len(model.characters_)} characters, {characters}",
            f"Trained {len(losses)} epochs in {seconds:.1f} s; of the recordings held out "
            f"{100 * model.validation_score_:.1f} % are written down right",
            f"{out} holds the model; karusel transcribe run {out} FILE.wav writes down what it hears",
        ]
    )


def run_run(path: Path, files: list[Path], beam_width: int | None, json: bool) -> None:
    """Transcribe WAV files."""
    with Progress() as progress:
        model = searching(Transcriber.load(path), beam_width)
        progress("transcribing")
        texts = model.predict(files)
    if json:
        found = [{"file": str(one), "text": text} for one, text in zip(files, texts, strict=True)]
        print_document({"model": str(path), "transcripts": found, "versions": versions()})
        return
    print_pairs(zip(map(str, files), texts, strict=True))


def run_score(path: Path, recordings: Path, beam_width: int | None, json: bool) -> None:
    """Say how many texts and characters a model gets right."""
    with Progress() as progress:
        model = searching(Transcriber.load(path), beam_width)
        files, texts = _listed(recordings)
        progress("transcribing")
        with naming(recordings.name):
            found = model.predict(files)
            errors = model.errors(found, texts)
        right = float(np.mean([a == b for a, b in zip(found, texts, strict=True)]))
    if json:
        print_document(
            {
                "model": str(path),
                "file": str(recordings),
                "recordings": len(files),
                "right": right,
                "error_rate": errors,
                "versions": versions(),
            }
        )
        return
    print_lines(
        [
            f"{recordings.name}: {100 * right:.2f} % of {len(files):,} texts are right",
            f"{100 * errors:.2f} characters in 100 are to be inserted, deleted or changed",
        ]
    )


def _listed(path: Path) -> tuple[list[Path], list[str]]:
    """WAV files, and what they say, of a CSV file."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{path} is no CSV file in UTF-8: {fault}") from None
    except OSError as fault:
        raise unreadable(path, fault) from None
    if not {"file", "text"} <= set(columns):
        names = ", ".join(columns) or "none"
        raise DataError(f"{path.name} has the columns {names}; it must have `file` and `text`")
    for number, row in enumerate(rows, start=1):
        if not row["file"] or row["text"] is None:
            raise DataError(f"{path.name}, row {number}: a file and its text are needed")
        if "\0" in row["file"]:
            raise DataError(
                f"{path.name}, row {number}: the file is {row['file']!r}, which no file is called"
            )
    return [path.parent / row["file"] for row in rows], [row["text"].strip() for row in rows]
