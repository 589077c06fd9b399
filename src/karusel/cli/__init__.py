"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        import signal

        from karusel.cli.run import run, terminate

        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, terminate)
        code = run()
    except KeyboardInterrupt:  # before `run` can look for it
        import sys

        print("karusel: interrupted", file=sys.stderr)
        code = 130
    raise SystemExit(code)
