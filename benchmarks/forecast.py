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

NUMPY, BARE = "import numpy", "Karusel without backtest"
SERIES, HORIZON = str(ROOT / "examples" / "data" / "air_passengers.csv"), "12"
# Rivals: package and script; the script is given the file and the horizon
RIVALS = {"statsforecast AutoETS": ("statsforecast", "statsforecast_forecast.py")}
ABOUT = (
    "AirPassengers, 144 months, twelve ahead, with intervals. Karusel also backtests against simple methods; "
    "without that it gives no intervals. AutoETS does not backtest."
)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    scripts, task = HERE / "rivals", [SERIES, HORIZON]
    versions = measuring.installed(*(package for package, _ in RIVALS.values()))
    with processes.installed_wheel() as programs:
        own = str(programs / "python")
        commands: dict[str, processes.Command] = {
            NUMPY: ([own, "-c", "import numpy"], {}),
            OWN: ([str(programs / "karusel"), "forecast", SERIES, "-H", HORIZON], {}),
            BARE: ([own, str(scripts / "karusel_forecast.py"), *task], {}),
        }
        for name, (package, script) in RIVALS.items():
            if package in versions:
                commands[name] = ([str(RIVALS_PYTHON), str(scripts / script), *task], {})
        seconds = processes.measure(commands, lambda _: options.rounds)
    entry = {
        "case": "AirPassengers",
        "threads": None,
        "work": None,
        "goals": {},
        "times": {name: results.summary(found) for name, found in seconds.items()},
    }
    table = {"name": "", "about": ABOUT, "head": "", "unit": "s", "rate": "", "entries": [entry]}
    return {"versions": versions, "rivals": [name for name in RIVALS if name in commands], "tables": [table]}


if __name__ == "__main__":
    measuring.main("forecast", __doc__, measure)
