"""What `karusel caption` does: fit a captioner, say what images show, compare captions."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from karusel.cli.caption import Captions, Learning
from karusel.cli.document import print_document, versions
from karusel.cli.files import check_apart, check_output, check_png, files_read, write_whole
from karusel.cli.options import Printing, Running
from karusel.cli.outputs import Rows, check_rows_output, write_rows
from karusel.cli.pictures import check_folder, images_in, picture_files, read_images
from karusel.cli.progress import Progress
from karusel.cli.show import print_lines, print_pairs
from karusel.cli.work import naming, short_name
from karusel.cli.writing import fit, searching
from karusel.errors import DataError, FileMissingError
from karusel.plots import draw_attention
from karusel.sources.captions import read_captions
from karusel.sources.origin import find_files
from karusel.tasks.captioner import Captioner

__all__ = ["run_run", "run_score", "run_train"]

_DRAWN = 8  # images whose attention is drawn


def run_train(
    source: Captions,
    learning: Learning,
    running: Running,
    out: Path,
    time_limit: float | None,
    printing: Printing,
) -> None:
    """Fit a captioner and write it to `out`."""
    check_output(out, files_read(printing, (*find_files([source.captions]), *picture_files(source.images))))
    started = time.perf_counter()
    model = Captioner(**asdict(learning), random_state=running.seed, n_jobs=running.threads)
    name = short_name([source.captions])
    with Progress() as progress:
        X, y = _read(source, progress)
        done = fit(model, name, out, started, progress, X, y, time_limit=time_limit)
    count = sum(map(len, y))
    rows, columns = X.shape[1:3]
    if printing.json:
        print_document(
            {
                "file": source.captions,
                "images": len(X),
                "size": [rows, columns],
                "captions": count,
                "tokens": model.tokens_.symbols - 1,
                **done.document(),
            }
        )
        return
    unit = {"words": "word", "pairs": "byte pair"}[model.unit]
    print_lines(
        [
            f"{name}: {count:,} captions of {len(X):,} images of {rows} x {columns} pixels; "
            f"{model.tokens_.symbols - 1:,} {unit}s, {done.weights:,} weights",
            done.line(unit),
            f"{out} holds the model; karusel caption run {out} FOLDER says what images show",
        ]
    )


def run_run(
    path: Path, images: Path, out: str | None, plot: Path | None, beam_width: int | None, printing: Printing
) -> None:
    """Say what an image, or each of a folder, shows."""
    paths = images_in(images) if images.is_dir() else [images]
    read = files_read(printing, (path, *paths))
    check_apart({"--out": out, "--plot": plot})
    if out is not None:
        check_rows_output(out, read, [])
    if plot is not None:
        check_png(plot, read)
    with Progress() as progress:
        progress(f"reading {images.name}")
        model = searching(Captioner.load(path), beam_width)
        X = read_images(paths)
        progress("looking")
        with naming(images.name):
            found = model.predict(X)
            looks = [] if plot is None else model.attention(X[:_DRAWN])
        names = [one.name for one in paths]
        if out is not None:
            progress(f"writing {out}")
            write_rows(out, Rows({"image": np.array(names), "caption": np.array(found)}, ""))
        if plot is not None:
            progress(f"drawing {plot}")
            write_whole(plot, lambda part: draw_attention(X[:_DRAWN], looks, part))
    if printing.json:
        shown: list[dict[str, Any]] = [
            {"image": name, "caption": one} for name, one in zip(names, found, strict=True)
        ]
        written = {"out": out, "plot": None if plot is None else str(plot)}
        print_document({"model": str(path), "captions": shown, **written, "versions": versions()})
        return
    if out is not None:
        print_lines([f"{out} holds the captions of {len(found):,} images"])
        return
    print_pairs(zip(names, found, strict=True))


def run_score(path: Path, source: Captions, tokenize: str, beam_width: int | None, json: bool) -> None:
    """Say how near a model's captions are to others."""
    with Progress() as progress:
        model = searching(Captioner.load(path), beam_width)
        X, y = _read(source, progress)
        progress("looking")
        with naming(short_name([source.captions])):
            found = model.predict(X)
        scores = {order: model.bleu(found, y, tokenize=tokenize, order=order) for order in (1, 2, 3, 4)}
    if json:
        print_document(
            {
                "model": str(path),
                "file": source.captions,
                "images": len(X),
                "captions": sum(map(len, y)),
                **{f"bleu_{order}": one for order, one in scores.items()},
                "tokenize": tokenize,
                "versions": versions(),
            }
        )
        return
    listed = ", ".join(f"BLEU-{order} {one:.2f}" for order, one in scores.items())
    print_lines(
        [
            f"{short_name([source.captions])}: {listed} over {len(X):,} images with {sum(map(len, y)):,} "
            f"captions (sacrebleu, {tokenize})"
        ]
    )


def _read(source: Captions, progress: Progress) -> tuple[Any, list[list[str]]]:
    """Images, and the captions of each."""
    folder, name = source.images, short_name([source.captions])
    check_folder(folder)
    progress(f"reading {name}")
    listed = read_captions([source.captions], source.image_col, source.caption_col)
    if not listed:
        raise DataError(f"{name} has no rows; give a caption and its image on each")
    for image, (place, _) in listed.items():
        if not (folder / image).is_file():
            raise FileMissingError(f"{place}: {folder} has no file {image!r}; correct the name or remove it")
    progress(f"reading {len(listed):,} images")
    return read_images([folder / image for image in listed]), [its for _, its in listed.values()]
