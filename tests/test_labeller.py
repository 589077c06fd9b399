"""Labeller: steps of series, words and pixels; probabilities; streams; what it refuses; its file."""

from __future__ import annotations

import numpy as np
import pytest

from karusel.errors import DataError, ModelFileError, UsageError
from karusel.tasks import Labeller

SMALL = {"hidden_size": 12, "embedding_size": 8, "epochs": 20}


def spells(n: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two numbers a step, of any length: what the first one's mean is in a spell, amid noise."""
    random = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(n):
        labels = np.repeat(random.choice(["low", "high", "none"], 6), random.integers(3, 9, 6))
        level = np.select([labels == "low", labels == "high"], [90.0, 110.0], 100.0)
        X.append(
            np.stack([level + 3 * random.normal(size=labels.size), random.normal(size=labels.size)], axis=1)
        )
        y.append(labels)
    return X, y


def sentences(n: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """A noun follows an article or an adjective; "light" is either, as the word before and after it says."""
    random = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(n):
        words, tags = [], []
        for _ in range(random.integers(1, 4)):
            words.append(str(random.choice(["The", "a"])))
            tags.append("article")
            if random.random() < 0.5:
                words.append(str(random.choice(["light", "old"])))
                tags.append("adjective")
            words.append(str(random.choice(["light", "house", "dog"])))
            tags.append("noun")
            words.append(str(random.choice(["shines", "stands"])))
            tags.append("verb")
        X.append(words)
        y.append(tags)
    return X, y


def blocks(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of 8 x 12 pixels with a block, bright or dark, on noise; each pixel is in it or not."""
    random = np.random.default_rng(seed)
    X = random.integers(80, 160, (n, 8, 12, 2)).astype(np.uint8)
    y = np.zeros((n, 8, 12), np.int64)
    for image, labels in zip(X, y, strict=True):
        r, c = random.integers(0, 5), random.integers(0, 8)
        bright = random.random() < 0.5
        image[r : r + 4, c : c + 5] = 250 if bright else 5
        labels[r : r + 4, c : c + 5] = 7 if bright else 3
    return X, y


@pytest.fixture(scope="module")
def of_steps() -> Labeller:
    return Labeller(**SMALL).fit(*spells(150, 0))


@pytest.fixture(scope="module")
def of_pixels() -> Labeller:
    return Labeller(kind="images", patch=2, **{**SMALL, "hidden_size": 16, "epochs": 30}).fit(*blocks(300, 0))


def test_steps_of_series_of_any_lengths(of_steps):
    X, y = spells(40, 1)
    assert of_steps.classes_.tolist() == ["high", "low", "none"]
    assert of_steps.score(X, y) > 0.97
    found, probability = of_steps.predict(X), of_steps.predict_proba(X)
    for labels, chance, series in zip(found, probability, X, strict=True):
        assert labels.shape == (len(series),)
        assert chance.shape == (len(series), 3)
        np.testing.assert_allclose(chance.sum(axis=1), 1)
        assert (of_steps.classes_[chance.argmax(axis=1)] == labels).all()


def test_words_are_labelled_by_what_stands_around_them():
    model = Labeller(**{**SMALL, "epochs": 40}).fit(*sentences(200, 0))
    assert model.score(*sentences(50, 1)) > 0.98
    assert model.predict([["the", "LIGHT", "dog", "shines"], ["a", "light", "shines"]])[0].tolist() == [
        *("article", "adjective", "noun", "verb")
    ]


def test_characters_are_labelled():
    random = np.random.default_rng(0)
    X = ["".join(random.choice(list("ab 12"), 12)) for _ in range(120)]
    y = ["".join("d" if c.isdigit() else "-" for c in text) for text in X]
    model = Labeller(unit="characters", **{**SMALL, "epochs": 10}).fit(X, y)
    assert "".join(model.predict(["ab12"])[0]) == "--dd"


def test_examples_may_come_in_parts_of_pandas():
    pandas = pytest.importorskip("pandas")
    rows = np.random.default_rng(0).normal(size=(30, 5))
    X, y = pandas.DataFrame(rows, columns=list("abcde")), pandas.DataFrame(rows > 0)
    model, again = (
        Labeller(**{**SMALL, "epochs": 2}).fit(*data) for data in ((rows[5:], rows[5:] > 0), (X[5:], y[5:]))
    )
    assert again.score(X[5:], y[5:]) == model.score(rows[5:], rows[5:] > 0)
    texts, tags = (pandas.Series(part) for part in sentences(20, 0))
    assert Labeller(**{**SMALL, "epochs": 1}).fit(texts[5:], tags[5:]).reader_.kind == "texts"
    with pytest.raises(DataError, match="texts are a table of 1 column"):
        Labeller(**SMALL).fit(texts.to_frame(), tags)


def test_pixels_of_images(of_pixels):
    X, y = blocks(60, 1)
    assert of_pixels.classes_.tolist() == [0, 3, 7]
    assert of_pixels.score(X, y) > 0.97
    assert of_pixels.score(X, y, "mean_iou") > 0.85
    found, probability = of_pixels.predict(X), of_pixels.predict_proba(X)
    assert found.shape == y.shape
    assert probability.shape == (*y.shape, 3)
    np.testing.assert_allclose(probability.sum(axis=-1), 1)
    assert (of_pixels.classes_[probability.argmax(axis=-1)] == found).all()
    assert np.mean(found == y) == pytest.approx(of_pixels.score(X, y))


def test_mean_iou_by_hand(of_steps, monkeypatch):
    """Of four steps "low" and two "high", one "low" is taken for "high": (3/4 + 2/3) / 2."""
    right = [["low"] * 4 + ["high"] * 2]
    monkeypatch.setattr(Labeller, "predict", lambda self, X: [np.array(["low"] * 3 + ["high"] * 3)])
    X = [np.zeros((6, 2))]
    assert of_steps.score(X, right) == pytest.approx(5 / 6)
    assert of_steps.score(X, right, "mean_iou") == pytest.approx((3 / 4 + 2 / 3) / 2)


def test_a_rare_label_counts_as_much_when_balanced():
    random = np.random.default_rng(0)
    y = [(random.random(20) < 0.05).astype(int) for _ in range(150)]
    X = [0.7 * one + random.normal(size=20) for one in y]
    share = [
        np.mean(np.concatenate(Labeller(class_weight=weight, **{**SMALL, "epochs": 5}).fit(X, y).predict(X)))
        for weight in (None, "balanced", {1: 10.0})
    ]
    assert share[0] < 0.02
    assert share[1] > 0.15
    assert share[2] > 0.1


def test_a_stream_labels_as_the_whole_does():
    X, y = spells(60, 0)
    model = Labeller(direction="forward", **{**SMALL, "epochs": 8}).fit(X, y)
    stream = model.stream()
    for series in spells(3, 2)[0]:
        stream.reset()
        chances = np.array([stream.step_proba(x) for x in series])
        np.testing.assert_allclose(chances, model.predict_proba([series])[0], atol=1e-5)
    words = Labeller(direction="forward", **{**SMALL, "epochs": 10}).fit(*sentences(60, 0))
    stream = words.stream()
    assert [stream.step(word) for word in ("the", "dog")] == words.predict([["the", "dog"]])[0].tolist()


def test_the_same_seed_gives_the_same_bits():
    X, y = spells(30, 0)
    one, two = (
        np.concatenate(Labeller(n_jobs=jobs, **{**SMALL, "epochs": 2}).fit(X, y).predict_proba(X))
        for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_a_saved_labeller_gives_the_same_answers(tmp_path, of_steps, of_pixels):
    weighted = Labeller(class_weight={"noun": 2.0}, **{**SMALL, "epochs": 2}).fit(*sentences(40, 0))
    for model, data in ((of_steps, spells(5, 5)), (of_pixels, blocks(5, 5)), (weighted, sentences(5, 5))):
        model.save(tmp_path / "m.karusel")
        again = Labeller.load(tmp_path / "m.karusel")
        for got, wanted in zip(again.predict_proba(data[0]), model.predict_proba(data[0]), strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert again.class_weight == model.class_weight
        assert again.score(*data) == model.score(*data)
    data = (tmp_path / "m.karusel").read_bytes()
    (tmp_path / "m.karusel").write_bytes(data[:-3])
    with pytest.raises(ModelFileError, match="truncated"):
        Labeller.load(tmp_path / "m.karusel")


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        ([["a"], []], [[0], []], "text 1 is empty"),
        ([["a"], b"b"], [[0], [1]], "text 1 is bytes, not text"),
        ([["a", "b"], ["c"]], [[0, 1], [1, 0]], "example 1 has 1 words or characters and labels of shape"),
        ([[1.0, 2.0], [3.0]], [[0, 0], [0]], "all labels are 0"),
        ([[1.0, 2.0]], [[0, 1]], "a single example"),
        ([[1.0], [2.0]], [[0]], "2 examples and labels for 1"),
        ([[1.0], [np.nan]], [[0], [1]], "series 1, step 0 holds NaN"),
        (
            [[1.0, 2.0], [2.0]],
            [[0.5, 1.0], [1.0]],
            "example 0, label 0 is 0.5; labels must be all text or all",
        ),
        ([[1.0], [1.0, 2.0]], [["a"], ["a", None]], "example 1, label 1 is None"),
        ([[1.0], [2.0]], [[0], ["a"]], "example 0 has the label 0, example 1 'a'"),
    ],
)
def test_bad_data_is_refused(X, y, words):
    with pytest.raises(DataError, match=words):
        Labeller(**SMALL).fit(X, y)


def test_what_does_not_fit_what_was_fitted_is_refused(of_steps, of_pixels):
    X, y = blocks(2, 0)
    with pytest.raises(DataError, match="label 'loud' was not there in training"):
        of_steps.score([[[1.0, 2.0]]], [["loud"]])
    with pytest.raises(DataError, match="8 x 10 pixels, but 8 x 12 when fitted"):
        of_pixels.predict(X[:, :, :10])
    with pytest.raises(DataError, match=r"images must be numbers .* got uint8 \[0, 8, 12, 2\]"):
        of_pixels.predict(X[:0])
    with pytest.raises(DataError, match="are floats within 1"):
        of_pixels.predict(X / 255)
    with pytest.raises(DataError, match="the labels have 8 x 10 pixels, but the images 8 x 12"):
        of_pixels.score(X, y[:, :, :10])
    with pytest.raises(UsageError, match="measure must be one of accuracy, mean_iou, got 'f1'"):
        of_steps.score([[[1.0, 2.0]]], [["low"]], "f1")
    with pytest.raises(UsageError, match="images do not stream"):
        of_pixels.stream()
    with pytest.raises(UsageError, match="direction='bidirectional'"):
        of_steps.stream()
    with pytest.raises(UsageError, match="not fitted"):
        Labeller().predict([[1.0]])
    with pytest.raises(UsageError, match="not fitted"):
        Labeller().compare([[1]], [[1]])
    with pytest.raises(UsageError, match="kind must be one of series, texts, images, got 'videos'"):
        Labeller(kind="videos").fit([[1.0]], [[1]])
