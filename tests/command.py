"""How tests run the command line."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from karusel.cli.run import run

__all__ = ["AIR_PASSENGERS", "KARUSEL", "Done", "csv_of", "karusel_run", "monthly", "refused", "write"]

AIR_PASSENGERS = Path(__file__).parents[1] / "examples" / "data" / "air_passengers.csv"
KARUSEL = [sys.executable, "-W", "error", "-m", "karusel"]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def karusel_run(*arguments: object, encoding: str = "utf-8") -> Done:
    """Run a command in this process, with the streams of a pipe."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    return Done(code, *texts)


def refused(code: int, *arguments: object) -> str:
    """The one line that says why the command did not run."""
    done = karusel_run(*arguments)
    assert (done.code, done.out) == (code, ""), done
    assert re.fullmatch(r"karusel: [^\n]+\n", done.err), done.err
    assert "internal error" not in done.err
    return done.err


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def monthly(count: int) -> list[str]:
    """Rows of a short series: a trend with a small wave."""
    return [f"{2000 + k // 12}-{k % 12 + 1:02d}-01,{10 + k / 4 + np.sin(k):.3f}" for k in range(count)]


def csv_of(rows: list[str], header: str = "ds,y") -> str:
    return "\n".join([header, *rows]) + "\n"
