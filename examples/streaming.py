"""How do I use a trained network live, one value at a time, without its history?"""

from itertools import pairwise

import numpy as np

from karusel import LSTM, Adam, Dense, Sequential

# A network that says the next value after every step of a noisy wave.
random = np.random.default_rng(0)
wave = np.sin(np.arange(1200) / 8) + 0.05 * random.normal(size=1200)
X = np.stack([wave[k : k + 60] for k in range(0, 1000, 5)])
y = np.stack([wave[k + 1 : k + 61] for k in range(0, 1000, 5)])

net = Sequential([LSTM(16, return_sequences=True), Dense(1)])
net.compile(loss="mean_squared_error", optimizer=Adam(0.01))
net.fit(X, y, epochs=30)

# The stream remembers; each value is fed once.
stream = net.stream()
errors = []
for now, following in pairwise(wave[1000:]):
    prediction = stream.step([now]).item()
    errors.append(abs(prediction - following))
print(
    f"mean error {np.mean(errors):.3f}, repeating the last value {np.mean(np.abs(np.diff(wave[1000:]))):.3f}"
)

# Its memory can be kept, and taken up again later or elsewhere.
kept = stream.state
first = stream.step([0.5])
stream.state = kept
assert (stream.step([0.5]) == first).all()
