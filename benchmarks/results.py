"""Keeps what a benchmark found: a JSON file by date and machine, and a table in docs/benchmarks.md."""

from __future__ import annotations

import datetime
import json
import pathlib
import statistics
from typing import Any

import machine

HERE = pathlib.Path(__file__).parent
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
    return (
        f"{document['date']}, {where['processor']}, {where['cores']} cores ({sets}), {where['system']}, "
        f"load before {where['load_before']}, Python {where['python']}; {with_versions}. "
        f"Command: `{document['command']}`."
    )
