"""The `.karusel` model file: one data-only safetensors file, written whole or not at all.

`docs/model-file.md` describes it byte by byte. The safetensors `__metadata__` holds one key, `karusel`: a
JSON object with `sha256`, `format`, `karusel` (the version that wrote the file), `kind`, and the caller's own
fields. The same contents give the same bytes: there is no time stamp, and the field order is the caller's.

safetensors checks that the tensors cover the data without holes or overlaps. It does not check names, unknown
or repeated fields, the number of axes, or values, and does not notice a changed byte inside the data. This
module refuses all of those, so that a file either loads to the values that were saved or does not load.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, BinaryIO, NoReturn, TypeGuard

import numpy as np

from karusel.errors import (
    DataError,
    FileMissingError,
    KaruselError,
    ModelFileError,
    TooLargeError,
    UsageError,
)
from karusel.names import shortened
from karusel.whole import written_whole

__all__ = ["FORMAT", "load_file", "save_file"]

FORMAT = 1
"""The format that this version writes, and the only one that it reads."""

_MAX_HEADER = 16 << 20  # bytes; Python's JSON objects take about ten times the text
_MAX_DEPTH = 32
_MAX_AXES = 8
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,254}")
# A checkpoint keeps the bits of the executor that trains, a forecaster its series; networks are float32.
_DTYPES = {
    "network": {"F32": "float32"},
    "checkpoint": {"F32": "float32", "F64": "float64"},
    "forecaster": {"F32": "float32", "F64": "float64", "I64": "int64", "U8": "uint8"},
}
_OWN_FIELDS = ("sha256", "format", "karusel", "kind")
_DIGEST_FIELD = rb"\"sha256\":\""  # as it stands in the file: JSON inside a JSON string
_BLANK_DIGEST = "0" * 64

_FOREIGN_STARTS = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (an old Keras model?)"),
    (b"PK\x03\x04", "a zip archive (a PyTorch or Keras model?)"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x80\x02", "a pickle, which can run code when it is opened"),
    (b"\x80\x03", "a pickle, which can run code when it is opened"),
    (b"\x80\x04", "a pickle, which can run code when it is opened"),
    (b"\x80\x05", "a pickle, which can run code when it is opened"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "a JSON text"),
)


def save_file(
    path: str | os.PathLike[str], kind: str, header: dict[str, Any], tensors: dict[str, np.ndarray]
) -> None:
    """Write a model file: beside the target first, flushed to disk, then renamed over it.

    A file already there keeps its contents until the new one is complete, and keeps them when anything fails.

    Args:
        path: target; its folder must exist. A link is followed.
        kind: what the file holds, such as `"network"`; `load_file` asks for it again.
        header: JSON-able fields (str keys, finite floats), none of them called `sha256`, `format`, `karusel`
            or `kind`. Tuples come back as lists.
        tensors: float32 arrays (a checkpoint's also float64, a forecaster's int64 and uint8 too), none empty,
            by name: a letter, then up to 254 letters, digits and `_ . / -`.

    Raises:
        UsageError: a header or tensor that the format cannot hold.
        DataError: a tensor with a NaN or infinite value.
        FileMissingError: the folder is not there.
        KaruselError: the system could not write; its reason is in the message.
    """
    _write_whole(os.fspath(path), _encode(kind, header, tensors))


def load_file(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a model file that `save_file` wrote, or refuse it whole.

    Args:
        path: the file.
        kind: what it must hold.

    Returns:
        The header's fields as `save_file` was given them, and the tensors by name: arrays that own
        their memory and can be written to.

    Raises:
        FileMissingError: no such file.
        ModelFileError: damaged, truncated, foreign, of another format or kind; the message says which.
        TooLargeError: the file does not fit memory.
        KaruselError: the system could not read; its reason is in the message.
    """
    name = os.fspath(path)
    try:
        with _open(name) as file:
            return _decode(file, os.fstat(file.fileno()).st_size, kind)
    except ModelFileError as fault:
        raise ModelFileError(f"model file {name!r} {fault}") from None
    except FileMissingError:  # an OSError too
        raise
    except OSError as error:
        raise KaruselError(f"model file {name!r} cannot be read: {_reason(error)}") from error
    except MemoryError:
        raise TooLargeError(f"model file {name!r} does not fit the memory that is free") from None


# -------------------------------------------------------------------------------------- writing


def _encode(kind: str, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> bytearray:
    import json

    from safetensors.numpy import save

    clash = [field for field in _OWN_FIELDS if field in header]
    if clash:
        raise UsageError(f"header field {clash[0]!r} belongs to the model file itself: rename it")
    try:
        _check_json(header, "header")
        # The digest stands first, so that its place can be found whatever the caller's fields hold.
        own = {"sha256": _BLANK_DIGEST, "format": FORMAT, "karusel": _version(), "kind": kind}
        text = json.dumps({**own, **header}, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise UsageError(f"a model file cannot hold this header: {error}") from None
    for name, tensor in tensors.items():
        _check_tensor(name, tensor, _dtypes(kind))

    # safetensors writes a raw buffer, so a strided view must be laid out first; asarray keeps 0 axes at 0.
    data = bytearray(save({k: np.asarray(v, order="C") for k, v in tensors.items()}, {"karusel": text}))
    if int.from_bytes(data[:8], "little") > _MAX_HEADER:
        raise TooLargeError(
            f"a model file's header may take {_MAX_HEADER} bytes: put long lists into tensors"
        )
    place = data.index(_DIGEST_FIELD + _BLANK_DIGEST.encode()) + len(_DIGEST_FIELD)
    data[place : place + 64] = _digest(data, place).encode()
    return data


def _check_tensor(name: str, tensor: np.ndarray, dtypes: dict[str, str]) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"tensor name {name!r} is not a letter and up to 254 letters, digits and _ . / -")
    if not isinstance(tensor, np.ndarray):
        raise UsageError(f"tensor {name!r} must be an array, got {type(tensor).__name__}")
    if tensor.dtype.name not in dtypes.values() or tensor.ndim > _MAX_AXES or tensor.size == 0:
        raise UsageError(
            f"tensor {name!r} must be {' or '.join(dtypes.values())} with at most {_MAX_AXES} axes and at "
            f"least one value, got {tensor.dtype} of shape {_short(tensor.shape)}"
        )
    if not np.isfinite(tensor).all():
        raise DataError(f"tensor {name!r} holds a NaN or infinite value, which a model file refuses")


def _write_whole(name: str, data: bytearray) -> None:
    try:
        with written_whole(name) as part:
            part.write_bytes(data)
    except (FileNotFoundError, NotADirectoryError):
        raise FileMissingError(f"model file {name!r} not written: make its folder first") from None
    except (OSError, ValueError) as error:
        raise KaruselError(
            f"model file {name!r} not written: {_reason(error)}; what was there before is unchanged"
        ) from error


# -------------------------------------------------------------------------------------- reading


def _open(name: str) -> BinaryIO:
    if os.path.isdir(name):
        raise ModelFileError("is a folder, not a file")
    if os.path.exists(name) and not os.path.isfile(name):  # opening a pipe would wait for its writer
        raise ModelFileError("is a device or a pipe, not a file")
    try:
        return open(name, "rb")
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte in the name
        raise FileMissingError(f"model file {name!r} is not there: check the path") from None


def _decode(file: BinaryIO, size: int, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = _header_length(file.read(16), size)
    file.seek(8)
    text = file.read(length)
    outer = _parse(text, "its safetensors header")
    metadata = outer.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("karusel"), str):
        raise ModelFileError("is another program's safetensors file: its __metadata__ has no 'karusel' text")
    header = _parse(metadata["karusel"].encode("utf-8", "surrogatepass"), "its karusel header")

    version, written_by, stored_kind = header.get("format"), header.get("karusel"), header.get("kind")
    if type(version) is not int or not isinstance(written_by, str) or not isinstance(stored_kind, str):
        raise ModelFileError("is damaged: its karusel header lacks a valid 'format', 'karusel' or 'kind'")
    if version != FORMAT:
        raise ModelFileError(
            f"has format {_short(version)}; this is Karusel {_version()}, which reads format {FORMAT}:"
            f" open it with Karusel {_short(written_by, quote=False)}, which wrote it"
        )
    if stored_kind != kind:
        raise ModelFileError(f"holds a {_short(stored_kind)}, not a {kind}")

    expected = (
        8
        + length
        + max((_tensor_end(name, entry, _dtypes(kind)) for name, entry in outer.items()), default=0)
    )
    if expected > size:
        raise ModelFileError(f"is truncated: {size} of its {expected} bytes are there")
    file.seek(0)
    data = file.read()
    digest = header.get("sha256")
    place = data.find(_DIGEST_FIELD + digest.encode(), 8, 8 + length) if isinstance(digest, str) else -1
    if place < 0 or _digest(data, place + len(_DIGEST_FIELD)) != digest:
        raise ModelFileError("is damaged: its contents do not match its sha256")

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ModelFileError(f"is damaged: {error}") from None
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelFileError(f"is damaged: tensor {name!r} holds a NaN or infinite value")
    fields = {key: value for key, value in header.items() if key not in _OWN_FIELDS}
    return fields, {name: np.require(tensor, requirements="W") for name, tensor in tensors.items()}


def _header_length(start: bytes, size: int) -> int:
    """Length in bytes of the safetensors header, from the file's first 16 bytes."""
    if size == 0:
        raise ModelFileError("is empty")
    length = int.from_bytes(start[:8], "little")
    # A length within the limit leaves bytes 3-7 zero, which no foreign start does.
    if len(start) >= 8 and length <= _MAX_HEADER:
        if start[8:9] not in (b"{", b""):
            raise ModelFileError(f"is not a model file: it starts with bytes {start[:9].hex(' ')}")
        if 8 + length > size:
            raise ModelFileError(f"is truncated: {size} bytes are there, its header alone takes {8 + length}")
        return length
    for foreign, what in _FOREIGN_STARTS:
        if start.startswith(foreign):
            raise ModelFileError(f"is {what}, not a Karusel model file")
    if len(start) < 8:
        raise ModelFileError(f"is truncated: only {size} bytes are there")
    if start[8:9] == b"{":
        raise ModelFileError(f"is damaged: its header would take {length} bytes, the limit is {_MAX_HEADER}")
    raise ModelFileError(f"is not a model file: it starts with bytes {start[:8].hex(' ')}")


def _parse(text: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `text`; refuses repeated keys, NaN, infinities and deep nesting."""
    import json

    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        _check_json(value, "header")
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"is damaged: {what} is refused: {_short(str(error), quote=False)}") from None
    if not isinstance(value, dict):
        raise ModelFileError(f"is damaged: {what} is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {_short(key)} stands there twice")
        result[key] = value
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _tensor_end(name: str, entry: object, dtypes: dict[str, str]) -> int:
    """Where the tensor's data end, counted from the end of the header."""
    fault = f"is damaged: tensor {_short(name)}"
    if not _NAME.fullmatch(name):
        raise ModelFileError(f"{fault}: the name is not a letter and up to 254 letters, digits and _ . / -")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"{fault} must have the fields dtype, shape and data_offsets, and no other")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in dtypes:
        raise ModelFileError(f"{fault} has dtype {_short(entry['dtype'])}, the rule is {' or '.join(dtypes)}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or 0 in shape or len(shape) > _MAX_AXES:
        raise ModelFileError(
            f"{fault} has shape {_short(shape)}, the rule is at most {_MAX_AXES} sizes of 1 or more"
        )
    if not _sizes(offsets) or len(offsets) != 2:
        raise ModelFileError(f"{fault} has data_offsets {_short(offsets)}, the rule is two sizes")
    return int(offsets[1])


def _dtypes(kind: str) -> dict[str, str]:
    """What the tensors of a file of this kind may be: safetensors' names and NumPy's."""
    return _DTYPES.get(kind, _DTYPES["network"])


def _sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


# -------------------------------------------------------------------------------------- both


def _check_json(value: object, place: str, depth: int = 0) -> None:
    """Raise ValueError, naming the place, for anything that JSON would lose or a reader could choke on."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"{place} is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        value.encode("utf-8")  # half of a surrogate pair could never be printed
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place} is {value}, the rule is finite")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{place} has the key {key!r}, the rule is text")
            _check_json(key, place, depth)
            _check_json(item, f"{place}[{_short(key)}]" if depth < 3 else place, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_json(item, place, depth + 1)
    elif value is not None and not isinstance(value, bool | int):
        raise ValueError(f"{place} is of type {type(value).__name__}, which JSON does not have")


def _digest(data: bytes | bytearray, place: int) -> str:
    """SHA-256 of the whole file, with the 64 digits at `place` taken as zeros, in lower-case hex."""
    import hashlib

    view = memoryview(data)
    result = hashlib.sha256(view[:place])
    result.update(_BLANK_DIGEST.encode())
    result.update(view[place + 64 :])
    return result.hexdigest()


def _version() -> str:
    from karusel import __version__

    return __version__


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _short(value: object, *, quote: bool = True) -> str:
    """At most 80 characters: the value may come from a hostile file."""
    return shortened(repr(value) if quote else str(value), 80)
