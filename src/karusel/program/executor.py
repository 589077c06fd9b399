"""What an executor is: it runs a program over examples. Two exist, `native` and `reference`."""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import choice
from karusel.errors import TooLargeError, UsageError

if TYPE_CHECKING:
    from karusel.batches import Examples
    from karusel.program.program import Program

__all__ = [
    "CALL_SECONDS",
    "EVALUATION_ROWS",
    "Executor",
    "OptimizerState",
    "Progress",
    "Total",
    "as_flat_vector",
    "check_level",
    "check_memory",
    "choose_executor",
    "choose_precision",
    "default_threads",
    "flat_vector",
]

CALL_SECONDS = 0.2  # the engine comes back to Python this often: progress, time limit, Ctrl-C
EVALUATION_ROWS = 1024  # rows of one batch when nothing is learned
CACHE_LINE = 64  # bytes
PADDING = 16  # numbers behind a flat vector that the engine may read, never use

_told = False  # that there is no engine: said once


class Total(NamedTuple):
    """Sums over batches; loss / weight is the mean loss."""

    loss: float
    weight: float

    @property
    def mean(self) -> float:
        return self.loss / self.weight if self.weight else 0.0


class Progress(NamedTuple):
    """How far a call of `train` came. Not finite: the next batch's loss is infinite or NaN."""

    batches: int
    finite: bool


@dataclass
class OptimizerState:
    """Adam's vectors and settings; all vectors have the layout of the flat parameter vector."""

    weights: NDArray[Any]
    m: NDArray[Any]
    v: NDArray[Any]
    average: NDArray[Any] | None
    step: int
    beta_1: float
    beta_2: float
    epsilon: float
    weight_decay: float
    ema_decay: float
    clip_norm: float  # 0: no clipping


class Executor(Protocol):
    """Runs one program, planned for rows, and their sources, of at most some number of steps."""

    program: Program
    dtype: Any

    def evaluate(
        self, weights: NDArray[Any], examples: Examples, order: NDArray[np.int64], batch: int
    ) -> Total:
        """Forward over the examples in `order`; fills the outputs, sums the loss if there is one."""
        ...

    def gradient(
        self,
        weights: NDArray[Any],
        examples: Examples,
        order: NDArray[np.int64],
        seed: int,
        gradient: NDArray[Any],
    ) -> Total:
        """Loss of one batch and its gradient, which overwrites `gradient`; fills the outputs."""
        ...

    def train(
        self,
        optimizer: OptimizerState,
        examples: Examples,
        order: NDArray[np.int64],
        batch: int,
        first_batch: int,
        rates: NDArray[Any],
        seed: int,
        seconds: float,
        totals: NDArray[np.float64],
    ) -> Progress:
        """Steps from batch `first_batch` on, until `order` ends or about `seconds` have passed.

        rates: of the steps to come; a batch of no weight is none. Fills the outputs, which may be inputs of
        later batches, and totals [batches, 2] with each batch's loss and weight.
        """
        ...


def flat_vector(n: int, dtype: Any) -> NDArray[Any]:
    """A zeroed vector that begins with a line of the cache, and that the engine may read a little beyond."""
    whole: NDArray[Any] = np.zeros(n + PADDING + CACHE_LINE // np.dtype(dtype).itemsize, dtype=dtype)
    first = -whole.ctypes.data % CACHE_LINE // whole.itemsize
    return whole[first : first + n]


def as_flat_vector(numbers: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a flat vector."""
    vector = flat_vector(len(numbers), numbers.dtype)
    vector[:] = numbers
    return vector


def choose_executor(executor: str) -> str:
    """What a name, or "auto", stands for here: "native" or "reference".

    Raises UsageError for another name, and for an engine that is not installed.
    """
    if isinstance(executor, str) and executor == "auto":
        executor = os.environ.get("KARUSEL_EXECUTOR", "") or "auto"
    choice("Sequential", "executor", executor, ("auto", "native", "reference"))
    if executor == "reference":
        return executor
    try:
        engine = importlib.import_module("karusel._engine")
    except ImportError as error:
        if executor == "native":
            raise UsageError(
                f"the compiled engine is not installed ({error}); use executor='reference'"
            ) from error
        _tell_slow()
        return "reference"
    check_level(engine)
    return "native"


def choose_precision(precision: str, executor: str) -> str:
    """What an executor multiplies in here, "float32" or "bf16"; warns where that is not what was asked for.

    Raises UsageError for another name.
    """
    choice("Sequential", "precision", precision, ("float32", "bf16"))
    if precision == "float32" or executor == "reference":
        return "float32"
    emulate = os.environ.get("KARUSEL_BF16", "")
    if emulate not in ("", "emulate"):
        raise UsageError(f"KARUSEL_BF16 must be empty or emulate, got {emulate!r}")
    from karusel import _engine

    if emulate or _engine.multiplies_bf16():
        return "bf16"
    warnings.warn(
        "this processor has no instructions for bf16 (AVX-512 BF16): float32 is used instead",
        RuntimeWarning,
        stacklevel=3,
    )
    return "float32"


def _tell_slow() -> None:
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "karusel's compiled engine is not installed: the reference executor runs everything, slowly. "
            "Install a C++ compiler (g++) and reinstall karusel.",
            RuntimeWarning,
            stacklevel=4,
        )


def check_level(engine: Any) -> None:
    """Raises UsageError where KARUSEL_LEVEL names no kernels of the engine that this processor can run."""
    wanted = os.environ.get("KARUSEL_LEVEL", "")
    if wanted and wanted not in (known := engine.supported_levels()):
        raise UsageError(f"KARUSEL_LEVEL must be empty or one of {', '.join(known)}, got {wanted!r}")


def default_threads() -> int:
    """min(CPUs this process may use, its cgroup's CPU quota), or KARUSEL_THREADS."""
    chosen = os.environ.get("KARUSEL_THREADS", "").strip()
    if chosen:
        if not chosen.isdigit() or int(chosen) < 1:
            raise UsageError(f"KARUSEL_THREADS must be a whole number from 1 up, got {chosen!r}")
        return int(chosen)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup here, or an older kind: affinity alone decides
    return count


def check_memory(numbers: int, what: str) -> None:
    """Raises TooLargeError before memory for so many 4-byte numbers is asked for in vain."""
    needed = 4 * numbers
    if needed >= 2**62:
        raise TooLargeError(f"{what} needs 2^{needed.bit_length() - 1} bytes: no machine holds that")
    try:
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return
    if needed > available:
        raise TooLargeError(
            f"{what} needs {needed / 2**30:,.1f} GiB, this machine has {available / 2**30:,.1f} GiB in all: "
            "use fewer units, shorter sequences or smaller batches"
        )
