"""A program: a flat, printable list of kernel calls on named buffers.

Every network is lowered to one (`karusel.program.lowering`); an executor runs it. Parameters live in
one flat vector, gradients in another of the same layout, all working memory in one arena.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from karusel.program.kernels import KERNELS

__all__ = ["Argument", "Attributes", "Buffer", "Call", "Extent", "Gradient", "Parameter", "Program", "View"]


class Extent(Enum):
    """How many lines a buffer has.

    One per step of each row (N), one per row (B), or one per step of each row's source, a second sequence
    with lengths of its own, which an attention reads (M).
    """

    STEPS = "N"
    ROWS = "B"
    SOURCE = "M"

    @property
    def line(self) -> str:
        """What one line stands for."""
        return {"N": "step", "B": "row", "M": "source step"}[self.value]


@dataclass(frozen=True)
class Buffer:
    """`width` 4-byte numbers a line. A state buffer outlives a run; every other lives in the arena."""

    name: str
    extent: Extent
    width: int
    integer: bool = False
    state: bool = False


@dataclass(frozen=True)
class View:
    """Columns [first, first + width) of a buffer."""

    buffer: Buffer
    first: int
    width: int

    @property
    def extent(self) -> Extent:
        return self.buffer.extent

    def columns(self, first: int, width: int) -> View:
        return View(self.buffer, self.first + first, width)

    def __str__(self) -> str:
        part = "" if self.width == self.buffer.width else f"[{self.first}:{self.first + self.width}]"
        return f"{self.buffer.name}{part}[{self.extent.value},{self.width}]"


@dataclass(frozen=True)
class Parameter:
    """A [rows, cols] array, or a vector [cols] (one row), at `offset` of the flat parameter vector."""

    name: str
    offset: int
    rows: int
    cols: int
    vector: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.cols,) if self.vector else (self.rows, self.cols)

    @property
    def size(self) -> int:
        return self.rows * self.cols

    def __str__(self) -> str:
        return f"{self.name}[{self.rows},{self.cols}]"


@dataclass(frozen=True)
class Gradient:
    """The place in the flat gradient vector that belongs to a parameter."""

    parameter: Parameter

    def __str__(self) -> str:
        return f"d{self.parameter}"


Argument = Union[View, Parameter, Gradient, None]  # noqa: UP007 - a runtime alias, Python 3.10 included
Attributes = Mapping[str, float | tuple[float, ...]]  # numbers by name, in the kernel's order


@dataclass(frozen=True)
class Call:
    """One kernel call. `arguments` and `attributes` are complete and in the kernel's order."""

    kernel: str
    arguments: Mapping[str, Argument]
    attributes: Attributes

    def numbers(self) -> list[float]:
        """The attributes as the engine takes them: one flat list."""
        flat: list[float] = []
        for value in self.attributes.values():
            flat.extend(value if isinstance(value, tuple) else (value,))
        return flat

    def flops(self) -> int:
        """Floating-point operations per line of the call's first buffer."""
        widths = {
            name: argument.width for name, argument in self.arguments.items() if isinstance(argument, View)
        }
        return KERNELS[self.kernel].flops(widths)

    def extent(self) -> Extent:
        for argument in self.arguments.values():
            if isinstance(argument, View):
                return argument.extent
        return Extent.ROWS

    def __str__(self) -> str:
        kernel = KERNELS[self.kernel]

        def given(names: tuple[str, ...]) -> str:
            return " ".join(f"{n}={a}" for n in names if (a := self.arguments[n]) is not None)

        numbers = ", ".join(
            f"{name}={value:g}" if isinstance(value, (int, float)) else f"{name}={value}"
            for name, value in self.attributes.items()
            if value or name in ("rate", "quantiles")
        )
        head = self.kernel + (f"({numbers})" if numbers else "")
        flops = self.flops()
        cost = f"   {flops:,} FLOP/{self.extent().line}" if flops else ""
        return f"{head}  {given(kernel.reads)} -> {given(kernel.writes)}{cost}"


@dataclass
class Program:
    """A network lowered to kernel calls.

    forward, backward: calls in order; a loss call ends the forward part of a program that has a loss.
    inputs: buffers that examples fill, by role: "x", "source", "target", "weight", "NAME.h0"/"NAME.c0" of an
        LSTM whose initial state is given, and "dy" where a gradient by the outputs comes from outside.
    outputs: views that a caller reads back: "y", "dx", "NAME.weights" of an attention, and of an LSTM
        "NAME.hn"/"NAME.cn", "NAME.gates"/"NAME.c"/"NAME.h" or "NAME.dh" of all steps.
    states: buffers that outlive a run, by name.
    """

    parameters: list[Parameter] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    forward: list[Call] = field(default_factory=list)
    backward: list[Call] = field(default_factory=list)
    inputs: dict[str, Buffer] = field(default_factory=dict)
    outputs: dict[str, View] = field(default_factory=dict)
    states: dict[str, Buffer] = field(default_factory=dict)
    loss: Call | None = None

    @property
    def calls(self) -> list[Call]:
        return self.forward + self.backward

    @property
    def n_parameters(self) -> int:
        return sum(p.size for p in self.parameters)

    def flops(self, rows: int, steps: int, source_steps: int = 0) -> int:
        """Floating-point operations of one run over `rows` rows of `steps` steps."""
        lines = {Extent.STEPS: steps, Extent.ROWS: 1, Extent.SOURCE: source_steps}
        return sum(call.flops() * rows * lines[call.extent()] for call in self.calls)

    def __str__(self) -> str:
        lines = [f"program: {self.n_parameters:,} parameters, {len(self.calls)} calls"]
        for title, calls in (("forward", self.forward), ("backward", self.backward)):
            if calls:
                lines.append(title)
                lines.extend(f"  {call}" for call in calls)
        return "\n".join(lines)
