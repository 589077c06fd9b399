"""Pooling over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from karusel.errors import UsageError
from karusel.layers.base import Layer, Shape
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Extent

__all__ = ["Pool"]

FUNCTIONS = ("mean", "max")


class Pool(Layer):
    """What all steps of a row come to: the mean of each number, the largest, or both side by side.

    mean: y_j = sum_t x_tj / T;   max: y_j = max_t x_tj, whose gradient goes to the first step that has it.

    Parameters
    ----------
    functions
        "mean", "max", or a list of both. The output is as many times as wide as the input.
    """

    kind = "pool"

    def __init__(
        self,
        functions: str | Sequence[str] = ("mean", "max"),
        *,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(input_shape)
        several = not isinstance(functions, str) and isinstance(functions, Iterable)
        self.functions: tuple[Any, ...] = tuple(functions) if several else (functions,)
        known = all(isinstance(one, str) and one in FUNCTIONS for one in self.functions)
        if not self.functions or not known or len(set(self.functions)) < len(self.functions):
            raise UsageError(f"Pool: functions must be mean, max or both, got {functions!r}")

    def settings(self) -> dict[str, Any]:
        return {"functions": list(self.functions)}

    def output_shape(self, shape: Shape) -> Shape:
        self._need_steps(shape)
        return Shape(shape.width * len(self.functions), False)

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        if lowering.stateful:
            raise UsageError("a stream cannot pool: it would need steps that have not come yet")
        y = Signal(lowering.buffer("y", Extent.ROWS, x.width * len(self.functions)), True)
        for number, function in enumerate(self.functions):
            self._lower_one(lowering, x, y, number * x.width, function)
        return y

    def _lower_one(self, lowering: Lowering, x: Signal, y: Signal, first: int, function: str) -> None:
        part = y.view.columns(first, x.width)
        kept = {} if function == "mean" else {"at": lowering.buffer("at", Extent.ROWS, x.width)}
        lowering.emit(f"{function}_forward", {"x": x.view, "y": part, **kept})

        def backward() -> None:
            dx, accumulate = lowering.write_gradient(x)
            if dx is not None:
                dy = lowering.read_gradient(y).columns(first, x.width)
                lowering.emit_backward(
                    f"{function}_backward", {"dy": dy, **kept, "dx": dx}, {"accumulate": accumulate}
                )

        lowering.on_backward(backward)
