"""Captions: a table with a row for each caption and the name of its image, from the sources of all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karusel.errors import DataError
from karusel.sources.cells import Cells
from karusel.sources.origin import open_origin
from karusel.sources.reading import open_duckdb, refuse_unknown

__all__ = ["read_captions"]


def read_captions(
    source: Sequence[str], image_col: str, caption_col: str
) -> dict[str, tuple[str, list[str]]]:
    """By the name of each image where it stands first and its captions, in the order of the rows.

    Raises `FileMissingError`, `UsageError` for a name of no column, and `DataError` for an empty cell.
    """
    with open_duckdb(", ".join(source), None) as (connection, folder):
        cells = Cells(connection, open_origin(connection, list(source), None, folder))
        origin = cells.origin
        roles = [(image_col, "image"), (caption_col, "caption")]
        refuse_unknown(roles, origin.name, origin.columns)
        columns = cells.look([origin.columns.index(name) for name, _ in roles])
        images, captions = (cells.texts(column) for column in columns)
        for column, texts in zip(columns, (images, captions), strict=True):
            empty = np.array([not text.strip() for text in texts])
            if empty.any():
                row = int(np.argmax(empty))
                raise DataError(f"{cells.place(column, row)} is empty; fill it in or remove the row")
        found: dict[str, tuple[str, list[str]]] = {}
        for row, (image, caption) in enumerate(zip(images, captions, strict=True)):
            if image not in found:
                found[image] = (f"{origin.name}, {origin.place(row)}", [])
            found[image][1].append(caption)
        return found
