"""The clipped surrogate as a loss: PyTorch, finite differences, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from compare import assert_close
from karusel import LSTM, ClippedSurrogate, DataError, Dense, Sequential, UsageError, Windows
from networks import EXECUTORS, golden_names, network, part, read_golden, row_arguments
from test_golden import DTYPES, finite_differences, set_parameters


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", golden_names("surrogate_"))
def test_loss_and_gradients_as_in_pytorch(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    loss, gradients = net.gradients(inputs["X"], inputs["y"], **row_arguments(inputs))
    assert_close(gradients, part(arrays, "gradient"))
    assert_close({"loss": DTYPES[executor](loss)}, {"loss": arrays["loss"]})


def test_gradients_are_slopes() -> None:
    random = np.random.default_rng(5)
    net = Sequential([LSTM(3, return_sequences=True), Dense(4)], executor="reference")
    net.compile(ClippedSurrogate(0.3, value=0.7, entropy=0.2))
    net.build((5, 2))
    set_parameters(
        net, {name: random.integers(-2000, 2000, a.shape) / 4096 for name, a in net.parameters.items()}
    )
    X = random.standard_normal((4, 5, 2))
    action = random.integers(0, 3, (4, 5))
    y = np.stack([action, np.full((4, 5), -1.1), *random.standard_normal((2, 4, 5))], axis=-1)
    around = {"mask": random.uniform(size=(4, 5)) < 0.7}
    _, gradients = net.gradients(X, y, **around)
    assert_close(gradients, finite_differences(net, lambda: net.evaluate(X, y, **around)), tolerance=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_targets_without_weight_are_never_read(executor: str) -> None:
    net = Sequential([Dense(3)], executor=executor)
    net.compile("clipped_surrogate")
    X = np.random.default_rng(0).standard_normal((3, 2))
    y = np.array([[1, -0.7, 2.0, 0.5], [7, np.nan, np.nan, np.nan], [0, -0.7, -1.0, 0.5]])
    loss, gradients = net.gradients(X, y, sample_weight=[1, 0, 1])
    other, same = net.gradients(X[[0, 2]], y[[0, 2]])
    assert loss == pytest.approx(other)
    assert_close(gradients, same, tolerance=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_actions_outside_the_network_are_named_wherever_they_lie(executor: str) -> None:
    net = Sequential([LSTM(4, return_sequences=True), Dense(3)], executor=executor)
    net.compile("clipped_surrogate")
    X, y = np.zeros((2, 8, 1)), np.zeros((2, 8, 4))
    for row, step, action in ((0, 7, 2), (1, 3, -1), (1, 7, 2)):
        odd = y.copy()
        odd[row, step, 0] = action
        with pytest.raises(DataError, match=f"in row {row}, step {step}: it must be from 0 to 1"):
            net.evaluate(X, odd)
    late = np.ones((2, 8))
    late[1, 7] = 0
    net.evaluate(X, odd, mask=late)


def test_actions_of_windows_are_checked_as_they_are_fed() -> None:
    net = Sequential([LSTM(4, return_sequences=True), Dense(3)])
    net.compile("clipped_surrogate")
    X, lines = np.zeros((2, 4, 1)), np.zeros((8, 4), np.float32)
    lines[:, 0] = 1
    with pytest.raises(DataError, match="in window 1, step 0, shifted and scaled: it must be from 0 to 1"):
        net.evaluate(X, Windows(lines, [0, 4], 4, scale=[1, 2]))
    lines[1, 0] = 2
    mask = np.ones(32, np.float32)
    mask[4:8] = 0  # where the odd action lies in the storage, but of other lines
    with pytest.raises(DataError, match="in window 0, step 1: it must be from 0 to 1"):
        net.evaluate(X, Windows(lines, [0, 4], 4), mask=Windows(mask, [0, 16], 4))


def test_what_is_refused() -> None:
    net = Sequential([Dense(3)])
    net.compile("clipped_surrogate")
    with pytest.raises(DataError, match=r"y holds 2\.0 in row 1, step 0: it must be from 0 to 1"):
        net.fit(np.zeros((2, 4)), np.array([[1, 0, 0, 0], [2.0, 0, 0, 0]]))
    with pytest.raises(DataError, match="4 numbers per row are expected, got 3"):
        net.fit(np.zeros((2, 4)), np.zeros((2, 3)))
    net = Sequential([Dense(2)])
    net.compile("clipped_surrogate")
    with pytest.raises(UsageError, match="two actions or more"):
        net.fit(np.zeros((2, 4)), np.zeros((2, 4)))
    for settings in ({"clip": 0}, {"value": -1}, {"entropy": np.inf}):
        with pytest.raises(UsageError, match=f"ClippedSurrogate: {next(iter(settings))} must be"):
            ClippedSurrogate(**settings)
