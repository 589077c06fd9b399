"""What did my network learn?  Its gates, its memory, and which inputs it goes by."""

import numpy as np

from karusel import LSTM, Adam, Dense, Sequential, inspect

# The answer is what the first input said when the second one, the signal, was last on; the third is noise.
random = np.random.default_rng(0)
n, T = 1500, 30
X = random.normal(size=(n, T, 3)).astype(np.float32)
X[:, :, 1] = random.random((n, T)) < 0.1
X[:, 0, 1] = 1
last_signal = T - 1 - X[:, ::-1, 1].argmax(axis=1)
y = X[np.arange(n), last_signal, 0]

net = Sequential([LSTM(16), Dense(1)])
net.compile(loss="mean_squared_error", optimizer=Adam(0.01, clip_norm=1.0))
net.fit(X[:1400], y[:1400], epochs=30, batch_size=32)
new = X[1400:]
print(f"error {net.evaluate(new, y[1400:]):.3f} (guessing: {y.var():.2f})\n")

[seen] = inspect.gates(net, new)
print(seen.reading)
print(inspect.memory_horizon(net, new).reading)
print(inspect.gradient_flow(net, new, y[1400:]).reading)

shares = inspect.integrated_gradients(net, new)
print(shares.reading)
signal = np.abs([row[t, 0] for row, t in zip(shares.values, last_signal[1400:], strict=True)])
every = np.abs(shares.values[:, :, 0]).sum(axis=1)
print(f"Of what the first input moves, {np.mean(signal / every):.0%} comes from the step of the signal.")
