"""Sources: tables of series from files, standard input, SQL and databases, and how each of them is written.

`read_table` finds out the rest: which columns hold times, values and the series' ids. DuckDB does the
reading, so a table may be larger than memory until the columns in use are taken out of it.
"""

from __future__ import annotations

from karusel.sources.reading import read_table
from karusel.sources.table import Table

__all__ = ["Table", "read_table"]
