"""Trial of what an LSTM cell may be given besides recurrent dropout: zoneout, and layer norm within.

    python benchmarks/rivals/torch_cells.py waves --data DIR
    python benchmarks/rivals/torch_cells.py chorales --data DIR --seeds 1

Each cell is a loop in PyTorch, trained on four kinds of noisy waves (held-out loss and accuracy after 400
steps) or on chorales (JSB, nats per frame of the validation part, the best of 25 or 90 epochs). No test part
is touched. What it gave stands in docs/decisions.md.
"""

from __future__ import annotations

import argparse
import pathlib
import time

import numpy as np
import torch
from scipy.io import loadmat
from torch import Tensor, nn
from torch.nn import functional


class Cell(nn.Module):
    """An LSTM with zoneout of c and h (Krueger et al. 2017), dropout of g, or layer norm (Ba et al. 2016).

    a_t = x_t W + h_{t-1} U + b. `normed` names what is normalised: the products with x and h, their sum z,
    and the c that goes into h.
    """

    def __init__(
        self, inputs: int, units: int, zone_c: float, zone_h: float, drop: float, normed: str
    ) -> None:
        super().__init__()
        self.units, self.zone_c, self.zone_h, self.drop = units, zone_c, zone_h, drop
        self.W = nn.Parameter(torch.empty(inputs, 4 * units))
        self.U = nn.Parameter(torch.empty(units, 4 * units))
        self.b = nn.Parameter(torch.zeros(4 * units))
        nn.init.xavier_uniform_(self.W)
        for gate in self.U.data.split(units, 1):
            nn.init.orthogonal_(gate)
        self.b.data[units : 2 * units] = 1
        sizes = {"x": 4 * units, "h": 4 * units, "z": 4 * units, "c": units}
        self.norms = nn.ModuleDict(
            {name: nn.LayerNorm(size) if name in normed else nn.Identity() for name, size in sizes.items()}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states [B, T, H] for x [B, T, I]."""
        products = self.norms["x"](x @ self.W)
        h = c = torch.zeros(len(x), self.units)
        seen = []
        for step in products.unbind(1):
            z = self.norms["z"](step + self.norms["h"](h @ self.U))
            i, f, g, o = (z + self.b).chunk(4, 1)
            g = functional.dropout(torch.tanh(g), self.drop, self.training)
            old_c, old_h = c, h
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
            c = self.zoned(old_c, c, self.zone_c)
            h = torch.sigmoid(o) * torch.tanh(self.norms["c"](c))
            h = self.zoned(old_h, h, self.zone_h)
            seen.append(h)
        return torch.stack(seen, 1)

    def zoned(self, old: Tensor, new: Tensor, rate: float) -> Tensor:
        if rate == 0:
            return new
        if not self.training:
            return rate * old + (1 - rate) * new
        return torch.where(torch.rand_like(new) < rate, old, new)


CELLS = {
    "plain": (0.0, 0.0, 0.0, ""),
    "recurrent dropout .1": (0.0, 0.0, 0.1, ""),
    "recurrent dropout .25": (0.0, 0.0, 0.25, ""),
    "zoneout c .1, h .05": (0.1, 0.05, 0.0, ""),
    "zoneout c .5, h .05": (0.5, 0.05, 0.0, ""),
    "layer norm of x, h and c": (0.0, 0.0, 0.0, "xhc"),
    "layer norm of x, h and c, recurrent dropout .25": (0.0, 0.0, 0.25, "xhc"),
    "layer norm of x and h": (0.0, 0.0, 0.0, "xh"),
    "layer norm of x and h, recurrent dropout .25": (0.0, 0.0, 0.25, "xh"),
    "layer norm of h and c": (0.0, 0.0, 0.0, "hc"),
    "layer norm of h and c, recurrent dropout .25": (0.0, 0.0, 0.25, "hc"),
    "layer norm of z": (0.0, 0.0, 0.0, "z"),
    "layer norm of z, recurrent dropout .25": (0.0, 0.0, 0.25, "z"),
    "layer norm of h": (0.0, 0.0, 0.0, "h"),
    "layer norm of h, recurrent dropout .25": (0.0, 0.0, 0.25, "h"),
}


def chorales(data: pathlib.Path, cell: str, seed: int, epochs: int, rate: float) -> str:
    """The best nats per frame of the validation part over the epochs."""
    held = loadmat(data / "music" / "JSB_Chorales.mat")
    train, valid = (
        [torch.tensor(piece, dtype=torch.float32) for piece in held[part][0]]
        for part in ("traindata", "validdata")
    )
    torch.manual_seed(seed)
    lstm, out = Cell(88, 150, *CELLS[cell]), nn.Linear(150, 88)
    weights = [*lstm.parameters(), *out.parameters()]
    adam = torch.optim.Adam(weights, lr=rate)

    def loss(pieces: list[Tensor]) -> tuple[Tensor, int]:
        """Summed nats of all frames but the first of each piece, and their number."""
        x = nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        told = torch.arange(x.shape[1] - 1) < torch.tensor([[len(piece) - 1] for piece in pieces])
        y = out(lstm(x[:, :-1]))
        nats = functional.binary_cross_entropy_with_logits(y, x[:, 1:], reduction="none").sum(2)
        return (nats * told).sum(), int(told.sum())

    random, best = np.random.default_rng(seed), np.inf
    for _ in range(epochs):
        lstm.train()
        for rows in np.array_split(random.permutation(len(train)), len(train) // 16):
            adam.zero_grad()
            total, frames = loss([train[row] for row in rows])
            (total / frames).backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            adam.step()
        lstm.eval()
        with torch.no_grad():
            total, frames = loss(valid)
        best = min(best, float(total) / frames)
    return f"{best:.3f}"


def waves(_: pathlib.Path, cell: str, seed: int, steps: int, rate: float) -> str:
    """Held-out loss and accuracy: sine, square, saw or triangle with noise, of 300 rows of 40 steps."""

    def make(rows: int, seed: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng(seed)
        phase = random.random((rows, 1)) + np.arange(40) * random.uniform(0.04, 0.12, (rows, 1))
        turn, kind = phase % 1, random.integers(0, 4, rows)
        shapes = np.stack(
            [np.sin(2 * np.pi * turn), np.sign(turn - 0.5), 2 * turn - 1, 4 * np.abs(turn - 0.5) - 1]
        )
        x = shapes[kind, np.arange(rows)] + random.normal(0, 0.7, (rows, 40))
        return torch.tensor(x[:, :, None], dtype=torch.float32), torch.tensor(kind)

    (x, y), (tested, truth) = make(300, seed), make(2_000, 100 + seed)
    torch.manual_seed(seed)
    lstm, out = Cell(1, 32, *CELLS[cell]), nn.Linear(32, 4)
    weights = [*lstm.parameters(), *out.parameters()]
    adam, random = torch.optim.Adam(weights, lr=rate), np.random.default_rng(seed)
    for _ in range(steps):
        rows = torch.tensor(random.integers(0, len(x), 32))
        adam.zero_grad()
        functional.cross_entropy(out(lstm(x[rows])[:, -1]), y[rows]).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
    lstm.eval()
    with torch.no_grad():
        said = out(lstm(tested)[:, -1])
    right = (said.argmax(1) == truth).float().mean()
    return f"{functional.cross_entropy(said, truth):.3f} {100 * right:.1f} %"


TRIALS = {
    "waves": (waves, 400, 0.005),
    "chorales": (chorales, 25, 0.003),
    "chorales_long": (chorales, 90, 0.01),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trial, most, rate = TRIALS[options.trial]
    for cell in CELLS:
        begun = time.process_time()
        found = [trial(options.data, cell, seed, most, rate) for seed in range(options.seeds)]
        print(f"{cell:<48} {'; '.join(found)}  {time.process_time() - begun:.0f} s", flush=True)
