"""I know next week's prices and promotions. How do I tell the forecast?

Name the columns in `futr_exog_list` when you fit, and give their values for the next steps when you predict.
A column known in the past alone (the weather, say) goes into `hist_exog_list`; one that never changes within
a series (the region) into `stat_exog_list`.
"""

import numpy as np
import pandas as pd

from karusel import Forecaster

days = pd.date_range("2024-01-01", periods=200)
random = np.random.default_rng(2)
parts = []
for number, shop in enumerate(["north", "south", "east"]):
    price = random.choice([2.0, 2.5, 3.0], size=200)
    sold = 30 * (number + 1) * (1 + 0.2 * np.sin(2 * np.pi * np.arange(200) / 7)) * (2.5 / price) ** 1.5
    sold = np.round(sold * random.lognormal(0, 0.05, 200))
    parts.append(pd.DataFrame({"unique_id": shop, "ds": days, "y": sold, "price": price}))
table = pd.concat(parts, ignore_index=True)
last = days[-8]
known, ahead = table[table["ds"] <= last], table[table["ds"] > last]

# The rows to fill in, ids and days, are made for you; a price that stays empty is named when you predict.
model = Forecaster(h=7, n_members=1).fit(known, futr_exog_list=["price"])
rows = model.future_frame().merge(ahead[["unique_id", "ds", "price"]])
forecast = model.predict(X_df=rows, level=[80])
print(forecast.head(7).to_string(index=False))

blind = Forecaster(h=7, n_members=1, backtest=False).fit(known.drop(columns="price")).predict()
truth = ahead["y"].to_numpy()
print(f"mean absolute error with the prices {np.abs(forecast['LSTM'] - truth).mean():.1f}")
print(f"without them {np.abs(blind['LSTM'] - truth).mean():.1f}")

# What if? The same days, all at the highest price.
dear = model.predict(X_df=rows.assign(price=3.0))
print(f"{forecast['LSTM'].sum():.0f} sold as planned, {dear['LSTM'].sum():.0f} at a price of 3.00")
