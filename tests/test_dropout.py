"""Variational dropout and weight-drop: one mask for all steps, one for all rows; equal in both executors."""

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
            LSTM(5, num_layers=2, weight_drop=0.4, return_sequences=True),
            LSTM(3, direction="bidirectional", weight_drop=0.2, return_sequences=True),
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


@pytest.mark.parametrize("executor", EXECUTORS)
def test_nothing_is_dropped_outside_training(executor: str) -> None:
    X = np.random.default_rng(2).integers(0, 7, (4, 6))
    net, plain = dropping(executor), dropping(executor)
    net.build((6, 1))
    plain.build((6, 1))
    for layer in plain.layers:
        for name in ("rate", "weight_drop"):
            if hasattr(layer, name):
                setattr(layer, name, 0.0)
    assert_close({"y": net.predict(X)}, {"y": plain.predict(X)}, tolerance=0)
    before = net._weights.copy()
    gradient(net, X, X, seed=0)
    assert (net._weights == before).all()
