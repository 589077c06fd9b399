"""Control by learned networks: `control.py --data DIR`, `--cartpole`.

The cascaded tanks (Schoukens & Noel, 2017): one record of 1,024 steps to learn from, another to simulate,
from its first steps on, beside a linear model (ARX by least squares). Then two tanks simulated here, learned
from 2,000 steps of random inputs and held at changing set points. `--cartpole`: the pole of Gymnasium's
CartPole-v1 is balanced without seeing any velocity.
"""

from __future__ import annotations

import argparse
import csv
import pathlib
from typing import Any

import numpy as np
from measuring import Clock, on_data

from karusel.tasks import Controller, Policy

LOW, HIGH = 0.0, 5.0  # of the pump, volts
SETTLING = 40  # steps after a new set point that do not count
HELD = 80  # steps at each set point


def record(data: pathlib.Path) -> dict[str, Any]:
    """Inputs and outputs of both records."""
    with open(data / "control" / "dataBenchmark.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if len(row) >= 4]
    columns = np.array([[float(cell) for cell in row[:4]] for row in rows[1:]]).T
    return dict(zip(rows[0], columns, strict=False))


def cascaded(arguments: argparse.Namespace) -> None:
    found = record(arguments.data)
    clock = Clock()
    model = Controller(low=LOW, high=HIGH, random_state=arguments.seed, n_jobs=arguments.threads)
    model.fit(found["uEst"], found["yEst"])
    print(f"cascaded tanks: learned in {clock.read()[1]:.1f} s of processor time")
    u, y = found["uVal"], found["yVal"]
    print(f"simulation of {len(u):,} steps after the first {model.known}, root mean square error, volts:")
    print(f"linear (ARX of order {model.arx_.order})  {model.score_linear(u, y):.3f}")
    print(f"Karusel                  {model.score(u, y):.3f}")


class Tanks:
    """A pump fills a tank that runs into another, whose level is measured (Torricelli)."""

    def __init__(self, seed: int) -> None:
        self.levels = np.array([2.0, 2.0])
        self._random = np.random.default_rng(seed)

    def step(self, u: float) -> float:
        """The level measured after 4 seconds."""
        for _ in range(40):
            upper, lower = np.sqrt(self.levels)
            flow = np.array([0.12 * u - 0.15 * upper, 0.15 * upper - 0.14 * lower])
            self.levels = np.clip(self.levels + 0.1 * flow, 0.0, 10.0)
        return float(self.levels[1] + self._random.normal(0, 0.01))


def held(arguments: argparse.Namespace) -> None:
    random = np.random.default_rng(arguments.seed)
    tanks = Tanks(seed=1)
    u = np.repeat(random.uniform(LOW, HIGH, 200), 10)
    y = [tanks.levels[1]]
    for one in u[:-1]:
        y.append(tanks.step(one))
    clock = Clock()
    model = Controller(low=LOW, high=HIGH, random_state=arguments.seed, n_jobs=arguments.threads).fit(u, y)
    print(f"simulated tanks: learned in {clock.read()[1]:.1f} s of processor time")
    tanks, hand, off, inputs, took = Tanks(seed=2), model.stream(), [], [], []
    level = float(tanks.levels[1])
    for target in (3.0, 6.0, 4.5, 7.5, 2.5, 5.0):
        errors = []
        for _ in range(HELD):
            clock = Clock()
            inputs.append(hand.step(level, target))
            took.append(1000 * clock.read()[0])
            level = tanks.step(inputs[-1])
            errors.append(abs(level - target) / target)
        off.append(max(errors[SETTLING:]))
        print(f"set point {target}: largest error after {SETTLING} steps {100 * off[-1]:.2f} %")
    print(f"largest error after settling {100 * max(off):.2f} % (goal 3 %)")
    print(f"inputs from {min(inputs):.3f} to {max(inputs):.3f}, limits {LOW:g} and {HIGH:g}")
    print(f"an input is planned in {np.median(took):.1f} ms (median), {max(took):.1f} ms at most")


def cartpole(arguments: argparse.Namespace) -> None:
    clock = Clock()
    policy = Policy(observe=(0, 2), random_state=arguments.seed, n_jobs=arguments.threads)

    def progress(number: int, logs: dict[str, float]) -> None:
        if number % 10 == 0:
            clock.tell(f"{logs['steps']:9,.0f} steps, mean return {logs['return']:.1f}")

    policy.fit("CartPole-v1", goal=490, time_limit=900, progress=progress)
    took = clock.trained(arguments.threads)
    print(f"CartPole without velocities: {policy.steps_:,} steps in {len(policy.returns_):,} episodes")
    print(f"{took} (goal 900 s)")
    returns = policy.play("CartPole-v1", episodes=100)
    print(f"mean return of 100 episodes {np.mean(returns):.1f}, least {min(returns):.0f} (goal 475)")


def main() -> None:
    parser = on_data(__doc__, required=False)
    parser.add_argument("--cartpole", action="store_true", help="the pole instead of the tanks")
    arguments = parser.parse_args()
    if arguments.cartpole:
        cartpole(arguments)
    elif arguments.data is None:
        parser.error("--data names the folder of the benchmark data")
    else:
        cascaded(arguments)
        held(arguments)


if __name__ == "__main__":
    main()
