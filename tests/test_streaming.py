"""Streaming: step after step, and chunk after chunk, is the whole sequence."""

from __future__ import annotations

import threading
import time
from array import array as machine_array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import karusel
from compare import assert_close, assert_same_bits
from karusel import LSTM, Dense, Embedding, LayerNorm, Pool, Sequential, Transpose, streaming
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
    "normed": lambda hidden: [
        LSTM(hidden, num_layers=2, layer_norm=True, initial_state="learned", return_sequences=True),
        Dense(2),
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


def test_a_stream_does_not_pool(executor: str) -> None:
    net = Sequential([LSTM(4, return_sequences=True), Pool("mean")], executor=executor)
    net.build(input_shape=(None, 3))
    with pytest.raises(karusel.errors.UsageError, match="cannot pool"):
        net.stream()


def test_a_stream_does_not_transpose(executor: str) -> None:
    net = Sequential([LSTM(4, return_sequences=True), Transpose(3)], executor=executor)
    net.build(input_shape=(None, 3))
    with pytest.raises(karusel.errors.UsageError, match="cannot transpose"):
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
    with pytest.raises(karusel.errors.DataError, match="a state must hold numbers only"):
        stream.state = "abc"
    before = bytes(stream.state)
    with pytest.raises(karusel.errors.DataError):
        stream.step(np.full((2, 3), np.nan, np.float32))
    assert bytes(stream.state) == before, "a refused step must leave the state as it was"


# What a step may be written as: every entry is the same numbers.
WRITTEN: dict[str, Any] = {
    "float32 array": lambda x: x,
    "float64 array": lambda x: x.astype(np.float64),
    "array with gaps": lambda x: np.repeat(x, 3, axis=-1)[..., ::3],
    "reversed array": lambda x: x[..., ::-1].copy()[..., ::-1],
    "array by columns": np.asfortranarray,
    "read-only array": lambda x: np.frombuffer(x.tobytes(), np.float32).reshape(x.shape),
    "array of another byte order": lambda x: x.astype(">f8"),
    "unaligned array": lambda x: np.frombuffer(b"_" + x.tobytes(), np.float32, offset=1).reshape(x.shape),
    "list": lambda x: x.tolist(),
    "tuple of float32": lambda x: tuple(x),
    "memoryview": memoryview,
}


@pytest.mark.parametrize("written", WRITTEN)
@FEW
@given(rows=st.integers(1, 4), width=st.integers(1, 5), data=st.data())
def test_a_step_is_its_numbers_however_they_are_written(
    executor: str, written: str, rows: int, width: int, data: Any
) -> None:
    net = streaming_network("one layer", width, 5, executor)
    x = draw(rows, width, seed=rows + 10 * width)
    expected = net.stream(rows=rows).run(x[:, None])[:, 0]
    step = net.stream(rows=rows).step(WRITTEN[written](x))
    assert_close({"step": step}, {"step": expected}, tolerance=1e-6)
    if rows == 1:
        step = net.stream().step(WRITTEN[written](x[0]))
        assert step.shape == (2,)
        assert_close({"step": step}, {"step": expected[0]}, tolerance=1e-6)


@pytest.mark.parametrize("width", [1, 3])
def test_whole_numbers_are_numbers(executor: str, width: int) -> None:
    net = streaming_network("one layer", width, 5, executor)
    expected = net.stream().step(np.arange(2.0, 2 + width))
    whole = list(range(2, 2 + width))
    kinds = [np.array(whole, dtype) for dtype in (np.int32, np.int64, np.uint8, np.longlong)]
    for x in [whole, *kinds, machine_array("l", whole), machine_array("d", whole)]:
        assert_same_bits({"step": net.stream().step(x)}, {"step": expected})


def test_one_input_of_one_row_may_be_a_number(executor: str) -> None:
    net = streaming_network("one layer", 1, 5, executor)
    expected = net.stream().step([2])
    assert expected.shape == (2,)
    for x in (2, 2.0, np.float32(2), np.float64(2), np.int64(2), np.array(2.0), [2.0], [np.float32(2)]):
        assert_same_bits({repr(x): net.stream().step(x)}, {repr(x): expected})


def test_every_step_returns_an_array_of_its_own(executor: str) -> None:
    net = streaming_network("one layer", 3, 5, executor)
    for shape in [(3,), (1, 3)]:
        stream = net.stream()
        first = stream.step(np.ones(shape))
        kept = first.copy()
        second = stream.step(np.ones(shape))
        assert_same_bits({"first": first}, {"first": kept})
        second[:] = np.nan
        assert np.isfinite(stream.step(np.ones(shape))).all()


REFUSED: dict[str, Any] = {
    "a NaN in a list": [0.0, float("nan"), 1.0],
    "a NaN in an array": np.array([0.0, 1.0, np.nan]),
    "an infinite float32": np.array([-np.inf, 0.0, 1.0], np.float32),
    "a number beyond all types": [0, 10**400, 1],
    "too few numbers": [0.0, 1.0],
    "too many numbers": np.zeros(4),
    "a list of too many numbers": [0.0, 1.0, 2.0, 3.0],
    "a number": 0.5,
    "rows of other lengths": [[0.0, 1.0], [2.0]],
    "too many rows": np.zeros((2, 3)),
    "columns for rows": np.zeros((3, 1)),
    "a chunk": np.zeros((1, 1, 3)),
    "nothing": [],
    "None": None,
    "letters": "abc",
    "bytes": b"abc",
    "words in a list": [0.0, "one", 1.0],
    "an array with a mask": np.ma.array([0.0, 1.0, 2.0], mask=[0, 1, 0]),
}


@pytest.mark.parametrize("x", REFUSED.values(), ids=REFUSED)
def test_a_refused_step_changes_nothing(executor: str, x: Any) -> None:
    net = streaming_network("one layer", 3, 5, executor)
    stream, untouched = net.stream(), net.stream()
    for either in (stream, untouched):
        either.step([1.0, 2.0, 3.0])
    before = bytes(stream.state)
    with pytest.raises(karusel.errors.DataError):
        stream.step(x)
    assert bytes(stream.state) == before
    assert_same_bits({"next": stream.step([0, 1, 2])}, {"next": untouched.step([0, 1, 2])})


def test_numbers_beyond_float32_are_refused_by_what_computes_in_it(executor: str) -> None:
    stream = streaming_network("one layer", 3, 5, executor).stream()
    for x in ([0.0, 1e300, 1.0], np.array([0.0, 1.0, -1e300])):
        if executor == "reference":
            assert np.isfinite(stream.step(x)).all()
            continue
        with pytest.raises(karusel.errors.DataError, match="finite"):
            stream.step(x)
        assert not stream.state.any()


def symbol_network(executor: str) -> Sequential:
    net = Sequential(
        [Embedding(9, 4), LSTM(5, return_sequences=True), Dense(3)], executor=executor, random_state=1
    )
    net.build(input_shape=(None, 1))
    return net


def test_symbols_are_whole_numbers_of_their_range(executor: str) -> None:
    net = symbol_network(executor)
    for symbol in (0, 8):
        expected = net.predict(np.array([[[symbol]]]))[0, 0]
        written = [
            symbol,
            [symbol],
            float(symbol),
            np.array([symbol], np.int32),
            np.array([symbol], np.uint8),
        ]
        for x in [*written, np.array([symbol]), np.int64(symbol)]:
            assert_close({repr(x): net.stream().step(x)}, {repr(x): expected}, tolerance=1e-6)
    stream = net.stream()
    stream.step(3)
    before = bytes(stream.state)
    for x in (
        9,
        -1,
        [9],
        2**32,
        np.array([2**32 + 1]),
        2**70,
        1.5,
        np.array([np.nan]),
        np.array([9], np.int32),
    ):
        with pytest.raises(karusel.errors.DataError):
            stream.step(x)
        assert bytes(stream.state) == before


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_long_run_is_cut_where_nobody_sees_it(
    executor: str, kind: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = streaming_network(kind, 3, 4, executor)
    X = draw(rows, 3 * streaming.CHUNK_STEPS + 11, 3)
    whole = net.predict(X)
    for work in (1, streaming.PIECE_WORK):
        monkeypatch.setattr(streaming, "PIECE_WORK", work)
        stream = net.stream(rows=rows)
        assert_close({"output": stream.run(X)}, {"output": whole}, tolerance=1e-5)
        twice = net.predict(np.tile(X, (1, 2, 1)))[:, X.shape[1] :]
        assert_close({"again": stream.run(X)}, {"again": twice}, tolerance=1e-5)


def test_a_run_of_one_output_per_row_returns_the_last(executor: str) -> None:
    net = Sequential([LSTM(6, num_layers=2), Dense(2)], random_state=1, executor=executor)
    net.build(input_shape=(None, 3))
    X = draw(3, 2 * streaming.CHUNK_STEPS + 5, 3)
    assert_close({"output": net.stream(rows=3).run(X)}, {"output": net.predict(X)}, tolerance=1e-5)


def test_a_step_of_much_work_is_the_same_step(executor: str) -> None:
    net = streaming_network("one layer", 3, 40, executor)
    X = draw(400, 2, 3)
    stream = net.stream(rows=400)
    together = np.stack([stream.step(X[:, t]) for t in range(2)], axis=1)
    assert_close({"output": together}, {"output": net.predict(X)}, tolerance=1e-5)


def test_a_stream_keeps_the_weights_and_the_beginning_that_it_was_made_with(executor: str) -> None:
    net = streaming_network("deep", 3, 6, executor)
    X = draw(1, 5, 3)
    stream = net.stream()
    first = stream.run(X)
    for parameter in net.parameters.values():
        parameter += 0.1
    stream.reset()
    assert_same_bits({"output": stream.run(X)}, {"output": first})


def test_a_network_without_memory_streams_too(executor: str) -> None:
    net = Sequential([Embedding(9, 4), Dense(3)], executor=executor)
    net.build(input_shape=(None, 1))
    stream = net.stream(rows=2)
    assert stream.state.shape == (2, 0)
    stream.state = stream.state
    X = np.array([[[4]], [[7]]])
    assert_close({"output": stream.step(X[:, 0])[:, None]}, {"output": net.predict(X)}, tolerance=1e-6)


def test_a_step_of_another_thread_comes_before_a_run_or_after_it(executor: str) -> None:
    net = Sequential([LSTM(128, return_sequences=True), Dense(1)], random_state=1, executor=executor)
    net.build(input_shape=(None, 1))
    X, x = draw(1, 5000 if executor == "native" else 200, 1), [5.0]  # milliseconds, and a step that is seen
    stream, run_first, step_first = net.stream(), net.stream(), net.stream()
    outputs: dict[str, Any] = {}
    started = threading.Event()

    def run() -> None:
        started.set()
        outputs["run"] = stream.run(X)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    time.sleep(0.003)
    outputs["step"] = stream.step(x)
    thread.join()

    orders = [
        {"run": run_first.run(X), "step": run_first.step(x)},
        {"step": step_first.step(x), "run": step_first.run(X)},
    ]
    assert np.abs(orders[0]["step"] - orders[1]["step"]).max() > 1e-3
    nearest = min(orders, key=lambda order: float(np.abs(order["step"] - outputs["step"]).max()))
    assert_close(outputs, nearest, tolerance=1e-6)
