"""A forecast of the shipped series as a whole process: `./dev bench forecast`.

`karusel forecast` with its backtest, and the same forecast from Python without one, beside `import numpy` and
other libraries' forecasts of the same file, each from start to exit. Rivals that are not in .venv-rivals are
left out.
"""

from __future__ import annotations

import argparse
from typing import Any

import measuring
import processes
import results
from measuring import HERE, RIVALS_PYTHON, ROOT
from results import OWN

NUMPY, BARE, NEURALFORECAST = "import numpy", "Karusel without backtest", "neuralforecast LSTM"
SERIES, HORIZON = str(ROOT / "examples" / "data" / "air_passengers.csv"), "12"
ETS = "statsforecast AutoETS"
# Rivals: package and script; the script is given the file and the horizon
RIVALS = {
    ETS: ("statsforecast", "statsforecast_forecast.py"),
    NEURALFORECAST: ("neuralforecast", "neuralforecast_lstm.py"),
}
GOALS = {NEURALFORECAST: 20.0}
SLOW_ROUNDS = 3  # of neuralforecast
FORECAST = (
    "AirPassengers, 144 months, twelve ahead, with intervals. Karusel also backtests against simple methods; "
    "without that it gives no intervals. AutoETS does not backtest."
)
TRAINING = (
    "The same training job: LSTM(64) on AirPassengers, 24 months in and 12 out, 500 optimizer steps of 128 "
    "windows drawn with repetition from 109, the absolute error; then a forecast. Karusel computes a window "
    "that is drawn several times once, with that weight, which is the same gradient."
)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    scripts, task = HERE / "rivals", [SERIES, HORIZON]
    versions = measuring.installed(*(package for package, _ in RIVALS.values()))

    def rival(name: str) -> dict[str, processes.Command]:
        package, script = RIVALS[name]
        return {name: ([str(RIVALS_PYTHON), str(scripts / script), *task], {})} if package in versions else {}

    def rounds(name: str) -> int:
        return min(options.rounds, SLOW_ROUNDS) if name == NEURALFORECAST else int(options.rounds)

    with processes.installed_wheel() as programs:
        own = str(programs / "python")
        jobs: dict[str, dict[str, processes.Command]] = {
            FORECAST: {
                NUMPY: ([own, "-c", "import numpy"], {}),
                OWN: ([str(programs / "karusel"), "forecast", SERIES, "-H", HORIZON], {}),
                BARE: ([own, str(scripts / "karusel_forecast.py"), *task], {}),
                **rival(ETS),
            },
            TRAINING: {
                OWN: ([own, str(scripts / "karusel_lstm.py"), *task], {}),
                **rival(NEURALFORECAST),
            },
        }
        seconds = {about: processes.measure(commands, rounds) for about, commands in jobs.items()}
    tables = []
    for about, times in seconds.items():
        entry = {
            "case": "AirPassengers",
            "threads": None,
            "work": None,
            "goals": {name: goal for name, goal in GOALS.items() if name in times},
            "times": {name: results.summary(found) for name, found in times.items()},
        }
        tables.append({"name": "", "about": about, "head": "", "unit": "s", "rate": "", "entries": [entry]})
    return {"versions": versions, "rivals": [name for name in RIVALS if rival(name)], "tables": tables}


if __name__ == "__main__":
    measuring.main("forecast", __doc__, measure)
