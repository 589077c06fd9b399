"""HTML that is safe by construction: `tag` escapes every text it is given, and nothing that `tag` made."""

from __future__ import annotations

import html
import re

__all__ = ["Html", "join", "name", "one_line", "tag"]

_LONGEST_NAME = 80  # characters shown of a name that comes from data
# What neither an HTML nor an SVG file may hold, control characters and halves of surrogate pairs, and what
# turns the letters after it round.
_FORBIDDEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]"
)


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(element: str, *children: str, **attributes: str | float) -> Html:
    """One element, its texts escaped. `class_` stands for `class`, `aria_label` for `aria-label`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"' for key, value in attributes.items()
    )
    return Html(f"<{element}{given}>{join(*children)}</{element}>")


def join(*children: str) -> Html:
    """Elements and texts one after the other, texts escaped."""
    return Html("".join(child if isinstance(child, Html) else _escaped(child) for child in children))


def name(value: object) -> Html:
    """A name from data in one line, cut where it is too long, that cannot turn the words around it.

    Right-to-left letters and signs that change the direction of writing end with `bdi`.
    """
    return tag("bdi", one_line(value))


def one_line(value: object, longest: int = _LONGEST_NAME) -> str:
    """A name from data as text in one line that no picture refuses, cut where it is too long."""
    line = _allowed(" ".join(str(value).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _allowed(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _escaped(text: str) -> str:
    return html.escape(_allowed(text))
