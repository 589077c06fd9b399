"""What the benchmarks share: options, the run, clocks, libraries as long-lived processes, rounds in turn."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

import machine
import numpy as np
import results
from results import OWN

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
RIVALS_FOLDER = ROOT / ".venv-rivals"
RIVALS_PYTHON = RIVALS_FOLDER / "bin" / "python"
THREADS = (1, 2)
# Each library's worker in rivals/, and the packages that it needs.
LIBRARIES: dict[str, tuple[str, tuple[str, ...]]] = {
    OWN: ("karusel_worker.py", ()),
    "PyTorch": ("torch_worker.py", ("torch",)),
    "JAX": ("jax_worker.py", ("jax",)),
    "Keras": ("keras_worker.py", ("keras", "tensorflow-cpu")),
    "ONNX Runtime": ("onnx_worker.py", ("onnxruntime", "onnx")),
}
RIVALS = [name for name in LIBRARIES if name != OWN]
QUIET = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}


# -- options and the run ---------------------------------------------------------------------------------


def parse(description: str | None) -> argparse.Namespace:
    """The options that all benchmarks of the suite take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="make .venv-rivals with the rivals first")
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each contender (default 11)")
    parser.add_argument("--seconds", type=float, default=0.2, help="shortest round in seconds (default 0.2)")
    parser.add_argument(
        "--rivals",
        type=lambda text: text.split(","),
        help=f"of {','.join(RIVALS)}; all that are installed (training alone: PyTorch)",
    )
    parser.add_argument("--only", default="", help="only cases whose name contains this; nothing is kept")
    parser.add_argument("--dry", action="store_true", help="print the tables, write nothing")
    parser.add_argument("--quick", action="store_true", help="3 short rounds, to try it; nothing is kept")
    options = parser.parse_args()
    if unknown := set(options.rivals or ()) - set(RIVALS):
        parser.error(f"--rivals: {', '.join(sorted(unknown))} is none of {', '.join(RIVALS)}")
    if options.quick:
        options.rounds, options.seconds = 3, 0.02
    if options.install:
        install()
    return options


def on_data(description: str | None, *, required: bool = True, threads: int = 2) -> argparse.ArgumentParser:
    """The options that all benchmarks on public data take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, required=required, help="folder of the benchmark data")
    parser.add_argument("--threads", type=int, default=threads, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    return parser


def install() -> None:
    """Makes `.venv-rivals` in the repository and installs the rivals into it, by pip's own settings."""
    if not RIVALS_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(RIVALS_FOLDER)], check=True)
    packages = ["numpy", *(package for _, needed in LIBRARIES.values() for package in needed)]
    subprocess.run([str(RIVALS_PYTHON), "-m", "pip", "install", *packages], check=True)


def installed(*packages: str) -> dict[str, str]:
    """Versions of those of the packages that are in the rivals' environment."""
    return machine.versions(str(RIVALS_PYTHON), packages) if RIVALS_PYTHON.exists() else {}


def run(
    name: str, measure: Callable[[argparse.Namespace], dict[str, Any]], options: argparse.Namespace
) -> str:
    """Measures, prints, keeps; says why it was not kept, if it was not though it was meant to be.

    measure: returns the document's "tables", "rivals", "versions" and, where shares of it are shown,
    "peak_gflops".
    """
    described, others = machine.describe(), machine.Others()
    print(f"{name}:", file=sys.stderr)
    found = measure(options)
    chosen = f" --rivals {','.join(options.rivals)}" if options.rivals else ""
    document = {
        "benchmark": name,
        "date": datetime.datetime.now().isoformat(" ", "minutes"),
        "machine": described,
        "command": f"./dev bench {name} --rounds {options.rounds} --seconds {options.seconds:g}{chosen}",
        "others_share": others.share(),
        **found,
        "versions": {"karusel": machine.version("karusel"), **found["versions"]},
    }
    print(f"# {name}\n\n{results.tables(document)}\n\n{results.losses_and_misses([document])}\n")
    if options.dry or options.quick or options.only:
        return ""
    if why := results.disturbed(document):
        return why
    print(f"written: {results.keep(document)}", file=sys.stderr)
    return ""


def main(name: str, description: str | None, measure: Callable[[argparse.Namespace], dict[str, Any]]) -> None:
    """A benchmark on its own."""
    if why := run(name, measure, parse(description)):
        raise SystemExit(why)


# -- clocks ----------------------------------------------------------------------------------------------


class Clock:
    """Seconds since it was made: on the wall, and of this process on all its threads."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._wall, self._processor, self._file = time.perf_counter(), time.process_time(), file

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._processor

    def tell(self, what: str) -> None:
        """Prints it after the seconds on the wall; it may be the `progress=` of a forecaster's `fit`."""
        print(f"{self.read()[0]:6.0f} s  {what}", file=self._file, flush=True)

    def epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Tells an epoch and its losses, as the `progress=` of a task's `fit`."""
        self.tell(f"epoch {epoch + 1}: {', '.join(f'{name} {value:.4f}' for name, value in logs.items())}")

    def trained(self, threads: int) -> str:
        """What a training took that ends now."""
        wall, processor = self.read()
        return f"{wall:.0f} s of training on {threads} thread(s), {processor:.0f} s of processor time"


def compared(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """An epoch here and in PyTorch, each on the wall and of the processor."""
    return (
        f"Karusel {ours[0]:7.2f} {ours[1]:7.2f}   PyTorch {theirs[0]:7.2f} {theirs[1]:7.2f}   "
        f"{theirs[0] / ours[0]:.2f} and {theirs[1] / ours[1]:.2f} times faster"
    )


# -- workers ---------------------------------------------------------------------------------------------


class Program:
    """A process that answers with lines of JSON, of its own accord or to a line that it is told."""

    def __init__(self, name: str, line: Sequence[str], **options: Any) -> None:
        self.name = name
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )

    def answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with {self.process.wait()}: its error stands above")
        return json.loads(line)

    def ask(self, told: Any = None) -> Any:
        assert self.process.stdin is not None
        print(json.dumps(told), file=self.process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def pytorch(script: str, settings: dict[str, Any], **arrays: Any) -> Iterator[Program]:
    """A script of rivals/, given a file of arrays and settings in JSON."""
    if not RIVALS_PYTHON.exists():
        raise SystemExit("there is no .venv-rivals with PyTorch; ./dev bench --install makes it")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "job.npz"
        np.savez(path, **arrays)
        line = [str(RIVALS_PYTHON), str(HERE / "rivals" / script), str(path), json.dumps(settings)]
        with contextlib.closing(Program(script, line)) as program:
            yield program


class Worker(Program):
    """A library in a process of its own, kept to as many cores as threads; see rivals/worker.py."""

    def __init__(self, library: str, threads: int) -> None:
        python = sys.executable if library == OWN else str(RIVALS_PYTHON)

        def pin() -> None:
            # XLA has no other setting for its threads. The last cores, as the first ones serve interrupts.
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])

        super().__init__(
            f"the worker of {library} on {threads}",
            [python, str(HERE / "rivals" / LIBRARIES[library][0]), str(threads)],
            env={**os.environ, **QUIET},
            preexec_fn=pin,
        )

    def repeat(self, task: str, settings: dict[str, Any], repeats: int) -> dict[str, Any]:
        return dict(self.ask({"task": task, "settings": settings, "repeats": repeats}))


# -- cases and rounds ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One row of a table on each number of threads.

    settings: what the workers' tasks are made with.
    contenders: library and task by the contender's name.
    goals: by number of threads; see results.py.
    work: of one unit, in GFLOP or whatever the table's rate counts; None for a table without a rate.
    units: how many units (steps, batches) one repetition of a task is.
    """

    name: str
    settings: dict[str, Any]
    contenders: dict[str, tuple[str, str]]
    goals: dict[int, dict[str, float]] = field(default_factory=dict)
    work: float | None = None
    units: int = 1


@dataclass(frozen=True)
class Table:
    """Cases that are shown together."""

    name: str
    about: str
    head: str
    unit: str
    rate: str
    cases: list[Case]
    memory: bool = False


def measure_tables(
    tables: list[Table], options: argparse.Namespace, rivals: list[str] | None = None
) -> dict[str, Any]:
    """Measures every case against those of the rivals (all, if none are named) that are installed."""
    versions, chosen = {}, [OWN]
    for rival in rivals or RIVALS:
        packages = LIBRARIES[rival][1]
        found = installed(*packages)
        if len(found) == len(packages):
            chosen.append(rival)
            versions |= found
        else:
            print(f"  {rival} is not in .venv-rivals and is left out; --install brings it", file=sys.stderr)
    document: dict[str, Any] = {"versions": versions}
    if any(table.rate == "GFLOP/s" for table in tables):
        peaks = machine.peak_gflops(THREADS)
        document["peak_gflops"] = {str(threads): value for threads, value in peaks.items()}
    document["tables"] = []
    for table in tables:
        entries = []
        for case in table.cases:
            contenders = {name: each for name, each in case.contenders.items() if each[0] in chosen}
            if options.only in f"{table.name} {case.name}":
                print(f"  {table.name} {case.name}", file=sys.stderr)
                entries += measure_case(case, contenders, options, table.memory)
        if entries:
            keys = ("name", "about", "head", "unit", "rate")
            document["tables"].append({key: getattr(table, key) for key in keys} | {"entries": entries})
    names = {name for table in document["tables"] for entry in table["entries"] for name in entry["times"]}
    document["rivals"] = sorted(names - {OWN})
    return document


def measure_case(
    case: Case, contenders: dict[str, tuple[str, str]], options: argparse.Namespace, memory: bool
) -> list[dict[str, Any]]:
    """An entry for each number of threads; rounds of all contenders on all of them alternate.

    Workers live for one case, so that none inherits memory or compiled code from another.
    """
    with contextlib.ExitStack() as stack:
        workers: dict[tuple[str, int], Worker] = {}
        for threads in THREADS:
            for library in dict.fromkeys(library for library, _ in contenders.values()):
                workers[library, threads] = Worker(library, threads)
                stack.callback(workers[library, threads].close)
        for worker in workers.values():
            worker.answer()  # it has imported its library

        def ask(turn: tuple[str, int], repeats: int) -> dict[str, Any]:
            library, task = contenders[turn[0]]
            return workers[library, turn[1]].repeat(task, case.settings, repeats)

        turns = [(name, threads) for threads in THREADS for name in contenders]
        warm = {turn: ask(turn, 1) for turn in turns}
        check_outputs(case, {turn: answer["outputs"] for turn, answer in warm.items()})
        once = {turn: ask(turn, 1)["seconds"] for turn in turns}
        repeats = {turn: max(1, round(options.seconds / once[turn])) for turn in turns}
        seconds: dict[tuple[str, int], list[float]] = {turn: [] for turn in turns}
        peak_mb = {}
        for _ in range(options.rounds):
            for turn in turns:
                answer = ask(turn, repeats[turn])
                seconds[turn].append(answer["seconds"] / (repeats[turn] * case.units))
                peak_mb[turn] = answer["memory_mb"]
    entries = []
    for threads in THREADS:
        entry = {
            "case": case.name,
            "threads": threads,
            "work": case.work,
            "goals": case.goals.get(threads, {}),
            "times": {name: results.summary(seconds[name, threads]) for name in contenders},
        }
        if memory:
            entry["memory_mb"] = {name: round(peak_mb[name, threads], 1) for name in contenders}
        entries.append(entry)
    return entries


def check_outputs(case: Case, outputs: dict[tuple[str, int], list[float]]) -> None:
    """All must have computed the same, or their times cannot be compared."""
    wanted = outputs[OWN, THREADS[0]]
    for (name, _), got in outputs.items():
        if len(got) != len(wanted) or not all(map(close, got, wanted)):
            raise SystemExit(f"{case.name}: {name} computes {got[:4]}, {OWN} {wanted[:4]}")


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4)
