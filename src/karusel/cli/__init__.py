"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    from karusel.cli.run import run

    raise SystemExit(run())
