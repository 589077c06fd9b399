"""Names and text that come from data, as no page, picture or terminal refuses them or obeys them."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["allowed", "one_line", "printable", "shortened", "shortlist"]

_LONGEST = 80  # characters shown
# What neither an HTML nor an SVG file may hold, and no terminal should get: control characters, halves of
# surrogate pairs, and what turns the letters after it round.
_FORBIDDEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)
_OF_TERMINALS = re.compile(f"\t|{_FORBIDDEN.pattern}")


def one_line(value: object, longest: int = _LONGEST) -> str:
    """A name as text in one line, as `allowed` has it, cut where it is too long."""
    line = allowed(" ".join(str(value).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def allowed(text: str) -> str:
    """The text for a page or a picture, with a sign of its own for what may not stand there."""
    return _FORBIDDEN.sub("\ufffd", text)


def printable(text: str) -> str:
    """The text for a terminal, to which none of it is a command: \\x1b stands as Python writes it."""
    return _OF_TERMINALS.sub(lambda found: repr(found[0])[1:-1], text)


def shortlist(names: Sequence[str], most: int = 10) -> str:
    """The first of some names, as a message lists them, and dots where there are more."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def shortened(text: str, longest: int) -> str:
    """A text, with three dots for its end where it is too long."""
    return text if len(text) <= longest else text[: longest - 3] + "..."
