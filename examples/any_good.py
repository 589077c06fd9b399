"""Is my forecast any good?

Three questions answer that. Would something simpler have done as well? Do the intervals hold what they
promise? And does the forecast know anything that the last value does not? A fit answers them by itself, by
forecasting parts of the past from what was known before them.
"""

import numpy as np

from karusel import Forecaster

random = np.random.default_rng(5)
t = np.arange(180)
series = {
    "a season and a trend": 100 + 0.5 * t + 20 * np.sin(2 * np.pi * t / 12) + random.normal(0, 4, 180),
    "a random walk": 100 + np.cumsum(random.normal(0, 3, 180)),
}
for name, values in series.items():
    model = Forecaster(h=6, season_length=12).fit(values)
    print(f"\n{name}")

    # 1. Beside the simplest methods, from the same cutoffs. MASE 1 is as bad as repeating the last season.
    for method, row in model.backtest_.table().items():
        print(f"  {method:<16} MASE {row['MASE']:.2f}")

    # 2. What was promised, and what was reached on values that did not set the intervals.
    for level, share in model.coverage_.items():
        print(f"  {level:g} % intervals hold {100 * share:.0f} % of {model.coverage_values_} values")

    # 3. In a sentence, also when a simple method is as good, or the forecast only copies the last value.
    print(f"  {model.verdict_.sentence}")

# Where a simple method wins, take it: the winner is chosen, with intervals of its own.
walk = Forecaster(h=6, season_length=12, best=True).fit(series["a random walk"])
print(f"\n{walk.best_.sentence}")
print({name: np.round(column, 1).tolist() for name, column in walk.predict(level=[80]).items()})
