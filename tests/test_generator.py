"""Generator: text by characters, bytes, words and byte pairs, and music; how likely; writing; its file."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from karusel.errors import DataError, ModelFileError, UsageError
from karusel.saving import load_file, save_file
from karusel.tasks import Generator
from karusel.tasks.tokens import END, Bytes, Characters, Notes, Pairs, Words, tokens_of
from networks import check_bf16

TEXT = (Path(__file__).parents[1] / "examples" / "data" / "jack.txt").read_text()
SMALL = {"hidden_size": 32, "embedding_size": 16, "steps": 25, "dropout": 0.0, "learning_rate": 0.01}


def tune(bars: int, seed: int = 0) -> np.ndarray:
    """Two chords in turn, each for two frames: a frame and the one before say what comes next."""
    frames = np.zeros((4 * bars, 5), np.uint8)
    for t in range(len(frames)):
        frames[t, [0, 3] if (t + seed) // 2 % 2 else [1, 4]] = 1
    return frames


@pytest.fixture(scope="module")
def rhyme() -> Generator:
    return Generator(epochs=40, **SMALL).fit(TEXT)


@pytest.fixture(scope="module")
def band() -> Generator:
    return Generator(epochs=60, **SMALL).fit([tune(5 + k % 7, k % 4) for k in range(24)])


def test_characters_are_learned(rhyme):
    line = "That killed the rat\nThat ate the malt\n"
    found = rhyme.measure(line * 3)
    assert found.nats < 0.7  # of 26 characters and more, whose mean is near 2.8
    assert found.nats == pytest.approx(-rhyme.score(line * 3))
    assert found.perplexity == pytest.approx(math.exp(found.nats))
    assert found.bits_per_character == pytest.approx(found.nats / math.log(2))
    assert found.tokens == found.characters == 3 * len(line)
    backwards = rhyme.measure(line[::-1])
    assert backwards.nats > 3
    assert "That ate the malt" in rhyme.generate("That lay in the h", 300, temperature=0.2)


def test_nats_are_those_of_the_characters_one_by_one(rhyme):
    """By another way: a prediction for each character, and its logarithm."""
    text = TEXT[200:560]
    tokens = np.concatenate([[END], rhyme.reader_.read(text)])
    logits = rhyme.network_.predict(tokens[None, :-1, None])[0].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    nats = -np.log(p[np.arange(len(text)), tokens[1:]]).mean()
    assert rhyme.measure(text).nats == pytest.approx(nats, rel=1e-5)


def test_words_are_counted_with_the_ends_of_lines():
    model = Generator(unit="words", epochs=30, **SMALL).fit(TEXT)
    found = model.measure("This is the cat,\nThat killed the rat\n")
    assert found.tokens == 10
    assert found.bits_per_character == pytest.approx(found.nats * 10 / 37 / math.log(2))
    written = model.generate("This is the cat,\nThat", 60, temperature=0.3)
    assert "the house that Jack built" in written
    assert model.measure("This is the giraffe").tokens == 4  # <unk>
    assert Words(3).fit(["b a a c c c"]).known == ("<unk>", "c", "a")


def test_byte_pairs_join_what_stands_together():
    pytest.importorskip("tokenizers")
    text = TEXT + "Größe — ja\n"
    reader = Pairs(300).fit([text])
    tokens = reader.read(text)
    assert len(tokens) < 0.7 * len(text)
    assert reader.join(reader.write(tokens.tolist(), END)) == text
    assert tokens_of(reader.config()) == reader
    model = Generator(unit="pairs", vocabulary_size=280, epochs=2, **SMALL).fit(text)
    assert model.reader_.symbols <= 281
    assert isinstance(model.generate("This", 20), str)


def test_a_character_of_several_pairs_is_written_wherever_it_comes():
    pytest.importorskip("tokenizers")
    model = Generator(unit="pairs", vocabulary_size=256, epochs=10, **SMALL).fit("日" * 700)
    assert len(model.reader_.read("日")) == 3
    assert model.generate("日", 120, temperature=0) == "日" * 40


def test_bytes_read_anything():
    data = bytes(range(200, 232)) * 60
    model = Generator(epochs=40, **SMALL).fit(data)
    assert model.reader_ == Bytes()
    assert model.measure(data[:100]).nats < 0.3
    assert model.generate(data[5:9], 4, temperature=0) == data[9:13]
    assert model.measure("any text").tokens == 8


def test_texts_of_a_list_have_an_end():
    names = ["anna", "hanna", "joanna", "susanna", "johanna"] * 30
    model = Generator(epochs=30, **SMALL).fit(names)
    written = [model.generate(length=50, seed=seed) for seed in range(20)]
    assert all(len(name) < 15 for name in written)
    assert len(set(names) & set(written)) >= 3
    assert model.measure(names).tokens == sum(map(len, names)) + len(names)


def test_texts_have_an_end_whatever_holds_them():
    pandas = pytest.importorskip("pandas")
    names = ["anna", "hanna", "joanna", "susanna", "johanna"] * 20
    held = [names, np.array(names), pandas.Series(names)[5:], (name for name in names)]
    models = [Generator(epochs=1, **SMALL).fit(one) for one in held]
    assert all(model.ends_ and model.reader_ == models[0].reader_ for model in models)
    assert models[1].generate(seed=1) == models[0].generate(seed=1)
    assert not Generator(epochs=1, **SMALL).fit("anna " * 40).ends_
    with pytest.raises(DataError, match="texts are a table of 1 column"):
        Generator(**SMALL).fit(pandas.DataFrame({"name": names}))


def test_music_of_several_notes(band):
    found = band.measure([tune(6), tune(3, 1)])
    assert (found.tokens, found.characters, found.bits_per_character) == (24 + 12 - 2, None, None)
    assert found.nats < 1.2  # five notes by guessing: 3.5
    written = band.generate(tune(4), 8, temperature=0)
    np.testing.assert_array_equal(written, tune(6)[16:])
    assert (written.dtype, written.shape) == (np.uint8, (8, 5))
    assert band.generate(length=3).shape == (3, 5)


def test_the_first_frame_of_a_piece_is_given(band):
    """By another way: the cross-entropy of every later frame's notes, one by one."""
    piece = tune(4, 3)
    x = np.concatenate([np.zeros((1, 5)), piece[:-1]])
    p = 1 / (1 + np.exp(-band.network_.predict(x[None])[0].astype(np.float64)))
    terms = -np.log(np.where(piece == 1, p, 1 - p)).sum(axis=1)
    assert band.measure([piece]).nats == pytest.approx(terms[1:].mean(), rel=1e-4)


def test_what_is_written_comes_token_by_token(rhyme):
    stream = rhyme.stream("This is ", seed=3)
    first = [next(stream) for _ in range(100)]
    assert all(len(one) == 1 for one in first)
    assert "".join(first) == rhyme.generate("This is ", 100, seed=3)
    assert "".join(first) != rhyme.generate("This is ", 100, seed=4)
    assert rhyme.generate("This is ", 7, seed=3) == "".join(first[:7])


def test_within_one_text_nothing_ends(rhyme):
    assert len(rhyme.generate(length=2000, temperature=5.0)) == 2000


def test_the_options_of_the_network():
    options = {**SMALL, "dropout": 0.2, "embedding_size": 12}
    model = Generator(num_layers=2, tied=True, weight_drop=0.3, epochs=2, batch_size=5, **options).fit(TEXT)
    shapes = {name: array.shape for name, array in model.network_.parameters.items()}
    symbols = model.reader_.symbols
    assert shapes["embedding_0.E"] == (symbols, 12)
    assert shapes["lstm_2.0.forward.U"] == (32, 128)
    assert shapes["lstm_4.0.forward.U"] == (12, 48)
    assert "dense_6.W" not in shapes
    again = Generator(num_layers=2, tied=True, weight_drop=0.3, epochs=2, batch_size=5, n_jobs=2, **options)
    assert again.fit(TEXT).score(TEXT) == model.score(TEXT)


def test_what_is_held_out_may_be_given():
    told = []
    model = Generator(epochs=3, **SMALL)
    model.fit(TEXT, validation=TEXT[:300], progress=lambda epoch, logs: told.append((epoch, sorted(logs))))
    assert told == [(epoch, ["loss", "val_loss"]) for epoch in range(3)]
    assert min(model.history_["val_loss"]) == pytest.approx(model.measure(TEXT[:300]).nats, abs=0.2)
    short = Generator(epochs=1000, **SMALL).fit(TEXT, time_limit=0.2)
    assert len(short.history_["loss"]) < 1000


@pytest.mark.parametrize("known", [2**31, ["a", "b"], "ab", ""])
def test_tokens_of_another_type_or_number_are_refused_at_load(known, rhyme, tmp_path):
    path = tmp_path / "m.karusel"
    rhyme.save(path)
    header, tensors = load_file(path, "generator")
    header["reader"]["known"] = known
    save_file(path, "generator", header, tensors)
    with pytest.raises(ModelFileError, match="describes no generator"):
        Generator.load(path)


@pytest.mark.parametrize("which", ["rhyme", "band"])
def test_a_saved_generator_does_the_same_in_a_fresh_process(which, request, tmp_path):
    model = request.getfixturevalue(which)
    file = tmp_path / "m.karusel"
    model.save(file)
    data = "That ate the malt" if which == "rhyme" else [tune(4, 1)]
    again = Generator.load(file)
    assert again.score(data) == model.score(data)
    assert again.hidden_size == model.hidden_size
    assert again.reader_ == model.reader_
    script = (
        "import sys; from karusel.tasks import Generator; model = Generator.load(sys.argv[1]); "
        "written = model.generate(length=40, seed=5); sys.stdout.write(repr(written))"
    )
    done = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=True)
    assert done.stdout == repr(model.generate(length=40, seed=5))
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ModelFileError, match="damaged"):
        Generator.load(file)


def test_bf16_learns_and_is_kept(monkeypatch, tmp_path):
    engine = pytest.importorskip("karusel._engine")
    monkeypatch.setenv("KARUSEL_BF16", "emulate")
    check_bf16(
        lambda precision: Generator(epochs=3, precision=precision, **SMALL).fit(TEXT),
        tmp_path / "m.karusel",
        lambda model: (model.score(TEXT[:300]), model.generate("That ", 30)),
    )
    monkeypatch.setenv("KARUSEL_BF16", "")
    if not engine.multiplies_bf16():
        with pytest.warns(RuntimeWarning, match="no instructions for bf16"):
            assert Generator.load(tmp_path / "m.karusel").network_.precision == "float32"
    with pytest.raises(UsageError, match="precision must be one of float32, bf16"):
        Generator(precision="half", **SMALL).fit(TEXT)


@pytest.mark.parametrize(
    ("X", "options", "words"),
    [
        ("", {}, "the text is empty"),
        ([], {}, "there is nothing to read"),
        (["ab", ""], {}, "text 1 is empty"),
        ("too short", {}, "there are 7 characters to train on, fewer than a window of 25"),
        (b"fine" * 100 + b"\xff", {"unit": "characters"}, "byte 401 of the text, 0xff, is no UTF-8"),
        ([1.0, 2.0], {"unit": "words"}, "a text is float"),
        (
            "fine \ud800",
            {"unit": "words"},
            r"the text has '\\ud800' as character 6, which is no character of",
        ),
        ("\udcff", {"unit": "bytes"}, r"the text has '\\udcff' as character 1"),
        ([tune(3)], {}, "there is one piece of music"),
        ([tune(3), tune(3)[:, :4]], {}, "piece 1 has 4 notes a frame, where 5 are expected"),
        ([tune(3), 2 * tune(3)], {}, "piece 1, frame 0 holds numbers besides 0 and 1"),
        ([tune(3), []], {}, "piece 1 has shape"),
        ([["x"], ["y"]], {"unit": "notes"}, "piece 0 holds something that is no number"),
    ],
)
def test_bad_data_is_refused(X, options, words):
    with pytest.raises(DataError, match=words):
        Generator(epochs=1, **SMALL, **options).fit(X)


def test_what_does_not_fit_what_was_fitted_is_refused(rhyme, band):
    with pytest.raises(DataError, match="the text has '§' as character 4, which the training text never had"):
        rhyme.measure("the§cat")
    with pytest.raises(DataError, match="as character 1"):
        rhyme.generate("é")
    with pytest.raises(DataError, match=r"the text has '\\udcff' as character 3, which is no character"):
        rhyme.generate("a \udcff")
    with pytest.raises(DataError, match="the text is empty"):
        rhyme.score("")
    with pytest.raises(DataError, match="4 notes a frame, where 5"):
        band.measure([tune(3)[:, :4]])
    with pytest.raises(DataError, match="all pieces have one frame"):
        band.measure([tune(3)[:1]])
    with pytest.raises(UsageError, match="notes are drawn each by itself"):
        band.generate(top_k=3)
    for length in (0, math.nan, "abc"):
        with pytest.raises(UsageError, match="length must be"):
            rhyme.stream(length=length)
    with pytest.raises(UsageError, match="not fitted"):
        Generator().generate()
    with pytest.raises(UsageError, match=r"unit must be one of .*, got 'letters'"):
        Generator(unit="letters").fit(TEXT)
    for setting in ({"steps": 0}, {"tied": "no"}, {"weight_drop": True}, {"unit": np.array(["words"])}):
        with pytest.raises(UsageError, match=f"{next(iter(setting))} must"):
            Generator(**setting).fit(TEXT)


@pytest.mark.parametrize("reader", [Characters(), Bytes(), Words(60)])
def test_what_is_read_can_be_written(reader):
    reader = reader.fit([TEXT])
    tokens = reader.read("This is the dog,\n")
    assert tokens.min() > END
    assert tokens.max() < reader.symbols
    text = reader.join(reader.write(tokens.tolist(), END))
    assert text == ("This is the dog,\n" if not isinstance(reader, Bytes) else b"This is the dog,\n")
    assert tokens_of(reader.config()) == reader
    assert tokens_of(Notes(5).config()) == Notes(5)
