"""What is installed: its size, what importing it costs, life without a compiler, the public names, ./dev."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import karusel

ROOT = Path(__file__).parents[1]
SITE = sysconfig.get_paths()["purelib"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]

# The engine is built for one interpreter; another checkout or an installed package has no sources here.
pytestmark = pytest.mark.skipif(not (ROOT / "CMakeLists.txt").exists(), reason="needs the repository")


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def run_installed(package: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs code with `package` instead of the editable install, whose rebuild check takes time of its own."""
    command = [sys.executable, "-S", *options, "-c", code]
    return run(command, PYTHONPATH=os.pathsep.join([str(package), SITE]))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once, in the editable install's build folder: there is little left to compile."""
    folder = tmp_path_factory.mktemp("wheel")
    run([*PIP, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)])
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


# -------------------------------------------------------------------------------------- the wheel


def test_wheel_is_small_and_complete(wheel: Path) -> None:
    assert wheel.stat().st_size < 3e6
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "karusel/py.typed" in names
        assert any(re.fullmatch(r"karusel/_engine\..*(so|pyd)", name) for name in names)
        tops = {name.split("/")[0] for name in names}
        assert tops == {"karusel", f"karusel-{version('karusel')}.dist-info"}
        sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
        assert sources <= set(names)


def test_wheel_names_no_folder_of_the_machine(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert os.fsencode(ROOT) not in archive.read(name), name


def cumulative_microseconds(importtime: str, module: str) -> int:
    found = re.search(rf"^import time:\s+\d+ \|\s+(\d+) \| {module}$", importtime, re.MULTILINE)
    assert found is not None, importtime
    return int(found[1])


def test_importing_costs_little_more_than_numpy(installed: Path) -> None:
    ours, numpys = [], []
    for _ in range(7):
        for module, times in (("numpy", numpys), ("karusel", ours)):
            done = run_installed(installed, f"import {module}", "-X", "importtime")
            times.append(cumulative_microseconds(done.stderr, module))
    assert min(ours) <= 1.3 * min(numpys), (ours, numpys)


def test_importing_loads_nothing_heavy(installed: Path) -> None:
    code = "import sys, karusel; print(karusel.__file__); print(*sys.modules)"
    file, modules = run_installed(installed, code).stdout.splitlines()
    assert file.startswith(str(installed))
    heavy = {"duckdb", "rich", "typer", "narwhals", "matplotlib", "pandas", "polars", "safetensors", "torch"}
    assert heavy.isdisjoint(modules.split())


# -------------------------------------------------------------------------------------- no compiler

SMALL_FIT = """
import warnings
import numpy as np
from karusel import LSTM, Dense, Sequential

warnings.simplefilter("always")
for _ in range(2):
    net = Sequential([LSTM(3), Dense(1)])
    net.compile(loss="mean_squared_error", optimizer="adam")
    history = net.fit(np.ones((8, 4, 1)), np.ones(8), epochs=3)
losses = history.history["loss"]
assert losses[2] < losses[0], losses
print(*net.predict(np.ones((2, 4, 1))).shape)
"""


def test_install_and_fit_without_a_compiler(tmp_path: Path) -> None:
    target, build = tmp_path / "target", tmp_path / "build"
    command = [*PIP, "install", str(ROOT), "--no-deps", "--no-build-isolation", "--target", str(target)]
    run([*command, f"--config-settings=build-dir={build}"], CC="/bin/false", CXX="/bin/false")
    assert (target / "karusel" / "__init__.py").exists()
    assert not [file for file in (target / "karusel").iterdir() if file.suffix in (".so", ".pyd")]
    done = run_installed(target, SMALL_FIT)
    assert done.stdout == "2 1\n"
    assert done.stderr.count("reference executor") == 1, done.stderr
    series = ROOT / "examples" / "data" / "air_passengers.csv"
    command = ["forecast", str(series), "-H", "1", "--n-members", "1", "--no-backtest"]
    done = run_installed(target, f"from karusel.cli.run import run; raise SystemExit(run({command}))")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("karusel: karusel's compiled engine is not installed: ")


# -------------------------------------------------------------------------------------- public names


@pytest.mark.parametrize("name", karusel.__all__)
def test_public_name_resolves_and_is_documented(name: str) -> None:
    thing = getattr(karusel, name)
    if inspect.ismodule(thing) or inspect.isroutine(thing):
        assert thing.__doc__
    elif inspect.isclass(thing):
        assert "__doc__" in vars(thing), f"{name} has no docstring of its own"
        assert thing.__doc__


def test_methods_that_users_call_are_documented() -> None:
    for method, function in inspect.getmembers(karusel.Sequential, inspect.isfunction):
        assert method.startswith("_") or inspect.getdoc(function), f"Sequential.{method} has no docstring"


def test_public_names_are_listed_by_dir() -> None:
    assert set(karusel.__all__) <= set(dir(karusel))
    assert not hasattr(karusel, "no_such_name")


def test_one_version_everywhere() -> None:
    here = version("karusel")
    assert karusel.__version__ == here
    assert f'\nversion = "{here}"\n' in (ROOT / "pyproject.toml").read_text()
    assert f"\nversion: {here}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == here


REVEALED = """
import numpy as np
import karusel
from karusel import LSTM, Dense, Sequential

net = Sequential([LSTM(3), Dense(1)])
reveal_type(net)
reveal_type(net.fit(np.ones((8, 4, 1)), np.ones(8)).history)
reveal_type(net.evaluate(np.ones((8, 4, 1)), np.ones(8)))
reveal_type(net.parameters)
reveal_type(net.summary())
reveal_type(net.get_config())
reveal_type(karusel.load("m.karusel"))
"""


def test_types_that_a_user_sees(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(REVEALED)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(tmp_path / "user.py")]
    done = run([*command, "--cache-dir", str(ROOT / ".mypy_cache")], MYPYPATH=str(ROOT / "src"))
    # Older versions of mypy spell the built-in types out.
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout.replace("builtins.", ""))
    expected = [
        "karusel.network.Sequential",
        "dict[str, list[float]]",
        "float",
        "dict[str, numpy.ndarray",
        "str",
        "dict[str, Any]",
        "karusel.network.Sequential",
    ]
    assert len(revealed) == len(expected), done.stdout
    for got, start in zip(revealed, expected, strict=True):
        assert got.startswith(start), (got, start)


# -------------------------------------------------------------------------------------- ./dev


def bare_machine(folder: Path, *, header: bool) -> dict[str, str]:
    """An environment whose PATH has the usual small tools and a Python, but no compiler."""
    tools = folder / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "mkdir", "uname", "env"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    python = tools / "python3"
    python.write_text(f'#!{tools}/bash\nexec {sys._base_executable} "$@"\n')
    python.chmod(0o755)
    (folder / "site").mkdir()
    include = folder / "include"
    include.mkdir()
    if header:
        (include / "Python.h").touch()
    # sitecustomize runs before anything else: it moves the place where the headers are looked for.
    (folder / "site" / "sitecustomize.py").write_text(
        "import sysconfig\n"
        "paths = sysconfig.get_paths()\n"
        f"sysconfig.get_paths = lambda: {{**paths, 'include': {str(include)!r}}}\n"
    )
    return {"PATH": str(tools), "PYTHONPATH": str(folder / "site")}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (True, "missing: a C++ compiler; install it with: apt install g++   (Fedora: dnf install gcc-c++)"),
        (
            False,
            "missing: Python's headers, a C++ compiler; install it with: "
            "apt install python3-dev g++   (Fedora: dnf install python3-devel gcc-c++)",
        ),
    ],
)
def test_dev_on_a_machine_without_a_compiler(header: bool, words: str, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("dev", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    environment = bare_machine(tmp_path, header=header)
    for command in ("setup", "demo", "test"):
        done = subprocess.run(
            [str(clone / "dev"), command],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert (done.stdout, done.stderr) == ("", f"dev: {words}\n")
    assert not (clone / ".venv").exists()


def test_dev_refuses_an_unknown_command() -> None:
    done = subprocess.run([str(ROOT / "dev"), "fly"], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 2
    assert "no command 'fly'" in done.stderr


def test_dev_bench_lists_and_refuses(tmp_path: Path) -> None:
    dev = str(ROOT / "dev")
    listed = subprocess.run(
        [dev, "bench", "--list"], capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert "\nclosure " in f"\n{listed}"
    done = subprocess.run([dev, "bench", "none"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "no benchmark none" in done.stderr
