"""What commands of models that write do alike: texts read, a fit told in nats, and the width of a search."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from karusel.cli.document import versions
from karusel.cli.progress import Progress
from karusel.cli.work import naming
from karusel.errors import DataError, unreadable
from karusel.sources.origin import STDIN

if TYPE_CHECKING:
    from karusel.tasks.captioner import Captioner
    from karusel.tasks.generator import Generator
    from karusel.tasks.translator import Translator

__all__ = ["Fit", "decoded", "fit", "read_bytes", "searching"]


class _Searching(Protocol):
    beam_width: int


S = TypeVar("S", bound=_Searching)


@dataclass(frozen=True)
class Fit:
    """What a fit came to: nats on what is held out, by epoch, seconds of the command, and its file."""

    losses: list[float]
    weights: int
    seconds: float
    out: Path

    @property
    def best(self) -> int:
        """The number of the best epoch, from 0."""
        return int(np.argmin(self.losses))

    def document(self) -> dict[str, Any]:
        """The end of the document that says so."""
        return {
            "weights": self.weights,
            "epochs": len(self.losses),
            "best_epoch": self.best + 1,
            "held_out": {"nats": self.losses[self.best]},
            "out": str(self.out),
            "seconds": round(self.seconds, 3),
            "versions": versions(),
        }

    def line(self, each: str) -> str:
        """The same in words; `each` is what nats are counted by."""
        return (
            f"best of {len(self.losses)} epochs: {self.losses[self.best]:.3f} nats per {each} "
            f"on what is held out; {self.seconds:.0f} s"
        )


def fit(
    model: Generator | Translator | Captioner,
    name: str,
    out: Path,
    started: float,
    progress: Progress,
    *data: Any,
    **options: Any,
) -> Fit:
    """Fits a model to data called `name`, tells of each epoch, and writes the model to `out`."""

    def epoch(number: int, logs: dict[str, float]) -> None:
        following = min(number + 2, model.epochs)
        progress(f"epoch {following}/{model.epochs}, {logs['val_loss']:.3f} nats on what is held out")

    progress(f"epoch 1/{model.epochs}")
    with naming(name):
        model.fit(*data, **options, progress=epoch)
    progress(f"writing {out}")
    model.save(out)
    seconds = time.perf_counter() - started
    return Fit(model.history_["val_loss"], model.network_.count_params(), seconds, out)


def read_bytes(name: str) -> bytes:
    """What a file, or standard input, holds."""
    try:
        return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise unreadable(name, error) from None


def decoded(name: str, data: bytes, remedy: str) -> str:
    """Text in UTF-8, without the mark (BOM) that some programs put before it."""
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: byte {error.start + 1:,}, 0x{data[error.start]:02x}, is no UTF-8 text; {remedy}"
        ) from None


def searching(model: S, beam_width: int | None) -> S:
    """The model, with another width of its search if one is given."""
    if beam_width is not None:
        model.beam_width = beam_width
    return model
