"""A forecast of a file in Karusel, without a backtest: FILE HORIZON."""

from __future__ import annotations

import sys
from pathlib import Path

from karusel import Forecaster
from karusel.sources import read_table

panel = read_table(Path(sys.argv[1])).panel(None, None)
print(Forecaster(int(sys.argv[2]), backtest=False).fit(panel).forecast().columns())
