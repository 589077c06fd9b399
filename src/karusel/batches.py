"""Examples: the arrays that feed a program, checked once, here; executors take them as they are.

An example is one row of a batch: a sequence with its target. Streams say where each example lies in
flat storage, so windows that overlap, ragged rows and padded arrays all cost no copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError

__all__ = [
    "Examples",
    "Rows",
    "Stream",
    "check_finite",
    "check_range",
    "line_weights",
    "read_rows",
    "read_sequences",
]

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """One array that feeds a buffer, or is filled from one.

    The line of example e at step t is values[starts[e] + t * stride :][:width]; buffers with one line
    per row use t = 0.
    """

    values: NDArray[Any]
    starts: Index
    stride: int

    def lines(self, examples: Index, width: int, t: int = 0) -> NDArray[Any]:
        """The lines of some examples at one step, copied."""
        first = self.starts[examples] + t * self.stride
        return np.asarray(self.values[first[:, None] + np.arange(width)])


@dataclass(frozen=True)
class Examples:
    """Examples by number: their lengths, their inputs by role, and outputs to fill by role."""

    lengths: Index
    inputs: dict[str, Stream] = field(default_factory=dict)
    outputs: dict[str, Stream] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def max_steps(self) -> int:
        return int(self.lengths.max())


@dataclass(frozen=True)
class Rows:
    """Sequences as a caller gave them, in flat storage.

    kind: "array" (all of one length), "padded" (an array with lengths) or "list".
    """

    values: NDArray[Any]
    starts: Index
    width: int
    lengths: Index
    kind: str
    padded_steps: int

    def __len__(self) -> int:
        return len(self.lengths)

    def stream(self) -> Stream:
        return Stream(self.values, self.starts, self.width)

    def numbers_used(self) -> Index:
        """For every line of the storage that belongs to a row: row and step, as two columns."""
        row = np.repeat(np.arange(len(self)), self.lengths)
        first = np.cumsum(self.lengths) - self.lengths
        return np.stack([row, np.arange(len(row)) - np.repeat(first, self.lengths)], axis=1)


def read_sequences(
    data: Any, lengths: Any, *, what: str, dtype: Any, width: int | None, lines_of: Rows | None = None
) -> Rows:
    """Sequences from an array [n, T, W] or [n, T], one with lengths, or a list of [T_k, W] or [T_k].

    dtype: what the executor computes in; integers are checked to be whole.
    width: W if it is known.
    lines_of: rows whose lengths these must share, line for line.
    """
    if isinstance(data, (list, tuple)) and not _is_rectangular(data):
        if lengths is not None:
            raise DataError(f"{what} is a list of sequences: lengths are known from it, leave lengths= out")
        rows = _read_list(data, what, dtype)
    else:
        rows = _read_array(data, lengths, what, dtype, lines_of)
    if width is not None and rows.width != width:
        raise DataError(f"{what}: {width} numbers per step are expected, got {rows.width}")
    if lines_of is not None:
        _check_same_lines(rows, lines_of, what)
    return rows


def read_rows(data: Any, *, what: str, dtype: Any, width: int | None, n: int | None) -> Rows:
    """One line per example from an array [n, W] or [n]."""
    array = read_numbers(data, what, dtype)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(f"{what} must have shape [rows, numbers] or [rows], got {list(array.shape)}")
    if n is not None and len(array) != n:
        raise DataError(f"{what} has {len(array):,} rows, X has {n:,}: they must be equally many")
    if width is not None and array.shape[1] != width:
        raise DataError(f"{what}: {width} numbers per row are expected, got {array.shape[1]}")
    if array.size == 0:
        raise DataError(f"{what} is empty: shape {list(array.shape)}")
    rows = len(array)
    starts = np.arange(rows, dtype=np.int64) * array.shape[1]
    return Rows(array.reshape(-1), starts, array.shape[1], np.ones(rows, np.int64), "array", 1)


def _is_rectangular(data: Sequence[Any]) -> bool:
    """Whether a list is an array written as nested lists, rather than sequences of several lengths."""
    if len(data) == 0:
        return True
    if all(isinstance(row, np.ndarray) for row in data):
        return False
    lengths = {len(row) if isinstance(row, (list, tuple, np.ndarray)) else -1 for row in data}
    return len(lengths) == 1


def read_numbers(data: Any, what: str, dtype: Any, where: str = "") -> NDArray[Any]:
    """A C-contiguous array of the executor's type; refuses what is no number or not whole."""
    try:
        array = np.asarray(data)
        if array.dtype == object or array.dtype.kind not in "fiub":
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{what}{where} must hold numbers only, in rows of one length") from None
    wanted = np.dtype(dtype)
    if wanted.kind == "i" and array.dtype.kind == "f" and not (np.isfinite(array) & (array % 1 == 0)).all():
        raise DataError(f"{what}{where} must hold whole numbers (indices or class numbers)")
    if wanted.kind == "i" and array.size and array.dtype.itemsize > wanted.itemsize:
        limits = np.iinfo(wanted)
        if array.min() < limits.min or array.max() > limits.max:
            raise DataError(f"{what}{where} holds indices beyond {limits.max:,}")
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite and are named as such
        return np.ascontiguousarray(array, dtype=wanted)


def _read_array(data: Any, lengths: Any, what: str, dtype: Any, lines_of: Rows | None) -> Rows:
    array = read_numbers(data, what, dtype)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise DataError(
            f"{what} must have shape [rows, steps, numbers] or [rows, steps], got {list(array.shape)}"
        )
    n, steps, width = array.shape
    if array.size == 0:
        raise DataError(f"{what} is empty: shape {[n, steps, width]}")
    kind = "array" if lengths is None else "padded"
    if lengths is None and lines_of is not None and lines_of.kind == "padded":
        counts, kind = lines_of.lengths, "padded"
    else:
        counts = _lengths(lengths, n, steps, what)
    starts = np.arange(n, dtype=np.int64) * (steps * width)
    return Rows(array.reshape(-1), starts, width, counts, kind, steps)


def _lengths(lengths: Any, n: int, steps: int, what: str) -> Index:
    if lengths is None:
        return np.full(n, steps, dtype=np.int64)
    counts = read_numbers(lengths, "lengths", np.int64)
    if counts.shape != (n,):
        raise DataError(
            f"lengths must hold one number for each of the {n:,} rows of {what}, "
            f"got shape {list(counts.shape)}"
        )
    bad = np.flatnonzero((counts < 1) | (counts > steps))
    if len(bad):
        raise DataError(
            f"lengths: row {bad[0]} has length {counts[bad[0]]}; lengths must be from 1 to {steps}, "
            f"the steps of {what}"
        )
    return counts


def _read_list(data: Sequence[Any], what: str, dtype: Any) -> Rows:
    parts: list[NDArray[Any]] = []
    for k, row in enumerate(data):
        array = read_numbers(row, what, dtype, f", row {k},")
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise DataError(
                f"{what}, row {k}, must have shape [steps, numbers] or [steps], got {list(array.shape)}"
            )
        if len(array) == 0:
            raise DataError(f"{what}, row {k}, has no steps; every row needs at least one: leave it out")
        if parts and array.shape[1] != parts[0].shape[1]:
            raise DataError(
                f"{what}, row {k}, has {array.shape[1]} numbers per step, row 0 has {parts[0].shape[1]}"
            )
        if array.shape[1] == 0:
            raise DataError(f"{what}, row {k}, has steps without numbers")
        parts.append(array)
    width = parts[0].shape[1]
    counts = np.array([len(part) for part in parts], dtype=np.int64)
    starts = (np.cumsum(counts) - counts) * width
    return Rows(np.concatenate(parts).reshape(-1), starts, width, counts, "list", int(counts.max()))


def _check_same_lines(rows: Rows, other: Rows, what: str) -> None:
    if len(rows) != len(other):
        raise DataError(f"{what} has {len(rows):,} rows, X has {len(other):,}: they must be equally many")
    bad = np.flatnonzero(rows.lengths != other.lengths)
    if len(bad):
        k = int(bad[0])
        raise DataError(
            f"{what}, row {k}, has {rows.lengths[k]} steps, X has {other.lengths[k]} in that row: "
            "the network has an output for each step, so both must be equally long"
        )


def _first_bad(rows: Rows, bad: NDArray[np.bool_], weight: Stream | None) -> tuple[int, int, int] | None:
    """Row, step and place in the storage of the first bad number that belongs to a line of any weight."""
    place = rows.numbers_used()
    at = rows.starts[place[:, 0]] + place[:, 1] * rows.width
    lines = bad[at[:, None] + np.arange(rows.width)]
    if weight is not None:
        lines &= (weight.values[weight.starts[place[:, 0]] + place[:, 1] * weight.stride] != 0)[:, None]
    found = np.argwhere(lines)
    if len(found) == 0:
        return None
    line, column = found[0]
    return int(place[line, 0]), int(place[line, 1]), int(at[line] + column)


def check_finite(rows: Rows, what: str, weight: Stream | None = None) -> None:
    """Raises DataError for a number that is not finite, naming its place; lines of weight 0 may hold any."""
    finite = np.isfinite(rows.values)
    if finite.all():
        return
    if found := _first_bad(rows, ~finite, weight):
        row, step, at = found
        column = (at - int(rows.starts[row])) % rows.width
        raise DataError(
            f"{what} holds {rows.values[at]} in row {row}, step {step}, column {column}: only finite numbers "
            "within float32 can be learned from; fill it, drop the row, or mask it"
        )


def check_range(rows: Rows, what: str, highest: int, weight: Stream | None = None) -> None:
    """Raises DataError for a number outside 0 .. highest, naming its place; lines of weight 0 are left."""
    bad = (rows.values < 0) | (rows.values > highest)
    if not bad.any():
        return
    if found := _first_bad(rows, bad, weight):
        row, step, at = found
        raise DataError(
            f"{what} holds {rows.values[at]} in row {row}, step {step}: it must be from 0 to {highest}"
        )


def line_weights(sample_weight: Any, mask: Any, target: Rows, per_step: bool, dtype: Any) -> Stream | None:
    """The weight of each line of a target: sample_weight times mask; None if neither is given."""
    if sample_weight is None and mask is None:
        return None
    weight: NDArray[Any] = np.ones(int(target.lengths.sum()), dtype=np.float64)
    for given, what in ((sample_weight, "sample_weight"), (mask, "mask")):
        if given is None:
            continue
        one_per_row = not isinstance(given, (list, tuple)) or _is_rectangular(given)
        if one_per_row and np.ndim(given) == 1:
            values = read_rows(given, what=what, dtype=np.float64, width=1, n=len(target)).values
            weight *= np.repeat(values, target.lengths)
        elif not per_step:
            raise DataError(f"{what} must hold one number per row: the network has one output per row")
        else:
            lines = read_sequences(given, None, what=what, dtype=np.float64, width=1, lines_of=target)
            place = lines.numbers_used()
            weight *= lines.values[lines.starts[place[:, 0]] + place[:, 1]]
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError("sample_weight must hold finite numbers from 0 up")
    if not weight.any():
        raise DataError("sample_weight and mask leave no target at all: every weight is 0")
    starts = np.cumsum(target.lengths) - target.lengths
    return Stream(np.ascontiguousarray(weight, dtype=dtype), starts.astype(np.int64), 1)
