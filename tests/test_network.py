"""The network's public face: building, bad input, configuration."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from karusel import (
    CTC,
    LSTM,
    Activation,
    Adam,
    AdamW,
    ClippedSurrogate,
    Cosine,
    DataError,
    Dense,
    Dropout,
    EarlyStopping,
    Embedding,
    Huber,
    KaruselError,
    LayerNorm,
    Pinball,
    Pool,
    Sequential,
    SoftmaxCrossEntropy,
    TooLargeError,
    Transpose,
    UsageError,
    Windows,
    load,
)
from karusel.inputs import read_numbers

X = np.random.default_rng(0).normal(size=(9, 4, 2))
Y = np.random.default_rng(1).normal(size=(9, 3))


def network(loss: Any = "mse", layers: Any = None) -> Sequential:
    made = Sequential(layers or [LSTM(5), Dense(3)])
    made.compile(loss)
    return made


def with_value(array: Any, index: Any, value: Any) -> Any:
    copy = np.array(array, dtype=float)
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("X", "y", "extra", "message"),
    [
        (with_value(X, (3, 2, 1), np.nan), Y, {}, "X holds nan in row 3, step 2, column 1"),
        (with_value(X, (3, 2, 1), np.inf), Y, {}, "X holds inf in row 3, step 2, column 1"),
        (with_value(X, (3, 2, 1), 1e39), Y, {}, "X holds inf in row 3, step 2, column 1"),
        (X, with_value(Y, (7, 0), np.nan), {}, "y holds nan in row 7, step 0, column 0"),
        (X[:0], Y[:0], {}, r"X is empty: shape \[0, 4, 2\]"),
        (X[:, :0], Y, {}, r"X is empty: shape \[9, 0, 2\]"),
        ([], [], {}, "X must have shape"),
        (np.array([], dtype=object), [], {}, "X is empty: a list of sequences needs at least one"),
        (X, Y[:5], {}, "y has 5 rows, X has 9: they must be equally many"),
        (X, Y[:, :2], {}, "y: 3 numbers per row are expected, got 2"),
        (
            X[None],
            Y,
            {},
            r"X must have shape \[rows, steps, numbers\] or \[rows, steps\], got \[1, 9, 4, 2\]",
        ),
        ([X[0], X[1, :0]], Y[:2], {}, "X, row 1, has no steps"),
        ([X[0], X[1, :, :1]], Y[:2], {}, "X, row 1, has 1 numbers per step, row 0 has 2"),
        ([["a", "b"]], Y[:1], {}, "X must hold numbers only"),
        (X, Y, {"lengths": [4] * 8}, "lengths must hold one number for each of the 9 rows"),
        (X, Y, {"lengths": [4] * 8 + [0]}, "lengths: row 8 has length 0; lengths must be from 1 to 4"),
        (X, Y, {"lengths": [4] * 8 + [5]}, "lengths: row 8 has length 5"),
        (list(X[:, :2]), Y, {"lengths": [2] * 9}, "X is a list of sequences: lengths are known from it"),
        (X, Y, {"sample_weight": np.ones(8)}, "sample_weight has 8 rows, X has 9"),
        (X, Y, {"sample_weight": -np.ones(9)}, "sample_weight must hold finite numbers from 0 up"),
        (X, Y, {"sample_weight": np.full(9, 3e38)}, r"the largest is 3e\+38, .* divide all by it"),
        (X, Y, {"sample_weight": np.full(9, 1e-38)}, "the largest is 1e-38, which float32 cannot sum up"),
        (X, Y, {"mask": np.zeros(9)}, "leave no target at all"),
        (X, Y, {"mask": np.ones((9, 4))}, "mask must hold one number per row"),
        (np.ma.masked_equal(with_value(X, (3, 2, 1), 9), 9), Y, {}, "X holds nan in row 3, step 2, column 1"),
        (X, np.ma.masked_equal(with_value(Y, (7, 0), 9), 9), {}, "y holds nan in row 7, step 0, column 0"),
        (X.astype(str), Y, {}, "X must hold numbers only, got <U32"),
        (X.astype("M8[s]"), Y, {}, "X must hold numbers only, got datetime64"),
        (X + 1j, Y, {}, "X must hold numbers only, got complex128"),
        (
            [*X.tolist()[:1], [[1, pd.NA]]],
            Y[:2],
            {},
            "X, row 1, must .* what is missing is NaN, and sequences of",
        ),
        (X, Y, {"initial_state": [(1, 1)]}, "initial_state= needs an LSTM with initial_state='given'"),
    ],
)
def test_bad_data_is_named(X: Any, y: Any, extra: dict[str, Any], message: str) -> None:
    made = network()
    with pytest.raises(KaruselError, match=message):
        made.fit(X, y, **extra)
    with pytest.raises(KaruselError, match=message):
        made.evaluate(X, y, **extra)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1 up, got 0"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 up, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number from 1 up, got 2.5"),
        ({"validation_split": 1.0}, "validation_split must be at least 0 and below 1, got 1.0"),
        ({"validation_split": 0.001}, "leaves no row to hold out or none to train on"),
        ({"validation": "first"}, "validation must be one of last, random, got 'first'"),
        ({"time_limit": 0}, "time_limit must be a number of seconds above 0, got 0"),
        ({"validation_data": (X,)}, "validation_data must be"),
        ({"validation_data": {"X": X}}, "validation_data must be"),
        ({"validation_data": {"X": X, "y": Y, "weights": None}}, "validation_data must be"),
        ({"validation_split": "0.2"}, "validation_split must be at least 0 and below 1, got '0.2'"),
        ({"callbacks": None}, "callbacks must be a list of karusel.callbacks objects, got None"),
        ({"callbacks": [print]}, "callbacks must be a list of karusel.callbacks objects, got"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network().fit(X, Y, **settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(0), "LSTM: hidden_size must be a whole number from 1 up, got 0"),
        (lambda: LSTM(2.5), "got 2.5"),
        (lambda: LSTM(3.0), "LSTM: hidden_size must be a whole number from 1 up, got 3.0"),
        (lambda: Sequential(n_jobs=2.0), "Sequential: n_jobs must be a whole number from 1 up, got 2.0"),
        (lambda: LSTM(True), "got True"),
        (lambda: LSTM(2**40), "LSTM: hidden_size must be at most 2,147,483,647"),
        (lambda: LSTM(3, num_layers=10**9), "LSTM: num_layers must be at most 999"),
        (lambda: LSTM(3, direction="up"), "LSTM: direction must be one of forward, backward, bidirectional"),
        (lambda: LSTM(3, num_layers=2, dilation=[1]), "one per depth: 2 wanted, got 1"),
        (lambda: LSTM(3, dropout=1.0), "LSTM: dropout must be at least 0 and below 1, got 1.0"),
        (lambda: LSTM(3, init="chrono"), "init='chrono' needs chrono_length"),
        (
            lambda: LSTM(3, init="chrono", chrono_length=0),
            "LSTM: chrono_length must be a whole number from 1",
        ),
        (lambda: LSTM(3, dilation="a"), "LSTM: dilation must be a whole number from 1 up, got 'a'"),
        (lambda: LSTM(3, input_shape=(5.5, 1)), r"input_shape must be \(steps, inputs\) or \(inputs,\), of"),
        (lambda: Dense(3, input_shape=(0,)), r"input_shape must be .* got \(0,\)"),
        (lambda: network().build(("a", 1)), r"input_shape must be .* got \('a', 1\)"),
        (lambda: LSTM(3, initial_state="one"), "initial_state must be one of zeros, learned, given"),
        (lambda: Dense(0), "Dense: units"),
        (
            lambda: Dense(2, activation="gelu"),
            "function must be one of tanh, sigmoid, relu, softmax, got 'gelu'",
        ),
        (lambda: Dropout(-0.1), "Dropout: rate"),
        (lambda: Embedding(0, 3), "Embedding: input_dim"),
        (lambda: LayerNorm(0.0), "LayerNorm: epsilon must be a finite number above 0, got 0.0"),
        (lambda: LayerNorm("x"), "LayerNorm: epsilon must be a finite number above 0, got 'x'"),
        (lambda: LayerNorm(1e-50), r"LayerNorm: epsilon must lie within float32, 1.2e-38 to 3.4e\+38, got"),
        (lambda: Pool("median"), "Pool: functions must be mean, max or both, got 'median'"),
        (lambda: Pool(["max", "max"]), "Pool: functions"),
        (lambda: Pool(True), "Pool: functions must be mean, max or both, got True"),
        (lambda: Transpose(0), "Transpose: columns must be a whole number from 1 up, got 0"),
        (lambda: SoftmaxCrossEntropy(classes=1), "classes must be a whole number from 2 up, got 1"),
        (lambda: Huber(0), "Huber: delta"),
        (lambda: Huber(True), "Huber: delta must be a finite number above 0, got True"),
        (lambda: ClippedSurrogate(clip="x"), "clip must be a finite number above 0, got 'x'"),
        (lambda: ClippedSurrogate(value=True), "value must be a finite number from 0 up, got True"),
        (lambda: Pinball(["x"]), "Pinball: quantiles must ascend"),
        (lambda: Huber(10**400), "Huber: delta must lie within float32"),
        (lambda: Pinball([0.5, 1 - 1e-9]), "Pinball: quantiles must ascend between 0 and 1"),
        (lambda: Pinball([1e-46, 0.5]), "Pinball: quantiles must ascend between 0 and 1"),
        (lambda: Pinball([0.5, 0.1]), "Pinball: quantiles must ascend"),
        (lambda: Pinball([]), "Pinball: quantiles must ascend"),
        (lambda: Pinball(0.5), r"Pinball: quantiles must ascend .* as in \[0.1, 0.5, 0.9\]; got 0.5"),
        (lambda: CTC(0), "CTC: longest must be a whole number from 1 up, got 0"),
        (lambda: EarlyStopping("a"), "EarlyStopping: patience must be a whole number from 1 up, got 'a'"),
        (lambda: EarlyStopping(min_delta=True), "min_delta must be a finite number from 0 up, got True"),
        (lambda: AdamW(weight_decay=False), "weight_decay must be a finite number from 0 up, got False"),
        (lambda: Cosine(0.1, 5, final_rate="x"), "final_rate must be a finite number from 0 up, got 'x'"),
        (lambda: LSTM(np.True_), "hidden_size must be a whole number from 1 up, got np.True_"),
        (lambda: LSTM(np.array([1, 2])), "hidden_size must be a whole number from 1 up, got array"),
        (lambda: Adam(-1), "Adam: learning_rate must be a finite number above 0, got -1"),
        (lambda: Adam(beta_1=1.0), "Adam: beta_1"),
        (lambda: Adam(beta_2=1 - 1e-8), "Adam: beta_2 must be at most 0.99999994, the last float32 below 1"),
        (lambda: Adam(ema_decay=1 - 1e-8), "Adam: ema_decay must be at most 0.99999994"),
        (lambda: Adam(clip_norm=1e-46), "Adam: clip_norm must lie within float32"),
        (lambda: Cosine(0.1, 5, warmup_steps=5), "warmup_steps must be below total_steps"),
        (lambda: Sequential(executor="gpu"), "executor must be one of auto, native, reference"),
        (lambda: Sequential(random_state=-1), "random_state must be a whole number from 0 up"),
        (
            lambda: Sequential(random_state=10**23),
            "random_state must be at most 9,223,372,036,854,775,807, got",
        ),
        (lambda: Sequential(n_jobs=0), "n_jobs must be a whole number from 1 up"),
        (lambda: Sequential(n_jobs="all"), "n_jobs must be a whole number from 1 up, got 'all'"),
        (lambda: network().program("tarin"), "kind must be one of train, gradient, .* got 'tarin'"),
        (lambda: network().program("encode"), "kind must be one of .* got 'encode'"),
        (lambda: load("no such file", precision="fp16"), "must be one of float32, bf16, got 'fp16'"),
        (lambda: load("no such file", executor="gpu"), "executor must be one of auto, native, reference"),
        (lambda: Sequential(["lstm"]), "a network is made of karusel layers, got 'lstm'"),
        (lambda: network("hinge"), "Sequential: loss must be one of absolute, "),
        (lambda: network("pinball"), "the loss 'pinball' needs quantiles"),
        (
            lambda: Sequential().compile(optimizer="sgd"),
            "Sequential: optimizer must be one of adam, adamw, got 'sgd'",
        ),
    ],
)
def test_bad_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("layers", "loss", "X", "y", "message"),
    [
        ([LSTM(3), LSTM(3)], "mse", X, Y, "give the LSTM before it return_sequences=True"),
        ([Dense(3), Embedding(5, 2)], "mse", X, Y, "Embedding: must be a network's first layer"),
        ([LSTM(3), Dense(2, activation="softmax")], "mse", X, Y[:, :2], "softmax can be trained as the"),
        ([LSTM(3), Dense(1)], "softmax_cross_entropy", X, np.zeros(9), "needs at least 2 outputs"),
        ([LSTM(3), Dense(5)], Pinball([0.1, 0.9]), X, Y, "2 quantiles need a multiple of as many outputs"),
        (
            [Embedding(4, 2), LSTM(3)],
            "mse",
            np.full((9, 4), 4),
            Y,
            "X holds 4 in row 0, step 0: it must be from 0 to 3",
        ),
        ([Embedding(4, 2), LSTM(3)], "mse", np.full((9, 4), 0.5), Y, "X must hold whole numbers"),
        ([Embedding(4, 2), LSTM(3)], "mse", np.full((9, 4), 2**40), Y, "X holds indices beyond"),
        (
            [Embedding(4, 2), LSTM(3)],
            "mse",
            np.full((9, 4), 2**32 - 1, dtype=np.uint32),
            Y,
            "X holds indices beyond",
        ),
        ([Embedding(4, 2), LSTM(3)], "mse", np.full((9, 4), 1e10, np.float32), Y, "X holds indices beyond"),
        (
            [LSTM(3), Dense(3)],
            "softmax_cross_entropy",
            X,
            np.full(9, 3),
            "y holds 3 in row 0, step 0: it must be from 0 to 2",
        ),
        ([LSTM(3), Dense(3)], "softmax_cross_entropy", X, np.full(9, -1), "y holds -1 in row 0"),
        (
            [LSTM(3), Dense(3)],
            "binary_crossentropy",
            X,
            Y * 9,
            r"y holds .* in row 0, step 0: it must be from 0 to 1",
        ),
        ([LSTM(3, input_shape=(4, 5)), Dense(3)], "mse", X, Y, r"the first layer's input_shape is \(4, 5\)"),
        ([], "mse", X, Y, "the network has no layers"),
        ([LSTM(3, initial_state="given"), Dense(3)], "mse", X, Y, "pass initial_state="),
    ],
)
def test_networks_that_cannot_be_are_named(layers: Any, loss: Any, X: Any, y: Any, message: str) -> None:
    made = Sequential(layers)
    made.compile(loss)
    with pytest.raises(KaruselError, match=message):
        made.fit(X, y)


def test_per_step_targets_must_fit_line_for_line() -> None:
    made = network(layers=[LSTM(5, return_sequences=True), Dense(3)])
    rows = [X[0], X[1, :2]]
    with pytest.raises(DataError, match="y, row 1, has 3 steps, X has 2 in that row"):
        made.fit(rows, [np.zeros((4, 3)), np.zeros((3, 3))])


def test_sizes_beyond_memory_are_refused_before_they_are_taken() -> None:
    with pytest.raises(
        TooLargeError, match=r"a network of [\d,]+ parameters.*needs [\d,.]+ GiB, this machine has"
    ):
        network(layers=[LSTM(10**6), Dense(3)]).fit(X, Y)
    with pytest.raises(TooLargeError, match=r"needs 2\^\d+ bytes: no machine holds that"):
        network(layers=[LSTM(2**31 - 1), Dense(3)]).fit(X, Y)
    made = network(layers=[LSTM(5), Dense(2**30)])
    with pytest.raises(TooLargeError):
        made.build((4, 2))


def test_a_network_must_be_compiled_and_built() -> None:
    with pytest.raises(UsageError, match=r"the network is not compiled: call compile"):
        Sequential([LSTM(5), Dense(3)]).fit(X, Y)
    for use in (lambda n: n.predict(X), lambda n: n.summary(), lambda n: n.parameters, lambda n: n.stream()):
        with pytest.raises(UsageError, match="the network is not built yet"):
            use(Sequential([LSTM(5), Dense(3)]))
    built = network()
    built.fit(X, Y)
    with pytest.raises(UsageError, match="the network is built already"):
        built.add(Dense(1))


def test_other_widths_than_trained_on_are_refused() -> None:
    made = network()
    made.fit(X, Y)
    with pytest.raises(DataError, match="X: 2 numbers per step are expected, got 3"):
        made.predict(np.zeros((9, 4, 3)))


def test_refused_data_build_no_network() -> None:
    made = network()
    for tested, y in ((with_value(X, (0, 0, 0), np.nan), Y), (X, Y[:5])):
        with pytest.raises(DataError):
            made.fit(tested, y)
        assert not made.built
    made.fit(X[:, :, :1], Y)


def test_a_nan_among_indices_is_refused_without_a_warning() -> None:
    made = Sequential([Embedding(5, 2), LSTM(3)])
    made.build((None, 1))
    for odd in (np.nan, np.inf, 0.5):
        with pytest.raises(DataError, match="X must hold whole numbers"):
            made.predict(np.array([[0, odd]]))


def test_the_engine_is_given_aligned_numbers() -> None:
    def unaligned(array: Any) -> Any:
        copy = np.frombuffer(b"_" + array.tobytes(), array.dtype, offset=1)
        assert not copy.flags.aligned
        return copy

    x = np.arange(9, dtype=np.float32)
    windows = Windows(unaligned(x), [0, 1], 3, shift=unaligned(x[:2]), scale=unaligned(x[1:3]))
    for array in (read_numbers(unaligned(x), "X", np.float32), windows.values, windows.shift, windows.scale):
        assert array.flags.aligned
    assert np.array_equal(windows.values, x)


def test_sequences_come_in_many_containers() -> None:
    made = network(layers=[LSTM(5, return_sequences=True), Dense(3)])
    parts = [X[0], X[1, :3], X[2]]
    made.build((None, 2))
    expected = made.predict(parts)
    boxed = np.empty(3, dtype=object)
    boxed[:] = parts
    frames = [pd.DataFrame(part) for part in parts]
    for given in (boxed, frames, [part.tolist() for part in parts]):
        for one, other in zip(made.predict(given), expected, strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_goes_on_by_itself(copied: Any) -> None:
    made = network()
    made.compile("mse", Adam(0.01, ema_decay=0.9))
    made.fit(X, Y, epochs=2)
    twin = copied(made)
    before = made.predict(X)
    assert np.array_equal(twin.predict(X), before)
    twin.fit(X, Y, epochs=2)
    assert np.array_equal(made.predict(X), before)
    made.fit(X, Y, epochs=2)
    assert np.array_equal(made.predict(X), twin.predict(X))


def test_numpy_sizes_are_saved(tmp_path: Path) -> None:
    made = Sequential([LSTM(np.int64(3), input_shape=(None, np.int64(2))), Dense(1)], n_jobs=np.int64(2))
    made.compile("mse")
    made.fit(X, Y[:, 0])
    made.save(tmp_path / "net")
    assert np.array_equal(load(tmp_path / "net").predict(X), made.predict(X))


def test_summary_counts_parameters() -> None:
    made = Sequential([LSTM(50, input_shape=(4, 1)), Dense(1)])
    assert made.count_params() == 4 * 50 * (1 + 50 + 1) + 51
    assert f"{4 * 50 * (1 + 50 + 1) + 51:,}" in made.summary()
    assert "[B, 50]" in made.summary()


def test_shapes_of_one_input_and_one_output() -> None:
    flat = network(layers=[LSTM(5), Dense(1)])
    flat.fit(X[:, :, 0], Y[:, 0])  # [n, T] and [n]
    deep = network(layers=[LSTM(5), Dense(1)])
    deep.fit(X[:, :, :1], Y[:, :1])
    assert np.array_equal(flat.predict(X[:, :, 0]), deep.predict(X[:, :, :1]))
    nested = network(layers=[LSTM(5), Dense(1)])
    nested.fit(X[:, :, 0].tolist(), Y[:, 0].tolist())
    assert np.array_equal(flat.predict(X[:, :, 0]), nested.predict(X[:, :, :1]))


def test_a_network_without_time() -> None:
    made = network(layers=[Dense(8, activation="tanh"), Dense(3)])
    y = np.stack([X[:, 0, 0], X[:, 0, 1], X[:, 0, 0] - X[:, 0, 1]], axis=1)
    before = made.fit(X[:, 0], y, epochs=1).history["loss"][0]
    after = made.fit(X[:, 0], y, epochs=500).history["loss"][-1]
    assert after < before / 2
    assert made.predict(X[:, 0]).shape == (9, 3)
    with pytest.raises(UsageError, match="lengths= belongs to networks with time steps"):
        made.predict(X[:, 0], lengths=[1] * 9)


def test_config_makes_the_same_network() -> None:
    layers = [
        Embedding(9, 3),
        LSTM(
            5,
            num_layers=2,
            direction="bidirectional",
            dilation=[1, 2],
            residual=True,
            dropout=0.1,
            return_sequences=True,
        ),
        Transpose(2),
        Pool(["max"]),
        LayerNorm(),
        Dropout(0.3),
        Dense(4),
        Activation("tanh"),
        Dense(6),
    ]
    made = Sequential(layers, random_state=7)
    made.compile(Pinball([0.2, 0.5, 0.7]), Adam(Cosine(0.01, 50, 5), clip_norm=1.0, ema_decay=0.9))
    made.build((4, 1))
    again = Sequential.from_config(made.get_config())
    assert again.get_config() == made.get_config()
    for name, array in made.parameters.items():
        assert np.array_equal(array, again.parameters[name])


def test_initialisation() -> None:
    made = Sequential([LSTM(40, input_shape=(None, 3)), Dense(2)])
    made.build((None, 3))
    p = {name: np.asarray(a, dtype=float) for name, a in made.parameters.items()}
    for gate in np.split(p["lstm_0.0.forward.U"], 4, axis=1):
        assert np.abs(gate @ gate.T - np.eye(40)).max() < 1e-5
    bias = np.split(p["lstm_0.0.forward.b"], 4)
    assert [float(b.mean()) for b in bias] == [0, 1, 0, 0]
    limit = np.sqrt(6 / (3 + 40))
    assert 0.9 * limit < np.abs(p["lstm_0.0.forward.W"]).max() <= limit
    chrono = Sequential([LSTM(400, init="chrono", chrono_length=100), Dense(2)])
    chrono.build((None, 3))
    i, f, g, o = np.split(np.asarray(chrono.parameters["lstm_0.0.forward.b"]), 4)
    assert np.array_equal(i, -f)
    assert not g.any()
    assert not o.any()
    memory = np.exp(f)  # U(1, 99)
    assert 1 <= memory.min() < 3
    assert 96 < memory.max() <= 99
    assert abs(memory.mean() - 50) < 5


def test_states_are_returned_and_given_back() -> None:
    """Two halves with the state handed on equal the whole."""
    for executor in ("native", "reference"):
        made = Sequential(
            [LSTM(5, num_layers=2, initial_state="given", return_sequences=True)], executor=executor
        )
        made.build((None, 2))
        zeros = [(np.zeros((9, 5)), np.zeros((9, 5)))] * 2
        whole, end = made.predict(X, initial_state=zeros, return_state=True)
        first, state = made.predict(X[:, :3], initial_state=zeros, return_state=True)
        second, last = made.predict(X[:, 3:], initial_state=state, return_state=True)
        assert np.abs(np.concatenate([first, second], axis=1) - whole).max() < 1e-6
        for (h, c), (h2, c2) in zip(end, last, strict=True):
            assert np.abs(h - h2).max() < 1e-6
            assert np.abs(c - c2).max() < 1e-6
        assert np.abs(end[-1][0] - whole[:, -1]).max() < 1e-6


def test_states_of_both_directions() -> None:
    made = Sequential([LSTM(5, direction="bidirectional"), Dense(1)])
    made.build((None, 2))
    _, states = made.predict(X, return_state=True)
    assert len(states) == 2
    made_last = Sequential([LSTM(5, direction="bidirectional")])
    made_last.build((None, 2))
    for name, array in made.parameters.items():
        if name.startswith("lstm"):
            made_last.parameters[name][:] = array
    assert np.array_equal(made_last.predict(X), np.concatenate([states[0][0], states[1][0]], axis=1))
