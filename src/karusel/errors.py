"""Every error that Karusel raises on purpose, and the exit code that the command line gives it.

A message says what is wrong, where (series, row, column), the rule, what was got, and what to do
instead, in one line. The classes also derive from the built-in exception that a caller would expect,
so `except ValueError` and `except FileNotFoundError` keep working.
"""

from __future__ import annotations

__all__ = [
    "NOT_DESCRIBED",
    "DataError",
    "DivergenceError",
    "FileMissingError",
    "KaruselError",
    "MissingDependencyError",
    "ModelFileError",
    "TooLargeError",
    "UsageError",
    "unreadable",
]


class KaruselError(Exception):
    """Base of all errors that Karusel raises on purpose."""

    exit_code = 1


class UsageError(KaruselError, ValueError):
    """A call or a command with an argument outside its rule."""

    exit_code = 2


class MissingDependencyError(KaruselError, ImportError):
    """A feature that needs an optional package which is not installed."""

    exit_code = 3


class FileMissingError(KaruselError, FileNotFoundError):
    """A file, folder or table that is not there."""

    exit_code = 4


class DataError(KaruselError, ValueError):
    """Data that breaks a rule: shape, type, range, order, missing or infinite values."""

    exit_code = 5


class ModelFileError(DataError):
    """A model file that is damaged, truncated, of another version, or no model file at all."""


class TooLargeError(KaruselError, MemoryError):
    """A size that would not fit memory, or does not fit the integers that hold it."""


class DivergenceError(KaruselError, ArithmeticError):
    """Training met a loss that is not finite; the last good weights are back in place."""


def unreadable(name: object, error: OSError) -> KaruselError:
    """The error for a file called `name` that the system did not let us read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return FileMissingError(f"{name} does not exist; check the name and the folder")
    if isinstance(error, IsADirectoryError):
        return DataError(f"{name} is a folder; give a file")
    return KaruselError(f"{name} cannot be read: {error.strerror or error}")


NOT_DESCRIBED = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What Python raises where a file's header has other fields, types or numbers than are read."""
