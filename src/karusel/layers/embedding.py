"""The embedding layer."""

from __future__ import annotations

from typing import Any

from karusel.arguments import whole_number
from karusel.errors import UsageError
from karusel.layers.base import Layer, NewParameter, Shape
from karusel.program.lowering import Lowering, Signal

__all__ = ["Embedding"]


class Embedding(Layer):
    """y = E[index]: a learned row of numbers for each of `input_dim` symbols. A network's first layer.

    Several indices per step give their rows side by side. E begins uniform in [-0.05, 0.05].

    Parameters
    ----------
    input_dim
        Number of symbols; indices are 0 .. input_dim - 1.
    output_dim
        D, the numbers per symbol.
    """

    kind = "embedding"

    def __init__(
        self, input_dim: int, output_dim: int, *, input_shape: tuple[int | None, ...] | None = None
    ) -> None:
        super().__init__(input_shape)
        self.input_dim = whole_number("Embedding", "input_dim", input_dim)
        self.output_dim = whole_number("Embedding", "output_dim", output_dim)

    def settings(self) -> dict[str, Any]:
        return {"input_dim": self.input_dim, "output_dim": self.output_dim}

    def output_shape(self, shape: Shape) -> Shape:
        if not shape.integer:
            raise UsageError("Embedding: must be a network's first layer: it reads indices")
        return Shape(shape.width * self.output_dim, shape.per_step)

    def parameters(self, shape: Shape) -> list[NewParameter]:
        size = (self.input_dim, self.output_dim)
        return [NewParameter("E", *size, lambda r: r.uniform(-0.05, 0.05, size=size))]

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        E = lowering.parameter("E")
        y = Signal(lowering.buffer("y", x.view.extent, x.width * self.output_dim), True)
        lowering.emit("embedding_forward", {"index": x.view, "E": E, "y": y.view})
        lowering.on_backward(
            lambda: lowering.emit_backward(
                "embedding_backward",
                {"index": x.view, "dy": lowering.read_gradient(y), "dE": lowering.gradient(E)},
            )
        )
        return y
