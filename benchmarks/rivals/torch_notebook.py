"""The notebook's job in PyTorch: tensors in memory, no data loader, the fused Adam.

One thread: at this size PyTorch's default of all cores is no faster, and far slower on a busy machine.
"""

from __future__ import annotations

import job
import torch

X, y = job.training_data()
inputs = torch.tensor(X, dtype=torch.float32)
targets = torch.tensor(y, dtype=torch.float32)


torch.set_num_threads(1)
lstm = torch.nn.LSTM(1, 50, batch_first=True)
dense = torch.nn.Linear(50, 1)
optimizer = torch.optim.Adam([*lstm.parameters(), *dense.parameters()], lr=0.001, fused=True)


def network(x: torch.Tensor) -> torch.Tensor:
    """The dense layer on the last output."""
    outputs, _ = lstm(x)
    return dense(outputs[:, -1])


for epoch in range(100):
    total = 0.0
    for row in torch.randperm(40).tolist():
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(inputs[row : row + 1])[:, 0], targets[row : row + 1])
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"Epoch {epoch + 1}/100 - loss: {total / 40:.4f}")
with torch.no_grad():
    job.print_table(network(torch.tensor(job.test_data(), dtype=torch.float32)).numpy())
