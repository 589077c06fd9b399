"""I have 10,000 shops. Do I fit 10,000 models?

No: one model for all of them. It learns from every shop what shops have in common, so a shop with a few weeks
of its own is forecast too, and one that the model has never seen as well.

    python examples/many_shops.py 10000      # the number of shops; 30 by default
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd

from karusel import Forecaster

count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
random = np.random.default_rng(7)
days = pd.date_range("2024-01-01", periods=200)
week = 1 + 0.3 * np.sin(2 * np.pi * np.arange(200) / 7 + random.uniform(0, 6, (count, 1)))
levels = random.lognormal(3, 1, (count, 1)) * np.cumprod(random.normal(1, 0.01, (count, 200)), axis=1)
table = pd.DataFrame(
    {
        "unique_id": np.repeat([f"shop {k}" for k in range(count)], 200),
        "ds": np.tile(days, count),
        "y": random.poisson(levels * week).ravel(),
    }
)
young = table["unique_id"].eq("shop 3") & (table["ds"] < days[-20])
table = table[~young]  # shop 3 opened twenty days ago

started = time.perf_counter()
model = Forecaster(h=14, n_members=1).fit(table)  # one network, not five: enough to show how it goes
forecast = model.predict(level=[80])
print(f"{count:,} shops fitted, backtested and forecast in {time.perf_counter() - started:.0f} s")
print(model.verdict_.sentence)

# How good it is for each shop: its error over that of repeating the last week.
by_shop = pd.Series(model.backtest_.by_series()["LSTM"]["MASE"], index=model.panel_.ids).dropna()
print(f"MASE: half of the shops below {by_shop.median():.2f}, nine in ten below {by_shop.quantile(0.9):.2f}")
print(forecast[forecast["unique_id"] == "shop 3"].head(3).to_string(index=False))

# A shop that opens after the fit needs no new one; a warning says that it is new.
opened = pd.DataFrame({"unique_id": "shop new", "ds": days[-30:], "y": random.poisson(40, 30)})
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    print(model.predict(opened).head(3).to_string(index=False))
