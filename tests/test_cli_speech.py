"""`karusel transcribe` and `karusel control`: what they print and write, and one line when they cannot."""

from __future__ import annotations

import io
import json
import subprocess
import wave

import numpy as np
import pytest

from command import KARUSEL, karusel_run, refused
from karusel.tasks import Controller, Policy, Transcriber
from test_controller import Tank, record
from test_transcriber import speech, write_wav

FAST = ["--hidden-size", 16, "--num-layers", 1, "--threads", 1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings, a list of them, a record of a tank, and a model of each."""
    folder = tmp_path_factory.mktemp("speech")
    rows = ["file,text"]
    for k, (samples, text) in enumerate(zip(*speech(60, 0), strict=True)):
        write_wav(folder / f"{k}.wav", samples)
        rows.append(f"{k}.wav,{text}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    u, y = record(500, 0)
    lines = [f"{a:.5f},{b:.5f}" for a, b in zip(u, y, strict=True)]
    (folder / "tank.csv").write_text("\n".join(["u,y", *lines]) + "\n")
    return folder


@pytest.fixture(scope="module")
def heard(folder):
    arguments = [folder / "list.csv", "--out", folder / "m.karusel", "--epochs", 15, *FAST]
    done = karusel_run("transcribe", "train", *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


@pytest.fixture(scope="module")
def tank(folder):
    columns = ["--input-col", "u", "--output-col", "y"]
    settings = ["--low", 0, "--high", 2, "--known", 10, "--ahead", 40, "--epochs", 20, "--threads", 1]
    arguments = [folder / "tank.csv", *columns, *settings, "--out", folder / "tank.karusel"]
    done = karusel_run("control", "train", *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_training_says_what_was_found(folder, heard) -> None:
    first, second, third = heard.splitlines()
    assert first == "list.csv: 60 recordings of 8,000 samples a second; 3 characters, abc"
    assert "Trained 15 epochs" in second
    assert "% are written down right" in second
    assert str(folder / "m.karusel") in third


def test_wav_files_are_written_down_as_in_python(folder, heard) -> None:
    files = [folder / "0.wav", folder / "7.wav"]
    model = Transcriber.load(folder / "m.karusel")
    done = karusel_run("transcribe", "run", folder / "m.karusel", *files)
    assert done.out == "".join(
        f"{file}\t{text}\n" for file, text in zip(files, model.predict(files), strict=True)
    )
    done = karusel_run("transcribe", "run", folder / "m.karusel", *files, "--json", "--beam-width", 1)
    found = json.loads(done.out)["transcripts"]
    assert [one["file"] for one in found] == list(map(str, files))


def test_names_of_recordings_are_no_commands_to_the_terminal(folder, heard, tmp_path) -> None:
    path = tmp_path / "a\x1b[31m\nb.wav"
    path.write_bytes((folder / "0.wav").read_bytes())
    [line] = karusel_run("transcribe", "run", folder / "m.karusel", path).out.splitlines()
    assert line.split("\t")[0] == f"{tmp_path}/a\\x1b[31m\\nb.wav"
    listed = tmp_path / "\x1b[31m.csv"
    listed.write_text(f"file,text\n{folder / '0.wav'},a\n")
    done = karusel_run("transcribe", "score", folder / "m.karusel", listed)
    assert done.out.startswith("\\x1b[31m.csv: ")


def test_scores_of_texts_and_characters(folder, heard) -> None:
    model = Transcriber.load(folder / "m.karusel")
    X, y = [folder / f"{k}.wav" for k in range(60)], speech(60, 0)[1]
    found = json.loads(
        karusel_run("transcribe", "score", folder / "m.karusel", folder / "list.csv", "--json").out
    )
    assert found["recordings"] == 60
    assert found["right"] == model.score(X, y)
    assert found["error_rate"] == model.error_rate(X, y)
    text = karusel_run("transcribe", "score", folder / "m.karusel", folder / "list.csv").out
    assert f"list.csv: {100 * found['right']:.2f} % of 60 texts are right" in text


def test_training_prints_one_document(folder) -> None:
    arguments = [folder / "list.csv", "--out", folder / "n.karusel", "--epochs", 1, "--live", "--json", *FAST]
    document = json.loads(karusel_run("transcribe", "train", *arguments).out)
    assert document["recordings"] == 60
    assert document["rate"] == 8000
    assert set(document["held_out"]) == {"loss", "right"}
    assert Transcriber.load(folder / "n.karusel").live


def test_recordings_that_cannot_be_read(folder, heard, tmp_path) -> None:
    train = ["transcribe", "train"]
    out = ["--out", tmp_path / "m.karusel"]
    assert "does not exist" in refused(4, *train, tmp_path / "none.csv", *out)
    (tmp_path / "a.csv").write_text("name,words\nx.wav,a\n")
    assert "it must have `file` and `text`" in refused(5, *train, tmp_path / "a.csv", *out)
    (tmp_path / "a.csv").write_text("file,text\nx.wav\n")
    assert "a.csv, row 1: a file and its text are needed" in refused(5, *train, tmp_path / "a.csv", *out)
    (tmp_path / "a.csv").write_text("file,text\nx\0.wav,a\n")
    refused(5, *train, tmp_path / "a.csv", *out)
    (tmp_path / "a.csv").write_text("file,text\nx.wav,a\n")
    refused(4, *train, tmp_path / "a.csv", *out)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    assert "is no CSV file in UTF-8" in refused(5, *train, tmp_path / "a.csv", *out)
    run = ["transcribe", "run", folder / "m.karusel"]
    silent = write_wav(tmp_path / "s.wav", np.zeros(4000))
    assert "is silent" in refused(5, *run, silent)
    assert f"{str(tmp_path)!r} is a folder" in refused(5, *run, tmp_path)
    cut = tmp_path / "cut.wav"
    cut.write_bytes((folder / "0.wav").read_bytes()[:-100])
    assert "is cut off" in refused(5, *run, cut)
    with wave.open(str(tmp_path / "wide.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    wide = bytearray((tmp_path / "wide.wav").read_bytes())
    wide[32:36] = 8, 0, 64, 0
    (tmp_path / "wide.wav").write_bytes(wide)
    assert "has samples of 64 bits; save it with 16" in refused(5, *run, tmp_path / "wide.wav")
    assert "are expected; convert it" in refused(
        5, *run, write_wav(tmp_path / "r.wav", np.sin(np.arange(900)), 16000)
    )
    assert "0.wav is the file that is read" in refused(
        2, *train, folder / "list.csv", "--out", folder / "0.wav"
    )
    assert "karusel transcribe" in refused(2, "transcribe", "train", folder / "list.csv")
    refused(5, "transcribe", "run", folder / "list.csv", folder / "0.wav")


def test_a_process_is_learned_and_scored(folder, tank) -> None:
    first, second, third = tank.splitlines()
    assert first == "tank.csv: 496 steps"
    assert "simulation of the last 99, which were held out: off by" in second
    assert "--target VALUE controls" in third
    model = Controller.load(folder / "tank.karusel")
    columns = ["--input-col", "u", "--output-col", "y"]
    found = json.loads(
        karusel_run("control", "score", folder / "tank.karusel", folder / "tank.csv", *columns, "--json").out
    )
    rows = np.loadtxt(folder / "tank.csv", delimiter=",", skiprows=1)
    assert found["error"] == pytest.approx(model.score(rows[:, 0], rows[:, 1]))
    assert found["linear_error"] == pytest.approx(model.score_linear(rows[:, 0], rows[:, 1]))


def test_a_process_is_controlled_over_a_pipe(folder, tank) -> None:
    """A line for each line, at once; a set point behind the output goes before --target."""
    process = subprocess.Popen(
        [*KARUSEL, "control", "run", folder / "tank.karusel", "--target", "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    plant, level = Tank(3), 1.0
    hand = Controller.load(folder / "tank.karusel").stream()
    for k in range(50):
        target = 2.0 if k < 25 else 1.5
        process.stdin.write(f"{level!r}\n" if k < 25 else f"{level!r},{target}\n")
        process.stdin.flush()
        answer = float(process.stdout.readline())
        assert answer == pytest.approx(hand.step(level, target), rel=1e-5, abs=1e-6)
        assert 0 <= answer <= 2
        level = plant.step(answer)
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()
    assert level == pytest.approx(1.5, abs=0.1)


def test_processes_that_cannot_be_learned_or_controlled(folder, tank, tmp_path, monkeypatch) -> None:
    train = ["control", "train", folder / "tank.csv", "--out", tmp_path / "m.karusel"]
    columns = ["--input-col", "u", "--output-col", "y"]
    assert "--low and --high" in refused(2, *train, *columns)
    assert "--input-col and --output-col" in refused(2, *train, "--low", 0, "--high", 1)
    assert "low must be below high" in refused(2, *train, *columns, "--low", 1, "--high", 1)
    assert "at least" in refused(5, *train, *columns, "--low", 0, "--high", 1, "--ahead", 600)
    records = (folder / "t*k.csv", *columns, "--low", 0, "--high", 1)
    assert "tank.csv is the file that is read" in refused(
        2, "control", "train", *records, "--out", folder / "tank.csv"
    )
    assert "either RECORDS" in refused(2, "control", "train", "--out", tmp_path / "m.karusel")
    for given, target, code, message in [
        ("1\n", [], 5, "line 1 of the input has 1 numbers"),
        ("one\n", [2], 5, "line 1 of the input is 'one', not numbers"),
        (b"\xff\n", [], 5, "line 1 of the input is '\ufffd', not numbers"),
        ("1,9\n", [], 5, "line 1 of the input: target 9 lies outside"),
        ("1\n", [1, 2], 2, "--target must be given once for each of 1 outputs"),
    ]:
        text = given if isinstance(given, bytes) else given.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))
        options = [part for one in target for part in ("--target", one)]
        assert message in refused(code, "control", "run", folder / "tank.karusel", *options)


def test_options_that_would_do_nothing_are_refused(folder, tank, tmp_path) -> None:
    model, out = folder / "tank.karusel", ["--out", tmp_path / "m.karusel"]
    records = [folder / "tank.csv", "--input-col", "u", "--output-col", "y"]
    pole = ["--environment", "CartPole-v1"]
    assert "No such option: --low" in refused(2, "control", "score", model, *records, "--low", 0)
    for what, arguments in [
        ("--high is of a process", ["train", *pole, "--high", 1, "--goal", 9, *out]),
        ("--goal is of an environment", ["train", *records, "--low", 0, "--high", 1, "--goal", 9, *out]),
        ("--target is of a process", ["run", model, *pole, "--target", 1]),
        ("--input-col is of a process", ["score", model, *pole, "--input-col", "u"]),
        ("--known is of a process", ["train", *pole, "--known", 20, "--goal", 9, *out]),
        ("--caution is of a process", ["train", *pole, "--caution", 0, "--goal", 9, *out]),
        ("--episodes is of an environment", ["run", model, "--target", 1, "--episodes", 1]),
        ("--episodes is of an environment", ["score", model, *records, "--episodes", 100]),
    ]:
        assert f"{what}; leave it out" in refused(2, "control", *arguments)


def test_a_mark_before_the_first_line_is_no_part_of_it(folder, tank, monkeypatch) -> None:
    told = []
    for mark in ("", "\ufeff"):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{mark}1,1.5\n1.1,1.5\n"))
        told.append(karusel_run("control", "run", folder / "tank.karusel"))
    assert told[0] == told[1]
    assert told[0].out.count("\n") == 2


def test_a_policy_is_learned_played_and_scored(tmp_path) -> None:
    pytest.importorskip("gymnasium")
    pole = ["--environment", "CartPole-v1"]
    path = tmp_path / "pole.karusel"
    done = karusel_run(
        "control",
        "train",
        *pole,
        "--observe",
        "0,2",
        "--goal",
        25,
        "--time-limit",
        20,
        "--threads",
        1,
        "--out",
        path,
    )
    assert (done.code, done.err) == (0, "")
    assert "CartPole-v1: " in done.out
    returns = Policy.load(path).play("CartPole-v1", episodes=3)
    document = json.loads(karusel_run("control", "run", path, *pole, "--episodes", 3, "--json").out)
    assert document["returns"] == returns
    said = karusel_run("control", "score", path, *pole, "--episodes", 3).out
    assert f"mean return of 3 episodes {np.mean(returns):.1f}, least {min(returns):g}" in said
    out = ["--out", tmp_path / "x.karusel"]
    assert "--goal or --time-limit" in refused(2, "control", "train", *pole, *out)
    assert "could not be made" in refused(5, "control", "train", "--environment", "No-v1", "--goal", 1, *out)
    assert "is not a list of numbers" in refused(
        2, "control", "train", *pole, "--observe", "x", "--goal", 1, *out
    )
