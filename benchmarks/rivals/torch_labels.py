"""An epoch of a classifier of `tasks.py` in PyTorch, for its `--rival`.

It is given a file of sequences one behind the other, their lengths and labels, and settings: the layers as
Karusel's config says them, and rows of a batch. Each line on stdin is answered with the time of one epoch,
[on the wall, of the processor]. Tensors lie ready, ragged batches are packed, the Adam is the fused one,
gradients are clipped as Karusel clips them.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


class Network(torch.nn.Module):
    """Embedding, dropout, LSTM, pool and dense, in the order of a config."""

    def __init__(self, layers: list[dict], width: int) -> None:
        super().__init__()
        self.kinds, made = [], []
        for layer in layers:
            kind = layer["kind"]
            if kind == "embedding":
                made.append(torch.nn.Embedding(layer["input_dim"], layer["output_dim"]))
                width = layer["output_dim"]
            elif kind == "dropout":
                made.append(torch.nn.Dropout(layer["rate"]))
            elif kind == "lstm":
                both = layer.get("direction") == "bidirectional"
                options = {"num_layers": layer.get("num_layers", 1), "dropout": layer.get("dropout", 0.0)}
                if options["num_layers"] == 1:
                    options.pop("dropout")  # which is between layers
                hidden = layer["hidden_size"]
                made.append(torch.nn.LSTM(width, hidden, batch_first=True, bidirectional=both, **options))
                width = hidden * (2 if both else 1)
            elif kind == "pool":
                made.append(torch.nn.Identity())
                width *= 2
            elif kind == "dense":
                made.append(torch.nn.Linear(width, layer["units"]))
            else:
                raise SystemExit(f"no {kind} here")
            self.kinds.append(kind)
        self.made = torch.nn.ModuleList(made)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, there: torch.Tensor | None) -> torch.Tensor:
        for kind, layer in zip(self.kinds, self.made, strict=True):
            if kind == "lstm" and there is not None:
                packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
                x, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
            elif kind == "lstm":
                x, _ = layer(x)
            elif kind == "pool":
                largest = x if there is None else x.masked_fill(~there, -torch.inf)
                x = torch.cat([x.sum(1) / lengths[:, None], largest.amax(1)], dim=1)
            else:
                x = layer(x)
        return x


def main() -> None:
    with np.load(sys.argv[1]) as file:
        given = {name: file[name] for name in file.files}
    settings = json.loads(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    ends = np.cumsum(given["lengths"])
    rows = [torch.from_numpy(row) for row in np.split(given["values"], ends[:-1])]
    lengths = torch.from_numpy(given["lengths"])
    labels = torch.from_numpy(given["labels"])
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    ragged = len(set(given["lengths"].tolist())) > 1
    batches = []
    for some in order.split(settings["batch"]):
        x = pad_sequence([rows[k] for k in some.tolist()], batch_first=True)
        there = (torch.arange(x.shape[1]) < lengths[some][:, None])[..., None] if ragged else None
        batches.append(
            (x.squeeze(-1).long() if settings["indices"] else x, lengths[some], there, labels[some])
        )
    network = Network(settings["layers"], rows[0].shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
    for _ in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        for x, length, there, label in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x, length, there), label).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        print(json.dumps([time.perf_counter() - start, time.process_time() - processor]), flush=True)


if __name__ == "__main__":
    main()
