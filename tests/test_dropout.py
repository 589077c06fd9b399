"""Variational and recurrent dropout, weight-drop: what each leaves out, and both executors alike."""

from __future__ import annotations

import numpy as np
import pytest

from compare import assert_close
from karusel import LSTM, Dense, Dropout, Embedding, Sequential
from karusel.batches import Examples
from karusel.program.executor import Executor
from networks import EXECUTORS
from test_golden import finite_differences


def training(net: Sequential, X: np.ndarray, y: np.ndarray) -> tuple[Executor, Examples]:
    examples = net._examples(X, y, None, None, None, None)
    return net._executor("train", examples), examples


def gradient(net: Sequential, X: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of one batch with what a seed drops."""
    executor, examples = training(net, X, y)
    found = np.zeros_like(net._weights)
    order = np.arange(len(examples), dtype=np.int64)
    total = executor.gradient(net._weights, examples, order, seed, found)
    return total.mean, net._by_name(found)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_all_steps_share_a_mask(executor: str) -> None:
    random = np.random.default_rng(0)
    X = random.uniform(1, 2, (5, 7, 3))
    net = Sequential([Dropout(0.4, variational=True), Dense(1, use_bias=False)], executor=executor)
    net.compile("mean_absolute_error")
    net.build((7, 3))
    net.parameters["dense_1.W"][:] = 1.0
    # With targets far below, the gradient by W is the sum of what was kept of x, scaled.
    y = np.full((5, 7, 1), -100.0)
    _, gradients = gradient(net, X, y, seed=9)
    kept = gradients["dense_1.W"][:, 0] * 35 * 0.6
    sums = X.sum(axis=1)
    found = [
        any(np.isclose(kept[j], sums[list(rows), j].sum(), rtol=1e-5) for rows in subsets(5))
        for j in range(3)
    ]
    assert all(found)
    _, other = gradient(net, X, y, seed=10)
    assert np.abs(other["dense_1.W"] - gradients["dense_1.W"]).max() > 0.01


def subsets(n: int) -> list[tuple[int, ...]]:
    return [tuple(i for i in range(n) if bits >> i & 1) for bits in range(2**n)]


def dropping(executor: str, **options: object) -> Sequential:
    net = Sequential(
        [
            Embedding(7, 3),
            Dropout(0.3, variational=True),
            LSTM(5, num_layers=2, weight_drop=0.4, recurrent_dropout=0.3, return_sequences=True),
            LSTM(
                3,
                direction="bidirectional",
                dilation=2,
                weight_drop=0.2,
                recurrent_dropout=0.2,
                return_sequences=True,
            ),
            Dense(7),
        ],
        executor=executor,
        random_state=4,
        **options,
    )
    net.compile("softmax_cross_entropy")
    return net


def test_gradients_with_what_is_dropped_are_slopes() -> None:
    random = np.random.default_rng(1)
    X, y = random.integers(0, 7, (3, 5)), random.integers(0, 7, (3, 5))
    net = Sequential(
        [
            Embedding(7, 3),
            Dropout(0.3, variational=True),
            LSTM(4, weight_drop=0.4, return_sequences=True),
            LSTM(3, weight_drop=0.3, return_sequences=True),
            Dense(7, tied=True),
        ],
        executor="reference",
    )
    net.compile("softmax_cross_entropy")
    net.build((5, 1))
    for array in net.parameters.values():
        array[:] = random.integers(-4000, 4000, array.shape) / 4096
    _, gradients = gradient(net, X, y, seed=3)
    found = finite_differences(net, lambda: gradient(net, X, y, seed=3)[0])
    assert_close(gradients, found, tolerance=1e-6)
    dropped = (gradients["lstm_2.0.forward.U"] == 0).mean()
    assert 0.2 < dropped < 0.6


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_both_executors_drop_the_same(n_jobs: int) -> None:
    random = np.random.default_rng(2)
    X, y = random.integers(0, 7, (40, 6)), random.integers(0, 7, (40, 6))
    nets = [dropping("native", n_jobs=n_jobs), dropping("reference")]
    histories = [net.fit(X, y, epochs=2, batch_size=37).history["loss"] for net in nets]
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-5)
    assert_close(nets[0].parameters, nets[1].parameters, tolerance=2e-3)


def test_a_longest_row_of_no_weight_drops_nothing_else_of_the_others() -> None:
    X = [np.random.default_rng(k).normal(size=(t, 2)) for k, t in enumerate((3, 4, 9))]
    weights = {}
    for executor in ("native", "reference"):
        net = Sequential([LSTM(4, return_sequences=True), Dropout(0.5), LSTM(4), Dense(1)], executor=executor)
        net.compile("mse")
        net.fit(X, np.ones(3), sample_weight=[1, 1, 0], batch_size=3, epochs=2)
        weights[executor] = np.concatenate([array.ravel() for array in net.parameters.values()])
    np.testing.assert_allclose(weights["native"], weights["reference"], atol=1e-5)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_is_dropped_outside_training(executor: str) -> None:
    X = np.random.default_rng(2).integers(0, 7, (4, 6))
    net, plain = dropping(executor), dropping(executor)
    net.build((6, 1))
    plain.build((6, 1))
    for layer in plain.layers:
        for name in ("rate", "weight_drop", "recurrent_dropout"):
            if hasattr(layer, name):
                setattr(layer, name, 0.0)
    assert_close({"y": net.predict(X)}, {"y": plain.predict(X)}, tolerance=0)
    before = net._weights.copy()
    gradient(net, X, X, seed=0)
    assert (net._weights == before).all()


# Recurrent dropout: the candidate alone


def steady(executor: str, rate: float, steps: int) -> tuple[Sequential, float, float, float, float]:
    """One unit whose gates are i, f, g, o at every step, whatever comes; its output is h at the end."""
    net = Sequential([LSTM(1, recurrent_dropout=rate, initial_state="learned")], executor=executor)
    net.compile("mean_squared_error")
    net.build((steps, 2))
    for values in net.parameters.values():
        values[:] = 0
    net.parameters["lstm_0.0.forward.b"][:] = [0.3, 0.9, 0.7, -0.2]
    i, f, o = (1 / (1 + np.exp(-a)) for a in (0.3, 0.9, -0.2))
    return net, i, f, np.tanh(0.7), o


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_in_memory_is_never_dropped(executor: str) -> None:
    net, _, f, _, o = steady(executor, 0.9999999, 6)
    net.parameters["lstm_0.0.forward.c0"][:] = 1.5
    loss, _ = gradient(net, np.zeros((5, 6, 2)), np.zeros(5), seed=1)
    assert loss == pytest.approx((o * np.tanh(1.5 * f**6)) ** 2, rel=1e-5)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_kept_of_the_candidate_is_larger(executor: str) -> None:
    net, i, _, g, o = steady(executor, 0.25, 1)
    loss, gradients = gradient(net, np.zeros((4000, 1, 2)), np.zeros(4000), seed=2)
    full = (o * np.tanh(i * g / 0.75)) ** 2
    kept = loss / full * 4000
    assert kept == pytest.approx(round(kept), abs=0.02)  # a whole number of rows
    assert 0.72 < kept / 4000 < 0.78
    # By the bias of g, through what was kept: 2 h dh/dc i / (1 - rate) (1 - g^2), a mean over all rows.
    h = o * np.tanh(i * g / 0.75)
    slope = 2 * h * o * (1 - np.tanh(i * g / 0.75) ** 2) * i / 0.75 * (1 - g**2)
    assert gradients["lstm_0.0.forward.b"][2] == pytest.approx(slope * kept / 4000, rel=1e-4)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_gradients_with_recurrent_dropout_are_slopes(direction: str) -> None:
    random = np.random.default_rng(5)
    X, y = [random.normal(size=(n, 2)) for n in (4, 6, 1)], random.normal(size=(3, 2))
    net = Sequential(
        [
            LSTM(4, num_layers=2, direction=direction, recurrent_dropout=0.4, initial_state="learned"),
            Dense(2),
        ],
        executor="reference",
    )
    net.compile("mean_squared_error")
    net.build((None, 2))
    for array in net.parameters.values():
        array[:] = random.integers(-4000, 4000, array.shape) / 4096
    _, gradients = gradient(net, X, y, seed=3)
    found = finite_differences(net, lambda: gradient(net, X, y, seed=3)[0])
    assert_close(gradients, found, tolerance=1e-6)


def test_each_step_drops_its_own() -> None:
    """Shorter rows, other rows and other steps: both executors agree on all of them."""
    random = np.random.default_rng(6)
    X, y = [random.normal(size=(1 + 5 * k % 7, 2)) for k in range(30)], random.normal(size=30)
    found = []
    for executor in ("native", "reference"):
        net = Sequential([LSTM(9, recurrent_dropout=0.5), Dense(1)], executor=executor, random_state=1)
        net.compile("mean_squared_error")
        net.build((None, 2))
        loss, gradients = gradient(net, X, y, seed=4)
        found.append({"loss": np.array(loss), **gradients})
    assert_close(*found, tolerance=1e-4)
