"""`karusel demo`: the notebook's job, made right."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

KEYS = {"fit_seconds", "epochs", "final_loss", "losses", "rows", "extrapolation", "versions"}


def demo(*arguments: str) -> Any:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "karusel", "demo", "--json", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    document = json.loads(run.stdout)
    assert document.pop("fit_seconds") > 0
    return document


@pytest.fixture(scope="module")
def document() -> Any:
    return demo()


def test_the_document_has_all_of_it(document: Any) -> None:
    assert {*document, "fit_seconds"} == KEYS
    assert document["epochs"] == len(document["losses"]) == 100
    assert document["final_loss"] == document["losses"][-1]


def test_the_truth_is_what_really_follows(document: Any) -> None:
    """The notebook prints 2.63 beside [1.5, 1.71, 1.92, 2.15]; the curve goes on with 2.38."""
    rows = document["rows"]
    assert len(rows) == 10
    assert rows[0]["input"] == [1.5, 1.71, 1.92, 2.15]
    truths = [2.38, 2.63, 2.88, 3.15, 3.42, 3.71, 4.0, 4.31, 4.62, 4.95]
    assert [row["truth"] for row in rows] == truths


def test_predictions_inside_the_range_are_close(document: Any) -> None:
    assert max(abs(row["prediction"] - row["truth"]) for row in document["rows"]) < 0.05


def test_outside_the_raw_network_fails_and_the_differenced_one_does_not(document: Any) -> None:
    rows = document["extrapolation"]
    assert len(rows) == 10
    assert all(row["input"][0] >= 12 for row in rows)  # y(4) = 12: the training data end below
    assert sum(abs(row["raw"] - row["truth"]) for row in rows) / 10 > 5
    assert max(abs(row["differenced"] - row["truth"]) for row in rows) < 0.05
    for row in rows:
        last, before = row["input"][3], row["input"][2]
        assert row["repeat_last_difference"] == pytest.approx(2 * last - before)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_same_bits_on_any_number_of_threads_and_again(document: Any, threads: str) -> None:
    assert demo("--threads", threads) == document


def test_another_seed_is_another_run(document: Any) -> None:
    assert demo("--seed", "1", "--epochs", "3")["losses"] != document["losses"][:3]


def test_the_text_has_log_and_tables() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "karusel", "demo", "--epochs", "2"], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert sum(line.startswith("Epoch ") and " - loss: " in line for line in lines) == 2
    assert any("[1.5, 1.71, 1.92, 2.15]" in line and "2.38" in line for line in lines)
    assert any("Repeat step" in line for line in lines)
    assert run.stderr == ""
