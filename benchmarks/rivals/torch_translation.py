"""An epoch of a translator's network in PyTorch, for `tasks.py --task multi30k --rival`.

It is given a file of tokens and settings, and says first how many weights it has. Each line on stdin is
answered with the time of one epoch, [on the wall, of the processor]. Tensors lie ready; a batch's rows are
padded to its longest, its sources packed; the loss leaves the padding out, and so does the softmax before it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


class Network(nn.Module):
    """Embedding, layer norm, LSTM on both sides; attention of the decoder's steps; a softmax sharing E."""

    def __init__(self, symbols: int, units: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.read, self.written = nn.Embedding(symbols, units), nn.Embedding(symbols, units)
        self.read_norm, self.written_norm = nn.LayerNorm(units), nn.LayerNorm(units)
        inner = dropout if layers > 1 else 0.0
        self.encoder = nn.LSTM(units, units, layers, batch_first=True, bidirectional=True, dropout=inner)
        self.decoder = nn.LSTM(units, units, batch_first=True)
        self.query = nn.Linear(units, 2 * units, bias=False)
        self.mix = nn.Linear(3 * units, units, bias=False)
        self.drop = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(symbols))
        for table in (self.read, self.written):
            nn.init.uniform_(table.weight, -0.05, 0.05)

    def forward(self, source: Any, lengths: Any, x: Any, inside: Any) -> torch.Tensor:
        packed = pack_padded_sequence(
            self.drop(self.read_norm(self.read(source))), lengths, batch_first=True, enforce_sorted=False
        )
        memory, _ = pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        memory = self.drop(memory)
        h, _ = self.decoder(self.drop(self.written_norm(self.written(x))))
        there = (torch.arange(source.shape[1]) < lengths[:, None])[:, None]
        context = F.scaled_dot_product_attention(self.query(h), memory, memory, attn_mask=there, scale=1.0)
        seen = torch.tanh(self.mix(torch.cat([context, h], dim=-1)))
        return F.linear(self.drop(seen[inside]), self.written.weight, self.bias)


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    with np.load(sys.argv[1]) as file:
        sources, targets = (
            [
                torch.from_numpy(one.astype(np.int64))
                for one in np.split(file[f"{side}s"], np.cumsum(file[f"{side}_lengths"])[:-1])
            ]
            for side in ("source", "target")
        )
    network = Network(settings["symbols"], settings["units"], settings["layers"], settings["dropout"])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001, fused=True)
    weights = sum(one.numel() for one in network.parameters())
    print(json.dumps([weights, f"torch {torch.__version__}"]), flush=True)
    for _ in sys.stdin:
        start, processor = time.perf_counter(), time.process_time()
        for batch in torch.randperm(len(sources)).split(settings["batch"]):
            optimizer.zero_grad()
            lengths = torch.tensor([len(sources[k]) for k in batch])
            source = pad_sequence([sources[k] for k in batch], batch_first=True)
            y = pad_sequence([targets[k] for k in batch], batch_first=True)
            x = F.pad(y[:, :-1], (1, 0))
            inside = torch.arange(y.shape[1]) < torch.tensor([len(targets[k]) for k in batch])[:, None]
            F.cross_entropy(network(source, lengths, x, inside), y[inside]).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        print(json.dumps([time.perf_counter() - start, time.process_time() - processor]), flush=True)


if __name__ == "__main__":
    main()
