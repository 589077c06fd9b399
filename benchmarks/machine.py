"""Describes the machine that a benchmark ran on, and measures the peak that its kernels are held to."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import subprocess
import tempfile
from importlib import metadata
from typing import Any

HERE = pathlib.Path(__file__).parent
# Instruction sets that change the speed of a matrix product, as /proc/cpuinfo spells them.
LEVELS = ("sse4_2", "avx2", "fma", "avx512f", "avx512_bf16", "asimd")


def _cpuinfo(field: str) -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    found = re.search(rf"^{field}\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def processor() -> str:
    """The processor's name; its family and model where the name alone says little."""
    name = _cpuinfo("model name") or platform.processor() or platform.machine()
    family, model = _cpuinfo("cpu family"), _cpuinfo("model")
    return f"{name} (family {family}, model {model})" if family and model else name


def slug(name: str) -> str:
    """A processor's name as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Everything about the machine that a reader needs beside a time."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    return {
        "processor": processor(),
        "instruction_sets": [level for level in LEVELS if level in flags],
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


class Others:
    """How much of the processor other programs took since this was made.

    Busy time of all cores (/proc/stat, so only on Linux) less this process's and its ended children's.
    """

    def __init__(self) -> None:
        self._start = self._read()

    @staticmethod
    def _read() -> tuple[float, float, float] | None:
        """Seconds of all cores together, busy ones among them, and those of this process and its children."""
        try:
            words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        except OSError:
            return None
        ticks = [int(word) for word in words]
        tick = os.sysconf("SC_CLK_TCK")
        idle = ticks[3] + ticks[4]  # idle, waiting for input and output
        return sum(ticks) / tick, (sum(ticks) - idle) / tick, sum(os.times()[:4])

    def share(self) -> float | None:
        """Of all cores' time, from 0 to 1; None where it cannot be told."""
        now = self._read()
        if self._start is None or now is None:
            return None
        total, busy, own = (b - a for a, b in zip(self._start, now, strict=True))
        return round(max(0.0, busy - own) / total, 3) if total else 0.0


def versions(python: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions as another environment's interpreter sees them; packages not there are left out."""
    code = (
        "import sys\nfrom importlib import metadata\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, metadata.version(name))\n"
        "    except metadata.PackageNotFoundError: pass"
    )
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def version(package: str) -> str:
    """Version of a package in this interpreter, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def peak_gflops(threads: tuple[int, ...]) -> dict[int, float]:
    """Measured float32 multiply-add peak in GFLOP/s for each number of threads, by `peak.cpp`."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "peak"
        compiler = os.environ.get("CXX", "g++")
        flags = ["-O3", "-march=native", "-std=c++17", "-pthread"]
        subprocess.run([compiler, *flags, str(HERE / "peak.cpp"), "-o", str(program)], check=True)
        found = {}
        for count in threads:
            done = subprocess.run([program, str(count)], capture_output=True, text=True, check=True)
            found[count] = float(done.stdout)
    return found
