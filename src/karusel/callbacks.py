"""Callbacks: what happens between epochs. Early stopping, checkpoints and gradient flow are three."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import number_from_zero, whole_number
from karusel.errors import UsageError

if TYPE_CHECKING:
    from karusel.inspect import Flow
    from karusel.training import Training

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "GradientFlow"]


class Callback:
    """Base of callbacks; override what you need.

    `training.stop()` ends training after the epoch; `training.network` is the network.
    """

    def on_begin(self, training: Training) -> None:
        """Before the first epoch."""

    def on_epoch_end(self, training: Training, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch, counted from 0, with its losses."""

    def on_end(self, training: Training) -> None:
        """After the last epoch, however training ended, but not after an exception."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback, in types that JSON has."""
        return {}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps of this callback: arrays."""
        return {}

    def restore(self, state: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        """Takes back what a checkpoint kept; called after `on_begin`.

        Where it raises one of `karusel.errors.NOT_DESCRIBED`, the checkpoint is refused whole.
        """


class EarlyStopping(Callback):
    """Ends training when the validation loss has not improved for some epochs; keeps the best weights.

    Parameters
    ----------
    patience
        Epochs without improvement before training ends. Default 10.
    min_delta
        A smaller fall of the loss is no improvement. Default 0.
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0) -> None:
        self.patience = whole_number("EarlyStopping", "patience", patience)
        self.min_delta = number_from_zero("EarlyStopping", "min_delta", min_delta)
        self._forget()

    def _forget(self) -> None:
        self.best_loss = float("inf")
        self.best_epoch = -1
        self._best: NDArray[Any] | None = None

    def on_begin(self, training: Training) -> None:
        if not training.validates:
            raise UsageError("EarlyStopping needs held-out data: give validation_split or validation_data")
        self._forget()
        self._shape = training.weights.shape

    def on_epoch_end(self, training: Training, epoch: int, logs: dict[str, float]) -> None:
        if logs["val_loss"] < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch = logs["val_loss"], epoch
            self._best = training.weights.copy()
        elif epoch - self.best_epoch >= self.patience:
            training.stop()

    def on_end(self, training: Training) -> None:
        if self._best is not None:
            training.set_weights(self._best)

    def state(self) -> dict[str, Any]:
        return {"best_loss": str(self.best_loss), "best_epoch": self.best_epoch}  # it may be infinite

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {} if self._best is None else {"best": self._best}

    def restore(self, state: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        best = np.array(tensors["best"]) if "best" in tensors else None
        if best is not None and best.shape != self._shape:
            raise ValueError(f"the best weights have shape {list(best.shape)}, not {list(self._shape)}")
        self.best_loss, self.best_epoch = float(state["best_loss"]), int(state["best_epoch"])
        self._best = best


class Checkpoint(Callback):
    """Writes all that training needs to go on to a file after every few epochs.

    A fit that finds the file goes on from it and ends with the same bits as one that was never broken.
    The file is written beside and renamed, and removed when training ends by itself: keep the network
    itself with `save`.

    Parameters
    ----------
    path
        The file.
    every
        Epochs between writes. Default 1.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        self.path = os.fspath(path)
        self.every = whole_number("Checkpoint", "every", every)

    def on_begin(self, training: Training) -> None:
        if os.path.exists(self.path):
            training.resume(self.path)

    def on_epoch_end(self, training: Training, epoch: int, logs: dict[str, float]) -> None:
        if (epoch + 1) % self.every == 0:
            training.save_checkpoint(self.path)

    def on_end(self, training: Training) -> None:
        if os.path.exists(self.path):
            os.remove(self.path)


class GradientFlow(Callback):
    """Measures how strongly the loss reaches each LSTM at each step, after every few epochs.

    Parameters
    ----------
    X, y, sample_weight, mask, lengths, initial_state, source
        A batch to measure on, as in `fit`: some hundred rows are enough.
    every
        Epochs between measurements. Default 1.

    Attributes
    ----------
    flows
        `karusel.inspect.Flow` by epoch, counted from 0.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        every: int = 1,
        *,
        sample_weight: Any = None,
        mask: Any = None,
        lengths: Any = None,
        initial_state: Any = None,
        source: Any = None,
    ) -> None:
        self.X, self.y = X, y
        self._beside = {
            "sample_weight": sample_weight,
            "mask": mask,
            "lengths": lengths,
            "initial_state": initial_state,
            "source": source,
        }
        self.every = whole_number("GradientFlow", "every", every)
        self.flows: dict[int, Flow] = {}

    def on_begin(self, training: Training) -> None:
        self.flows = {}

    def on_epoch_end(self, training: Training, epoch: int, logs: dict[str, float]) -> None:
        from karusel.inspect import gradient_flow

        if (epoch + 1) % self.every == 0:
            self.flows[epoch] = gradient_flow(training.network, self.X, self.y, **self._beside)

    def state(self) -> dict[str, Any]:
        return {
            str(epoch): {"loss": str(flow.loss), "passes": list(flow.norms)}
            for epoch, flow in self.flows.items()
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {
            f"{epoch}/{name}": _finite(norms)
            for epoch, flow in self.flows.items()
            for name, norms in flow.norms.items()
        }

    def restore(self, state: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
        from karusel.inspect import Flow

        self.flows = {
            int(epoch): Flow(
                float(flow["loss"]), {name: np.array(tensors[f"{epoch}/{name}"]) for name in flow["passes"]}
            )
            for epoch, flow in state.items()
        }


def _finite(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """As a file can hold them: a norm that overflowed becomes the largest number."""
    largest = np.finfo(norms.dtype).max
    return np.nan_to_num(norms, nan=largest, posinf=largest)
