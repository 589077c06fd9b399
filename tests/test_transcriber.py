"""Transcriber: features, recordings, texts, streams; what it refuses; its file."""

from __future__ import annotations

import subprocess
import sys
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare import assert_close
from karusel.errors import DataError, FileMissingError, ModelFileError, UsageError
from karusel.tasks import Transcriber
from karusel.tasks.speech import LogMel, masked, read_recordings, read_wav, varied

RATE = 8000
SMALL = {"hidden_size": 24, "num_layers": 1, "epochs": 15, "variations": 1, "n_jobs": 1}
TONES = {"a": 300, "b": 700, "c": 1500}


def said(text: str, random: np.random.Generator) -> np.ndarray:
    """A tone of some 0.15 s for each character, with pauses of some length."""
    parts = [np.zeros(random.integers(200, 900))]
    for one in text:
        t = np.arange(random.integers(900, 1500))
        pitch = TONES[one] * random.uniform(0.95, 1.05)
        parts += [0.4 * np.sin(2 * np.pi * pitch * t / RATE) * np.hanning(t.size)]
        parts += [np.zeros(random.integers(200, 900))]
    whole = np.concatenate(parts)
    return (whole + random.normal(0, 0.005, whole.size)).astype(np.float32)


def speech(n: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list(TONES), random.integers(1, 5))) for _ in range(n)]
    return [said(text, random) for text in texts], texts


@pytest.fixture(scope="module")
def model() -> Transcriber:
    return Transcriber(**SMALL).fit(*speech(200, 0), rate=RATE)


@pytest.fixture(scope="module")
def live() -> Transcriber:
    return Transcriber(live=True, **SMALL).fit(*speech(200, 0), rate=RATE)


def write_wav(path, samples, rate=RATE, width=2, channels=1):
    whole = np.round(np.asarray(samples, np.float64) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        data = (whole + 128).astype(np.uint8).tobytes()
    else:
        data = whole.astype("<i8")[:, None].view(np.uint8)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


# --- features -------------------------------------------------------------------------------------


def log_mel_by_hand(samples: np.ndarray, features: LogMel) -> np.ndarray:
    """Each number by its definition: a sum of sines and cosines, triangles by cases."""
    window, hop = round(features.window * features.rate), round(features.hop * features.rate)
    points = 1
    while points < window:
        points *= 2

    def mel(f: float) -> float:
        return 2595 * np.log10(1 + f / 700)

    top = mel(features.rate / 2)
    edges = [700 * (10 ** (top * k / (features.bands + 1) / 2595) - 1) for k in range(features.bands + 2)]
    rows = []
    for first in range(0, len(samples) - window + 1, hop):
        frame = samples[first : first + window].astype(np.float64)
        frame = frame * [0.5 - 0.5 * np.cos(2 * np.pi * n / window) for n in range(window)]
        power = []
        for k in range(points // 2 + 1):
            turn = 2 * np.pi * k * np.arange(window) / points
            power.append((frame * np.cos(turn)).sum() ** 2 + (frame * np.sin(turn)).sum() ** 2)
        row = []
        for left, middle, right in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k, own in enumerate(power):
                f = k * features.rate / points
                if left < f <= middle:
                    total += own * (f - left) / (middle - left)
                elif middle < f < right:
                    total += own * (right - f) / (right - middle)
            row.append(np.log(total + 1e-4))
        rows.append(row)
    steps = len(rows) // features.stack
    return np.array(rows[: steps * features.stack]).reshape(steps, features.stack * features.bands)


@pytest.mark.parametrize("features", [LogMel(8000, bands=11), LogMel(11025, 7, 0.02, 0.015, stack=3)])
def test_features_by_hand(features: LogMel) -> None:
    random = np.random.default_rng(0)
    samples = (0.3 * random.standard_normal(1777) * np.hanning(1777)).astype(np.float32)
    got = features(samples)
    assert got.dtype == np.float32
    assert len(got) == features.steps(1777)
    assert_close({"features": got}, {"features": log_mel_by_hand(samples, features)})


def test_a_tone_is_loudest_in_its_band() -> None:
    features = LogMel(RATE, stack=1)
    t = np.arange(RATE) / RATE
    loudest = [
        features(np.sin(2 * np.pi * f * t).astype(np.float32)).mean(0).argmax() for f in (200, 800, 3000)
    ]
    assert loudest == sorted(set(loudest))


@given(st.integers(0, 3000))
@settings(max_examples=50, deadline=None)
def test_steps_are_counted_right(samples: int) -> None:
    features = LogMel(RATE, bands=3)
    assert len(features(np.zeros(samples, np.float32))) == features.steps(samples)
    assert features.steps(features.least - 1) == 0
    assert features.steps(features.least) == 1


def test_variations_are_small_and_keep_the_text() -> None:
    random = np.random.default_rng(0)
    samples = said("abc", random)
    features = LogMel(RATE)
    for _ in range(20):
        other = varied(samples, random)
        assert other.dtype == np.float32
        assert 0.85 < len(other) / len(samples) < 1.15
        x = features(other)
        hidden = masked(x, random, features.bands)
        assert hidden.shape == x.shape
        assert ((hidden == x) | (hidden == 0)).all()
        assert (hidden == 0).mean() < 0.5


# --- WAV files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_every_width(tmp_path, width) -> None:
    samples = 0.9 * np.sin(np.arange(500) / 7)
    found, rate = read_wav(write_wav(tmp_path / "a.wav", samples, 11025, width))
    assert rate == 11025
    np.testing.assert_allclose(found, samples, atol=2 / 2 ** (8 * width - 1) + 1e-6)


def test_channels_are_averaged(tmp_path) -> None:
    left, right = np.linspace(-0.5, 0.5, 300), np.full(300, 0.25)
    both = np.stack([left, right], axis=1).reshape(-1)
    found, _ = read_wav(write_wav(tmp_path / "a.wav", both, channels=2))
    np.testing.assert_allclose(found, (left + right) / 2, atol=1e-4)


def test_whole_numbers_are_16_bits() -> None:
    [samples], rate, _ = read_recordings([np.array([0, 2**14, -(2**15)], np.int16)], 8000)
    assert samples.tolist() == [0, 0.5, -1]
    assert rate == 8000


def test_bad_recordings_get_one_clear_line(tmp_path, model) -> None:
    good = write_wav(tmp_path / "good.wav", said("ab", np.random.default_rng(1)))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(good.read_bytes()[:-400])
    silent = write_wav(tmp_path / "silent.wav", np.zeros(4000))
    other = write_wav(tmp_path / "other.wav", said("ab", np.random.default_rng(1)), 16000)
    text = tmp_path / "text.wav"
    text.write_text("no sound")
    header = tmp_path / "header.wav"
    header.write_bytes(good.read_bytes()[:20])
    for path, message in [
        (cut, r"cut.wav' is cut off: its header promises [\d,]+ samples, it holds [\d,]+; record or copy"),
        (silent, r"silent.wav'\) is silent: all its 4,000 samples are alike; leave it out"),
        (other, r"other.wav'\) has 16,000 samples a second, 8,000 are expected; convert it to 8,000 first"),
        (text, "text.wav' is no WAV file of whole samples"),
        (header, "header.wav' is no WAV file of whole samples"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            model.predict([path])
        assert "\n" not in str(caught.value)
    with pytest.raises(FileMissingError, match="does not exist"):
        model.predict([tmp_path / "none.wav"])
    assert model.predict([good]) == ["ab"]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([np.zeros((4, 2))], ["a"], "recording 0 is float64 of shape"),
        ([np.array([0.0, 2.0])], ["a"], r"recording 0 holds 2: samples must lie within -1 .. 1"),
        ([np.array([0.0, np.nan])], ["a"], "recording 0 holds NaN"),
        ([np.linspace(0, 1, 100)], ["a"], "recording 0 has 100 samples; at least 280 are needed"),
        ([np.linspace(0, 1, 500)], ["abcdefghijklmnopqrst"], "too short for its text of 20 characters"),
        ([np.linspace(0, 1, 500)], [""], "all texts are empty"),
        ([np.linspace(0, 1, 500)], ["a", "b"], "1 recordings and 2 texts"),
        ([np.linspace(0, 1, 500)], [3], "text 0 is int, not text"),
        ([np.linspace(0, 1, 500)], ["\ud800"], r"text 0 has '\\ud800' as character 1"),
        ([np.linspace(0, 1, 500)], ["a"], "a single recording"),
        ([], [], "there are no recordings"),
    ],
)
def test_what_cannot_be_learned_from(X, y, message) -> None:
    with pytest.raises(DataError, match=message):
        Transcriber().fit(X, y, rate=8000)


def test_settings_and_rates(model) -> None:
    X, y = speech(3, 1)
    with pytest.raises(UsageError, match="pass rate="):
        Transcriber().fit(X, y)
    with pytest.raises(DataError, match="16,000 samples a second, the model was trained at 8,000"):
        model.predict(X, rate=16000)
    for rate in ("8000", 8000.5, 0):
        with pytest.raises(UsageError, match=f"rate must be a whole number from 1 up, got {rate!r}"):
            Transcriber().fit(X, y, rate=rate)
        with pytest.raises(UsageError, match="rate must be"):
            model.predict(X, rate=rate)
    for setting in (
        *({"epochs": 0}, {"beam_width": 0}, {"variations": -1}, {"validation_share": 1}),
        *({"random_state": -1}, {"live": "no"}, {"num_layers": 1.0}),
    ):
        with pytest.raises(UsageError, match=next(iter(setting))):
            Transcriber(**setting).fit(X, y, rate=RATE)
    with pytest.raises(UsageError, match="not fitted"):
        Transcriber().predict(X)
    with pytest.raises(UsageError, match="live=True"):
        model.stream()


# --- texts ----------------------------------------------------------------------------------------


def test_it_writes_down_what_it_hears(model) -> None:
    X, y = speech(80, 1)
    assert model.characters_ == "abc"
    assert model.score(X, y) > 0.9
    assert model.error_rate(X, y) < 0.05
    p = model.predict_proba(X[:1])[0]
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_errors_are_counted_by_hand(model, monkeypatch) -> None:
    # kitten -> sitting needs 3 changes, "" -> "ab" 2, of 9 characters.
    monkeypatch.setattr(model, "predict", lambda X, rate=None: ["kitten", ""])
    assert model.error_rate([], ["sitting", "ab"]) == pytest.approx(5 / 9)


def test_a_stream_writes_what_the_whole_recording_says(live) -> None:
    X, y = speech(30, 2)
    right = 0
    live.beam_width, width = 1, live.beam_width
    random = np.random.default_rng(0)
    for samples, text, whole in zip(X, y, live.predict(X), strict=True):
        stream = live.stream()
        first, parts = 0, []
        while first < len(samples):
            n = int(random.integers(1, 900))
            parts.append(stream.feed(samples[first : first + n]))
            first += n
        parts.append(stream.finish())
        assert "".join(parts) == stream.text == whole
        right += whole == text
    live.beam_width = width
    assert right > 20
    stream.reset()
    assert stream.text == ""
    with pytest.raises(DataError, match="the chunk holds NaN"):
        stream.feed([np.nan])


def test_the_same_seed_gives_the_same_bits() -> None:
    X, y = speech(30, 3)
    short = {**SMALL, "epochs": 2}
    a, b = (Transcriber(**{**short, "n_jobs": jobs}).fit(X, y, rate=RATE) for jobs in (1, 2))
    assert a.network_._weights.tobytes() == b.network_._weights.tobytes()


FRESH = """
import sys, numpy as np
from karusel.tasks import Transcriber
model = Transcriber.load(sys.argv[1])
print(*model.predict(list(np.load(sys.argv[2]).values())), sep="|")
"""


def test_a_model_file_gives_the_same_in_a_fresh_process(model, tmp_path) -> None:
    X, _ = speech(12, 4)
    model.save(tmp_path / "m.karusel")
    np.savez(tmp_path / "x.npz", *X)
    said = subprocess.run(
        [sys.executable, "-c", FRESH, tmp_path / "m.karusel", tmp_path / "x.npz"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert said.split("|") == model.predict(X)
    loaded = Transcriber.load(tmp_path / "m.karusel")
    for a, b in zip(model.predict_proba(X), loaded.predict_proba(X), strict=True):
        assert (a == b).all()


def test_a_rate_of_numpy_is_kept(tmp_path) -> None:
    X, y = speech(4, 5)
    model = Transcriber(**{**SMALL, "epochs": 1}).fit(X, y, rate=np.int64(RATE))
    model.save(tmp_path / "m.karusel")
    assert Transcriber.load(tmp_path / "m.karusel").predict(X, rate=np.int64(RATE)) == model.predict(X)


def test_files_that_are_no_transcriber(model, tmp_path) -> None:
    path = tmp_path / "m.karusel"
    model.network_.save(path)
    with pytest.raises(ModelFileError):
        Transcriber.load(path)
    model.save(path)
    whole = path.read_bytes()
    for damaged in (whole[:-3], whole[:200]):
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            Transcriber.load(path)
