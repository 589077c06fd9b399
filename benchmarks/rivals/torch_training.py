"""Worker: training steps of `nn.LSTM` and `Linear` in PyTorch with the fused Adam. See worker.py."""

from __future__ import annotations

import time

import torch
import worker
from torch.nn.utils.rnn import pack_padded_sequence


class Trainer:
    """Batches lie ready as tensors: no data loader, no `item()`, nothing but the step itself.

    Ragged rows are packed in each step, or run padded and the output is picked at each row's end.
    """

    def __init__(
        self, batches: int, rows: int, steps: int, inputs: int, hidden: int, threads: int, ragged: str
    ) -> None:
        self.threads, self.ragged = threads, ragged
        X, y = worker.data(batches, rows, steps, inputs)
        lengths = worker.lengths(batches, rows, steps)
        data = (torch.from_numpy(X), torch.from_numpy(y)[:, None], torch.from_numpy(lengths))
        self.batches = list(zip(*(each.split(rows) for each in data), strict=True))
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(inputs, hidden, batch_first=True)
        self.dense = torch.nn.Linear(hidden, 1)
        parameters = [*self.lstm.parameters(), *self.dense.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=0.001, fused=True)

    def last_outputs(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if self.ragged == "packed":
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            _, (h, _) = self.lstm(packed)
            return h[-1]
        outputs, _ = self.lstm(x)
        return outputs[torch.arange(len(x)), lengths - 1] if self.ragged else outputs[:, -1]

    def fit_seconds(self, epochs: int) -> float:
        torch.set_num_threads(self.threads)
        start = time.perf_counter()
        for _ in range(epochs):
            for x, y, lengths in self.batches:
                self.optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(self.dense(self.last_outputs(x, lengths)), y)
                loss.backward()
                self.optimizer.step()
        return time.perf_counter() - start


worker.serve(Trainer)
