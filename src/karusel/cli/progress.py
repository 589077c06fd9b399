"""Progress on stderr, and only where someone sees it."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time

from karusel.names import printable

__all__ = ["Progress"]

_REFRESH = 0.5  # seconds
_SLOW = 2.0  # seconds before a stage shows how long it takes


class Progress:
    """One changing line on a terminal's stderr; nothing elsewhere.

    A stage that says "2/3" is one of several alike, from whose time the time left is told.
    """

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._stage = ""
        self._begun = self._first_begun = time.monotonic()
        self._over = threading.Event()
        self._writing = threading.Lock()

    def __enter__(self) -> Progress:
        if self._shown:
            threading.Thread(target=self._refresh, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._write("")

    def __call__(self, stage: str) -> None:
        """Say what is being done now."""
        self._stage, self._begun = stage, time.monotonic()
        part = self._part()
        if part is None or part[0] == 1:
            self._first_begun = self._begun
        self._write(f"{stage} ...")

    def _part(self) -> tuple[int, int] | None:
        found = re.search(r"(\d+)/(\d+)", self._stage)
        return None if found is None else (int(found[1]), int(found[2]))

    def _refresh(self) -> None:
        while not self._over.wait(_REFRESH):
            now = time.monotonic()
            if now - self._begun < _SLOW:
                continue
            words = f"{self._stage} ... {now - self._begun:.0f} s"
            part = self._part()
            if part is not None and part[0] > 1:
                each = (self._begun - self._first_begun) / (part[0] - 1)
                left = each * (part[1] - part[0] + 1) - (now - self._begun)
                words += f", about {max(left, 1):.0f} s left"
            self._write(words)

    def _write(self, text: str) -> None:
        if not self._shown:
            return
        with self._writing:
            if text and self._over.is_set():
                return  # the line is already cleared
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{printable(' '.join(text.split()))[:width]}")
            sys.stderr.flush()
