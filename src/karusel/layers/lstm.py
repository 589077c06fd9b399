"""The LSTM layer: any depth, one or both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from karusel.arguments import choice, share, whole_number
from karusel.errors import UsageError
from karusel.initializers import chrono_bias, glorot_uniform, lstm_bias, orthogonal
from karusel.layers.base import Layer, NewParameter, Shape
from karusel.layers.dropout import lower_dropout, lower_mask, lower_weight_drop
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Attributes, Extent, View

__all__ = ["LSTM"]

MOST_LAYERS = 999  # a bound for settings from a damaged file, far beyond what can be trained
EPSILON = 1e-5  # of layer norm, added to the variance
DIRECTIONS = {
    "forward": ("forward",),
    "backward": ("backward",),
    "bidirectional": ("forward", "backward"),
}


class LSTM(Layer):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

    With gates i, f, g, o in this order and rows as vectors::

        a_t = x_t W + h_{t-1} U + b
        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o);  g = tanh(a_g)
        c_t = f * c_{t-1} + i * g
        h_t = o * tanh(c_t)

    Input [B, T, I]; output [B, H], the last hidden state, or [B, T, H]; 2H wide when bidirectional
    (forward first). Parameters per depth and direction: W [I, 4H] begins Glorot-uniform, U [H, 4H]
    orthogonal per gate, b [4H] zero but 1 for the forget gate. PyTorch keeps transposed weights and two
    biases, which add up to b; Keras keeps these shapes and this order.

    Parameters
    ----------
    hidden_size
        H, units per direction. Keras calls it `units`.
    num_layers
        Depth: each further LSTM reads the outputs of the one before.
    direction
        "forward", "backward" (from each row's last step to its first) or "bidirectional".
    return_sequences
        All outputs [B, T, H] instead of the last.
    dilation
        d: the recurrence reaches d steps back (t-1 above becomes t-d). One number, or one per depth
        (Chang et al. 2017).
    residual
        Adds the input to the output of each LSTM whose widths agree.
    dropout
        Rate of the dropout between depths (not after the last). In [0, 1).
    weight_drop
        Share of U's numbers that each training step leaves out, the same for all rows and steps (DropConnect:
        Wan et al. 2013; on recurrent weights: Merity et al. 2018). In [0, 1).
    layer_norm
        Normalises what the gates read of the hidden state, all 4H numbers of a step together (after Ba,
        Kiros & Hinton 2016, who normalise x W and c too)::

            a_t = x_t W + gain * (z_t - mean(z_t)) / sqrt(variance(z_t) + 1e-5) + b;  z_t = h_{t-1} U

        gain [4H] begins at 1. Where h is near zero this is steep: a gradient can grow eightyfold with each
        step of a run of zeros at the start of a sequence. Data with long ones is better learned without it.
    recurrent_dropout
        Rate at which the candidate g is left out as it is written into c, anew at each step, so that what is
        in memory stays (Semeniuta et al. 2016). In [0, 1). Keras's argument of this name drops h instead.
    initial_state
        "zeros", "learned" (parameters h0, c0 [H]), or "given" with each call of fit and predict.
    init
        "default", or "chrono" for long memory: b_f = log U(1, chrono_length - 1), b_i = -b_f
        (Tallec & Ollivier 2018).
    chrono_length
        Steps that memory should span; needed with init="chrono".
    input_shape
        (T, I) for a first layer, T may be None. Otherwise found at the first fit.

    Raises
    ------
    UsageError
        For a setting outside its rule.

    Examples
    --------
    >>> from karusel import LSTM, Dense, Sequential
    >>> Sequential([LSTM(50), Dense(1)])
    Sequential([LSTM(hidden_size=50), Dense(units=1, activation=None, use_bias=True)])
    """

    kind = "lstm"

    def __init__(
        self,
        hidden_size: int,
        *,
        num_layers: int = 1,
        direction: str = "forward",
        return_sequences: bool = False,
        dilation: int | Sequence[int] = 1,
        residual: bool = False,
        dropout: float = 0.0,
        layer_norm: bool = False,
        weight_drop: float = 0.0,
        recurrent_dropout: float = 0.0,
        initial_state: str = "zeros",
        init: str = "default",
        chrono_length: int | None = None,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(input_shape)
        self.hidden_size = whole_number("LSTM", "hidden_size", hidden_size)
        self.num_layers = whole_number("LSTM", "num_layers", num_layers, most=MOST_LAYERS)
        self.direction = choice("LSTM", "direction", direction, DIRECTIONS)
        self.return_sequences = bool(return_sequences)
        one = np.ndim(dilation) == 0
        each = [dilation] * self.num_layers if one else list(cast("Sequence[int]", dilation))
        if len(each) != self.num_layers:
            raise UsageError(
                f"LSTM: dilation must be one number or one per depth: {self.num_layers} wanted, "
                f"got {len(each)}"
            )
        self.dilation = tuple(whole_number("LSTM", "dilation", d) for d in each)
        self.residual = bool(residual)
        self.dropout = share("LSTM", "dropout", dropout)
        self.layer_norm = bool(layer_norm)
        self.weight_drop = share("LSTM", "weight_drop", weight_drop)
        self.recurrent_dropout = share("LSTM", "recurrent_dropout", recurrent_dropout)
        self.initial_state = choice("LSTM", "initial_state", initial_state, ("zeros", "learned", "given"))
        self.init = choice("LSTM", "init", init, ("default", "chrono"))
        self.chrono_length = None
        if chrono_length is not None:
            self.chrono_length = whole_number("LSTM", "chrono_length", chrono_length)
        elif self.init == "chrono":
            raise UsageError("LSTM: init='chrono' needs chrono_length, the steps that memory should span")

    @property
    def directions(self) -> tuple[str, ...]:
        return DIRECTIONS[self.direction]

    @property
    def width(self) -> int:
        """Width of the output."""
        return self.hidden_size * len(self.directions)

    def settings(self) -> dict[str, Any]:
        full = {
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "direction": self.direction,
            "return_sequences": self.return_sequences,
            "dilation": list(self.dilation),
            "residual": self.residual,
            "dropout": self.dropout,
            "layer_norm": self.layer_norm,
            "weight_drop": self.weight_drop,
            "recurrent_dropout": self.recurrent_dropout,
            "initial_state": self.initial_state,
            "init": self.init,
            "chrono_length": self.chrono_length,
        }
        default = {
            "num_layers": 1,
            "direction": "forward",
            "return_sequences": False,
            "dilation": [1] * self.num_layers,
            "residual": False,
            "dropout": 0.0,
            "layer_norm": False,
            "weight_drop": 0.0,
            "recurrent_dropout": 0.0,
            "initial_state": "zeros",
            "init": "default",
            "chrono_length": None,
        }
        return {k: v for k, v in full.items() if k not in default or v != default[k]}

    def output_shape(self, shape: Shape) -> Shape:
        self._need_steps(shape)
        return Shape(self.width, self.return_sequences)

    def parameters(self, shape: Shape) -> list[NewParameter]:
        H = self.hidden_size
        parameters = []
        for depth in range(self.num_layers):
            inputs = shape.width if depth == 0 else self.width
            for direction in self.directions:
                name = f"{depth}.{direction}"
                parameters += [
                    NewParameter(f"{name}.W", inputs, 4 * H, _input_weight(inputs, H)),
                    NewParameter(f"{name}.U", H, 4 * H, _recurrent_weight(H)),
                    NewParameter(f"{name}.b", 1, 4 * H, self._bias, vector=True),
                ]
                if self.layer_norm:
                    parameters.append(
                        NewParameter(f"{name}.gain", 1, 4 * H, lambda r: np.ones(4 * H), vector=True)
                    )
                if self.initial_state == "learned":
                    for state in ("h0", "c0"):
                        parameters.append(
                            NewParameter(f"{name}.{state}", 1, H, lambda r: np.zeros(H), vector=True)
                        )
        return parameters

    def _bias(self, random: np.random.Generator) -> Any:
        if self.init == "chrono":
            assert self.chrono_length is not None
            return chrono_bias(random, self.hidden_size, self.chrono_length)
        return lstm_bias(self.hidden_size)

    def state_names(self) -> list[str]:
        """One name per state, in the order in which initial states are given: depth, then direction."""
        return [f"{depth}.{direction}" for depth in range(self.num_layers) for direction in self.directions]

    # -- lowering --------------------------------------------------------------------------------

    def lower(self, lowering: Lowering, x: Signal) -> Signal:
        if lowering.stateful and self.direction != "forward":
            raise UsageError(
                f"a stream cannot run an LSTM with direction={self.direction!r}: it would need steps that "
                "have not come yet; use direction='forward'"
            )
        for depth in range(self.num_layers):
            final = depth == self.num_layers - 1
            if depth > 0:
                x = lower_dropout(lowering, x, self.dropout)
            x = self._lower_depth(lowering, x, depth, last_only=final and not self.return_sequences)
        return x

    def _lower_depth(self, lowering: Lowering, x: Signal, depth: int, last_only: bool) -> Signal:
        """One LSTM of the stack, both its directions, and its residual join."""
        residual = self.residual and x.width == self.width
        h = Signal(lowering.buffer(f"{depth}.h", x.view.extent, self.width), True)
        y = h
        if residual:
            y = Signal(lowering.buffer(f"{depth}.y", x.view.extent, self.width), True)
            # Registered before the LSTM, so emitted after it: by then dx holds the LSTM's part.
            lowering.on_backward(lambda: self._add_joined_gradient(lowering, x, y))

        last = None
        # The kernel's own last state, unless the output is a join, the state goes elsewhere, or the gradient
        # by every step's output is wanted.
        elsewhere = lowering.stateful or lowering.carried or lowering.flow
        if last_only and not residual and not elsewhere:
            last = Signal(lowering.buffer(f"{depth}.last", Extent.ROWS, self.width), True)
        for at, direction in enumerate(self.directions):
            first = at * self.hidden_size
            self._lower_direction(
                lowering,
                x,
                f"{depth}.{direction}",
                self.dilation[depth],
                h.view.columns(first, self.hidden_size),
                last.view.columns(first, self.hidden_size) if last else None,
            )
        if last:
            return last

        if residual:
            lowering.emit("add", {"a": h.view, "b": x.view, "y": y.view})
            lowering.on_backward(lambda: lowering.share_gradient(h, lowering.read_gradient(y)))
        return self._lower_last(lowering, y, depth) if last_only else y

    def _add_joined_gradient(self, lowering: Lowering, x: Signal, y: Signal) -> None:
        """dx += dy: what the residual join hands straight to its input."""
        dx, accumulate = lowering.write_gradient(x)
        if dx is not None:
            assert accumulate, "the LSTM writes dx before the join adds to it"
            lowering.emit_backward("add", {"a": dx, "b": lowering.read_gradient(y), "y": dx})

    def _lower_last(self, lowering: Lowering, y: Signal, depth: int) -> Signal:
        """Each direction's output at the row's last step in that direction."""
        last = Signal(lowering.buffer(f"{depth}.last", Extent.ROWS, self.width), True)

        def each(emit: Any) -> None:
            for at, direction in enumerate(self.directions):
                emit(at * self.hidden_size, {"reverse": int(direction == "backward")})

        each(
            lambda first, reverse: lowering.emit(
                "last_forward",
                {
                    "x": y.view.columns(first, self.hidden_size),
                    "y": last.view.columns(first, self.hidden_size),
                },
                reverse,
            )
        )

        def backward() -> None:
            dy, (dx, accumulate) = lowering.read_gradient(last), lowering.write_gradient(y)
            assert dx is not None
            each(
                lambda first, reverse: lowering.emit_backward(
                    "last_backward",
                    {
                        "dy": dy.columns(first, self.hidden_size),
                        "dx": dx.columns(first, self.hidden_size),
                    },
                    {**reverse, "accumulate": accumulate},
                )
            )

        lowering.on_backward(backward)
        return last

    def _lower_direction(
        self,
        lowering: Lowering,
        x: Signal,
        name: str,
        dilation: int,
        h: View,
        last: View | None,
    ) -> None:
        """One pass over time. Writes all outputs to h, and the last one to `last` if it is given."""
        H = self.hidden_size
        W, U, b = (lowering.parameter(f"{name}.{p}") for p in "WUb")
        lower_weight_drop(lowering, U, self.weight_drop)
        steps = x.view.extent
        keep = lower_mask(lowering, f"{name}.keep", steps, H, self.recurrent_dropout)
        c = lowering.buffer(f"{name}.c", steps, H)
        gates = lowering.buffer(f"{name}.gates", steps if lowering.tape else Extent.ROWS, 4 * H)
        gain = normal = scale = None
        if self.layer_norm:
            gain = lowering.parameter(f"{name}.gain")
            normal = lowering.buffer(f"{name}.normal", gates.extent, 4 * H)
            scale = lowering.buffer(f"{name}.scale", gates.extent, 1)
        h0, c0, hn, cn = self._lower_state(lowering, name, dilation, last)
        settings: Attributes = {
            "reverse": int(name.endswith("backward")),
            "dilation": dilation,
        }
        lowering.emit(
            "lstm_forward",
            {
                "x": x.view,
                "W": W,
                "U": U,
                "b": b,
                "gain": gain,
                "h0": h0,
                "c0": c0,
                "keep": keep,
                "gates": gates,
                "normal": normal,
                "scale": scale,
                "c": c,
                "h": h,
                "hn": hn,
                "cn": cn,
            },
            {**settings, "tape": int(lowering.tape), "epsilon": EPSILON},
        )
        role = f"{lowering.scope}.{name}"
        if lowering.gates:
            lowering.program.outputs |= {f"{role}.gates": gates, f"{role}.c": c, f"{role}.h": h}

        def backward() -> None:
            dx, accumulate = lowering.write_gradient(x)
            dh0 = dc0 = None
            if self.initial_state == "learned":
                dh0 = lowering.buffer(f"{name}.dh0", Extent.ROWS, H)
                dc0 = lowering.buffer(f"{name}.dc0", Extent.ROWS, H)
            # The gradient comes in through the last output alone, or through all of them.
            dh = lowering.read_gradient(Signal(h, True)) if last is None else None
            dhn = lowering.read_gradient(Signal(last, True)) if last is not None else None
            back = lowering.buffer(f"{name}.sum", steps if lowering.flow else Extent.ROWS, H)
            lowering.emit_backward(
                "lstm_backward",
                {
                    "x": x.view,
                    "W": W,
                    "U": U,
                    "gain": gain,
                    "h0": h0,
                    "c0": c0,
                    "keep": keep,
                    "scale": scale,
                    "gates": gates,
                    "normal": normal,
                    "c": c,
                    "h": h,
                    "dh": dh,
                    "dhn": dhn,
                    "sum": back,
                    "carry": lowering.buffer(f"{name}.carry", Extent.ROWS, H * dilation),
                    "dx": dx,
                    "dW": lowering.gradient(W),
                    "dU": lowering.gradient(U),
                    "db": lowering.gradient(b),
                    "dgain": lowering.gradient(gain) if gain else None,
                    "dh0": dh0,
                    "dc0": dc0,
                },
                {**settings, "accumulate": accumulate},
            )
            if lowering.flow:
                whole = lowering.buffer(f"{name}.flow", steps, H)
                lowering.emit_backward("add", {"a": dh, "b": back, "y": whole})
                lowering.program.outputs[f"{role}.dh"] = whole
            for state, dstate in (("h0", dh0), ("c0", dc0)):
                if dstate is not None:
                    parameter = lowering.parameter(f"{name}.{state}")
                    lowering.emit_backward(
                        "broadcast_backward", {"dy": dstate, "dp": lowering.gradient(parameter)}
                    )

        lowering.on_backward(backward)

    def _lower_state(
        self, lowering: Lowering, name: str, dilation: int, last: View | None
    ) -> tuple[View | None, View | None, View | None, View | None]:
        """Where a pass begins (h0, c0) and what it leaves (hn, cn)."""
        H = self.hidden_size
        if lowering.stateful:
            h = lowering.buffer(f"{name}.state_h", Extent.ROWS, H * dilation, state=True)
            c = lowering.buffer(f"{name}.state_c", Extent.ROWS, H * dilation, state=True)
            return h, c, h, c

        role = f"{lowering.scope}.{name}"
        if lowering.carried:
            h, c = (lowering.input(f"{role}.{s}", Extent.ROWS, H * dilation) for s in ("h0", "c0"))
            h_left, c_left = (lowering.buffer(f"{name}.{s}", Extent.ROWS, H * dilation) for s in ("hn", "cn"))
            lowering.program.outputs |= {f"{role}.hn": h_left, f"{role}.cn": c_left}
            return h, c, h_left, c_left

        h0 = c0 = None
        if self.initial_state == "learned":
            h0, c0 = (lowering.buffer(f"{name}.{state}", Extent.ROWS, H) for state in ("h0", "c0"))
            for state, view in (("h0", h0), ("c0", c0)):
                lowering.emit("broadcast_forward", {"p": lowering.parameter(f"{name}.{state}"), "y": view})
        elif self.initial_state == "given":
            h0, c0 = (lowering.input(f"{role}.{state}", Extent.ROWS, H) for state in ("h0", "c0"))

        hn, cn = last, None
        if lowering.states:
            hn = last if last is not None else lowering.buffer(f"{name}.hn", Extent.ROWS, H)
            cn = lowering.buffer(f"{name}.cn", Extent.ROWS, H)
            lowering.program.outputs[f"{role}.hn"] = hn
            lowering.program.outputs[f"{role}.cn"] = cn
        return h0, c0, hn, cn


def _input_weight(inputs: int, hidden: int) -> Any:
    # Each gate is a weight [I, H] of its own: Glorot's fan-out is H.
    return lambda random: glorot_uniform(random, inputs, 4 * hidden, fan_out=hidden)


def _recurrent_weight(hidden: int) -> Any:
    return lambda random: np.concatenate([orthogonal(random, hidden) for _ in range(4)], axis=1)
