"""Names that come from data, as text that no page, picture or terminal refuses."""

from __future__ import annotations

import re

__all__ = ["allowed", "one_line"]

_LONGEST = 80  # characters shown
# What neither an HTML nor an SVG file may hold, control characters and halves of surrogate pairs, and what
# turns the letters after it round.
_FORBIDDEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)


def one_line(value: object, longest: int = _LONGEST) -> str:
    """A name as text in one line, cut where it is too long."""
    line = allowed(" ".join(str(value).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def allowed(text: str) -> str:
    """The text with a sign of its own for each character that may not stand in it."""
    return _FORBIDDEN.sub("\ufffd", text)
