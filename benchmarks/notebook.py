"""The notebook's job as a whole process, beside the rivals that do the same: `./dev bench notebook`.

Data, 100 epochs of 40 steps at batch 1, ten predictions, the table; each time is that of a whole process,
from start to exit, interpreter and imports included, with every library's default threads (PyTorch: one).
Rounds alternate, so that a slow minute of the machine falls on all alike; one run of each is thrown away
first. Karusel is measured as its users have it, from a wheel of this working tree in an environment of its
own.
"""

from __future__ import annotations

import argparse
from typing import Any

import measuring
import processes
import results
from measuring import HERE, RIVALS_PYTHON
from results import OWN

NUMPY, DEMO = "import numpy", "karusel demo"
# Rivals: library, script, environment variables, and packages
RIVALS = {
    "PyTorch": ("PyTorch", "torch_notebook.py", {}, ("torch",)),
    "Keras on JAX": ("Keras", "keras_notebook.py", {"KERAS_BACKEND": "jax"}, ("keras", "jax")),
    "Keras on TensorFlow": ("Keras", "keras_notebook.py", {}, ("keras", "tensorflow-cpu")),
}
GOALS = {"Keras on TensorFlow": 60.0, "Keras on JAX": 14.0, "PyTorch": 13.0, NUMPY: 1 / 2.5}
KERAS_ROUNDS = 3  # at most: a round takes 5 to 25 s
ABOUT = (
    "40 windows of 4 values, LSTM(50) and Dense(1), Adam, 100 epochs at batch 1 (4,000 steps), ten"
    ' predictions. "Karusel" is the Keras script with its import lines changed; "karusel demo" does more:'
    " it trains a second network on differences."
)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    versions: dict[str, str] = {}
    scripts = HERE / "rivals"
    with processes.installed_wheel() as programs:
        own = str(programs / "python")
        commands: dict[str, processes.Command] = {
            NUMPY: ([own, "-c", "import numpy"], {}),
            OWN: ([own, str(scripts / "karusel_notebook.py")], {}),
            DEMO: ([str(programs / "karusel"), "demo", "--json"], {}),
        }
        for name, (library, script, variables, packages) in RIVALS.items():
            found = measuring.installed(*packages, "numpy")
            if set(packages) <= set(found) and library in (options.rivals or measuring.RIVALS):
                commands[name] = ([str(RIVALS_PYTHON), str(scripts / script)], variables)
                versions |= found
        seconds = processes.measure(
            commands,
            lambda name: min(options.rounds, KERAS_ROUNDS) if name.startswith("Keras") else options.rounds,
        )
    entry = {
        "case": "job",
        "threads": None,
        "work": None,
        "goals": GOALS,
        "times": {name: results.summary(found) for name, found in seconds.items()},
    }
    table = {"name": "", "about": ABOUT, "head": "", "unit": "s", "rate": "", "entries": [entry]}
    return {"versions": versions, "rivals": [name for name in RIVALS if name in commands], "tables": [table]}


if __name__ == "__main__":
    measuring.main("notebook", __doc__, measure)
