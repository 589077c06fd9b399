"""Results file, page and summary of the benchmarks, on a made document; nothing is timed."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="needs the repository")

# The folder is no package: its modules are found only after this line.
sys.path.insert(0, str(BENCHMARKS))
import measuring  # noqa: E402
import results  # noqa: E402
import suite  # noqa: E402

PAGE = """# Page
<!-- summary:start -->
<!-- summary:end -->
Between.
<!-- {0}:start -->
old
<!-- {0}:end -->
End.
"""


def times(*rounds: float) -> dict[str, Any]:
    return results.summary(list(rounds))


def made(name: str = "training", date: str = "2026-01-02 03:04") -> dict[str, Any]:
    """Karusel loses to JAX on two threads, and misses every kind of goal, PyTorch's on one thread."""
    one = {
        "case": "3,4",
        "threads": 1,
        "work": 0.5,
        "goals": {"PyTorch": 2.5, results.OF_PEAK: 0.3, results.SECONDS: 0.01},
        "times": {"Karusel": times(0.010, 0.012), "PyTorch": times(0.024, 0.036), "JAX": times(0.011, 0.018)},
        "memory_mb": {"Karusel": 7.2, "PyTorch": 30.0, "JAX": 60.0},
    }
    two = copy.deepcopy(one)
    two |= {"threads": 2, "goals": {"PyTorch": 2.0, results.OF_PEAK: 0.7, results.SECONDS: 0.008}}
    two["goals"] |= {results.OVER_ONE_THREAD: 1.7, "Keras": 100.0}
    two["times"]["JAX"] = times(0.008, 0.009)
    table = {"name": "step", "about": "Rows.", "head": "B,T", "unit": "ms", "rate": "GFLOP/s"}
    return {
        "benchmark": name,
        "date": date,
        "machine": {
            "processor": "A Processor (family 9)",
            "instruction_sets": ["avx2"],
            "cores": 2,
            "system": "Linux",
            "python": "3.11",
        },
        "versions": {"karusel": "0.1.0", "torch": "2.13"},
        "command": f"./dev bench {name}",
        "others_share": 0.01,
        "peak_gflops": {"1": 100.0, "2": 200.0},
        "rivals": ["JAX", "PyTorch"],
        "tables": [{**table, "entries": [one, two]}],
    }


def cells(text: str) -> list[list[str]]:
    """The rows of the text's Markdown tables, without those of dashes."""
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row[0].startswith("---")]


def test_table_of_cases() -> None:
    head, one, two = cells(results.tables(made()))
    assert head[:7] == ["B,T", "threads", "Karusel, ms", "median", "MB", "GFLOP/s", "of peak"]
    assert head[7:13] == ["PyTorch, ms", "median", "MB", "ratio", "of medians", "goal"]
    assert head[13:] == ["JAX, ms", "median", "MB", "ratio", "of medians"]
    assert one[:7] == ["3,4", "1", "10", "11", "7", "50", "50%"]
    assert one[7:] == ["24", "30", "30", "2.40", "2.73", "2.5", "11", "14.5", "60", "1.10", "1.32"]
    assert two[-5:] == ["8", "8.5", "60", "0.80", "0.77"]


def test_table_without_rate_and_with_a_rival_missing_in_a_row() -> None:
    document = made()
    table = document["tables"][0]
    table["rate"] = ""
    for entry in table["entries"]:
        del entry["memory_mb"]
    del table["entries"][0]["times"]["JAX"]
    head, one, _ = cells(results.tables(document))
    assert head[:6] == ["B,T", "threads", "Karusel, ms", "median", "PyTorch, ms", "median"]
    assert one[-4:] == ["-"] * 4
    assert len(one) == len(head)


def test_table_of_whole_processes() -> None:
    document = made()
    table = document["tables"][0]
    (entry, _), table["unit"] = table["entries"], "s"
    table["entries"] = [{**entry, "threads": None, "goals": {"PyTorch": 2.5}}]
    head, own, torch, _ = cells(results.tables(document))
    assert head[:2] == ["process", "best, s"]
    assert own[:6] == ["Karusel", "0.01", "0.011", "2", "1.00", "1.00"]
    assert torch == ["PyTorch", "0.024", "0.03", "2", "2.40", "2.73", "at least 2.5"]


def test_losses_and_missed_goals() -> None:
    document = made()
    lost, missed = results.losses_and_misses([document]).split("## Goals missed")
    assert cells(lost)[1:] == [["JAX", "training", "A", "step 3,4", "2", "0.80"]]
    assert [row[3:] for row in cells(missed)[1:]] == [
        ["1", "2.5 times as fast as PyTorch", "2.40"],
        ["2", "70% of peak", "25%"],
        ["2", "at most 8 ms", "10 ms"],
        ["2", "1.7 times as fast as one thread", "1.00"],
    ]
    document["rivals"].remove("JAX")
    for entry in document["tables"][0]["entries"]:
        entry["goals"] = {}
    text = results.losses_and_misses([document])
    assert "loses to no rival" in text
    assert text.endswith("None.")


def test_a_days_file_keeps_the_other_benchmarks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("training") + PAGE.format("kernels").split("Between.\n")[1])
    first = results.keep(made(), tmp_path, page)
    assert first.name == "2026-01-02-a-processor-family-9.json"
    assert results.keep(made("kernels"), tmp_path, page) == first
    again = made(date="2026-01-02 23:00")
    again["tables"][0]["entries"][0]["times"]["JAX"] = times(0.005)
    assert results.keep(again, tmp_path, page) == first
    assert json.loads(first.read_text()) == {"training": again, "kernels": made("kernels")}
    text = page.read_text()
    assert text.count("old") == 0
    assert text.count("Between.") == 1
    lost = [row[:5] for row in cells(text.split("## Goals missed")[0]) if row[0] == "JAX"]
    assert lost[0] == ["JAX", "training", "A", "step 3,4", "1"]
    assert sorted(row[1] for row in lost) == ["kernels", "training", "training"]


def test_page_shows_the_newest_of_all_files(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("training"))
    results.keep(made(date="2026-03-01 08:00"), tmp_path, page)
    results.keep(made(date="2026-02-01 08:00"), tmp_path, page)
    assert len(list(tmp_path.glob("*.json"))) == 2
    (newest,) = results.newest(tmp_path)
    assert newest["date"] == "2026-03-01 08:00"
    assert "2026-03-01 08:00, A Processor" in page.read_text()


def test_page_shows_the_newest_of_each_processors_maker(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("training"))
    for processor, date in (
        ("Intel(R) X (family 6)", "2026-02-01 08:00"),
        ("AMD Y (family 25)", "2026-01-01 08:00"),
        ("AMD Z (family 26)", "2026-03-01 08:00"),
    ):
        document = made(date=date)
        document["machine"]["processor"] = processor
        results.keep(document, tmp_path, page)
    shown = re.findall(r"^### (\w+)\n\n([\d-]+)", page.read_text(), re.MULTILINE)
    assert shown == [("AMD", "2026-03-01"), ("Intel", "2026-02-01")]
    missed = cells(page.read_text().split("## Goals missed")[1].split("<!--")[0])[1:]
    assert [row[1] for row in missed] == ["AMD"] * 4 + ["Intel"] * 4


def test_page_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.format("training"))
    with pytest.raises(SystemExit, match="no place for kernels"):
        results.keep(made("kernels"), tmp_path, page)


@pytest.mark.parametrize(("share", "words"), [(0.051, "other programs took"), (0.05, ""), (None, "")])
def test_a_disturbed_run_is_refused(share: float | None, words: str) -> None:
    why = results.disturbed({**made(), "others_share": share})
    assert bool(why) == bool(words)
    assert words in why


def test_the_page_is_what_the_files_say(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(results.PAGE.read_text())
    results.write_page(results.newest(), page)
    assert page.read_text() == results.PAGE.read_text()


def test_rounds_of_different_outputs_are_refused() -> None:
    case = measuring.Case("3,4", {}, {})
    measuring.check_outputs(case, {("Karusel", 1): [1.0, -2.0], ("JAX", 2): [1.0005, -2.0]})
    for wrong in ([1.0], [1.01, -2.0], [1.0, float("nan")]):
        with pytest.raises(SystemExit, match="JAX computes"):
            measuring.check_outputs(case, {("Karusel", 1): [1.0, -2.0], ("JAX", 2): wrong})


def test_every_benchmark_is_listed_and_has_its_place() -> None:
    done = subprocess.run([ROOT / "dev", "bench", "--list"], capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^(\w+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(listed) == {
        *suite.NAMES,
        "suite",
        "closure",
        "control",
        "datapath",
        "m4",
        "memory",
        "monash",
        "nn5",
        "panel",
        "precision",
        "speech",
        "tasks",
    }
    for name in suite.NAMES:
        assert f"`./dev bench {name}`" in listed[name]
        assert f"<!-- {name}:start -->" in results.PAGE.read_text()


def test_every_task_of_our_own_worker_runs() -> None:
    shape = {"steps": 6, "inputs": 2, "hidden": 3}
    passes, stream = {"batches": 2, "rows": 4, **shape}, shape
    settings = {
        **dict.fromkeys(("train", "train ragged", "forward", "backward", "adam", "dense"), passes),
        **dict.fromkeys(("step", "loop"), stream),
        "predict": {"sequences": 25, "shortest": 5, **shape},
    }
    worker = measuring.Worker(results.OWN, 1)
    try:
        assert worker.answer() == {}
        for task, given in settings.items():
            answer = worker.repeat(task, given, 2)
            assert set(answer) == {"seconds", "memory_mb", "outputs"}, task
    finally:
        worker.close()
    source = (BENCHMARKS / "rivals" / "karusel_worker.py").read_text()
    assert set(re.findall(r'^        "([a-z ]+)": \w+,$', source, re.MULTILINE)) == set(settings)
