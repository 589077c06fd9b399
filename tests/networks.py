"""What several oracle tests share: the executors, golden files, networks from their description."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import karusel

GOLDEN = pathlib.Path(__file__).parent / "golden"
Arrays = dict[str, Any]


def engine_is_built() -> bool:
    try:
        karusel.Sequential([karusel.Dense(1)], executor="native")
    except karusel.errors.KaruselError:
        return False
    return True


EXECUTORS = [
    pytest.param(
        "native", marks=pytest.mark.skipif(not engine_is_built(), reason="no engine in this install")
    ),
    "reference",
]


def golden_names(start: str = "") -> list[str]:
    """The golden files whose names begin so."""
    return sorted(path.stem for path in GOLDEN.glob(f"{start}*.npz"))


def read_golden(name: str) -> tuple[Arrays, Arrays]:
    """(spec, arrays) of a golden file."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return json.loads(arrays.pop("spec").item()), arrays


def part(arrays: Arrays, start: str) -> Arrays:
    """The arrays whose names begin with `start.`, without it."""
    return {name[len(start) + 1 :]: array for name, array in arrays.items() if name.startswith(f"{start}.")}


def made(description: list[Any]) -> Any:
    """An object of Karusel from ["Class", {arguments}]; an argument may be such a pair, or a list of them."""
    name, options = description
    return getattr(karusel, name)(**{key: argument(value) for key, value in options.items()})


def argument(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    is_description = len(value) == 2 and isinstance(value[1], dict)
    return made(value) if is_description else [argument(one) for one in value]


def network(spec: Arrays, parameters: Arrays, executor: str, **options: Any) -> karusel.Sequential:
    """The network of a golden file with the weights given."""
    net = karusel.Sequential([made(layer) for layer in spec["layers"]], executor=executor, **options)
    net.compile(loss=made(spec["loss"]), optimizer=made(spec.get("optimizer", ["Adam", {}])))
    net.build(input_shape=tuple(spec["input_shape"]))
    set_parameters(net, parameters)
    return net


def set_parameters(net: karusel.Sequential, parameters: Arrays) -> None:
    """Writes every parameter by name; a name or a shape too many or too few is an error."""
    assert set(net.parameters) == set(parameters)
    for name, value in parameters.items():
        assert net.parameters[name].shape == value.shape, name
        net.parameters[name][:] = value


def row_arguments(inputs: Arrays) -> Arrays:
    """What `fit`, `gradients` and `evaluate` take beside X and y."""
    found: Arrays = {name: inputs[name] for name in ("lengths", "sample_weight", "mask") if name in inputs}
    states = [name for name in inputs if name.startswith("initial_state.") and name.endswith(".h")]
    if "source" in inputs:
        pairs = zip(inputs["source"], inputs["source_lengths"], strict=True)
        found["source"] = [sequence[:length] for sequence, length in pairs]
    if states:
        found["initial_state"] = [(inputs[name], inputs[name[:-1] + "c"]) for name in states]
    return found


def check_bf16(fit: Callable[[str], Any], path: pathlib.Path, answers: Callable[[Any], Any]) -> None:
    """A task learns in bf16 nearly what it does in float32; its file keeps the precision and the answers."""
    half, whole = fit("bf16"), fit("float32")
    assert half.history_["loss"] != whole.history_["loss"]
    assert half.history_["loss"] == pytest.approx(whole.history_["loss"], rel=0.05)
    half.save(path)
    again = type(half).load(path)
    assert (again.precision, again.network_.precision) == ("bf16", "bf16")
    assert answers(again) == answers(half)
