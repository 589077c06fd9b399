"""Losses: what training makes small.

Every loss is the weighted mean over all outputs of a batch,

    L = sum_r w_r sum_o l(y_ro, target_ro) / (O sum_r w_r),

over rows r, or over all unmasked steps of all rows, and over the O outputs of each (cross-entropy of
classes and the clipped surrogate: one per row or step; CTC: one per row). With a weight w_ro for each
target, L = sum_ro w_ro l_ro / sum_ro w_ro. (PyTorch's means over elements are the same with equal weights;
Keras divides by the number of rows instead of the sum of their weights.)
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from karusel.arguments import choice, is_number, number_from_zero, positive_number, whole_number
from karusel.errors import UsageError
from karusel.program.lowering import Lowering, Signal
from karusel.program.program import Attributes, Extent

__all__ = [
    "CTC",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "ClippedSurrogate",
    "Huber",
    "Loss",
    "Pinball",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "get_loss",
]


class Loss(ABC):
    """A loss of predictions y [.., O] and targets, and the kernel that computes it with its gradient."""

    kind: ClassVar[str]
    kernel: ClassVar[str]
    integer_target: ClassVar[bool] = False
    # A target for each line of outputs; False: a string of symbols for each row.
    aligned: ClassVar[bool] = True
    # An activation that, as the network's last, is part of this loss: the loss reads what comes before it.
    activation: str | None = None

    def highest_target(self, output_width: int) -> int | None:
        """Targets lie from 0 to here; None: anywhere."""
        return None

    def target_width(self, output_width: int) -> int:
        """Numbers per target for a network's outputs; raises UsageError if they do not fit."""
        return output_width

    def settings(self) -> dict[str, Any]:
        return {}

    def attributes(self) -> Attributes:
        return {}

    def config(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.settings()}

    def lower(self, lowering: Lowering, y: Signal, weight_width: int) -> None:
        """Emits the loss and, with a tape, its gradient by y.

        weight_width: weights per line: 0 (all lines count alike), 1, or one for each number of the target.
        """
        lowering.enter("")
        extent = y.view.extent
        target = lowering.input("target", extent, self.target_width(y.width), integer=self.integer_target)
        weight = lowering.input("weight", extent, weight_width) if weight_width else None
        dy = lowering.write_gradient(y)[0] if lowering.tape else None
        lowering.emit(
            self.kernel, {"y": y.view, "target": target, "weight": weight, "dy": dy}, self.attributes()
        )
        lowering.program.loss = lowering.program.forward[-1]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.settings().items())})"


class SquaredError(Loss):
    """l = (y - target)^2."""

    kind = "squared"
    kernel = "squared_loss"


class AbsoluteError(Loss):
    """l = |y - target|."""

    kind = "absolute"
    kernel = "absolute_loss"


class Huber(Loss):
    """l = e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2); e = y - target (Huber 1964).

    Parameters
    ----------
    delta
        Where the parabola ends. Default 1, as in PyTorch and Keras.
    """

    kind = "huber"
    kernel = "huber_loss"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = positive_number("Huber", "delta", delta)

    def settings(self) -> dict[str, Any]:
        return {"delta": self.delta}

    def attributes(self) -> Attributes:
        return {"delta": self.delta}


class Pinball(Loss):
    """l = max(q e, (q - 1) e), e = target - y: its minimum is the q-quantile (Koenker & Bassett 1978).

    For targets [.., h] and Q quantiles the network has h * Q outputs; column j Q + k is quantile k of
    target j.

    Parameters
    ----------
    quantiles
        Numbers in (0, 1), ascending.
    """

    kind = "pinball"
    kernel = "pinball_loss"

    def __init__(self, quantiles: Sequence[float]) -> None:
        given = list(quantiles) if isinstance(quantiles, Iterable) else []
        inside = [q for q in given if is_number(q) and 0 < q < 1 and 0 < np.float32(q) < 1]
        self.quantiles = tuple(map(float, inside))
        if not given or len(inside) < len(given) or inside != sorted(set(inside)):
            raise UsageError(
                f"Pinball: quantiles must ascend between 0 and 1, as in [0.1, 0.5, 0.9]; got {quantiles!r}"
            )

    def target_width(self, output_width: int) -> int:
        width, rest = divmod(output_width, len(self.quantiles))
        if rest:
            raise UsageError(
                f"Pinball: {len(self.quantiles)} quantiles need a multiple of as many outputs, "
                f"the network has {output_width}"
            )
        return width

    def settings(self) -> dict[str, Any]:
        return {"quantiles": list(self.quantiles)}

    def attributes(self) -> Attributes:
        return {"quantiles": self.quantiles}


class SoftmaxCrossEntropy(Loss):
    """l = -log p[target], p = softmax(y); targets are class numbers 0 .. O-1, one per row or step.

    With a softmax as the network's last activation the loss reads what comes before it.

    Parameters
    ----------
    classes
        O, where each row or step has several targets: the network's outputs are O for the first of them, O
        for the second and so on. None: one target, and O is the width of the outputs.
    """

    kind = "softmax_cross_entropy"
    kernel = "softmax_cross_entropy"
    integer_target = True

    def __init__(self, classes: int | None = None) -> None:
        self.classes = None if classes is None else whole_number("SoftmaxCrossEntropy", "classes", classes, 2)
        # A softmax over all outputs is not one over each target's.
        self.activation = "softmax" if classes is None else None

    def settings(self) -> dict[str, Any]:
        return {} if self.classes is None else {"classes": self.classes}

    def highest_target(self, output_width: int) -> int:
        return (self.classes or output_width) - 1

    def target_width(self, output_width: int) -> int:
        if self.classes is not None:
            width, rest = divmod(output_width, self.classes)
            if rest:
                raise UsageError(
                    f"SoftmaxCrossEntropy: {self.classes} classes need a multiple of as many outputs, "
                    f"the network has {output_width}"
                )
            return width
        if output_width < 2:
            raise UsageError(
                f"SoftmaxCrossEntropy: needs at least 2 outputs, the network has {output_width}; "
                "for two classes and one output use 'binary_crossentropy'"
            )
        return 1


class BinaryCrossEntropy(Loss):
    """l = -target log p - (1 - target) log(1 - p), p = sigmoid(y); targets in [0, 1].

    With a sigmoid as the network's last activation the loss reads what comes before it; without one
    the outputs are taken as log-odds.
    """

    kind = "binary_cross_entropy"
    kernel = "binary_cross_entropy"
    activation = "sigmoid"

    def highest_target(self, output_width: int) -> int:
        return 1


class CTC(Loss):
    """l = -log P(string | p_1, p_2, ...), p_t = softmax(y_t): one per row (Graves et al. 2006).

    Connectionist temporal classification: P sums the probabilities of all alignments, in which each symbol of
    the string may last any number of steps, and blanks may stand anywhere between. The network has an output
    per step, column 0 for the blank; targets are a string of column numbers from 1 up for each row, of any
    length that its steps can hold: one step for each symbol, and one more between two equal ones. The mean is
    over rows (PyTorch's "mean" divides each row's loss by the length of its string first, "sum" does not).
    With a softmax as the network's last activation the loss reads what comes before it.

    Parameters
    ----------
    longest
        The most symbols of a string. Training needs memory for 2 longest + 2 numbers a step.
    """

    kind = "ctc"
    kernel = "ctc_loss"
    integer_target = True
    activation = "softmax"
    aligned = False

    def __init__(self, longest: int = 64) -> None:
        self.longest = whole_number("CTC", "longest", longest)

    def target_width(self, output_width: int) -> int:
        if output_width < 2:
            raise UsageError("CTC: needs at least 2 outputs, a blank and a symbol; the network has 1")
        return 1

    def settings(self) -> dict[str, Any]:
        return {"longest": self.longest}

    def lower(self, lowering: Lowering, y: Signal, weight_width: int) -> None:
        if y.view.extent is Extent.ROWS:
            raise UsageError("CTC: needs an output per step; give the last LSTM return_sequences=True")
        lowering.enter("")
        target = lowering.input("target", Extent.STEPS, 1, integer=self.integer_target)
        weight = lowering.input("weight", Extent.ROWS, 1) if weight_width else None
        dy = lowering.write_gradient(y)[0] if lowering.tape else None
        work = lowering.buffer("alignments", Extent.STEPS, 2 * self.longest + 2)
        lowering.emit(self.kernel, {"y": y.view, "target": target, "weight": weight, "dy": dy, "work": work})
        lowering.program.loss = lowering.program.forward[-1]


class ClippedSurrogate(Loss):
    """What a policy and its value learn from (PPO; Schulman et al. 2017).

    l = -min(r a, clip(r, 1 - clip, 1 + clip) a) + value (v - gain)^2 - entropy H(p)

    The network has an output for each of A actions, p = softmax of them, and v as its last. A target is four
    numbers: the action taken, its log p then, its advantage a, and the return `gain`; r = p[action] / p then.

    Parameters
    ----------
    clip
        How far the ratio r may pay, above 0. Default 0.2.
    value, entropy
        Weights of the value's squared error, and of the policy's entropy.
    """

    kind = "clipped_surrogate"
    kernel = "surrogate_loss"

    def __init__(self, clip: float = 0.2, value: float = 0.5, entropy: float = 0.01) -> None:
        self.clip = positive_number("ClippedSurrogate", "clip", clip)
        self.value = number_from_zero("ClippedSurrogate", "value", value)
        self.entropy = number_from_zero("ClippedSurrogate", "entropy", entropy)

    def target_width(self, output_width: int) -> int:
        if output_width < 3:
            raise UsageError(
                "ClippedSurrogate: needs an output for each of two actions or more, and one for the value; "
                f"the network has {output_width}"
            )
        return 4

    def settings(self) -> dict[str, Any]:
        return {"clip": self.clip, "value": self.value, "entropy": self.entropy}

    def attributes(self) -> Attributes:
        return {"clip": self.clip, "value": self.value, "entropy": self.entropy}


# The names that Keras users write, beside our own.
NAMES: dict[str, type[Loss]] = {
    "squared": SquaredError,
    "mse": SquaredError,
    "mean_squared_error": SquaredError,
    "absolute": AbsoluteError,
    "mae": AbsoluteError,
    "mean_absolute_error": AbsoluteError,
    "huber": Huber,
    "pinball": Pinball,
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "sparse_categorical_crossentropy": SoftmaxCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "binary_crossentropy": BinaryCrossEntropy,
    "ctc": CTC,
    "clipped_surrogate": ClippedSurrogate,
}


def get_loss(loss: str | Loss | dict[str, Any]) -> Loss:
    """The loss that a name, a config or a loss itself means."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, dict):
        settings = dict(loss)
        return NAMES[settings.pop("kind")](**settings)
    choice("Sequential", "loss", loss, sorted(NAMES))
    if loss == "pinball":
        raise UsageError("the loss 'pinball' needs quantiles: write Pinball([0.1, 0.5, 0.9])")
    return NAMES[loss]()
