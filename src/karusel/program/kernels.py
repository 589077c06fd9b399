"""The kernels that a program may call: their arguments in order, and what they cost.

The same order, with shapes and contracts, stands in `engine/include/karusel/kernels.h`; the same
names, in float64 NumPy, in `karusel.reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["KERNELS", "Kernel"]

Widths = Mapping[str, int]  # columns of each argument that is given


@dataclass(frozen=True)
class Kernel:
    """One native routine.

    reads, writes: argument names in the engine's order, all of `reads` before all of `writes`; an
        argument that is read and overwritten stands among the writes.
    attributes: names of numbers in order; a trailing `*name` takes all that remain.
    flops: floating-point operations per line (one step of one row) from the arguments' widths.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    flops: Callable[[Widths], int] = lambda widths: 0

    @property
    def arguments(self) -> tuple[str, ...]:
        return self.reads + self.writes


def _lstm_forward_flops(w: Widths) -> int:
    hidden = w["c"]
    normed = 32 * hidden if "gain" in w else 0
    return 8 * hidden * (w["x"] + hidden) + 30 * hidden + normed


def _lstm_backward_flops(w: Widths) -> int:
    hidden = w["c"]
    products = (w["x"] if "dx" in w else 0) + hidden + w["x"] + hidden
    normed = 56 * hidden if "gain" in w else 0
    return 8 * hidden * products + 40 * hidden + normed


def _dense_backward_flops(w: Widths) -> int:
    return 2 * w["dy"] * w["x"] * (2 if "dx" in w else 1)


def _attention_flops(products: int) -> Callable[[Widths], int]:
    """For sources of the planned length; `products` with the keys, and as many with the values."""
    return lambda w: 2 * products * w["weights"] * (w["queries"] + w["values"])


_LOSS = Kernel(("y", "target", "weight"), ("dy",), flops=lambda w: 4 * w["y"])

KERNELS: Mapping[str, Kernel] = {
    "lstm_forward": Kernel(
        ("x", "W", "U", "b", "gain", "h0", "c0", "keep"),
        ("gates", "normal", "scale", "c", "h", "hn", "cn"),
        ("reverse", "dilation", "tape", "epsilon"),
        _lstm_forward_flops,
    ),
    "lstm_backward": Kernel(
        ("x", "W", "U", "gain", "h0", "c0", "keep", "scale"),
        (
            *("gates", "normal", "c", "h", "dh", "dhn", "sum", "carry"),
            *("dx", "dW", "dU", "db", "dgain", "dh0", "dc0"),
        ),
        ("reverse", "dilation", "accumulate"),
        _lstm_backward_flops,
    ),
    "dense_forward": Kernel(("x", "W", "b"), ("y",), ("transposed",), flops=lambda w: 2 * w["x"] * w["y"]),
    "dense_backward": Kernel(
        ("x", "W", "dy"), ("dx", "dW", "db"), ("accumulate", "transposed"), _dense_backward_flops
    ),
    "embedding_forward": Kernel(("index", "E"), ("y",)),
    "embedding_backward": Kernel(("index", "dy"), ("dE",), flops=lambda w: w["dy"]),
    "layer_norm_forward": Kernel(
        ("x", "gain", "bias"), ("y", "stats"), ("epsilon",), flops=lambda w: 8 * w["x"]
    ),
    "layer_norm_backward": Kernel(
        ("x", "gain", "stats", "dy"),
        ("dx", "dgain", "dbias"),
        ("accumulate",),
        flops=lambda w: 14 * w["x"],
    ),
    "dropout_forward": Kernel(("x",), ("y",), ("rate", "salt", "shared"), flops=lambda w: w["y"]),
    "dropout_backward": Kernel(
        ("dy",), ("dx",), ("rate", "salt", "shared", "accumulate"), flops=lambda w: w["dy"]
    ),
    "weight_drop_forward": Kernel((), ("W",), ("rate", "salt")),
    "weight_drop_backward": Kernel((), ("dW",), ("rate", "salt")),
    "activation_forward": Kernel(("x",), ("y",), ("function",), flops=lambda w: 15 * w["x"]),
    "activation_backward": Kernel(
        ("y", "dy"), ("dx",), ("function", "accumulate"), flops=lambda w: 3 * w["y"]
    ),
    "softmax_forward": Kernel(("x",), ("y",), flops=lambda w: 17 * w["x"]),
    "add": Kernel(("a", "b"), ("y",), flops=lambda w: w["a"]),
    "broadcast_forward": Kernel(("p",), ("y",)),
    "broadcast_backward": Kernel(("dy",), ("dp",), flops=lambda w: w["dy"]),
    "last_forward": Kernel(("x",), ("y",), ("reverse",)),
    "last_backward": Kernel(("dy",), ("dx",), ("reverse", "accumulate")),
    "mean_forward": Kernel(("x",), ("y",), flops=lambda w: w["x"]),
    "mean_backward": Kernel(("dy",), ("dx",), ("accumulate",), flops=lambda w: w["dx"]),
    "max_forward": Kernel(("x",), ("y", "at"), flops=lambda w: w["x"]),
    "max_backward": Kernel(("dy", "at"), ("dx",), ("accumulate",), flops=lambda w: w["dx"]),
    "transpose_forward": Kernel(("x",), ("y",), ("columns",)),
    "transpose_backward": Kernel(("dy",), ("dx",), ("columns", "accumulate")),
    "attention_forward": Kernel(
        ("queries", "keys", "values"), ("context", "weights"), ("scale",), _attention_flops(1)
    ),
    "attention_backward": Kernel(
        ("queries", "keys", "values", "context", "dcontext"),
        ("weights", "dqueries", "dkeys", "dvalues"),
        ("scale", "accumulate_queries", "accumulate_keys", "accumulate_values"),
        _attention_flops(2),
    ),
    "squared_loss": _LOSS,
    "absolute_loss": _LOSS,
    "huber_loss": Kernel(_LOSS.reads, _LOSS.writes, ("delta",), _LOSS.flops),
    "pinball_loss": Kernel(_LOSS.reads, _LOSS.writes, ("*quantiles",), _LOSS.flops),
    "binary_cross_entropy": Kernel(_LOSS.reads, _LOSS.writes, (), lambda w: 20 * w["y"]),
    "softmax_cross_entropy": Kernel(_LOSS.reads, _LOSS.writes, (), lambda w: 20 * w["y"]),
    "ctc_loss": Kernel(_LOSS.reads, ("dy", "work"), (), lambda w: 20 * w["y"] + 40 * w["work"]),
    "surrogate_loss": Kernel(_LOSS.reads, _LOSS.writes, ("clip", "value", "entropy"), lambda w: 40 * w["y"]),
}

# The numbers that stand for an activation in the attribute `function`.
FUNCTIONS = ("tanh", "sigmoid", "relu")
