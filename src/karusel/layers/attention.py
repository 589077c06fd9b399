"""Attention: a layer through which each step looks at another sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from karusel.arguments import whole_number
from karusel.errors import UsageError
from karusel.layers.activation import Activation
from karusel.layers.base import Layer, NewParameter, Shape
from karusel.layers.dense import Dense
from karusel.layers.embedding import Embedding
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Extent

__all__ = ["Attention"]


class Attention(Layer):
    """Each step looks at all steps of its row's source, a second sequence with lengths of its own.

    The encoder's layers make m_1 .. m_S [D] of the source; then (Luong, Pham & Manning 2015, "general")::

        p_t = softmax_s(x_t Q . m_s)
        c_t = sum_s p_ts m_s
        y_t = tanh(c_t C + x_t O)

    Input [B, T, I], output [B, T, units]. Q [I, D], C [D, units] and O [I, units] begin Glorot-uniform. The
    source is given to `fit`, `evaluate` and `predict` as `source=`. A network has one Attention at most.

    Parameters
    ----------
    units
        The number of outputs.
    encoder
        The layers that read the source, with an output per step. The first is an Embedding, or has an
        `input_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> from karusel import LSTM, Attention, Dense, Embedding, Sequential
    >>> encoder = [Embedding(20, 8), LSTM(8, direction="bidirectional", return_sequences=True)]
    >>> net = Sequential(
    ...     [Embedding(30, 8), LSTM(12, return_sequences=True), Attention(10, encoder), Dense(30)]
    ... )
    >>> net.build((None, 1))
    >>> y = net.predict([np.array([0, 3, 4])], source=[np.array([7, 1, 5, 2])])
    >>> [one.shape for one in y]
    [(3, 30)]
    """

    kind = "attention"

    def __init__(
        self,
        units: int,
        encoder: Sequence[Layer],
        *,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.units = whole_number("Attention", "units", units)
        self.encoder = list(encoder)
        if not self.encoder or not all(isinstance(layer, Layer) for layer in self.encoder):
            raise UsageError(f"Attention: encoder must be a list of karusel layers, got {encoder!r}")
        if any(isinstance(layer, Attention) for layer in self.encoder):
            raise UsageError("Attention: the encoder cannot hold an Attention: a row has one source")
        if any(getattr(layer, "initial_state", None) == "given" for layer in self.encoder):
            raise UsageError("Attention: initial_state='given' is for LSTMs outside the encoder")
        first, indices = self.encoder[0], isinstance(self.encoder[0], Embedding)
        if first.input_shape is None and not indices:
            raise UsageError(
                "Attention: the encoder's first layer needs input_shape=(None, numbers per step)"
            )
        read = first.input_shape or (None, 1)
        self.source = Shape(int(read[-1] or 1), True, indices)
        *_, self._memory = self._flow()
        if not self._memory.per_step:
            raise UsageError(
                "Attention: the encoder must have an output per step; give its last LSTM "
                "return_sequences=True"
            )
        self._query = Dense(self.memory_width, use_bias=False)
        self._context = Dense(self.units, use_bias=False)
        self._own = Dense(self.units, use_bias=False)

    @property
    def memory_width(self) -> int:
        """D, the numbers that the encoder makes of each step of the source."""
        return self._memory.width

    def _flow(self) -> Iterator[Shape]:
        """What goes into each of the encoder's layers, and what comes out of the last."""
        flow = self.source
        yield flow
        for layer in self.encoder:
            flow = layer.output_shape(flow)
            yield flow

    def settings(self) -> dict[str, Any]:
        return {"units": self.units, "encoder": [layer.config() for layer in self.encoder]}

    def __repr__(self) -> str:
        return f"Attention(units={self.units}, encoder={self.encoder!r})"

    def output_shape(self, shape: Shape) -> Shape:
        self._need_steps(shape)
        return Shape(self.units, True)

    def parameters(self, shape: Shape) -> list[NewParameter]:
        memory = Shape(self.memory_width, True)
        parts: list[tuple[str, Layer, Shape]] = [
            (f"{layer.kind}_{i}", layer, flow)
            for i, (layer, flow) in enumerate(zip(self.encoder, self._flow(), strict=False))
        ]
        parts += [
            ("query", self._query, shape),
            ("context", self._context, memory),
            ("own", self._own, shape),
        ]
        return [
            NewParameter(f"{name}.{p.name}", p.rows, p.cols, p.initial, p.vector)
            for name, layer, flow in parts
            for p in layer.parameters(flow)
        ]

    # -- lowering --------------------------------------------------------------------------------

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        if lowering.stateful:
            raise UsageError("a stream cannot attend: its network needs a source; see karusel.searching")
        if lowering.encoded:
            memory = Signal(lowering.input("source", Extent.SOURCE, self.memory_width), False)
        else:
            source = lowering.input("source", Extent.SOURCE, self.source.width, integer=self.source.integer)
            memory = self.encode(lowering, Signal(source, False))
        query = self._part(lowering, "query", self._query, x)
        context = self._attend(lowering, query, memory)
        seen = self._part(lowering, "context", self._context, context)
        own = self._part(lowering, "own", self._own, x)
        total = Signal(lowering.buffer("sum", x.view.extent, self.units), True)
        lowering.emit("add", {"a": seen.view, "b": own.view, "y": total.view})

        def backward() -> None:
            for one in (seen, own):
                lowering.share_gradient(one, lowering.read_gradient(total))

        lowering.on_backward(backward)
        return Activation("tanh").lower(lowering, total)

    def encode(self, lowering: Lowering, source: Signal) -> Signal:
        """The source as the encoder's layers leave it."""
        for i, layer in enumerate(self.encoder):
            source = self._part(lowering, f"{layer.kind}_{i}", layer, source)
        return source

    def _part(self, lowering: Lowering, name: str, layer: Layer, x: Signal) -> Signal:
        scope = lowering.scope
        lowering.enter(f"{scope}.{name}")
        y = layer.lower(lowering, x)
        lowering.enter(scope)
        return y

    def _attend(self, lowering: Lowering, query: Signal, memory: Signal) -> Signal:
        context = Signal(lowering.buffer("seen", query.view.extent, self.memory_width), True)
        weights = lowering.buffer("weights", query.view.extent, lowering.source_steps)
        read = {"queries": query.view, "keys": memory.view, "values": memory.view}
        lowering.emit(
            "attention_forward", {**read, "context": context.view, "weights": weights}, {"scale": 1.0}
        )
        if lowering.weights:
            lowering.program.outputs[f"{lowering.scope}.weights"] = weights

        def backward() -> None:
            dqueries, add_queries = lowering.write_gradient(query)
            dvalues, add_values = lowering.write_gradient(memory)
            dkeys, add_keys = lowering.write_gradient(memory)
            lowering.emit_backward(
                "attention_backward",
                {
                    **read,
                    "context": context.view,
                    "dcontext": lowering.read_gradient(context),
                    "weights": weights,
                    "dqueries": dqueries,
                    "dkeys": dkeys,
                    "dvalues": dvalues,
                },
                {
                    "scale": 1.0,
                    "accumulate_queries": add_queries,
                    "accumulate_keys": add_keys,
                    "accumulate_values": add_values,
                },
            )

        lowering.on_backward(backward)
        return context
