"""The dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from karusel.errors import UsageError
from karusel.initializers import glorot_uniform
from karusel.layers.activation import Activation
from karusel.layers.base import Layer, NewParameter, Shape, positive_integer
from karusel.program.lowering import Lowering, Signal

__all__ = ["Dense"]


class Dense(Layer):
    """y = f(x W + b), for each step or for each row.

    W [I, O] begins Glorot-uniform, b [O] at zero.

    Parameters
    ----------
    units
        O, the number of outputs.
    activation
        None, "tanh", "sigmoid", "relu" or "softmax"; see `Activation`.
    use_bias
        Whether there is a b.
    """

    kind = "dense"

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        *,
        use_bias: bool = True,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.units = positive_integer("Dense", "units", units)
        self.activation = activation
        self.use_bias = bool(use_bias)
        if activation is not None:
            Activation(activation)

    def settings(self) -> dict[str, Any]:
        return {"units": self.units, "activation": self.activation, "use_bias": self.use_bias}

    def output_shape(self, shape: Shape) -> Shape:
        if shape.integer:
            raise UsageError("Dense: the input is whole numbers; put an Embedding before it")
        return Shape(self.units, shape.per_step)

    def parameters(self, shape: Shape) -> list[NewParameter]:
        weight = NewParameter(
            "W", shape.width, self.units, lambda r: glorot_uniform(r, shape.width, self.units)
        )
        bias = NewParameter("b", 1, self.units, lambda r: np.zeros(self.units), vector=True)
        return [weight, bias] if self.use_bias else [weight]

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        W = lowering.parameter("W")
        b = lowering.parameter("b") if self.use_bias else None
        y = Signal(lowering.buffer("y", x.view.extent, self.units), True)
        lowering.emit("dense_forward", {"x": x.view, "W": W, "b": b, "y": y.view})

        def backward() -> None:
            dx, accumulate = lowering.write_gradient(x)
            lowering.emit_backward(
                "dense_backward",
                {
                    "x": x.view,
                    "W": W,
                    "dy": lowering.read_gradient(y),
                    "dx": dx,
                    "dW": lowering.gradient(W),
                    "db": lowering.gradient(b) if b is not None else None,
                },
                {"accumulate": accumulate},
            )

        lowering.on_backward(backward)
        return y if self.activation is None else Activation(self.activation).lower(lowering, y)
