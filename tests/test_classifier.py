"""Classifier: series, texts and images; probabilities; what it refuses; its file."""

from __future__ import annotations

import numpy as np
import pytest

from karusel import LSTM, Sequential
from karusel.errors import DataError, ModelFileError, UsageError
from karusel.saving import load_file, save_file
from karusel.tasks import Classifier
from karusel.tasks.labelling import sweeps
from karusel.tasks.moving import Moved
from karusel.tasks.sequences import Images, Series, Texts, Videos, reader_of

SMALL = {"hidden_size": 12, "embedding_size": 8, "epochs": 20}


def waves(n: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Two numbers a step: a fast or a slow wave, of any length, and noise."""
    random = np.random.default_rng(seed)
    X, y = [], []
    for k in range(n):
        t = np.arange(random.integers(12, 40))
        label = ("fast", "slow", "still")[k % 3]
        speed = {"fast": 1.2, "slow": 0.3, "still": 0.0}[label]
        wave = np.sin(speed * t + random.uniform(0, 6)) + 0.1 * random.normal(size=t.size)
        X.append(np.stack([100 + 5 * wave, random.normal(size=t.size)], axis=1))
        y.append(label)
    return X, y


def sentences(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    random = np.random.default_rng(seed)
    good, bad = ["fine", "good", "lovely", "great"], ["bad", "dull", "poor", "awful"]
    filler = ["the", "film", "was", "a", "very", "plot", "with", "and", "of", "actors"]
    y = random.integers(0, 2, n)
    texts = []
    for label in y:
        words = list(random.choice(filler, random.integers(3, 12)))
        words.insert(random.integers(0, len(words)), str(random.choice(good if label else bad)))
        texts.append(" ".join(words).capitalize() + ".")
    return texts, y


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 x 12 pixels with one bar, upright or lying."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    X = random.integers(0, 60, (n, 8, 12)).astype(np.uint8)
    for image, upright in zip(X, y, strict=True):
        at = random.integers(0, 8)
        if upright:
            image[:, at] = 250
        else:
            image[at] = 250
    return X, y


@pytest.fixture(scope="module")
def labelled() -> Classifier:
    return Classifier(**SMALL).fit(*waves(400, 0))


def test_series_of_any_lengths(labelled):
    X, y = waves(90, 1)
    assert labelled.classes_.tolist() == ["fast", "slow", "still"]
    assert labelled.score(X, y) > 0.95
    probability = labelled.predict_proba(X)
    assert probability.shape == (90, 3)
    np.testing.assert_allclose(probability.sum(1), 1)
    assert (labelled.classes_[probability.argmax(1)] == labelled.predict(X)).all()


def test_examples_may_come_in_parts_of_pandas():
    pandas = pytest.importorskip("pandas")
    X, y = sentences(60, 0)
    model = Classifier(**{**SMALL, "epochs": 2}).fit(X[5:], y[5:])
    again = Classifier(**{**SMALL, "epochs": 2}).fit(pandas.Series(X)[5:], pandas.Series(y)[5:])
    assert again.score(pandas.Series(X)[5:], pandas.Series(y)[5:]) == model.score(X[5:], y[5:])
    rows = np.random.default_rng(0).normal(size=(60, 7))
    texts = pandas.DataFrame({"text": ["a b", "b a"] * 5})
    for kind in (None, "texts"):
        with pytest.raises(DataError, match=r"texts are a table of 1 column; .* by itself, such as table"):
            Classifier(kind=kind, **SMALL).fit(texts, [0, 1] * 5)
    frame = pandas.DataFrame(rows, columns=list("abcdefg"))
    model = Classifier(**{**SMALL, "epochs": 2}).fit(rows[5:], y[5:])
    again = Classifier(**{**SMALL, "epochs": 2}).fit(frame[5:], y[5:])
    np.testing.assert_array_equal(again.predict_proba(frame[5:]), model.predict_proba(rows[5:]))


def test_texts_by_words_and_by_characters():
    X, y = sentences(240, 0)
    for unit in ("words", "characters"):
        model = Classifier(unit=unit, **{**SMALL, "epochs": 20}).fit(X, y)
        assert model.score(*sentences(100, 1)) > (0.95 if unit == "words" else 0.8)


@pytest.mark.parametrize("sweep", ["patches", "rows", "pixels"])
def test_images_are_read_as_sequences(sweep):
    model = Classifier(kind="images", sweep=sweep, **{**SMALL, "epochs": 15}).fit(*bars(200, 0))
    assert model.score(*bars(100, 1)) > 0.9


def test_images_of_another_range_are_refused():
    X, y = bars(20, 0)
    whole, fractions = (
        Classifier(kind="images", **{**SMALL, "epochs": 1}).fit(images, y) for images in (X, X / 255)
    )
    np.testing.assert_array_equal(whole.predict_proba(X.astype(float)), whole.predict_proba(X))
    assert len(whole.predict(np.zeros((2, 8, 12)))) == 2  # black is black
    with pytest.raises(DataError, match=r"are floats within 1 \(float64\), but whole numbers from 0 to 255"):
        whole.score(X / 255, y)
    with pytest.raises(DataError, match=r"are whole numbers \(uint8\), but floats when fitted"):
        fractions.predict(X)


def test_patches_lie_row_by_row():
    image = np.arange(48.0).reshape(1, 6, 8)
    reader = Images("patches", 2).fit(image)
    (got,) = reader.read(image)
    assert got.shape == (12, 4)
    assert reader.grid == (3, 4)
    np.testing.assert_array_equal(reader.joined(got[None])[..., 0] + 0.5, image)
    np.testing.assert_array_equal(got[0] + 0.5, [0, 1, 8, 9])
    np.testing.assert_array_equal(got[5] + 0.5, [18, 19, 26, 27])


def test_patches_of_a_video_are_a_grid_of_rows_columns_and_frames():
    video = np.arange(2 * 3 * 4 * 6, dtype=float).reshape(2, 3, 4, 6)
    reader = Videos("patches", 2).fit(video)
    got = reader.read(video)
    assert got.shape == (2, 18, 4)
    assert reader.grid == (2, 3, 3)
    for row, column, frame in ((0, 0, 0), (1, 2, 0), (0, 1, 2), (1, 0, 1)):
        step = (row * 3 + column) * 3 + frame
        patch = video[1, frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_array_equal(got[1, step] + 0.5, patch.ravel())


@pytest.mark.parametrize("grid", [(3, 4), (2, 3, 4)])
def test_sweeps_read_every_line_along_each_axis_by_itself(grid):
    swept = Sequential(sweeps(grid, 5, 1), random_state=4)
    x = np.random.default_rng(0).normal(size=(2, int(np.prod(grid)), 3)).astype(np.float32)
    expected = x.reshape(2, *grid, 3)
    swept.build(x.shape[1:])
    found = swept.predict(x)
    for axis in range(len(grid)):
        lstm = Sequential([LSTM(5, direction="bidirectional", return_sequences=True)])
        lines = np.moveaxis(expected, axis + 1, -2)
        lstm.build(lines.shape[-2:])
        for name, array in lstm.parameters.items():
            array[:] = swept.parameters[name.replace("lstm_0", f"lstm_{2 * axis}")]
        read = lstm.predict(lines.reshape(-1, *lines.shape[-2:]))
        expected = np.moveaxis(read.reshape(*lines.shape[:-1], 10), -2, axis + 1)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-6)


def test_videos_are_read_as_sequences():
    random = np.random.default_rng(0)

    def films(n):
        """A bright spot that moves to the right or to the left."""
        X, y = random.integers(0, 60, (n, 4, 4, 8)).astype(np.uint8), random.integers(0, 2, n)
        for video, right in zip(X, y, strict=True):
            row = random.integers(0, 4)
            for frame in range(4):
                video[frame, row, 2 * frame if right else 6 - 2 * frame] = 250
        return X, y

    model = Classifier(kind="videos", patch=2, **{**SMALL, "epochs": 15}).fit(*films(200))
    assert model.score(*films(100)) > 0.9
    with pytest.raises(DataError, match="3 x 4 x 8 pixels, but 4 x 4 x 8 when fitted"):
        model.predict(np.zeros((1, 3, 4, 8), np.uint8))


def test_words_and_characters_that_are_rare_are_unknown():
    reader = Texts("words").fit(["A dog, a cat.", "a dog!", "the DOG"])
    assert reader.known == ("a", "dog")
    np.testing.assert_array_equal(reader.read(["dog a bird"])[0], [2, 1, 0])
    assert Texts("characters", least=1).fit(["ab"]).symbols == 3


def test_numbers_are_centred_by_the_training_data():
    reader = Series().fit([[[1.0, 5.0], [3.0, 5.0]], [[5.0, 5.0]]])
    np.testing.assert_allclose(reader.read([[[3.0, 6.0]]])[0], [[0.0, 1.0]])


def test_a_number_that_never_changes_keeps_its_unit():
    column = np.full(1000, 0.1)
    assert column.std() > 0  # by rounding
    reader = Series().fit([column])
    assert reader.spread == (1.0,)
    np.testing.assert_allclose(reader.read([[0.2]])[0], [[0.1]])


def test_held_out_probabilities_are_calibrated():
    random = np.random.default_rng(3)
    y = random.integers(0, 2, 400)
    noisy = np.where(random.random(400) < 0.25, 1 - y, y)  # a quarter of the labels are wrong
    X = [np.full(6, float(label)) + 0.1 * random.normal(size=6) for label in y]
    model = Classifier(**SMALL).fit(X, noisy)
    assert 0.6 < model.predict_proba(X).max(1).mean() < 0.85


def test_a_rare_label_counts_as_much_when_balanced():
    random = np.random.default_rng(0)
    y = (random.random(400) < 0.08).astype(int)
    X = [(0.8 * label + random.normal(size=(4, 1))) for label in y]
    found = [
        Classifier(class_weight=weight, **SMALL).fit(X, y).predict(X).mean() for weight in (None, "balanced")
    ]
    assert found[1] > 2 * found[0]
    assert found[1] > 0.15


def test_labels_have_the_weights_that_are_given():
    X, y = waves(90, 0)
    model = Classifier(class_weight={"still": 0.0}, **SMALL).fit(X, y)
    assert set(model.predict(X)) == {"fast", "slow"}
    with pytest.raises(UsageError, match="numbers from 0 up for some of the labels 'fast', 'slow', 'still'"):
        Classifier(class_weight={"loud": 2.0}, **SMALL).fit(X, y)
    with pytest.raises(UsageError, match=r"class_weight must be None, .*, got 'fair'"):
        Classifier(class_weight="fair", **SMALL).fit(X, y)


def test_whole_numbers_may_come_as_objects():
    X, y = waves(30, 0)
    numbers = np.array([("fast", "slow", "still").index(label) for label in y], object)
    model = Classifier(**{**SMALL, "epochs": 1}).fit(X, numbers)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(X, numbers) == np.mean(model.predict(X) == numbers)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"random_state": -1}, "random_state must be a whole number from 0 up, got -1"),
        ({"random_state": 1.5}, "random_state must be a whole number from 0 up, got 1.5"),
        ({"sweep": 1}, "sweep must be one of patches, rows, pixels, got 1"),
        ({"direction": np.array(["a"])}, "direction must be one of bidirectional, forward, got array"),
        ({"learning_rate": "x"}, "learning_rate must be a finite number above 0, got 'x'"),
        ({"embedding_size": True}, "embedding_size must be a whole number from 1 up, got True"),
        ({"dropout": None}, "dropout must be at least 0 and below 1, got None"),
        ({"epochs": 2**70}, "epochs must be at most 2,147,483,647, got 1180591620717411303424"),
        ({"validation_share": None}, "validation_share must lie between 0 and 1, got None"),
        (
            {"class_weight": np.array([1, 2])},
            "class_weight must be None, 'balanced' or a weight for each.*, got array",
        ),
        (
            {"class_weight": {"still": None}},
            "class_weight must hold numbers from 0 up for some of the labels .*, got {'still': None}",
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(setting, words):
    with pytest.raises(UsageError, match=words):
        Classifier(**{**SMALL, **setting}).fit(*waves(9, 0))


def test_a_time_limit_is_a_number():
    for limit in ("x", True, np.nan):
        with pytest.raises(
            UsageError, match=f"time_limit must be a number of seconds above 0, got {limit!r}"
        ):
            Classifier(**SMALL).fit(*waves(30, 0), time_limit=limit)


def test_byte_pairs():
    pytest.importorskip("tokenizers")
    X, y = sentences(240, 0)
    model = Classifier(unit="pairs", **SMALL).fit(X, y)
    assert model.score(*sentences(100, 1)) > 0.9
    frequent = Texts("pairs").fit(["banana bandana"] * 3)
    parts = next(iter(frequent._cut(["banana"])))
    assert "".join(parts).endswith("banana")
    assert len(parts) < 6  # pairs, not characters
    assert (
        reader_of(frequent.config()).read(["banana?"])[0].tolist() == frequent.read(["banana?"])[0].tolist()
    )


def test_training_images_are_moved_within_their_frame():
    images = np.random.default_rng(0).normal(size=(40, 6, 8)).astype(np.float32)
    reader = Images("patches", 2).fit(images)
    pixels, steps = reader.numbers(images), reader.read(images)
    Moved(reader, pixels, steps, 1, 0).on_begin(None)
    moved = reader.joined(steps)
    places = set()
    for before, after in zip(pixels, moved, strict=True):
        wide = np.pad(before, [(1, 1), (1, 1), (0, 0)], mode="edge")
        where = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if np.array_equal(wide[down : down + 6, right : right + 8], after)
        ]
        assert len(where) == 1
        places.add(where[0])
    assert len(places) == 9


def test_moved_images_are_what_is_trained_on():
    X, y = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 2
    X[y == 1, 3, :] = 250
    X[y == 0, 3, :4] = 250
    options = {"kind": "images", "patch": 2, "random_state": 1, **SMALL, "epochs": 10}
    losses = [Classifier(shift=shift, **options).fit(X, y).history_["loss"] for shift in (0, 2)]
    assert losses[0] != losses[1]


def test_the_same_seed_gives_the_same_bits():
    X, y = waves(60, 0)
    one, two = (
        Classifier(n_jobs=jobs, **{**SMALL, "epochs": 3}).fit(X, y).predict_proba(X) for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_a_saved_classifier_gives_the_same_answers(tmp_path, labelled):
    texts = Classifier(**{**SMALL, "epochs": 2}).fit(*sentences(40, 0))
    images = Classifier(kind="images", **{**SMALL, "epochs": 2}).fit(*bars(40, 0))
    for model, data in ((labelled, waves(9, 5)), (texts, sentences(9, 5)), (images, bars(9, 5))):
        model.save(tmp_path / "m.karusel")
        again = Classifier.load(tmp_path / "m.karusel")
        np.testing.assert_array_equal(again.predict_proba(data[0]), model.predict_proba(data[0]))
        assert (again.predict(data[0]) == model.predict(data[0])).all()
        assert again.hidden_size == model.hidden_size
        assert reader_of(model.reader_.config()) == model.reader_
    data = (tmp_path / "m.karusel").read_bytes()
    (tmp_path / "m.karusel").write_bytes(data[:-3])
    with pytest.raises(ModelFileError, match="truncated"):
        Classifier.load(tmp_path / "m.karusel")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("classes",), 1),
        (("classes",), ["fast", "slow"]),
        (("classes",), [None, 0.5]),
        (("temperature",), None),
        (("temperature",), 0),
        (("reader", "mean"), 3),
        (("reader", "mean"), []),
        (("reader", "mean", 0), "a b"),
        (("reader", "mean", 0), 10**400),
        (("reader", "spread", 0), 0),
        (("settings", "n_jobs"), ["a"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_field_of_another_type_or_size_is_refused_at_load(place, value, tmp_path, labelled):
    path = tmp_path / "m.karusel"
    labelled.save(path)
    header, tensors = load_file(path, "classifier")
    at = header
    for key in place[:-1]:
        at = at[key]
    assert at[place[-1]] != value
    at[place[-1]] = value
    save_file(path, "classifier", header, tensors)
    with pytest.raises(ModelFileError, match="describes no"):
        Classifier.load(path)


def interrupt(epoch, logs):
    raise KeyboardInterrupt


def test_a_fit_that_fails_or_is_interrupted_leaves_the_model_as_it_was():
    X, y = waves(60, 0)
    model = Classifier(**{**SMALL, "epochs": 2}).fit(X, y)
    before = model.predict_proba(X)
    two = [label == "still" for label in y]
    with pytest.raises(UsageError, match="time_limit must be"):
        model.fit([series[:, :1] for series in X], two, time_limit=-1)
    with pytest.raises(KeyboardInterrupt):
        model.fit([series[:, :1] for series in X], two, progress=interrupt)
    assert model.classes_.tolist() == ["fast", "slow", "still"]
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert model.fit([series[:, :1] for series in X], two).classes_.tolist() == [False, True]


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (["", "a a"], [0, 1], "text 0 is empty"),
        (["a a", b"b"], [0, 1], "text 1 is bytes, not text"),
        ([[1.0], [2.0]], ["a", "a"], "all labels are 'a'"),
        ([[1.0], [2.0]], [0, 1, 1], "2 examples and 3 labels"),
        ([[1.0], [np.nan]], [0, 1], "series 1, step 0 holds NaN"),
        ([[[1.0, 2.0]], [[1.0]]], [0, 1], "series 1 has 1 numbers a step, the others have 2"),
        ([[1.0], []], [0, 1], "series 1 has shape"),
        ([[1.0], [2.0]], [0.5, 1.0], "label 0 is 0.5; labels must be all text or all whole numbers"),
        ([[1.0], [2.0]], np.array([0.5, 1.0]), "labels are float64"),
        ([[1.0], [2.0], [3.0]], ["a", "b", np.nan], "label 2 is nan; labels must be all text"),
        ([[1.0], [2.0], [3.0]], ["a", None, "b"], "label 1 is None"),
        ([[1.0], [2.0]], [1, "a"], "label 1 is 'a'"),
        ([[1.0], [2.0]], ["a", "b\ud800"], r"the label 'b\\ud800' has '\\ud800' as character 2"),
        (["a a", "a \ud800"], [0, 1], r"text 1 has '\\ud800' as character 3"),
        ([[1.0], [2.0]], [0, 1], "every label has a single example"),
        ([], [], "labels must be one for each example"),
    ],
)
def test_bad_data_is_refused(X, y, words):
    with pytest.raises(DataError, match=words):
        Classifier(**SMALL).fit(X, y)


def test_what_does_not_fit_what_was_fitted_is_refused(labelled):
    with pytest.raises(DataError, match="label 'loud' was not there in training"):
        labelled.score(waves(1, 0)[0], ["loud"])
    with pytest.raises(DataError, match="3 numbers a step, the others have 2"):
        labelled.predict([np.zeros((4, 3))])
    images = Classifier(kind="images", **{**SMALL, "epochs": 1}).fit(*bars(20, 0))
    with pytest.raises(DataError, match="8 x 8 pixels, but 8 x 12 when fitted"):
        images.predict(np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(UsageError, match="cannot be cut into patches of 5 x 5"):
        Classifier(kind="images", patch=5).fit(*bars(20, 0))
    with pytest.raises(UsageError, match="num_layers must be a whole number from 1 up, got 0"):
        Classifier(kind="images", num_layers=0).fit(*bars(20, 0))
    with pytest.raises(UsageError, match="not fitted"):
        Classifier().predict([[1.0]])
    with pytest.raises(UsageError, match="not fitted"):
        Classifier().compare(np.array([1]), [1])
    with pytest.raises(UsageError, match=r"kind must be one of .*, got 'sounds'"):
        Classifier(kind="sounds").fit([[1.0]], [1])
