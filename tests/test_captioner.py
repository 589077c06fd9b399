"""Captioner: what it learns, where it looks, what it keeps and refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from karusel import DataError, Dense, MissingDependencyError, ModelFileError, Sequential, UsageError
from karusel.plots import draw_attention
from karusel.searching import Found
from karusel.tasks import Captioner, Labeller, captioner
from karusel.tasks.moving import Moved
from karusel.tasks.sequences import Images
from karusel.tasks.writing import bleu, decoder
from networks import check_bf16

ROWS, COLUMNS, PATCH = 16, 24, 4
FAST = {"patch": PATCH, "hidden_size": 32, "dropout": 0.1, "epochs": 40, "learning_rate": 0.004}
SHAPES = ("square", "bar", "ring")


def drawn(count: int, seed: int) -> tuple[np.ndarray, list[list[str]]]:
    """Images of a bright or dark shape on grey, and two captions of each."""
    random = np.random.default_rng(seed)
    images = np.full((count, ROWS, COLUMNS), 128) + random.integers(-9, 10, (count, ROWS, COLUMNS))
    captions = []
    for image in images:
        row, column = random.integers(0, 11), random.integers(0, 19)
        name, bright = random.choice(SHAPES), random.random() < 0.5
        part = image[row : row + 6, column : column + 6]
        mark = np.zeros(part.shape, bool)
        if name == "bar":
            mark[2:4] = True
        else:
            mark[:] = True
            mark[2:4, 2:4] = name == "square"
        part[mark] = 250 if bright else 5
        light = "bright" if bright else "dark"
        captions.append([f"a {light} {name}", f"one {name} that is {light}"])
    return images.clip(0, 255).astype(np.uint8), captions


@pytest.fixture(scope="module")
def model() -> Captioner:
    X, y = drawn(600, 0)
    return Captioner(**FAST).fit(X, y)


def test_it_learns_what_images_show(model) -> None:
    X, y = drawn(60, 1)
    found = model.predict(X)
    assert np.mean([one in its for one, its in zip(found, y, strict=True)]) > 0.9
    assert len(model.history_["val_loss"]) == FAST["epochs"]


def test_attention_lies_on_the_grid_as_the_patches_do(model, monkeypatch) -> None:
    """With memory that is the patch's brightness, the one bright patch stands out where it is drawn."""
    rows, columns = ROWS // PATCH, COLUMNS // PATCH
    encoder = [Dense(1, use_bias=False, input_shape=(None, PATCH**2))]
    network = Sequential(decoder(model.tokens_.symbols, 8, 0.0, encoder))
    network.build((None, 1))
    network.parameters["attention_4.dense_0.W"][:] = 1.0
    monkeypatch.setattr(model, "network_", network)
    for row, column in ((0, 0), (1, 4), (3, 2), (2, 5)):
        X = np.full((1, ROWS, COLUMNS), 100, np.uint8)
        X[0, PATCH * row : PATCH * (row + 1), PATCH * column : PATCH * (column + 1)] = 200
        (look,) = model.attention(X)
        assert look.weights.shape == (len(look.words), rows, columns)
        assert look.weights.sum(axis=(1, 2)) == pytest.approx(1, abs=1e-5)
        apart = np.abs(look.weights - np.median(look.weights, axis=(1, 2), keepdims=True))
        for one in apart:
            assert np.unravel_index(one.argmax(), one.shape) == (row, column)


def test_of_what_is_found_the_caption_most_like_what_is_drawn_is_taken(model, monkeypatch) -> None:
    """Of three captions the one is taken whose words the drawn ones have, wherever these stand."""
    words = {name: int(one) for name in ("dark", "bright", "ring") for one in model.tokens_.read(name)}
    strings = [(words["ring"],), (words["dark"], words["ring"]), (words["bright"], words["ring"])]
    likely = [Found(string, -float(k)) for k, string in enumerate(strings)]
    monkeypatch.setattr(captioner, "search", lambda *given, **options: [likely] * len(given[1]))
    many = [(words["ring"], words["bright"])] * 3 + [(words["dark"], words["ring"])] * 2
    monkeypatch.setattr(captioner, "draw", lambda *given, **options: [many] * len(given[1]))
    X, _ = drawn(2, 3)
    assert model.predict(X) == ["bright ring"] * 2
    monkeypatch.setattr(model, "samples", 0)
    assert model.predict(X) == ["ring"] * 2


def test_attention_is_that_of_the_captions_found(model) -> None:
    X, _ = drawn(5, 3)
    assert [" ".join(look.words) for look in model.attention(X)] == model.predict(X)


def test_a_saved_model_says_the_same(model, tmp_path) -> None:
    path = tmp_path / "m.karusel"
    model.save(path)
    again = Captioner.load(path)
    X, _ = drawn(20, 4)
    assert again.predict(X) == model.predict(X)
    assert again.beam_width == model.beam_width
    for a, b in zip(again.attention(X), model.attention(X), strict=True):
        assert a.weights.tobytes() == b.weights.tobytes()


def test_bf16_learns_and_is_kept(monkeypatch, tmp_path) -> None:
    pytest.importorskip("karusel._engine")
    monkeypatch.setenv("KARUSEL_BF16", "emulate")
    X, _ = drawn(10, 4)

    def fit(precision: str) -> Captioner:
        return Captioner(precision=precision, **FAST | {"epochs": 3}).fit(*drawn(100, 0))

    def answers(model: Captioner) -> tuple[list[str], list[bytes]]:
        return model.predict(X), [one.weights.tobytes() for one in model.attention(X)]

    check_bf16(fit, tmp_path / "m.karusel", answers)


def test_the_same_seed_gives_the_same_bits() -> None:
    X, y = drawn(30, 5)
    tested, its = drawn(9, 6)
    settings = {**FAST, "epochs": 2, "shift": 1, "mirror": True, "dropout": 0.2}
    models = [Captioner(**settings, n_jobs=threads).fit(X, y, validation=(tested, its)) for threads in (1, 2)]
    assert models[0].history_ == models[1].history_
    for name, value in models[0].network_.parameters.items():
        assert value.tobytes() == models[1].network_.parameters[name].tobytes()
    other = Captioner(**settings, random_state=1).fit(X, y, validation=(tested, its))
    assert other.history_ != models[0].history_
    epochs: list[int] = []
    Captioner(**settings).fit(X, y, progress=lambda epoch, logs: epochs.append(epoch))
    assert epochs == [0, 1]


def test_images_are_held_out_with_all_their_captions() -> None:
    """What is told of an image that is held out, and of no other, is not among the words."""
    X, _ = drawn(20, 7)
    y = [[f"it is w{k}", f"it is v{k}"] for k in range(20)]
    model = Captioner(**{**FAST, "epochs": 1}).fit(X, y)
    known = set(model.tokens_.known)
    both = [{f"w{k}", f"v{k}"} & known for k in range(20)]
    assert sorted(map(len, both)) == [0, 0, *[2] * 18]


def test_unknown_words_are_never_written() -> None:
    """Each caption ends with a word that is in no other; without weights `<unk>` would be likeliest."""
    X, y = drawn(80, 8)
    y = [[f"{its[0]} number{k}"] for k, its in enumerate(y)]
    model = Captioner(**{**FAST, "epochs": 10}, vocabulary_size=8).fit(X, y)
    assert all("<unk>" not in one and "number" not in one for one in model.predict(X))


def test_byte_pairs_write_captions_too() -> None:
    pytest.importorskip("tokenizers")
    X, y = drawn(120, 9)
    model = Captioner(**{**FAST, "epochs": 15}, unit="pairs", vocabulary_size=280).fit(X, y)
    found = model.predict(X)
    assert {one.split()[0] for one in found} <= {"a", "one"}
    (look,) = model.attention(X[:1])
    assert "".join(look.words) == found[0].replace(" ", "")


def test_mirrored_images_are_those_turned_by_hand() -> None:
    random = np.random.default_rng(0)
    pixels = random.normal(size=(2, 4, 6, 3)).astype(np.float32)
    reader = Images("patches", 2).fit(pixels)
    of = np.array([0, 0, 1, 1, 1, 0, 1, 0, 0, 1])
    steps = reader.cut(pixels)[of]
    moved = Moved(reader, pixels, steps, 0, 3, of=of, mirror=True)
    moved.on_begin(None)
    turned, plain = (
        [np.array_equal(one, cut[k]) for one, k in zip(steps, of, strict=True)]
        for cut in (reader.cut(pixels[:, :, ::-1]), reader.cut(pixels))
    )
    assert all(a != b for a, b in zip(turned, plain, strict=True))
    assert 0 < sum(turned) < 10


def test_bleu_by_hand_and_by_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    # Five words, three of them in one or the other; nearest lengths 5 and 2 beside 5 and 3.
    found, y = ["a b c x y", "a b z"], [["a b", "c d e f g"], ["z q"]]
    right, length, wanted = 3 + 1, 8, 5 + 2
    assert wanted < length  # no penalty
    assert bleu(found, y, tokenize="none", order=1) == pytest.approx(100 * right / length)
    y = [["a b c d", "e f g h"], ["a b c d", "b c d e"]]
    found = ["a b c d e", "b c d d d"]
    streams = [[its[k] for its in y] for k in range(2)]
    assert bleu(found, y) == pytest.approx(sacrebleu.corpus_bleu(found, streams).score)
    with pytest.raises(UsageError, match="order must be at most 4, got 5"):
        bleu(found, y, order=5)
    with pytest.raises(UsageError, match="order must be a whole number from 1 up, got True"):
        bleu(found, y, order=True)
    with pytest.raises(UsageError, match="tokenize must be one of 13a, none, intl, char, got 'words'"):
        bleu(found, y, tokenize="words")


def test_scores_are_bleu(model) -> None:
    pytest.importorskip("sacrebleu")
    X, y = drawn(30, 10)
    assert model.score(X, y, order=1) == bleu(model.predict(X), y, order=1) > 90


def test_without_sacrebleu_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'karusel\[translate\]'"):
        Captioner.bleu(["a"], ["a"])


def test_training_data_that_do_not_fit_are_refused() -> None:
    X, y = drawn(5, 11)
    for captions, message in (
        (y[:4], "there are 5 images and captions of 4; they must be equally many"),
        ([*y[:2], "", *y[3:]], "image 3 has the caption ''; give a text"),
        ([*y[:2], [], *y[3:]], "image 3 has no caption"),
        ([*y[:2], ["a", 7], *y[3:]], "image 3 has the caption 7; give a text"),
        ([*y[:2], 7, *y[3:]], "image 3 has int for captions; give a text or a list of texts"),
        ([*y[:2], "a \ud800", *y[3:]], r"the caption of image 3 has '\\ud800' as character 3"),
        ("a dark ring", "captions must be a list with those of each image, got str"),
    ):
        with pytest.raises(DataError, match=message):
            Captioner(**FAST).fit(X, captions)
    with pytest.raises(DataError, match="a single image; at least two are needed"):
        Captioner(**FAST).fit(X[:1], y[:1])
    with pytest.raises(UsageError, match="16 x 24 pixels cannot be cut into patches of 5 x 5"):
        Captioner(**{**FAST, "patch": 5}).fit(X, y)
    broken = X.astype(float)
    broken[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="number 3 holds NaN"):
        Captioner(**FAST).fit(broken, y)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"unit": "letters"}, "unit must be one of words, pairs, got 'letters'"),
        ({"beam_width": 0}, "beam_width must be a whole number from 1 up, got 0"),
        ({"samples": -1}, "samples must be a whole number from 0 up, got -1"),
        ({"random_state": 1.5}, "random_state must be a whole number from 0 up, got 1.5"),
        ({"shift": -1}, "shift must be a whole number from 0 up, got -1"),
        ({"mirror": "no"}, "mirror must be True or False, got 'no'"),
        ({"vocabulary_size": 1}, "vocabulary_size must be a whole number from 2 up, got 1"),
    ],
)
def test_settings_that_break_a_rule_are_refused(setting, message) -> None:
    X, y = drawn(5, 12)
    with pytest.raises(UsageError, match=message):
        Captioner(**{**FAST, **setting}).fit(X, y)


def test_images_that_cannot_be_captioned_are_refused(model) -> None:
    with pytest.raises(DataError, match="the images have 16 x 16 pixels, but 16 x 24 when fitted"):
        model.predict(np.zeros((2, 16, 16), np.uint8))
    with pytest.raises(DataError, match="the images have 3 colours, but 1 when fitted"):
        model.predict(np.zeros((2, 16, 24, 3), np.uint8))
    with pytest.raises(DataError, match="images must be numbers"):
        model.predict([])
    with pytest.raises(UsageError, match=r"the captioner is not fitted; call fit\(images, captions\) first"):
        Captioner().predict(np.zeros((2, 16, 24), np.uint8))


def test_files_of_others_are_refused(model, tmp_path) -> None:
    path = tmp_path / "m.karusel"
    model.save(path)
    with pytest.raises(ModelFileError, match="holds a 'captioner', not a labeller"):
        Labeller.load(path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged"):
        Captioner.load(path)


def test_attention_is_drawn(model, tmp_path) -> None:
    image = pytest.importorskip("matplotlib.image")
    X, _ = drawn(2, 13)
    draw_attention(X, model.attention(X), tmp_path / "where.png")
    pixels = image.imread(tmp_path / "where.png")[..., :3]
    assert pixels.shape[0] > 200
    assert (pixels < 0.1).any()
    draw_attention(np.stack([X] * 3, axis=-1), model.attention(X), tmp_path / "colours.png")
