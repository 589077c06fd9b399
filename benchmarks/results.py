"""Keeps what the benchmarks found, and says it: a JSON file by date and processor, the page with its summary.

A file holds {benchmark: document}. A document says when, where, with what and by which command it was
measured, and holds tables; a table holds entries, one for each case and number of threads::

    {"benchmark", "date", "machine", "versions", "command", "others_share", "peak_gflops", "rivals",
     "tables": [{"name", "about", "head", "unit", "rate",
                 "entries": [{"case", "threads", "work", "goals", "memory_mb",
                              "times": {contender: {"best", "median", "rounds"}}}]}]}

Times are seconds of one unit of work. `rivals` are the contenders that count when Karusel loses; others only
stand beside it. `work` is in GFLOP where the rate is GFLOP/s. Goals are by contender, "at least so many times
as fast", or one of the three names below.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import re
import statistics
from collections.abc import Iterator
from typing import Any

import machine

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
MOST_OTHERS = 0.05  # of the processor, taken by other programs: more spoils the figures
OWN = "Karusel"
SECONDS, OF_PEAK, OVER_ONE_THREAD = "seconds at most", "share of peak", "one thread"
UNITS = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}

Document = dict[str, Any]
Entry = dict[str, Any]


# -- keeping -----------------------------------------------------------------------------------------


def summary(seconds: list[float]) -> dict[str, Any]:
    """Best and median of the rounds, with the rounds themselves."""
    return {"best": min(seconds), "median": statistics.median(seconds), "rounds": seconds}


def disturbed(document: Document) -> str:
    """Why a document is not worth keeping; nothing where it is."""
    others = document["others_share"]
    if others is None or others <= MOST_OTHERS:
        return ""
    return (
        f"{document['benchmark']} is not kept: other programs took {others:.0%} of the processor meanwhile, "
        f"{MOST_OTHERS:.0%} is the most that spoils nothing; run it again on an idle machine"
    )


def keep(document: Document, folder: pathlib.Path = RESULTS, page: pathlib.Path = PAGE) -> pathlib.Path:
    """Puts the document into its day's and processor's file, and writes the page anew from all files."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{document['date'][:10]}-{machine.slug(document['machine']['processor'])}.json"
    path = folder / name
    documents = json.loads(path.read_text()) if path.exists() else {}
    documents[document["benchmark"]] = document
    path.write_text(json.dumps(documents, indent=1, ensure_ascii=False) + "\n")
    write_page(newest(folder), page)
    return path


def maker(document: Document) -> str:
    """Who makes the document's processor: AMD, Intel."""
    return re.split(r"\W", document["machine"]["processor"], maxsplit=1)[0]


def newest(folder: pathlib.Path = RESULTS) -> list[Document]:
    """The newest document of each benchmark on each maker's processors, by benchmark and maker."""
    found: dict[tuple[str, str], Document] = {}
    for path in sorted(folder.glob("*.json")):
        for name, document in json.loads(path.read_text()).items():
            place = name, maker(document)
            if place not in found or document["date"] >= found[place]["date"]:
                found[place] = document
    return [found[place] for place in sorted(found)]


def write_page(documents: list[Document], page: pathlib.Path = PAGE) -> None:
    """Every benchmark's tables, maker after maker, and the summary of all."""
    text = page.read_text()
    for name, group in itertools.groupby(documents, key=lambda document: document["benchmark"]):
        parts = [f"### {maker(document)}\n\n{tables(document)}" for document in group]
        text = between_markers(text, name, "\n\n".join(parts))
    page.write_text(between_markers(text, "summary", losses_and_misses(documents)))


def between_markers(text: str, name: str, new: str) -> str:
    """The page with what stands between `<!-- name:start -->` and `<!-- name:end -->` replaced."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, found_start, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise SystemExit(f"the page has no place for {name}: put the lines {start} and {end} where it goes")
    return f"{before}{start}\n{new}\n{end}{after}"


# -- saying ------------------------------------------------------------------------------------------


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    marks = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, marks, *rows])


def about(document: Document) -> str:
    """The line above a benchmark's tables: when, where, with what."""
    where = document["machine"]
    with_versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    sets = ", ".join(where["instruction_sets"])
    others = document["others_share"]
    busy = "an unknown part" if others is None else f"{others:.0%}"
    peaks = ", ".join(f"{value:g} GFLOP/s on {n}" for n, value in document.get("peak_gflops", {}).items())
    return (
        f"{document['date']}, {where['processor']}, {where['cores']} cores ({sets}), {where['system']}, "
        f"Python {where['python']}; {with_versions}. Other programs took {busy} of the processor meanwhile. "
        f"Command: `{document['command']}`." + (f" Peak: {peaks} threads." if peaks else "")
    )


def tables(document: Document) -> str:
    """All tables of a document with what it was measured on."""
    parts = [about(document)]
    for table in document["tables"]:
        whole_processes = len(table["entries"]) == 1 and table["entries"][0]["threads"] is None
        parts += [table["about"], processes(table) if whole_processes else cases(document, table)]
    return "\n\n".join(parts)


def processes(table: dict[str, Any]) -> str:
    """A row for each contender of the only case."""
    (entry,) = table["entries"]
    own, unit = entry["times"][OWN], table["unit"]
    head = ["process", f"best, {unit}", "median", "rounds", f"best / {OWN}", f"median / {OWN}", "goal"]
    rows = []
    for name, times in entry["times"].items():
        goal = entry["goals"].get(name)
        ratios = [f"{times[which] / own[which]:.2f}" for which in ("best", "median")]
        wanted = "" if goal is None else f"at least {goal:g}"
        rows.append([name, *durations(times, unit), str(len(times["rounds"])), *ratios, wanted])
    return markdown(head, rows)


def cases(document: Document, table: dict[str, Any]) -> str:
    """A row for each case and number of threads; Karusel first, each rival beside it."""
    entries, unit, rate = table["entries"], table["unit"], table["rate"]
    names = list(dict.fromkeys(name for entry in entries for name in entry["times"]))
    with_goal = {name for entry in entries for name in entry["goals"]}
    with_memory = any(entry.get("memory_mb") for entry in entries)
    of_peak = rate == "GFLOP/s"
    head = [table["head"], "threads"]
    for name in names:
        head += [f"{name}, {unit}", "median", *["MB"] * with_memory]
        if name == OWN:
            head += [*[rate] * bool(rate), *["of peak"] * of_peak]
        else:
            head += ["ratio", "of medians", *["goal"] * (name in with_goal)]
    rows = []
    for entry in entries:
        own = entry["times"][OWN]
        row = [entry["case"], str(entry["threads"])]
        for name in names:
            times = entry["times"].get(name)
            row += durations(times, unit)
            if with_memory:
                row.append(f"{entry['memory_mb'][name]:.0f}" if times else "-")
            if name == OWN:
                if rate:
                    row.append(significant(entry["work"] / own["best"]))
                if of_peak:
                    row.append(f"{share_of_peak(document, entry):.0%}")
                continue
            row += [f"{times[which] / own[which]:.2f}" if times else "-" for which in ("best", "median")]
            if name in with_goal:
                row.append(f"{entry['goals'].get(name, '-')}")
        rows.append(row)
    return markdown(head, rows)


def significant(value: float) -> str:
    """Four digits, never an exponent."""
    return f"{value:.4g}" if value < 1e4 else f"{value:.0f}"


def durations(times: dict[str, Any] | None, unit: str) -> list[str]:
    """Best and median as cells."""
    return [significant(times[which] * UNITS[unit]) if times else "-" for which in ("best", "median")]


def share_of_peak(document: Document, entry: Entry) -> float:
    """Of the measured multiply-add peak of as many threads."""
    peak = float(document["peak_gflops"][str(entry["threads"])])
    return float(entry["work"] / entry["times"][OWN]["best"] / peak)


def places(documents: list[Document]) -> Iterator[tuple[Document, dict[str, Any], Entry, list[str]]]:
    """Every entry with its document, its table, and the cells that name it."""
    for document in documents:
        for table in document["tables"]:
            for entry in table["entries"]:
                case = f"{table['name']} {entry['case']}".strip()
                threads = "" if entry["threads"] is None else str(entry["threads"])
                yield document, table, entry, [document["benchmark"], maker(document), case, threads]


def losses_and_misses(documents: list[Document]) -> str:
    """Where rivals are faster, and which goals are missed, by the bests of all documents."""
    lost, missed = [], []
    for document, table, entry, place in places(documents):
        own = entry["times"][OWN]["best"]
        for name, times in entry["times"].items():
            if name in document["rivals"] and times["best"] < own:
                lost.append((times["best"] / own, [name, *place, f"{times['best'] / own:.2f}"]))
        for name, goal in entry["goals"].items():
            if miss := missed_goal(document, table, entry, name, goal):
                missed.append([*place, *miss])
    lost.sort(key=lambda pair: pair[0])
    nowhere = f"{OWN} loses to no rival in any of these tables."
    where = ["benchmark", "processor", "case", "threads"]
    losses = markdown(["rival", *where, "ratio"], [row for _, row in lost])
    misses = markdown([*where, "goal", "reached"], missed)
    return (
        f"## Where {OWN} loses\nRatio: how many times as fast as the rival, by the best rounds.\n\n"
        f"{losses if lost else nowhere}\n\n## Goals missed\n{misses if missed else 'None.'}"
    )


def missed_goal(document: Document, table: dict[str, Any], entry: Entry, name: str, goal: float) -> list[str]:
    """The cells "goal" and "reached" of a missed goal; nothing for one that is met or was not measured."""
    own = entry["times"][OWN]["best"]
    if name == SECONDS:
        most, reached = (
            f"{significant(value * UNITS[table['unit']])} {table['unit']}" for value in (goal, own)
        )
        return [f"at most {most}", reached] if own > goal else []
    if name == OF_PEAK:
        share = share_of_peak(document, entry)
        return [f"{goal:.0%} of peak", f"{share:.0%}"] if share < goal else []
    if name == OVER_ONE_THREAD:
        others = [e for e in table["entries"] if e["case"] == entry["case"] and e["threads"] == 1]
        other = others[0]["times"][OWN] if others else None
    else:
        other = entry["times"].get(name)
    if other is None or other["best"] / own >= goal:
        return []
    return [f"{goal:g} times as fast as {name}", f"{other['best'] / own:.2f}"]
