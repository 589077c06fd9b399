"""`karusel inspect`: what it prints and draws, and one line with the right exit code when it cannot."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import karusel
from browser import DRIVER, Browser
from karusel import LSTM, Attention, Dense, Embedding, Forecaster, Sequential, inspect
from test_cli import karusel_run, refused, write
from test_report import Page, check_alone

PNG = b"\x89PNG\r\n\x1a\n"


def saved(path: Path, layers: list[Any], shape: tuple[int | None, int]) -> Sequential:
    net = Sequential(layers, random_state=1)
    net.build(shape)
    net.save(path)
    return net


@pytest.fixture
def model(tmp_path: Path) -> Path:
    saved(tmp_path / "net.karusel", [LSTM(6, direction="bidirectional"), Dense(2)], (5, 1))
    return tmp_path / "net.karusel"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """23 rows: four pieces of 5 steps, the last of which ends with the series, and 3 rows left over."""
    return write(tmp_path / "data.csv", "y\n" + "".join(f"{np.sin(k):.4f}\n" for k in range(23)))


def pieces(data: Path) -> list[np.ndarray]:
    return np.split(np.loadtxt(data, skiprows=1)[3:, None], 4)


def shown(*arguments: object) -> str:
    done = karusel_run("inspect", *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_json_is_what_the_module_says(model: Path, data: Path) -> None:
    found = json.loads(shown(model, data, "--json"))
    net = karusel.load(model)
    seen, horizon = inspect.gates(net, pieces(data)), inspect.memory_horizon(net, pieces(data))
    assert (found["sequences"], found["steps"], found["parameters"]) == (4, 5, net.count_params())
    assert [one["name"] for one in found["passes"]] == ["lstm_0.0.forward", "lstm_0.0.backward"]
    for got, one in zip(found["passes"], seen, strict=True):
        assert got["time_constants"] == pytest.approx(one.time_constants)
        assert got["closed"]["input"] == pytest.approx(one.closed["input"])
        assert got["open"]["output"] == pytest.approx(one.open["output"])
        assert got["dead"] == one.dead.tolist()
        assert got["reading"] == one.reading
    assert found["horizon"]["norms"] == pytest.approx(horizon.norms)
    assert (found["horizon"]["reach"], found["horizon"]["reading"]) == (horizon.reach, horizon.reading)


def test_text_is_a_table_with_readings(model: Path, data: Path) -> None:
    lines = shown(model, data).splitlines()
    assert lines[0].startswith(
        "net.karusel: Sequential([LSTM(hidden_size=6, direction='bidirectional'), Dense("
    )
    assert lines[1] == "  data.csv: 4 sequences of 5 steps"
    head = next(k for k, line in enumerate(lines) if line.startswith("LSTM "))
    assert lines[head].split() == [
        *("LSTM", "units", "least", "median", "most"),
        *("input", "forget", "output", "input", "forget", "output", "dead"),
    ]
    seen = inspect.gates(karusel.load(model), pieces(data))
    for line, one in zip(lines[head + 1 :], seen, strict=False):
        cells = line.split()
        assert cells[:2] == [one.name, "6"]
        assert [float(cell) for cell in cells[2:5]] == pytest.approx(
            [f(one.time_constants) for f in (np.min, np.median, np.max)], rel=0.01
        )
        assert cells[5:11] == [f"{t[g].mean():.0%}" for t in (one.closed, one.open) for g in t]
        assert cells[11] == str(one.dead.sum())
    assert len({len(line) for line in lines[head : head + 3]}) == 1  # the columns stand in line
    assert max(map(len, lines[head - 1 : head + 3])) <= 110
    assert "steps move the output: " in lines[-1]


def test_without_data_noise_stands_in(model: Path, tmp_path: Path) -> None:
    text = shown(model)
    assert "no DATA given: 8 sequences of 5 steps of noise stand in" in text
    assert shown(model) == text
    saved(tmp_path / "words.karusel", [Embedding(4, 3), LSTM(3), Dense(1)], (None, 2))
    assert json.loads(shown(tmp_path / "words.karusel", "--json"))["steps"] == 100


def test_series_of_several_ids_and_columns_by_name(tmp_path: Path) -> None:
    net = saved(tmp_path / "net.karusel", [LSTM(3), Dense(1)], (None, 2))
    rows = [f"{name},{k},{k / 7},{np.cos(k)}" for name, n in (("b", 4), ("a", 9)) for k in range(n)]
    table = write(tmp_path / "d.csv", "unique_id,t,u,y\n" + "\n".join(rows) + "\n")
    found = json.loads(
        shown(tmp_path / "net.karusel", table, "--input-col", "y", "--input-col", "u", "--json")
    )
    X = [np.stack([np.cos(np.arange(n)), np.arange(n) / 7], axis=1) for n in (9, 4)]
    assert (found["sequences"], found["steps"]) == (2, 9)
    assert found["horizon"]["norms"] == pytest.approx(inspect.memory_horizon(net, X).norms, rel=1e-5)
    assert "up to 9 steps" in shown(tmp_path / "net.karusel", table, "--input-col", "y", "--input-col", "u")


def test_a_plot(model: Path, data: Path, tmp_path: Path) -> None:
    shown(model, data, "--plot", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_a_report(model: Path, data: Path, tmp_path: Path) -> None:
    shown(model, data, "--report", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    page = Page(text)
    check_alone(text, page)
    net = karusel.load(model)
    seen, horizon = inspect.gates(net, pieces(data)), inspect.memory_horizon(net, pieces(data))
    words = page.all_text()
    assert "data.csv: 4 sequences of 5 steps" in words
    assert horizon.reading in words
    for one in seen:
        assert one.reading in words
        constants = one.time_constants
        cells = [f"{f(constants):.3g}" for f in (np.min, np.median, np.max)]
        assert f'<th scope="row">{one.name}</th><td>6</td><td>' + "</td><td>".join(cells) in text
    charts = [given for given in page.named("svg", "chart") if "key" not in given["class"]]
    assert len(charts) == 1 + 2 * 2  # the horizon; memory and gates of both directions
    assert all(given["aria-label"] for given in charts)
    bars = [float(given["height"]) for given in page.named("rect", "bar")[:5]]
    assert bars == pytest.approx(
        bars[horizon.norms[::-1].argmax()] * horizon.norms[::-1] / horizon.norms.max(), abs=0.1
    )
    counts = [float(given["height"]) for given in page.named("rect", "bar")[5:]]
    assert len(counts) == 2 * 12
    forget = [given["d"] for given in page.named("path", "history")]
    means = [np.mean([row.mean(axis=1) for row in one.forget], axis=0) for one in seen]
    for path, mean in zip(forget, means, strict=True):
        down = [float(place.split()[1]) for place in re.split("[ML]", path)[1:]]
        assert down == pytest.approx(160 * (1 - mean), abs=0.01)


@pytest.mark.skipif(DRIVER is None, reason="needs Chromium and its driver")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_report(model: Path, data: Path, tmp_path: Path, width: int) -> None:
    shown(model, data, "--report", tmp_path / "a.html")
    browser = Browser(tmp_path / "profile", width)
    try:
        browser.open(tmp_path / "a.html")
        assert browser.messages() == []
        assert browser.run("return document.documentElement.scrollWidth") == width
        every = "[...document.querySelectorAll('svg.chart:not(.key)')]"
        sizes = browser.run(f"return {every}.map(e => e.getBoundingClientRect().width)")
        assert len(sizes) == 5
        assert min(sizes) > 200
    finally:
        browser.close()


def test_a_report_of_memory_without_end_and_of_none(tmp_path: Path) -> None:
    """A unit that forgets nothing, and a network whose output does not depend on the input."""
    net = Sequential([LSTM(2), Dense(1)])
    net.build((3, 1))
    net.parameters["lstm_0.0.forward.b"][2:4] = 300
    net.parameters["dense_1.W"][:] = 0
    net.save(tmp_path / "net.karusel")
    shown(tmp_path / "net.karusel", "--report", tmp_path / "a.html")
    words = Page((tmp_path / "a.html").read_text()).all_text()
    assert "infinitely many" in words
    assert "No step moves the output: its derivative by every input is 0." in words


@pytest.mark.parametrize("units", [1, 2])
def test_a_report_of_units_that_forget_at_once(units: int, tmp_path: Path) -> None:
    net = Sequential([LSTM(2), Dense(1)])
    net.build((3, 1))
    net.parameters["lstm_0.0.forward.b"][2 : 2 + units] = -1e4
    net.save(tmp_path / "net.karusel")
    shown(tmp_path / "net.karusel", "--report", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "nan" not in text
    some = r"0(\.01\d*)?"  # a gate of 1e-38 is as far shut as some processors have it
    wanted = rf"remember {some} steps each" if units == 2 else rf"remember {some} to "
    assert re.search(wanted, Page(text).all_text())


def test_endless_memory_is_null_in_json(tmp_path: Path) -> None:
    net = Sequential([LSTM(2), Dense(1)])
    net.build((3, 1))
    net.parameters["lstm_0.0.forward.b"][2:4] = 300
    net.save(tmp_path / "net.karusel")
    assert json.loads(shown(tmp_path / "net.karusel", "--json"))["passes"][0]["time_constants"] == [
        None,
        None,
    ]
    assert " inf" in shown(tmp_path / "net.karusel")


# ---------------------------------------------------------------------------------------- refusals


def test_models_that_are_none(model: Path, tmp_path: Path) -> None:
    whole = model.read_bytes()
    assert "no.karusel" in refused(4, "inspect", tmp_path / "no.karusel")
    for name, contents in {
        "empty": b"",
        "truncated": whole[:-5],
        "changed": whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:],
        "text": b"ds,y\n1,2\n",
        "pickle": b"\x80\x04\x95" + bytes(50),
        "zip": b"PK\x03\x04" + bytes(50),
        "foreign": b"\x02\0\0\0\0\0\0\0{}",  # safetensors of another program
    }.items():
        assert name in refused(5, "inspect", write(tmp_path / name, contents))
    assert "is a folder" in refused(5, "inspect", tmp_path)
    Forecaster(2, backtest=False, n_members=1).fit(np.arange(30.0)).save(tmp_path / "forecaster")
    assert "holds a 'forecaster', not a network" in refused(5, "inspect", tmp_path / "forecaster")


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([Dense(1)], "the network has no LSTM to look into"),
        ([LSTM(2, initial_state="given"), Dense(1)], "needs an initial state with each call"),
        (
            [LSTM(2, return_sequences=True), Attention(3, [Dense(2, input_shape=(None, 1))])],
            "its Attention needs a source with each call",
        ),
    ],
)
def test_networks_that_cannot_be_looked_into(tmp_path: Path, layers: list[Any], words: str) -> None:
    saved(tmp_path / "net.karusel", layers, (4, 1))
    assert words in refused(5, "inspect", tmp_path / "net.karusel")


def test_data_that_do_not_fit(model: Path, data: Path, tmp_path: Path) -> None:
    assert "no.csv does not exist" in refused(4, "inspect", model, tmp_path / "no.csv")
    assert "is empty" in refused(5, "inspect", model, write(tmp_path / "e.csv", ""))
    two = write(tmp_path / "two.csv", "a,b\n1,2\n3,4\n")
    line = refused(5, "inspect", model, two)
    assert (
        "2 columns of numbers (a, b) where the network reads 1 per step; name the columns with --input-col"
        in line
    )
    assert "no column" in refused(2, "inspect", model, two, "--input-col", "c")
    holes = write(tmp_path / "holes.csv", "t,y\n1,2\n2,\n3,4\n")
    assert "row 2 below the header has no number in column 'y'" in refused(5, "inspect", model, holes)
    assert "binary file" in refused(5, "inspect", model, model)
    saved(tmp_path / "words.karusel", [Embedding(4, 3), LSTM(3), Dense(1)], (None, 1))
    for values in ("0.5", "4", "-1"):
        file = write(tmp_path / "ids.csv", f"y\n1\n{values}\n2\n")
        assert str(file) in refused(5, "inspect", tmp_path / "words.karusel", file)


def test_wrong_calls(model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "names columns of DATA" in refused(2, "inspect", model, "--input-col", "y")
    assert "is not a .png file" in refused(2, "inspect", model, "--plot", tmp_path / "a.jpg")
    assert "is the file that is read" in refused(2, "inspect", model, data, "--plot", model)
    assert "is the file that is read" in refused(2, "inspect", model, data, "--plot", data)
    assert "the folder" in refused(4, "inspect", model, "--plot", tmp_path / "none" / "a.png")
    assert "Missing argument" in refused(2, "inspect")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert 'pip install "karusel[plot]"' in refused(3, "inspect", model, "--plot", tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
    assert "is the file that is read" in refused(2, "inspect", model, data, "--report", data)
    assert "the folder" in refused(4, "inspect", model, "--report", tmp_path / "none" / "a.html")
