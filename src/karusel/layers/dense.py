"""The dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from karusel.arguments import whole_number
from karusel.errors import UsageError
from karusel.initializers import glorot_uniform
from karusel.layers.activation import Activation
from karusel.layers.base import Layer, NewParameter, Shape
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Parameter

__all__ = ["Dense"]


class Dense(Layer):
    """y = f(x W + b), for each step or for each row.

    W [I, O] begins Glorot-uniform, b [O] at zero. Tied, it is the transpose of the Embedding's E.

    Parameters
    ----------
    units
        O, the number of outputs.
    activation
        None, "tanh", "sigmoid", "relu" or "softmax"; see `Activation`.
    use_bias
        Whether there is a b.
    tied
        Shares the weights of the Embedding before it: I numbers per symbol, O symbols (Inan et al. 2017;
        Press & Wolf 2017).
    """

    kind = "dense"

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        *,
        use_bias: bool = True,
        tied: bool = False,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.units = whole_number("Dense", "units", units)
        self.activation = activation
        self.use_bias = bool(use_bias)
        self.tied = bool(tied)
        if activation is not None:
            Activation(activation)

    def settings(self) -> dict[str, Any]:
        settings = {"units": self.units, "activation": self.activation, "use_bias": self.use_bias}
        return settings | ({"tied": True} if self.tied else {})

    def output_shape(self, shape: Shape) -> Shape:
        self._need_numbers(shape)
        return Shape(self.units, shape.per_step)

    def parameters(self, shape: Shape) -> list[NewParameter]:
        weight = NewParameter(
            "W", shape.width, self.units, lambda r: glorot_uniform(r, shape.width, self.units)
        )
        bias = NewParameter("b", 1, self.units, lambda r: np.zeros(self.units), vector=True)
        return [weight] * (not self.tied) + [bias] * self.use_bias

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        W = self._embedding(lowering, x) if self.tied else lowering.parameter("W")
        b = lowering.parameter("b") if self.use_bias else None
        y = Signal(lowering.buffer("y", x.view.extent, self.units), True)
        lowering.emit(
            "dense_forward", {"x": x.view, "W": W, "b": b, "y": y.view}, {"transposed": int(self.tied)}
        )

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
                {"accumulate": accumulate, "transposed": int(self.tied)},
            )

        lowering.on_backward(backward)
        return y if self.activation is None else Activation(self.activation).lower(lowering, y)

    def _embedding(self, lowering: Lowering, x: Signal) -> Parameter:
        """E [O, I] of the network's Embedding."""
        E = lowering.embedding
        if E is None:
            raise UsageError(
                "Dense: tied=True shares an Embedding's weights, but the network begins with none"
            )
        if E.shape != (self.units, x.width):
            raise UsageError(
                f"Dense: tied=True needs as many units as the Embedding has symbols and as many inputs as it "
                f"has numbers for each, {E.rows} and {E.cols}; here they are {self.units} and {x.width}"
            )
        return E
