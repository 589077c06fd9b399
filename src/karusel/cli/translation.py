"""What `karusel translate` does: fit a translator, translate sentences, compare translations."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from karusel.cli.document import print_document, versions
from karusel.cli.files import check_apart, check_output, check_png, files_read, write_whole
from karusel.cli.options import Printing, Running
from karusel.cli.progress import Progress
from karusel.cli.show import for_stdout, print_lines
from karusel.cli.translate import Learning
from karusel.cli.work import naming, short_name
from karusel.cli.writing import decoded, fit, read_bytes, searching
from karusel.errors import DataError, UsageError
from karusel.plots import draw_alignment
from karusel.tasks.translator import Alignment, Translator

__all__ = ["run_run", "run_score", "run_train"]

_DRAWN = 4  # sentences whose alignment is drawn


def run_train(
    source: str,
    target: str,
    learning: Learning,
    running: Running,
    out: Path,
    validation: tuple[str, str] | None,
    time_limit: float | None,
    printing: Printing,
) -> None:
    """Fit a translator and write it to `out`."""
    check_output(out, files_read(printing, (source, target, *(validation or ()))))
    started = time.perf_counter()
    model = Translator(**asdict(learning), random_state=running.seed, n_jobs=running.threads)
    name = short_name([source])
    with Progress() as progress:
        progress(f"reading {name}")
        X, y = _parallel(source, target)
        held_out = None if validation is None else _parallel(*validation)
        done = fit(model, name, out, started, progress, X, y, validation=held_out, time_limit=time_limit)
    if printing.json:
        print_document(
            {
                "file": source,
                "translations": target,
                "sentences": len(X),
                "byte_pairs": model.tokens_.symbols - 1,
                **done.document(),
            }
        )
        return
    print_lines(
        [
            f"{name}: {len(X):,} sentences; {model.tokens_.symbols - 1:,} byte pairs, "
            f"{done.weights:,} weights",
            done.line("byte pair"),
            f"{out} holds the model; karusel translate run {out} FILE translates",
        ]
    )


def run_run(
    path: Path,
    source: str,
    out: Path | None,
    alignment: bool,
    plot: Path | None,
    beam_width: int | None,
    printing: Printing,
) -> None:
    """Translate the lines of a file."""
    read = files_read(printing, (path, source))
    check_apart({"--out": out, "--plot": plot})
    if out is not None:
        check_output(out, read)
    if plot is not None:
        check_png(plot, read)
    with Progress() as progress:
        model = searching(Translator.load(path), beam_width)
        sentences = _lines(source)
        progress("translating")
        with naming(short_name([source])):
            aligned = model.alignment(sentences) if alignment else []
            found = ["".join(one.target).strip() for one in aligned] or model.predict(sentences)
            drawn = [] if plot is None else aligned[:_DRAWN] or model.alignment(sentences[:_DRAWN])
        if plot is not None:
            progress(f"drawing {plot}")
            write_whole(plot, lambda part: draw_alignment(drawn, part))
    if out is not None:

        def fill(part: Path) -> None:
            part.write_text("".join(f"{one}\n" for one in found), encoding="utf-8")

        write_whole(out, fill)
    if printing.json:
        shown: list[dict[str, Any]] = [
            {"source": a, "translation": b} for a, b in zip(sentences, found, strict=True)
        ]
        for entry, its in zip(shown, aligned, strict=False):
            entry["alignment"] = {
                "source": its.source,
                "translation": its.target,
                "weights": [[round(float(w), 4) for w in line] for line in its.weights],
            }
        place = {name: str(one) for name, one in (("out", out), ("plot", plot)) if one is not None}
        print_document({"model": str(path), "translations": shown, **place, "versions": versions()})
        return
    if out is None or alignment:
        for number, one in enumerate(found):
            print(for_stdout(one))
            if alignment:
                print_lines(f"  {line}" for line in _shown(aligned[number]))


def run_score(
    path: Path, source: str, target: str, tokenize: str, beam_width: int | None, json: bool
) -> None:
    """Say how near a model's translations are to others."""
    with Progress() as progress:
        model = searching(Translator.load(path), beam_width)
        sentences, targets = _parallel(source, target)
        progress("translating")
        with naming(short_name([source])):
            found = model.predict(sentences)
        bleu = model.bleu(found, targets, tokenize=tokenize)
    if json:
        print_document(
            {
                "model": str(path),
                "file": source,
                "translations": target,
                "sentences": len(found),
                "bleu": bleu,
                "tokenize": tokenize,
                "versions": versions(),
            }
        )
        return
    print_lines(
        [f"{short_name([source])}: BLEU {bleu:.2f} over {len(found):,} sentences (sacrebleu, {tokenize})"]
    )


def _shown(alignment: Alignment) -> list[str]:
    """For each piece of a translation the piece of the source that it looks at most."""
    sources, targets = alignment.labels
    width = max(map(len, targets))
    at = alignment.weights.argmax(axis=1)
    return [
        f"{piece:<{width}}  {weights[k]:.2f}  {sources[k]}"
        for piece, weights, k in zip(targets, alignment.weights, at, strict=True)
    ]


def _parallel(source: str, target: str) -> tuple[list[str], list[str]]:
    """The lines of two files, equally many."""
    if source == target == "-":
        raise UsageError(
            "standard input holds sentences or translations, not both: name a file for one of them"
        )
    X, y = _lines(source), _lines(target)
    if len(X) != len(y):
        raise DataError(
            f"{short_name([source])} has {len(X):,} lines, {short_name([target])} has {len(y):,}: each "
            "sentence needs its translation on the same line"
        )
    return X, y


def _lines(name: str) -> list[str]:
    """A file's lines, each with a sentence."""
    short = short_name([name])
    text = decoded(short, read_bytes(name), "convert it")
    if not text.strip():
        raise DataError(f"{short} is empty")
    # Cut at nothing else, so that the lines of two files stay together.
    lines = [line.strip() for line in text.removesuffix("\n").split("\n")]
    for number, line in enumerate(lines, start=1):
        if not line:
            raise DataError(f"{short}, line {number} is empty; leave it out, in both files of a pair")
    return lines
