"""HTML that is safe by construction: `tag` escapes every text it is given, and nothing that `tag` made."""

from __future__ import annotations

import html

from karusel.names import allowed, one_line

__all__ = ["Html", "join", "name", "tag"]


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


def _escaped(text: str) -> str:
    return html.escape(allowed(text))
