"""Keeps what a benchmark found: a JSON file by date and machine, and a table in docs/benchmarks.md."""

from __future__ import annotations

import datetime
import json
import pathlib
import statistics
import sys
from typing import Any

import machine

HERE = pathlib.Path(__file__).parent
MOST_OTHERS = 0.05  # of the processor, taken by other programs: more spoils the figures
PAGE = HERE.parent / "docs" / "benchmarks.md"


def summary(seconds: list[float]) -> dict[str, Any]:
    """Best and median of the rounds, with the rounds themselves."""
    return {"best": min(seconds), "median": statistics.median(seconds), "rounds": seconds}


def write_json(name: str, document: dict[str, Any], folder: pathlib.Path | None = None) -> pathlib.Path:
    """Writes `<date>-<processor>-<name>.json` and returns its path."""
    folder = folder or HERE / "results"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.date.today().isoformat()}-{machine.slug()}-{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def keep(name: str, document: dict[str, Any], text: str) -> None:
    """Writes the JSON file and the page's table, unless other programs disturbed the run."""
    others = document["others_share"]
    if others is not None and others > MOST_OTHERS:
        raise SystemExit(
            f"not kept: other programs took {others:.0%} of the processor meanwhile, {MOST_OTHERS:.0%} is "
            "the most that spoils nothing; run it again on an idle machine"
        )
    print(f"written: {write_json(name, document)}", file=sys.stderr)
    put_between_markers(name, text)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    marks = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, marks, *rows])


def put_between_markers(name: str, text: str, page: pathlib.Path = PAGE) -> None:
    """Replaces what stands between `<!-- name:start -->` and `<!-- name:end -->` on the page."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, found_start, rest = page.read_text().partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise SystemExit(
            f"{page.name} has no place for the table: put the lines {start} and {end} where it goes"
        )
    page.write_text(f"{before}{start}\n{text}\n{end}{after}")


def about(document: dict[str, Any]) -> str:
    """The line above a table: when, where, with what."""
    where = document["machine"]
    with_versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    sets = ", ".join(where["instruction_sets"])
    others = document["others_share"]
    busy = "an unknown part" if others is None else f"{others:.0%}"
    return (
        f"{document['date']}, {where['processor']}, {where['cores']} cores ({sets}), {where['system']}, "
        f"Python {where['python']}; {with_versions}. Other programs took {busy} of the processor meanwhile. "
        f"Command: `{document['command']}`."
    )
