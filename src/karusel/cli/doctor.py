"""`karusel doctor`: what is installed, what the processor offers, what is missing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import karusel
from karusel.cli.document import print_document
from karusel.program.executor import check_level, default_threads

__all__ = ["run_doctor"]

_NEEDED = ("numpy", "duckdb", "narwhals", "typer", "rich", "safetensors")
_EXTRAS = {
    "plot": ("matplotlib", "plots as PNG"),
    "baselines": ("statsforecast", "AutoTheta and AutoETS"),
    "postgres": ("psycopg", "PostgreSQL databases"),
    "text": ("tokenizers", "byte pairs"),
    "translate": ("sacrebleu", "BLEU scores"),
    "images": ("pillow", "folders of images"),
    "music": ("mido", "MIDI files"),
    "control": ("gymnasium", "environments by name"),
}
_FRAMES = ("pandas", "polars", "pyarrow")


def run_doctor(json: bool) -> None:
    """Run the command."""
    found = _found()
    if json:
        print_document(found)
    else:
        print("\n".join(_text(found)))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _found() -> dict[str, Any]:
    return {
        "karusel": karusel.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "engine": _engine(),
        "threads": default_threads(),
        "packages": {name: _version(name) for name in _NEEDED},
        "extras": {extra: _version(package) for extra, (package, _) in _EXTRAS.items()},
        "frames": {name: _version(name) for name in _FRAMES},
    }


def _engine() -> dict[str, Any] | None:
    """The compiled engine's level; None where the reference executor runs in its place."""
    try:
        from karusel import _engine
    except ImportError:
        return None
    check_level(_engine)
    return {
        "level": _engine.level(),
        "supported": _engine.supported_levels(),
        "bf16": _engine.multiplies_bf16(),
    }


def _text(found: dict[str, Any]) -> Iterator[str]:
    yield f"karusel {found['karusel']}, Python {found['python']}, {found['platform']}"
    engine = found["engine"]
    if engine is None:
        yield "engine: not built, the NumPy reference runs, slowly; install a C++ compiler and Karusel again"
    else:
        yield f"engine: level {engine['level']} of {', '.join(engine['supported'])}"
    yield f"threads: {found['threads']} (KARUSEL_THREADS or --threads sets another number)"
    for name, installed in found["packages"].items():
        yield f"{name}: {installed or 'missing; install Karusel again'}"
    for extra, (package, what) in _EXTRAS.items():
        installed = found["extras"][extra]
        state = installed or f'not installed; for {what} run: pip install "karusel[{extra}]"'
        yield f"{package}: {state}"
    frames = [f"{name} {installed}" for name, installed in found["frames"].items() if installed]
    yield f"frames: {', '.join(frames) or 'none of pandas, polars, pyarrow; files and arrays work without'}"
