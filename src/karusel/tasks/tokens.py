"""Tokens: text as numbers that a language model reads and writes, and music as frames of notes.

Like a reader of `karusel.tasks.sequences`, each learns what it must from the training data, and what it
learned is plain data, kept in the model file.
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, MissingDependencyError
from karusel.typed import check_fields

__all__ = [
    "END",
    "UNITS",
    "UNKNOWN",
    "Bytes",
    "Characters",
    "Notes",
    "Pairs",
    "Tokens",
    "Words",
    "tokenizer_of",
    "tokenizers_library",
    "tokens_of",
    "valid_text",
]

END = 0  # the token before the first of a text, and after the last of each of several
UNKNOWN = 1  # of words: the token of all that are not known
_WORD = re.compile(r"\n|[^\s]+")
_UNKNOWN = "<unk>"  # as a text has it


@dataclass(frozen=True)
class Tokens(ABC):
    """Text of one unit as numbers: 0 is the end of a text, 1 and up are its tokens."""

    unit: ClassVar[str]

    @abstractmethod
    def fit(self, texts: Sequence[Any]) -> Tokens:
        """What it must know from training texts."""

    @property
    @abstractmethod
    def symbols(self) -> int:
        """How many numbers there are, the end's included."""

    @abstractmethod
    def read(self, text: Any) -> NDArray[np.int32]:
        """A text's tokens, without an end."""

    @abstractmethod
    def write(self, tokens: Iterable[int], before: int) -> Iterator[Any]:
        """What each token adds to the text, `before` being the one before them; none of them is an end.

        All tokens of a text go to one call, since several may make one character; they may come one by one.
        """

    @abstractmethod
    def join(self, parts: Iterator[Any]) -> Any:
        """One text of parts."""

    def config(self) -> dict[str, Any]:
        """All that it knows, in types that JSON has."""
        return {"unit": self.unit, **asdict(self)}


@dataclass(frozen=True)
class Characters(Tokens):
    """Each character that the training texts have."""

    unit: ClassVar[str] = "characters"
    known: str = ""

    def fit(self, texts: Sequence[Any]) -> Characters:
        return Characters("".join(sorted({one for text in texts for one in _text(text)})))

    @property
    def symbols(self) -> int:
        return len(self.known) + 1

    def read(self, text: Any) -> NDArray[np.int32]:
        codes = np.frombuffer(_text(text).encode("utf-32-le"), np.uint32)
        known = np.frombuffer(self.known.encode("utf-32-le"), np.uint32)
        found = np.searchsorted(known, codes)
        strange = known[np.minimum(found, len(known) - 1)] != codes
        if strange.any():
            at = int(np.argmax(strange))
            raise DataError(
                f"the text has {text[at]!r} as character {at + 1:,}, which the training text never had: "
                "leave it out, or fit with a text that has it, or with unit='bytes'"
            )
        return (found + 1).astype(np.int32)

    def write(self, tokens: Iterable[int], before: int) -> Iterator[str]:
        for token in tokens:
            yield self.known[token - 1]

    def join(self, parts: Iterator[Any]) -> str:
        return "".join(parts)


@dataclass(frozen=True)
class Bytes(Tokens):
    """Each byte, so that any text or data can be read; what is written is bytes."""

    unit: ClassVar[str] = "bytes"

    def fit(self, texts: Sequence[Any]) -> Bytes:
        return self

    @property
    def symbols(self) -> int:
        return 257

    def read(self, text: Any) -> NDArray[np.int32]:
        data = valid_text(text, "the text").encode() if isinstance(text, str) else text
        if not isinstance(data, (bytes, bytearray)):
            raise DataError(f"a text is {type(text).__name__}; it must be text or bytes")
        return np.frombuffer(data, np.uint8).astype(np.int32) + 1

    def write(self, tokens: Iterable[int], before: int) -> Iterator[bytes]:
        for token in tokens:
            yield bytes([token - 1])

    def join(self, parts: Iterator[Any]) -> bytes:
        return b"".join(parts)


@dataclass(frozen=True)
class Words(Tokens):
    """What stands between blanks is a word, and so is the end of a line.

    Known are the `most` most frequent words of the training texts; all others are one, <unk>.
    """

    unit: ClassVar[str] = "words"
    most: int = 10_000
    known: tuple[str, ...] = ()

    def fit(self, texts: Sequence[Any]) -> Words:
        counts = Counter(word for text in texts for word in _WORD.findall(_text(text)))
        counts.pop(_UNKNOWN, None)
        return Words(self.most, (_UNKNOWN, *(word for word, _ in counts.most_common(self.most - 1))))

    @property
    def symbols(self) -> int:
        return len(self.known) + 1

    def read(self, text: Any) -> NDArray[np.int32]:
        index = {word: number for number, word in enumerate(self.known, start=1)}
        return np.array([index.get(word, UNKNOWN) for word in _WORD.findall(_text(text))], np.int32)

    def write(self, tokens: Iterable[int], before: int) -> Iterator[str]:
        last = "\n" if before == END else self.known[before - 1]
        for token in tokens:
            word = self.known[token - 1]
            yield word if "\n" in (word, last) else f" {word}"
            last = word

    def join(self, parts: Iterator[Any]) -> str:
        return "".join(parts)


@dataclass(frozen=True)
class Pairs(Tokens):
    """Bytes, and pairs of tokens that often stand together, joined until there are `most`.

    After Sennrich et al. (2016). tokenizer: the tokenizers library's own JSON.
    """

    unit: ClassVar[str] = "pairs"
    most: int = 10_000
    tokenizer: str = ""

    def fit(self, texts: Sequence[Any]) -> Pairs:
        library = tokenizers_library()
        made = library.Tokenizer(library.models.BPE())
        level = library.pre_tokenizers.ByteLevel
        made.pre_tokenizer = level(add_prefix_space=False)
        trainer = library.trainers.BpeTrainer(
            vocab_size=self.most, initial_alphabet=level.alphabet(), show_progress=False
        )
        made.train_from_iterator([_text(text) for text in texts], trainer)
        return Pairs(self.most, made.to_str())

    @cached_property
    def _made(self) -> Any:
        return tokenizer_of(self.tokenizer)

    @property
    def symbols(self) -> int:
        return int(self._made.get_vocab_size()) + 1

    def read(self, text: Any) -> NDArray[np.int32]:
        return np.array(self._made.encode(_text(text)).ids, np.int32) + 1

    def write(self, tokens: Iterable[int], before: int) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:
            name = self._made.id_to_token(token - 1)
            yield decoder.decode(bytes(_BYTES[one] for one in name))

    def join(self, parts: Iterator[Any]) -> str:
        return "".join(parts)


def tokenizers_library() -> Any:
    """The tokenizers library, which byte pairs need; raises `MissingDependencyError` without it."""
    try:
        import tokenizers
    except ImportError:
        raise MissingDependencyError(
            "byte pairs need the package tokenizers: pip install 'karusel[text]'"
        ) from None
    return tokenizers


def tokenizer_of(text: str) -> Any:
    """A tokenizer from the JSON that its library wrote; raises `DataError` for what is none."""
    library = tokenizers_library()
    try:
        return library.Tokenizer.from_str(text)
    except Exception as error:  # of no class of its own
        raise DataError(f"the byte pairs are no tokenizer: {error}") from None


def _byte_names() -> dict[str, int]:
    """How the tokenizers library writes bytes: those that print as themselves, others from 256 on (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [one for one in range(256) if one not in plain]
    return {chr(one): one for one in plain} | {chr(256 + k): one for k, one in enumerate(others)}


_BYTES = _byte_names()


@dataclass(frozen=True)
class Notes:
    """Pieces of music as frames [T, N], at each step a zero or one for each of N notes (piano-rolls)."""

    unit: ClassVar[str] = "notes"
    notes: int = 0

    def fit(self, pieces: Sequence[Any]) -> Notes:
        return Notes(np.shape(pieces[0])[-1] if np.ndim(pieces[0]) else 0)

    def read(self, piece: Any, number: int = 0) -> NDArray[np.float32]:
        """The frames of a piece, checked; `number` is its own, for messages."""
        try:
            frames = np.asarray(piece, np.float32)
        except (TypeError, ValueError):
            raise DataError(
                f"piece {number} holds something that is no number; give frames of 0 and 1"
            ) from None
        if frames.ndim != 2 or frames.size == 0:
            raise DataError(
                f"piece {number} has shape {list(frames.shape)}; it must be [frames, notes] with at least "
                f"one frame"
            )
        if frames.shape[1] != self.notes:
            raise DataError(
                f"piece {number} has {frames.shape[1]} notes a frame, where {self.notes} are expected"
            )
        odd = ~((frames == 0) | (frames == 1)).all(axis=1)
        if odd.any():
            raise DataError(f"piece {number}, frame {int(np.argmax(odd))} holds numbers besides 0 and 1")
        return frames

    def config(self) -> dict[str, Any]:
        return {"unit": self.unit, **asdict(self)}


UNITS: dict[str, type[Any]] = {one.unit: one for one in (Characters, Bytes, Words, Pairs, Notes)}


def tokens_of(config: dict[str, Any]) -> Any:
    """The tokens or notes that `config()` describes."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    made = UNITS[str(fields.pop("unit"))](**fields)
    check_fields(made)
    return made


def _text(text: Any) -> str:
    if isinstance(text, (bytes, bytearray)):
        try:
            return bytes(text).decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte {error.start + 1:,} of the text, 0x{text[error.start]:02x}, is no UTF-8: convert "
                "it, or read it as it is with unit='bytes'"
            ) from None
    if not isinstance(text, str):
        raise DataError(f"a text is {type(text).__name__}; it must be text or bytes")
    return valid_text(text, "the text")


def valid_text(text: str, what: str) -> str:
    """The text, called `what`; raises `DataError` where it holds what is no character of Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{what} has {text[error.start]!r} as character {error.start + 1:,}, which is no character of "
            "Unicode and fits in no file: read it in its own encoding, or leave it out"
        ) from None
    return text
