"""Layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from karusel.arguments import positive
from karusel.layers.base import Layer, NewParameter, Shape
from karusel.program.lowering import Lowering, Signal

__all__ = ["LayerNorm"]


class LayerNorm(Layer):
    """y = gain (x - mean) / sqrt(variance + epsilon) + bias, over each line (Ba, Kiros & Hinton 2016).

    gain begins at 1, bias at 0.

    Parameters
    ----------
    epsilon
        Added to the variance. Default 1e-5, as in PyTorch (Keras: 1e-3).
    """

    kind = "layernorm"

    def __init__(self, epsilon: float = 1e-5, *, input_shape: tuple[int | None, ...] | None = None) -> None:
        super().__init__(input_shape)
        self.epsilon = positive("LayerNorm", "epsilon", epsilon)

    def settings(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}

    def output_shape(self, shape: Shape) -> Shape:
        self._need_numbers(shape)
        return shape

    def parameters(self, shape: Shape) -> list[NewParameter]:
        return [
            NewParameter("gain", 1, shape.width, lambda r: np.ones(shape.width), vector=True),
            NewParameter("bias", 1, shape.width, lambda r: np.zeros(shape.width), vector=True),
        ]

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        gain, bias = lowering.parameter("gain"), lowering.parameter("bias")
        y = Signal(lowering.buffer("y", x.view.extent, x.width), True)
        stats = lowering.buffer("stats", x.view.extent, 2)
        lowering.emit(
            "layer_norm_forward",
            {"x": x.view, "gain": gain, "bias": bias, "y": y.view, "stats": stats},
            {"epsilon": self.epsilon},
        )

        def backward() -> None:
            dx, accumulate = lowering.write_gradient(x)
            lowering.emit_backward(
                "layer_norm_backward",
                {
                    "x": x.view,
                    "gain": gain,
                    "stats": stats,
                    "dy": lowering.read_gradient(y),
                    "dx": dx,
                    "dgain": lowering.gradient(gain),
                    "dbias": lowering.gradient(bias),
                },
                {"accumulate": accumulate},
            )

        lowering.on_backward(backward)
        return y
