"""neuralforecast's LSTM(64) trained on a file for 500 steps, 24 values in and HORIZON out: FILE HORIZON."""

from __future__ import annotations

import logging
import sys
import warnings

import pandas as pd

# Silenced before the import, which warns as well.
warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

from neuralforecast import NeuralForecast  # noqa: E402
from neuralforecast.losses.pytorch import MAE  # noqa: E402
from neuralforecast.models import LSTM  # noqa: E402

frame = pd.read_csv(sys.argv[1])
frame.columns = ["ds", "y"]
frame = frame.assign(unique_id="series", ds=pd.to_datetime(frame["ds"]))
model = LSTM(
    h=int(sys.argv[2]),
    input_size=24,
    encoder_hidden_size=64,
    encoder_n_layers=1,
    loss=MAE(),
    max_steps=500,
    scaler_type="standard",
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
forecaster = NeuralForecast(models=[model], freq="MS")
forecaster.fit(frame)
print(forecaster.predict())
