"""Drawing symbols and notes: shares, the likeliest alone, the nucleus; the same in both executors."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

from karusel import LSTM, Dense, Embedding, Sequential, streaming
from karusel.errors import DataError, UsageError
from karusel.sampling import Sampling
from networks import EXECUTORS

CHANCES = np.array([0.02, 0.4, 0.08, 0.3, 0.15, 0.05])


def constant(executor: str, logits: np.ndarray, notes: bool = False) -> Sequential:
    """A network that says the same at every step."""
    n = len(logits)
    first = [] if notes else [Embedding(n, 2)]
    net = Sequential([*first, LSTM(3, return_sequences=True), Dense(n)], executor=executor)
    net.build((None, n if notes else 1))
    for name, array in net.parameters.items():
        array[:] = logits if name.startswith("dense") and array.ndim == 1 else 0
    return net


def shares(executor: str, sampling: Sampling, n: int = 4000) -> np.ndarray:
    drawn = constant(executor, np.log(CHANCES)).stream().generate(0, n, sampling)
    return np.bincount(drawn, minlength=6) / n


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, CHANCES),
        ({"temperature": 0.5}, CHANCES**2 / (CHANCES**2).sum()),
        ({"temperature": 0.0}, [0, 1, 0, 0, 0, 0]),
        ({"top_k": 3}, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85, 0]),
        ({"top_k": 1}, [0, 1, 0, 0, 0, 0]),
        ({"top_k": 99}, CHANCES),
        ({"top_p": 0.7001}, [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85, 0]),
        ({"top_p": 0.6999}, [0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0]),
        ({"top_p": 1e-9}, [0, 1, 0, 0, 0, 0]),
        ({"top_k": 2, "top_p": 0.6}, [0, 0.4 / 0.7, 0, 0.3 / 0.7, 0, 0]),
        ({"top_k": 2, "top_p": 0.5}, [0, 1, 0, 0, 0, 0]),
    ],
)
def test_symbols_are_drawn_by_their_chances(executor: str, settings, expected) -> None:
    found = shares(executor, Sampling(seed=5, **settings), 4000 if executor == "native" else 1500)
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert (found[np.asarray(expected) == 0] == 0).all()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("settings", [{}, {"top_p": 0.9}, {"top_k": 2}])
def test_infinite_outputs_draw_a_symbol_all_the_same(executor: str, settings) -> None:
    """Finite weights can make them, in a file from anywhere; the engine once read beyond its symbols."""
    net = constant(executor, np.full(4, 3e38))
    for name, array in net.parameters.items():
        array[:] = 100 if name.startswith("lstm") else 3e38
    with np.errstate(over="ignore", invalid="ignore"):
        drawn = net.stream().generate(0, 40, Sampling(seed=1, **settings))
    assert ((drawn >= 0) & (drawn < 4)).all()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_notes_are_drawn_each_by_itself(executor: str) -> None:
    logits = np.array([-2.0, 0.0, 1.5])
    stream = constant(executor, logits, notes=True).stream()
    drawn = stream.generate([0, 0, 0], 1500, Sampling(temperature=2.0, notes=True))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0), 1 / (1 + np.exp(-logits / 2)), atol=0.04)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1
    surest = stream.generate([0, 0, 0], 4, Sampling(temperature=0, notes=True))
    np.testing.assert_array_equal(surest, [[0, 0, 1]] * 4)


@pytest.mark.parametrize("notes", [False, True])
@pytest.mark.parametrize("settings", [{}, {"top_k": 4}, {"top_p": 0.6}, {"temperature": 0.7}])
def test_both_executors_write_the_same(notes: bool, settings) -> None:
    if notes and set(settings) & {"top_k", "top_p"}:
        return
    first = [] if notes else [Embedding(9, 4)]
    layers = [*first, LSTM(12, num_layers=2, return_sequences=True), Dense(9)]
    nets = [Sequential(layers, executor=executor, random_state=3) for executor in ("native", "reference")]
    written = []
    for net in nets:
        net.build((None, 9 if notes else 1))
        for array in net.parameters.values():
            array *= 3
        begin = np.eye(9)[2] if notes else 2
        sampling = Sampling(seed=7, notes=notes, **settings)
        written.append(net.stream().generate(begin, 60, sampling))
    np.testing.assert_array_equal(*written)
    assert len(np.unique(written[0], axis=0)) > 3


@pytest.mark.parametrize("executor", EXECUTORS)
def test_in_pieces_as_in_one(executor: str) -> None:
    net = Sequential([Embedding(9, 4), LSTM(12, return_sequences=True), Dense(9)], executor=executor)
    net.build((None, 1))
    whole = net.stream().generate(1, 20, Sampling())
    stream = net.stream()
    parts = [stream.generate(1, 7, Sampling())]
    parts.append(stream.generate(parts[-1][-1], 13, Sampling(), first=7))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    with pytest.raises(UsageError, match="first must be a whole number from 0 up, got True"):
        stream.generate(1, 7, Sampling(), first=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperature": -1}, "temperature must be"),
        ({"temperature": float("nan")}, "temperature must be"),
        ({"top_k": 0}, "top_k must be"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"top_p": 1.5}, "top_p must be above 0"),
        ({"seed": -1}, "seed must be"),
        ({"notes": True, "top_k": 2}, "notes are drawn each by itself"),
    ],
)
def test_other_settings_are_refused(settings, words) -> None:
    with pytest.raises(UsageError, match=words):
        Sampling(**settings)


def test_what_writes_no_input_of_its_own_is_refused() -> None:
    symbols, notes = constant("reference", np.zeros(4)), constant("reference", np.zeros(4), notes=True)
    with pytest.raises(UsageError, match="puts out what it reads"):
        symbols.stream().generate(0, 3, Sampling(notes=True))
    with pytest.raises(UsageError, match="puts out what it reads"):
        notes.stream().generate([0, 0, 0, 1], 3, Sampling())
    chances = Sequential([Embedding(4, 2), Dense(4, "softmax")])
    chances.build((None, 1))
    with pytest.raises(UsageError, match="draws from the values before a softmax"):
        chances.stream().generate(0, 3, Sampling())
    with pytest.raises(UsageError, match="one row"):
        symbols.stream(2).generate(0, 3, Sampling())
    with pytest.raises(DataError, match=r"outside 0 \.\. 3"):
        symbols.stream().generate(4, 3, Sampling())
    for first in (2**64, -1, True, 0.0):
        with pytest.raises(UsageError, match=r"first must be (a whole number from 0 up|at most)"):
            symbols.stream().generate(0, 3, Sampling(), first=first)
    wide = Sequential([Embedding(4, 2), Dense(5)])
    wide.build((None, 1))
    with pytest.raises(UsageError, match="that knows all outputs"):
        wide.stream().generate(0, 3, Sampling())


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("notes", [False, True])
def test_much_is_drawn_in_pieces_that_nobody_sees(
    executor: str, notes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = constant(executor, np.log(CHANCES), notes)
    begin = np.zeros(6) if notes else 0
    whole = net.stream().generate(begin, 2 * streaming.CHUNK_STEPS + 3, Sampling(notes=notes))
    monkeypatch.setattr(streaming, "PIECE_WORK", 1)
    parts = net.stream().generate(begin, 2 * streaming.CHUNK_STEPS + 3, Sampling(notes=notes))
    np.testing.assert_array_equal(parts, whole)


def test_ctrl_c_ends_a_long_drawing() -> None:
    pytest.importorskip("karusel._engine")
    net = Sequential([Embedding(50, 16), LSTM(128, return_sequences=True), Dense(50)], n_jobs=1)
    net.build((None, 1))
    stream = net.stream()
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            stream.generate(0, 500_000, Sampling())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - started < 2  # all of it takes several times as long
