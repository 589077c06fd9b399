"""Element-wise activations, and softmax over a line."""

from __future__ import annotations

from typing import Any

from karusel.arguments import choice
from karusel.errors import UsageError
from karusel.layers.base import Layer, Shape
from karusel.program.kernels import FUNCTIONS
from karusel.program.lowering import Lowering, Signal

__all__ = ["Activation"]

NAMES = (*FUNCTIONS, "softmax")


class Activation(Layer):
    """y = f(x), f one of tanh, sigmoid, relu; or softmax: exp(x) / sum exp(x) over each line.

    Softmax and sigmoid as the last of a network's layers are taken together with the cross-entropy
    losses, which read the values before them: the gradient is then exact and never overflows. Softmax
    elsewhere is not trainable here.

    Parameters
    ----------
    function
        "tanh", "sigmoid", "relu" or "softmax".
    """

    kind = "activation"

    def __init__(self, function: str, *, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().__init__(input_shape)
        self.function = choice("Activation", "function", function, NAMES)

    def settings(self) -> dict[str, Any]:
        return {"function": self.function}

    def output_shape(self, shape: Shape) -> Shape:
        self._need_numbers(shape)
        return shape

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        y = Signal(lowering.buffer(self.function, x.view.extent, x.width), x.learns)
        if self.function == "softmax":
            lowering.emit("softmax_forward", {"x": x.view, "y": y.view})
            lowering.on_backward(_refuse_softmax)
            return y
        number = FUNCTIONS.index(self.function)
        lowering.emit("activation_forward", {"x": x.view, "y": y.view}, {"function": number})

        def backward() -> None:
            dx, accumulate = lowering.write_gradient(x)
            if dx is not None:
                lowering.emit_backward(
                    "activation_backward",
                    {"y": y.view, "dy": lowering.read_gradient(y), "dx": dx},
                    {"function": number, "accumulate": accumulate},
                )

        lowering.on_backward(backward)
        return y


def _refuse_softmax() -> None:
    raise UsageError(
        "Activation: softmax can be trained as the network's last layer, with the loss "
        "'softmax_cross_entropy'; the network has another loss or goes on after it"
    )
