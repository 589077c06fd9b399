"""Stored: what was fitted as the JSON fields and tensors of a model file, and back.

Only the classes listed here are written and read, each as its fields, so that a file is data and nothing that
runs. JSON has no tuples, no keys but text and no NaN: lists come back as tuples, dictionaries are lists of
pairs, and what is no finite number in an array is marked beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import NOT_DESCRIBED, ModelFileError, UsageError
from karusel.forecasting.best import Best
from karusel.forecasting.containers import Columns
from karusel.forecasting.correction import Correction
from karusel.forecasting.covariates import KINDS, Covariate, Covariates
from karusel.forecasting.effects import Effects
from karusel.forecasting.encoding import Code, Encoding
from karusel.forecasting.features import Reader
from karusel.forecasting.fitting import Fitted
from karusel.forecasting.frames import FrameKind
from karusel.forecasting.frequency import Frequency
from karusel.forecasting.intervals import Calibration
from karusel.forecasting.members import QUANTILES, Ensemble, Member
from karusel.forecasting.model import Model
from karusel.forecasting.panel import Panel
from karusel.forecasting.pooled import PooledModel
from karusel.forecasting.prediction import Support
from karusel.forecasting.scaling import Scaling
from karusel.forecasting.verdict import Verdict
from karusel.network import Sequential, restored
from karusel.typed import check_fields

__all__ = ["pack", "unpack"]

_CLASSES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(Best, Calibration),
        *(Code, Columns, Correction, Covariate, Covariates, Effects, Encoding, Ensemble, Fitted),
        *(FrameKind, Frequency, Member, Model, Panel, PooledModel, Reader, Scaling, Support, Verdict),
    )
}
_LONG = 64  # elements from which a list of plain values is kept as text in a tensor of its own
_PLAIN = (str, int, float, bool, type(None))
_TIMES = "datetime64[us]"
# Bounds for what a damaged file may claim, far beyond what is ever fitted.
_MOST_STEPS = 1 << 24  # of a window
_MOST_SEASONS = 1_000  # of an anchor


def pack(value: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    """JSON for a value; its arrays and networks go into `tensors`.

    Raises `UsageError` for an id or category that is no text, number or truth value.
    """
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        return _pack_array(value, tensors)
    if isinstance(value, Sequential):
        prefix = f"network{len(tensors)}"
        tensors.update(
            {f"{prefix}.{name}": np.asarray(a, np.float32) for name, a in value.parameters.items()}
        )
        return {"network": prefix, "config": value.get_config()}
    if is_dataclass(value) and type(value).__name__ in _CLASSES:
        return {
            "is": type(value).__name__,
            "with": {field.name: pack(getattr(value, field.name), tensors) for field in fields(value)},
        }
    if isinstance(value, (tuple, list)):
        parts = [pack(one, tensors) for one in value]
        if len(parts) < _LONG or not all(isinstance(part, _PLAIN) for part in parts):
            return parts
        text = np.frombuffer(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass"), np.uint8)
        return {"list": _keep(text, tensors)}
    if isinstance(value, dict):
        return {"pairs": [pack(tuple(value), tensors), pack(tuple(value.values()), tensors)]}
    raise UsageError(
        f"{value!r} cannot be saved: ids and categories in a model file must be text or numbers; convert the "
        "column to text"
    )


def unpack(packed: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    """Undo `pack`. Raises `ModelFileError` for what no `pack` has made."""
    try:
        return _unpack(packed, tensors)
    except NOT_DESCRIBED as error:
        raise ModelFileError(f"describes no forecaster: {type(error).__name__}: {error}") from None


def _unpack(packed: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    if isinstance(packed, list):
        return tuple(_unpack(part, tensors) for part in packed)
    if not isinstance(packed, dict):
        return packed
    if "is" in packed:
        kind = _CLASSES[packed["is"]]
        parts = packed["with"]
        if set(parts) != {field.name for field in fields(kind)}:
            raise ValueError(f"a {packed['is']} has other fields")
        made = kind(**{name: _unpack(part, tensors) for name, part in parts.items()})
        check_fields(made)
        if not _RULES.get(kind, lambda _: True)(made):
            raise ValueError(f"the parts of a {packed['is']} do not fit each other")
        return made
    if "network" in packed:
        prefix = packed["network"] + "."
        own = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
        return restored(packed["config"], own)
    if "list" in packed:
        return tuple(json.loads(tensors[packed["list"]].tobytes().decode("utf-8", "surrogatepass")))
    if "pairs" in packed:
        names, values = (_unpack(part, tensors) for part in packed["pairs"])
        return dict(zip(names, values, strict=True))
    if "float" in packed:
        return float(packed["float"])
    return _unpack_array(packed, tensors)


def _reader_is_sound(reader: Reader) -> bool:
    counts = (reader.horizon, reader.patch, reader.levels, *(n for pair in reader.anchor for n in pair))
    return (
        min(counts) >= 1
        and all(m > 1 for m in reader.seasons)
        and list(reader.seasons) == sorted(set(reader.seasons))
        and reader.look_back >= reader.patch
        and reader.look_back % reader.patch == 0
        and all(m in (1, reader.fast, reader.slow) for m, _ in reader.anchor)
        and max(counts[2:]) <= _MOST_SEASONS
        and max(reader.length, reader.horizon) <= _MOST_STEPS
    )


def _scaling_is_sound(scaling: Scaling) -> bool:
    return (
        1 <= scaling.season_length <= scaling.length <= _MOST_STEPS
        and scaling.length != scaling.season_length
        and scaling.length % scaling.season_length == 0
        and 1 <= scaling.seen <= scaling.length
        and 0 <= scaling.season_share <= 1
        and (scaling.span is None or (1 <= scaling.span < scaling.length and scaling.season_length == 1))
    )


def _pooled_is_sound(model: PooledModel) -> bool:
    ensemble = model.ensemble
    members = (*ensemble.points, ensemble.spread)
    return (
        all(member.reader.horizon == model.horizon for member in members)
        and all(len(member.quantiles) == 1 for member in ensemble.points)
        and ensemble.spread.quantiles == QUANTILES
    )


def _panel_is_sound(panel: Panel) -> bool:
    rows, series, covariates = len(panel.values), len(panel.ids), panel.covariates
    described = [len(covariates.of(kind)) for kind in KINDS]
    shapes = [covariates.values(kind).shape for kind in KINDS]
    return (
        series > 0
        and panel.values.ndim == 1
        and panel.offsets.shape == (series + 1,)
        and (panel.offsets[0], panel.offsets[-1]) == (0, rows)
        and bool((np.diff(panel.offsets) > 0).all())
        and panel.starts.shape == (series,)
        and panel.starts.dtype == (np.int64 if panel.frequency.unit == "integer" else _TIMES)
        and shapes == list(zip((rows, rows, series), described, strict=True))
    )


_RULES: dict[Any, Callable[[Any], bool]] = {
    Calibration: lambda one: (
        one.widths.ndim == 1
        and one.ratios.ndim == 2
        and len(one.ratios) in (1, len(one.widths))
        and one.ratios.size > 0
    ),
    Correction: lambda one: len(one.networks) > 0,
    Ensemble: lambda one: len(one.points) > 0,
    Frequency: lambda one: one.step >= 1 and all(m >= 1 for m in one.season_lengths),
    Member: lambda one: one.network._output.width == one.reader.horizon * len(one.quantiles),
    Model: lambda one: all(
        network._output.width == one.horizon and network.input_shape == (one.scaling.seen, 2)
        for network in one.correction.networks
    ),
    Panel: _panel_is_sound,
    PooledModel: _pooled_is_sound,
    Reader: _reader_is_sound,
    Scaling: _scaling_is_sound,
}


def _pack_array(array: NDArray[Any], tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    packed: dict[str, Any] = {"shape": list(array.shape), "type": str(array.dtype)}
    if array.dtype == _TIMES:
        array = array.astype(np.int64)
    elif array.dtype == bool:
        array = array.astype(np.uint8)
    if array.size == 0:
        return packed
    if array.dtype.kind == "f":
        odd = np.isnan(array) + 2 * np.isposinf(array) + 3 * np.isneginf(array)
        if odd.any():
            packed["odd"] = _keep(odd.astype(np.uint8), tensors)
            array = np.where(odd == 0, array, 0.0).astype(array.dtype)
    packed["array"] = _keep(array, tensors)
    return packed


def _unpack_array(packed: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> NDArray[Any]:
    kind, shape = np.dtype(packed["type"]), tuple(packed["shape"])
    if kind.kind not in "fiubM":
        raise ValueError(f"arrays of {kind} are not kept")
    if "array" not in packed:
        return np.empty(shape, kind)
    array = tensors[packed["array"]]
    if "odd" in packed:
        odd = tensors[packed["odd"]]
        array = np.choose(odd, [array, np.nan, np.inf, -np.inf]).astype(array.dtype)
    return array.astype(kind).reshape(shape)


def _keep(array: NDArray[Any], tensors: dict[str, NDArray[Any]]) -> str:
    name = f"array{len(tensors)}"
    tensors[name] = array
    return name
