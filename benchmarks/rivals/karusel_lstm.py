"""The job of neuralforecast_lstm.py in Karusel: LSTM(64), 500 steps of 128 windows: FILE HORIZON."""

from __future__ import annotations

import sys

import numpy as np

from karusel import LSTM, AbsoluteError, Adam, Dense, Sequential

horizon, length = int(sys.argv[2]), 24
y = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1, usecols=1)
windows = np.lib.stride_tricks.sliding_window_view(y, length + horizon)
mean = windows[:, :length].mean(1, keepdims=True)
spread = windows[:, :length].std(1, keepdims=True)
scaled = ((windows - mean) / spread).astype(np.float32)
# neuralforecast draws each step's 128 windows with repetition from fewer: a window drawn twice counts twice,
# one not drawn has no weight and costs nothing.
steps, n = 500, len(scaled)
random = np.random.default_rng(1)
drawn = random.integers(0, n, (steps, 128)) + n * np.arange(steps)[:, None]
times = np.bincount(drawn.ravel(), minlength=steps * n)

network = Sequential([LSTM(64), Dense(128, activation="relu"), Dense(horizon)], random_state=1)
network.compile(AbsoluteError(), Adam(0.001))
network.fit(
    np.tile(scaled[:, :length], (steps, 1)),
    np.tile(scaled[:, length:], (steps, 1)),
    sample_weight=times,
    epochs=1,
    batch_size=n,
    shuffle=False,
)
last = y[-length:]
inputs = (last - last.mean()) / last.std()
print(last.mean() + last.std() * network.predict(inputs[None].astype(np.float32))[0])
