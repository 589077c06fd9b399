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
drawn = scaled[
    np.random.default_rng(1).integers(0, len(scaled), 10 * 128)
]  # neuralforecast draws at each step

network = Sequential([LSTM(64), Dense(128, activation="relu"), Dense(horizon)], random_state=1)
network.compile(AbsoluteError(), Adam(0.001))
network.fit(drawn[:, :length], drawn[:, length:], epochs=50, batch_size=128)
last = y[-length:]
inputs = (last - last.mean()) / last.std()
print(last.mean() + last.std() * network.predict(inputs[None].astype(np.float32))[0])
