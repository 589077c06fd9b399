"""`karusel classify train|run|score`: labels of whole texts, series, images and videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from karusel.cli.document import print_document, versions
from karusel.cli.files import check_output, files_read
from karusel.cli.labels import Learning, Source
from karusel.cli.options import Printing, Running
from karusel.cli.outputs import Rows, check_rows_output, write_rows
from karusel.cli.pictures import is_video, pictures_in, read_pictures
from karusel.cli.progress import Progress
from karusel.cli.show import print_lines
from karusel.cli.tasks import (
    Examples,
    by_label,
    check_kind,
    like_classes,
    picture_folder,
    read_examples,
    settings_of,
    shares,
    sources_of,
    told_by_label,
    train,
)
from karusel.cli.work import naming, short_name
from karusel.errors import DataError
from karusel.names import shortened
from karusel.tasks.classifier import Classifier
from karusel.tasks.sequences import Videos

__all__ = ["run_run", "run_score", "run_train"]

_SHOWN = 20  # examples that are printed
_WIDTH = 60  # of what is shown of a text


def run_train(
    source: Source,
    learning: Learning,
    running: Running,
    out: Path,
    sweep: str,
    shift: int,
    printing: Printing,
) -> None:
    """Fit a classifier and write it to `out`."""
    check_output(out, files_read(printing, sources_of(source)))
    with Progress() as progress:
        examples = _read(source, progress, labels=True)
        model = Classifier(**settings_of(examples, learning, running, sweep=sweep, shift=shift))
        done = train(model, examples, source, learning, progress, out)
    held_out = model.held_out_
    if printing.json:
        print_document(done)
        return
    print_lines(
        [
            examples.found,
            f"  {shares(examples.y)}",
            f"Trained {done['epochs']} epochs in {done['seconds']:.1f} s; of {held_out.count:,} examples "
            f"held out {100 * held_out.accuracy:.1f} % get their label",
            f"{out} holds the model; karusel classify run {out} FILES labels others",
        ]
    )


def run_run(path: Path, source: Source, out: str | None, printing: Printing) -> None:
    """Label examples with a model."""
    if out is not None:
        check_rows_output(out, files_read(printing, (path, *sources_of(source))), source.source or [])
    with Progress() as progress:
        progress(f"reading {path.name}")
        model = Classifier.load(path)
        examples = _read(source, progress, labels=False, kind=model.reader_.kind)
        progress("labelling")
        with naming(short_name(source.source or [])):
            check_kind(model, examples)
            probability = model.predict_proba(examples.X)
        labels = model.classes_[probability.argmax(axis=1)]
        rows = Rows(
            {
                "example": np.array(examples.names),
                "label": labels,
                "probability": probability.max(axis=1),
                **{f"p_{one}": probability[:, k] for k, one in enumerate(model.classes_.tolist())},
            },
            "",
        )
        if out is not None:
            progress(f"writing {out}")
            write_rows(out, rows)
    if printing.json:
        print_document(
            {
                "model": str(path),
                "found": examples.found,
                "labels": list(rows.records()),
                "out": out,
                "versions": versions(),
            }
        )
        return
    print_lines([examples.found, *_listed(examples, labels, probability.max(axis=1))])


def _listed(examples: Examples, labels: Any, probability: Any) -> Iterator[str]:
    shown = examples.X if examples.kind == "texts" else examples.names
    width = max(len(str(label)) for label in labels[:_SHOWN])
    for number in range(min(len(examples), _SHOWN)):
        words = shortened(" ".join(str(shown[number]).split()), _WIDTH)
        yield f"{labels[number]!s:<{width}}  {100 * probability[number]:5.1f} %  {words}"
    if len(examples) > _SHOWN:
        yield f"... and {len(examples) - _SHOWN:,} more; --out FILE writes all"


def run_score(path: Path, source: Source, json: bool) -> None:
    """Compare the labels of a model with the right ones."""
    with Progress() as progress:
        progress(f"reading {path.name}")
        model = Classifier.load(path)
        examples = _read(source, progress, labels=True)
        progress("labelling")
        with naming(short_name(source.source or [])):
            check_kind(model, examples)
            truth = like_classes(examples.y, model.classes_)
            found = model.predict(examples.X)
            accuracy = model.compare(found, truth)
    rows = by_label(truth, found)
    majority = max(row["count"] for row in rows) / len(examples)
    if json:
        print_document(
            {
                "model": str(path),
                "found": examples.found,
                "examples": len(examples),
                "accuracy": accuracy,
                "majority": majority,
                "labels": rows,
                "versions": versions(),
            }
        )
        return
    print_lines(
        [
            examples.found,
            f"{100 * accuracy:.2f} % get their label; the most frequent label alone would be right in "
            f"{100 * majority:.2f} %",
            *told_by_label(rows),
        ]
    )


def _read(
    source: Source, progress: Callable[[str], None], *, labels: bool, kind: str | None = None
) -> Examples:
    """Examples of a table or of a folder of pictures; `kind` is what a model without labels reads."""
    folder = picture_folder(source)
    if folder is None:
        return read_examples(source, progress, labels=labels, per_step=False)
    progress(f"reading {folder}")
    parts = sorted(path for path in folder.iterdir() if path.is_dir())
    if parts and kind == Videos.kind and all(map(is_video, parts)):  # folders of frames, not of a label
        parts = []
    if not parts and labels:
        raise DataError(
            f"{folder} has no folders; put the images or videos of each label into a folder of its name"
        )
    paths = [path for part in parts or [folder] for path in pictures_in(part)]
    found_kind, pictures = read_pictures(paths)
    *frames, rows, columns = pictures.shape[1 : 4 if found_kind == Videos.kind else 3]
    found = f"{folder}: {len(paths):,} {found_kind} of "
    found += "".join(f"{count} frames of " for count in frames) + f"{rows} x {columns} pixels"
    if not parts:
        return Examples(found_kind, pictures, None, [path.name for path in paths], found)
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    found += f" in {len(parts)} folders"
    return Examples(found_kind, pictures, np.array([path.parent.name for path in paths]), names, found)
