"""Labelled rows: texts or series with their labels, from the sources that forecasts are read from.

A table of texts has a row for each text. A table of series has a row for each step, with a column that tells
the series apart, and columns of numbers; its rows stand in the order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.sources.cells import Cells, Column
from karusel.sources.origin import Origin, open_origin
from karusel.sources.reading import open_duckdb, refuse_unknown

__all__ = ["Labelled", "read_labelled"]

_LABEL_NAMES = ("label", "labels", "class", "category", "target", "tag", "y")
_TEXT_NAMES = ("text", "sentence", "word", "token", "title", "review")
_ID_NAME = "unique_id"


@dataclass(frozen=True)
class Labelled:
    """The columns in use of one source.

    `texts` [N] or `values` float64 [N, C], which of them is None; `ids` [N] the number of each row's example,
    in order of first appearance, and `names` those of the examples; `labels` [N], None where the source has
    none.
    """

    origin: Origin
    texts: list[str] | None
    values: NDArray[np.float64] | None
    ids: NDArray[np.int64]
    names: list[str]
    labels: NDArray[np.str_] | None
    text_col: str | None
    value_cols: tuple[str, ...]
    id_col: str | None
    label_col: str | None

    def place(self, row: int) -> str:
        """Where a row stands."""
        return f"{self.origin.name}, {self.origin.place(row)}"

    def grouped(self, column: Sequence[Any] | NDArray[Any]) -> list[Any]:
        """What a column [N] holds for each example, in the order of the rows."""
        order = np.argsort(self.ids, kind="stable")
        ends = np.cumsum(np.bincount(self.ids, minlength=len(self.names)))[:-1]
        if isinstance(column, np.ndarray):
            return np.split(column[order], ends)
        return [[column[row] for row in rows] for rows in np.split(order, ends)]


def read_labelled(
    source: Sequence[str],
    *,
    sql: str | None = None,
    text_col: str | None = None,
    value_cols: Sequence[str] = (),
    id_col: str | None = None,
    label_col: str | None = None,
    labels: bool,
) -> Labelled:
    """Read the columns for labels from a source, as `read_table` names them.

    Without overrides: the label column is called `label`, `class`, `category`, `target`, `tag` or `y`, or
    else is the last one that is not called as texts are; the id column is called `unique_id`; the text column
    is called `text` or the like, or else is the first whose cells are no numbers, where no `value_cols` are
    named. Without one the values are all other columns of numbers. labels: whether there must be some; a
    source of other data to label may have none.

    Raises `FileMissingError`, `UsageError` for an override that names no column, and `DataError` for the
    rest: an empty text, a missing number, a row without a label.
    """
    with open_duckdb(", ".join(map(str, source)) or "--sql", sql) as (connection, folder):
        cells = Cells(connection, open_origin(connection, list(source), sql, folder))
        return _choose(cells, text_col, tuple(value_cols), id_col, label_col, labels)


def _choose(
    cells: Cells,
    text_col: str | None,
    value_cols: tuple[str, ...],
    id_col: str | None,
    label_col: str | None,
    labels: bool,
) -> Labelled:
    origin = cells.origin
    if text_col is not None and value_cols:
        raise UsageError("--text-col and --value-col are both given; label texts or numbers")
    if id_col is None and _ID_NAME in origin.columns:
        id_col = _ID_NAME
    named = [(text_col, "text"), (id_col, "id"), (label_col, "label")]
    roles = [(name, role) for name, role in named if name is not None]
    refuse_unknown([*roles, *((name, "value") for name in value_cols)], origin.name, origin.columns)
    taken = {name for name, _ in roles} | set(value_cols)
    free = [name for name in origin.columns if name not in taken]
    if label_col is None and (labels or _called(free, _LABEL_NAMES)):
        label_col = _called(free, _LABEL_NAMES)
        if label_col is None:
            texts = () if text_col or value_cols else _TEXT_NAMES  # what is called so is what is labelled
            others = [name for name in free if name.lower() not in texts]
            if not others:
                raise DataError(
                    f"{origin.name} has no column of labels beside {', '.join(origin.columns)}; add one, or "
                    "name it with --label-col"
                )
            label_col = others[-1]
        free.remove(label_col)
    columns = {column.name: column for column in cells.look(range(len(origin.columns)))}
    if text_col is None and not value_cols:
        words = [name for name in free if not columns[name].is_numbers]
        text_col = _called(words, _TEXT_NAMES) or (words[0] if words and id_col is None else None)
        value_cols = () if text_col else tuple(name for name in free if columns[name].is_numbers)
        if not text_col and not value_cols:
            raise DataError(
                f"{origin.name} has no column of texts or numbers beside "
                f"{', '.join(name for name in (id_col, label_col) if name)}; it needs one"
            )
    rows = cells.rows
    ids, names = np.arange(rows), [str(row + 1) for row in range(rows)]
    if id_col is not None:
        found = cells.names(columns[id_col])
        if (found.codes < 0).any():
            raise DataError(
                f"{_place(cells, columns[id_col], found.codes < 0)} is empty; every row needs its id"
            )
        ids, names = found.codes, [str(name) for name in found.names]
    elif text_col is None:
        raise UsageError(
            f"{origin.name} holds numbers, and no column tells its series apart; name it with --id-col"
        )
    return Labelled(
        origin,
        None if text_col is None else _texts(cells, columns[text_col]),
        None if text_col is not None else _values(cells, [columns[name] for name in value_cols]),
        ids,
        names,
        None if label_col is None else _labels(cells, columns[label_col], labels),
        text_col,
        value_cols,
        id_col,
        label_col,
    )


def _called(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of some names that is called as wanted."""
    return next((name for one in wanted for name in names if name.lower() == one), None)


def _texts(cells: Cells, column: Column) -> list[str]:
    texts = cells.texts(column)
    empty = np.array([not text.strip() for text in texts])
    if empty.any():
        raise DataError(f"{_place(cells, column, empty)} is empty; give a text or remove the row")
    return texts


def _values(cells: Cells, columns: list[Column]) -> NDArray[np.float64]:
    values = cells.numbers(columns)
    for column, numbers in zip(columns, values.T, strict=True):
        if not (finite := np.isfinite(numbers)).all():
            raise DataError(f"{_place(cells, column, ~finite)} holds no finite number; give one")
    return values


def _labels(cells: Cells, column: Column, needed: bool) -> NDArray[np.str_] | None:
    found = cells.names(column)
    missing = found.codes < 0
    if missing.any():
        if needed:
            raise DataError(
                f"{_place(cells, column, missing)}: the label is missing; give it or remove the row"
            )
        return None
    return np.array([str(name) for name in found.names])[found.codes]


def _place(cells: Cells, column: Column, which: NDArray[np.bool_]) -> str:
    """Where the first of some rows stands."""
    return cells.place(column, int(np.argmax(which)))
