"""`karusel translate`: what it prints and writes, and one line when it cannot."""

from __future__ import annotations

import json
import subprocess

import pytest

from command import KARUSEL, karusel_run, refused
from karusel.tasks import Translator
from test_translator import parallel

pytest.importorskip("tokenizers")

FAST = ["--vocabulary-size", 290, "--hidden-size", 48, "--dropout", 0.1, "--learning-rate", 0.01]


def write(path, lines) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sentences and their translations, to train on, to hold out and to test."""
    folder = tmp_path_factory.mktemp("translate")
    for seed, (name, count) in enumerate({"train": 300, "val": 30, "test": 20}.items()):
        for language, lines in zip(("de", "en"), parallel(count, seed), strict=True):
            write(folder / f"{name}.{language}", lines)
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    files = [folder / "train.de", folder / "train.en", "--validation", folder / "val.de", folder / "val.en"]
    settings = ["--epochs", 25, "--threads", 1, *FAST]
    done = karusel_run("translate", "train", *files, "--out", folder / "m.karusel", *settings)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_training_says_what_was_found(folder, trained) -> None:
    first, second, third = trained.splitlines()
    assert first.startswith("train.de: 300 sentences; 290 byte pairs, ")
    assert "of 25 epochs: " in second
    assert "nats per byte pair on what is held out" in second
    assert str(folder / "m.karusel") in third


def test_training_can_be_told_in_json(folder) -> None:
    arguments = [folder / "val.de", folder / "val.en", "--out", folder / "small.karusel", "--json"]
    done = karusel_run("translate", "train", *arguments, "--epochs", 2, *FAST)
    found = json.loads(done.out)
    assert (found["sentences"], found["byte_pairs"], found["epochs"]) == (30, 290, 2)
    assert set(found) >= {"file", "translations", "weights", "best_epoch", "held_out", "seconds", "versions"}


def test_lines_are_translated_as_in_python(folder, trained) -> None:
    model = Translator.load(folder / "m.karusel")
    sentences = (folder / "test.de").read_text(encoding="utf-8").splitlines()
    expected = model.predict(sentences)
    done = karusel_run("translate", "run", folder / "m.karusel", folder / "test.de")
    assert (done.code, done.out.splitlines()) == (0, expected)
    done = karusel_run(
        *("translate", "run", folder / "m.karusel", folder / "test.de", "--out", folder / "found.en")
    )
    assert (done.code, done.out) == (0, "")
    assert (folder / "found.en").read_text(encoding="utf-8").splitlines() == expected
    found = json.loads(
        karusel_run("translate", "run", folder / "m.karusel", folder / "test.de", "--json").out
    )
    assert [one["translation"] for one in found["translations"]] == expected
    assert [one["source"] for one in found["translations"]] == sentences
    (folder / "windows.de").write_bytes(
        b"\xef\xbb\xbf" + (folder / "test.de").read_bytes().replace(b"\n", b"\r\n")
    )
    windows = karusel_run("translate", "run", folder / "m.karusel", folder / "windows.de", "--json")
    assert json.loads(windows.out)["translations"] == found["translations"]


def test_standard_input_is_translated(folder, trained) -> None:
    done = subprocess.run(
        [*KARUSEL, "translate", "run", folder / "m.karusel", "-", "--alignment", "--beam-width", "1"],
        input="eins zwei\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "two one"
    assert all(line.startswith("  ") for line in rest)
    assert rest[-1].split()[0] == "(end)"


def test_alignment_is_drawn(folder, trained, tmp_path) -> None:
    image = pytest.importorskip("matplotlib.image")
    command = ["translate", "run", folder / "m.karusel"]
    sizes = []
    for number, more in enumerate(([], ["--alignment"])):
        plot = tmp_path / f"{number}.png"
        assert karusel_run(*command, folder / "test.de", "--plot", plot, *more).code == 0
        sizes.append(image.imread(plot).shape)
    assert sizes[0] == sizes[1]  # the same four sentences
    write(tmp_path / "one.de", ["eins"])
    assert karusel_run(*command, tmp_path / "one.de", "--plot", tmp_path / "one.png").code == 0
    assert image.imread(tmp_path / "one.png").shape[0] < sizes[0][0] / 3
    for name in ("one.svg", "one.pdf", "one"):
        error = refused(2, *command, tmp_path / "one.de", "--plot", tmp_path / name)
        assert f"{name} is not a .png file; plots are written as PNG" in error
    assert "one.de" in refused(2, *command, tmp_path / "one.de", "--plot", tmp_path / "one.de")


def test_alignment_in_json(folder, trained) -> None:
    done = karusel_run("translate", "run", folder / "m.karusel", folder / "test.de", "--alignment", "--json")
    for one in json.loads(done.out)["translations"]:
        aligned = one["alignment"]
        assert "".join(aligned["source"]) == one["source"]
        assert "".join(aligned["translation"]) == one["translation"]
        assert len(aligned["weights"]) == len(aligned["translation"])
        assert all(sum(line) == pytest.approx(1, abs=0.01) for line in aligned["weights"])


def test_scores_are_bleu(folder, trained) -> None:
    pytest.importorskip("sacrebleu")
    model = Translator.load(folder / "m.karusel")
    X, y = parallel(20, 2)
    files = [folder / "m.karusel", folder / "test.de", folder / "test.en"]
    found = json.loads(karusel_run("translate", "score", *files, "--json").out)
    assert (found["sentences"], found["tokenize"]) == (20, "13a")
    assert found["bleu"] == pytest.approx(model.score(X, y))
    text = karusel_run("translate", "score", *files, "--tokenize", "none").out
    assert text.startswith("test.de: BLEU ")
    assert text.endswith("over 20 sentences (sacrebleu, none)\n")


def test_what_cannot_be_read_gets_one_line(folder, trained, tmp_path) -> None:
    model, out = folder / "m.karusel", ["--out", tmp_path / "n.karusel"]
    write(tmp_path / "short.en", ["one"])
    write(tmp_path / "gap.de", ["eins", "", "zwei"])
    write(tmp_path / "cyrillic.txt", ["привет"])
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes(b"f\xfcnf\n")
    (tmp_path / "broken.karusel").write_bytes(model.read_bytes()[:-9])
    train = ["translate", "train", folder / "train.de"]
    for code, arguments, message in (
        (
            5,
            [*train, tmp_path / "short.en", *out],
            "train.de has 300 lines, short.en has 1: each sentence needs",
        ),
        (4, [*train, tmp_path / "not-there.en", *out], "does not exist; check the name"),
        (2, ["translate", "train", "-", "-", *out], "name a file for one of them"),
        (5, ["translate", "run", model, tmp_path / "gap.de"], "gap.de, line 2 is empty; leave it out"),
        (5, ["translate", "run", model, tmp_path / "empty.txt"], "empty.txt is empty"),
        (5, ["translate", "run", model, tmp_path], "is a folder; give a file"),
        (5, ["translate", "run", model, tmp_path / "latin.txt"], "latin.txt: byte 2, 0xfc, is no UTF-8 text"),
        (5, ["translate", "run", model, tmp_path / "cyrillic.txt"], "the model reads another script"),
        (5, ["translate", "run", tmp_path / "broken.karusel", folder / "test.de"], "is truncated"),
        (
            2,
            ["translate", "score", model, folder / "test.de", folder / "test.en", "--tokenize", "words"],
            "must be one of 13a, none, intl, char",
        ),
    ):
        assert message in refused(code, *arguments)
    assert not (tmp_path / "n.karusel").exists()
