"""What `karusel.inspect` says, against the equations written out by hand and finite differences."""

from __future__ import annotations

import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import karusel
from compare import assert_close, assert_same_bits
from karusel import (
    LSTM,
    Activation,
    Attention,
    Checkpoint,
    Dense,
    Dropout,
    Embedding,
    GradientFlow,
    LayerNorm,
    Pool,
    Sequential,
    Transpose,
    Windows,
    inspect,
)
from karusel.errors import DataError, MissingDependencyError, UsageError
from networks import EXECUTORS, engine_is_built

FEW = settings(max_examples=15, deadline=None, print_blob=True)
both_executors = pytest.mark.parametrize("executor", EXECUTORS)

Nudge = tuple[str, int, np.ndarray]  # a pass, a step, and what is added to its hidden state there


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def by_hand(
    net: Sequential, row: np.ndarray, states: dict[str, Any] | None = None, nudge: Nudge | None = None
) -> tuple[np.ndarray, dict[str, tuple[np.ndarray, ...]]]:
    """A row's output, and i, f, g, o, c, h [T, H] of every LSTM pass: the equations, one step at a time."""
    weights = {name: np.asarray(value, np.float64) for name, value in net.parameters.items()}
    x, seen = np.asarray(row, np.float64), {}
    for number, layer in enumerate(net.layers):
        if isinstance(layer, Dense):
            x = x @ weights[f"dense_{number}.W"] + weights[f"dense_{number}.b"]
            x = np.tanh(x) if layer.activation == "tanh" else x
            continue
        if isinstance(layer, Dropout):  # off, whatever is asked here
            continue
        assert isinstance(layer, LSTM)
        for depth in range(layer.num_layers):
            outputs = []
            for direction in layer.directions:
                name = f"lstm_{number}.{depth}.{direction}"
                W, U, b = (weights[f"{name}.{p}"] for p in "WUb")
                zero = np.zeros(layer.hidden_size)
                start = states[name] if states else [weights.get(f"{name}.{s}", zero) for s in ("h0", "c0")]
                back = layer.dilation[depth] * (1 if direction == "forward" else -1)
                h: dict[int, Any] = {}
                c: dict[int, Any] = {}
                gates: dict[int, Any] = {}
                for t in range(len(x))[:: 1 if direction == "forward" else -1]:
                    z = h.get(t - back, start[0]) @ U
                    if layer.layer_norm:
                        z = weights[f"{name}.gain"] * (z - z.mean()) / np.sqrt(z.var() + 1e-5)
                    a = x[t] @ W + z + b
                    i, f, g, o = np.split(a, 4)
                    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
                    c[t] = f * c.get(t - back, start[1]) + i * g
                    h[t] = o * np.tanh(c[t])
                    if nudge and nudge[:2] == (name, t):
                        h[t] = h[t] + nudge[2]
                    gates[t] = (i, f, g, o)
                steps = range(len(x))
                parts = [np.stack([gates[t][k] for t in steps]) for k in range(4)]
                seen[name] = (*parts, np.stack([c[t] for t in steps]), np.stack([h[t] for t in steps]))
                outputs.append(seen[name][5])
            joined = np.concatenate(outputs, axis=1)
            x = joined + x if layer.residual and x.shape == joined.shape else joined
        if not layer.return_sequences:
            H = layer.hidden_size
            ends = [
                x[-1 if direction == "forward" else 0, k * H : (k + 1) * H]
                for k, direction in enumerate(layer.directions)
            ]
            x = np.concatenate(ends)
    return x, seen


def scrambled(net: Sequential, shape: tuple[int | None, ...], seed: int) -> Sequential:
    """The network, built, with weights that make every unit move."""
    net.build(shape)
    random = np.random.default_rng(seed)
    for array in net.parameters.values():
        array[:] = random.normal(size=array.shape) * 0.6
    return net


@st.composite
def cases(draw: st.DrawFn, *, smooth: bool = False) -> dict[str, Any]:
    """`smooth` leaves out layer norm, which makes a step of h where it passes zero: often with few units."""
    layers, hidden = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    return {
        "lstm": {
            "hidden_size": hidden,
            "num_layers": layers,
            "direction": draw(st.sampled_from(["forward", "backward", "bidirectional"])),
            "return_sequences": draw(st.booleans()),
            "dilation": draw(st.lists(st.integers(1, 4), min_size=layers, max_size=layers)),
            "residual": draw(st.booleans()),
            "dropout": draw(st.sampled_from([0.0, 0.4])),
            "layer_norm": not smooth and hidden > 3 and draw(st.booleans()),
            "initial_state": draw(st.sampled_from(["zeros", "learned", "given"])),
        },
        "first": draw(st.booleans()),
        "outputs": draw(st.integers(1, 3)),
        "inputs": draw(st.integers(1, 4)),
        "lengths": draw(st.lists(st.integers(1, 9), min_size=1, max_size=20)),
        "seed": draw(st.integers(0, 2**31)),
    }


def make(case: dict[str, Any], executor: str) -> tuple[Sequential, list[np.ndarray], dict[str, Any]]:
    """A network, its inputs, and what else goes with them."""
    first = [Dense(5, activation="tanh")] if case["first"] else []
    net = Sequential([*first, LSTM(**case["lstm"]), Dropout(0.5), Dense(case["outputs"])], executor=executor)
    scrambled(net, (None, case["inputs"]), case["seed"])
    random = np.random.default_rng(case["seed"] + 1)
    X = [random.normal(size=(t, case["inputs"])) for t in case["lengths"]]
    extra = {}
    if case["lstm"]["initial_state"] == "given":
        H = case["lstm"]["hidden_size"]
        extra["initial_state"] = [
            (random.normal(size=(len(X), H)), random.normal(size=(len(X), H)))
            for _ in net._state_names(given=True)
        ]
    return net, X, extra


def states_of(net: Sequential, extra: dict[str, Any], row: int) -> dict[str, Any] | None:
    if not extra:
        return None
    names = net._state_names(given=True)
    return {name: (h[row], c[row]) for name, (h, c) in zip(names, extra["initial_state"], strict=True)}


# ---------------------------------------------------------------------------------------- gates


@both_executors
@FEW
@given(case=cases())
def test_gates_and_states_are_the_equations(executor: str, case: dict[str, Any]) -> None:
    net, X, extra = make(case, executor)
    seen = inspect.gates(net, X, **extra)
    assert [one.name for one in seen] == list(net._state_names(given=False))
    for row, x in enumerate(X):
        _, expected = by_hand(net, x, states_of(net, extra, row))
        for one in seen:
            got = (one.input, one.forget, one.candidate, one.output, one.cell, one.hidden)
            names = ("i", "f", "g", "o", "c", "h")
            assert_close(
                {f"{one.name}.{n}[{row}]": a[row] for n, a in zip(names, got, strict=True)},
                {f"{one.name}.{n}[{row}]": a for n, a in zip(names, expected[one.name], strict=True)},
            )
            assert np.array_equal(one.inputs[row], x.astype(one.inputs[row].dtype))


@both_executors
def test_arrays_lists_and_windows_are_seen_alike(executor: str) -> None:
    net = scrambled(Sequential([LSTM(4), Dense(2)], executor=executor), (None, 3), 0)
    random = np.random.default_rng(1)
    X = random.normal(size=(5, 7, 3)).astype(np.float32)
    whole, listed = inspect.gates(net, X)[0], inspect.gates(net, list(X))[0]
    assert whole.forget.shape == (5, 7, 4)
    assert isinstance(listed.forget, list)
    assert_same_bits({"f": np.stack(listed.forget)}, {"f": whole.forget})
    assert_same_bits({"t": listed.time_constants}, {"t": whole.time_constants})

    lengths = np.array([3, 7, 1, 5, 2])
    padded = np.where(np.arange(7)[None, :, None] < lengths[:, None, None], X, 1e30)
    cut = inspect.gates(net, padded, lengths=lengths)[0]
    rows = inspect.gates(net, [x[:t] for x, t in zip(X, lengths, strict=True)])[0]
    assert [len(one) for one in cut.hidden] == list(lengths)
    for a, b in zip(cut.hidden, rows.hidden, strict=True):
        assert_same_bits({"h": a}, {"h": b})

    if executor == "native":
        shift, scale = (np.array(a, np.float32) for a in ([0.1, -1, 2, 0.5], [1, 2, 0.5, 3]))
        windows = Windows(X.reshape(-1, 3), np.array([0, 3, 11, 20]), 6, shift=shift, scale=scale)
        fed = [
            (X.reshape(-1, 3)[s : s + 6] - m) * k
            for s, m, k in zip([0, 3, 11, 20], shift, scale, strict=True)
        ]
        by_windows, by_rows = inspect.gates(net, windows)[0], inspect.gates(net, np.stack(fed))[0]
        assert_close({"f": by_windows.forget}, {"f": by_rows.forget})


@both_executors
@pytest.mark.parametrize("dilation", [1, 3])
def test_a_known_forget_bias_has_the_known_time_constant(executor: str, dilation: int) -> None:
    """f = exp(-1/26) keeps 1/e of a cell state after 26 steps."""
    net = Sequential([LSTM(3, dilation=dilation), Dense(1)], executor=executor)
    net.build((None, 2))
    for array in net.parameters.values():
        array[:] = 0
    keeps = np.exp(-1 / np.array([26.0, 3.0, 0.5]))
    net.parameters["lstm_0.0.forward.b"][3:6] = np.log(keeps / (1 - keeps))
    X = np.random.default_rng(0).normal(size=(4, 30, 2))
    [seen] = inspect.gates(net, X)
    assert seen.time_constants == pytest.approx(dilation * np.array([26.0, 3.0, 0.5]), rel=1e-4)
    assert "3 units remember" in seen.reading
    assert f" {26 * dilation} steps" in seen.reading
    net.parameters["lstm_0.0.forward.b"][3:6] = [200, -200, 0]
    constants = inspect.gates(net, X)[0].time_constants
    assert constants[0] == np.inf
    assert constants[1] == pytest.approx(0, abs=0.1)
    assert constants[2] == pytest.approx(dilation / np.log(2))


@both_executors
def test_saturated_and_dead_units_are_found(executor: str) -> None:
    net = scrambled(Sequential([LSTM(4), Dense(1)], executor=executor), (None, 1), 3)
    W, U, b = (net.parameters[f"lstm_0.0.forward.{p}"] for p in "WUb")
    W[:], U[:] = 0, 0
    b.reshape(4, 4)[:] = [[-9, 9, 0, 0], [9, 0, 0, -9], [0, 1, 1, 1], [0, 0, -9, 0]]  # i, f, g, o by unit
    W.reshape(4, 4)[2, 3] = 0.5  # the candidate of unit 3 follows the input
    W.reshape(4, 4)[0, 2] = 4.0  # unit 2's input gate moves: beyond 4 x = ln 19 it is open
    x = np.linspace(-1, 1, 41)
    [seen] = inspect.gates(net, x[None])
    assert seen.closed["input"][:2].tolist() == [1, 0]
    assert seen.open["input"][:2].tolist() == [0, 1]
    assert seen.open["input"][2] == pytest.approx((4 * x > np.log(19)).mean())
    assert seen.closed["input"][2] == pytest.approx((4 * x < -np.log(19)).mean())
    assert (seen.open["forget"][0], seen.closed["forget"][3]) == (1, 1)
    assert seen.closed["output"].tolist() == [0, 0, 1, 0]
    # unit 0 writes nothing, unit 2 shows nothing; unit 1 runs up to its rest, unit 3 follows the input
    assert seen.dead.tolist() == [True, False, True, False]
    assert "2 of 4 hardly move at all." in seen.reading


def test_a_saturated_gate_is_named() -> None:
    net = Sequential([LSTM(3), Dense(1)])
    net.build((None, 1))
    net.parameters["lstm_0.0.forward.b"][:3] = -12
    [seen] = inspect.gates(net, np.random.default_rng(0).normal(size=(2, 9)))
    assert "Its input gate is closed in 100% of all steps: saturated, it learns slowly." in seen.reading


# ---------------------------------------------------------------------------------------- input gradients


def finite_differences(
    net: Sequential, X: list[np.ndarray], output: int, extra: dict[str, Any]
) -> list[np.ndarray]:
    """d output / d input of each row by central differences of `predict` in float64."""

    def outputs(rows: list[np.ndarray]) -> np.ndarray:
        y = net.predict(rows, **extra)
        return np.array([one[-1, output] if one.ndim == 2 else one[output] for one in y])

    e, found = 1e-5, [np.zeros_like(x) for x in X]
    for t in range(max(map(len, X))):
        for k in range(X[0].shape[1]):
            moved = []
            for sign in (1, -1):
                rows = [x.copy() for x in X]
                for x in rows:
                    if t < len(x):
                        x[t, k] += sign * e
                moved.append(outputs(rows))
            for row, slope in zip(found, (moved[0] - moved[1]) / (2 * e), strict=True):
                if t < len(row):
                    row[t, k] = slope
    return found


@both_executors
@FEW
@given(case=cases(smooth=True))
def test_input_gradients_are_finite_differences(executor: str, case: dict[str, Any]) -> None:
    net, X, extra = make(case, executor)
    exact, _, _ = make(case, "reference")
    output = case["outputs"] - 1
    got = inspect.input_gradients(net, X, output=output, **extra)
    expected = finite_differences(exact, X, output, extra)
    scale = max(float(np.abs(e).max()) for e in expected) or 1.0
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= (1e-4 * scale + 1e-7 if executor == "native" else 1e-7 * scale + 1e-10)


@both_executors
@FEW
@given(case=cases())
def test_the_horizon_is_the_mean_norm_by_lag(executor: str, case: dict[str, Any]) -> None:
    net, X, extra = make(case, executor)
    jacobians = [inspect.input_gradients(net, X, output=o, **extra) for o in range(case["outputs"])]
    norms: dict[int, list[float]] = {}
    for row, x in enumerate(X):
        for t in range(len(x)):
            parts = np.concatenate([np.asarray(j[row][t], np.float64) for j in jacobians])
            norms.setdefault(len(x) - 1 - t, []).append(float(np.linalg.norm(parts)))
    expected = np.array([np.mean(norms[lag]) for lag in sorted(norms)])
    horizon = inspect.memory_horizon(net, X, **extra)
    assert_close({"norms": horizon.norms}, {"norms": expected}, tolerance=1e-9)


def test_the_horizon_of_a_leaking_sum_is_its_rate() -> None:
    """With gates held fixed, the input k steps back counts f^k: exactly what the time constant says."""
    net = Sequential([LSTM(1), Dense(1)], executor="reference")
    net.build((None, 1))
    for array in net.parameters.values():
        array[:] = 0
    keeps = np.exp(-1 / 5)
    net.parameters["lstm_0.0.forward.b"][:] = [0, np.log(keeps / (1 - keeps)), 0, 30]
    net.parameters["lstm_0.0.forward.W"][0, 2] = 1e-3  # so little that tanh is straight
    net.parameters["dense_1.W"][:] = 1
    X = np.random.default_rng(0).normal(size=(3, 40))
    horizon = inspect.memory_horizon(net, X)
    assert horizon.norms / horizon.norms[0] == pytest.approx(keeps ** np.arange(40), rel=1e-4)
    assert horizon.reach == 23  # exp(-23/5) = .0101
    assert "The last 24 of 40 steps move the output" in horizon.reading


@both_executors
def test_a_softmax_is_left_out_and_indices_begin_behind_the_embedding(executor: str) -> None:
    random = np.random.default_rng(0)
    net = scrambled(
        Sequential([Embedding(7, 3), LSTM(5), Dense(4, activation="softmax")], executor=executor),
        (None, 2),
        2,
    )
    bare = Sequential([LSTM(5), Dense(4)], executor=executor)
    bare.build((None, 6))
    for name, array in bare.parameters.items():
        layer, rest = name.split("_")
        array[:] = net.parameters[f"{layer}_{int(rest[0]) + 1}{rest[1:]}"]
    ids = random.integers(0, 7, (6, 8, 2))
    embedded = np.asarray(net.parameters["embedding_0.E"])[ids].reshape(6, 8, 6)
    assert_close(
        {"norms": inspect.memory_horizon(net, ids).norms},
        {"norms": inspect.memory_horizon(bare, embedded).norms},
        tolerance=1e-6,
    )
    assert_close({"f": inspect.gates(net, ids)[0].forget}, {"f": inspect.gates(bare, embedded)[0].forget})


@pytest.mark.parametrize("end", [LSTM(3), Pool()], ids=["LSTM", "Pool"])
def test_other_layers_pass_the_gradient_on(end: Any) -> None:
    begin = [Dropout(0.3), LayerNorm(), Transpose(2), LSTM(4, return_sequences=True), Activation("relu")]
    net = scrambled(Sequential([*begin, end, Dense(2)], executor="reference"), (None, 3), 5)
    X = [np.random.default_rng(t).normal(size=(t, 3)) for t in (6, 2, 9)]
    got, expected = inspect.input_gradients(net, X, output=1), finite_differences(net, X, 1, {})
    for a, b in zip(got, expected, strict=True):
        assert np.abs(a - b).max() < 1e-7


# ---------------------------------------------------------------------------------------- gradient flow


def hand_loss(net: Sequential, X: list[np.ndarray], y: Any, row: int, nudge: Nudge) -> float:
    """The mean squared error with one row's hidden state moved."""
    errors = [
        np.square(by_hand(net, x, nudge=nudge if k == row else None)[0] - target)
        for k, (x, target) in enumerate(zip(X, y, strict=True))
    ]
    return float(np.concatenate([e.reshape(-1) for e in errors]).mean())


@both_executors
@pytest.mark.parametrize(
    "lstm",
    [
        {"hidden_size": 3},
        {"hidden_size": 2, "direction": "backward", "return_sequences": True},
        {"hidden_size": 2, "num_layers": 2, "residual": True, "direction": "bidirectional"},
        {"hidden_size": 2, "num_layers": 2, "dilation": [2, 3], "initial_state": "learned"},
        {"hidden_size": 3, "num_layers": 2, "layer_norm": True, "direction": "bidirectional"},
        {"hidden_size": 2, "num_layers": 3, "residual": True, "return_sequences": True},
    ],
    ids=lambda settings: " ".join(map(str, settings)),
)
def test_the_flow_is_the_gradient_by_hidden_states(executor: str, lstm: dict[str, Any]) -> None:
    net = scrambled(Sequential([LSTM(**lstm), Dense(2)], executor=executor), (None, 3), 7)
    net.compile("mse")
    random = np.random.default_rng(8)
    X = [random.normal(size=(t, 3)) for t in (4, 1, 6)]
    y = [random.normal(size=(len(x), 2) if lstm.get("return_sequences") else 2) for x in X]
    flow = inspect.gradient_flow(net, X, y if lstm.get("return_sequences") else np.stack(y))
    e, H, expected = 1e-5, lstm["hidden_size"], {}
    for name in flow.norms:
        squares: dict[int, list[float]] = {}
        for row, x in enumerate(X):
            for t in range(len(x)):
                slopes = [
                    (hand_loss(net, X, y, row, (name, t, d)) - hand_loss(net, X, y, row, (name, t, -d)))
                    / (2 * e)
                    for d in e * np.eye(H)
                ]
                lag = t if name.endswith("backward") else len(x) - 1 - t
                squares.setdefault(lag, []).append(float(np.square(slopes).sum()))
        expected[name] = np.sqrt([np.mean(squares[lag]) for lag in sorted(squares)])
    assert_close(flow.norms, expected, tolerance=1e-4 if executor == "native" else 1e-7)
    assert flow.loss == pytest.approx(net.evaluate(X, y if lstm.get("return_sequences") else np.stack(y)))
    for name, norm in flow.depth.items():
        assert norm == pytest.approx(np.linalg.norm(flow.norms[name]))


@pytest.mark.skipif(not engine_is_built(), reason="no engine in this install")
@FEW
@given(case=cases())
def test_the_flow_of_both_executors_agrees(case: dict[str, Any]) -> None:
    found = []
    for executor in ("native", "reference"):
        net, X, extra = make(case, executor)
        net.compile("mse")
        random = np.random.default_rng(case["seed"])
        y: Any = [random.normal(size=(len(x), case["outputs"])) for x in X]
        y = y if case["lstm"]["return_sequences"] else np.stack([one[0] for one in y])
        found.append(inspect.gradient_flow(net, X, y, sample_weight=random.uniform(0.5, 2, len(X)), **extra))
    assert found[0].loss == pytest.approx(found[1].loss, rel=1e-5)
    scale = max(float(norms.max()) for norms in found[1].norms.values())
    for name, norms in found[1].norms.items():
        assert np.abs(found[0].norms[name] - norms).max() <= 2e-5 * scale, name


def test_a_gradient_that_overflows_is_told() -> None:
    """A layer norm of zeros multiplies it at every step."""
    net = Sequential([LSTM(8, layer_norm=True), Dense(1)])
    net.compile("mse")
    net.build((None, 1))
    X = np.zeros((4, 60, 1))
    X[:, -5:] = 1
    with np.errstate(all="ignore"):
        flow = inspect.gradient_flow(net, X, np.ones(4))
        horizon = inspect.memory_horizon(net, X)
        shares = inspect.integrated_gradients(net, X)
    assert "the gradient overflows" in flow.reading
    assert "steps before the end: it explodes" in flow.reading
    assert horizon.reading.startswith("The gradient overflows ")
    assert 0 < horizon.reach < 60
    assert shares.reading.startswith("The gradient overflows between baseline and inputs")


def test_inspecting_leaves_the_network_as_it_was() -> None:
    """The same weights and the same training, whatever was looked at."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(40, 6, 2)), random.normal(size=40)
    kept = []
    for look in (False, True):
        net = Sequential([LSTM(5, num_layers=2, dropout=0.2), Dense(1)])
        net.compile("mse")
        net.fit(X, y, epochs=2)
        if look:
            for measure in (inspect.gates, inspect.memory_horizon, inspect.integrated_gradients):
                measure(net, X)
            inspect.gradient_flow(net, X, y)
        net.fit(X, y, epochs=2)
        kept.append({name: np.array(value) for name, value in net.parameters.items()})
    assert_same_bits(kept[1], kept[0])


@pytest.mark.skipif(not engine_is_built(), reason="no engine in this install")
def test_threads_change_no_bit() -> None:
    random = np.random.default_rng(0)
    X = [random.normal(size=(t, 2)) for t in random.integers(1, 12, 100)]
    y = random.normal(size=100)
    found = []
    for threads in (1, 3):
        net = scrambled(Sequential([LSTM(6, num_layers=2), Dense(1)], n_jobs=threads), (None, 2), 4)
        net.compile("mse")
        shares = inspect.integrated_gradients(net, X, points=3).values
        found.append(
            inspect.gradient_flow(net, X, y).norms
            | {"horizon": inspect.memory_horizon(net, X).norms, "shares": np.concatenate(shares)}
        )
    assert_same_bits(found[1], found[0])


def test_the_callback_measures_during_training(tmp_path: Any) -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(30, 8, 2)), random.normal(size=30)

    def fit(epochs: int, stop_after: int | None = None) -> tuple[Sequential, GradientFlow]:
        class Broken(karusel.Callback):
            def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
                if epoch == stop_after:
                    raise KeyboardInterrupt

        net = Sequential([LSTM(4), Dense(1)])
        net.compile("mse")
        flow = GradientFlow(X[:10], y[:10], every=2)
        # What breaks the fit comes before the checkpoint, which sorts itself last.
        net.fit(X, y, epochs=epochs, callbacks=[flow, Broken(), Checkpoint(tmp_path / "fit", every=2)])
        return net, flow

    net, flow = fit(6)
    assert list(flow.flows) == [1, 3, 5]
    now = inspect.gradient_flow(net, X[:10], y[:10])
    assert_same_bits(flow.flows[5].norms, now.norms)
    assert flow.flows[5].loss == now.loss
    assert flow.flows[1].loss != now.loss

    with pytest.raises(KeyboardInterrupt):
        fit(6, stop_after=4)
    _, resumed = fit(6)
    assert list(resumed.flows) == [1, 3, 5]
    for epoch, one in resumed.flows.items():
        assert_same_bits(one.norms, flow.flows[epoch].norms)


# ---------------------------------------------------------------------------------- integrated gradients


@both_executors
@FEW
@given(case=cases(smooth=True))
def test_shares_add_up_to_the_outputs_change(executor: str, case: dict[str, Any]) -> None:
    net, X, extra = make(case, executor)
    output = case["outputs"] - 1
    baseline = np.linspace(-0.3, 0.4, case["inputs"])
    found = inspect.integrated_gradients(net, X, output=output, baseline=baseline, **extra)
    start = [np.broadcast_to(baseline, x.shape) for x in X]
    ends = [
        np.array([one[-1, output] if one.ndim == 2 else one[output] for one in net.predict(rows, **extra)])
        for rows in (X, start)
    ]
    change = ends[0].astype(np.float64) - ends[1]
    sums = np.array([values.sum() for values in found.values])
    assert sums == pytest.approx(change, abs=1e-3)
    assert found.difference == pytest.approx(change, abs=1e-5)
    assert found.error == pytest.approx(sums - found.difference, abs=1e-12)
    assert found.by_feature == pytest.approx(np.stack([values.sum(axis=0) for values in found.values]))
    for lag in range(max(map(len, X))):
        rows = [np.abs(values[-1 - lag]) for values in found.values if lag < len(values)]
        assert found.by_lag[lag] == pytest.approx(np.mean(rows, axis=0))


def test_shares_are_the_integral_of_the_gradient() -> None:
    """Against the midpoint rule with many more points."""
    net = scrambled(Sequential([LSTM(4, num_layers=2), Dense(2)], executor="reference"), (None, 2), 1)
    random = np.random.default_rng(2)
    x, start = random.normal(size=(3, 5, 2)), random.normal(size=(3, 5, 2))
    found = inspect.integrated_gradients(net, x, output=1, baseline=start)
    nodes = (np.arange(2000) + 0.5) / 2000
    mean = sum(inspect.input_gradients(net, start + a * (x - start), output=1) for a in nodes) / 2000
    assert_close({"values": found.values}, {"values": mean * (x - start)}, tolerance=1e-6)
    few = inspect.integrated_gradients(net, x, output=1, baseline=start, points=2)
    assert np.abs(few.error).max() > np.abs(found.error).max()
    assert few.points == 2


def test_an_input_that_is_not_read_has_no_share() -> None:
    net = scrambled(Sequential([LSTM(4), Dense(1)]), (None, 3), 1)
    net.parameters["lstm_0.0.forward.W"][1] = 0
    found = inspect.integrated_gradients(net, np.random.default_rng(0).normal(size=(4, 6, 3)))
    assert (found.values[:, :, 1] == 0).all()
    assert (found.by_feature[:, [0, 2]] != 0).all()
    assert "Of the 3 features number" in found.reading


# ---------------------------------------------------------------------------------------- attention


def attending(executor: str) -> tuple[Sequential, list[np.ndarray], list[np.ndarray]]:
    """A network with an Attention, inputs, and sources; the first LSTM's steps do not reach one another."""
    encoder = [Dense(5, input_shape=(None, 2)), LSTM(3, direction="bidirectional", return_sequences=True)]
    layers = [LSTM(4, dilation=9, return_sequences=True), Attention(6, encoder), LSTM(7), Dense(2)]
    net = scrambled(Sequential(layers, executor=executor), (None, 3), 11)
    net.compile("mse")
    random = np.random.default_rng(12)
    X, source = (
        [random.normal(size=(t, width)) for t in lengths]
        for width, lengths in ((3, (4, 1, 6)), (2, (5, 8, 2)))
    )
    return net, X, source


def cut_out(net: Sequential, layers: list[Any], inputs: int, prefixes: list[str]) -> Sequential:
    """Some layers as a network in float64; `prefixes` says what their parameters are called in `net`."""
    alone = Sequential(layers, executor="reference")
    alone.build((None, inputs))
    for name, array in alone.parameters.items():
        first, rest = name.split(".", 1)
        array[:] = net.parameters[f"{prefixes[int(first.rpartition('_')[2])]}.{rest}"]
    return alone


@both_executors
def test_a_network_that_attends_does_what_its_parts_do(executor: str) -> None:
    """Its LSTMs, each cut out and fed with what it reads in the network."""
    net, X, source = attending(executor)
    first, attention, last, dense = net.layers
    begin = cut_out(net, [first], 3, ["lstm_0"])
    encoder = cut_out(net, attention.encoder, 2, ["attention_1.dense_0", "attention_1.lstm_1"])
    seen_by_last = cut_out(net, [first, attention], 3, ["lstm_0", "attention_1"]).predict(X, source=source)
    end = cut_out(net, [last, dense], 6, ["lstm_2", "dense_3"])
    expected = [
        *inspect.gates(begin, X),
        *inspect.gates(encoder, source),
        *inspect.gates(end, seen_by_last),
    ]

    seen = inspect.gates(net, X, source=source)
    names = ["lstm_0.0.forward", *(f"attention_1.lstm_1.0.{way}" for way in ("forward", "backward"))]
    assert [one.name for one in seen] == [*names, "lstm_2.0.forward"]
    for one, other in zip(seen, expected, strict=True):
        assert one.dilation == other.dilation
        for part in ("input", "forget", "candidate", "output", "cell", "hidden"):
            for row, (a, b) in enumerate(zip(getattr(one, part), getattr(other, part), strict=True)):
                assert_close({f"{one.name} {part} {row}": a}, {f"{one.name} {part} {row}": b}, 1e-5)
    for row, x in enumerate(X):
        assert_close({"X": seen[0].inputs[row]}, {"X": x}, 1e-6)
        assert_close({"source": seen[1].inputs[row]}, {"source": source[row]}, 1e-6)

    y = np.random.default_rng(13).normal(size=(3, 2))
    flow = inspect.gradient_flow(net, X, y, source=source)
    assert list(flow.norms) == ["lstm_0.0.forward", "lstm_2.0.forward"]
    end.compile("mse")
    after = inspect.gradient_flow(end, seen_by_last, y)
    assert flow.loss == pytest.approx(after.loss, rel=1e-5)
    # What the first LSTM says moves the loss through the rest alone.
    rest = cut_out(net, [attention, last, dense], 4, ["attention_1", "lstm_2", "dense_3"])
    rest.compile("mse")
    hidden, e = [np.array(one) for one in begin.predict(X)], 1e-5
    squares: dict[int, list[float]] = {}
    for row, h in enumerate(hidden):
        for t in range(len(h)):
            slopes = []
            for k in range(4):
                losses = []
                for sign in (1, -1):
                    moved = [one.copy() for one in hidden]
                    moved[row][t, k] += sign * e
                    losses.append(rest.evaluate(moved, y, source=source))
                slopes.append((losses[0] - losses[1]) / (2 * e))
            squares.setdefault(len(h) - 1 - t, []).append(float(np.square(slopes).sum()))
    norms = np.sqrt([np.mean(squares[lag]) for lag in sorted(squares)])
    assert_close(
        flow.norms, {"lstm_0.0.forward": norms, "lstm_2.0.forward": after.norms["lstm_0.0.forward"]}, 1e-4
    )


@both_executors
def test_gradients_by_the_inputs_of_a_network_that_attends(executor: str) -> None:
    net, X, source = attending(executor)
    exact, _, _ = attending("reference")
    expected = finite_differences(exact, X, 1, {"source": source})
    for a, b in zip(inspect.input_gradients(net, X, output=1, source=source), expected, strict=True):
        assert_close({"dx": a}, {"dx": b}, 1e-4)
    assert len(inspect.memory_horizon(net, X, source=source).norms) == 6
    found = inspect.integrated_gradients(net, X, baseline=[np.full_like(x, 0.1) for x in X], source=source)
    ends = (net.predict(rows, source=source)[:, 0] for rows in (X, [np.full_like(x, 0.1) for x in X]))
    assert found.difference == pytest.approx(np.subtract(*ends), abs=1e-5)
    assert np.abs(found.error).max() < 1e-4
    with pytest.raises(UsageError, match="pass source="):
        inspect.gates(net, X)


def test_the_callback_measures_a_network_that_attends() -> None:
    net, X, source = attending("auto")
    y = np.ones((3, 2))
    flow = GradientFlow(X, y, source=source)
    net.fit(X, y, source=source, epochs=1, callbacks=[flow])
    assert_same_bits(flow.flows[0].norms, inspect.gradient_flow(net, X, y, source=source).norms)


# ---------------------------------------------------------------------------------------- readings


def test_readings_of_the_flow() -> None:
    fall = 10.0 ** -np.linspace(0, 12, 41)
    vanishing = inspect.Flow(1.0, {"lstm_0.0.forward": fall})
    assert vanishing.reading == (
        "At lstm_0.0.forward the gradient falls by 1e-12 over 40 steps: the network cannot learn "
        "dependencies longer than about 20 steps."
    )
    steady = inspect.Flow(1.0, {"lstm_0.0.forward": np.linspace(1, 0.5, 11)})
    assert steady.reading == (
        "At lstm_0.0.forward the gradient reaches all 11 steps, the earliest with 0.5 of its largest: none "
        "is too far back to learn from."
    )
    faint = inspect.Flow(1.0, {"lstm_0.0.forward": np.array([1, 0.1, 1e-4])})
    assert faint.reading.endswith("with 0.0001 of its largest: what lies so far back is learned slowly.")
    exploding = inspect.Flow(1.0, {"lstm_0.0.forward": fall[::-1]})
    assert "has grown by 1e+12, 40 steps before the end: it explodes" in exploding.reading
    entering = np.where(
        np.arange(9) > 0, 0.1, 1e-9
    )  # many layers down little comes straight from the last step
    stacked = inspect.Flow(1.0, {"lstm_0.0.forward": entering, "lstm_0.1.forward": np.full(9, 0.1)})
    assert "reaches all 9 steps, the earliest with 1 of its largest" in stacked.reading
    deep = inspect.Flow(1.0, {f"lstm_0.{k}.forward": 10.0 ** (k - 4) * np.ones(5) for k in range(4)})
    assert deep.reading.endswith(
        "From lstm_0.3 down to lstm_0.0 it falls by 1e-03: the first layers hardly learn; "
        "residual=True helps."
    )
    flat = inspect.Flow(1.0, {f"lstm_{k}.0.forward": np.ones(5) for k in range(2)})
    assert flat.reading.endswith("changes by a factor of 1 only: depth is no obstacle.")
    cut = inspect.Flow(1.0, {"lstm_0.0.forward": np.array([1, 0.5, 0, 0])})
    assert "falls to nothing over 3 steps" in cut.reading
    assert "longer than about 1 step." in cut.reading
    nothing = inspect.Flow(1.0, {f"lstm_0.{k}.forward": np.zeros(5) for k in range(2)})
    assert nothing.reading == "No gradient reaches lstm_0.0.forward: the loss does not depend on it."
    assert "only one step" in inspect.Flow(1.0, {"lstm_0.0.forward": np.ones(1)}).reading


NO_STEP = "No step moves the output: its derivative by every input is 0."


def test_readings_of_the_horizon() -> None:
    falling = inspect.Horizon(np.exp(-np.arange(40) / 2))
    assert falling.reach == 9
    assert falling.reading == (
        "The last 10 of 40 steps move the output: one further back does so by less than 1 % of what the "
        "strongest, the last, does."
    )
    late = inspect.Horizon(np.array([0.1, 0.4, 0.2]))
    assert late.reading == (
        "All 3 steps move the output: the earliest by 0.5 of what the strongest, 1 step before the last, "
        "does."
    )
    assert inspect.Horizon(np.zeros(3)).reading == NO_STEP
    assert inspect.Horizon(np.ones(1)).reading == "There is only one step, and it moves the output."
    assert inspect.Horizon(np.array([1, 0.001])).reading.startswith("The last step moves the output: one ")


def test_readings_of_a_network_whose_output_nothing_moves() -> None:
    net, X = Sequential([LSTM(3), Dense(1)]), np.ones((2, 4, 2))
    net.build((None, 2))
    same = "There is no change to share out: the output is the same as at the baseline."
    assert inspect.integrated_gradients(net, X, baseline=X).reading == same
    saturated = inspect.integrated_gradients(net, 1e6 * X)  # far from 0 the gates are 0 or 1 throughout
    assert abs(saturated.error).max() > 0.01
    change = abs(saturated.difference).max()
    assert saturated.reading.startswith(f"The output changes by up to {change:.2g}, but at none of the 32 ")
    assert inspect.memory_horizon(net, 1e6 * X).reading == NO_STEP
    net.parameters["dense_1.W"][:] = 0
    assert inspect.integrated_gradients(net, X).reading == same
    assert inspect.memory_horizon(net, X).reading == NO_STEP


def test_readings_of_the_shares_of_few_steps() -> None:
    net, X = Sequential([LSTM(3), Dense(1)]), np.ones((2, 1, 2))
    net.build((None, 2))
    assert inspect.integrated_gradients(net, X).reading.startswith("There is only one step. Of the 2 ")
    long = np.concatenate([0 * X, X], axis=1)  # the share of an input at the baseline is 0
    assert inspect.integrated_gradients(net, long).reading.startswith("The last step carries 80% of what ")


# ---------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda net, X: inspect.gates(Sequential([Dense(1)]), X), UsageError, "has no LSTM"),
        (lambda net, X: inspect.gates(Sequential([LSTM(2)]), X), UsageError, "not built yet"),
        (lambda net, X: inspect.gates(net, X[:, :, :1]), DataError, "2 numbers per step are expected, got 1"),
        (lambda net, X: inspect.memory_horizon(net, X * np.nan), DataError, "X holds nan in row 0, step 0"),
        (lambda net, X: inspect.memory_horizon(net, X[:0]), DataError, "X is empty"),
        (
            lambda net, X: inspect.input_gradients(net, X, output=3),
            UsageError,
            "output must be at most 2, got 3",
        ),
        (
            lambda net, X: inspect.input_gradients(net, X, output=-1),
            UsageError,
            "must be a whole number from 0 up",
        ),
        (lambda net, X: inspect.integrated_gradients(net, X, points=0), UsageError, "points must be a whole"),
        (
            lambda net, X: inspect.integrated_gradients(net, X, baseline=[1, 2, 3]),
            DataError,
            "one for each of the 2 features",
        ),
        (
            lambda net, X: inspect.integrated_gradients(net, X, baseline=np.inf),
            DataError,
            "finite numbers only",
        ),
        (
            lambda net, X: inspect.integrated_gradients(net, X, baseline=X[:, :3]),
            DataError,
            "as many rows as X, each as long",
        ),
        (
            lambda net, X: inspect.integrated_gradients(Sequential([Embedding(3, 2), LSTM(2)]), X),
            UsageError,
            "this network reads indices",
        ),
        (lambda net, X: inspect.gradient_flow(net, X, np.ones((4, 3))), UsageError, "not compiled"),
        (lambda net, X: inspect.gradient_flow(Sequential([Dense(1)]), X, X), UsageError, "has no LSTM"),
        (
            lambda net, X: inspect.draw_gates(inspect.gates(net, X)[0], "a.png", row=4),
            UsageError,
            "row must be at most 3, got 4",
        ),
        (lambda net, X: GradientFlow(X, X, every=0), UsageError, "every must be a whole number from 1 up"),
    ],
)
def test_what_is_refused(call: Any, error: type[Exception], words: str) -> None:
    net = Sequential([LSTM(4), Dense(3)])
    net.build((None, 2))
    with pytest.raises(error, match=words):
        call(net, np.ones((4, 5, 2)))


def test_a_softmax_within_is_refused() -> None:
    net = Sequential([LSTM(4, return_sequences=True), Activation("softmax"), LSTM(3), Dense(1)])
    net.build((None, 2))
    assert len(inspect.gates(net, np.ones((2, 3, 2)))) == 2
    with pytest.raises(UsageError, match="softmax can be trained as the network's last layer"):
        inspect.memory_horizon(net, np.ones((2, 3, 2)))


# ---------------------------------------------------------------------------------------- pictures


def png_size(path: Any) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("steps", [1, 7, 150])
@pytest.mark.parametrize("units", [1, 40])
@pytest.mark.parametrize("inputs", [1, 8])
def test_any_sizes_are_drawn(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, steps: int, units: int, inputs: int
) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)  # of another test
    net = scrambled(Sequential([LSTM(units, direction="bidirectional"), Dense(1)]), (None, inputs), 0)
    net.compile("mse")
    X = np.random.default_rng(0).normal(size=(3, steps, inputs))
    seen = inspect.gates(net, X)
    pictures = {
        "gates": lambda path: inspect.draw_gates(seen[1], path, row=2),
        "constants": lambda path: inspect.draw_time_constants(seen, path),
        "one": lambda path: inspect.draw_time_constants(seen[0], path),
        "horizon": lambda path: inspect.draw_horizon(inspect.memory_horizon(net, X), path),
        "flow": lambda path: inspect.draw_flow(inspect.gradient_flow(net, X, np.ones(3)), path),
    }
    sizes = {}
    for name, draw in pictures.items():
        draw(tmp_path / f"{name}.png")
        sizes[name] = png_size(tmp_path / f"{name}.png")
    assert sizes["constants"][1] > sizes["one"][1]
    assert sizes["horizon"] == (1080, 480)
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e38])
def test_any_values_are_drawn(tmp_path: Any, value: float) -> None:
    inspect.draw_horizon(inspect.Horizon(np.full(5, value)), tmp_path / "a.png")
    many = {f"lstm_0.{k}.forward": np.full(9, value) for k in range(20)}
    inspect.draw_flow(inspect.Flow(0.0, many), tmp_path / "b.png")
    frozen = np.full((2, 3, 4), min(value, 1.0))
    seen = inspect.Gates("lstm_0.0.forward", 1, frozen[:, :, :1], *([frozen] * 6))
    inspect.draw_gates(seen, tmp_path / "c.png")
    inspect.draw_time_constants(seen, tmp_path / "d.png")
    assert len(list(tmp_path.iterdir())) == 4


def test_without_matplotlib_it_says_what_to_install(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "karusel\[plot\]"'):
        inspect.draw_horizon(inspect.Horizon(np.ones(3)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_the_module_is_loaded_when_it_is_used() -> None:
    code = (
        "import sys, karusel\n"
        "assert 'karusel.inspect' not in sys.modules and 'inspect' in dir(karusel)\n"
        "assert karusel.inspect.gates and 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_step_is_a_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    monkeypatch.setattr("karusel.inspect.plots._write", lambda figure, path: kept.append(figure))
    for steps in (1, 2):
        net, X = Sequential([LSTM(3), Dense(1)]), np.ones((2, steps, 1))
        net.compile()
        net.build((None, 1))
        inspect.draw_gates(inspect.gates(net, X)[0], "")
        inspect.draw_flow(inspect.gradient_flow(net, X, np.ones(2)), "")
    markers = [figure.axes[0].lines[0].get_marker() for figure in kept]
    assert markers == ["o", "o", "None", "None"]
    assert "row 0, 1 step" in kept[0].get_suptitle()
    assert all(place == round(place) for place in kept[0].axes[6].get_xticks())
