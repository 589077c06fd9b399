"""Types: whether what a file holds is what the fields of a class are declared to be."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from karusel.arguments import is_whole

__all__ = ["check_fields", "is_of"]


def check_fields(made: Any) -> None:
    """Raises TypeError for a field of a dataclass whose value is not of the type that it is declared with."""
    kind: Any = type(made)
    hints = _hints(kind)
    for field in fields(made):
        value = getattr(made, field.name)
        if not is_of(value, hints[field.name]):
            text = " ".join(reprlib.repr(value).split())  # in one line
            raise TypeError(f"{field.name} of a {kind.__name__} is {text}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, as annotations write it. Numbers are such as their 64 bits can hold."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(is_of(value, part) for part in parts)
    if kind is Literal:
        return isinstance(value, str) and value in parts
    if kind is tuple:
        each = parts[:1] * len(value) if parts[-1] is ... and isinstance(value, tuple) else parts
        return isinstance(value, tuple) and len(value) == len(each) and all(map(is_of, value, each))
    if kind is not None and issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(
            is_of(key, parts[0]) and is_of(one, parts[1]) for key, one in value.items()
        )
    if kind is np.ndarray:
        (dtype,) = get_args(parts[1])
        return isinstance(value, np.ndarray) and (dtype is Any or value.dtype == dtype)
    if hint is int:
        return is_whole(value) and abs(value) < 2**63
    if hint is float:
        return isinstance(value, float) or (is_whole(value) and abs(value) <= sys.float_info.max)
    if hint is Hashable:  # an id or a category
        return isinstance(value, (str, int, float, tuple, NoneType))
    return isinstance(value, NoneType if hint is None else hint)
