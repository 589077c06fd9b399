"""`karusel label train|run|score`: labels of every word, step or pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.cli.document import print_document, versions
from karusel.cli.files import check_output, files_read
from karusel.cli.labels import Learning, Source
from karusel.cli.options import Printing, Running
from karusel.cli.outputs import Rows, check_rows_output, write_rows
from karusel.cli.pictures import check_folder, images_in, picture_files, read_images, write_masks
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
from karusel.errors import DataError, FileMissingError, UsageError
from karusel.names import shortlist
from karusel.tasks.labeller import Labeller

__all__ = ["run_run", "run_score", "run_train"]

_SHOWN = 5  # examples that are printed
_SPELLS = 12  # labels in a row, alike ones together, that are printed of each


def run_train(
    source: Source,
    learning: Learning,
    running: Running,
    out: Path,
    masks: Path | None,
    direction: str,
    printing: Printing,
) -> None:
    """Fit a labeller and write it to `out`."""
    check_output(out, files_read(printing, (*sources_of(source), *(picture_files(masks) if masks else ()))))
    with Progress() as progress:
        examples = _read(source, masks, progress, labels=True)
        model = Labeller(**settings_of(examples, learning, running, direction=direction))
        done = train(model, examples, source, learning, progress, out)
    held_out = model.held_out_
    if printing.json:
        print_document(done)
        return
    print_lines(
        [
            examples.found,
            f"  {shares(_flat(examples.y))}",
            f"Trained {done['epochs']} epochs in {done['seconds']:.1f} s; in {held_out.count:,} examples "
            f"held out {100 * held_out.accuracy:.1f} % of the {_steps(examples)} get their label",
            f"{out} holds the model; karusel label run {out} FILES labels others",
        ]
    )


def run_run(path: Path, source: Source, out: str | None, printing: Printing) -> None:
    """Label the steps of examples with a model."""
    folder = picture_folder(source)
    if folder is not None and out is not None:
        if Path(out).resolve() == folder.resolve():
            raise UsageError(f"{out} is the folder that is read; give another one for the labels")
        if not Path(out).is_dir():
            raise FileMissingError(f"the folder {out} does not exist; make it first")
    elif out is not None:
        check_rows_output(out, files_read(printing, (path, *sources_of(source))), source.source or [])
    with Progress() as progress:
        progress(f"reading {path.name}")
        model = Labeller.load(path)
        examples = _read(source, None, progress, labels=False)
        progress("labelling")
        with naming(short_name(source.source or [])):
            check_kind(model, examples)
            probabilities = model.predict_proba(examples.X)
        labels = [model.classes_[one.argmax(axis=-1)] for one in probabilities]
        if out is not None:
            progress(f"writing {out}")
            if examples.kind == "images":
                write_masks(Path(out), examples.names, labels)
            else:
                write_rows(out, _rows(examples, labels, probabilities))
    if printing.json:
        listed: Any
        if examples.kind == "images":
            pairs = zip(examples.names, labels, strict=True)
            listed = [{"example": name, "shares": _shares_of(one)} for name, one in pairs]
        else:
            listed = list(_rows(examples, labels, probabilities).records())
        print_document(
            {
                "model": str(path),
                "found": examples.found,
                "labels": listed,
                "out": out,
                "versions": versions(),
            }
        )
        return
    print_lines([examples.found, *_listed(examples, labels)])


def _rows(examples: Examples, labels: list[NDArray[Any]], probabilities: Any) -> Rows:
    lengths = [len(one) for one in labels]
    return Rows(
        {
            "example": np.repeat(np.array(examples.names), lengths),
            "step": np.concatenate([np.arange(length) for length in lengths]),
            "label": np.concatenate(labels),
            "probability": np.concatenate([one.max(axis=1) for one in probabilities]),
        },
        "",
    )


def _shares_of(labels: NDArray[Any]) -> dict[str, float]:
    different, counts = np.unique(labels, return_counts=True)
    return {str(one): count / labels.size for one, count in zip(different.tolist(), counts, strict=True)}


def _listed(examples: Examples, labels: list[NDArray[Any]]) -> Iterator[str]:
    for number in range(min(len(examples), _SHOWN)):
        one = labels[number]
        if examples.kind == "images":
            words = shares(one)
        elif examples.kind == "texts":
            pairs = zip(examples.X[number], one, strict=True)
            words = " ".join(f"{word}/{label}" for word, label in pairs)
        else:
            starts = np.flatnonzero(np.append(True, one[1:] != one[:-1]))
            words = shortlist([f"{one[start]} from {start}" for start in starts], _SPELLS)
        yield f"{examples.names[number]}: {words}"
    if len(examples) > _SHOWN:
        yield f"... and {len(examples) - _SHOWN:,} more; --out writes all"


def run_score(path: Path, source: Source, masks: Path | None, json: bool) -> None:
    """Compare the labels of a model with the right ones."""
    with Progress() as progress:
        progress(f"reading {path.name}")
        model = Labeller.load(path)
        examples = _read(source, masks, progress, labels=True)
        progress("labelling")
        with naming(short_name(source.source or [])):
            check_kind(model, examples)
            truth = [like_classes(one, model.classes_) for one in examples.y]
            found = model.predict(examples.X)
            accuracy = model.compare(found, truth)
    rows = by_label(_flat(truth), _flat(found))
    mean_iou = float(np.mean([row["iou"] for row in rows]))
    if json:
        print_document(
            {
                "model": str(path),
                "found": examples.found,
                "examples": len(examples),
                "accuracy": accuracy,
                "mean_iou": mean_iou,
                "labels": rows,
                "versions": versions(),
            }
        )
        return
    print_lines(
        [
            examples.found,
            f"{100 * accuracy:.2f} % of the {_steps(examples)} get their label; mean IoU {mean_iou:.3f}",
            *told_by_label(rows),
        ]
    )


def _read(source: Source, masks: Path | None, progress: Callable[[str], None], *, labels: bool) -> Examples:
    folder = picture_folder(source)
    if folder is None:
        if masks is not None:
            raise UsageError("--masks belongs to a folder of images; tables have a column of labels")
        return read_examples(source, progress, labels=labels, per_step=True)
    if labels and masks is None:
        raise UsageError(f"{folder} is a folder of images; --masks FOLDER says where their labels are")
    progress(f"reading {folder}")
    paths = list(_by_stem(folder).values())
    images, y = read_images(paths), None
    if masks is not None:
        check_folder(masks)
        by_name = _by_stem(masks)
        lost = next((path for path in paths if path.stem not in by_name), None)
        if lost is not None:
            raise DataError(
                f"{masks} has no image called {lost.stem}, as {lost} is; every image needs its labels"
            )
        y = read_images([by_name[path.stem] for path in paths], masks=True)
    size = " x ".join(map(str, images.shape[1:3]))
    found = f"{folder}: {len(paths):,} images of {size} pixels" + (f", labels in {masks}" if masks else "")
    return Examples("images", images, y, [path.stem for path in paths], found)


def _by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without endings, which they share with their labels."""
    found: dict[str, Path] = {}
    for path in images_in(folder):
        if path.stem in found:
            raise DataError(
                f"{folder} holds {found[path.stem].name} and {path.name}; images and their "
                "labels go together by the name before the ending: rename one"
            )
        found[path.stem] = path
    return found


def _flat(labels: Any) -> NDArray[Any]:
    return np.concatenate([np.asarray(one).ravel() for one in labels])


def _steps(examples: Examples) -> str:
    return {"images": "pixels", "series": "steps", "texts": "words"}[examples.kind]
