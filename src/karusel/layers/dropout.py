"""Dropout."""

from __future__ import annotations

from typing import Any

from karusel.errors import UsageError
from karusel.layers.base import Layer, Shape, share
from karusel.program.lowering import Lowering, Signal

__all__ = ["Dropout", "lower_dropout"]


class Dropout(Layer):
    """In training, each number is zero with probability `rate`, else divided by 1 - rate; elsewhere y = x.

    Masks depend on the seed, the training step and the number's place in the batch alone
    (Srivastava et al. 2014).

    Parameters
    ----------
    rate
        Probability in [0, 1).
    """

    kind = "dropout"

    def __init__(self, rate: float, *, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().__init__(input_shape)
        self.rate = share("Dropout", "rate", rate)

    def settings(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def output_shape(self, shape: Shape) -> Shape:
        if shape.integer:
            raise UsageError("Dropout: the input is whole numbers; put an Embedding before it")
        return shape

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        return lower_dropout(lowering, x, self.rate)


def lower_dropout(lowering: Lowering, x: Signal, rate: float) -> Signal:
    """Dropout of a signal; the signal itself where the program does not train."""
    if not lowering.training or rate == 0:
        return x
    salt = lowering.dropout_salt()
    y = Signal(lowering.buffer("dropout", x.view.extent, x.width), x.learns)
    lowering.emit("dropout_forward", {"x": x.view, "y": y.view}, {"rate": rate, "salt": salt})

    def backward() -> None:
        dx, accumulate = lowering.write_gradient(x)
        if dx is not None:
            lowering.emit_backward(
                "dropout_backward",
                {"dy": lowering.read_gradient(y), "dx": dx},
                {"rate": rate, "salt": salt, "accumulate": accumulate},
            )

    lowering.on_backward(backward)
    return y
