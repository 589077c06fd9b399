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


def test_ragged_recordings_are_told_apart(tmp_path: Path) -> None:
    share = int(re.search(r"(\d+)% of 100 new recordings", example("ragged", tmp_path))[1])
    assert share > 90


def test_the_stream_beats_repeating_the_last_value(tmp_path: Path) -> None:
    network, repeating = map(float, re.findall(r"(\d\.\d{3})", example("streaming", tmp_path)))
    assert network < 0.7 * repeating


def test_long_memory_solves_what_the_plain_network_guesses(tmp_path: Path) -> None:
    plain, long, deep = map(float, re.findall(r"error (\d\.\d{4})", example("remember", tmp_path)))
    assert plain > 0.1
    assert max(long, deep) < 0.02


def test_words_look_at_what_they_name(tmp_path: Path) -> None:
    right, seen = map(int, re.findall(r"(\d+) %", example("caption_pictures", tmp_path)))
    assert right > 85
    assert seen > 70
