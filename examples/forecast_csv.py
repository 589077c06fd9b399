"""How do I forecast a series that I have in a CSV file, and how far can I trust it?"""

from pathlib import Path

from karusel import Forecaster
from karusel.sources import read_table

table = read_table(Path(__file__).parent / "data" / "air_passengers.csv")
model = Forecaster(h=12).fit(table.panel())
forecast = model.forecast(level=[80, 95])

print(forecast.values[0].round())
for method, row in model.backtest_.table().items():
    print(f"{method:<16} MASE {row['MASE']:.2f}")
print(model.verdict_.sentence)
