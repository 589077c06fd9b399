"""Windows: parts of long series as examples, read where they lie; nothing is copied."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import whole_number
from karusel.errors import DataError

__all__ = ["PIECE", "Index", "Runs", "Windows"]

Index = NDArray[np.int64]

PIECE = 1 << 18  # numbers that one pass over data of any size looks at together


class Runs:
    """Whole numbers in runs: first[r], first[r] + step, ..., count[r] of them, run after run.

    Takes memory for each run, not for each number; `runs[places]` are the numbers at these places.
    """

    def __init__(self, first: Index, count: Index, step: int = 1) -> None:
        self._first = first
        self._ends = np.cumsum(count)
        self._before = self._ends - count
        self._zero = first - self._before * step  # where each run would be at place 0
        self._step = step

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, places: Index) -> Index:
        if len(self._first) == 1:
            return np.asarray(self._first[0] + places * self._step)
        bits, guess = self._guess
        run = guess[places >> bits]
        late = np.flatnonzero(self._ends[run] <= places)
        run[late] = np.searchsorted(self._ends, places[late], side="right")
        return np.asarray(self._zero[run] + places * self._step)

    @cached_property
    def _guess(self) -> tuple[int, NDArray[np.int32]]:
        """The run at every 2^bits-th place, some eight for each run: right for most places near it."""
        bits = max(0, (len(self) // (8 * len(self._first))).bit_length() - 1)
        marks = np.diff(-(-self._ends >> bits), prepend=0)  # of the places marked, those in each run
        return bits, np.repeat(np.arange(len(marks), dtype=np.int32), marks)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Runs)
            and np.array_equal(self._first, other._first)
            and np.array_equal(self._ends, other._ends)
            and self._step == other._step
        )

    __hash__ = None  # type: ignore[assignment]  # compared by contents, which arrays have no hash of

    def min(self) -> int:
        """The smallest number; steps go upwards."""
        return int(self._first[self._ends > self._before].min())

    def max(self) -> int:
        """The largest number."""
        return int(
            (self._first + (self._ends - self._before - 1) * self._step)[self._ends > self._before].max()
        )

    def times(self, factor: int) -> Runs:
        """Every number multiplied."""
        return Runs(self._first * factor, self._ends - self._before, self._step * factor)

    @staticmethod
    def upto(n: int, step: int = 1, *, start: int = 0) -> Runs:
        """start, start + step, ..., n of them."""
        return Runs(np.array([start], np.int64), np.array([n], np.int64), step)


class Windows:
    """Windows of one flat array, which `fit`, `evaluate`, `gradients` and `predict` take as X, y or mask.

    Window k is the lines starts[k], starts[k] + 1, ..., starts[k] + steps - 1 of `values`; as a network reads
    it, (line - shift[k]) * scale[k]. Windows may overlap, and millions of them cost no copy of their lines.

    Parameters
    ----------
    values
        The storage: float32 [N] or [N, C], C-contiguous; a np.memmap will do. int32 for indices of an
        Embedding or class numbers. Series lie in it one after the other.
    starts
        First line of each window [n], whole numbers.
    steps
        Lines of each window: one number, or [n] for windows of different lengths.
    shift, scale
        float32 [n], computed in float32; None: 0 and 1. Predictions come back in scaled units: undo it with
        prediction / scale + shift.

    As the y of a network with one output per window, a window of h lines is the target of h * C outputs. As a
    mask or sample_weight, a window holds a weight for each line, or for each number, of y's.

    Raises
    ------
    DataError
        For storage of another type or order, and for windows outside it.
    UsageError
        For a number of steps below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Dense, Sequential, Windows
    >>> values = np.sin(np.arange(500, dtype=np.float32))  # one series, or many, one after the other
    >>> cutoffs = np.arange(27, 493)  # last known line
    >>> net = Sequential([LSTM(8), Dense(7)])
    >>> net.compile("mse")
    >>> history = net.fit(Windows(values, cutoffs - 27, 28), Windows(values, cutoffs + 1, 7))
    >>> net.predict(Windows(values, [472], 28)).shape
    (1, 7)
    """

    def __init__(self, values: Any, starts: Any, steps: Any, *, shift: Any = None, scale: Any = None) -> None:
        self.values = _storage(values)
        self.starts = starts if isinstance(starts, Runs) else _whole_numbers(starts, "starts")
        if len(self) == 0:
            raise DataError("Windows: starts is empty: at least one window is needed")
        self.steps: int | Index = self._steps(steps)
        self._check_inside()
        self.shift, self.scale = self._each(shift, "shift"), self._each(scale, "scale")
        if self.values.dtype == np.int32 and not (shift is None and scale is None):
            raise DataError("Windows: shift and scale need float32 values, these are int32")

    @classmethod
    def pairs(
        cls, values: Any, offsets: Any, length: int, horizon: int, *, shift: Any = None, scale: Any = None
    ) -> tuple[Windows, Windows]:
        """The input part and the target part of every window of a panel: what `fit` takes as X and y.

        They are numbered series by series, cutoff by cutoff. Their starts are never written out: memory is
        needed for each series, not for each window.

        Parameters
        ----------
        values
            As above: all series, one after the other.
        offsets
            Where each series begins, and the end of the last [series + 1]. A series shorter than
            length + horizon has no window.
        length, horizon
            Lines of the input part, and of the target part, which follows it.
        shift, scale
            As above: one number per window, for both of its parts.
        """
        values = _storage(values)
        bounds = _whole_numbers(offsets, "offsets").astype(np.int64)
        length = whole_number("Windows.pairs", "length", length)
        horizon = whole_number("Windows.pairs", "horizon", horizon)
        if len(bounds) < 2 or bounds[0] < 0 or bounds[-1] > len(values) or (np.diff(bounds) < 0).any():
            raise DataError(
                "Windows.pairs: offsets must ascend from 0 or more to at most the number of lines, "
                f"{len(values):,}: the start of each series, and the end of the last"
            )
        count = np.maximum(np.diff(bounds) - (length + horizon - 1), 0)
        if not count.any():
            raise DataError(
                f"Windows.pairs: no series has the {length + horizon} lines of a window "
                f"(length {length}, horizon {horizon}); the longest has {np.diff(bounds).max()}"
            )
        first = bounds[:-1]
        return (
            cls(values, Runs(first, count), length, shift=shift, scale=scale),
            cls(values, Runs(first + length, count), horizon, shift=shift, scale=scale),
        )

    def __len__(self) -> int:
        return len(self.starts)

    def __repr__(self) -> str:
        steps = self.steps if isinstance(self.steps, int) else f"{self.steps.min()}-{self.steps.max()}"
        return f"Windows({len(self):,} of {steps} steps, of {self.values.dtype} {list(self.values.shape)})"

    def _steps(self, steps: Any) -> int | Index:
        if np.ndim(steps) == 0:
            return whole_number("Windows", "steps", steps)
        counts = _whole_numbers(steps, "steps")
        if len(counts) != len(self):
            raise DataError(f"Windows: steps has {len(counts):,} numbers, starts has {len(self):,}")
        if counts.min() < 1:
            at = int(np.argmax(counts < 1))
            raise DataError(f"Windows: window {at} has {counts[at]} steps: at least 1 is needed")
        return np.ascontiguousarray(counts, dtype=np.int64)

    def _check_inside(self) -> None:
        lines = len(self.values)
        longest = self.steps if isinstance(self.steps, int) else int(self.steps.max())
        if self.starts.min() >= 0 and self.starts.max() <= lines - longest:
            return
        for first in range(0, len(self), PIECE):
            places = np.arange(first, min(first + PIECE, len(self)))
            starts = self.starts[places].astype(np.int64, copy=False)
            steps = self.steps if isinstance(self.steps, int) else self.steps[places]
            bad = (starts < 0) | (starts > lines - steps)
            if bad.any():
                k = int(np.argmax(bad))
                last = starts[k] + (steps if isinstance(steps, int) else steps[k]) - 1
                raise DataError(
                    f"Windows: window {places[k]} is lines {starts[k]:,} to {last:,}: they must lie within "
                    f"the storage, lines 0 to {lines - 1:,}"
                )

    def _each(self, given: Any, what: str) -> NDArray[np.float32] | None:
        if given is None:
            return None
        try:
            with np.errstate(over="ignore"):
                numbers = np.ascontiguousarray(given, dtype=np.float32)
        except (TypeError, ValueError):
            raise DataError(f"Windows: {what} must hold numbers only") from None
        if numbers.shape != (len(self),):
            raise DataError(
                f"Windows: {what} must hold one number for each of the {len(self):,} windows, "
                f"got shape {list(np.shape(given))}"
            )
        numbers = numbers if numbers.flags.aligned else numbers.copy()
        for first in range(0, len(numbers), PIECE):
            bad = ~np.isfinite(numbers[first : first + PIECE])
            if bad.any():
                k = first + int(np.argmax(bad))
                raise DataError(
                    f"Windows: {what} holds {numbers[k]} for window {k}: only finite float32 will do"
                )
        return numbers


def _storage(values: Any) -> NDArray[Any]:
    if np.ma.is_masked(values):
        raise DataError(
            "Windows: values is masked: fill what is missing, and give those lines weight 0 by mask="
        )
    array = np.asarray(values)
    if array.dtype not in (np.float32, np.int32):
        raise DataError(
            "Windows: values must be float32, or int32 for indices and classes, "
            f"got {array.dtype}: convert them once, with values.astype(np.float32)"
        )
    if array.ndim not in (1, 2) or array.size == 0:
        raise DataError(
            f"Windows: values must have shape [lines] or [lines, numbers] and not be empty, "
            f"got {list(array.shape)}"
        )
    if not array.flags.c_contiguous:
        raise DataError("Windows: values must lie line after line: pass np.ascontiguousarray(values)")
    return array if array.flags.aligned else array.copy()


def _whole_numbers(given: Any, what: str) -> NDArray[Any]:
    """The numbers, copied: what is checked once stays as it was, whatever the caller does with its array."""
    array = np.array(given)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise DataError(
            f"Windows: {what} must be whole numbers of shape [n], got {array.dtype} {list(array.shape)}"
        )
    array.flags.writeable = False
    return array
