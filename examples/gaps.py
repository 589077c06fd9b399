"""My series have gaps: days without a row, cells without a value. What becomes of them?

Nothing is filled in. An absent day is put in as a missing value, and both kinds of missing values are told
to the networks as missing; one that should have been forecast is left out. So there is nothing to repair
before a fit, but there is something to read afterwards: what was found.
"""

import numpy as np
import pandas as pd

from karusel import Forecaster

days = pd.date_range("2024-01-01", periods=140)
random = np.random.default_rng(4)
sold = 50 + 12 * np.sin(2 * np.pi * np.arange(140) / 7) + random.normal(0, 2, 140)
table = pd.DataFrame({"ds": days, "y": sold})

table.loc[[30, 31], "y"] = np.nan  # two empty cells
holed = table.drop(index=range(80, 89))  # nine days without a row: closed for holidays
holed = holed.sample(frac=1, random_state=1)  # and the rows are in no order

model = Forecaster(h=7).fit(holed)
for note in model.notes_:
    print(note)
for gap in model.panel_.gaps():
    print(f"{gap.count} days are missing from {gap.first}")

forecast = model.predict(level=[80])
print(forecast.to_string(index=False, float_format="%.1f"))
print(model.verdict_.sentence)

# A zero is a value, a gap is none. Where an absent row means that nothing was sold, say so before the fit:
closed = holed.set_index("ds").asfreq("D")["y"].fillna(0)
print(f"zeros instead of gaps: the mean is {closed.mean():.1f}, not {holed['y'].mean():.1f}")
