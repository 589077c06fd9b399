"""The files that a command reads and writes: what may be written where is found out before the work."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from karusel.cli.labels import Source
from karusel.cli.options import Printing, Reading
from karusel.errors import FileMissingError, KaruselError, UsageError
from karusel.plots import need_matplotlib
from karusel.sources.origin import STDIN, find_files, find_files_of_query
from karusel.whole import write_whole

__all__ = ["check_apart", "check_output", "check_png", "files_read", "table_files", "write_whole"]


def check_output(path: Path, sources: Iterable[Path] = ()) -> None:
    """Raise now what would only come up after minutes of work."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise FileMissingError(f"the folder {path.parent} does not exist; make it first")
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise UsageError(f"{path} is the file that is read; give another name for the output")
    # A file is replaced by one that is filled beside it; what is none, such as /dev/stdout, is written to.
    places = [path] if path.exists() else []
    if path.is_file() or not path.exists():
        places.append(Path(os.path.realpath(path)).parent)
    if not all(os.access(place, os.W_OK) for place in places):
        raise KaruselError(f"{path} cannot be written: permission denied")


def check_apart(outputs: Mapping[str, str | Path | None]) -> None:
    """Raise `UsageError` where two outputs, by their options, are one file."""
    named: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        whole = Path(path).resolve()
        if whole in named:
            raise UsageError(f"{named[whole]} and {option} both name {path}; give each its own file")
        named[whole] = option


def check_png(plot: Path, sources: Iterable[Path]) -> None:
    """Raise now what would only come up when a plot is drawn that is written as PNG alone."""
    check_output(plot, sources)
    if plot.suffix.lower() != ".png":
        raise UsageError(f"--plot {plot} is not a .png file; plots are written as PNG")
    need_matplotlib()


def files_read(printing: Printing, files: Iterable[str | Path]) -> tuple[Path, ...]:
    """The files that a command reads, which none of its outputs may be: those named, and `--config`."""
    config = () if printing.config is None else (printing.config,)
    return (*(Path(one) for one in files if str(one) != STDIN), *config)


def table_files(reading: Reading | Source, others: Iterable[str] = ()) -> tuple[Path, ...]:
    """The files that tables and a query come from."""
    return (*find_files([*(reading.source or ()), *others]), *find_files_of_query(reading.sql))
