"""An epoch of a transcriber's network in PyTorch, for `speech.py --rival`.

It is given a file of features and settings. Each line on stdin is answered with the processor time of one
epoch. Tensors lie ready; rows are packed.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence


def main() -> None:
    settings = json.loads(sys.argv[2])
    torch.set_num_threads(settings["threads"])
    with np.load(sys.argv[1]) as file:
        X, steps, y, symbols = file["X"], file["steps"], file["y"], file["symbols"]
    rows = [torch.from_numpy(one) for one in np.split(X, np.cumsum(steps)[:-1])]
    texts = [torch.from_numpy(one.astype(np.int64)) for one in np.split(y, np.cumsum(symbols)[:-1])]
    hidden, dropout = settings["hidden_size"], settings["dropout"]
    lstm = torch.nn.LSTM(X.shape[1], hidden, settings["num_layers"], dropout=dropout, bidirectional=True)
    drop, dense = torch.nn.Dropout(dropout), torch.nn.Linear(2 * hidden, int(y.max()) + 1)
    parameters = [*lstm.parameters(), *dense.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.001, fused=True)

    for _ in sys.stdin:
        start = time.process_time()
        order = torch.randperm(len(rows))
        for batch in order.split(settings["batch"]):
            optimizer.zero_grad()
            packed = pack_sequence([rows[k] for k in batch], enforce_sorted=False)
            outputs, lengths = pad_packed_sequence(lstm(packed)[0])
            log_p = F.log_softmax(dense(drop(outputs)), dim=-1)
            strings = [texts[k] for k in batch]
            loss = F.ctc_loss(
                log_p,
                torch.cat(strings),
                lengths,
                torch.tensor([len(one) for one in strings]),
                reduction="sum",
            )
            (loss / len(batch)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main()
