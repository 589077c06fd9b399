"""Model files that must be refused: each with the words that the refusal has to contain.

Most are sealed with a right sha256, so that the rule they break refuses them, and not the digest.
`python make_hostile_models.py FOLDER` writes them out, for a look by hand or as seeds for a fuzzer.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import sys
from pathlib import Path
from typing import Any

BLANK = b"0" * 64


def entry(begin: int, end: int, shape: Any = (1,), dtype: str = "F32", **more: Any) -> dict[str, Any]:
    """One tensor's description in a safetensors header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def karusel_text(**fields: Any) -> str:
    """The JSON text under the metadata key `karusel`, its digest still blank."""
    own = {"sha256": BLANK.decode(), "format": 1, "karusel": "0.1.0", "kind": "network"}
    return json.dumps({**own, **fields}, separators=(",", ":"))


def pack(header: bytes, data: bytes = b"") -> bytes:
    """A safetensors file around a header that may be anything."""
    return struct.pack("<Q", len(header)) + header + data


def seal(file: bytes) -> bytes:
    """The same file with its blank digest filled in."""
    place = file.index(rb"\"sha256\":\"" + BLANK) + len(rb"\"sha256\":\"")
    return file[:place] + hashlib.sha256(file).hexdigest().encode() + file[place + 64 :]


def model(tensors: dict[str, Any], data: bytes, text: str | None = None) -> bytes:
    """A sealed model file with these tensor descriptions over this data."""
    header = {"__metadata__": {"karusel": karusel_text() if text is None else text}, **tensors}
    return seal(pack(json.dumps(header, separators=(",", ":")).encode(), data))


def good() -> bytes:
    """A model file that must load: the others differ from it in one thing."""
    return model({"W": entry(0, 8, [2]), "b": entry(8, 12)}, struct.pack("<3f", 1.0, -2.0, 0.5))


def hostile_models() -> dict[str, tuple[bytes, str]]:
    """Name -> (the file's bytes, words that its refusal must contain)."""
    one = struct.pack("<f", 1.0)
    digest = good()[good().index(rb"\"sha256\":\"") + 13 :][:64]
    meta = json.dumps({"karusel": karusel_text()})
    plain = json.dumps({"W": entry(0, 4)}).encode()
    nested = karusel_text(config=0).replace('"config":0', '"config":' + "[" * 40 + "]" * 40)
    bottomless = karusel_text(config=0).replace('"config":0', '"config":' + "[" * 200_000)
    twice_inside = karusel_text().replace('"format":1', '"format":1,"format":1')

    def twice(first: str, second: str, data: bytes) -> bytes:
        return seal(pack(f'{{"__metadata__":{meta},"W":{first},"W":{second}}}'.encode(), data))

    first, second = json.dumps(entry(0, 4)), json.dumps(entry(4, 8))
    return {
        "empty": (b"", "is empty"),
        "five bytes": (good()[:5], "is truncated: only 5 bytes"),
        "eight bytes": (good()[:8], "is truncated: 8 bytes"),
        "pickle": (pickle.dumps({"W": [1.0]}), "is a pickle"),
        "pickle, protocol 2": (pickle.dumps([1.0], protocol=2), "is a pickle"),
        "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "is an HDF5 file"),
        "zip": (b"PK\x03\x04" + bytes(64), "is a zip archive"),
        "numpy": (b"\x93NUMPY\x01\x00" + bytes(64), "is a NumPy array file"),
        "json": (b'{"format": 1, "kind": "network"}', "is a JSON text"),
        "text": (b"unique_id,ds,y\nA,1949-01-01,112\n", "is not a model file"),
        "zeros": (bytes(100), "is not a model file"),
        "huge header": (struct.pack("<Q", 2**63 - 1) + good()[8:], "limit is 16777216"),
        "endless header": (b"\xff" * 8 + good()[8:], "limit is 16777216"),
        "header past the end": (struct.pack("<Q", 100_000) + good()[8:], "is truncated"),
        "header not UTF-8": (pack(b'{"\xff":1}'), "safetensors header is refused"),
        "header not JSON": (pack(b"{W:1}"), "safetensors header is refused"),
        "header cut": (pack(plain[:-1], one), "safetensors header is refused"),
        "header with more behind": (pack(plain + b"{}", one), "safetensors header is refused"),
        "header bottomless": (pack(b'{"W":' + b"[" * 200_000), "safetensors header is refused"),
        "header NaN": (pack(b'{"W":NaN}'), "NaN is not JSON"),
        "header endless number": (pack(b'{"W":' + b"9" * 10_000 + b"}"), "safetensors header is refused"),
        "foreign": (pack(plain, one), "another program's safetensors file"),
        "foreign metadata": (
            pack(json.dumps({"__metadata__": {"format": "pt"}, "W": entry(0, 4)}).encode(), one),
            "another program's safetensors file",
        ),
        "metadata no object": (pack(b'{"__metadata__":[1]}'), "another program's safetensors file"),
        "metadata no text": (pack(b'{"__metadata__":{"karusel":1}}'), "another program's safetensors file"),
        "karusel not JSON": (pack(b'{"__metadata__":{"karusel":"{"}}'), "karusel header is refused"),
        "karusel no object": (pack(b'{"__metadata__":{"karusel":"[]"}}'), "is not a JSON object"),
        "karusel without fields": (pack(b'{"__metadata__":{"karusel":"{}"}}'), "lacks a valid 'format'"),
        "karusel nested": (model({}, b"", nested), "deeper than 32 levels"),
        "karusel bottomless": (model({}, b"", bottomless), "karusel header is refused"),
        "karusel key twice": (model({}, b"", twice_inside), "key 'format' stands there twice"),
        "karusel infinite": (
            model({}, b"", karusel_text(rate=1).replace('"rate":1', '"rate":1e999')),
            "header['rate'] is inf",
        ),
        "karusel half a character": (
            model({}, b"", karusel_text(name=1).replace('"name":1', r'"name":"\ud800"')),
            "karusel header is refused",
        ),
        "format 2": (
            model({}, b"", karusel_text(format=2, karusel="9.8.7")),
            "open it with Karusel 9.8.7",
        ),
        "format text": (model({}, b"", karusel_text(format="1")), "lacks a valid 'format'"),
        "format true": (model({}, b"", karusel_text(format=True)), "lacks a valid 'format'"),
        "another kind": (
            model({}, b"", karusel_text(kind="forecaster")),
            "holds a 'forecaster', not a network",
        ),
        "no digest": (
            pack(json.dumps({"__metadata__": {"karusel": karusel_text(sha256=None)}}).encode()),
            "do not match its sha256",
        ),
        "wrong digest": (good().replace(digest, digest[::-1]), "do not match its sha256"),
        "more data": (good() + b"\0", "do not match its sha256"),
        "less data": (good()[:-1], "is truncated"),
        "float64": (model({"W": entry(0, 8, dtype="F64")}, bytes(8)), "has dtype 'F64', the rule is F32"),
        "bfloat16": (model({"W": entry(0, 2, dtype="BF16")}, bytes(2)), "has dtype 'BF16'"),
        "no dtype": (model({"W": {"shape": [1], "data_offsets": [0, 4]}}, one), "must have the fields"),
        "another field": (model({"W": entry(0, 4, hook="os.system")}, one), "must have the fields"),
        "tensor no object": (model({"W": 3}, one), "must have the fields"),
        "no name": (model({"": entry(0, 4)}, one), "the name is not"),
        "name with a control character": (model({"\x1b[2J": entry(0, 4)}, one), "the name is not"),
        "name too long": (model({"W" * 256: entry(0, 4)}, one), "the name is not"),
        "nine axes": (model({"W": entry(0, 4, [1] * 9)}, one), "at most 8 sizes"),
        "size zero": (model({"W": entry(0, 0, [0, 2**62])}, b""), "at most 8 sizes of 1 or more"),
        "size below zero": (model({"W": entry(0, 4, [-1])}, one), "at most 8 sizes"),
        "size beyond 63 bits": (model({"W": entry(0, 4, [2**63])}, one), "at most 8 sizes"),
        "size a fraction": (model({"W": entry(0, 4, [1.0])}, one), "at most 8 sizes"),
        "size true": (model({"W": entry(0, 4, [True])}, one), "at most 8 sizes"),
        "sizes overflow": (model({"W": entry(0, 4, [2**62, 2**62])}, one), "is damaged"),
        "shape against offsets": (model({"W": entry(0, 4, [2])}, one), "is damaged"),
        "offset below zero": (model({"W": entry(-4, 4)}, one), "data_offsets"),
        "three offsets": (model({"W": {**entry(0, 4), "data_offsets": [0, 4, 8]}}, one), "data_offsets"),
        "offset far past the end": (model({"W": entry(0, 2**62)}, one), "is truncated"),
        "offsets overlap": (model({"V": entry(0, 4), "W": entry(0, 4)}, one), "is damaged"),
        "offsets leave a hole": (model({"V": entry(0, 4), "W": entry(8, 12)}, bytes(12)), "is damaged"),
        "offsets backwards": (model({"V": entry(4, 0), "W": entry(0, 4)}, one), "is damaged"),
        "data not covered": (model({"W": entry(0, 4)}, bytes(8)), "is damaged"),
        "tensor twice": (twice(first, second, bytes(8)), "key 'W' stands there twice"),
        "tensor twice, the same": (twice(first, first, one), "key 'W' stands there twice"),
        "NaN": (model({"W": entry(0, 4)}, struct.pack("<f", float("nan"))), "tensor 'W' holds a NaN"),
        "infinity": (model({"W": entry(0, 4)}, struct.pack("<f", float("-inf"))), "tensor 'W' holds a NaN"),
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "good.karusel").write_bytes(good())
    for name, (contents, _) in hostile_models().items():
        (folder / f"{name.replace(' ', '_').replace(',', '')}.karusel").write_bytes(contents)
