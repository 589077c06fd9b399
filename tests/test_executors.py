"""The engine against the reference, on networks of any make: the same program, two executors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compare import assert_close, assert_same_bits
from karusel import (
    LSTM,
    AdamW,
    Cosine,
    Dense,
    Dropout,
    Embedding,
    Huber,
    LayerNorm,
    Pinball,
    Pool,
    Sequential,
    SoftmaxCrossEntropy,
    Transpose,
)
from karusel.program.plan import slice_rows

pytest.importorskip("karusel._engine")

FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def lstm_networks(draw: st.DrawFn) -> dict[str, Any]:
    """A network around one LSTM layer, with ragged data whose sizes all differ."""
    hidden = draw(st.integers(1, 19))
    layers = draw(st.integers(1, 3))
    direction = draw(st.sampled_from(["forward", "backward", "bidirectional"]))
    width = hidden * (2 if direction == "bidirectional" else 1)
    return {
        "first": draw(st.sampled_from(["none", "dense", "norm", "same"])),
        "width": width,
        "lstm": {
            "hidden_size": hidden,
            "num_layers": layers,
            "direction": direction,
            "return_sequences": draw(st.booleans()),
            "dilation": draw(st.lists(st.integers(1, 4), min_size=layers, max_size=layers)),
            "residual": draw(st.booleans()),
            "dropout": draw(st.sampled_from([0.0, 0.4])),
            "layer_norm": hidden > 3 and draw(st.booleans()),  # of fewer it is steep: see test_inspect
            "initial_state": draw(st.sampled_from(["zeros", "learned", "given"])),
        },
        "transpose": draw(st.integers(0, 5)),
        "pool": draw(st.booleans()),
        "loss": draw(st.sampled_from(["mse", "huber", "pinball"])),
        "inputs": draw(st.integers(1, 5)),
        "lengths": draw(st.lists(st.integers(1, 11), min_size=1, max_size=40)),
        "weighted": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }


def make_layers(case: dict[str, Any]) -> list[Any]:
    first = {
        "none": [],
        "dense": [Dense(4, activation="tanh")],
        "norm": [LayerNorm()],
        "same": [Dense(case["width"])],
    }[case["first"]]
    before = [Transpose(case["transpose"])] if case["transpose"] else []
    after: list[Any] = []
    if case["lstm"]["return_sequences"]:
        after = [*before, *([Pool()] if case["pool"] else [])]
    return [*first, *before, LSTM(**case["lstm"]), Dropout(0.2), *after, Dense(6)]


def make_data(case: dict[str, Any]) -> tuple[list[Any], Any, dict[str, Any]]:
    random = np.random.default_rng(case["seed"])
    n = len(case["lengths"])
    X = [random.normal(size=(t, case["inputs"])) for t in case["lengths"]]
    width = 2 if case["loss"] == "pinball" else 6
    if case["lstm"]["return_sequences"] and not case["pool"]:
        y: Any = [random.normal(size=(t, width)) for t in case["lengths"]]
    else:
        y = random.normal(size=(n, width))
    extra: dict[str, Any] = {}
    if case["weighted"]:
        extra["sample_weight"] = random.uniform(0.1, 2, n)
    if case["lstm"]["initial_state"] == "given":
        passes = case["lstm"]["num_layers"] * (1 + (case["lstm"]["direction"] == "bidirectional"))
        h = case["lstm"]["hidden_size"]
        extra["initial_state"] = [
            (random.normal(size=(n, h)), random.normal(size=(n, h))) for _ in range(passes)
        ]
    return X, y, extra


def make_loss(name: str) -> Any:
    return {"mse": "mse", "huber": Huber(0.7), "pinball": Pinball([0.1, 0.5, 0.8])}[name]


def both(layers: Any, loss: Any, optimizer: Any = "adam") -> list[Sequential]:
    networks = []
    for executor in ("native", "reference"):
        network = Sequential(layers(), executor=executor, random_state=3)
        network.compile(loss, optimizer)
        networks.append(network)
    return networks


def build_unevenly(network: Sequential, inputs: int) -> None:
    """With biases, gains and first states that aren't all 0 or 1. Of states near 0 a layer norm is steep."""
    network.build((None, inputs))
    random = np.random.default_rng(5)
    for w in network.parameters.values():
        if w.ndim == 1:
            w += random.normal(size=w.shape)


def moved_by_rounding(network: Sequential, results: Callable[[], Mapping[Any, Any]]) -> float:
    """How far the network's results move where every weight is off by up to half a float32's last bit."""
    random = np.random.default_rng(0)
    weights = {name: w.copy() for name, w in network.parameters.items()}
    expected, moved = results(), 0.0
    for _ in range(2):
        for name, w in weights.items():
            network.parameters[name][:] = w * (1 + random.uniform(-1, 1, w.shape) * 2.0**-24)
        moved = max(moved, *(float(np.abs(one - expected[name]).max()) for name, one in results().items()))
    for name, w in weights.items():
        network.parameters[name][:] = w
    return moved


@FUZZ
@given(lstm_networks())
def test_gradients_and_predictions_agree(case: dict[str, Any]) -> None:
    X, y, extra = make_data(case)
    native, reference = both(lambda: make_layers(case), make_loss(case["loss"]))
    for network in (native, reference):
        build_unevenly(network, case["inputs"])
    loss, gradients = native.gradients(X, y, **extra)
    expected_loss, expected = reference.gradients(X, y, **extra)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    # Relative to the largest gradient of all: one that is exactly zero has no scale of its own. A layer norm
    # of numbers close to one another is steep: what comes from it moves by many roundings of a weight, and
    # with some steps by so much (one in a thousand networks with one) that float32 can't tell their gradient.
    scale = max(float(np.abs(g).max()) for g in expected.values())
    moved = moved_by_rounding(reference, lambda: reference.gradients(X, y, **extra)[1])
    limit = max(2e-5 * scale, 30 * moved)
    assume(limit < 1e-3 * scale)
    for name, gradient in gradients.items():
        assert np.abs(gradient - expected[name]).max() <= limit, name
    state = {"initial_state": extra["initial_state"]} if "initial_state" in extra else {}
    # Each row by itself. One may be the small difference of large numbers, whose rounding it has.
    got, wanted = native.predict(X, **state), reference.predict(X, **state)
    moved = moved_by_rounding(reference, lambda: dict(enumerate(reference.predict(X, **state))))
    assert 30 * moved < 1e-4 * max(1.0, *(float(np.abs(row).max()) for row in wanted))
    for row, expected_row in zip(got, wanted, strict=True):
        assert row.shape == expected_row.shape
        assert np.abs(row - expected_row).max() <= max(1e-4 * np.abs(expected_row).max(), 30 * moved)
    assert native.evaluate(X, y, **extra) == pytest.approx(expected_loss, rel=1e-5)


@settings(FUZZ, max_examples=12)
@given(lstm_networks())
def test_training_agrees(case: dict[str, Any]) -> None:
    """Shuffling, dropout, clipping, schedule, decay and averaging draw and do the same in both."""
    X, y, extra = make_data(case)
    optimizer = AdamW(Cosine(0.01, 20, warmup_steps=3), clip_norm=0.5, ema_decay=0.8)
    losses = []
    for network in both(lambda: make_layers(case), make_loss(case["loss"]), optimizer):
        build_unevenly(network, case["inputs"])
        losses.append(network.fit(X, y, epochs=3, batch_size=7, **extra).history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)


@pytest.mark.parametrize("hidden", [31, 64, 130])
@pytest.mark.parametrize("rows", [1, 2, 5, 33])
def test_sizes_around_the_register_tile(hidden: int, rows: int) -> None:
    random = np.random.default_rng(hidden + rows)
    X, y = random.normal(size=(rows, 9, 3)), random.normal(size=(rows, 5))
    native, reference = both(lambda: [LSTM(hidden, num_layers=2), Dense(5)], "mse")
    assert_close(native.gradients(X, y)[1], reference.gradients(X, y)[1], tolerance=1e-4)


@pytest.mark.parametrize("hidden", [1, 4, 7, 8, 13, 16, 17])
def test_one_row_of_few_units(hidden: int) -> None:
    """Where they fit a vector they stay in registers from step to step."""
    random = np.random.default_rng(hidden)
    X, y = random.normal(size=(1, 9, 3)), random.normal(size=(1, 5))
    state = [(random.normal(size=(1, hidden)), random.normal(size=(1, hidden))) for _ in range(4)]
    lstm = {"hidden_size": hidden, "num_layers": 2, "direction": "bidirectional", "initial_state": "given"}
    native, reference = both(lambda: [LSTM(**lstm), Dense(5)], "mse")
    got, expected = (net.gradients(X, y, initial_state=state) for net in (native, reference))
    assert got[0] == pytest.approx(expected[0], rel=1e-5)
    assert_close(got[1], expected[1], tolerance=2e-5)
    outputs = [{"output": net.predict(X, initial_state=state)} for net in (native, reference)]
    assert_close(*outputs)
    lstm["recurrent_dropout"] = 0.3
    losses = [
        net.fit(X, y, epochs=5, initial_state=state).history["loss"]
        for net in both(lambda: [LSTM(**lstm), Dense(5)], "mse")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("hidden", "direction", "initial_state"),
    [
        (64, "forward", "zeros"),
        (72, "backward", "learned"),
        (101, "bidirectional", "given"),
        (130, "forward", "learned"),
    ],
)
def test_one_row_of_many_units(hidden: int, direction: str, initial_state: str) -> None:
    """Its units are worked on in two halves, on one thread or on two."""
    random = np.random.default_rng(hidden)
    n, passes = 13, 2 * (1 + (direction == "bidirectional"))
    X = [random.normal(size=(t, 5)) for t in random.integers(1, 50, n)]
    y = [random.normal(size=(len(x), 3)) for x in X]
    states = [(random.normal(size=(n, hidden)), random.normal(size=(n, hidden))) for _ in range(passes)]
    extra = {"initial_state": states} if initial_state == "given" else {}

    def given_to(i: int) -> dict[str, Any]:
        return {name: [(h[i : i + 1], c[i : i + 1]) for h, c in states] for name in extra}

    def layers() -> list[Any]:
        lstm = LSTM(
            hidden,
            num_layers=2,
            direction=direction,
            dropout=0.2,
            recurrent_dropout=0.2,
            initial_state=initial_state,
            return_sequences=True,
        )
        return [lstm, Dense(3)]

    native, reference = both(layers, "mse")
    for network in (native, reference):
        build_unevenly(network, 5)
    for i in (0, int(np.argmax(list(map(len, X))))):
        results = []
        for network in (native, reference):
            loss, gradients = network.gradients(X[i : i + 1], y[i : i + 1], **given_to(i))
            predicted = network.predict(X[i : i + 1], **given_to(i))[0]
            results.append({"loss": loss, "predicted": predicted, **gradients})
        assert_close(*results, tolerance=2e-5)

    losses = [n.fit(X, y, batch_size=1, epochs=2, **extra).history["loss"] for n in (native, reference)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)

    trained: list[dict[str, Any]] = []
    for n_jobs in (1, 2, 3):
        network = Sequential(layers(), n_jobs=n_jobs, random_state=3)
        network.compile("mse", AdamW(0.01, clip_norm=1.0, ema_decay=0.9))
        losses = network.fit(X, y, batch_size=1, epochs=2, **extra).history["loss"]
        predicted = {str(i): network.predict(X[i : i + 1], **given_to(i))[0] for i in range(n)}
        trained.append({**network.parameters, **predicted, "losses": losses})
    for other in trained[1:]:
        assert_same_bits(other, trained[0])


@pytest.mark.parametrize("n", [5, 40])
def test_a_weight_of_several_layers_has_the_gradients_of_all(n: int) -> None:
    random = np.random.default_rng(n)
    X, y = random.integers(0, 7, (2, n, 6))
    layers = [Embedding(7, 3), Dense(7, tied=True), LSTM(3, return_sequences=True), Dense(7, tied=True)]
    native, reference = both(lambda: layers, "softmax_cross_entropy")
    for network in (native, reference):
        build_unevenly(network, 1)
    results = [network.gradients(X, y)[1] for network in (native, reference)]
    assert_close(*results, tolerance=2e-5)


@pytest.mark.parametrize("hidden", [33, 50, 64, 129])
def test_wide_lstms_over_many_steps(hidden: int) -> None:
    """Gradients of weights are summed over more lines than a block of their product has."""
    random = np.random.default_rng(hidden)
    X = [random.normal(size=(t, 7)) for t in random.integers(20, 41, 13)]
    y = random.normal(size=(13, 3))
    native, reference = both(lambda: [LSTM(hidden), Dense(3)], "mse")
    assert_close(native.gradients(X, y)[1], reference.gradients(X, y)[1], tolerance=1e-4)


@pytest.mark.parametrize("inputs", [1, 2, 5, 6])
@pytest.mark.parametrize("rows", [13, 290])
def test_gradients_of_a_few_inputs(inputs: int, rows: int) -> None:
    """Summed over more lines than a block of them has, by one slice or by so many that they share lanes."""
    random = np.random.default_rng(inputs)
    X = [random.normal(size=(t, inputs)) for t in random.integers(40, 61, rows)]
    y = random.normal(size=(rows, 2))
    native, reference = both(lambda: [LSTM(19), Dense(2)], "mse")
    assert_close(native.gradients(X, y)[1], reference.gradients(X, y)[1], tolerance=1e-4)


@pytest.mark.parametrize("gate", range(4))
@pytest.mark.parametrize("rows", [1, 7])
def test_closed_and_saturated_gates(gate: int, rows: int) -> None:
    """Gates so far from zero that they are 0 or 1 to the last bit, the output gate among them."""
    random = np.random.default_rng(gate)
    X, y = random.normal(size=(rows, 5, 2)), random.normal(size=(rows, 3))
    native, reference = both(lambda: [LSTM(19), Dense(3)], "mse")
    for bias in (-200.0, -60.0, 60.0, 200.0):
        for network in (native, reference):
            network.build((5, 2))
            network.parameters["lstm_0.0.forward.b"][gate * 19 : gate * 19 + 11] = bias
        loss, gradients = native.gradients(X, y)
        expected_loss, expected = reference.gradients(X, y)
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert_close(gradients, expected, tolerance=1e-4)


@pytest.mark.parametrize("rows", [30, 150])
def test_an_lstm_of_a_million_weights(rows: int) -> None:
    """Its slices have up to 32 rows, whatever the threads."""
    random = np.random.default_rng(rows)
    X = [random.normal(size=(t, 7)) for t in random.integers(1, 5, rows)]
    y = random.normal(size=(rows, 3))
    native, reference = both(lambda: [LSTM(510), Dense(3)], "mse")
    expected = native.gradients(X, y)[1]
    assert slice_rows(native.program("gradient")) == 32
    assert_close(expected, reference.gradients(X, y)[1], tolerance=1e-4)
    for n_jobs in (2, 3):
        native.n_jobs = n_jobs
        assert_same_bits(native.gradients(X, y)[1], expected)


def test_classes_per_step_with_masks() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(1, 9, 23)
    ids = [random.integers(0, 11, t) for t in lengths]
    labels = [random.integers(0, 5, t) for t in lengths]
    mask = [random.random(t) > 0.3 for t in lengths]
    weight = random.random(23)
    native, reference = both(
        lambda: [Embedding(11, 4), LSTM(7, return_sequences=True), Dense(5, activation="softmax")],
        "softmax_cross_entropy",
    )
    kwargs: dict[str, Any] = {"mask": mask, "sample_weight": weight}
    assert_close(native.gradients(ids, labels, **kwargs)[1], reference.gradients(ids, labels, **kwargs)[1])
    for row, expected in zip(native.predict(ids), reference.predict(ids), strict=True):
        assert np.abs(row - expected).max() < 1e-6
        assert row.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_several_labels_a_step_with_a_weight_for_each() -> None:
    random = np.random.default_rng(1)
    X = [random.normal(size=(t, 3)) for t in random.integers(1, 9, 20)]
    labels = [random.integers(0, 5, (len(x), 2)) for x in X]
    mask = [random.random(one.shape) > 0.3 for one in labels]
    # A label that does not count may be any number.
    labels = [np.where(counts, one, -7) for one, counts in zip(labels, mask, strict=True)]
    native, reference = both(
        lambda: [LSTM(7, return_sequences=True), Dense(10)], SoftmaxCrossEntropy(classes=5)
    )
    (loss, got), (expected_loss, expected) = (
        net.gradients(X, labels, mask=mask) for net in (native, reference)
    )
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_close(got, expected)
    # Each label by itself is the same sum.
    logits = reference.predict(X)
    total = count = 0.0
    for y, one, counts in zip(logits, labels, mask, strict=True):
        for t, k in zip(*np.nonzero(counts), strict=True):
            part = y[t, 5 * k : 5 * k + 5]
            total += np.log(np.exp(part).sum()) - part[one[t, k]]
            count += 1
    assert expected_loss == pytest.approx(total / count, rel=1e-9)


def test_masked_targets_are_never_read() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(6, 5, 2)), random.normal(size=(6, 5, 3))
    mask = random.random((6, 5)) > 0.4
    poisoned = np.where(mask[:, :, None], y, np.nan)
    for network in both(lambda: [LSTM(4, return_sequences=True), Dense(3)], "mse"):
        loss, clean = network.gradients(X, y, mask=mask)
        masked_loss, masked = network.gradients(X, poisoned, mask=mask)
        assert loss == masked_loss
        for name in clean:
            assert np.array_equal(clean[name], masked[name])


def test_the_mean_of_very_many_steps_keeps_its_digits() -> None:
    net = Sequential([Pool("mean")])
    net.build((None, 1))
    assert net.predict(np.full((1, 300_000, 1), 0.1, np.float32))[0, 0] == pytest.approx(0.1, rel=3e-5)


def test_activation_functions_over_their_range() -> None:
    """tanh and sigmoid of the engine, from denormal to huge arguments, against NumPy's."""
    x = np.concatenate([np.linspace(-100, 100, 4001), np.logspace(-38, 4, 400), -np.logspace(-38, 4, 400)])
    # The engine splits 2^t, t = x log2(e) or twice that, into a power of two and a rest: floats around those.
    halves = np.concatenate([np.arange(-120, 0), np.arange(1, 121)]) / 2 / np.log2(np.e)
    bits = np.concatenate([halves, halves / 2]).astype(np.float32)[:, None].view(np.int32)
    nearby = (bits + np.arange(-8, 9, dtype=np.int32)).view(np.float32)
    x = np.concatenate([x.astype(np.float32), nearby.ravel()])
    for function, exact in (("tanh", np.tanh), ("sigmoid", lambda a: 1 / (1 + np.exp(-a)))):
        network = Sequential([Dense(1), Dense(1, activation=function)], executor="native")
        network.build((1,))
        for name, value in (("dense_0.W", 1), ("dense_0.b", 0), ("dense_1.W", 1), ("dense_1.b", 0)):
            network.parameters[name][:] = value
        got = network.predict(x[:, None])[:, 0].astype(np.float64)
        with np.errstate(over="ignore"):
            expected = exact(x.astype(np.float64))
        assert np.abs(got - expected).max() < 3e-7
        assert np.abs(got).max() <= 1
    small = np.abs(x) < 1e-3
    near_zero = Sequential([Dense(1, activation="tanh")], executor="native")
    near_zero.build((1,))
    near_zero.parameters["dense_0.W"][:] = 1
    got = near_zero.predict(x[small, None])[:, 0]
    normal = np.abs(x[small]) > 2e-38  # denormals are flushed to zero inside the engine
    assert np.abs(got[normal] / np.tanh(x[small][normal].astype(np.float64)) - 1).max() < 1e-6
