"""Translator: what it learns, keeps and refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from karusel import DataError, MissingDependencyError, ModelFileError, UsageError
from karusel.tasks import Generator, Translator
from karusel.tasks.translator import Alignment
from networks import check_bf16

pytest.importorskip("tokenizers")

NUMBERS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five"}
FAST = {"vocabulary_size": 290, "hidden_size": 48, "dropout": 0.1, "epochs": 30, "learning_rate": 0.01}


def parallel(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Numbers of one to five words, which the translation tells the other way round."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(list(NUMBERS), random.integers(1, 6)) for _ in range(count)]
    return [" ".join(one) for one in drawn], [" ".join(NUMBERS[word] for word in one[::-1]) for one in drawn]


@pytest.fixture(scope="module")
def model() -> Translator:
    return Translator(**FAST).fit(*parallel(400, 0))


def test_it_learns_to_translate(model) -> None:
    X, y = parallel(60, 1)
    found = model.predict(X)
    assert np.mean([a == b for a, b in zip(found, y, strict=True)]) > 0.9
    assert len(model.history_["val_loss"]) == FAST["epochs"]


def test_a_wider_beam_is_no_less_likely(model) -> None:
    from karusel.searching import search

    read = model._sources(parallel(40, 2)[0])
    longest = [30] * len(read)
    one, five = (search(model.network_, read, longest, width=width, power=0.0) for width in (1, 5))
    assert sum(found[0].log_p for found in five) >= sum(found[0].log_p for found in one)


def test_alignment_shows_where_a_translation_looks(model) -> None:
    (found,) = model.alignment(["eins zwei vier"], ["four two one"])
    assert "".join(found.source) == "eins zwei vier"
    assert "".join(found.target) == "four two one"
    assert (found.source[-1], found.target[-1]) == ("", "")
    assert found.weights.shape == (len(found.target), len(found.source))
    assert found.weights.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert [label for label in found.labels[1] if label != "(blank)"][-1] == "(end)"
    assert Alignment([" ", " a", ""], ["b", ""], found.weights).labels == (
        ["(blank)", "a", "(end)"],
        ["b", "(end)"],
    )
    (own,) = model.alignment(["eins zwei vier"])
    assert "".join(own.target) == model.predict(["eins zwei vier"])[0]


def test_a_saved_model_translates_alike(model, tmp_path) -> None:
    path = tmp_path / "m.karusel"
    model.save(path)
    again = Translator.load(path)
    X, _ = parallel(20, 3)
    assert again.predict(X) == model.predict(X)
    assert again.beam_width == model.beam_width
    for a, b in zip(again.alignment(X), model.alignment(X), strict=True):
        assert a.weights.tobytes() == b.weights.tobytes()


def test_bf16_learns_and_is_kept(monkeypatch, tmp_path) -> None:
    pytest.importorskip("karusel._engine")
    monkeypatch.setenv("KARUSEL_BF16", "emulate")
    X, _ = parallel(20, 3)

    def fit(precision: str) -> Translator:
        return Translator(precision=precision, **FAST | {"epochs": 3}).fit(*parallel(200, 0))

    def answers(model: Translator) -> tuple[list[str], list[bytes]]:
        return model.predict(X), [one.weights.tobytes() for one in model.alignment(X)]

    check_bf16(fit, tmp_path / "m.karusel", answers)


def test_sentences_given_to_hold_out_are_held_out() -> None:
    X, y = parallel(40, 4)
    short = {**FAST, "epochs": 2}
    models = [Translator(**short, n_jobs=threads).fit(X, y, validation=parallel(9, 5)) for threads in (1, 2)]
    assert models[0].history_ == models[1].history_
    epochs: list[int] = []
    Translator(**short).fit(X, y, progress=lambda epoch, logs: epochs.append(epoch))
    assert epochs == [0, 1]


def test_an_interrupted_fit_leaves_the_model_as_it_was(model) -> None:
    def interrupt(epoch: int, logs: dict[str, float]) -> None:
        raise KeyboardInterrupt

    X, _ = parallel(5, 7)
    before = model.predict(X)
    with pytest.raises(KeyboardInterrupt):
        model.fit(["un deux", "trois"] * 9, ["one two", "three"] * 9, progress=interrupt)
    assert model.predict(X) == before


def test_bleu_is_sacrebleu_s(model) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    X, y = parallel(30, 6)
    found = model.predict(X)
    assert model.score(X, y) == sacrebleu.corpus_bleu(found, [y]).score
    assert Translator.bleu(["a b c d e"], ["a b c d e"], tokenize="none") == pytest.approx(100)
    assert Translator.bleu(["a b c d e"], ["v w x y z"]) < 1
    with pytest.raises(UsageError, match="tokenize must be one of 13a, none, intl, char, got 'words'"):
        model.score(X, y, tokenize="words")


def test_bleu_of_what_does_not_belong_together_is_refused() -> None:
    pytest.importorskip("sacrebleu")
    for found, y, message in (
        (["a b", "c"], ["a b"], "there are 2 texts found and references of 1; they must be equally many"),
        (["a b"], ["a b", "c"], "there are 1 texts found and references of 2"),
        (["a"] * 3, "a b", "translations must be a list of texts, got str"),
        ("a b", ["a"] * 3, "what was found must be a list of texts"),
        ([], [], "there is no translation"),
    ):
        with pytest.raises(DataError, match=message):
            Translator.bleu(found, y)


def test_without_sacrebleu_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'karusel\[translate\]'"):
        Translator.bleu(["a"], ["a"])


def test_sentences_that_cannot_be_translated_are_refused(model) -> None:
    with pytest.raises(DataError, match="sentence 2 is empty; leave it out"):
        model.predict(["eins", " \t"])
    with pytest.raises(DataError, match=r"sentence 1 has '\\ud800' as character 6"):
        model.predict(["eins \ud800"])
    with pytest.raises(DataError, match="sentence 1 is int, not text"):
        model.predict([3])
    with pytest.raises(DataError, match="sentences must be a list of texts, got str"):
        model.predict("eins zwei")
    with pytest.raises(DataError, match="there is no sentence; give at least one"):
        model.predict([])
    with pytest.raises(DataError, match=r"sentence 2 is written in letters .* such as 'п'.* another script"):
        model.predict(["eins", "привет"])
    with pytest.raises(
        DataError, match="there are 2 sentences and 1 translations; they must be equally many"
    ):
        model.score(["eins", "zwei"], ["one"])


def test_what_was_never_seen_is_read_where_most_is_known(model) -> None:
    assert len(model.predict(["eins ☃ zwei 7 ō eins"])) == 1
    assert len(model.predict(["7 !"])) == 1
    assert len(model.predict(["ZWEI DREI"])) == 1
    assert len(model.predict(["eins " * 200])) == 1


def test_training_data_that_do_not_fit_are_refused() -> None:
    X, y = parallel(5, 0)
    with pytest.raises(DataError, match="there are 5 sentences and 4 translations"):
        Translator(**FAST).fit(X, y[:4])
    with pytest.raises(DataError, match="sentences are a table of 1 column"):
        Translator(**FAST).fit(pytest.importorskip("pandas").DataFrame({"text": X}), y)
    with pytest.raises(DataError, match="translation 3 is empty"):
        Translator(**FAST).fit(X, [*y[:2], "", *y[3:]])
    with pytest.raises(DataError, match="a single sentence; at least two are needed"):
        Translator(**FAST).fit(X[:1], y[:1])
    Translator(**FAST | {"epochs": 1}, validation_share=0.9).fit(X[:3], y[:3])  # one is left to train on
    with pytest.raises(UsageError, match="random_state must be a whole number from 0 up, got -1"):
        Translator(random_state=-1).fit(X, y)
    with pytest.raises(UsageError, match="beam_width must be a whole number from 1 up, got 0"):
        Translator(beam_width=0).fit(X, y)
    with pytest.raises(UsageError, match="not fitted"):
        Translator().predict(X)


def test_files_of_others_are_refused(model, tmp_path) -> None:
    path = tmp_path / "m.karusel"
    model.save(path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="damaged"):
        Translator.load(path)
    model.save(path)
    with pytest.raises(ModelFileError, match="holds a 'translator', not a generator"):
        Generator.load(path)
