"""The notebooks under examples/ run, say what stands in them, and differ in language alone."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def in_words(text: str) -> str:
    """Without numbers, whose last digits depend on the processor."""
    return " ".join(re.sub(r"-?\d+(\.\d+)?", "#", text).split())


def test_there_is_one_in_each_language() -> None:
    assert [path.name for path in NOTEBOOKS] == ["what_is_an_lstm.ipynb", "what_is_an_lstm_ru.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plots = pytest.importorskip("matplotlib.pyplot")
    plots.switch_backend("agg")
    monkeypatch.chdir(EXAMPLES)
    before, namespace = sorted(EXAMPLES.rglob("*")), {"__name__": "__main__"}
    for number, cell in enumerate(cells(path, "code")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"{path.name}, code cell {number + 1}", "exec"), namespace)
        kept = ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]
        verdict = "verdict_" in "".join(cell["source"])  # its words follow from figures
        if not verdict:
            assert in_words("".join(kept)) == in_words(printed.getvalue())
        assert len(plots.get_fignums()) == len(cell["outputs"]) - len(kept)
        plots.close("all")
    assert sorted(EXAMPLES.rglob("*")) == before, "a notebook leaves a file behind"
    assert namespace["sequences"][8] == [1.12, 1.3, 1.5, 1.7, 1.92]  # as in the lesson that it follows
    assert namespace["inside"] < 0.05
    assert namespace["outside"] > 5 > 0.05 > namespace["simple"]
    error = np.abs(namespace["forecast"]["LSTM"] - namespace["truth"]).mean()
    assert error < 0.5 * np.abs(namespace["last_year"] - namespace["truth"]).mean()


def test_the_table_shows_what_really_follows() -> None:
    """Not the value after it, which is the slip of the lesson that the notebooks follow."""
    for path in NOTEBOOKS:
        text = "".join(
            line for cell in cells(path, "code") for out in cell["outputs"] for line in out.get("text", [])
        )
        assert re.search(r"\[1\.5, 1\.71, 1\.92, 2\.15\] *\| *2\.3\d *\| *2\.38", text)


def test_they_differ_in_language_alone() -> None:
    """The same code but for texts and comments, and as many paragraphs."""
    code, paragraphs = zip(
        *(
            (
                re.sub(
                    r'#.*|f?"""[^"]*"""|f?"[^"]*"',
                    "",
                    "\n".join("".join(c["source"]) for c in cells(path, "code")),
                ),
                ["".join(c["source"]).count("\n\n") for c in cells(path, "markdown")],
            )
            for path in NOTEBOOKS
        ),
        strict=True,
    )
    assert code[0].split() == code[1].split()
    assert paragraphs[0] == paragraphs[1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(
        r"\]\(([^)#\s]+)", "".join("".join(c["source"]) for c in cells(path, "markdown"))
    ):
        assert (EXAMPLES / target).exists(), target
