"""Names that come from data, as text that no page, picture or terminal refuses."""

from __future__ import annotations

import re

__all__ = ["allowed", "one_line", "written_out"]

_LONGEST = 80  # characters shown
# What neither an HTML nor an SVG file may hold, control characters and halves of surrogate pairs, and what
# turns the letters after it round.
_FORBIDDEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)
# Control characters but for the end of a line, and what turns the letters after it round.
_COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def one_line(value: object, longest: int = _LONGEST) -> str:
    """A name as text in one line, cut where it is too long."""
    line = allowed(" ".join(str(value).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def allowed(text: str) -> str:
    """The text with a sign of its own for each character that may not stand in it."""
    return _FORBIDDEN.sub("\ufffd", text)


def written_out(text: str) -> str:
    """The text as a terminal may have it: what would be a command to it is written out, such as \\x1b."""
    return _COMMANDS.sub(lambda one: repr(one[0])[1:-1], text)
