"""Recorded training of PyTorch: optimizers, clipping, schedules, averaging, the notebook's job."""

from __future__ import annotations

import numpy as np
import pytest

import karusel
from compare import assert_close
from networks import EXECUTORS, Arrays, golden_names, network, part, read_golden, row_arguments


def fitted(spec: Arrays, arrays: Arrays, executor: str) -> tuple[karusel.Sequential, np.ndarray]:
    """The network after the recorded number of epochs, and its loss in each."""
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    history = net.fit(
        inputs["X"],
        inputs["y"],
        epochs=spec["epochs"],
        batch_size=spec["batch_size"],
        shuffle=False,
        **row_arguments(inputs),
    )
    return net, np.array(history.history["loss"])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", golden_names("training_"))
def test_ten_epochs_as_in_pytorch(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    net, losses = fitted(spec, arrays, executor)
    # The loss of an epoch is the mean over its batches, each weighing what its rows weigh.
    weights = arrays["weights"].reshape(spec["epochs"], -1)
    expected = (arrays["losses"].reshape(weights.shape) * weights).sum(1) / weights.sum(1)
    assert_close({"loss": losses.astype(np.float32)}, {"loss": expected})
    kept = part(arrays, "average") or part(arrays, "final")
    assert_close({key: np.asarray(value) for key, value in net.parameters.items()}, kept, tolerance=1e-4)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_thousand_steps_of_the_notebook(executor: str) -> None:
    spec, arrays = read_golden("notebook")
    net, losses = fitted(spec, arrays, executor)
    expected = arrays["losses"].reshape(spec["epochs"], -1).astype(np.float64).mean(1)
    assert len(arrays["losses"]) == 1000
    assert np.abs(losses - expected).max() < 1e-4
    # Rounding moves a weight further than the loss: 1,000 steps of up to 0.001 each.
    assert_close(dict(net.parameters), part(arrays, "final"), tolerance=1e-3)


# --- dropout: there is no common stream of random numbers to record, so its moments and its place ---


def dropout_loss(executor: str, rate: float, loss: str) -> float:
    """The loss in one epoch of a network that hands on 1, dropped or scaled, to the target 0."""
    net = karusel.Sequential([karusel.Dropout(rate), karusel.Dense(1, use_bias=False)], executor=executor)
    net.compile(loss=loss, optimizer=karusel.Adam(learning_rate=1e-12))
    net.build(input_shape=(1,))
    net.parameters["dense_1.W"][:] = 1.0
    X, y = np.ones((20_000, 1), np.float32), np.zeros(20_000, np.float32)
    assert_close({"output": net.predict(X)}, {"output": X}, tolerance=0.0)
    return float(net.fit(X, y, batch_size=1000).history["loss"][0])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("rate", [0.3, 0.8])
def test_dropout_keeps_the_mean_and_drops_its_share(executor: str, rate: float) -> None:
    # A kept unit is 1 / (1 - rate): mean 1, mean square 1 / (1 - rate); 5 standard errors of 20,000 draws.
    error = 5 * (rate / (1 - rate) / 20_000) ** 0.5
    assert abs(dropout_loss(executor, rate, "mean_absolute_error") - 1) < error
    assert abs(dropout_loss(executor, rate, "mean_squared_error") - 1 / (1 - rate)) < error / (1 - rate)


def test_dropout_trains_alike_on_both_executors() -> None:
    if len(EXECUTORS) < 2:
        pytest.skip("no engine in this install")
    random = np.random.default_rng(4)
    X, y = random.standard_normal((7, 6, 3)), random.standard_normal((7, 6, 2))
    lengths = np.array([6, 2, 5, 6, 1, 3, 4])
    losses = {}
    for executor in ("native", "reference"):
        layers = [
            karusel.Dropout(0.2),
            karusel.LSTM(5, num_layers=3, dropout=0.4, return_sequences=True),
            karusel.Dropout(0.3),
            karusel.Dense(2),
        ]
        net = karusel.Sequential(layers, executor=executor, random_state=3)
        net.compile(loss="mean_squared_error", optimizer=karusel.Adam(0.01))
        losses[executor] = net.fit(X, y, lengths=lengths, epochs=5, batch_size=3).history["loss"]
    assert np.std(losses["reference"]) > 1e-3
    assert_close(
        {"loss": np.array(losses["native"])}, {"loss": np.array(losses["reference"])}, tolerance=1e-4
    )
