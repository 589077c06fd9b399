"""Training: epochs, validation, history, callbacks, checkpoints. The steps themselves are the executor's."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import check_time_limit, choice, share, whole_number
from karusel.batches import Examples
from karusel.callbacks import Callback, Checkpoint
from karusel.errors import NOT_DESCRIBED, DataError, DivergenceError, ModelFileError, UsageError
from karusel.program.executor import CALL_SECONDS, OptimizerState, Total, flat_vector
from karusel.randomness import shuffled
from karusel.windows import Index, Runs

if TYPE_CHECKING:
    from karusel.network import Sequential

__all__ = ["History", "Training"]

AHEAD = 1 << 16  # rows whose order and places are written out at once, however many there are in all
MOST_STEPS = 2**62  # so that a step's number stays an int64
NOT_FINITE = ("inf", "-inf", "nan")  # in a checkpoint's header
SPLIT = 2**32 - 1  # stands for an epoch's number in the draw of a random validation part


@dataclass
class History:
    """What a fit did.

    history: "loss" and, with held-out data, "val_loss", per epoch.
    stopped: "completed", "early" (a callback) or "time" (the time limit).
    seconds: how long it took.
    """

    history: dict[str, list[float]] = field(default_factory=lambda: {"loss": []})
    stopped: str = "completed"
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        return len(self.history["loss"])


class Training:
    """One fit of a network."""

    def __init__(
        self,
        network: Sequential,
        examples: Examples,
        held_out: Examples | None,
        *,
        epochs: int,
        batch_size: int,
        validation_split: float,
        validation: str,
        shuffle: bool,
        steps_per_epoch: int | None,
        verbose: int,
        callbacks: Sequence[Callback],
        time_limit: float | None,
    ) -> None:
        assert network.optimizer is not None
        self.network = network
        self.examples = examples
        self.held_out = held_out
        self.epochs = whole_number("Sequential", "epochs", epochs)
        self.batch_size = min(whole_number("Sequential", "batch_size", batch_size), len(examples))
        self.shuffle = bool(shuffle)
        self.verbose = verbose
        # Checkpoints last: they keep what the others came to.
        if not isinstance(callbacks, Sequence) or not all(isinstance(one, Callback) for one in callbacks):
            raise UsageError(f"callbacks must be a list of karusel.callbacks objects, got {callbacks!r}")
        self.callbacks = sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))
        self.time_limit = time_limit
        check_time_limit("Sequential", time_limit)
        self.rows, self.held_out_rows = self._split(validation_split, validation)
        self.steps_per_epoch = steps_per_epoch
        if steps_per_epoch is not None:
            self.steps_per_epoch = whole_number("Sequential", "steps_per_epoch", steps_per_epoch)
        self.history = History()
        if self.validates:
            self.history.history["val_loss"] = []
        self.epoch = 0
        self._epoch_seconds = 0.0  # what one takes, 0 while unknown
        self._stop = ""
        self._executor = network._executor("train", examples)
        self._optimizer = self._begin_optimizer()

    def _split(self, split: float, how: str) -> tuple[Index | Runs, Index | Runs]:
        """Numbers of the rows to train on, and of those held out of the same examples."""
        n = len(self.examples)
        choice("Sequential", "validation", how, ("last", "random"))
        split = share("Sequential", "validation_split", split)
        if split == 0 or self.held_out is not None:
            return Runs.upto(n), Runs.upto(0)
        held_out = round(n * split)
        if held_out == 0 or held_out == n:
            raise UsageError(
                f"validation_split={split:g} of {n} rows leaves no row to hold out or none to train on"
            )
        if how == "last":
            return Runs.upto(n - held_out), Runs.upto(held_out, start=n - held_out)
        mixed = shuffled(self.network.random_state, SPLIT, n, np.arange(n))
        return np.sort(mixed[: n - held_out]), np.sort(mixed[n - held_out :])

    def _begin_optimizer(self) -> OptimizerState:
        network, optimizer = self.network, self.network.optimizer
        assert optimizer is not None
        n, dtype = len(network._weights), network._dtype
        state = network._optimizer_state
        if state is None:
            state = OptimizerState(
                weights=network._weights,
                m=flat_vector(n, dtype),
                v=flat_vector(n, dtype),
                average=None,
                step=0,
                beta_1=optimizer.beta_1,
                beta_2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                weight_decay=optimizer.weight_decay,
                ema_decay=optimizer.ema_decay or 0.0,
                clip_norm=optimizer.clip_norm or 0.0,
            )
            network._optimizer_state = state
        if optimizer.ema_decay is not None:
            state.average = flat_vector(n, dtype)
            state.average[:] = state.weights
        return state

    # -- what callbacks use ----------------------------------------------------------------------

    @property
    def validates(self) -> bool:
        return self.held_out is not None or len(self.held_out_rows) > 0

    @property
    def weights(self) -> NDArray[Any]:
        """What the network would predict with now: the averaged weights, if they are averaged."""
        o = self._optimizer
        return o.weights if o.average is None else o.average

    def set_weights(self, weights: NDArray[Any]) -> None:
        self.weights[:] = weights

    def stop(self) -> None:
        """Ends training after this epoch."""
        self._stop = "early"

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> History:
        started = time.monotonic()
        deadline = None if self.time_limit is None else started + self.time_limit
        for callback in self.callbacks:
            callback.on_begin(self)
        try:
            while self.epoch < self.epochs and not self._stop:
                self._run_epochs(self._epochs_ahead(), deadline)
        finally:
            # Whatever ends training, a network that averages is left with the average.
            if self._optimizer.average is not None:
                self._optimizer.weights[:] = self._optimizer.average
        for callback in self.callbacks:
            callback.on_end(self)
        if self._optimizer.average is not None:
            self._optimizer.weights[:] = self._optimizer.average
        self.network._epochs_before += self.epoch
        self.history.stopped = self._stop or "completed"
        self.history.seconds = time.monotonic() - started
        self._progress_line("")
        return self.history

    def _epochs_ahead(self) -> int:
        """How many epochs to train before anything looks at them: one, or more where all are short."""
        each = self._rows_per_epoch()
        if self.callbacks or self.validates or each % self.batch_size or not self._epoch_seconds:
            return 1
        most = min(self.epochs - self.epoch, AHEAD // each, int(CALL_SECONDS / 2 / self._epoch_seconds))
        return max(1, most)

    def _run_epochs(self, count: int, deadline: float | None) -> None:
        started = time.monotonic()
        before = self._snapshot()
        batches = self.steps_per_epoch or -(-len(self.rows) // self.batch_size)
        end = count * batches
        schedule = self.network.optimizer.schedule  # type: ignore[union-attr]
        totals = np.zeros((end, 2))
        done, finite = 0, True
        while done < end and finite and not self._stop:
            first, ahead = done, min(end - done, max(1, AHEAD // self.batch_size))
            examples, order = self.examples.ready(self._order(first, ahead, count))
            begun = self._optimizer.step
            steps = np.arange(begun, begun + ahead, dtype=np.int64)
            rates = np.ascontiguousarray(schedule.rates(steps), dtype=self._executor.dtype)
            while done < first + ahead:
                seconds = CALL_SECONDS
                if deadline is not None:
                    seconds = min(CALL_SECONDS, max(deadline - time.monotonic(), 0.0))
                progress = self._executor.train(
                    self._optimizer,
                    examples,
                    order,
                    self.batch_size,
                    done - first,
                    rates[self._optimizer.step - begun :],
                    self.network.random_state,
                    seconds,
                    totals[first : first + ahead],
                )
                done += progress.batches
                finite = progress.finite
                if not finite:
                    break
                if deadline is not None and time.monotonic() >= deadline:
                    self._stop = "time"
                    break
                epoch, batch = divmod(done, batches)
                self._progress_line(f"epoch {self.epoch + epoch + 1}/{self.epochs}  batch {batch}/{batches}")
        if not (finite and np.isfinite(self._optimizer.weights).all()):
            self._restore(before)
            if count > 1:  # once more, epoch by epoch, to keep all that are good
                self._epoch_seconds = 0.0
                return
            self._refuse_diverged()

        if self.steps_per_epoch is None and done == end and not totals[:, 1].any():
            raise DataError("every row to train on has weight 0: nothing was learned; hold out others")

        self._epoch_seconds = (time.monotonic() - started) * batches / done
        for first in range(0, done, batches):
            loss, weight = totals[first : min(first + batches, done)].sum(axis=0)
            logs = {"loss": Total(float(loss), float(weight)).mean}
            if self.validates:
                logs["val_loss"] = self._validate()
            for name, value in logs.items():
                self.history.history[name].append(value)
            self.epoch += 1
            self._report(logs, batches, self._epoch_seconds)
            for callback in self.callbacks:
                callback.on_epoch_end(self, self.epoch - 1, logs)

    def _rows_per_epoch(self) -> int:
        return len(self.rows) if self.steps_per_epoch is None else self.steps_per_epoch * self.batch_size

    def _order(self, first: int, count: int, epochs: int) -> Index:
        """The rows of some batches of the next epochs, in order.

        Passes over all rows stand one behind the other, each in an order of its own; an epoch is one of them,
        or the next `steps_per_epoch` batches.
        """
        n, epoch, each = len(self.rows), self.network._epochs_before + self.epoch, self._rows_per_epoch()
        begin = epoch * each + first * self.batch_size
        end = min(begin + count * self.batch_size, (epoch + epochs) * each)
        parts = []
        while begin < end:
            number, place = divmod(begin, n)
            places = np.arange(place, min(place + end - begin, n), dtype=np.int64)
            if self.shuffle:
                places = shuffled(self.network.random_state, number, n, places)
            parts.append(self.rows[places])
            begin += len(places)
        return np.concatenate(parts)

    def _validate(self) -> float:
        examples, rows = self.held_out, self.held_out_rows
        if examples is None:
            total = self.network._total_loss(self.examples, rows, self.weights)
        else:
            total = self.network._total_loss(examples, Runs.upto(len(examples)), self.weights)
        if total.weight == 0:
            raise DataError("every held-out row has weight 0, so nothing can be validated: hold out others")
        return total.mean

    def _snapshot(self) -> list[Any]:
        o = self._optimizer
        return [o.step, *(None if a is None else a.copy() for a in (o.weights, o.m, o.v, o.average))]

    def _restore(self, before: list[Any]) -> None:
        o = self._optimizer
        o.step = before[0]
        for array, good in zip((o.weights, o.m, o.v, o.average), before[1:], strict=True):
            if array is not None:
                array[:] = good

    def _refuse_diverged(self) -> None:
        raise DivergenceError(
            f"training diverged: the loss in epoch {self.epoch + 1} is no longer finite. The weights from "
            "before that epoch are back. Try a smaller learning_rate, clip_norm=1.0, or inputs scaled to "
            "about -1 .. 1"
        )

    # -- what the user sees ----------------------------------------------------------------------

    def _report(self, logs: dict[str, float], batches: int, seconds: float) -> None:
        if self.verbose == 2:
            losses = " - ".join(f"{name}: {value:.4f}" for name, value in logs.items())
            step = 1000 * seconds / batches
            print(f"Epoch {self.epoch}/{self.epochs}")
            speed = f"{1000 * seconds:.0f}ms/epoch - {step:.2f}ms/step"
            print(f"{batches}/{batches} - {seconds:.0f}s - {losses} - {speed}")
        else:
            losses = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
            self._progress_line(f"epoch {self.epoch}/{self.epochs}  {losses}")

    def _progress_line(self, text: str) -> None:
        if self.verbose == 1 and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()

    # -- checkpoints -----------------------------------------------------------------------------

    def _fingerprint(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to belong to this fit."""
        return {
            "config": self.network.get_config(),
            "precision": self.network.precision,
            "rows": len(self.rows),
            "held_out_rows": len(self.held_out_rows),
            "data": _checksum(self.examples),
            "held_out": None if self.held_out is None else _checksum(self.held_out),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "steps_per_epoch": self.steps_per_epoch,
            "streams": self.examples.streams,
            "epochs_before": self.network._epochs_before,
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
        }

    def save_checkpoint(self, path: str) -> None:
        """Writes the state of training after an epoch; `resume` takes it back."""
        from karusel.saving import save_file

        o = self._optimizer
        tensors = {"weights": o.weights, "m": o.m, "v": o.v}
        if o.average is not None:
            tensors["average"] = o.average
        for i, callback in enumerate(self.callbacks):
            tensors |= {f"callback{i}.{name}": array for name, array in callback.tensors().items()}
        header = {
            "fingerprint": self._fingerprint(),
            "epoch": self.epoch,
            "step": o.step,
            "stop": self._stop,
            "history": {name: [_text(v) for v in values] for name, values in self.history.history.items()},
            "callbacks": [callback.state() for callback in self.callbacks],
        }
        save_file(path, "checkpoint", header, tensors)

    def resume(self, path: str) -> None:
        """Goes on from a checkpoint of the same fit."""
        from karusel.saving import load_file

        header, tensors = load_file(path, "checkpoint")
        mine, theirs = self._fingerprint(), header.get("fingerprint", {})
        odd = [name for name in mine if theirs.get(name) != mine[name]]
        if odd:
            raise DataError(
                f"{path} is a checkpoint of another fit (its {', '.join(odd)} differ): "
                "delete it, or name another file"
            )
        if isinstance(epoch := header.get("epoch"), int) and epoch > self.epochs:
            raise UsageError(
                f"{path} is a checkpoint after epoch {epoch}, beyond epochs={self.epochs}: ask for at least "
                "as many, or delete it"
            )
        o = self._optimizer
        vectors = {"weights": o.weights, "m": o.m, "v": o.v}
        if o.average is not None:
            vectors["average"] = o.average
        self._check_checkpoint(path, header, tensors, vectors)
        for i, (callback, state) in enumerate(zip(self.callbacks, header["callbacks"], strict=True)):
            prefix = f"callback{i}."
            own = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
            try:
                callback.restore(state, own)
            except NOT_DESCRIBED as error:  # before the network holds anything of the file
                raise ModelFileError(
                    f"{path} is no sound checkpoint: delete it to train from the beginning "
                    f"({type(callback).__name__}: {type(error).__name__}: {error})"
                ) from error
        for name, array in vectors.items():
            array[:] = tensors[name]
        o.step, self.epoch, self._stop = header["step"], header["epoch"], header["stop"]
        self.history.history = {
            name: [float(v) for v in values] for name, values in header["history"].items()
        }

    def _check_checkpoint(
        self,
        path: str,
        header: dict[str, Any],
        tensors: dict[str, NDArray[Any]],
        vectors: dict[str, NDArray[Any]],
    ) -> None:
        """Raises ModelFileError unless every part of a checkpoint can be taken: it is all or nothing."""
        epoch, step, history = header.get("epoch"), header.get("step"), header.get("history")
        states = header.get("callbacks")
        shape = vectors["weights"].shape
        sound = (
            type(epoch) is int
            and type(step) is int
            and epoch > 0
            and 0 <= step < MOST_STEPS
            and header.get("stop") in ("", "early", "time")
            and isinstance(history, dict)
            and set(history) == set(self.history.history)
            and all(
                isinstance(values, list)
                and len(values) == epoch
                and all(type(v) is float or v in NOT_FINITE for v in values)
                for values in history.values()
            )
            and isinstance(states, list)
            and len(states) == len(self.callbacks)
            and all(name in tensors and tensors[name].shape == shape for name in vectors)
        )
        if not sound:
            raise ModelFileError(f"{path} is no sound checkpoint: delete it to train from the beginning")


def _checksum(examples: Examples) -> int:
    """Of all that the examples hold before training."""
    total = 0
    carried = [stream.values for stream in examples.outputs.values()]
    for role in sorted(examples.inputs):
        values = examples.inputs[role].values
        if not any(values is one for one in carried):
            total = zlib.crc32(values.data, total)
    for part, _ in examples.pieces(Runs.upto(len(examples))):
        for lengths in (part.lengths, part.source_lengths):
            total = total if lengths is None else zlib.crc32(lengths.data, total)
        for role in sorted(part.inputs):
            stream = part.inputs[role]
            for array in (np.asarray(stream.starts), stream.shift, stream.scale):
                total = total if array is None else zlib.crc32(array.data, total)
    return total


def _text(number: float) -> float | str:
    """What JSON has for a number."""
    return number if np.isfinite(number) else str(number)
