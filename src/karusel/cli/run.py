"""From arguments to an exit code: whatever goes wrong is one line on stderr, never a traceback, and so is a
warning.

Exit codes: 0 ok, 1 failure, 2 usage, 3 an optional dependency is missing, 4 not found, 5 bad data,
130 interrupted, 143 terminated, 141 the reader of a pipe went away. A file to read that is not there is 4,
a folder or a file of another kind 5, one that the system does not let us read 1.

KARUSEL_TRACEBACK=1 shows where an error came from.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from karusel.errors import KaruselError
from karusel.names import printable

__all__ = ["run", "terminate"]

_INTERRUPTED = 130
_TERMINATED = 143
_PIPE_CLOSED = 141
_COMPLETION = "_KARUSEL_COMPLETE"
_signals: list[int] = []  # that asked this process to end


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command, `sys.argv`'s by default."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, closefd=False))
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that the terminal cannot show is no failure; what comes in is looked at where it is read.
            stream.reconfigure(errors="replace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            code = _command(given or ["--help"])
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return _PIPE_CLOSED
    except SystemExit as leave:
        if not leave.code:  # shell completion
            return 0
        _forget_stdout()  # Rich, which prints the help, exits when its pipe is closed
        return _PIPE_CLOSED
    except BaseException as error:
        if os.environ.get("KARUSEL_TRACEBACK") == "1":
            import traceback

            traceback.print_exc()
        code, message = _explain(error)
        print(f"karusel: {message}", file=sys.stderr)
        if isinstance(error, OSError) and not isinstance(error, KaruselError):
            _forget_stdout()  # what could not be written is still in its buffer
    return code


def terminate(number: int, frame: Any) -> None:
    """End as Ctrl-C does, which leaves no copy and no half-written file behind (a handler of SIGTERM)."""
    _signals.append(number)
    raise KeyboardInterrupt


def _command(arguments: list[str]) -> int:
    import typer
    from typer.main import get_command

    from karusel.cli.app import app

    group: Any = get_command(app)
    if _COMPLETION in os.environ:  # a shell asks what may come next
        group.main(prog_name="karusel", args=arguments)
    # Calling `app` itself would turn Ctrl-C and a closed pipe into exit codes of its own.
    try:
        with group.make_context("karusel", arguments) as context:
            group.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    return 0


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit code and one line."""
    import typer

    if isinstance(error, KaruselError):
        return error.exit_code, _one_line(str(error))
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return (_TERMINATED, "terminated") if _signals else (_INTERRUPTED, "interrupted")
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # Typer's own usage errors
        context = getattr(error, "ctx", None)
        command = "karusel" if context is None else context.command_path
        words = _one_line(error.format_message()).rstrip(".")
        if words in ("", "Missing command") and hasattr(
            error, "ctx"
        ):  # of a group, whose help may be printed
            commands = ", ".join(error.ctx.command.commands)
            words = f"a command is missing: {commands}"
        if _from_file(context, getattr(error, "param", None)):
            words += ", set in the file of --config"
        return int(error.exit_code), f"{words}; see {command} --help"
    if isinstance(error, MemoryError):
        return 1, "out of memory; give fewer rows or smaller settings"
    if isinstance(error, OSError) and error.filename is None:
        return 1, f"the output cannot be written: {error.strerror or error}"
    if isinstance(error, OSError):  # such as a temporary folder that is full
        return 1, f"{error.filename}: {error.strerror}"
    name = type(error).__name__
    return (
        1,
        f"internal error, {name}: {_one_line(str(error))}; KARUSEL_TRACEBACK=1 shows where, please report it",
    )


def _from_file(context: Any, option: Any) -> bool:
    """Whether the value of an option was read from a file."""
    source = None if context is None or option is None else context.get_parameter_source(option.name)
    return source is not None and source.name == "DEFAULT_MAP"


def _warn(message: Warning | str, *place: Any, **more: Any) -> None:
    """A warning as one line; where in the source it arose helps nobody here."""
    print(f"karusel: {_one_line(str(message))}", file=sys.stderr)


def _one_line(text: str) -> str:
    """A message, which may hold what stood in a file."""
    return printable(" ".join(text.split()))


def _forget_stdout() -> None:
    """Point stdout nowhere, so that flushing it at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
