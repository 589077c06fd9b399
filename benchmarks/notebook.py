"""The notebook's job as a whole process, beside the rivals that do the same: `./dev bench notebook`.

Data, 100 epochs of 40 steps at batch 1, ten predictions, the table; each time is that of a whole
process, from start to exit, interpreter and imports included, with every library's default threads
(PyTorch: one). Rounds alternate (A B C A B C), so that a slow minute of the machine falls on all alike;
one run of each is thrown away first. Karusel is measured as its users have it, from a wheel of this
working tree in an environment of its own: an editable install looks at every import whether the engine
must be rebuilt.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import time
from typing import Any

import machine
import results

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
RIVALS = ROOT / ".venv-rivals"
RIVALS_PYTHON = RIVALS / "bin" / "python"
PACKAGES = ("torch", "keras", "tensorflow-cpu", "jax", "numpy")
NUMPY, KARUSEL, DEMO = "import numpy", "Karusel", "karusel demo"
TORCH, KERAS_JAX, KERAS_TF = "PyTorch", "Keras on JAX", "Keras on TensorFlow"
GOALS = {KERAS_TF: 40.0, KERAS_JAX: 14.0, TORCH: 13.0}  # at least so many times slower than Karusel
NUMPY_GOAL = 4.0  # Karusel takes at most so many times `import numpy`

Command = tuple[list[str], dict[str, str]]


def install_wheel(folder: pathlib.Path) -> pathlib.Path:
    """Builds a wheel, installs it into an environment made in the folder, and returns its programs' folder.

    The environment finds what Karusel depends on in this interpreter's own packages.
    """
    pip = [sys.executable, "-m", "pip"]
    wheel_options = ["--no-deps", "--no-build-isolation", f"-Cbuild-dir={ROOT / 'build' / 'bench'}"]
    # CMake is a program of this environment, which need not be active.
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    build = [*pip, "wheel", "--quiet", *wheel_options, "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, env={**os.environ, "PATH": path})
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    programs = folder / "venv" / "bin"
    wheel = str(next(folder.glob("karusel-*.whl")))
    install = ["--python", str(programs / "python"), "install", "--quiet", "--no-deps", wheel]
    subprocess.run([*pip, *install], check=True)
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    line = [str(programs / "python"), "-c", ask]
    site = subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()
    own = sysconfig.get_paths()["purelib"]
    (pathlib.Path(site) / "dependencies.pth").write_text(f"{own}\n")
    return programs


def commands(programs: pathlib.Path) -> dict[str, Command]:
    """Each contender's command line and the environment variables that it needs."""
    own, rival, scripts = str(programs / "python"), str(RIVALS_PYTHON), HERE / "rivals"
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2"}
    return {
        NUMPY: ([own, "-c", "import numpy"], {}),
        KARUSEL: ([own, str(scripts / "karusel_notebook.py")], {}),
        DEMO: ([str(programs / "karusel"), "demo", "--json"], {}),
        TORCH: ([rival, str(scripts / "torch_notebook.py")], {}),
        KERAS_JAX: ([rival, str(scripts / "keras_notebook.py")], {"KERAS_BACKEND": "jax", **quiet}),
        KERAS_TF: ([rival, str(scripts / "keras_notebook.py")], {"KERAS_BACKEND": "tensorflow", **quiet}),
    }


def install() -> None:
    """Makes `.venv-rivals` in the repository and installs the rivals into it, by pip's own settings."""
    if not RIVALS_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(RIVALS)], check=True)
    packages = ["torch", "numpy", "keras", "tensorflow-cpu", "jax"]
    subprocess.run([str(RIVALS_PYTHON), "-m", "pip", "install", *packages], check=True)


def run_once(command: Command) -> float:
    """Seconds of one whole process; its output is read and, where it failed, shown."""
    line, variables = command
    start = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **variables})
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def measure(rounds: int, keras_rounds: int, chosen: dict[str, Command]) -> dict[str, list[float]]:
    """Wall seconds of each contender, round by round."""
    for name, command in chosen.items():
        print(f"warm-up: {name}, {run_once(command):.2f} s", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for number in range(rounds):
        for name, command in chosen.items():
            if number < (keras_rounds if name.startswith("Keras") else rounds):
                seconds[name].append(run_once(command))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return seconds


def page(document: dict[str, Any]) -> str:
    """The table for docs/benchmarks.md and a sentence on what was missed."""
    contenders = document["contenders"]
    own = contenders[KARUSEL]
    rows, missed = [], []
    for name, found in contenders.items():
        ratios = [found[which] / own[which] for which in ("best", "median")]
        goal = ""
        if name in GOALS:
            goal = f"at least {GOALS[name]:g}"
            if ratios[0] < GOALS[name]:
                missed.append(f"{name} is {ratios[0]:.1f} times slower, not {GOALS[name]:g}")
        times = [f"{found['best']:.3f}", f"{found['median']:.3f}", str(len(found["rounds"]))]
        rows.append([name, *times, *[f"{ratio:.2f}" for ratio in ratios], goal])
    over_numpy = own["best"] / contenders[NUMPY]["best"]
    if over_numpy > NUMPY_GOAL:
        missed.append(f"Karusel takes {over_numpy:.2f} times `import numpy`, not {NUMPY_GOAL:g}")
    slower = [name for name in (TORCH, KERAS_JAX, KERAS_TF) if name in contenders]
    lost = [name for name in slower if contenders[name]["best"] < own["best"]]
    head = ["process", "best, s", "median, s", "rounds", "best / Karusel", "median / Karusel", "goal"]
    verdict = f"Where Karusel loses: {', '.join(lost)}." if lost else "Karusel loses to none of them here."
    missed_line = f" Goals missed: {'; '.join(missed)}." if missed else ""
    return (
        f"{results.about(document)}\n\n{results.table(head, rows)}\n\n"
        f"Karusel takes {over_numpy:.2f} times `import numpy`. {verdict}{missed_line}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--install", action="store_true", help="make .venv-rivals and install the rivals first"
    )
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each contender (default 11)")
    parser.add_argument("--keras-rounds", type=int, default=3, help="rounds of Keras (default 3)")
    parser.add_argument("--dry", action="store_true", help="print the table, write nothing")
    options = parser.parse_args()
    if options.install:
        install()
    with tempfile.TemporaryDirectory() as folder:
        run(options, commands(install_wheel(pathlib.Path(folder))))


def run(options: argparse.Namespace, chosen: dict[str, Command]) -> None:
    """Measures, prints the table and keeps it."""
    if not RIVALS_PYTHON.exists():
        print("no .venv-rivals: only Karusel is measured; --install brings the rivals", file=sys.stderr)
        chosen = {name: chosen[name] for name in (NUMPY, KARUSEL, DEMO)}
    described, others = machine.describe(), machine.Others()
    seconds = measure(options.rounds, options.keras_rounds, chosen)
    share = others.share()
    rival_versions = machine.versions(str(RIVALS_PYTHON), PACKAGES) if RIVALS_PYTHON.exists() else {}
    document = {
        "benchmark": "notebook",
        "date": datetime.date.today().isoformat(),
        "machine": described,
        "versions": {"karusel": machine.version("karusel"), **rival_versions},
        "command": f"./dev bench notebook --rounds {options.rounds} --keras-rounds {options.keras_rounds}",
        "others_share": share,
        "unit": "seconds of a whole process, wall clock",
        "contenders": {name: results.summary(found) for name, found in seconds.items()},
    }
    text = page(document)
    print(text)
    if not options.dry:
        results.keep("notebook", document, text)


if __name__ == "__main__":
    main()
