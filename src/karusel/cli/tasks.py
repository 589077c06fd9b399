"""What `classify` and `label` do alike: reading labelled examples, telling of epochs, scores by label."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.cli.document import versions
from karusel.cli.files import table_files
from karusel.cli.labels import Learning, Source
from karusel.cli.options import Running
from karusel.cli.pictures import picture_files
from karusel.cli.progress import Progress
from karusel.cli.work import naming, short_name
from karusel.errors import DataError, UsageError
from karusel.sources.labelled import Labelled, read_labelled
from karusel.sources.origin import STDIN
from karusel.tasks.classifier import Classifier
from karusel.tasks.labeller import Labeller

__all__ = [
    "Examples",
    "by_label",
    "check_kind",
    "like_classes",
    "picture_folder",
    "read_examples",
    "settings_of",
    "shares",
    "sources_of",
    "told_by_label",
    "train",
]

_SHOWN = 12  # labels that are listed
# Settings that do nothing for examples of other kinds: their defaults, and the kinds that they are of.
_OF_KINDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "unit": ("words", ("texts",)),
    "patch": (4, ("images", "videos")),
    "sweep": ("patches", ("images", "videos")),
    "shift": (0, ("images", "videos")),
    "direction": ("bidirectional", ("series", "texts")),
}


@dataclass(frozen=True)
class Examples:
    """Examples of one source, with their labels where it has any.

    `names` are what results call them; `table` is what they were read from, None for pictures. `found` says
    in words what was found.
    """

    kind: str
    X: Any
    y: Any
    names: list[str]
    found: str
    table: Labelled | None = None

    def __len__(self) -> int:
        return len(self.names)


def read_examples(
    source: Source, progress: Callable[[str], None], *, labels: bool, per_step: bool
) -> Examples:
    """The examples of a table: texts by row, or series and texts in words by id.

    per_step: whether each step has a label of its own, or each example one.
    """
    given = source.source or []
    name = short_name(given)
    progress(f"reading {name}")
    table = read_labelled(
        given,
        sql=source.sql,
        text_col=source.text_col,
        value_cols=source.value_col or (),
        id_col=source.id_col,
        label_col=source.label_col,
        labels=labels,
    )
    if table.texts is not None and not per_step:
        X: Any = table.texts
        y: Any = table.labels
        names = table.names if len(table.names) == len(X) else [str(row + 1) for row in range(len(X))]
        found = f'{len(X):,} texts in "{table.text_col}"'
        return Examples("texts", X, y, names, f"{name}: {found}{_of_labels(table)}", table)
    if table.id_col is None:
        raise UsageError(f"{name}: no column tells which words make one text; name it with --id-col")
    if table.texts is not None:
        kind, X = "texts", table.grouped(table.texts)
        found = f'{len(X):,} texts, {len(table.ids):,} words in "{table.text_col}"'
    else:
        assert table.values is not None
        kind, X = "series", table.grouped(table.values)
        columns = ", ".join(f'"{one}"' for one in table.value_cols[:4])
        more = len(table.value_cols) - 4
        columns += f" and {more} more" if more > 0 else ""
        found = f"{len(X):,} series, {len(table.ids):,} steps of {columns}"
    y = None if table.labels is None else table.grouped(table.labels)
    if y is not None and not per_step:
        y = np.array([_one_label(table, number, labels) for number, labels in enumerate(y)])
    return Examples(kind, X, y, table.names, f"{name}: {found}{_of_labels(table)}", table)


def _of_labels(table: Labelled) -> str:
    return "" if table.labels is None else f', labels in "{table.label_col}"'


def _one_label(table: Labelled, number: int, labels: NDArray[np.str_]) -> str:
    different = np.unique(labels)
    if len(different) > 1:
        raise DataError(
            f'{table.origin.name}: series "{table.names[number]}" has the labels {str(different[0])!r} and '
            f"{str(different[1])!r}; each series needs one, or label its steps with karusel label"
        )
    return str(different[0])


def picture_folder(source: Source) -> Path | None:
    """The folder of pictures that a command names, None where it names something else."""
    given = source.source or []
    if len(given) != 1 or given[0] == STDIN or not Path(given[0]).is_dir():
        return None
    for option in ("sql", "text_col", "value_col", "id_col", "label_col"):
        if getattr(source, option):
            raise UsageError(f"--{option.replace('_', '-')} belongs to tables, and {given[0]} is a folder")
    return Path(given[0])


def sources_of(source: Source) -> tuple[Path, ...]:
    """The files that examples come from: of a folder its pictures."""
    folder = picture_folder(source)
    if folder is None:
        return table_files(source)
    return picture_files(folder)


def settings_of(examples: Examples, learning: Learning, running: Running, **others: Any) -> dict[str, Any]:
    """What a classifier and a labeller are made with; `others` are settings of one of them.

    Raises `UsageError` for one that does nothing for examples of their kind.
    """
    for name, (usual, kinds) in _OF_KINDS.items():
        if {**vars(learning), **others}.get(name, usual) != usual and examples.kind not in kinds:
            raise UsageError(f"--{name} is of {kinds[0]}, and these are {examples.kind}; leave it out")
    names = ("unit", "patch", "hidden_size", "num_layers", "dropout", "epochs", "batch_size")
    return {
        "kind": examples.kind,
        **{name: getattr(learning, name) for name in (*names, "learning_rate", "class_weight")},
        **others,
        "random_state": running.seed,
        "n_jobs": running.threads,
    }


def train(
    model: Classifier | Labeller,
    examples: Examples,
    source: Source,
    learning: Learning,
    progress: Progress,
    out: Path,
) -> dict[str, Any]:
    """Fits a model to examples and writes it to `out`; returns the document that says so."""
    start = time.perf_counter()
    with naming(short_name(source.source or [])):
        model.fit(
            examples.X,
            examples.y,
            time_limit=learning.time_limit,
            progress=_epochs_told(progress, learning.epochs),
        )
    seconds = time.perf_counter() - start
    progress(f"writing {out}")
    model.save(out)
    return {
        "found": examples.found,
        "kind": examples.kind,
        "examples": len(examples),
        "classes": model.classes_.tolist(),
        "held_out": {"examples": model.held_out_.count, "accuracy": model.held_out_.accuracy},
        "epochs": len(model.history_["loss"]),
        "out": str(out),
        "seconds": round(seconds, 3),
        "versions": versions(),
    }


def check_kind(model: Classifier | Labeller, examples: Examples) -> None:
    """Raise `DataError` for examples of another kind than a model labels."""
    kind = model.reader_.kind
    if kind != examples.kind:
        raise DataError(f"it holds {examples.kind}, but the model labels {kind}")


def _epochs_told(progress: Progress, epochs: int) -> Callable[[int, dict[str, float]], None]:
    """Tells of each epoch of a fit."""
    progress(f"epoch 1/{epochs}")

    def tell(epoch: int, logs: dict[str, float]) -> None:
        if epoch + 1 < epochs:
            progress(f"epoch {epoch + 2}/{epochs}, held-out loss {logs['val_loss']:.3f}")

    return tell


def like_classes(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """Labels of a table, which are texts, or of images as a model knows them: whole numbers where its are."""
    if classes.dtype.kind == "U":
        return labels.astype(str)
    if labels.dtype.kind != "U":
        return labels
    different, which = np.unique(labels, return_inverse=True)
    yes_or_no = classes.dtype.kind == "b"
    return np.array([_number_of(str(label), yes_or_no=yes_or_no) for label in different])[which]


def _number_of(label: str, *, yes_or_no: bool) -> int:
    """A label of a table as a whole number, or as true or false."""
    if yes_or_no and label.lower() in ("true", "false"):
        return label.lower() == "true"
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if not number.is_integer() or abs(number) >= 2**63:
        kind = "True or False" if yes_or_no else "whole numbers"
        raise DataError(f"a label is {label!r}, but they were {kind} when fitted; correct it")
    return int(number)


def shares(labels: NDArray[Any]) -> str:
    """How often each label is there, in words."""
    different, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    words = [f"{different[k]} {100 * counts[k] / labels.size:.1f} %" for k in order[:_SHOWN]]
    more = f", and {len(order) - _SHOWN} more" if len(order) > _SHOWN else ""
    return f"{len(different)} labels: {', '.join(words)}{more}"


def by_label(truth: NDArray[Any], found: NDArray[Any]) -> list[dict[str, Any]]:
    """For each label: how many have it, how many of them are found, how many of those found have it; IoU."""
    rows = []
    for label in np.unique(np.concatenate([truth, found])):
        there, said = truth == label, found == label
        both = int((there & said).sum())
        rows.append(
            {
                "label": label.item(),
                "count": int(there.sum()),
                "recall": both / there.sum() if there.any() else None,
                "precision": both / said.sum() if said.any() else None,
                "iou": both / (there | said).sum(),
            }
        )
    return rows


def told_by_label(rows: list[dict[str, Any]]) -> Iterator[str]:
    """`by_label` as a table."""
    width = max(len("label"), *(len(str(row["label"])) for row in rows))
    yield f"{'label':<{width}} {'count':>10} {'found':>8} {'right':>8} {'IoU':>6}"
    for row in rows:
        recall, precision = (
            "-" if row[name] is None else f"{100 * row[name]:.1f} %" for name in ("recall", "precision")
        )
        yield f"{row['label']!s:<{width}} {row['count']:>10,} {recall:>8} {precision:>8} {row['iou']:>6.3f}"
