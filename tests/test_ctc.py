"""CTC as a loss and its decoders: PyTorch, finite differences, sums over all alignments, what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare import assert_close
from karusel import CTC, LSTM, Adam, DataError, Dense, Sequential, UsageError
from karusel.decoding import beam, greedy
from networks import EXECUTORS, golden_names, network, part, read_golden, row_arguments
from test_golden import DTYPES, finite_differences, set_parameters


def strings_of(inputs: dict[str, Any]) -> list[Any]:
    return np.split(inputs["strings"], np.cumsum(inputs["string_lengths"])[:-1])


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", golden_names("ctc_"))
def test_loss_and_gradients_as_in_pytorch(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    around = row_arguments(inputs)
    loss, gradients = net.gradients(inputs["X"], strings_of(inputs), **around)
    assert_close(gradients, part(arrays, "gradient"))
    assert_close({"loss": DTYPES[executor](loss)}, {"loss": arrays["loss"]})
    assert net.evaluate(inputs["X"], strings_of(inputs), **around) == pytest.approx(loss, rel=1e-6)


def strings_by_paths(p: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every string, by adding up every alignment there is."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        string = tuple(k for k, _ in itertools.groupby(path) if k)
        found[string] = found.get(string, 0.0) + float(np.prod(p[np.arange(len(p)), path]))
    return found


def logits_network(outputs: int, executor: str) -> Sequential:
    """A network whose outputs are its inputs."""
    net = Sequential([Dense(outputs, use_bias=False)], executor=executor)
    net.compile(CTC(longest=5))
    net.build((None, outputs))
    net.parameters["dense_0.W"][:] = np.eye(outputs)
    return net


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_loss_adds_up_all_alignments(executor: str) -> None:
    y = 2 * np.random.default_rng(3).standard_normal((5, 3))
    p = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    net = logits_network(3, executor)
    every = strings_by_paths(p)
    assert sum(every.values()) == pytest.approx(1)
    assert {len(string) for string in every} == set(range(6))
    for string, probability in every.items():
        assert net.evaluate([y], [np.array(string)]) == pytest.approx(-np.log(probability), rel=1e-5)


def test_gradients_are_slopes() -> None:
    random = np.random.default_rng(2)
    net = Sequential(
        [LSTM(3, return_sequences=True, direction="bidirectional"), Dense(4)], executor="reference"
    )
    net.compile(CTC())
    net.build((None, 2))
    set_parameters(
        net, {name: random.integers(-4000, 4000, a.shape) / 4096 for name, a in net.parameters.items()}
    )
    X = [random.standard_normal((t, 2)) for t in (7, 1, 4, 9)]
    y = [np.array(s, dtype=int) for s in ([1, 1, 3], [2], [], [3, 2, 2, 1])]
    around = {"sample_weight": [1.0, 2.0, 0.25, 1.5]}
    _, gradients = net.gradients(X, y, **around)
    assert_close(gradients, finite_differences(net, lambda: net.evaluate(X, y, **around)), tolerance=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(2, 9))
def test_executors_agree(seed: int, rows: int, outputs: int) -> None:
    random = np.random.default_rng(seed)
    scale = random.choice([0.1, 3.0, 30.0])
    X = [
        scale * random.standard_normal((t, outputs)).astype(np.float32) for t in random.integers(1, 70, rows)
    ]
    y = [random.integers(1, outputs, random.integers(0, min(5, (len(x) + 1) // 2) + 1)) for x in X]
    found = [logits_network(outputs, executor).gradients(X, y) for executor in ("native", "reference")]
    # Both are differences of numbers of size 1 (log P of a certain string; p less its posterior), so the
    # rounding of float32 stays when they are small.
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5, abs=1e-5)
    largest = max(float(np.abs(x).max()) for x in X)
    for name, gradient in found[1][1].items():
        np.testing.assert_allclose(found[0][1][name], gradient, rtol=1e-4, atol=1e-5 * max(1, largest))


def test_one_thread_equals_many_and_a_row_of_weight_zero_is_never_there() -> None:
    random = np.random.default_rng(1)
    X = [random.standard_normal((t, 3)) for t in random.integers(9, 30, 71)]
    y = [random.integers(1, 6, n) for n in random.integers(0, 5, 71)]
    bits = set()
    for jobs in (1, 2, 5):
        net = Sequential([LSTM(6, return_sequences=True), Dense(6, activation="softmax")], n_jobs=jobs)
        net.compile("ctc", Adam(clip_norm=1.0))
        net.fit(X, y, epochs=2, batch_size=40)
        bits.add(net._weights.tobytes())
    assert len(bits) == 1
    weight = np.ones(71)
    weight[::3] = 0
    kept = [k for k in range(71) if weight[k]]
    loss = net.evaluate([X[k] for k in kept], [y[k] for k in kept])
    assert net.evaluate(X, y, sample_weight=weight) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_it_learns_to_write_down_what_it_hears(executor: str) -> None:
    """Pulses of three heights, at any places, are told apart and put in order."""
    random = np.random.default_rng(0)
    X, y = [], []
    for _ in range(120 if executor == "native" else 40):
        string = random.integers(1, 4, random.integers(1, 4))
        places = np.sort(random.choice(np.arange(0, 16, 3), len(string), replace=False))
        x = np.zeros((18, 3))
        for symbol, place in zip(string, places, strict=True):
            x[place : place + 2, symbol - 1] = 1
        X.append(x)
        y.append(string)
    net = Sequential([LSTM(12, return_sequences=True), Dense(4, activation="softmax")], executor=executor)
    net.compile(CTC(longest=3), Adam(0.02))
    history = net.fit(X, y, epochs=60 if executor == "native" else 25, batch_size=8).history["loss"]
    assert history[-1] < 0.2 * history[0]
    if executor == "native":
        found = [greedy(p) for p in net.predict(X)]
        assert np.mean([a == tuple(b) for a, b in zip(found, y, strict=True)]) > 0.95


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            [[1, 2, 1], [1, 1, 2]],
            r"y, row 1, has 3 symbols and 1 equal neighbours, X has 3 steps in that row",
        ),
        ([[1, 2, 1, 2], [1]], r"y, row 0, has 4 symbols, the loss is CTC\(longest=3\)"),
        ([[1], [3]], r"y holds 3 in row 1: symbols must be from 1 to 2; 0 stands for the blank"),
        ([[0], [1]], r"y holds 0 in row 0"),
        ([[1]], r"y has 1 strings, X has 2 rows"),
        ([1, 2], r"y must be a list of strings"),
        ([[1.5], [1]], r"y, row 0, must hold whole numbers"),
    ],
)
def test_strings_that_cannot_be(y: Any, message: str) -> None:
    net = Sequential([LSTM(2, return_sequences=True), Dense(3)])
    net.compile(CTC(longest=3))
    with pytest.raises(DataError, match=message):
        net.fit([np.zeros((9, 1)), np.zeros((3, 1))], y)


def test_networks_and_arguments_that_do_not_fit() -> None:
    x, y = np.zeros((1, 4, 2)), [np.array([1])]
    net = Sequential([LSTM(2), Dense(3)])
    net.compile("ctc")
    with pytest.raises(UsageError, match="needs an output per step"):
        net.fit(x, y)
    net = Sequential([LSTM(2, return_sequences=True), Dense(1)])
    net.compile("ctc")
    with pytest.raises(UsageError, match="at least 2 outputs"):
        net.fit(x, y)
    net = Sequential([LSTM(2, return_sequences=True), Dense(3)])
    net.compile("ctc")
    with pytest.raises(UsageError, match="use sample_weight="):
        net.fit(x, y, mask=np.ones((1, 4)))
    for longest in (0, 1.5, True):
        with pytest.raises(UsageError, match="longest must be"):
            CTC(longest=longest)


# --- decoders -------------------------------------------------------------------------------------


def test_greedy_merges_neighbours_and_drops_blanks() -> None:
    p = np.eye(4)[[0, 2, 2, 0, 2, 3, 3, 0, 1]]
    assert greedy(p) == (2, 2, 3, 1)
    assert greedy(p[1:], before=2) == (2, 3, 1)
    assert greedy(np.eye(3)[[0, 0]]) == ()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(2, 4))
def test_a_beam_without_bounds_finds_every_string(seed: int, steps: int, outputs: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(outputs), steps)
    every = strings_by_paths(p)
    found = beam(p, width=1000)
    assert dict(found) == pytest.approx({s: np.log(q) for s, q in every.items()})
    assert [q for _, q in found] == sorted((q for _, q in found), reverse=True)


def test_a_narrow_beam_beats_the_likeliest_alignment() -> None:
    """The classic case: blanks are likeliest at each step, yet `1` is the likelier string."""
    p = np.array([[0.6, 0.4], [0.6, 0.4]])
    assert greedy(p) == ()
    [(string, log_p), *_] = beam(p, width=2)
    assert string == (1,)
    assert np.exp(log_p) == pytest.approx(0.64)
    with pytest.raises(UsageError, match="width must be"):
        beam(p, width=0)
