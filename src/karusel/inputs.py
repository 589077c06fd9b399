"""Inputs: arrays, lists and windows as callers give them, read as rows in flat storage; all is checked here.

Whatever looks at data as a whole does so piece by piece, so data may be larger than memory (a np.memmap).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.batches import Stream, piecewise, printable, scaled
from karusel.errors import DataError
from karusel.windows import PIECE, Index, Runs, Windows

__all__ = [
    "Rows",
    "check_finite",
    "check_range",
    "in_pieces",
    "line_weights",
    "read_numbers",
    "read_rows",
    "read_sequences",
    "read_strings",
]


_LARGEST_WEIGHT = 1e30  # float32 holds its inverse, and the sum of many


class Sequences(list[Any]):
    """A list of sequences, whatever their lengths; a piece of a longer one may have but one length."""


@dataclass(frozen=True)
class Rows:
    """Sequences as a caller gave them, in flat storage.

    stride: numbers from a line to the next, usually its width; 0: one line serves all steps.
    kind: "array" (all of one length), "padded" (an array with lengths) or "list".
    columns: numbers per step as the caller sees it; name: what the caller calls a row; first: the number of
        the first of them. All three are for messages.
    """

    values: NDArray[Any]
    starts: Index | Runs
    width: int
    stride: int
    lengths: Index
    kind: str
    padded_steps: int
    columns: int
    name: str = "row"
    first: int = 0
    shift: NDArray[Any] | None = None
    scale: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def stream(self) -> Stream:
        return Stream(self.values, self.starts, self.stride, self.shift, self.scale)

    def part(self, first: int, end: int) -> Rows:
        """Some of the rows, one after the other, with all starts written out."""
        rows = np.arange(first, end)
        stream = self.stream().take(rows)
        return replace(
            self,
            starts=stream.starts,
            lengths=printable(self.lengths, rows),
            first=self.first + first,
            shift=stream.shift,
            scale=stream.scale,
        )

    def numbers(self, rows: Index) -> tuple[Index, Index, Index]:
        """For every number of some rows: its row, its step and its column; line by line."""
        lengths = self.lengths[rows]
        row = np.repeat(rows, lengths)
        step = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        column = np.tile(np.arange(self.width), len(row))
        return np.repeat(row, self.width), np.repeat(step, self.width), column

    def at(self, row: Index, step: Index, column: Index) -> Index:
        """Where numbers lie in the storage. Rows of one column have the same number for all columns."""
        return self.starts[row] + step * self.stride + (column if self.width > 1 else 0)

    def lines(self) -> NDArray[Any]:
        """Every line as an executor is fed it, row after row, copied."""
        return _as_fed(self, *self.numbers(np.arange(len(self)))).reshape(-1, self.width)

    def place(self, row: int, step: int, column: int) -> str:
        """A number's row and step as the caller sees them."""
        return f"{self.name} {self.first + row}, step {step + column // self.columns}"


def _starts(starts: NDArray[Any] | Runs) -> Index | Runs:
    """Starts of few rows are written out once and for all."""
    return starts if len(starts) > PIECE else printable(starts, np.arange(len(starts)))


def _constant(n: int, value: int) -> Index:
    """The same length n times; of many rows, without memory for each."""
    if n > PIECE:
        return np.broadcast_to(np.int64(value), n)
    return np.full(n, value, dtype=np.int64)


def _parts(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """An array in pieces, each with its first index: flat if it is contiguous, else along its first axis."""
    flat = array.reshape(-1) if array.flags.c_contiguous else array
    size = max(1, PIECE // max(1, flat.size // max(1, len(flat)))) if flat.ndim else 1
    for first in range(0, len(flat), size):
        yield first, flat[first : first + size]


def read_sequences(
    data: Any,
    lengths: Any,
    *,
    what: str,
    dtype: Any,
    width: int | tuple[int, ...] | None,
    lines_of: Rows | None = None,
    first: int = 0,
) -> Rows:
    """Sequences from an array [n, T, W] or [n, T], one with lengths, a list of [T_k, W] or [T_k], or Windows.

    dtype: what the executor computes in; integers are checked to be whole.
    width: W if it is known, or what it may be.
    lines_of: rows whose lengths these must share, line for line.
    first: the number of the first row, for messages.
    """
    listed = _listed(data)
    if isinstance(data, Windows) or listed is not None:
        if lengths is not None:
            kind = "Windows" if isinstance(data, Windows) else "a list of sequences"
            raise DataError(f"{what} is {kind}: lengths are known from it, leave lengths= out")
        rows = (
            _read_windows(data, what, dtype, as_lines=False)
            if isinstance(data, Windows)
            else _read_list(listed or [], what, dtype, first)
        )
    else:
        rows = _read_array(data, lengths, what, dtype, lines_of, first)
    _check_width(rows, width, what, "step")
    if lines_of is not None:
        _check_same_lines(rows, lines_of, what)
    return rows


def read_rows(
    data: Any,
    *,
    what: str,
    dtype: Any,
    width: int | tuple[int, ...] | None,
    n: int | None,
    first: int = 0,
) -> Rows:
    """One line per example from an array [n, W] or [n], or from Windows, each one line of all its numbers."""
    if isinstance(data, Windows):
        rows = _read_windows(data, what, dtype, as_lines=True)
        empty = False
    else:
        array = read_numbers(data, what, dtype)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise DataError(f"{what} must have shape [rows, numbers] or [rows], got {list(array.shape)}")
        count, wide = array.shape
        starts, ones = _starts(Runs.upto(count, wide)), _constant(count, 1)
        rows = Rows(array.reshape(-1), starts, wide, wide, ones, "array", 1, wide, first=first)
        empty = array.size == 0
    if n is not None and len(rows) != n:
        raise DataError(f"{what} has {len(rows):,} {rows.name}s, X has {n:,}: they must be equally many")
    _check_width(rows, width, what, "row")
    if empty:
        raise DataError(f"{what} is empty: shape {[len(rows), rows.width]}")
    return rows


def read_strings(data: Any, x: Rows, *, highest: int, longest: int) -> Rows:
    """A string of symbols 1 .. highest for each row of x, laid along its first steps; -1 stands after it.

    Raises DataError for a string that no alignment with the row's steps has (see `karusel.losses.CTC`).
    """
    strings = None if isinstance(data, Windows) or not isinstance(data, Iterable) else list(data)
    if not strings or np.ndim(strings[0]) != 1:
        raise DataError("y must be a list of strings: for each row of X an array of symbol numbers")
    data = strings
    if len(data) != len(x):
        raise DataError(f"y has {len(data):,} strings, X has {len(x):,} {x.name}s: they must be equally many")
    starts = np.cumsum(x.lengths) - x.lengths
    values = np.full(int(x.lengths.sum()), -1, dtype=np.int32)
    for k, one in enumerate(data):
        string = read_numbers(one, "y", np.int32, f", {x.name} {k},")
        if string.ndim != 1:
            raise DataError(f"y, {x.name} {k}, must be an array of symbols, got shape {list(string.shape)}")
        if string.size and (string.min() < 1 or string.max() > highest):
            odd = string[(string < 1) | (string > highest)][0]
            raise DataError(
                f"y holds {odd} in {x.name} {k}: symbols must be from 1 to {highest}; 0 stands for the blank"
            )
        if len(string) > longest:
            raise DataError(
                f"y, {x.name} {k}, has {len(string)} symbols, the loss is CTC(longest={longest}): "
                "make it longer, or leave the row out"
            )
        equal = int((string[1:] == string[:-1]).sum())
        if len(string) + equal > x.lengths[k]:
            raise DataError(
                f"y, {x.name} {k}, has {len(string)} symbols and {equal} equal neighbours, X has "
                f"{x.lengths[k]} steps in that row: each symbol needs a step, and equal neighbours one "
                "between them; give longer inputs, or leave the row out"
            )
        values[starts[k] : starts[k] + len(string)] = string
    return replace(
        x, values=values, starts=starts, width=1, stride=1, columns=1, name="row", shift=None, scale=None
    )


def in_pieces(
    data: Any, lengths: Any, what: str, rows_at_once: int
) -> tuple[int | None, Iterator[tuple[int, Any, Any]]]:
    """An array or a list of sequences cut up, to be read one piece at a time: (first row, rows, lengths).

    rows_at_once: pieces are whole multiples of it, where rows are not larger than a piece themselves.
    Returns how many rows there are, too; None for data in one piece, which may be of any type.
    """
    listed = _listed(data) if lengths is None else None
    data = data if listed is None else listed
    if listed is None and (not isinstance(data, np.ndarray) or data.ndim < 2):
        return None, iter([(0, data, lengths)])
    n, rows = len(data), rows_at_once
    kind: Callable[[Any], Any] = np.asanyarray if listed is None else Sequences
    if listed is None:
        rows = max(1, PIECE // max(1, data.size // max(1, n)))
        rows = rows if rows < rows_at_once else rows - rows % rows_at_once
    if n <= rows:
        return None, iter([(0, data, lengths)])
    if lengths is not None:
        lengths = _lengths(lengths, n, data.shape[1], what)
    return n, (
        (k, kind(data[k : k + rows]), None if lengths is None else lengths[k : k + rows])
        for k in range(0, n, rows)
    )


def _check_width(rows: Rows, width: int | tuple[int, ...] | None, what: str, line: str) -> None:
    wanted = (width,) if isinstance(width, int) else width
    if wanted is not None and rows.width not in wanted:
        expected = " or ".join(f"{w:,}" for w in sorted(set(wanted)))
        raise DataError(f"{what}: {expected} numbers per {line} are expected, got {rows.width}")


def _read_windows(windows: Windows, what: str, dtype: Any, as_lines: bool) -> Rows:
    """Windows as sequences, or each as one line."""
    values = windows.values
    wanted = np.dtype(np.int32 if np.dtype(dtype).kind == "i" else np.float32)
    if values.dtype != wanted:
        raise DataError(f"{what}: Windows of {wanted} values are needed here, these are {values.dtype}")
    width = 1 if values.ndim == 1 else values.shape[1]
    starts = windows.starts
    if isinstance(starts, Runs):
        starts = starts.times(width)
    elif width > 1:
        starts = starts.astype(np.int64) * width
    n, steps = len(windows), windows.steps
    if not isinstance(steps, int) and as_lines:
        raise DataError(f"{what}: Windows of one length are needed by a network with one output per row")
    lengths = _constant(n, 1 if as_lines else steps) if isinstance(steps, int) else steps
    wide = width * steps if as_lines and isinstance(steps, int) else width
    return Rows(
        values=values.reshape(-1),
        starts=_starts(starts),
        width=wide,
        stride=wide,
        lengths=lengths,
        kind="array" if isinstance(steps, int) else "list",
        padded_steps=int(lengths.max()),
        columns=width,
        name="window",
        shift=windows.shift,
        scale=windows.scale,
    )


def _listed(data: Any) -> Sequences | None:
    """Data as a list of sequences, if they are one, in a list or an array of objects."""
    if isinstance(data, np.ndarray):
        return Sequences(data) if data.dtype == object and data.ndim == 1 else None
    several = isinstance(data, (list, tuple)) and not _is_rectangular(data)
    return Sequences(data) if several else None


def _is_rectangular(data: Sequence[Any]) -> bool:
    """Whether a list is an array written as nested lists, rather than sequences of several lengths."""
    if isinstance(data, Sequences):
        return False
    if len(data) == 0:
        return True
    if all(isinstance(row, np.ndarray) for row in data):
        return False
    lengths = {len(row) if isinstance(row, Sized) and not isinstance(row, str) else -1 for row in data}
    return len(lengths) == 1


def read_numbers(data: Any, what: str, dtype: Any, where: str = "") -> NDArray[Any]:
    """A C-contiguous, aligned array of the executor's type; refuses what is no number or not whole."""
    try:
        if np.ma.is_masked(data):  # what is missing, as elsewhere
            data = np.ma.filled(np.ma.asarray(data, dtype=np.float64), np.nan)
        array = np.asarray(data)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(
            f"{what}{where} must hold numbers only, in rows of one length: what is missing is NaN, and "
            "sequences of different lengths are a list of arrays"
        ) from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what}{where} must hold numbers only, got {array.dtype}: convert it first")
    wanted = np.dtype(dtype)
    if wanted.kind == "i" and array.dtype.kind == "f":
        for _, part in _parts(array):
            if not (np.isfinite(part) & (np.trunc(part) == part)).all():
                raise DataError(f"{what}{where} must hold whole numbers (indices or class numbers)")
    if wanted.kind == "i" and array.size and not np.can_cast(array.dtype, wanted):
        limits = np.iinfo(wanted)
        if array.min() < limits.min or array.max() > limits.max:
            raise DataError(f"{what}{where} holds indices beyond {limits.max:,}")
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite and are named as such
        array = np.ascontiguousarray(array, dtype=wanted)
    return array if array.flags.aligned else array.copy()  # the engine reads whole numbers of memory


def _read_array(data: Any, lengths: Any, what: str, dtype: Any, lines_of: Rows | None, number: int) -> Rows:
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
    starts = _starts(Runs.upto(n, steps * width))
    return Rows(array.reshape(-1), starts, width, width, counts, kind, steps, width, first=number)


def _lengths(lengths: Any, n: int, steps: int, what: str) -> Index:
    if lengths is None:
        return _constant(n, steps)
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


def _read_list(data: Sequence[Any], what: str, dtype: Any, number: int) -> Rows:
    if not data:
        raise DataError(f"{what} is empty: a list of sequences needs at least one")
    parts: list[NDArray[Any]] = []
    for k, row in enumerate(data, number):
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
    values = np.concatenate(parts).reshape(-1)
    return Rows(values, starts, width, width, counts, "list", int(counts.max()), width, first=number)


def _check_same_lines(rows: Rows, other: Rows, what: str) -> None:
    if len(rows) != len(other):
        raise DataError(
            f"{what} has {len(rows):,} {rows.name}s, X has {len(other):,}: they must be equally many"
        )
    bad = np.flatnonzero(rows.lengths != other.lengths)
    if len(bad):
        k = int(bad[0])
        raise DataError(
            f"{what}, {rows.name} {k}, has {rows.lengths[k]} steps, X has {other.lengths[k]} in that row: "
            "the network has an output for each step, so both must be equally long"
        )


def _first_bad(
    rows: Rows, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]], weight: Rows | None
) -> tuple[int, int, int] | None:
    """Row, step and column of the first bad number that counts: that belongs to a row, with any weight."""
    found = [first + np.flatnonzero(is_bad(part)) for first, part in _parts(rows.values)]
    places = np.concatenate(found)
    if len(places) == 0:
        return None
    if weight is not None and _side_by_side(rows, weight):
        places = places[weight.values[places] != 0]
        if len(places) == 0:
            return None
    each = int(rows.lengths.max()) * rows.width
    for some in piecewise(len(rows), each):
        starts = rows.starts[some]
        ends = starts + (rows.lengths[some] - 1) * rows.stride + rows.width
        some = some[np.searchsorted(places, ends) > np.searchsorted(places, starts)]
        if len(some) == 0:
            continue
        row, step, column = rows.numbers(some)
        counts = is_bad(rows.values[rows.at(row, step, column)])
        if weight is not None:
            counts &= _as_fed(weight, row, step, column) != 0
        if counts.any():
            k = int(np.argmax(counts))
            return int(row[k]), int(step[k]), int(column[k])
    return None


def _first_bad_as_fed(
    rows: Rows, is_bad: Callable[[NDArray[Any]], NDArray[np.bool_]], weight: Rows | None
) -> tuple[int, int, int] | None:
    """The same, of the numbers as they are once they are shifted and scaled."""
    for some in piecewise(len(rows), int(rows.lengths.max()) * rows.width):
        where = rows.numbers(some)
        with np.errstate(over="ignore", invalid="ignore"):
            bad = is_bad(_as_fed(rows, *where))
        if weight is not None:
            bad &= _as_fed(weight, *where) != 0
        if bad.any():
            row, step, column = (int(numbers[np.argmax(bad)]) for numbers in where)
            return row, step, column
    return None


def _side_by_side(rows: Rows, weight: Rows) -> bool:
    """Whether each number has a weight of its own, at the same place of a like storage."""
    a, b = rows.starts, weight.starts
    return (
        len(rows.values) == len(weight.values)
        and (rows.width, rows.stride) == (weight.width, weight.stride)
        and (a == b if isinstance(a, Runs) or isinstance(b, Runs) else np.array_equal(a, b))
    )


def _as_fed(rows: Rows, row: Index, step: Index, column: Index) -> NDArray[Any]:
    """Numbers as an executor feeds them, shifted and scaled."""
    return scaled(rows.values[rows.at(row, step, column)], rows.shift, rows.scale, row)


def _number(rows: Rows, row: int, step: int, column: int) -> Any:
    return rows.values[rows.starts[np.array([row])][0] + step * rows.stride + column]


def check_finite(rows: Rows, what: str, weight: Rows | None = None) -> None:
    """Raises DataError for a number that is not finite, naming its place; what has weight 0 may hold any."""
    if found := _first_bad(rows, lambda values: ~np.isfinite(values), weight):
        column = found[2] % rows.columns
        raise DataError(
            f"{what} holds {_number(rows, *found)} in {rows.place(*found)}, column {column}: only finite "
            f"numbers within float32 can be learned from; fill it, drop the {rows.name}, or mask it"
        )
    if rows.shift is not None or rows.scale is not None:
        _check_scaled(rows, what, weight)


def _check_scaled(rows: Rows, what: str, weight: Rows | None) -> None:
    """Raises DataError where shift and scale make a finite number infinite."""
    largest = [
        0.0 if array is None else max(float(np.fmax.reduce(np.abs(part))) for _, part in _parts(array))
        for array in (rows.values, rows.shift, rows.scale)
    ]
    if (largest[0] + largest[1]) * max(largest[2], 1.0) < float(np.finfo(np.float32).max):
        return
    if found := _first_bad_as_fed(rows, lambda values: ~np.isfinite(values), weight):
        raise DataError(
            f"{what}: shift and scale make {_number(rows, *found)} in {rows.place(*found)} larger than "
            "float32 can be: choose a smaller scale"
        )


def check_range(rows: Rows, what: str, highest: int, weight: Rows | None = None) -> None:
    """Raises DataError for a number outside 0 .. highest, naming its place; what has weight 0 is left."""
    scaled = rows.shift is not None or rows.scale is not None
    first_bad = _first_bad_as_fed if scaled else _first_bad
    if found := first_bad(rows, lambda values: (values < 0) | (values > highest), weight):
        made = ", shifted and scaled" if scaled else ""
        raise DataError(
            f"{what} holds {_number(rows, *found)} in {rows.place(*found)}{made}: "
            f"it must be from 0 to {highest}"
        )


def line_weights(sample_weight: Any, mask: Any, target: Rows, per_step: bool, dtype: Any) -> Rows | None:
    """The weights of a target, sample_weight times mask: one per line or per number; None without either.

    Windows stay where they lie; one number per row then becomes their scale.
    """
    given = {"sample_weight": sample_weight, "mask": mask}
    per_row: NDArray[Any] | None = None
    per_line: list[Rows] = []
    for what, data in given.items():
        if data is None:
            continue
        if _is_one_per_row(data):
            values = read_rows(data, what=what, dtype=np.float64, width=1, n=len(target)).values
            per_row = values if per_row is None else per_row * values
        else:
            per_line.append(_read_weights(data, what, target, per_step))
    if per_row is None and not per_line:
        return None
    if per_row is not None:
        per_row = np.ascontiguousarray(per_row, dtype=dtype)
    if not per_line:
        assert per_row is not None
        starts = _starts(Runs.upto(len(target)))
        weight = replace(target, values=per_row, starts=starts, width=1, stride=0, shift=None, scale=None)
    else:
        weight = _product(per_line, target, dtype)
        if per_row is not None:
            scale = per_row if weight.scale is None else weight.scale * per_row
            weight = replace(weight, scale=np.ascontiguousarray(scale, dtype=dtype))
    _check_weights(weight)
    return weight


def _is_one_per_row(data: Any) -> bool:
    if isinstance(data, Windows):
        return False
    return (not isinstance(data, (list, tuple)) or _is_rectangular(data)) and np.ndim(data) == 1


def _columns(data: Any) -> int:
    """Columns of a two-axis array; 0 for anything else."""
    listed = isinstance(data, (list, tuple)) and not _is_rectangular(data)
    return np.shape(data)[1] if not listed and np.ndim(data) == 2 else 0


def _read_weights(data: Any, what: str, target: Rows, per_step: bool) -> Rows:
    """One weight for each line of the target, or for each number."""
    widths = (1, target.width)
    if per_step:
        rows = read_sequences(data, None, what=what, dtype=np.float64, width=widths, lines_of=target)
    elif isinstance(data, Windows) or _columns(data) in widths:
        rows = read_rows(data, what=what, dtype=np.float64, width=widths, n=len(target))
    else:
        raise DataError(
            f"{what} must hold one number per row, or one for each of its {target.width} targets: "
            "the network has one output per row"
        )
    if rows.shift is not None:
        raise DataError(f"{what}: Windows of weights take a scale, but no shift")
    return rows


def _product(factors: list[Rows], target: Rows, dtype: Any) -> Rows:
    """One or two arrays of weights in one; Windows are left where they lie."""
    if any(rows.name == "window" for rows in factors):
        if len(factors) > 1:
            raise DataError(
                "sample_weight and mask: of Windows one is taken; pass the other with one number per row, "
                "or multiply both into one storage"
            )
        return factors[0]
    width = max(rows.width for rows in factors)
    lines = replace(target, width=width).numbers(np.arange(len(target)))
    values = np.prod([_as_fed(rows, *lines) for rows in factors], axis=0)
    starts = (np.cumsum(target.lengths) - target.lengths) * width
    values = np.ascontiguousarray(values, dtype=dtype)
    return replace(target, values=values, starts=starts, width=width, stride=width, shift=None, scale=None)


def _check_weights(weight: Rows) -> None:
    largest = 1.0
    for array in (weight.values, weight.scale):
        if array is None:
            continue
        each = 0.0
        for _, part in _parts(array):
            if not (part >= 0).all() or not np.isfinite(part).all():
                raise DataError("sample_weight must hold finite numbers from 0 up, within float32")
            each = max(each, float(part.max()))
        largest *= each
    if largest and not 1 / _LARGEST_WEIGHT <= largest <= _LARGEST_WEIGHT:
        raise DataError(
            f"sample_weight: the largest is {largest:.3g}, which float32 cannot sum up; only proportions "
            "count: divide all by it"
        )
    each = int(weight.lengths.max()) * weight.width
    for some in piecewise(len(weight), each):
        if _as_fed(weight, *weight.numbers(some)).any():
            return
    raise DataError("sample_weight and mask leave no target at all: every weight is 0")
