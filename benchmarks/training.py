"""Training steps of LSTM(H) and Dense(1), squared error on the last output, Adam: `./dev bench training`.

Karusel through its public `fit` of several epochs (so all that `fit` does around the steps counts),
PyTorch as the bare step on tensors that lie ready. Each lives in a process of its own that is told to
do a round at a time: rounds alternate in one run, each lasts about `--seconds`, the first is thrown away.
GFLOP/s are 24*B*T*H*(I+H) a step: forward, the gradient of the input and that of the weights, a
multiply-add as two; the share is of the multiply-add peak that `peak.cpp` measures in the same run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import subprocess
import sys
from typing import Any

import machine
import notebook
import results

HERE = pathlib.Path(__file__).parent
Shape = tuple[int, int, int, int]
# B,T,I,H: (times faster than PyTorch on one and two threads, share of peak), the goals of issue 3
GOALS: dict[Shape, tuple[float, float, float | None]] = {
    (1, 4, 1, 50): (80, 80, None),
    (32, 24, 1, 64): (2.1, 3.3, 0.80),
    (32, 50, 8, 128): (1.5, 1.9, 0.85),
    (64, 100, 32, 256): (1.4, 1.5, 0.85),
    (128, 50, 64, 512): (1.25, 1.3, 0.85),
    (256, 24, 1, 32): (2.7, 3.5, 0.70),
    (1, 200, 1, 64): (3.8, 4.0, 0.50),
}
THREADS = (1, 2)
LARGE_STEP = 2e8  # FLOPs from which an epoch is short
RAGGED: Shape = (32, 100, 8, 64)  # rows of 5 to 100 steps
RAGGED_GOALS = ((8, 3), (12, 4))  # on one and two threads: against packed sequences, against padding


def flops(shape: Shape) -> float:
    """FLOPs of one training step."""
    rows, steps, inputs, hidden = shape
    return 24.0 * rows * steps * hidden * (inputs + hidden)


def batches(shape: Shape) -> int:
    """Batches that an epoch holds: 40 as in the notebook's job, 2 where a step is long."""
    return 2 if flops(shape) >= LARGE_STEP else 40


class Contender:
    """A worker process and the manner in which it trains ragged rows."""

    def __init__(self, process: subprocess.Popen[str], ragged: str = "") -> None:
        self.process = process
        self.ragged = ragged

    def seconds(self, shape: Shape, threads: int, epochs: int) -> float:
        """Seconds of one step in a round of so many epochs."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        told = {"shape": shape, "threads": threads, "batches": batches(shape), "epochs": epochs}
        print(json.dumps({**told, "ragged": self.ragged}), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a worker ended with {self.process.wait()} at {told}: its error stands above")
        return float(json.loads(answer)["seconds_per_step"])

    def epochs_for(self, shape: Shape, threads: int, seconds: float) -> int:
        """Warms up, then finds how many epochs last the seconds."""
        self.seconds(shape, threads, 1)
        return max(1, round(seconds / (batches(shape) * self.seconds(shape, threads, 1))))


def start(python: str, script: str) -> subprocess.Popen[str]:
    """A worker process."""
    line = [python, str(HERE / "rivals" / script)]
    return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measure(
    shape: Shape, contenders: dict[str, Contender], rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Seconds a step of each contender on each number of threads, rounds alternating."""
    turns = [(name, threads) for threads in THREADS for name in contenders]
    epochs = {turn: contenders[turn[0]].epochs_for(shape, turn[1], seconds) for turn in turns}
    found: dict[tuple[str, int], list[float]] = {turn: [] for turn in turns}
    for _ in range(rounds):
        for name, threads in turns:
            found[name, threads].append(contenders[name].seconds(shape, threads, epochs[name, threads]))
    return {f"{name}, {threads}": results.summary(times) for (name, threads), times in found.items()}


def page(document: dict[str, Any]) -> str:
    """The tables for docs/benchmarks.md, and what was missed."""
    head = ["B,T,I,H", "threads", "Karusel, ms", "median", "GFLOP/s", "of peak"]
    head += ["PyTorch, ms", "median", "of peak", "ratio of bests", "of medians", "goal"]
    rows: list[list[str]] = []
    missed: list[str] = []
    lost: list[str] = []

    def compare(label: str, own: dict[str, Any], other: dict[str, Any] | None, goal: float) -> list[str]:
        """Ratio of bests, ratio of medians, goal; notes what was lost and what was missed."""
        if other is None:
            return ["-", "-", f"{goal:g}"]
        ratio = other["best"] / own["best"]
        if ratio < 1:
            lost.append(label)
        if ratio < goal:
            missed.append(f"{label}: {ratio:.2f} times PyTorch, not {goal:g}")
        return [f"{ratio:.2f}", f"{other['median'] / own['median']:.2f}", f"{goal:g}"]

    for entry in document["shapes"]:
        shape: Shape = tuple(entry["shape"])
        *goals, share_goal = GOALS[shape]
        name = ",".join(map(str, shape))
        for threads, goal in zip(THREADS, goals, strict=True):
            own, other = entry["times"][f"Karusel, {threads}"], entry["times"].get(f"PyTorch, {threads}")
            peak = document["peak_gflops"][str(threads)]
            speed = flops(shape) / own["best"] / 1e9
            label = f"{name} on {threads}"
            if share_goal and speed / peak < share_goal:
                missed.append(f"{label}: {speed / peak:.0%} of peak, not {share_goal:.0%}")
            rows.append([name, str(threads), *milliseconds(own), f"{speed:.1f}", f"{speed / peak:.0%}"])
            share = f"{flops(shape) / other['best'] / 1e9 / peak:.0%}" if other else "-"
            rows[-1] += [*milliseconds(other), share, *compare(label, own, other, goal)]
        one, two = (entry["times"][f"Karusel, {threads}"]["best"] for threads in THREADS)
        if two > 1.02 * one:
            missed.append(f"{name}: two threads are slower than one")

    ragged_rows = []
    for threads, (packed_goal, padded_goal) in zip(THREADS, RAGGED_GOALS, strict=True):
        times = document["ragged"]
        own = times[f"Karusel, {threads}"]
        ragged_rows.append([str(threads), *milliseconds(own)])
        for manner, goal in (("packed", packed_goal), ("padded", padded_goal)):
            other = times.get(f"PyTorch {manner}, {threads}")
            label = f"ragged on {threads} against {manner}"
            ragged_rows[-1] += [*milliseconds(other), *compare(label, own, other, goal)]
    ragged_head = ["threads", "Karusel, ms", "median"]
    for manner in ("packed", "padded"):
        ragged_head += [f"PyTorch {manner}, ms", "median", "ratio of bests", "of medians", "goal"]

    peaks = ", ".join(f"{value} GFLOP/s on {count}" for count, value in document["peak_gflops"].items())
    at = "; ".join(lost) if lost else "none of these sizes"
    missed_line = f" Goals missed: {'; '.join(missed)}." if missed else ""
    return (
        f"{results.about(document)} Peak: {peaks}.\n\n{results.table(head, rows)}\n\n"
        f"Ragged: 32 rows of 5 to 100 steps, I 8, H 64.\n\n{results.table(ragged_head, ragged_rows)}\n\n"
        f"Karusel loses to PyTorch at {at}.{missed_line}"
    )


def milliseconds(times: dict[str, Any] | None) -> list[str]:
    """Best and median as cells."""
    return [f"{times[which] * 1e3:.4g}" if times else "-" for which in ("best", "median")]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--install", action="store_true", help="make .venv-rivals and install the rivals first"
    )
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each contender (default 11)")
    parser.add_argument("--seconds", type=float, default=0.3, help="shortest round in seconds (default 0.3)")
    parser.add_argument(
        "--shape", action="append", help="B,T,I,H, one of the table's; several times for several"
    )
    parser.add_argument("--dry", action="store_true", help="print the table, write nothing")
    options = parser.parse_args()
    if options.install:
        notebook.install()
    shapes = list(GOALS)
    if options.shape:
        shapes = [shape for shape in GOALS if ",".join(map(str, shape)) in options.shape]
        if len(shapes) != len(options.shape):
            parser.error(f"--shape must be one of {' '.join(','.join(map(str, s)) for s in GOALS)}")
    described, others = machine.describe(), machine.Others()
    own = start(sys.executable, "karusel_training.py")
    workers = [own]
    contenders, ragged = {"Karusel": Contender(own)}, {"Karusel": Contender(own, "packed")}
    rival_versions: dict[str, str] = {}
    if notebook.RIVALS_PYTHON.exists():
        torch = start(str(notebook.RIVALS_PYTHON), "torch_training.py")
        workers.append(torch)
        contenders["PyTorch"] = Contender(torch)
        ragged |= {f"PyTorch {manner}": Contender(torch, manner) for manner in ("packed", "padded")}
        rival_versions = machine.versions(str(notebook.RIVALS_PYTHON), ("torch",))
    peaks = machine.peak_gflops(THREADS)
    entries = []
    for shape in shapes:
        print(f"measuring {shape}", file=sys.stderr)
        found = measure(shape, contenders, options.rounds, options.seconds)
        entries.append({"shape": list(shape), "times": found})
    print("measuring ragged rows", file=sys.stderr)
    ragged_times = measure(RAGGED, ragged, options.rounds, options.seconds)
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    document = {
        "benchmark": "training",
        "date": datetime.date.today().isoformat(),
        "machine": described,
        "versions": {"karusel": machine.version("karusel"), **rival_versions},
        "command": f"./dev bench training --rounds {options.rounds} --seconds {options.seconds:g}",
        "others_share": others.share(),
        "unit": "seconds of one training step, wall clock",
        "peak_gflops": {str(threads): value for threads, value in peaks.items()},
        "shapes": entries,
        "ragged": ragged_times,
    }
    text = page(document)
    print(text)
    if not options.dry and not options.shape:
        results.keep("training", document, text)


if __name__ == "__main__":
    main()
