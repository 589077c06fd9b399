"""The documentation is true: its Python runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from karusel.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
TAUGHT = [page for page in PAGES if page.name == "what-is-an-lstm.md"]
WITH_PYTHON = [page for page in PAGES if "```python\n" in page.read_text()]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
KARUSEL = Path(sys.executable).with_name("karusel")
GROUPS = {group.name for group in app.registered_groups}  # of commands, such as `karusel transcribe train`


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line number of its first line, text) of each code block in this language."""
    text = page.read_text()
    return [
        (text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in FENCE.finditer(text)
        if match[1] == language
    ]


def commands(page: Path) -> list[str]:
    """Command lines of the page's `sh` blocks, comments taken off."""
    lines = [line for _, block in blocks(page, "sh") for line in block.splitlines()]
    return [stripped for line in lines if (stripped := re.sub(r"(^|\s)#.*", "", line).strip())]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_pages_are_there() -> None:
    assert {"README.md", "docs/lstm.md", "docs/model-file.md"} <= {name(page) for page in WITH_PYTHON}


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a page, one after another, as a reader would paste them."""
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, text in blocks(page, "python"):
        # The empty lines in front make a traceback show the line of the page.
        exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is not None:
        plots.close("all")


@pytest.mark.parametrize("page", TAUGHT, ids=name)
def test_pictures_are_drawn_by_the_code_above_them(page: Path) -> None:
    drawn: list[str] = []
    for code, picture in re.findall(
        r'savefig\("([\w-]+\.png)"|!\[[^\]]+\]\(\S*?([\w-]+\.png)\)', page.read_text()
    ):
        if code:
            drawn.append(code)
        else:
            assert [picture] == drawn, "each picture stands below the code that draws it"
            drawn.clear()
    assert not drawn
    assert page.read_text().count("](images/") + page.read_text().count("](../images/ru/") == 6


@pytest.mark.parametrize(
    "pages", [TAUGHT, [ROOT / "README.md", ROOT / "README.ru.md"]], ids=["lstm", "README"]
)
def test_a_page_in_russian_has_the_same_code(pages: list[Path]) -> None:
    """All but texts and comments."""
    for language in ("python", "sh"):
        english, russian = (
            re.sub(r'#.*|f?"[^"]*"', "", "".join(text for _, text in blocks(page, language)))
            for page in pages
        )
        assert english.split() == russian.split()


def test_the_readme_in_russian_leads_to_the_same_pages() -> None:
    """Where a page is there in Russian, to that."""
    english, russian = (
        set(re.findall(r"\]\((docs/[^)#\s]+\.md)", (ROOT / readme).read_text().replace("docs/ru/", "docs/")))
        for readme in ("README.md", "README.ru.md")
    )
    assert english == russian


SOURCES = ROOT / "src" / "karusel"
WITH_EXAMPLES = [path for path in sorted(SOURCES.rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_examples_in_docstrings_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(("karusel", *path.relative_to(SOURCES).with_suffix("").parts))
    found = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert found.attempted > 0
    assert found.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("readme", ["README.md", "README.ru.md"])
def test_readme_first_screen_is_short(readme: str) -> None:
    before, first, *_ = (ROOT / readme).read_text().split("```python\n")
    assert before.count("\n") <= 25
    assert first.split("```")[0].count("\n") <= 12


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", page.read_text())):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_dev_commands_exist(page: Path) -> None:
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^\./dev (\w+)", usage, re.MULTILINE))
    assert {"setup", "demo", "test", "check", "bench", "sanitize"} <= known
    for command, argument in re.findall(r"\./dev (\w+)(?: (\w+))?", page.read_text()):
        assert command in known
        if command == "bench" and argument:
            assert (ROOT / "benchmarks" / f"{argument}.py").exists()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_karusel_commands_exist(page: Path) -> None:
    for line in commands(page):
        if line.startswith("karusel "):
            _, *arguments = shlex.split(line)
            named = arguments[: 2 if arguments[0] in GROUPS else 1]
            done = subprocess.run([KARUSEL, *named, "--help"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            for option in arguments:
                if option.startswith("-"):
                    assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", done.stdout), (line, option)


WITH_COMMANDS = [page for page in PAGES if any(line.startswith("karusel ") for line in commands(page))]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_karusel_commands_run(page: Path, tmp_path: Path) -> None:
    """All of a page, one after another, as a reader would type them, after its Python."""
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    python = "".join(text for _, text in blocks(page, "python"))
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True, capture_output=True)
    there = set(os.listdir(tmp_path))
    environment = {**os.environ, "PATH": f"{KARUSEL.parent}:{os.environ['PATH']}"}
    typed = printed = ""
    for line in commands(page):
        if not line.startswith("karusel "):
            continue
        typed += line
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), line
        assert done.stdout
        printed += done.stdout
        made = set(os.listdir(tmp_path)) - there
        assert all(file in typed for file in made), f"{made} not asked for by {line}"
    for number, text in blocks(page, "text"):
        assert in_words(text) in in_words(printed), f"line {number} of the page is not what is printed"


def in_words(text: str) -> str:
    """Without line breaks and numbers, whose last digits depend on the processor."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", text).split())
