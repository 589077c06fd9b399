"""Sequences: texts, images and series of numbers as what networks read.

A reader learns what it must from the training data (words, means) and turns data of its kind into a list of
sequences, [T] indices or [T, I] numbers. What it learned is plain data, kept in the model file.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError

__all__ = ["READERS", "Images", "Reader", "Series", "Texts", "reader_of"]

_WORD = re.compile(r"\w+|[^\w\s]")
_UNKNOWN = 0  # the index of what was not in the training data


@dataclass(frozen=True)
class Reader(ABC):
    """Turns data of one kind into sequences."""

    kind: ClassVar[str]

    @abstractmethod
    def fit(self, data: Any) -> Reader:
        """What it must know from training data; returns a fitted reader."""

    @abstractmethod
    def read(self, data: Any) -> list[NDArray[Any]]:
        """Sequences, one for each example."""

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
        spread = steps.std(axis=0)
        return Series(tuple(steps.mean(axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist()))

    def read(self, data: Any) -> list[NDArray[Any]]:
        mean, spread = np.array(self.mean), np.array(self.spread)
        return [((one - mean) / spread).astype(np.float32) for one in self._arrays(data, len(self.mean))]

    def _arrays(self, data: Any, width: int | None) -> list[NDArray[np.float64]]:
        arrays = []
        for number, one in enumerate(data):
            try:
                array = np.asarray(one, np.float64)
            except (TypeError, ValueError):
                raise DataError(f"series {number} holds something that is no number; correct it") from None
            array = array[:, None] if array.ndim == 1 else array
            if array.ndim != 2 or array.size == 0:
                raise DataError(
                    f"series {number} has shape {list(np.shape(one))}; it must be [steps, numbers] or "
                    "[steps] with at least one step"
                )
            if not np.isfinite(array).all():
                step = int(np.argmin(np.isfinite(array).all(axis=1)))
                raise DataError(f"series {number}, step {step} holds NaN or an infinite value; fill it in")
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
    """Texts by words or characters. Words are in lower case; punctuation marks are words.

    Known are the words or characters that stand twice or more in the training texts, at most `most` of them;
    all others are one unknown.
    """

    kind: ClassVar[str] = "texts"
    unit: str = "words"
    most: int = 20_000
    least: int = 2
    known: tuple[str, ...] = ()

    def fit(self, data: Any) -> Texts:
        if self.unit not in ("words", "characters"):
            raise UsageError(f"unit must be words or characters, got {self.unit!r}")
        counts = Counter(part for text in self._texts(data) for part in self._parts(text))
        known = [part for part, count in counts.most_common(self.most) if count >= self.least]
        return Texts(self.unit, self.most, self.least, tuple(known))

    def read(self, data: Any) -> list[NDArray[Any]]:
        index = {part: number for number, part in enumerate(self.known, start=_UNKNOWN + 1)}
        read = []
        for number, text in enumerate(self._texts(data)):
            parts = [index.get(part, _UNKNOWN) for part in self._parts(text)]
            if not parts:
                raise DataError(f"text {number} is empty: {text!r}; leave it out")
            read.append(np.array(parts, np.int32))
        return read

    @property
    def symbols(self) -> int:
        """How many indices there are."""
        return len(self.known) + 1

    def _texts(self, data: Any) -> Sequence[str]:
        texts = list(data)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"text {number} is {type(text).__name__}, not text; decode or convert it")
        if not texts:
            raise DataError("there are no texts; give at least one")
        return texts

    def _parts(self, text: str) -> list[str]:
        return list(text) if self.unit == "characters" else _WORD.findall(text.lower())


@dataclass(frozen=True)
class Images(Reader):
    """Images [n, R, C] or [n, R, C, F] as sequences: `sweep` by "rows", "pixels", or "patches".

    Patches of `patch` x `patch` pixels come row by row; sweeps down and up are then an LSTM whose dilation is
    the number of patches in a row (`columns`). Whole numbers are taken as 0 to 255.
    """

    kind: ClassVar[str] = "images"
    sweep: str = "patches"
    patch: int = 4
    shape: tuple[int, ...] = ()
    bytes: bool = field(default=False)

    def fit(self, data: Any) -> Images:
        if self.sweep not in ("rows", "pixels", "patches"):
            raise UsageError(f"sweep must be rows, pixels or patches, got {self.sweep!r}")
        images = self._images(data)
        if self.sweep == "patches" and (images.shape[1] % self.patch or images.shape[2] % self.patch):
            raise UsageError(
                f"images of {images.shape[1]} x {images.shape[2]} pixels cannot be cut into patches of "
                f"{self.patch} x {self.patch}; choose a patch that divides both, or cut the images"
            )
        return Images(self.sweep, self.patch, images.shape[1:], np.asarray(data).dtype.kind in "ui")

    def read(self, data: Any) -> list[NDArray[Any]]:
        images = self._images(data)
        if images.shape[1:] != self.shape:
            size, own = (" x ".join(map(str, one)) for one in (images.shape[1:3], self.shape[:2]))
            raise DataError(f"the images have {size} pixels, but {own} when fitted; resize them")
        x = (images / 255.0 if self.bytes else images).astype(np.float32) - 0.5
        n, rows, columns, colours = x.shape
        if self.sweep == "pixels":
            return list(x.reshape(n, rows * columns, colours))
        if self.sweep == "rows":
            return list(x.reshape(n, rows, columns * colours))
        p = self.patch
        x = x.reshape(n, rows // p, p, columns // p, p, colours).swapaxes(2, 3)
        return list(np.ascontiguousarray(x).reshape(n, -1, p * p * colours))

    @property
    def columns(self) -> int:
        """Patches in a row."""
        return self.shape[1] // self.patch

    def _images(self, data: Any) -> NDArray[Any]:
        images = np.asarray(data)
        images = images[..., None] if images.ndim == 3 else images
        if images.ndim != 4 or images.size == 0 or images.dtype.kind not in "uif":
            raise DataError(
                f"images must be numbers [n, rows, columns] or [n, rows, columns, colours], got "
                f"{images.dtype} {list(images.shape)}"
            )
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise DataError("an image holds NaN or an infinite value; correct it")
        return images


READERS: dict[str, type[Any]] = {reader.kind: reader for reader in (Series, Texts, Images)}


def reader_of(config: dict[str, Any]) -> Reader:
    """The reader that `config()` describes."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    made: Reader = READERS[str(fields.pop("kind"))](**fields)
    return made
