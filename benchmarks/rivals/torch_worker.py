"""Worker: PyTorch. Tensors lie ready: no data loader, no `item()`, the fused Adam. See worker.py."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
import worker
from torch.nn.utils.rnn import pack_padded_sequence


def layers(inputs: int, hidden: int) -> tuple[torch.nn.LSTM, torch.nn.Linear]:
    """`nn.LSTM` and `Linear` with the weights that all share."""
    lstm, dense = torch.nn.LSTM(inputs, hidden, batch_first=True), torch.nn.Linear(hidden, 1)
    given = {name: torch.from_numpy(array.T.copy()) for name, array in worker.weights(inputs, hidden).items()}
    lstm.load_state_dict(
        {
            "weight_ih_l0": given["W"],
            "weight_hh_l0": given["U"],
            "bias_ih_l0": given["b"],
            "bias_hh_l0": torch.zeros(4 * hidden),
        }
    )
    dense.load_state_dict({"weight": given["V"], "bias": given["d"]})
    return lstm, dense


def last_outputs(lstm: torch.nn.LSTM, x: torch.Tensor, lengths: torch.Tensor | None, packed: bool) -> Any:
    """Each row's last output: of equal rows, of packed ones, or of padded ones picked at their ends."""
    if lengths is not None and packed:
        _, (h, _) = lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return h[-1]
    outputs, _ = lstm(x)
    return outputs[:, -1] if lengths is None else outputs[torch.arange(len(x)), lengths - 1]


class Train:
    """A repetition is an epoch."""

    ragged = packed = False

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        torch.set_num_threads(threads)
        X = torch.from_numpy(worker.data(batches * rows, steps, inputs))
        y = torch.from_numpy(worker.data(batches * rows))[:, None]
        lengths = torch.from_numpy(worker.lengths(rows, batches, 5, steps))
        self.batches = list(zip(X.split(rows), y.split(rows), lengths.split(rows), strict=True))
        self.lstm, self.dense = layers(inputs, hidden)
        parameters = [*self.lstm.parameters(), *self.dense.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=0.001, fused=True)

    def epoch(self) -> None:
        for x, y, lengths in self.batches:
            self.optimizer.zero_grad()
            self.loss(x, y, lengths).backward()
            self.optimizer.step()

    def loss(self, x: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        last = last_outputs(self.lstm, x, lengths if self.ragged else None, self.packed)
        return torch.nn.functional.mse_loss(self.dense(last), y)

    def run(self, repeats: int) -> float:
        return worker.clock(self.epoch, repeats)

    def outputs(self) -> list[float]:
        return []


class TrainPacked(Train):
    ragged = packed = True


class TrainPadded(Train):
    ragged = True


class TrainBf16(Train):
    """By autocast."""

    def loss(self, x: torch.Tensor, y: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return super().loss(x, y, lengths)


class Kernels:
    """Passes of `nn.LSTM` over one batch, as often as there are batches."""

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        torch.set_num_threads(threads)
        self.batches = batches
        self.lstm, _ = layers(inputs, hidden)
        self.x = torch.from_numpy(worker.data(rows, steps, inputs))
        self.gradient = torch.ones(rows, hidden)

    def outputs(self) -> list[float]:
        return []


class Infer(Kernels):
    def run(self, repeats: int) -> float:
        with torch.inference_mode():
            return worker.clock(lambda: self.lstm(self.x), repeats * self.batches)


class Tape(Kernels):
    """Forward, with all that a backward pass needs."""

    def run(self, repeats: int) -> float:
        return worker.clock(lambda: self.lstm(self.x), repeats * self.batches)


class Backward(Kernels):
    """From the gradient of the last outputs to those of the weights."""

    def run(self, repeats: int) -> float:
        seconds = 0.0
        for _ in range(repeats * self.batches):
            self.lstm.zero_grad()
            last = self.lstm(self.x)[0][:, -1]
            start = time.perf_counter()
            last.backward(self.gradient)
            seconds += time.perf_counter() - start
        return seconds


class Adam(Kernels):
    """The fused Adam on the LSTM's parameters."""

    def run(self, repeats: int) -> float:
        if not hasattr(self, "optimizer"):
            self.optimizer = torch.optim.Adam(self.lstm.parameters(), lr=1e-6, fused=True)
            for parameter in self.lstm.parameters():
                parameter.grad = torch.ones_like(parameter)
        return worker.clock(self.optimizer.step, repeats * self.batches)


class DenseForward:
    """`Linear` on B*T rows of H numbers."""

    def __init__(self, threads: int, batches: int, rows: int, steps: int, inputs: int, hidden: int) -> None:
        torch.set_num_threads(threads)
        self.batches = batches
        self.dense = torch.nn.Linear(hidden, hidden)
        self.x = torch.from_numpy(worker.data(rows * steps, hidden))

    def run(self, repeats: int) -> float:
        with torch.inference_mode():
            return worker.clock(lambda: self.dense(self.x), repeats * self.batches)

    def outputs(self) -> list[float]:
        return []


class Step:
    """`nn.LSTMCell`, one step at a time."""

    def __init__(self, threads: int, inputs: int, hidden: int, steps: int) -> None:
        torch.set_num_threads(threads)
        self.x = torch.from_numpy(worker.data(1, steps, inputs))
        self.steps = [self.x[:, t].contiguous() for t in range(steps)]
        self.lstm, _ = layers(inputs, hidden)
        self.cell = torch.nn.LSTMCell(inputs, hidden)
        self.cell.load_state_dict({name[:-3]: array for name, array in self.lstm.state_dict().items()})
        self.zeros = torch.zeros(1, hidden), torch.zeros(1, hidden)

    def walk(self) -> None:
        state = self.zeros
        for x in self.steps:
            state = self.cell(x, state)

    def run(self, repeats: int) -> float:
        with torch.inference_mode():
            return worker.clock(self.walk, repeats)

    def outputs(self) -> list[float]:
        found, state = [], self.zeros
        with torch.inference_mode():
            for x in self.steps[:3]:
                state = self.cell(x, state)
                found.append(state[0][0, 0].item())
        return found


class Loop(Step):
    """`nn.LSTM` over all steps in one call."""

    def run(self, repeats: int) -> float:
        with torch.inference_mode():
            return worker.clock(lambda: self.lstm(self.x), repeats)

    def outputs(self) -> list[float]:
        with torch.inference_mode():
            return self.lstm(self.x)[0][0, -3:, 0].tolist()


class Predict:
    """All sequences in one call; ragged ones packed."""

    def __init__(
        self, threads: int, sequences: int, steps: int, inputs: int, hidden: int, shortest: int
    ) -> None:
        torch.set_num_threads(threads)
        self.lstm, self.dense = layers(inputs, hidden)
        self.x = torch.from_numpy(worker.data(sequences, steps, inputs))
        self.lengths = None
        if shortest < steps:
            self.lengths = torch.from_numpy(worker.lengths(sequences, 1, shortest, steps))

    def predict(self) -> np.ndarray:
        return self.dense(last_outputs(self.lstm, self.x, self.lengths, packed=True)).numpy()

    def run(self, repeats: int) -> float:
        with torch.inference_mode():
            return worker.clock(self.predict, repeats)

    def outputs(self) -> list[float]:
        with torch.inference_mode():
            return self.predict()[:20, 0].tolist()


class PredictPadded(Predict):
    """Ragged sequences run to the longest one's end."""

    def predict(self) -> np.ndarray:
        return self.dense(last_outputs(self.lstm, self.x, self.lengths, packed=False)).numpy()


worker.serve(
    {
        "train": Train,
        "train packed": TrainPacked,
        "train padded": TrainPadded,
        "train bf16": TrainBf16,
        "infer": Infer,
        "tape": Tape,
        "backward": Backward,
        "adam": Adam,
        "dense": DenseForward,
        "step": Step,
        "loop": Loop,
        "predict": Predict,
        "predict padded": PredictPadded,
    }
)
