"""`--config FILE`: options from a TOML file. Defaults < the file < what is given on the command line.

A key is the name of an option of any command, with - or _; those of other commands are passed over, so that
one file serves several. `[[tried]]` is the table that `tune` keeps of its trials.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from karusel.errors import DataError, UsageError, unreadable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["TRIED", "as_toml", "read_config", "take_config"]

TRIED = "tried"


def read_config(path: Path) -> dict[str, Any]:
    """The keys and values of a TOML file, names with _.

    Raises `FileMissingError` when there is none, `DataError` when it is no TOML, `KaruselError` when the
    system does not let us read it.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise unreadable(path, error) from None
    return {name.replace("-", "_"): value for name, value in found.items()}


def take_config(context: Any, path: Path | None) -> Path | None:
    """Make the file's values the defaults of a command's other options (a callback of Typer's)."""
    if path is None or context.resilient_parsing:
        return path
    options = {one.name: one for one in context.command.params}
    commands = context.find_root().command.commands.values()
    known = {name for command in commands for name in _names(command)}
    defaults: dict[str, Any] = {}
    for name, value in read_config(path).items():
        if name == TRIED:
            continue
        if name not in known or name == "config":
            raise UsageError(f'{path}: there is no option "{name}"; karusel COMMAND --help lists them')
        if name not in options:
            continue
        defaults[name] = _given(options[name], value, f'{path}: "{name}"')
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _given(option: Any, value: Any, place: str) -> Any:
    """What stands for a file's value on the command line, where all but a flag is text."""
    if getattr(option, "is_flag", False):
        if not isinstance(value, bool):
            raise UsageError(f"{place} must be true or false, got {_value(value)}")
        return value
    listed = value if isinstance(value, list) else [value]
    for one in listed:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            raise UsageError(f"{place} must be a text, a number or a list of them, got {_value(value)}")
    texts = list(map(str, listed))
    return texts if option.nargs == -1 or getattr(option, "multiple", False) else ",".join(texts)


def _names(command: Any) -> Iterator[str]:
    """The options of a command, and of those below it."""
    yield from (one.name for one in command.params)
    for other in getattr(command, "commands", {}).values():
        yield from _names(other)


def as_toml(values: Mapping[str, Any], tables: Iterable[Mapping[str, Any]] = (), comment: str = "") -> str:
    """Text of a TOML file: numbers, texts and lists of them, then the tables `[[tried]]`."""
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"{name} = {_value(value)}" for name, value in values.items()]
    for table in tables:
        lines += ["", f"[[{TRIED}]]", *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        from json import dumps

        return dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)
