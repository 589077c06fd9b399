"""`karusel generate`: train, run, score; text, lines, bytes, piano-rolls; what goes wrong is one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from command import karusel_run, refused, write
from karusel.tasks import Generator, read_midi, write_midi
from test_generator import TEXT, tune

SMALL = ("--hidden-size", 24, "--embedding-size", 12, "--steps", 25, "--learning-rate", 0.01, "--epochs", 12)
JACK = Path(__file__).parents[1] / "examples" / "data" / "jack.txt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Models of text and of music."""
    here = tmp_path_factory.mktemp("generate")
    for name, source in (("text", JACK), ("music", here / "tunes.npz")):
        if name == "music":
            np.savez(source, *(tune(4 + k, k) for k in range(8)))
        done = karusel_run("generate", "train", source, "--out", here / f"{name}.karusel", *SMALL, "--json")
        assert (done.code, done.err) == (0, "")
        document = json.loads(done.out)
        assert document["file"] == source.name
        assert document["unit"] == ("notes" if name == "music" else "characters")
        assert document["epochs"] == 12
        assert 0 < document["held_out"]["nats"] < 3
        assert document["weights"] > 1000
    return here


def test_train_says_what_it_did(tmp_path):
    done = karusel_run("generate", "train", JACK, "--out", tmp_path / "m", *SMALL[:-1], 2, "--unit", "words")
    assert (done.code, done.err) == (0, "")
    first, best, last = done.out.splitlines()
    assert first.startswith("jack.txt: words, ")
    assert "best of 2 epochs: " in best
    assert "nats per token on what is held out" in best
    assert last.endswith("m writes")


def test_run_writes_on(folder):
    told = ("generate", "run", folder / "text.karusel", "--prompt", "This is ", "--length", 60, "--seed", 3)
    done = karusel_run(*told, "--temperature", 0.5, "--top-k", 5, "--top-p", 0.9)
    assert (done.code, done.err) == (0, "")
    model = Generator.load(folder / "text.karusel")
    written = model.generate("This is ", 60, temperature=0.5, top_k=5, top_p=0.9, seed=3)
    assert done.out == written + "\n"
    document = json.loads(karusel_run(*told, "--json").out)
    assert document == {"unit": "characters", "tokens": 60, "text": model.generate("This is ", 60, seed=3)}
    write(folder / "prompt.txt", "This is ")
    out = folder / "written.txt"
    told = (*told[:3], "--prompt-file", folder / "prompt.txt", *told[5:], "--out", out)
    assert karusel_run(*told).out == f"{out} holds 60 characters\n"
    assert out.read_text() == document["text"]


def test_run_writes_music(folder):
    np.save(folder / "begin.npy", tune(3))
    told = ("generate", "run", folder / "music.karusel", "--prompt-file", folder / "begin.npy", "--length", 9)
    done = karusel_run(*told, "--out", folder / "more.npy")
    assert (done.code, done.out, done.err) == (0, f"{folder / 'more.npy'} holds 9 frames\n", "")
    model = Generator.load(folder / "music.karusel")
    np.testing.assert_array_equal(np.load(folder / "more.npy"), model.generate(tune(3), 9))
    assert np.shape(json.loads(karusel_run(*told, "--json").out)["frames"]) == (9, 5)


def test_score_measures(folder):
    write(folder / "part.txt", TEXT[:400])
    done = karusel_run("generate", "score", folder / "text.karusel", folder / "part.txt")
    found = Generator.load(folder / "text.karusel").measure(TEXT[:400])
    assert done.out == (
        f"part.txt: {found.nats:.3f} nats per token over 400 characters, perplexity {found.perplexity:.4g}, "
        f"{found.bits_per_character:.3f} bits per character\n"
    )
    document = json.loads(
        karusel_run("generate", "score", folder / "text.karusel", folder / "part.txt", "--json").out
    )
    assert document["nats"] == found.nats
    assert (document["tokens"], document["perplexity"]) == (400, found.perplexity)
    done = karusel_run("generate", "score", folder / "music.karusel", folder / "tunes.npz")
    assert done.out.startswith("tunes.npz: ")
    assert done.out.endswith(" nats per frame over 232 frames\n")


def test_lines_and_files_are_texts_with_an_end(tmp_path):
    lines = write(tmp_path / "names.txt", "anna\nhanna\n\njoanna\n" * 40)
    told = ("generate", "train", lines, "--lines", "--out", tmp_path / "m", *SMALL)
    assert karusel_run(*told).code == 0
    written = karusel_run("generate", "run", tmp_path / "m").out
    assert len(written) < 30
    document = karusel_run("generate", "score", tmp_path / "m", lines, "--lines", "--json").out
    assert json.loads(document)["tokens"] == 40 * (4 + 5 + 6 + 3)
    told = ("generate", "train", lines, JACK, "--out", tmp_path / "m", *SMALL[:-1], 1)
    assert karusel_run(*told).code == 0
    assert Generator.load(tmp_path / "m").ends_


def test_mat_files_have_parts(tmp_path):
    scipy = pytest.importorskip("scipy.io")
    parts = {}
    for name, count in (("traindata", 6), ("validdata", 2), ("testdata", 3)):
        cells = np.empty((1, count), object)
        for k in range(count):
            cells[0, k] = tune(4 + k, k).astype(float)
        parts[name] = cells
    file = tmp_path / "tunes.mat"
    scipy.savemat(file, parts)
    assert karusel_run("generate", "train", file, "--out", tmp_path / "m", *SMALL).code == 0
    done = karusel_run("generate", "score", tmp_path / "m", file, "--json")
    assert json.loads(done.out)["tokens"] == 15 + 19 + 23
    scipy.savemat(file, {"x": np.zeros(3)})
    assert "holds no cells 'traindata'" in refused(5, "generate", "train", file, "--out", tmp_path / "m")
    write(file, b"nothing of the kind")
    assert "no .mat file" in refused(5, "generate", "train", file, "--out", tmp_path / "m")


def test_midi_in_and_out(tmp_path):
    """A folder of MIDI files and of folders of them; what is written is one, and can be gone on from."""
    pytest.importorskip("mido")
    out = ("--out", tmp_path / "m")
    (tmp_path / "tunes" / "more").mkdir(parents=True)
    assert "is a folder without MIDI files" in refused(5, "generate", "train", tmp_path / "tunes", *out)
    pieces = [np.pad(tune(4 + k, k), ((0, 0), (39, 44))) for k in range(8)]
    for k, piece in enumerate(pieces):
        write_midi(
            tmp_path / "tunes" / ("more" if k % 2 else "") / f"{k}.{'MIDI' if k > 5 else 'mid'}", piece
        )
    done = karusel_run("generate", "train", tmp_path / "tunes", *out, *SMALL)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("tunes: notes, ")
    model = Generator.load(tmp_path / "m")
    score = karusel_run("generate", "score", tmp_path / "m", tmp_path / "tunes" / "2.mid", "--json")
    assert json.loads(score.out)["nats"] == model.measure([pieces[2]]).nats
    begin = tmp_path / "tunes" / "0.mid"
    told = ("generate", "run", tmp_path / "m", "--prompt-file", begin, "--length", 12, "--temperature", 0)
    done = karusel_run(*told, "--out", tmp_path / "new.mid")
    assert (done.code, done.out, done.err) == (0, f"{tmp_path / 'new.mid'} holds 12 frames\n", "")
    written = model.generate(pieces[0], 12, temperature=0)
    assert written[-1].any()
    np.testing.assert_array_equal(read_midi(tmp_path / "new.mid"), written)
    write(tmp_path / "tunes" / "0.mid", b"MThd")
    assert "0.mid is no whole MIDI file: it ends too early" in refused(
        5, "generate", "train", tmp_path / "tunes", *out
    )


def test_what_goes_wrong_is_one_line(folder, tmp_path):
    out = ("--out", tmp_path / "m")
    train, model = ("generate", "train"), folder / "text.karusel"
    assert "does not exist" in refused(4, *train, tmp_path / "none.txt", *out)
    assert "is empty" in refused(5, *train, write(tmp_path / "empty.txt", ""), *out)
    bad = write(tmp_path / "bad.txt", b"fine\xfftext")
    assert "byte 5, 0xff, is no UTF-8 text" in refused(5, *train, bad, *out)
    assert "fewer than a window of 100" in refused(5, *train, write(tmp_path / "short.txt", "abc"), *out)
    assert "give files of one kind" in refused(2, *train, JACK, folder / "tunes.npz", *out)
    assert "which unit words does not read" in refused(
        2, *train, folder / "tunes.npz", "--unit", "words", *out
    )
    tunes = (folder / "tunes.npz").read_bytes()
    damaged = bytearray(tunes)
    damaged[300] ^= 1
    for name, data in (("x.npy", "text"), ("cut.npz", tunes[:-200]), ("x.npz", bytes(damaged))):
        assert "no NumPy file" in refused(5, *train, write(tmp_path / name, data), *out)
    np.savez(tmp_path / "objects.npz", np.array([None]))
    assert "no NumPy file of numbers" in refused(5, *train, tmp_path / "objects.npz", *out)
    assert "got 'letters'" in refused(2, *train, JACK, "--unit", "letters", *out)
    assert "--lines is for text" in refused(2, *train, folder / "tunes.npz", "--lines", *out)
    assert "has no line with text" in refused(5, *train, write(tmp_path / "b.txt", "\n\n"), "--lines", *out)
    assert not (tmp_path / "m").exists()
    strange = write(tmp_path / "strange.txt", "the §")
    assert "'§' as character 5, which the training text never had" in refused(
        5, "generate", "score", model, strange
    )
    assert "the prompt: " in refused(5, "generate", "run", model, "--prompt", "§")
    no_text = "a\udcff"  # as Python gives an argument of the bytes 61 ff
    assert "the prompt: character 2 is no text" in refused(5, "generate", "run", model, "--prompt", no_text)
    assert "is not there" in refused(4, "generate", "run", tmp_path / "none")
    assert "--out FILE.mid or FILE.npy" in refused(2, "generate", "run", folder / "music.karusel")
    assert "the 88 keys of a piano, but the model writes 5 notes" in refused(
        2, "generate", "run", folder / "music.karusel", "--out", tmp_path / "a.mid"
    )
    assert "--prompt is text" in refused(2, "generate", "run", folder / "music.karusel", "--prompt", "a")
    prompt = write(tmp_path / "prompt.txt", "This")
    assert "is the file that is read" in refused(
        2, "generate", "run", model, "--prompt-file", prompt, "--out", prompt
    )
    assert "leave one out" in refused(2, "generate", "run", model, "--prompt", "a", "--prompt-file", JACK)
    assert "8 pieces; the prompt is one" in refused(
        5, "generate", "run", folder / "music.karusel", "--prompt-file", folder / "tunes.npz", "--json"
    )
    assert "top_p must be" in refused(2, "generate", "run", model, "--top-p", 0)
    assert "which unit characters does not read" in refused(
        2, "generate", "score", model, folder / "tunes.npz"
    )


def test_numpy_files_are_read_by_what_they_hold(folder, tmp_path):
    one = tmp_path / "one.npy"
    np.save(one, tune(9))
    for file, ending in ((folder / "tunes.npz", ".npy"), (one, ".npz")):
        other = write(tmp_path / f"other{ending}", file.read_bytes())
        told = [
            json.loads(karusel_run("generate", "score", folder / "music.karusel", name, "--json").out)
            for name in (file, other)
        ]
        assert told[0]["nats"] == told[1]["nats"]


def test_bytes_go_through_as_they_are(tmp_path):
    data = write(tmp_path / "data.bin", bytes(range(200, 232)) * 30)
    assert (
        karusel_run("generate", "train", data, "--unit", "bytes", "--out", tmp_path / "m", *SMALL).code == 0
    )
    out = tmp_path / "written.bin"
    karusel_run("generate", "run", tmp_path / "m", "--length", 20, "--out", out)
    model = Generator.load(tmp_path / "m")
    assert out.read_bytes() == model.generate(length=20)
    karusel_run("generate", "run", tmp_path / "m", "--prompt", "\udcc9\udcca", "--length", 20, "--out", out)
    assert out.read_bytes() == model.generate(b"\xc9\xca", 20)


def test_the_mark_before_a_text_is_no_part_of_it(folder, tmp_path, monkeypatch):
    told = []
    for name, mark in (("plain.txt", b""), ("marked.txt", b"\xef\xbb\xbf")):
        text = write(tmp_path / name, mark + b"This is the house")
        told.append(karusel_run("generate", "score", folder / "text.karusel", text, "--json"))
    assert json.loads(told[0].out)["nats"] == json.loads(told[1].out)["nats"]
    bad = write(tmp_path / "bad.txt", b"\xef\xbb\xbfab\xff")
    assert "byte 6, 0xff, is no UTF-8 text" in refused(5, "generate", "score", folder / "text.karusel", bad)
    mark = write(tmp_path / "mark.txt", b"\xef\xbb\xbf")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert "standard input: byte 1, 0xff" in refused(5, "generate", "score", folder / "text.karusel", "-")
    assert "mark.txt is empty" in refused(5, "generate", "score", folder / "text.karusel", mark)
