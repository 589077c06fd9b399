"""How do I keep a network, and a training that may be interrupted?"""

import tempfile
from pathlib import Path

import numpy as np

import karusel
from karusel import LSTM, Checkpoint, Dense, EarlyStopping, Sequential

random = np.random.default_rng(0)
X = random.normal(size=(200, 12, 2))
y = X[:, :, 0].sum(axis=1)

with tempfile.TemporaryDirectory() as folder:
    net = Sequential([LSTM(16), Dense(1)])
    net.compile(loss="mean_squared_error", optimizer="adam")
    # Killed and started again, this fit goes on from its last epoch and ends with the same bits.
    history = net.fit(
        X,
        y,
        epochs=40,
        validation_split=0.2,
        callbacks=[EarlyStopping(patience=5), Checkpoint(Path(folder) / "fit.checkpoint")],
    )
    print(f"{history.epochs} epochs, held-out loss {min(history.history['val_loss']):.3f}")

    # One file of data only: nothing in it can run.
    net.save(Path(folder) / "sum.karusel")
    same = karusel.load(Path(folder) / "sum.karusel")
    assert (same.predict(X) == net.predict(X)).all()
