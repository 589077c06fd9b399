"""Categories: a column of names as numbers, for the ids of series and for covariates that are no numbers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Categories", "number_column", "number_list"]


@dataclass(frozen=True)
class Categories:
    """`codes` int64 [N] numbers each row's name in `names`, which stand in order of first appearance; -1 is
    no name.
    """

    codes: NDArray[np.int64]
    names: tuple[Hashable, ...]

    def within(self, names: Sequence[Hashable]) -> NDArray[np.int64]:
        """The codes [N] counted in other names, -1 where a name is not among them."""
        numbers = {name: number for number, name in enumerate(names)}
        own = np.array([numbers.get(name, -1) for name in self.names] + [-1], np.int64)
        return np.asarray(own[self.codes])


def number_list(listed: Sequence[Hashable] | NDArray[Any]) -> Categories:
    """Number the names of a list or array [N]. None and NaN are no names."""
    array = listed if isinstance(listed, np.ndarray) else _objects(listed)
    heads, runs = _heads(array[1:] != array[:-1], array.size)
    numbers: dict[Hashable, int] = {}
    codes = [
        -1 if name is None or name != name else numbers.setdefault(name, len(numbers))
        for name in array[heads].tolist()
    ]
    return Categories(np.repeat(np.array(codes, np.int64), runs), tuple(numbers))


def number_column(column: Any) -> Categories:
    """Number the names of a narwhals series [N]. Nulls and NaN are no names.

    Only the first row of each run of equal names is looked up, and that by the frame's own library.
    """
    import narwhals as nw

    if column.dtype in (nw.Object, nw.Unknown):
        return number_list(column.to_list())
    if column.dtype in (nw.Categorical, nw.Enum):
        column = column.cast(nw.String)
    column = column.alias("name")
    if column.dtype.is_float():
        column = column.fill_nan(None)
    changed = column != column.shift(1)
    heads, runs = _heads(changed.fill_null(True).to_numpy().astype(bool)[1:], len(column))
    first = column[heads]
    known = first.drop_nulls().unique(maintain_order=True)
    names = known.to_list()
    numbered = known.to_frame().with_row_index("number")
    joined = first.to_frame().with_row_index("row").join(numbered, on="name", how="inner")
    codes = np.full(heads.size, -1, np.int64)
    codes[joined["row"].to_numpy()] = joined["number"].to_numpy()  # a join may change the order of rows
    return Categories(np.repeat(codes, runs), tuple(names))


def _heads(changed: NDArray[np.bool_], rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of equal names begins, and how long it is."""
    first = np.zeros(min(rows, 1), np.int64)
    heads = np.concatenate([first, np.flatnonzero(changed) + 1])
    return heads, np.diff(np.append(heads, rows))


def _objects(listed: Sequence[Hashable]) -> NDArray[Any]:
    """A list as an array of objects; `np.asarray` would make text of mixed names and rows of tuples."""
    array = np.empty(len(listed), object)
    array[:] = listed
    return array
