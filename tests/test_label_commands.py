"""classify and label on the command line: from a file or a folder to a model, its labels and its score."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from command import KARUSEL, csv_of, karusel_run, refused, write
from karusel.cli.pictures import read_images
from karusel.cli.tasks import by_label, like_classes
from karusel.errors import DataError
from karusel.sources.labelled import read_labelled
from karusel.tasks import Classifier, Labeller
from test_classifier import bars, sentences, waves
from test_labeller import blocks, spells
from test_labeller import sentences as tagged
from test_model_commands import rows_of, run_well

QUICK = ("--hidden-size", 12, "--epochs", 15)


def text_rows(n: int, seed: int) -> str:
    texts, labels = sentences(n, seed)
    return "".join(f'"{text}",{("bad", "good")[label]}\n' for text, label in zip(texts, labels, strict=True))


def series_rows(n: int, seed: int) -> str:
    X, y = waves(n, seed)
    return "".join(
        f"s{number},{label},{step[0]:.4f},{step[1]:.4f}\n"
        for number, (series, label) in enumerate(zip(X, y, strict=True))
        for step in series
    )


def image_of(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, series and images to classify, and a model of each."""
    pytest.importorskip("PIL")
    made = tmp_path_factory.mktemp("classify")
    write(made / "texts.csv", "text,label\n" + text_rows(240, 0))
    write(made / "texts_test.csv", "text,label\n" + text_rows(60, 1))
    write(made / "series.csv", "unique_id,label,a,b\n" + series_rows(150, 0))
    write(made / "series_test.csv", "unique_id,label,a,b\n" + series_rows(30, 1))
    for name, n, seed in (("images", 120, 0), ("images_test", 30, 1)):
        for number, (pixels, upright) in enumerate(zip(*bars(n, seed), strict=True)):
            image_of(pixels, made / name / ("lying", "upright")[upright] / f"{number}.png")
    for name in ("texts", "series", "images"):
        source = made / (name if name == "images" else f"{name}.csv")
        text = run_well("classify", "train", source, "--out", made / f"{name}.karusel", *QUICK)
        assert text.startswith(source.name if name != "images" else str(source))
        assert text.endswith(f"karusel classify run {made / name}.karusel FILES labels others\n")
    return made


@pytest.mark.parametrize("name", ["texts", "series", "images"])
def test_a_model_classifies_in_a_fresh_process_as_in_python(folder, name, tmp_path):
    source = folder / (f"{name}_test" if name == "images" else f"{name}_test.csv")
    line = [*KARUSEL, "classify", "run", folder / f"{name}.karusel", source, "--out", tmp_path / "found.csv"]
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    rows = rows_of(tmp_path / "found.csv")
    model = Classifier.load(folder / f"{name}.karusel")
    if name == "texts":
        X, y = sentences(60, 1)
        truth = np.array(["bad", "good"])[y]
    elif name == "series":
        X, truth = waves(30, 1)
        X = [np.round(one, 4) for one in X]
    else:
        images, upright = bars(30, 1)
        order = sorted(range(30), key=lambda k: (upright[k], f"{k}.png"))
        X, truth = images[order], np.array(["lying", "upright"])[upright[order]]
    assert [row["label"] for row in rows] == model.predict(X).tolist()
    probability = model.predict_proba(X)
    for k, label in enumerate(model.classes_):
        np.testing.assert_array_equal([float(row[f"p_{label}"]) for row in rows], probability[:, k])
    document = json.loads(run_well("classify", "score", folder / f"{name}.karusel", source, "--json"))
    assert document["accuracy"] == pytest.approx(np.mean(model.predict(X) == np.array(truth)))
    assert document["accuracy"] > 0.85
    assert sum(row["count"] for row in document["labels"]) == len(rows)


def gif_of(frames: np.ndarray, path: Path) -> None:
    from PIL import Image

    first, *others = [Image.fromarray(one).convert("RGB") for one in frames]
    first.save(path, save_all=True, append_images=others)


def test_videos_are_folders_of_frames_arrays_or_gifs(tmp_path):
    """A bright square goes right or down; all three forms of the same videos give the same labels."""
    pytest.importorskip("PIL")
    random = np.random.default_rng(0)
    videos = np.zeros((40, 3, 12, 8), np.uint8)
    down = np.arange(40) % 2 == 1
    for video, falls in zip(videos, down, strict=True):
        row, column = random.integers(0, 4, 2)
        for frame in range(3):
            at = (row + 3 * frame, column) if falls else (row, column + 2 * frame)
            video[frame, at[0] : at[0] + 3, at[1] : at[1] + 3] = 255
    for number, (video, falls) in enumerate(zip(videos, down, strict=True)):
        name = f"{'down' if falls else 'right'}/{number:02d}"
        for frame, pixels in enumerate(video):
            image_of(pixels, tmp_path / "frames" / name / f"{frame}.png")
            image_of(np.stack([pixels] * 3, axis=-1), tmp_path / "colours" / name / f"{frame}.png")
        for form in ("arrays", "gifs"):
            (tmp_path / form / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "arrays" / f"{name}.npy", video)
        gif_of(video, tmp_path / "gifs" / f"{name}.gif")
    grey, colours = tmp_path / "grey.karusel", tmp_path / "colours.karusel"
    told = run_well("classify", "train", tmp_path / "frames", "--out", grey, *QUICK, "--json")
    assert json.loads(told)["found"].endswith("frames: 40 videos of 3 frames of 12 x 8 pixels in 2 folders")
    run_well("classify", "train", tmp_path / "gifs", "--out", colours, *QUICK)
    order = np.argsort(~down, kind="stable")
    for model, X, forms in (
        (grey, videos, ("frames", "arrays")),
        (colours, np.stack([videos] * 3, axis=-1), ("gifs", "colours")),
    ):
        expected = Classifier.load(model).predict(X[order])
        for form in forms:
            found = json.loads(run_well("classify", "run", model, tmp_path / form, "--json"))["labels"]
            assert [row["label"] for row in found] == expected.tolist()
            score = json.loads(run_well("classify", "score", model, tmp_path / form, "--json"))
            assert score["accuracy"] == np.mean(expected == np.where(down, "down", "right")[order])
    alone = json.loads(run_well("classify", "run", grey, tmp_path / "frames" / "down", "--json"))
    assert [row["example"] for row in alone["labels"]] == [f"{k:02d}" for k in range(1, 40, 2)]

    image_of(videos[0, 0], tmp_path / "frames" / "down" / "still.png")
    assert "still.png an image; give pictures of one kind" in refused(
        5, "classify", "score", grey, tmp_path / "frames"
    )
    np.save(tmp_path / "arrays" / "down" / "01.npy", np.zeros(4))
    assert "01.npy has shape [4]; a video is [frames, rows, columns]" in refused(
        5, "classify", "score", grey, tmp_path / "arrays"
    )
    np.savez(tmp_path / "several.npz", videos[0])
    for data in ("text", (tmp_path / "several.npz").read_bytes()):
        write(tmp_path / "arrays" / "down" / "01.npy", data)
        assert "01.npy is no NumPy file" in refused(5, "classify", "score", grey, tmp_path / "arrays")
    (tmp_path / "none" / "down").mkdir(parents=True)
    assert "and no videos (folders of images, .npy, .gif)" in refused(
        5, "classify", "score", grey, tmp_path / "none"
    )


def test_what_classify_prints(folder):
    lines = run_well("classify", "run", folder / "texts.karusel", folder / "texts_test.csv").splitlines()
    assert lines[0] == 'texts_test.csv: 60 texts in "text", labels in "label"'
    assert len(lines) == 22
    assert lines[-1] == "... and 40 more; --out FILE writes all"
    lines = run_well("classify", "score", folder / "series.karusel", folder / "series_test.csv").splitlines()
    assert lines[0].startswith("series_test.csv: 30 series, ")
    assert "the most frequent label alone would be right in 33.33 %" in lines[1]
    assert [line.split()[0] for line in lines[3:]] == ["fast", "slow", "still"]


def test_labels_are_no_commands_to_the_terminal(tmp_path):
    rows = [f"{word},\x1b[3{k}m{word}" for k, word in enumerate(("good", "bad"))] * 10
    path = write(tmp_path / "t.csv", csv_of(rows, "text,label"))
    model, settings = tmp_path / "m.karusel", ["--epochs", 1, "--hidden-size", 4]
    for arguments in (
        ["train", path, "--out", model, *settings],
        ["run", model, path],
        ["score", model, path],
    ):
        done = karusel_run("classify", *arguments)
        assert (done.code, done.err) == (0, "")
        assert "\x1b" not in done.out
        assert "\\x1b[3" in done.out


def test_scores_by_hand():
    found = by_label(np.array(list("aaab")), np.array(list("aabb")))
    assert found[0] == {"label": "a", "count": 3, "recall": 2 / 3, "precision": 1.0, "iou": 2 / 3}
    assert found[1] == {"label": "b", "count": 1, "recall": 1.0, "precision": 0.5, "iou": 0.5}


def test_labels_of_a_table_are_as_the_model_knows_them():
    numbers, truths = np.array([0, 1, 12]), np.array([False, True])
    assert like_classes(np.array(["12", "0", "1.0"]), numbers).tolist() == [12, 0, 1]
    assert like_classes(np.array(["True", "false"]), truths).tolist() == [True, False]
    assert like_classes(np.array(["1", "0"]), truths).tolist() == [1, 0]
    assert like_classes(np.array(["1", "0"]), np.array(["0", "1"])).tolist() == ["1", "0"]
    for odd in ("0.7", "nan", "inf", "one", "True"):
        with pytest.raises(DataError, match=f"a label is '{odd}', but they were whole numbers when fitted"):
            like_classes(np.array(["1", odd]), numbers)
    with pytest.raises(DataError, match="a label is 'yes', but they were True or False when fitted"):
        like_classes(np.array(["yes"]), truths)


def test_a_text_model_takes_json_and_no_labels(folder, tmp_path):
    write(tmp_path / "new.jsonl", '{"text": "a lovely film"}\n{"text": "the plot was awful"}\n')
    document = json.loads(
        run_well("classify", "run", folder / "texts.karusel", tmp_path / "new.jsonl", "--json")
    )
    assert [row["label"] for row in document["labels"]] == ["good", "bad"]
    write(tmp_path / "new.csv", "text\na lovely film\nthe plot was awful\n")
    run_well(
        "classify", "run", folder / "texts.karusel", tmp_path / "new.csv", "--out", tmp_path / "o.parquet"
    )
    assert (tmp_path / "o.parquet").exists()


def test_a_column_called_as_texts_are_is_not_the_labels(tmp_path):
    first = read_labelled([write(tmp_path / "a.csv", "mood,text\ngood,fine\nbad,awful\n")], labels=True)
    assert (first.text_col, first.label_col, first.texts) == ("text", "mood", ["fine", "awful"])
    both = write(tmp_path / "b.csv", "text,title\nfine,good\nawful,bad\n")
    assert read_labelled([both], text_col="text", labels=True).label_col == "title"
    with pytest.raises(
        DataError, match=r"b\.csv has no column of labels beside text, title; add one, or name"
    ):
        read_labelled([both], labels=True)


def test_byte_pairs_and_weights(folder, tmp_path):
    pytest.importorskip("tokenizers")
    options = ("--unit", "pairs", "--class-weight", "balanced", *QUICK)
    run_well("classify", "train", folder / "texts.csv", "--out", tmp_path / "m.karusel", *options)
    document = json.loads(
        run_well("classify", "score", tmp_path / "m.karusel", folder / "texts_test.csv", "--json")
    )
    assert document["accuracy"] > 0.85


# ------------------------------------------------------------------------------------------- label


def step_rows(X: list, y: list) -> str:
    return "".join(
        f"m{number},{label},"
        + ",".join(f"{value:.4f}" if not isinstance(value, str) else value for value in step)
        + "\n"
        for number, (steps, labels) in enumerate(zip(X, y, strict=True))
        for step, label in zip(([s] if isinstance(s, str) else s for s in steps), labels, strict=True)
    )


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("PIL")
    made = tmp_path_factory.mktemp("label")
    write(made / "series.csv", "machine,label,a,b\n" + step_rows(*spells(150, 0)))
    write(made / "series_test.csv", "machine,label,a,b\n" + step_rows(*spells(10, 1)))
    write(made / "words.csv", "machine,tag,word\n" + step_rows(*tagged(120, 0)))
    write(made / "words_test.csv", "machine,tag,word\n" + step_rows(*tagged(20, 1)))
    for name, n, seed in (("images", 150, 0), ("images_test", 10, 1)):
        for number, (pixels, labels) in enumerate(zip(*blocks(n, seed), strict=True)):
            wide = np.concatenate([pixels, pixels[..., :1]], axis=2)
            image_of(wide, made / name / f"{number:03d}.png")
            image_of(labels.astype(np.uint8), made / f"{name}_labels" / f"{number:03d}.png")
    for name in ("series", "words", "images"):
        source = made / (name if name == "images" else f"{name}.csv")
        more = (
            ("--masks", made / "images_labels", "--patch", 2) if name == "images" else ("--id-col", "machine")
        )
        text = run_well("label", "train", source, "--out", made / f"{name}.karusel", *QUICK, *more)
        assert " get their label\n" in text
    return made


@pytest.mark.parametrize("name", ["series", "words"])
def test_steps_of_tables_are_labelled(steps, name, tmp_path):
    source = (steps / f"{name}_test.csv", "--id-col", "machine")
    run_well("label", "run", steps / f"{name}.karusel", *source, "--out", tmp_path / "found.csv")
    rows = rows_of(tmp_path / "found.csv")
    X, y = spells(10, 1) if name == "series" else tagged(20, 1)
    X = [np.round(one, 4) for one in X] if name == "series" else X
    model = Labeller.load(steps / f"{name}.karusel")
    assert [row["label"] for row in rows] == np.concatenate(model.predict(X)).tolist()
    assert [int(row["step"]) for row in rows] == [step for one in y for step in range(len(one))]
    document = json.loads(run_well("label", "score", steps / f"{name}.karusel", *source, "--json"))
    assert document["accuracy"] == pytest.approx(model.score(X, y))
    assert document["mean_iou"] == pytest.approx(model.score(X, y, "mean_iou"))
    assert document["accuracy"] > 0.9
    assert run_well("label", "run", steps / f"{name}.karusel", *source).count("\n") == 7


def test_images_are_labelled_as_images(steps, tmp_path):
    from PIL import Image

    line = ("label", "run", steps / "images.karusel", steps / "images_test")
    refused(4, *line, "--out", tmp_path / "none")
    run_well(*line, "--out", tmp_path)
    X, y = blocks(10, 1)
    X = np.concatenate([X, X[..., :1]], axis=3)
    expected = Labeller.load(steps / "images.karusel").predict(X)
    for number, labels in enumerate(expected):
        with Image.open(tmp_path / f"{number:03d}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), labels)
    score = ("label", "score", steps / "images.karusel", steps / "images_test")
    document = json.loads(run_well(*score, "--masks", steps / "images_test_labels", "--json"))
    assert document["accuracy"] == pytest.approx(np.mean(expected == y))
    assert document["accuracy"] > 0.9


# ------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("text,label\ngood,a\n ,b\n", 'bad.csv, line 3, column "text" is empty'),
        ("text,label\ngood,a\nbad,\n", 'bad.csv, line 3, column "label": the label is missing'),
        ("text,label\ngood,a\nbad,a\n", "all labels are 'a'; at least two different ones"),
        ("unique_id,label,v\na,x,1\na,y,2\nb,y,1\n", "series \"a\" has the labels 'x' and 'y'"),
        ("unique_id,label,v\na,x,1\na,x,\nb,y,1\n", 'line 3, column "v" holds no finite number'),
        (b"text,label\n\x00\x01\x02,a\n", "is a binary file, not text"),
        ("text\ngood film\nbad film\n", "bad.csv has no column of labels beside text; add one"),
        ("text,label\ngood,a\nbad,b\n", "every label has a single example"),
    ],
)
def test_bad_rows_are_refused_in_one_line(text, words, tmp_path):
    source = write(tmp_path / "bad.csv", text)
    error = refused(5, "classify", "train", source, "--out", tmp_path / "m.karusel")
    assert words in error
    assert not (tmp_path / "m.karusel").exists()


def test_settings_of_other_kinds_of_examples_are_refused(folder, steps, tmp_path):
    out = ("--out", tmp_path / "x.karusel")
    for command, source, option, value, kinds in (
        ("classify", folder / "texts.csv", "shift", 1, "images, and these are texts"),
        ("classify", folder / "texts.csv", "sweep", "rows", "images, and these are texts"),
        ("classify", folder / "series.csv", "unit", "characters", "texts, and these are series"),
        ("classify", folder / "images", "unit", "pairs", "texts, and these are images"),
        ("label", steps / "series.csv", "patch", 2, "images, and these are series"),
    ):
        more = ("--id-col", "machine") if command == "label" else ()
        line = refused(2, command, "train", source, *out, *more, f"--{option}", value)
        assert f"--{option} is of {kinds}; leave it out" in line


def test_what_does_not_fit_is_refused_in_one_line(folder, steps, tmp_path):
    texts, out = folder / "texts.csv", ("--out", tmp_path / "m.karusel")
    assert "the folder" in refused(4, "classify", "train", texts, "--out", tmp_path / "no" / "m.karusel")
    assert "does not exist" in refused(4, "classify", "train", tmp_path / "none.csv", *out)
    assert 'has no column "words"' in refused(2, "classify", "train", texts, *out, "--text-col", "words")
    assert "name it with --id-col" in refused(2, "label", "train", texts, *out)
    numbers = write(tmp_path / "n.csv", "a,label\n1,x\n2,y\n")
    assert "name it with --id-col" in refused(2, "classify", "train", numbers, *out)
    assert "weight for each label, got 'fair'" in refused(
        2, "classify", "train", texts, *out, "--class-weight", "fair"
    )
    assert "Classifier: unit must be one of words, characters, pairs, got 'letters'" in refused(
        2, "classify", "train", texts, *out, "--unit", "letters"
    )
    model = folder / "texts.karusel"
    unseen = write(tmp_path / "unseen.csv", "text,label\nfine,great\nbad,bad\n")
    assert "label 'great' was not there in training" in refused(5, "classify", "score", model, unseen)
    assert "holds series, but the model labels texts" in refused(
        5, "classify", "run", model, folder / "series_test.csv"
    )
    assert "holds a labeller, not a classifier" in refused(
        5, "classify", "run", steps / "series.karusel", folder / "texts_test.csv"
    ).replace("'", "")


def test_images_that_do_not_fit_are_refused_in_one_line(folder, steps, tmp_path):
    from PIL import Image

    out = ("--out", tmp_path / "m.karusel")
    image_of(np.zeros((8, 8), np.uint8), tmp_path / "odd" / "a.png")
    error = refused(5, "classify", "run", folder / "images.karusel", tmp_path / "odd")
    assert "8 x 8 pixels, but 8 x 12 when fitted" in error
    assert "has no folders" in refused(5, "classify", "train", tmp_path / "odd", *out)
    write(tmp_path / "odd" / "b.png", b"no picture")
    assert "b.png is no image" in refused(5, "classify", "run", folder / "images.karusel", tmp_path / "odd")
    image_of(np.zeros((4, 8), np.uint8), tmp_path / "odd" / "b.png")
    assert "bring all pictures to one size" in refused(
        5, "classify", "run", folder / "images.karusel", tmp_path / "odd"
    )
    images = steps / "images"
    assert "--masks FOLDER says where" in refused(2, "label", "train", images, *out)
    assert "does not exist" in refused(4, "label", "train", images, *out, "--masks", tmp_path / "none")
    assert "has no image called 000" in refused(
        5, "label", "train", images, *out, "--masks", tmp_path / "odd"
    )
    for name in ("c.bmp", "c.png"):
        image_of(np.zeros((8, 12), np.uint8), tmp_path / "two" / name)
    for arguments in (
        ("label", "run", steps / "images.karusel", tmp_path / "two", "--out", tmp_path),
        ("label", "score", steps / "images.karusel", images, "--masks", tmp_path / "two"),
    ):
        assert "two holds c.bmp and c.png; images and their labels go together" in refused(5, *arguments)
    Image.new("RGB", (12, 8)).save(tmp_path / "c.png")
    with pytest.raises(DataError, match="has colours"):
        read_images([tmp_path / "c.png"], masks=True)
    assert "--text-col belongs to tables" in refused(
        2, "classify", "train", folder / "images", *out, "--text-col", "a"
    )


def test_damaged_images_are_one_error(tmp_path):
    """Whatever Pillow makes of them: an error of its own, one of Python's, or warnings alone."""
    image = pytest.importorskip("PIL.Image")
    picture = image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8))
    picture.save(tmp_path / "a.bmp")
    whole = (tmp_path / "a.bmp").read_bytes()
    (tmp_path / "a.bmp").write_bytes(whole[:18] + (10**6).to_bytes(4, "little") * 2 + whole[26:])
    with pytest.raises(DataError, match=r"a\.bmp is no image that can be read: Image size"):
        read_images([tmp_path / "a.bmp"])
    picture.save(tmp_path / "a.tif")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match=r"a\.tif is no image that can be read"):
        read_images([tmp_path / "a.tif"])
    (tmp_path / "a.png").mkdir()
    with pytest.raises(DataError, match=r"a\.png is a folder"):
        read_images([tmp_path / "a.png"])


def test_grey_of_more_than_8_bits_is_scaled(tmp_path):
    pytest.importorskip("PIL")
    deep = np.array([[0, 1000, 3000], [60000, 62000, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        image_of(deep, tmp_path / name)
        np.testing.assert_array_equal(read_images([tmp_path / name])[0], [[0, 4, 12], [233, 241, 255]])
    image_of(np.array([[0, 0.5, 1]], np.float32), tmp_path / "fractions.tif")
    np.testing.assert_array_equal(read_images([tmp_path / "fractions.tif"])[0], [[0, 128, 255]])
    image_of(np.array([[0, 7, 255]], np.int32), tmp_path / "whole.tif")
    np.testing.assert_array_equal(read_images([tmp_path / "whole.tif"])[0], [[0, 7, 255]])
    for bad in (np.array([[0, 256]], np.int32), np.float32([[0, 1.5]]), np.float32([[0, np.nan]])):
        image_of(bad, tmp_path / "bad.tif")
        with pytest.raises(
            DataError, match=r"bad\.tif holds pixels from \S+ to \S+; grey of 32 bits must lie"
        ):
            read_images([tmp_path / "bad.tif"])


def test_no_output_replaces_what_is_read(folder, steps, tmp_path):
    read = write(tmp_path / "texts.csv", (folder / "texts.csv").read_bytes())
    query = ("--sql", f"select * from '{read}'")
    words = write(tmp_path / "words.csv", (steps / "words.csv").read_bytes())
    image_of(np.zeros((8, 12), np.uint8), tmp_path / "images" / "a" / "0.png")
    image = tmp_path / "images" / "a" / "0.png"
    for out, arguments in [
        (read, ("classify", "run", folder / "texts.karusel", read)),
        (read, ("classify", "run", folder / "texts.karusel", *query)),
        (read, ("classify", "train", *query)),
        (image, ("classify", "train", tmp_path / "images")),
        (words, ("label", "run", steps / "words.karusel", words, "--id-col", "machine")),
        (image, ("label", "train", steps / "images", "--masks", tmp_path / "images")),
    ]:
        before = out.read_bytes()
        assert f"{out} is the file that is read" in refused(2, *arguments, "--out", out)
        assert out.read_bytes() == before


def test_help_names_the_commands():
    done = karusel_run("classify", "--help")
    assert done.code == 0
    assert all(word in done.out for word in ("train", "run", "score"))
