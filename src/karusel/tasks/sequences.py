"""Sequences: series of numbers, texts, images and videos as what networks read.

A reader learns what it must from the training data (words, means) and turns data of its kind into a list of
sequences, [T] indices or [T, I] numbers; images and videos, all of one size, become an array [n, T, I]. What
it learned is plain data, kept in the model file.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError
from karusel.tasks.tokens import Pairs, tokenizer_of, valid_text
from karusel.typed import check_fields

__all__ = [
    "READERS",
    "SWEEPS",
    "TEXT_UNITS",
    "Grid",
    "Images",
    "Reader",
    "Series",
    "Texts",
    "Videos",
    "by_example",
    "by_text",
    "reader_of",
    "spread_of",
    "step_array",
]

_WORD = re.compile(r"\w+|[^\w\s]")
TEXT_UNITS = ("words", "characters", "pairs")
SWEEPS = ("patches", "rows", "pixels")
_PAIRS = 8_000
_UNKNOWN = 0  # the index of what was not in the training data


Grid = tuple[int, ...]  # how many steps along each axis


@dataclass(frozen=True)
class Reader(ABC):
    """Turns data of one kind into sequences."""

    kind: ClassVar[str]

    @abstractmethod
    def fit(self, data: Any) -> Reader:
        """What it must know from training data; returns a fitted reader."""

    @abstractmethod
    def read(self, data: Any) -> list[NDArray[Any]] | NDArray[Any]:
        """Sequences, one for each example."""

    @property
    @abstractmethod
    def is_fitted(self) -> bool:
        """Whether what it knows can come from training data."""

    def config(self) -> dict[str, Any]:
        """All that it knows, in types that JSON has."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Series(Reader):
    """Series of one or more numbers a step, of any lengths: [n, T, I], [n, T], or a list of [T, I] or [T].

    Each number is centred by its mean over all training steps and divided by its standard deviation.
    """

    kind: ClassVar[str] = "series"
    mean: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    def fit(self, data: Any) -> Series:
        steps = np.concatenate(self._arrays(data, None))
        spread = spread_of(steps)
        return Series(tuple(steps.mean(axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist()))

    @property
    def is_fitted(self) -> bool:
        return 0 < len(self.mean) == len(self.spread) and min(self.spread) > 0

    def read(self, data: Any) -> list[NDArray[Any]]:
        mean, spread = np.array(self.mean), np.array(self.spread)
        return [((one - mean) / spread).astype(np.float32) for one in self._arrays(data, len(self.mean))]

    def _arrays(self, data: Any, width: int | None) -> list[NDArray[np.float64]]:
        arrays = []
        for number, one in enumerate(by_example(data)):
            array = step_array(one, f"series {number}", "fill it in")
            width = array.shape[1] if width is None else width
            if array.shape[1] != width:
                raise DataError(
                    f"series {number} has {array.shape[1]} numbers a step, the others have {width}"
                )
            arrays.append(array)
        if not arrays:
            raise DataError("there are no series; give at least one")
        return arrays


@dataclass(frozen=True)
class Texts(Reader):
    """Texts by words, characters or byte pairs. Words are in lower case; punctuation marks are words.

    A text may also be a list of words. Known are the parts that stand twice or more in the training texts, at
    most `most` of them; all others are one unknown. Byte pairs (Sennrich et al., 2016) are found by the
    package tokenizers, of which `pairs` keeps what it found.
    """

    kind: ClassVar[str] = "texts"
    unit: str = "words"
    most: int = 20_000
    least: int = 2
    known: tuple[str, ...] = ()
    pairs: str = ""

    def fit(self, data: Any) -> Texts:
        texts = self._texts(data)
        made = self
        if self.unit == "pairs":
            made = replace(
                self, pairs=Pairs(_PAIRS).fit([text for text in texts if isinstance(text, str)]).tokenizer
            )
        counts = Counter(part for parts in made._cut(texts) for part in parts)
        known = [part for part, count in counts.most_common(self.most) if count >= self.least]
        return replace(made, known=tuple(known))

    @property
    def is_fitted(self) -> bool:
        return self.unit in TEXT_UNITS

    def read(self, data: Any) -> list[NDArray[Any]]:
        index = {part: number for number, part in enumerate(self.known, start=_UNKNOWN + 1)}
        texts = self._texts(data)
        read = []
        for number, parts in enumerate(self._cut(texts)):
            if not parts:
                raise DataError(f"text {number} is empty: {texts[number]!r}; leave it out")
            read.append(np.array([index.get(part, _UNKNOWN) for part in parts], np.int32))
        return read

    @property
    def symbols(self) -> int:
        """How many indices there are."""
        return len(self.known) + 1

    def _texts(self, data: Any) -> list[str | list[str]]:
        texts: list[str | list[str]] = []
        for number, text in enumerate(by_text(data)):
            if isinstance(text, (list, tuple)) and all(isinstance(word, str) for word in text):
                text = list(text)
            elif not isinstance(text, str):
                raise DataError(f"text {number} is {type(text).__name__}, not text; decode or convert it")
            for part in text if isinstance(text, list) else [text]:
                valid_text(part, f"text {number}")
            texts.append(text)
        if not texts:
            raise DataError("there are no texts; give at least one")
        return texts

    def _cut(self, texts: list[str | list[str]]) -> Iterator[list[str]]:
        """The parts of each text."""
        if self.unit == "pairs":
            cutter = tokenizer_of(self.pairs)
        for text in texts:
            if isinstance(text, list):
                yield [word.lower() for word in text] if self.unit == "words" else text
            elif self.unit == "words":
                yield _WORD.findall(text.lower())
            elif self.unit == "characters":
                yield list(text)
            else:
                yield cutter.encode(text).tokens


@dataclass(frozen=True)
class Images(Reader):
    """Images [n, R, C] or [n, R, C, F] as sequences: `sweep` by "patches", "rows", or "pixels".

    Patches of `patch` x `patch` pixels come row by row, a grid of steps. Whole numbers are taken as 0 to 255.
    """

    kind: ClassVar[str] = "images"
    axes: ClassVar[tuple[str, ...]] = ("rows", "columns")
    sweep: str = "patches"
    patch: int = 4
    shape: tuple[int, ...] = ()
    bytes: bool = field(default=False)

    def fit(self, data: Any) -> Images:
        pixels = self._pixels(data)
        rows, columns = pixels.shape[-3:-1]
        if self.sweep == "patches" and (rows % self.patch or columns % self.patch):
            raise UsageError(
                f"{self.kind} of {rows} x {columns} pixels cannot be cut into patches of "
                f"{self.patch} x {self.patch}; choose a patch that divides both, or cut the {self.kind}"
            )
        return replace(self, shape=pixels.shape[1:], bytes=np.asarray(data).dtype.kind in "ui")

    @property
    def is_fitted(self) -> bool:
        sizes = (self.patch, *self.shape)
        return (
            self.sweep in SWEEPS
            and len(self.shape) == len(self.axes) + 1
            and min(sizes) > 0
            and (self.sweep != "patches" or not any(n % self.patch for n in self.shape[-3:-1]))
        )

    def read(self, data: Any) -> NDArray[np.float32]:
        return self.cut(self.numbers(data))

    def numbers(self, data: Any) -> NDArray[np.float32]:
        """Pixels around 0, [n, ..., R, C, F]."""
        return self.centred(self.pixels(data))

    def pixels(self, data: Any) -> NDArray[Any]:
        """Pixels as they come, [n, ..., R, C, F], which must be like those of `fit`."""
        pixels = self._pixels(data)
        if pixels.shape[1:] != self.shape:
            size, own = (" x ".join(map(str, one)) for one in (pixels.shape[1:-1], self.shape[:-1]))
            raise DataError(
                f"the {self.kind} have {size} pixels, but {own} when fitted"
                if size != own
                else f"the {self.kind} have {pixels.shape[-1]} colours, but {self.shape[-1]} when fitted"
            )
        whole = pixels.dtype.kind in "ui"
        if whole and not self.bytes:
            raise DataError(
                f"the {self.kind} are whole numbers ({pixels.dtype}), but floats when fitted; make "
                "them floats in the range of those"
            )
        if self.bytes and not whole and 0 < np.abs(pixels).max() <= 1:
            raise DataError(
                f"the {self.kind} are floats within 1 ({pixels.dtype}), but whole numbers from 0 to 255 "
                "when fitted; multiply them by 255"
            )
        return pixels

    def centred(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels as they come, around 0."""
        return np.asarray((pixels / 255.0 if self.bytes else pixels).astype(np.float32) - np.float32(0.5))

    def cut(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Pixels [n, R, C, F] as steps [n, T, numbers]."""
        n, rows, columns, colours = pixels.shape
        if self.sweep == "pixels":
            return pixels.reshape(n, rows * columns, colours)
        if self.sweep == "rows":
            return pixels.reshape(n, rows, columns * colours)
        return _patches(pixels, self.patch)

    def joined(self, steps: NDArray[Any]) -> NDArray[Any]:
        """Patches [n, T, P * P * F] as pixels [n, R, C, F]: `cut` undone."""
        p = self.patch
        rows, columns = self.grid
        x = steps.reshape(len(steps), rows, columns, p, p, -1).swapaxes(2, 3)
        return np.asarray(x.reshape(len(steps), rows * p, columns * p, -1))

    @property
    def grid(self) -> Grid:
        """How the steps lie: patches in a column, patches in a row."""
        rows, columns = self.shape[-3:-1]
        return rows // self.patch, columns // self.patch

    def _pixels(self, data: Any) -> NDArray[Any]:
        pixels = np.asarray(data)
        pixels = pixels[..., None] if pixels.ndim == len(self.axes) + 1 else pixels
        if pixels.ndim != len(self.axes) + 2 or pixels.size == 0 or pixels.dtype.kind not in "uif":
            axes = ", ".join(self.axes)
            raise DataError(
                f"{self.kind} must be numbers [n, {axes}] or [n, {axes}, colours], got {pixels.dtype} "
                f"{list(pixels.shape)}"
            )
        if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
            at = int(np.argmin(np.isfinite(pixels.reshape(len(pixels), -1)).all(axis=1)))
            raise DataError(f"{self.kind}: number {at} holds NaN or an infinite value; correct it")
        return pixels


@dataclass(frozen=True)
class Videos(Images):
    """Videos [n, frames, R, C] or [n, frames, R, C, F], all of one size, by patches of every frame.

    The steps are a grid of patches in a column, patches in a row, and frames.
    """

    kind: ClassVar[str] = "videos"
    axes: ClassVar[tuple[str, ...]] = ("frames", "rows", "columns")

    def fit(self, data: Any) -> Videos:
        if self.sweep != "patches":
            raise UsageError(f"videos are read by patches, got sweep {self.sweep!r}")
        fitted = super().fit(data)
        assert isinstance(fitted, Videos)
        return fitted

    def cut(self, pixels: NDArray[Any]) -> NDArray[Any]:
        n, frames = pixels.shape[:2]
        x = _patches(pixels.reshape(-1, *pixels.shape[2:]), self.patch)
        return np.ascontiguousarray(x.reshape(n, frames, *x.shape[1:]).swapaxes(1, 2)).reshape(
            n, -1, x.shape[-1]
        )

    @property
    def grid(self) -> Grid:
        return *super().grid, self.shape[0]


def by_example(data: Any) -> Any:
    """Data whose items are the examples, from 0 on; those of a pandas frame are its columns, by name."""
    return data.to_numpy() if hasattr(data, "to_numpy") else data


def by_text(data: Any, what: str = "text") -> Any:
    """The same of texts, called `what`: raises `DataError` for a table, whose rows are none."""
    items = by_example(data)
    if isinstance(items, np.ndarray) and items.ndim == 2 and items.dtype.kind in "OUS":
        columns = "1 column" if items.shape[1] == 1 else f"{items.shape[1]} columns"
        raise DataError(
            f"the {what}s are a table of {columns}; give the one that holds them by itself, such as "
            'table["text"]'
        )
    return items


def step_array(values: Any, what: str, mend: str) -> NDArray[np.float64]:
    """Finite numbers by step, [T, numbers]; [T] is one number a step.

    `what` they are and how to `mend` what is missing are for messages.
    """
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} holds something that is no number; correct it") from None
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.size == 0:
        raise DataError(
            f"{what} has shape {list(np.shape(values))}; it must be [steps, numbers] or [steps] with at "
            "least one step"
        )
    if not np.isfinite(array).all():
        step = int(np.argmin(np.isfinite(array).all(axis=1)))
        raise DataError(f"{what}, step {step} holds NaN or an infinite value; {mend}")
    return array


def spread_of(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard deviation of each column [T, numbers]: 0 where all are alike, whatever rounding leaves."""
    return np.where(np.ptp(steps, axis=0) > 0, steps.std(axis=0), 0.0)


def _patches(pixels: NDArray[Any], p: int) -> NDArray[Any]:
    """Pixels [n, R, C, F] as patches [n, T, P * P * F], row by row."""
    n, rows, columns, colours = pixels.shape
    x = pixels.reshape(n, rows // p, p, columns // p, p, colours).swapaxes(2, 3)
    return np.ascontiguousarray(x).reshape(n, -1, p * p * colours)


READERS: dict[str, type[Any]] = {reader.kind: reader for reader in (Series, Texts, Images, Videos)}


def reader_of(config: dict[str, Any]) -> Reader:
    """The reader that `config()` describes."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    made: Reader = READERS[str(fields.pop("kind"))](**fields)
    check_fields(made)
    if not made.is_fitted:
        raise ValueError(f"its reader of {made.kind} is none that was fitted")
    return made
