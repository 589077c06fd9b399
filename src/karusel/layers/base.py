"""What a layer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import is_whole
from karusel.errors import UsageError
from karusel.program.lowering import Lowering, Signal

__all__ = ["Layer", "NewParameter", "Shape", "read_shape"]


@dataclass(frozen=True)
class Shape:
    """What flows between two layers: `width` numbers, per step or per row."""

    width: int
    per_step: bool
    integer: bool = False


@dataclass(frozen=True)
class NewParameter:
    """A parameter that a layer asks for: a [rows, cols] array, or a vector [cols] (one row)."""

    name: str
    rows: int
    cols: int
    initial: Callable[[np.random.Generator], NDArray[np.float64]]
    vector: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.cols,) if self.vector else (self.rows, self.cols)


class Layer(ABC):
    """A layer knows its settings, its parameters for an input, and how to lower itself to kernel calls.

    A layer holds no arrays: parameters belong to the network.
    """

    kind: ClassVar[str]

    def __init__(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        self.input_shape = None if input_shape is None else read_shape(input_shape)

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """What comes out for what goes in; raises UsageError for what cannot go in."""

    def parameters(self, shape: Shape) -> list[NewParameter]:
        """The parameters for an input of this shape."""
        return []

    @abstractmethod
    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        """Emits the layer's calls."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments, in types that JSON has."""

    def _need_numbers(self, shape: Shape) -> None:
        """Raises UsageError for whole numbers, which only an Embedding reads."""
        if shape.integer:
            raise UsageError(f"{type(self).__name__}: the input is whole numbers; put an Embedding before it")

    def _need_steps(self, shape: Shape) -> None:
        """Raises UsageError unless numbers come in at each step."""
        self._need_numbers(shape)
        if not shape.per_step:
            raise UsageError(
                f"{type(self).__name__}: the input has no time steps; give the LSTM before it "
                "return_sequences=True"
            )

    def config(self) -> dict[str, Any]:
        config = {"kind": self.kind, **self.settings()}
        if self.input_shape is not None:
            config["input_shape"] = list(self.input_shape)
        return config

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings().items())})"


def read_shape(shape: Any) -> tuple[int] | tuple[int | None, int]:
    """The shape of a row of inputs: (I,), or (T, I), where T may be None; UsageError for anything else."""
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    whole = [is_whole(n) and n >= 1 for n in sizes]
    if len(sizes) == 1 and all(whole):
        return (int(sizes[0]),)
    if len(sizes) == 2 and whole[1] and (whole[0] or sizes[0] is None):
        return (None if sizes[0] is None else int(sizes[0]), int(sizes[1]))
    raise UsageError(
        "input_shape must be (steps, inputs) or (inputs,), of whole numbers from 1 up; steps may be None: "
        f"got {shape!r}"
    )
