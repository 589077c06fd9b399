"""Every file under examples/ runs, without a warning, and says what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def run(path: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(folder.iterdir()) == [], "an example leaves a file behind"
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path: Path, tmp_path: Path) -> None:
    assert run(path, tmp_path).strip()


def example(name: str, folder: Path) -> str:
    return run(next(path for path in EXAMPLES if path.stem == name), folder)


def test_the_notebook_runs_with_only_its_imports_changed(tmp_path: Path) -> None:
    lines = example("first_lstm", tmp_path).splitlines()
    assert lines[0] == "[0.0, 0.11, 0.22, 0.35, 0.48]"
    assert sum(bool(re.fullmatch(r"\[\d.*\]", line)) for line in lines) == 40
    epochs = [line for line in lines if re.fullmatch(r"40/40 - \d+s - loss: \d+\.\d{4} - .*ms/step", line)]
    assert len(epochs) == 100
    first, last = (float(re.search(r"loss: ([\d.]+)", line)[1]) for line in (epochs[0], epochs[-1]))
    assert first > 10
    assert last < 0.2
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 11
    assert "[1.5, 1.71, 1.92, 2.15]" in table[1]
    for row, truth in zip(
        table[1:], [2.38, 2.63, 2.88, 3.15, 3.42, 3.71, 4.0, 4.31, 4.62, 4.95], strict=True
    ):
        assert abs(float(row.split("|")[3]) - truth) < 0.3


def test_ragged_recordings_are_told_apart(tmp_path: Path) -> None:
    share = int(re.search(r"(\d+)% of 100 new recordings", example("ragged", tmp_path))[1])
    assert share > 90


def test_the_stream_beats_repeating_the_last_value(tmp_path: Path) -> None:
    network, repeating = map(float, re.findall(r"(\d\.\d{3})", example("streaming", tmp_path)))
    assert network < 0.7 * repeating
