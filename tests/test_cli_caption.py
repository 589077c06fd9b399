"""`karusel caption`: what it prints and writes, and one line when it cannot."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from command import karusel_run, refused, write
from karusel.cli.pictures import images_in, read_images
from karusel.tasks import Captioner
from test_captioner import PATCH, drawn
from test_label_commands import image_of

pytest.importorskip("PIL")

FAST = ("--patch", PATCH, "--hidden-size", 32, "--dropout", 0.1, "--learning-rate", 0.006)


def table(path, listed, separator=",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter=separator)
        rows.writerow(("image", "caption"))
        rows.writerows((name, one) for name, its in listed.items() for one in its)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images and tables of their captions, to train on and to test."""
    folder = tmp_path_factory.mktemp("caption")
    for seed, (name, count) in enumerate({"train": 200, "test": 20}.items()):
        X, y = drawn(count, seed)
        for k, pixels in enumerate(X):
            image_of(pixels, folder / name / f"{k:03d}.png")
        table(folder / f"{name}.csv", {f"{k:03d}.png": its for k, its in enumerate(y)})
        table(folder / f"{name}.tsv", {f"{k:03d}.png": its for k, its in enumerate(y)}, "\t")
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    given = [folder / "train", folder / "train.csv", "--out", folder / "m.karusel"]
    done = karusel_run("caption", "train", *given, "--epochs", 25, "--threads", 1, *FAST)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_training_says_what_was_found(folder, trained) -> None:
    first, second, third = trained.splitlines()
    assert first.startswith("train.csv: 400 captions of 200 images of 16 x 24 pixels; 10 words, ")
    assert "of 25 epochs: " in second
    assert "nats per word on what is held out" in second
    assert third.startswith(f"{folder / 'm.karusel'} holds the model")


def test_training_can_be_told_in_json(folder) -> None:
    given = [folder / "test", folder / "test.tsv", "--out", folder / "small.karusel", "--json"]
    done = karusel_run("caption", "train", *given, "--epochs", 2, "--mirror", "--shift", 1, *FAST)
    found = json.loads(done.out)
    assert (found["images"], found["captions"], found["size"], found["epochs"]) == (20, 40, [16, 24], 2)
    assert set(found) >= {"file", "tokens", "weights", "best_epoch", "held_out", "seconds", "versions"}
    model = Captioner.load(folder / "small.karusel")
    assert (model.mirror, model.shift) == (True, 1)


def test_images_are_captioned_as_in_python(folder, trained) -> None:
    model = Captioner.load(folder / "m.karusel")
    paths = images_in(folder / "test")
    expected = model.predict(read_images(paths))
    done = karusel_run("caption", "run", folder / "m.karusel", folder / "test")
    assert (done.code, done.err) == (0, "")
    lines = [f"{path.name}\t{one}" for path, one in zip(paths, expected, strict=True)]
    assert done.out.splitlines() == lines
    done = karusel_run("caption", "run", folder / "m.karusel", paths[3])
    assert done.out.splitlines() == lines[3:4]
    out = folder / "found.csv"
    done = karusel_run("caption", "run", folder / "m.karusel", folder / "test", "--out", out)
    assert (done.code, done.out) == (0, f"{out} holds the captions of 20 images\n")
    with out.open(newline="") as file:
        assert [row["caption"] for row in csv.DictReader(file)] == expected
    done = karusel_run("caption", "run", folder / "m.karusel", folder / "test", "--json", "--beam-width", 1)
    assert [one["image"] for one in json.loads(done.out)["captions"]] == [path.name for path in paths]


def test_names_of_images_are_no_commands_to_the_terminal(folder, trained, tmp_path) -> None:
    name = "a\x1b[31m\tb.png"
    write(tmp_path / name, (folder / "test" / "000.png").read_bytes())
    done = karusel_run("caption", "run", folder / "m.karusel", tmp_path)
    assert done.out.split("\t")[0] == "a\\x1b[31m\\tb.png"
    done = karusel_run("caption", "run", folder / "m.karusel", tmp_path, "--json")
    assert json.loads(done.out)["captions"][0]["image"] == name


def test_attention_is_drawn(folder, trained) -> None:
    pytest.importorskip("matplotlib")
    plot = folder / "where.png"
    done = karusel_run("caption", "run", folder / "m.karusel", folder / "test", "--plot", plot)
    assert done.code == 0, done.err
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_scores_are_bleu(folder, trained) -> None:
    pytest.importorskip("sacrebleu")
    model = Captioner.load(folder / "m.karusel")
    X, y = drawn(20, 1)
    given = [folder / "m.karusel", folder / "test", folder / "test.csv"]
    found = json.loads(karusel_run("caption", "score", *given, "--json").out)
    assert (found["images"], found["captions"], found["tokenize"]) == (20, 40, "13a")
    assert found["bleu_1"] == pytest.approx(model.score(X, y, order=1))
    assert found["bleu_4"] == pytest.approx(model.score(X, y))
    text = karusel_run("caption", "score", *given, "--tokenize", "none").out
    assert text.startswith("test.csv: BLEU-1 ")
    assert text.endswith("over 20 images with 40 captions (sacrebleu, none)\n")


def test_what_cannot_be_read_gets_one_line(folder, trained, tmp_path) -> None:
    model, images = folder / "m.karusel", folder / "test"
    for name, shape in (("small", (8, 8)), ("large", (16, 28))):
        image_of(np.zeros(shape, np.uint8), tmp_path / "sizes" / f"{name}.png")
        image_of(np.zeros(shape, np.uint8), tmp_path / name / f"{name}.png")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes((images / "000.png").read_bytes()[:60])
    (tmp_path / "none").mkdir()
    write(tmp_path / "absent.csv", "image,caption\n000.png,a dark ring\nxyz.png,a dark bar\n")
    write(tmp_path / "gap.csv", "image,caption\n000.png,a dark ring\n001.png, \n")
    write(tmp_path / "names.csv", "file,text\n000.png,a dark ring\n")
    write(tmp_path / "head.csv", "image,caption\n")
    write(tmp_path / "sizes.csv", "image,caption\nsmall.png,a\nlarge.png,b\n")
    write(tmp_path / "broken.csv", "image,caption\na.png,a\n")
    write(tmp_path / "broken.karusel", model.read_bytes()[:-9])
    out = ["--out", tmp_path / "n.karusel"]
    train = ["caption", "train"]
    for code, arguments, message in (
        (
            4,
            [*train, images, tmp_path / "absent.csv", *out],
            f"absent.csv, line 3: {images} has no file 'xyz.png'; correct the name",
        ),
        (5, [*train, images, tmp_path / "gap.csv", *out], 'gap.csv, line 3, column "caption" is empty'),
        (
            2,
            [*train, images, tmp_path / "names.csv", *out],
            'names.csv has no column "image" to be the image',
        ),
        (5, [*train, images, tmp_path / "head.csv", *out], "head.csv has"),
        (4, [*train, images, tmp_path / "not-there.csv", *out], "not-there.csv does not exist"),
        (4, [*train, tmp_path / "nowhere", images / "000.png", *out], "nowhere does not exist"),
        (5, [*train, tmp_path / "sizes", tmp_path / "sizes.csv", *out], "bring all pictures to one size"),
        (
            5,
            [*train, tmp_path / "broken", tmp_path / "broken.csv", *out],
            "a.png is no image that can be read",
        ),
        (5, ["caption", "run", model, tmp_path / "broken"], "a.png is no image that can be read"),
        (
            5,
            ["caption", "run", model, tmp_path / "large"],
            "large: the images have 16 x 28 pixels, but 16 x 24",
        ),
        (5, ["caption", "run", model, tmp_path / "none"], "none has no images"),
        (4, ["caption", "run", model, tmp_path / "x.png"], "x.png does not exist"),
        (5, ["caption", "run", tmp_path / "broken.karusel", images], "is truncated"),
        (
            2,
            ["caption", "score", model, images, folder / "test.csv", "--tokenize", "words"],
            "must be one of 13a, none, intl, char",
        ),
        (
            2,
            [*train, images, folder / "test.csv", "--out", images / "000.png"],
            "000.png is the file that is read",
        ),
        (
            2,
            ["caption", "run", model, images, "--out", tmp_path / "x.csv", "--plot", tmp_path / "x.csv"],
            "--out and --plot both name",
        ),
        (2, ["caption", "run", model, images, "--plot", tmp_path / "x.pdf"], "x.pdf is not a .png file"),
        (2, [*train, images, folder / "test.csv", *out, "--unit", "letters"], "must be one of words, pairs"),
    ):
        assert message in refused(code, *arguments)
    assert not (tmp_path / "n.karusel").exists()
