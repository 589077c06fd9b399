"""My sequences have different lengths: what do I do?  Nothing: give them as a list."""

import numpy as np

from karusel import LSTM, Adam, Dense, Sequential

# Which of two tones is a recording? Each has a length of its own.
random = np.random.default_rng(0)
labels = random.integers(0, 2, size=300)
recordings = [
    np.sin(np.arange(length) * (0.5 if label else 0.8) + random.uniform(0, 6))
    + 0.3 * random.normal(size=length)
    for label, length in zip(labels, random.integers(10, 60, size=300), strict=True)
]

net = Sequential([LSTM(16), Dense(2, activation="softmax")])
net.compile(loss="softmax_cross_entropy", optimizer=Adam(0.01))
net.fit(recordings[:200], labels[:200], epochs=30, batch_size=16)

found = net.predict(recordings[200:]).argmax(axis=1)
print(f"{(found == labels[200:]).mean():.0%} of 100 new recordings are named right")
