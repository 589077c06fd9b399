"""Tables and lists of terms, as all sections show them."""

from __future__ import annotations

from collections.abc import Sequence

from karusel.names import one_line
from karusel.report.html import Html, join, tag

__all__ = ["facts", "grid"]


def grid(head: Sequence[str], rows: Sequence[Html], class_: str = "plain") -> Html:
    """A table that scrolls by itself where it is wider than the page."""
    heads = tag("tr", *(tag("th", one_line(one), scope="col") for one in head))
    return tag("div", tag("table", tag("thead", heads), tag("tbody", *rows), class_=class_), class_="scroll")


def facts(pairs: Sequence[tuple[str, str]]) -> Html:
    """Terms, and what is said of each."""
    return tag("dl", *(join(tag("dt", term), tag("dd", said)) for term, said in pairs), class_="facts")
