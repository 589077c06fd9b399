"""Progress on stderr, and only where someone sees it."""

from __future__ import annotations

import sys

__all__ = ["Progress"]


class Progress:
    """One changing line on a terminal's stderr; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def __call__(self, stage: str) -> None:
        """Say what is being done now."""
        self._write(f"{stage} ...")

    def _write(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
