"""Dropout."""

from __future__ import annotations

from typing import Any

from karusel.arguments import share
from karusel.layers.base import Layer, Shape
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Attributes, Extent, Parameter, View

__all__ = ["Dropout", "lower_dropout", "lower_mask", "lower_weight_drop"]


class Dropout(Layer):
    """In training, each number is zero with probability `rate`, else divided by 1 - rate; elsewhere y = x.

    Masks depend on the seed, the training step and the number's place in the batch alone
    (Srivastava et al. 2014).

    Parameters
    ----------
    rate
        Probability in [0, 1).
    variational
        All steps of a row share one mask (Gal & Ghahramani 2016).
    """

    kind = "dropout"

    def __init__(
        self,
        rate: float,
        *,
        variational: bool = False,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.rate = share("Dropout", "rate", rate)
        self.variational = bool(variational)

    def settings(self) -> dict[str, Any]:
        return {"rate": self.rate} | ({"variational": True} if self.variational else {})

    def output_shape(self, shape: Shape) -> Shape:
        self._need_numbers(shape)
        return shape

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        return lower_dropout(lowering, x, self.rate, self.variational)


def lower_dropout(lowering: Lowering, x: Signal, rate: float, variational: bool = False) -> Signal:
    """Dropout of a signal; the signal itself where the program does not train."""
    if not lowering.training or rate == 0:
        return x
    mask: Attributes = {
        "rate": rate,
        "salt": lowering.dropout_salt(),
        "shared": int(variational),
    }
    y = Signal(lowering.buffer("dropout", x.view.extent, x.width), x.learns)
    lowering.emit("dropout_forward", {"x": x.view, "y": y.view}, mask)

    def backward() -> None:
        dx, accumulate = lowering.write_gradient(x)
        if dx is not None:
            lowering.emit_backward(
                "dropout_backward",
                {"dy": lowering.read_gradient(y), "dx": dx},
                {**mask, "accumulate": accumulate},
            )

    lowering.on_backward(backward)
    return y


def lower_mask(lowering: Lowering, name: str, steps: Extent, width: int, rate: float) -> View | None:
    """A mask of its own for each step of each row [N, width]; None where the program does not train."""
    if not lowering.training or rate == 0:
        return None
    mask = lowering.buffer(name, steps, width)
    drawn: Attributes = {"rate": rate, "salt": lowering.dropout_salt(), "shared": 0}
    lowering.emit("dropout_forward", {"x": None, "y": mask}, drawn)
    return mask


def lower_weight_drop(lowering: Lowering, weight: Parameter, rate: float) -> None:
    """Leaves some of a weight out in each training step; call it before what reads the weight is lowered."""
    if not lowering.training or rate == 0:
        return
    mask: Attributes = {"rate": rate, "salt": lowering.dropout_salt()}
    lowering.emit("weight_drop_forward", {"W": weight}, mask)
    # Registered first, so emitted last: by then the gradient is complete.
    lowering.on_backward(
        lambda: lowering.emit_backward("weight_drop_backward", {"dW": lowering.gradient(weight)}, mask)
    )
