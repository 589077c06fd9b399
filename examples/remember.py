"""My network forgets: what helps?  Long-memory initialisation, and residual stacks. The gradient says why."""

import numpy as np

from karusel import LSTM, Adam, Dense, Sequential, inspect

# Two of T numbers are marked, one in each half, and their sum is wanted at the end.
T, rows = 150, 8_000


def adding(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = np.zeros((rows, T, 2), np.float32)
    X[:, :, 0] = random.random((rows, T))
    for first, last in ((0, T // 2), (T // 2, T)):
        X[np.arange(rows), random.integers(first, last, rows), 1] = 1
    return X, (X[:, :, 0] * X[:, :, 1]).sum(axis=1)


X, y = adding(rows, seed=0)
new, truth = adding(500, seed=1)
print(f"guessing the mean: error {truth.var():.3f}\n")
for name, layer in {
    "plain": LSTM(16),
    "long memory": LSTM(16, init="chrono", chrono_length=T),
    "long memory, three deep": LSTM(16, num_layers=3, residual=True, init="chrono", chrono_length=T),
}.items():
    net = Sequential([layer, Dense(1)])
    net.compile(loss="mean_squared_error", optimizer=Adam(0.005, clip_norm=1.0))
    net.build((T, 2))
    begin = inspect.gradient_flow(net, new[:64], truth[:64]).reading
    net.fit(X, y, epochs=4, batch_size=32)
    print(f"{name}: error {net.evaluate(new, truth):.4f}\n  before training: {begin}")
