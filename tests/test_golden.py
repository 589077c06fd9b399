"""Outputs, losses and gradients of every layer and loss: against PyTorch, and against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import karusel
from compare import assert_close
from networks import EXECUTORS, golden_names, made, network, part, read_golden, row_arguments, set_parameters

OTHERS = ("notebook", "streams", "training_", "ctc_", "surrogate_")  # tested elsewhere
GRADIENT_CASES = [name for name in golden_names() if not name.startswith(OTHERS)]
DTYPES = {"native": np.float32, "reference": np.float64}


def test_the_golden_files_are_all_there() -> None:
    assert len(GRADIENT_CASES) == 70


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_output_as_in_pytorch(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    around = row_arguments(inputs)
    told = {key: around[key] for key in ("lengths", "initial_state", "source") if key in around}
    output = net.predict(inputs["X"], **told)
    assert output.dtype == DTYPES[executor]
    expected = arrays["output"]
    if "lengths" in told and expected.ndim == 3:
        # Past a row's end there is nothing to compare.
        inside = np.arange(expected.shape[1]) < inputs["lengths"][:, None]
        output, expected = output[inside], expected[inside]
    assert_close({"output": output}, {"output": expected})


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_loss_and_gradients_as_in_pytorch(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    inputs = part(arrays, "input")
    parameters = part(arrays, "parameter")
    net = network(spec, parameters, executor)
    loss, gradients = net.gradients(inputs["X"], inputs["y"], **row_arguments(inputs))
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(DTYPES[executor])}
    expected = part(arrays, "gradient")
    assert_close(gradients, {parameter: expected[parameter] for parameter in parameters})
    assert_close({"loss": DTYPES[executor](loss)}, {"loss": arrays["loss"]})


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", [name for name in GRADIENT_CASES if name.startswith("loss_")])
def test_evaluate_gives_the_loss(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    loss = net.evaluate(inputs["X"], inputs["y"], **row_arguments(inputs))
    assert_close({"loss": DTYPES[executor](loss)}, {"loss": arrays["loss"]})


# --- finite differences of the reference ----------------------------------------------------------

SEQUENCE = {"return_sequences": True}
KINDS = {
    "LSTM": [["LSTM", {"hidden_size": 3}]],
    "LSTM deep": [["LSTM", {"hidden_size": 2, "num_layers": 3, "initial_state": "learned", **SEQUENCE}]],
    "LSTM bidirectional": [
        ["LSTM", {"hidden_size": 2, "direction": "bidirectional", "initial_state": "learned"}]
    ],
    "LSTM backward": [["LSTM", {"hidden_size": 3, "direction": "backward", **SEQUENCE}]],
    "LSTM residual": [["LSTM", {"hidden_size": 3, "num_layers": 2, "residual": True}]],
    "LSTM normed": [
        ["LSTM", {"hidden_size": 2, "num_layers": 2, "layer_norm": True, "initial_state": "learned"}]
    ],
    "LSTM normed backward": [
        ["LSTM", {"hidden_size": 3, "layer_norm": True, "direction": "backward", "dilation": 2, **SEQUENCE}]
    ],
    "LSTM dilated": [["LSTM", {"hidden_size": 3, "dilation": 2, "initial_state": "learned"}]],
    "Dense": [["Dense", {"units": 4, "activation": "tanh"}], ["LSTM", {"hidden_size": 2}]],
    "LayerNorm": [["LSTM", {"hidden_size": 3}], ["LayerNorm", {}]],
    "Pool": [["LSTM", {"hidden_size": 3, **SEQUENCE}], ["Pool", {"functions": ["mean", "max"]}]],
    "Transpose": [["LSTM", {"hidden_size": 3, **SEQUENCE}], ["Transpose", {"columns": 3}]],
    "Embedding": [["Embedding", {"input_dim": 6, "output_dim": 3}], ["LSTM", {"hidden_size": 2}]],
    "tanh": [["LSTM", {"hidden_size": 2}], ["Dense", {"units": 4}], ["Activation", {"function": "tanh"}]],
    "sigmoid": [
        ["LSTM", {"hidden_size": 2}],
        ["Dense", {"units": 4}],
        ["Activation", {"function": "sigmoid"}],
    ],
    "relu": [["LSTM", {"hidden_size": 2}], ["Dense", {"units": 4}], ["Activation", {"function": "relu"}]],
}
LOSSES = {
    "squared": (["SquaredError", {}], 2, 2),
    "absolute": (["AbsoluteError", {}], 2, 2),
    "huber": (["Huber", {"delta": 0.8}], 2, 2),
    "pinball": (["Pinball", {"quantiles": [0.2, 0.7]}], 4, 2),
    "softmax cross-entropy": (["SoftmaxCrossEntropy", {}], 3, 0),
    "softmax cross-entropy of several": (["SoftmaxCrossEntropy", {"classes": 3}], 6, 2),
    "binary cross-entropy": (["BinaryCrossEntropy", {}], 2, 2),
}
STEP = 2.0**-8


def finite_differences(net: karusel.Sequential, loss_of: Callable[[], float]) -> dict[str, np.ndarray]:
    """Fourth-order central differences of the loss in every element of every parameter.

    The parameters stand on a grid of 2^-12, so that a step of 2^-8 is exact even in float32.
    """
    found = {}
    for name, array in net.parameters.items():
        slopes = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            at = float(array[index])
            losses = []
            for steps in (-2, -1, 1, 2):
                array[index] = at + steps * STEP
                losses.append(loss_of())
            array[index] = at
            slopes[index] = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * STEP)
        found[name] = slopes
    return found


def check_finite_differences(
    layers: list[Any], loss: list[Any], outputs: int, targets: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows, steps, width = 5, 4, 3
    lengths = np.array([4, 1, 3, 4, 2])
    pooled = any(kind == "Pool" for kind, _ in layers)
    sequence = layers[0][1].get("return_sequences", False) and not pooled
    lead = (rows, steps) if sequence else (rows,)
    ids = layers[0][0] == "Embedding"
    X: Any = random.integers(0, 6, (rows, steps)) if ids else random.standard_normal((rows, steps, width))
    y: Any
    if loss[0] == "SoftmaxCrossEntropy":
        classes = loss[1].get("classes", outputs)
        y = random.integers(0, classes, (*lead, targets) if targets else lead)
    elif loss[0] == "BinaryCrossEntropy":
        y = random.integers(0, 2, (*lead, targets))
    else:
        y = 2 * random.standard_normal((*lead, targets))
    net = karusel.Sequential(
        [made(layer) for layer in [*layers, ["Dense", {"units": outputs}]]], executor="reference"
    )
    net.compile(loss=made(loss))
    net.build(input_shape=(steps, 1 if ids else width))
    grid = {key: random.integers(-4000, 4000, a.shape) / 4096 for key, a in net.parameters.items()}
    set_parameters(net, grid)
    around = {
        "lengths": lengths,
        "sample_weight": random.integers(1, 9, rows) / 4,
        "mask": random.uniform(size=lead) < 0.7,
    }
    _, gradients = net.gradients(X, y, **around)
    found = finite_differences(net, lambda: net.gradients(X, y, **around)[0])
    assert min(np.abs(slopes).max() for slopes in found.values()) > 1e-4
    assert_close(gradients, found, tolerance=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_each_layer_are_slopes(kind: str) -> None:
    check_finite_differences(KINDS[kind], ["SquaredError", {}], outputs=2, targets=2, seed=7)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_each_loss_are_slopes(loss: str) -> None:
    description, outputs, targets = LOSSES[loss]
    check_finite_differences(
        [["LSTM", {"hidden_size": 2, **SEQUENCE}]], description, outputs, targets, seed=11
    )
