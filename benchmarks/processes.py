"""What benchmarks of whole processes share: Karusel installed as users have it, rounds of command lines."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator

from measuring import QUIET, ROOT

Command = tuple[list[str], dict[str, str]]  # a line, and environment variables


@contextlib.contextmanager
def installed_wheel() -> Iterator[pathlib.Path]:
    """The folder of programs of an environment with a wheel of this working tree in it.

    An editable install looks at every import whether the engine must be rebuilt, so it would not be what
    users have. The environment finds what Karusel depends on in this interpreter's own packages.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
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
        yield programs


def run_once(command: Command) -> float:
    """Seconds of one whole process; its output is read and, where it failed, shown."""
    line, variables = command
    start = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, **QUIET, **variables})
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds


def measure(commands: dict[str, Command], rounds: Callable[[str], int]) -> dict[str, list[float]]:
    """Wall seconds of each contender, round by round, after one that is thrown away."""
    for name, command in commands.items():
        print(f"  warm-up: {name}, {run_once(command):.2f} s", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(max(map(rounds, commands))):
        for name, command in commands.items():
            if number < rounds(name):
                seconds[name].append(run_once(command))
    return seconds
