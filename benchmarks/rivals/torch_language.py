"""The generator's network in PyTorch, for `tasks.py --rival`. Its second argument says which, in JSON:

    {"symbols": V or 0, "notes": N or 0, "embedding": E, "hidden": [H, ...], "tied": bool, "dropout": share,
     "rows": B, "steps": T, "threads": n}

and it says PyTorch's version. Then each line "train" is answered by the seconds of a training step, and
"write" by those of 2,000 tokens written one at a time: embedding, nn.LSTM, linear, softmax and a draw,
without a gradient. Both as [on the wall, of the processor]. Dropout has a mask for each sequence, like the
generator's.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from typing import Any

import torch


class Network(torch.nn.Module):
    """Embedding, one nn.LSTM for each size, linear."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        width = told["notes"] or told["embedding"]
        self.embedding = (
            torch.nn.Embedding(told["symbols"], width) if told["symbols"] else torch.nn.Identity()
        )
        sizes = [width, *told["hidden"]]
        self.lstms = torch.nn.ModuleList(
            torch.nn.LSTM(a, b, batch_first=True) for a, b in itertools.pairwise(sizes)
        )
        self.dense = torch.nn.Linear(sizes[-1], told["symbols"] or told["notes"])
        if told["tied"]:
            self.dense.weight = self.embedding.weight
        self.told = told

    def drop(self, y: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.told["dropout"]:
            return y
        return y * torch.nn.functional.dropout(torch.ones_like(y[:, :1]), self.told["dropout"])

    def forward(self, x: torch.Tensor, states: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        y, left = self.embedding(x), []
        if self.told["symbols"]:
            y = self.drop(y)
        for lstm, state in zip(self.lstms, states, strict=True):
            y, state = lstm(y, state)
            y = self.drop(y)
            left.append(state)
        return self.dense(y), left


class Job:
    """Training and writing with one network."""

    def __init__(self, told: dict[str, Any]) -> None:
        torch.set_num_threads(told["threads"])
        torch.manual_seed(0)
        self.told, self.network = told, Network(told)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)
        self.states: list[Any] = [None] * len(told["hidden"])
        shape = (told["rows"], told["steps"])
        if told["symbols"]:
            self.x, self.y = (torch.randint(told["symbols"], shape) for _ in range(2))
        else:
            self.x, self.y = (torch.bernoulli(torch.full((*shape, told["notes"]), 0.05)) for _ in range(2))

    def train(self) -> None:
        self.network.train()
        self.optimizer.zero_grad()
        out, states = self.network(self.x, self.states)
        self.states = [tuple(part.detach() for part in state) for state in states]
        if self.told["symbols"]:
            loss = torch.nn.functional.cross_entropy(out.flatten(0, 1), self.y.flatten())
        else:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(out, self.y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()

    @torch.inference_mode()
    def write(self) -> None:
        self.network.eval()
        states: list[Any] = [None] * len(self.states)
        symbols = self.told["symbols"]
        x = torch.zeros((1, 1), dtype=torch.long) if symbols else torch.zeros((1, 1, self.told["notes"]))
        for _ in range(2000):
            out, states = self.network(x, states)
            if symbols:
                x = torch.multinomial(torch.softmax(out[0], -1), 1)
                x.item()
            else:
                x = torch.bernoulli(torch.sigmoid(out))


def main() -> None:
    job = Job(json.loads(sys.argv[2]))
    print(json.dumps(f"torch {torch.__version__}"), flush=True)
    for line in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        getattr(job, json.loads(line))()
        print(json.dumps([time.perf_counter() - start, time.process_time() - processor]), flush=True)


if __name__ == "__main__":
    main()
