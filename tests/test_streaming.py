"""Streaming: step after step, and chunk after chunk, is the whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import karusel
from compare import assert_close, assert_same_bits
from karusel import LSTM, Dense, Embedding, LayerNorm, Sequential
from networks import EXECUTORS

pytestmark = pytest.mark.parametrize("executor", EXECUTORS)
FEW = settings(max_examples=12, deadline=None, print_blob=True)

NETWORKS: dict[str, Any] = {
    "one layer": lambda hidden: [LSTM(hidden, return_sequences=True), Dense(2)],
    "deep": lambda hidden: [
        LSTM(hidden, num_layers=3, residual=True, initial_state="learned", return_sequences=True),
        LayerNorm(),
        Dense(3, activation="tanh"),
        LSTM(hidden + 1, return_sequences=True),
    ],
    "dilated": lambda hidden: [
        LSTM(hidden, num_layers=3, dilation=[1, 2, 4], residual=True, return_sequences=True),
        Dense(2),
    ],
}


def streaming_network(kind: str, width: int, hidden: int, executor: str) -> Sequential:
    net = Sequential(NETWORKS[kind](hidden), random_state=1, executor=executor)
    net.compile(loss="mean_squared_error", optimizer="adam")
    net.build(input_shape=(None, width))
    random = np.random.default_rng(2)
    for array in net.parameters.values():
        array[:] = random.standard_normal(array.shape) * 0.4
    return net


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kind", NETWORKS)
def test_ten_thousand_steps_are_the_whole_sequence(executor: str, kind: str) -> None:
    net = streaming_network(kind, 3, 8, executor)
    steps_here = 10_000 if executor == "native" or kind == "one layer" else 2_000  # the reference is slow
    X = draw(1, steps_here, 3)
    stream = net.stream()
    steps = np.stack([np.asarray(stream.step(x)).reshape(-1) for x in X[0]])
    assert_close({"output": steps}, {"output": net.predict(X)[0]}, tolerance=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
@FEW
@given(
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    rows=st.integers(1, 5),
    width=st.integers(1, 4),
    hidden=st.integers(1, 17),
)
def test_chunks_are_the_whole_sequence(
    executor: str, kind: str, cuts: list[int], rows: int, width: int, hidden: int
) -> None:
    net = streaming_network(kind, width, hidden, executor)
    X = draw(rows, sum(cuts), width, seed=hidden)
    stream = net.stream(rows=rows)
    ends = np.cumsum(cuts)
    chunks = [stream.run(X[:, end - cut : end]) for end, cut in zip(ends, cuts, strict=True)]
    assert_close({"output": np.concatenate(chunks, axis=1)}, {"output": net.predict(X)}, tolerance=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
def test_steps_and_chunks_mix(executor: str, kind: str) -> None:
    net = streaming_network(kind, 3, 6, executor)
    X = draw(2, 11, 3)
    stream = net.stream(rows=2)
    parts = [stream.run(X[:, :4]), stream.step(X[:, 4])[:, None], stream.step(X[:, 5])[:, None]]
    parts.append(stream.run(X[:, 6:]))
    assert_close({"output": np.concatenate(parts, axis=1)}, {"output": net.predict(X)}, tolerance=1e-5)


def test_a_stream_begins_from_a_given_state(executor: str) -> None:
    net = Sequential(
        [LSTM(5, num_layers=2, dilation=2, initial_state="given", return_sequences=True)], executor=executor
    )
    net.build(input_shape=(None, 3))
    X = draw(4, 7, 3)
    given = [(draw(4, 5, seed=1), draw(4, 5, seed=2)), (draw(4, 5, seed=3), draw(4, 5, seed=4))]
    stream = net.stream(rows=4, initial_state=given)
    whole = net.predict(X, initial_state=given)
    assert np.abs(whole - net.predict(X, initial_state=[(0 * h, 0 * c) for h, c in given])).max() > 1e-2
    for _ in range(2):
        output = np.concatenate([stream.run(X[:, :3]), stream.run(X[:, 3:])], axis=1)
        assert_close({"output": output}, {"output": whole}, tolerance=1e-5)
        stream.reset()


@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_returned_state_carries_predict_on(executor: str, num_layers: int) -> None:
    net = Sequential(
        [LSTM(6, num_layers=num_layers, initial_state="given", return_sequences=True), Dense(2)],
        executor=executor,
    )
    net.build(input_shape=(None, 3))
    X = draw(4, 11, 3)
    zeros = [(np.zeros((4, 6)), np.zeros((4, 6)))] * num_layers
    first, state = net.predict(X[:, :5], initial_state=zeros, return_state=True)
    second = net.predict(X[:, 5:], initial_state=state)
    whole = net.predict(X, initial_state=zeros)
    assert_close({"output": np.concatenate([first, second], axis=1)}, {"output": whole}, tolerance=1e-5)


def test_ids_stream(executor: str) -> None:
    net = Sequential([Embedding(9, 4), LSTM(5, return_sequences=True), Dense(3)], executor=executor)
    net.build(input_shape=(None, 1))
    X = np.random.default_rng(0).integers(0, 9, (2, 12))
    stream = net.stream(rows=2)
    steps = np.stack([stream.step(X[:, t : t + 1]) for t in range(12)], axis=1)
    assert_close({"output": steps}, {"output": net.predict(X)}, tolerance=1e-5)
    with pytest.raises(karusel.errors.DataError):
        stream.step(np.array([[9], [0]]))


@pytest.mark.parametrize("kind", NETWORKS)
def test_many_streams_at_once_are_each_alone(executor: str, kind: str) -> None:
    net = streaming_network(kind, 3, 9, executor)
    X = draw(37, 12, 3)
    stream = net.stream(rows=37)
    together = np.stack([stream.step(X[:, t]) for t in range(12)], axis=1)
    for row in (0, 17, 36):
        alone = net.stream()
        steps = np.stack([np.asarray(alone.step(x)).reshape(-1) for x in X[row]])
        assert_close({f"row {row}": together[row]}, {f"row {row}": steps}, tolerance=3e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_restored_state_continues_to_the_same_bits(executor: str, kind: str) -> None:
    net = streaming_network(kind, 3, 7, executor)
    X = draw(2, 20, 3)
    stream = net.stream(rows=2)
    stream.run(X[:, :9])
    saved = stream.state
    kept = bytes(saved)
    onward = [stream.step(X[:, t]) for t in range(9, 20)]
    assert bytes(saved) == kept, "a saved state must not move on with its stream"
    again = net.stream(rows=2)
    again.step(draw(2, 3, seed=4))
    again.state = saved
    for t, expected in zip(range(9, 20), onward, strict=True):
        assert_same_bits({f"step {t}": again.step(X[:, t])}, {f"step {t}": expected})
    stream.state = saved
    assert_same_bits({"step 9": stream.step(X[:, 9])}, {"step 9": onward[0]})


@pytest.mark.parametrize("kind", NETWORKS)
def test_reset_begins_anew(executor: str, kind: str) -> None:
    net = streaming_network(kind, 3, 7, executor)
    X = draw(2, 6, 3)
    stream = net.stream(rows=2)
    first = np.array(stream.run(X))
    onward = np.array(stream.run(X))
    assert np.abs(onward - first).max() > 1e-3
    stream.reset()
    assert_same_bits({"output": stream.run(X)}, {"output": first})


def test_a_network_of_the_last_output_streams_what_it_would_say_now(executor: str) -> None:
    net = Sequential([LSTM(6, num_layers=2), Dense(2)], random_state=1, executor=executor)
    net.build(input_shape=(None, 3))
    X = draw(2, 9, 3)
    stream = net.stream(rows=2)
    for t in range(9):
        assert_close({f"{t}": stream.step(X[:, t])}, {f"{t}": net.predict(X[:, : t + 1])}, tolerance=1e-5)


@pytest.mark.parametrize("direction", ["backward", "bidirectional"])
def test_what_needs_the_future_does_not_stream(executor: str, direction: str) -> None:
    net = Sequential([LSTM(4, direction=direction, return_sequences=True)], executor=executor)
    net.build(input_shape=(None, 3))
    with pytest.raises(karusel.errors.UsageError, match=direction):
        net.stream()


def test_wrong_shapes_and_states_are_refused(executor: str) -> None:
    net = streaming_network("one layer", 3, 5, executor)
    stream = net.stream(rows=2)
    with pytest.raises(karusel.errors.DataError):
        stream.step(draw(3, 3))
    with pytest.raises(karusel.errors.DataError):
        stream.step(draw(2, 4))
    with pytest.raises(karusel.errors.DataError):
        stream.run(draw(2, 6, 2))
    with pytest.raises(karusel.errors.DataError):
        stream.state = net.stream(rows=3).state
    before = bytes(stream.state)
    with pytest.raises(karusel.errors.DataError):
        stream.step(np.full((2, 3), np.nan, np.float32))
    assert bytes(stream.state) == before, "a refused step must leave the state as it was"
