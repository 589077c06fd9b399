"""The steps of a row in another order."""

from __future__ import annotations

from typing import Any

from karusel.arguments import whole_number
from karusel.errors import UsageError
from karusel.layers.base import Layer, Shape
from karusel.program.lowering import Lowering, Signal

__all__ = ["Transpose"]


class Transpose(Layer):
    """The steps of each row as a grid of C columns, written row by row, read column by column.

    y = x_0, x_C, x_2C, ..., x_1, x_C+1, ...: a grid of R rows and C columns becomes one of C rows and R
    columns. `LSTM(dilation=C)` reads down (and up) all columns of a grid at once. So sweeps in four
    directions over an image are `LSTM(H, direction="bidirectional", dilation=C, return_sequences=True)`,
    `Transpose(C)`, the same LSTM with `dilation=R`, and `Transpose(R)`, after which the steps are in their
    old order (ReNet; Visin et al., 2015). A grid of more axes takes one such pair for each axis, with the
    product of the others.

    Parameters
    ----------
    columns
        C, a whole number from 1 up.
    """

    kind = "transpose"

    def __init__(self, columns: int, *, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().__init__(input_shape)
        self.columns = whole_number("Transpose", "columns", columns)

    def settings(self) -> dict[str, Any]:
        return {"columns": self.columns}

    def output_shape(self, shape: Shape) -> Shape:
        self._need_steps(shape)
        return shape

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        if lowering.stateful:
            raise UsageError("a stream cannot transpose: it would need steps that have not come yet")
        y = Signal(lowering.buffer("y", x.view.extent, x.width), x.learns)
        lowering.emit("transpose_forward", {"x": x.view, "y": y.view}, {"columns": self.columns})

        def backward() -> None:
            dx, accumulate = lowering.write_gradient(x)
            if dx is not None:
                lowering.emit_backward(
                    "transpose_backward",
                    {"dy": lowering.read_gradient(y), "dx": dx},
                    {"columns": self.columns, "accumulate": accumulate},
                )

        lowering.on_backward(backward)
        return y
