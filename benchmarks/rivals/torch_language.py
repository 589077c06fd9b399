"""The generator's network and its training step in PyTorch: told one JSON object on stdin, answers with one.

    {"symbols": V or 0, "notes": N or 0, "embedding": E, "hidden": [H, ...], "tied": bool, "rows": B,
     "steps": T, "batches": how many to time, "threads": n, "written": tokens to write}

Answers seconds per training step (the median, after three to warm up, wall and processor time), and seconds
per written token: embedding, nn.LSTM, linear, softmax and a draw, one token at a time, without a gradient.
"""

from __future__ import annotations

import itertools
import json
import statistics
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

    def forward(self, x: torch.Tensor, states: list[Any]) -> tuple[torch.Tensor, list[Any]]:
        y, left = self.embedding(x), []
        for lstm, state in zip(self.lstms, states, strict=True):
            y, state = lstm(y, state)
            left.append(state)
        return self.dense(y), left


def train(network: Network, told: dict[str, Any]) -> list[tuple[float, float]]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    shape = (told["rows"], told["steps"])
    states: list[Any] = [None] * len(network.lstms)
    times = []
    for _ in range(told["batches"] + 3):
        if told["symbols"]:
            x, y = (torch.randint(told["symbols"], shape) for _ in range(2))
        else:
            x, y = (torch.bernoulli(torch.full((*shape, told["notes"]), 0.05)) for _ in range(2))
        start, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        out, states = network(x, states)
        states = [tuple(part.detach() for part in state) for state in states]
        if told["symbols"]:
            loss = torch.nn.functional.cross_entropy(out.flatten(0, 1), y.flatten())
        else:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(out, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        times.append((time.perf_counter() - start, time.process_time() - used))
    return times[3:]


@torch.inference_mode()
def write(network: Network, told: dict[str, Any]) -> tuple[float, float]:
    states: list[Any] = [None] * len(network.lstms)
    x = torch.zeros((1, 1), dtype=torch.long) if told["symbols"] else torch.zeros((1, 1, told["notes"]))
    best = (float("inf"), float("inf"))
    for _ in range(5):
        start, used = time.perf_counter(), time.process_time()
        for _ in range(told["written"]):
            out, states = network(x, states)
            if told["symbols"]:
                x = torch.multinomial(torch.softmax(out[0], -1), 1)
                x.item()
            else:
                x = torch.bernoulli(torch.sigmoid(out))
        took = time.perf_counter() - start, time.process_time() - used
        best = min(best[0], took[0] / told["written"]), min(best[1], took[1] / told["written"])
    return best


def main() -> None:
    told = json.load(sys.stdin)
    torch.set_num_threads(told["threads"])
    torch.manual_seed(0)
    network = Network(told)
    times = train(network, told)
    wall, used = write(network, told)
    answer = {
        "step": statistics.median(one for one, _ in times),
        "step_processor": statistics.median(one for _, one in times),
        "token": wall,
        "token_processor": used,
        "torch": torch.__version__,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
