"""A forecast of a file with intervals by statsforecast's AutoETS: FILE HORIZON."""

from __future__ import annotations

import sys

import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import AutoETS

frame = pd.read_csv(sys.argv[1])
frame.columns = ["ds", "y"]
frame = frame.assign(unique_id="series", ds=pd.to_datetime(frame["ds"]))
models = StatsForecast(models=[AutoETS(season_length=12)], freq="MS")
print(models.forecast(df=frame, h=int(sys.argv[2]), level=[80, 95]))
