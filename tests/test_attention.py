"""Attention to a second sequence: PyTorch, finite differences, executors, threads, what is refused.

Outputs, losses and gradients against PyTorch are among the cases of `test_golden.py`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from compare import assert_close, assert_same_bits
from karusel import (
    LSTM,
    Activation,
    Attention,
    DataError,
    Dense,
    Dropout,
    Embedding,
    Pool,
    Sequential,
    UsageError,
    load,
)
from karusel.program.plan import plan
from karusel.searching import draw, search
from karusel.windows import PIECE
from networks import EXECUTORS, golden_names, network, part, read_golden, row_arguments
from test_golden import finite_differences

WORDS, SOURCE_WORDS = 11, 9
BOTH: dict[str, Any] = {"direction": "bidirectional", "return_sequences": True}


def translator(executor: str = "auto", dropout: float = 0.0, **options: Any) -> Sequential:
    """A small network that attends, of weights from -1 to 1."""
    encoder = [Embedding(SOURCE_WORDS, 3), Dropout(dropout), LSTM(4, **BOTH), Dropout(dropout)]
    layers = [
        Embedding(WORDS, 5),
        LSTM(7, return_sequences=True, recurrent_dropout=dropout),
        Attention(6, encoder),
        Dropout(dropout),
        LSTM(5, return_sequences=True),
        Dense(WORDS, activation="softmax", tied=True),
    ]
    net = Sequential(layers, executor=executor, **options)
    net.compile("softmax_cross_entropy")
    net.build((None, 1))
    random = np.random.default_rng(4)
    for array in net.parameters.values():
        array[:] = random.integers(-4096, 4097, array.shape) / 4096
    return net


def sentences(count: int, seed: int = 0) -> tuple[list[Any], list[Any], list[Any]]:
    """What is read, what is to come, and sources; all of different lengths."""
    random = np.random.default_rng(seed)
    x, s = (
        [random.integers(1, most, random.integers(1, longest)) for _ in range(count)]
        for most, longest in ((WORDS, 9), (SOURCE_WORDS, 14))
    )
    return x, [random.integers(0, WORDS, len(one)) for one in x], s


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", golden_names("attention_"))
def test_alignment_as_in_pytorch(name: str, executor: str) -> None:
    spec, arrays = read_golden(name)
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    source = row_arguments(inputs)["source"]
    lengths = inputs.get("lengths", np.full(len(source), inputs["X"].shape[1]))
    X = [one[:length] for one, length in zip(inputs["X"], lengths, strict=True)]
    for row, found in enumerate(net.alignment(X, source=source)):
        expected = arrays["alignment"][row, : len(X[row]), : len(source[row])]
        assert_close({"weights": found}, {"weights": expected})


def test_alignment_of_more_rows_than_a_piece() -> None:
    net = Sequential([Attention(2, [Dense(2, input_shape=(None, 1))], input_shape=(None, 1))])
    net.build((None, 1))
    n = PIECE + 5
    found = net.alignment(np.zeros((n, 1, 1), np.float32), source=np.zeros((n, 1, 1), np.float32))
    assert len(found) == n
    assert found[-1] == 1.0


def test_gradients_are_slopes() -> None:
    net = translator("reference")
    X, y, source = sentences(4)
    _, gradients = net.gradients(X, y, source=source)
    slopes = finite_differences(net, lambda: net.evaluate(X, y, source=source))
    assert_close(gradients, slopes, tolerance=1e-6)


def test_both_executors_agree_where_slices_are_many() -> None:
    X, y, source = sentences(57)
    found = {}
    for executor in ("native", "reference"):
        net = translator(executor, dropout=0.4)
        history = net.fit(X, y, source=source, epochs=2, batch_size=40, validation_data=(X, y, None, source))
        found[executor] = (net, history.history)
    native, reference = found["native"], found["reference"]
    assert_close(native[1], reference[1], tolerance=1e-5)
    assert_close(native[0].parameters, reference[0].parameters, tolerance=1e-4)


def test_sources_follow_their_rows_piece_by_piece() -> None:
    """More rows than are read at once."""
    net = translator()
    X, y, source = sentences(2100)
    p = net.predict(X, source=source)
    picked = np.concatenate([one[np.arange(len(its)), its] for one, its in zip(p, y, strict=True)])
    loss = net.evaluate(X, y, source=source)
    assert -np.log(picked.astype(np.float64)).mean() == pytest.approx(loss, rel=1e-4)
    several = np.zeros((len(X), 8, WORDS), np.float32)
    padded = np.stack([np.pad(one, (0, 8 - len(one))) for one in X])
    lengths = [len(one) for one in X]
    net.predict(padded, lengths=lengths, source=source, out=several)
    for one, its in zip(several, p, strict=True):
        np.testing.assert_allclose(one[: len(its)], its, atol=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_row_does_not_see_its_neighbours(executor: str) -> None:
    net = translator(executor)
    X, _, source = sentences(21)
    together = net.predict(X, source=source)
    for row in range(len(X)):
        (alone,) = net.predict([X[row]], source=[source[row]])
        assert_close({"y": alone}, {"y": together[row]}, tolerance=1e-5)


def test_one_thread_equals_many_bit_for_bit() -> None:
    X, y, source = sentences(130)
    nets = [translator(dropout=0.3, n_jobs=threads) for threads in (1, 3)]
    for net in nets:
        net.fit(X, y, source=source, epochs=2, batch_size=50)
    assert_same_bits(nets[0].parameters, nets[1].parameters)
    one, many = (net.alignment(X, source=source) for net in nets)
    assert_same_bits(
        dict(enumerate(map(np.ascontiguousarray, one))), dict(enumerate(map(np.ascontiguousarray, many)))
    )


def test_what_is_told_by_the_source_is_learned() -> None:
    random = np.random.default_rng(0)
    source = [random.integers(0, 6, random.integers(2, 7)) for _ in range(200)]
    y = [one[::-1] for one in source]
    X = [np.append(6, one[:-1]) for one in y]
    encoder = [Embedding(6, 16), LSTM(16, **BOTH)]
    layers = [Embedding(7, 16), LSTM(16, return_sequences=True), Attention(16, encoder), Dense(6)]
    net = Sequential(layers)
    net.compile("softmax_cross_entropy", "adam")
    assert net.optimizer is not None
    history = net.fit(X, y, source=source, epochs=60, batch_size=8)
    assert history.history["loss"][-1] < 0.2 < 1.4 < history.history["loss"][0]
    # A reversed sentence is read from its end.
    (weights,) = net.alignment(X[:1], source=source[:1])
    assert weights.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_a_saved_network_gives_the_same_bits(tmp_path) -> None:
    net = translator()
    X, _, source = sentences(5)
    net.save(tmp_path / "net.karusel")
    again = load(tmp_path / "net.karusel")
    assert repr(again) == repr(net)
    for a, b in zip(net.predict(X, source=source), again.predict(X, source=source), strict=True):
        assert a.tobytes() == b.tobytes()


def test_the_plan_has_room_for_sources() -> None:
    net = translator()
    program = net.program("train", source_steps=50)
    assert "M,3" in str(program)
    assert "source step" in str(program)
    assert plan(program, 16, 5, 50).arena_size > plan(program, 16, 5, 20).arena_size
    assert program.flops(2, 3, 4) > program.flops(2, 3, 3) > program.flops(2, 2, 3)


# --- search -----------------------------------------------------------------------------------------


def log_p(net: Sequential, string: Any, source: Any, ends: bool = True) -> float:
    """Of a string and its end, from the outputs of the whole."""
    (p,) = net.predict([np.append(0, string).astype(int)], source=[source])
    symbols = np.append(string, 0).astype(int)
    return float(np.log(p[np.arange(len(p)), symbols])[: len(symbols) - (not ends)].sum())


def small(executor: str) -> Sequential:
    """A network of three symbols and an end."""
    layers = [
        Embedding(4, 5),
        LSTM(6, return_sequences=True),
        Attention(5, [Embedding(SOURCE_WORDS, 3), LSTM(3, **BOTH)]),
        Dense(4),
        Activation("softmax"),
    ]
    net = Sequential(layers, executor=executor)
    net.build((None, 1))
    random = np.random.default_rng(11)
    for array in net.parameters.values():
        array[:] = 1.5 * random.standard_normal(array.shape)
    return net


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_wide_beam_finds_the_best_of_all_strings(executor: str, power: float) -> None:
    net = small(executor)
    _, _, sources = sentences(3, seed=5)
    longest = 4
    for source, found in zip(
        sources, search(net, sources, [longest] * 3, width=81, power=power), strict=True
    ):
        every = {
            string: log_p(net, string, source)
            for length in range(longest)
            for string in itertools.product((1, 2, 3), repeat=length)
        }
        best = max(every, key=lambda string: every[string] / (len(string) + 1) ** power)
        assert found[0].string == best
        for one in found:
            assert one.log_p == pytest.approx(every[one.string], abs=1e-4)
        assert [one.score(power) for one in found] == sorted(
            (one.score(power) for one in found), reverse=True
        )


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_beam_of_one_takes_the_likeliest_symbol(executor: str) -> None:
    net = translator(executor)
    _, _, sources = sentences(70, seed=2)
    for source, found in zip(sources, search(net, sources, [12] * 70, width=1), strict=True):
        string: list[int] = []
        while len(string) < 12:
            (p,) = net.predict([np.array([0, *string])], source=[source])
            if (symbol := int(np.argmax(p[-1]))) == 0:
                break
            string.append(symbol)
        assert found[0].string == tuple(string)
        assert found[0].log_p == pytest.approx(log_p(net, string, source, len(string) < 12), abs=1e-3)


def test_a_wider_beam_is_no_worse_and_a_string_ends_where_it_must() -> None:
    net = translator()
    net.parameters["dense_5.b"][0] = -50.0  # no end ever
    _, _, sources = sentences(9, seed=3)
    longest = list(range(1, 10))
    best = [search(net, sources, longest, width=width, power=0.0) for width in (1, 6)]
    for most, one, other in zip(longest, *best, strict=True):
        assert len(one[0].string) == len(other[0].string) == most
        assert other[0].log_p >= one[0].log_p - 1e-4


@pytest.mark.parametrize("executor", EXECUTORS)
def test_strings_are_drawn_as_often_as_they_are_likely(executor: str) -> None:
    net = small(executor)
    _, _, sources = sentences(3, seed=5)
    longest, count = [2, 3, 4], 4000
    for source, most, strings in zip(
        sources, longest, draw(net, sources, longest, count=count, seed=1), strict=True
    ):
        assert len(strings) == count
        assert max(map(len, strings)) == most
        for string in itertools.chain([()], itertools.product((1, 2, 3), repeat=min(2, most))):
            p = np.exp(log_p(net, np.array(string, int), source, len(string) < most))
            share = strings.count(tuple(string)) / count
            assert share == pytest.approx(p, abs=5 * np.sqrt(p / count) + 1e-3), (string, most)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_is_drawn_for_a_source_is_drawn_for_it_alone(executor: str) -> None:
    net = translator(executor)
    _, _, sources = sentences(15, seed=4)
    together = draw(net, sources, [7] * 15, count=90, seed=3)  # more than are drawn at once
    assert together[-1] == draw(net, sources[-1:], [7], count=90, seed=3)[0]
    assert together != draw(net, sources, [7] * 15, count=90, seed=4)
    assert draw(net, [], [], count=2) == []


# --- what is refused --------------------------------------------------------------------------------


def test_sources_that_do_not_fit_are_refused() -> None:
    net = translator()
    X, y, source = sentences(3)
    with pytest.raises(UsageError, match="pass source=, a sequence for each row of X"):
        net.predict(X)
    with pytest.raises(DataError, match="source has 2 sequences, X has 3 rows: they must be equally many"):
        net.fit(X, y, source=source[:2])
    with pytest.raises(DataError, match="source holds 9 in row 1"):
        net.evaluate(X, y, source=[source[0], np.array([1, 9]), source[2]])
    with pytest.raises(UsageError, match="streams= carries states on"):
        net.fit(X, y, source=source, streams=1)
    with pytest.raises(UsageError, match="a stream cannot attend"):
        net.stream()
    plain = Sequential([Embedding(4, 2), LSTM(3), Dense(1)])
    plain.build((None, 1))
    with pytest.raises(UsageError, match="source= needs a network with an Attention"):
        plain.predict([np.array([1])], source=source[:1])
    with pytest.raises(UsageError, match="without an Attention has no alignment"):
        plain.alignment([np.array([1])], source=None)
    with pytest.raises(UsageError, match="width must be a whole number from 1 up"):
        search(net, source, [3] * 3, width=0)
    with pytest.raises(UsageError, match="power must be a finite number from 0 up, got 'x'"):
        search(net, source, [3] * 3, power="x")
    with pytest.raises(UsageError, match="count must be a whole number from 1 up"):
        draw(net, source, [3] * 3, count=True)
    with pytest.raises(UsageError, match=f"end must be at most {WORDS - 1}, got {WORDS}"):
        draw(net, source, [3] * 3, end=WORDS)
    wide = Sequential([Embedding(4, 2), Attention(3, [Embedding(SOURCE_WORDS, 2)]), Dense(5, "softmax")])
    wide.build((None, 1))
    with pytest.raises(UsageError, match="an Embedding, of one symbol a step, that knows its 5 outputs"):
        search(wide, source, [3] * 3)
    logits = Sequential([Embedding(4, 2), Attention(3, [Embedding(SOURCE_WORDS, 2)]), Dense(4)])
    logits.build((None, 1))
    with pytest.raises(UsageError, match="must be probabilities: end it in a softmax"):
        search(logits, source, [3] * 3)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ([], "must be a list of karusel layers"),
        ([LSTM(3, return_sequences=True)], "first layer needs input_shape"),
        ([Embedding(4, 3), LSTM(2)], "must have an output per step"),
        ([Embedding(4, 3), LSTM(2, return_sequences=True), Pool("mean")], "must have an output per step"),
        ([Embedding(4, 3), LSTM(2, return_sequences=True, initial_state="given")], "outside the encoder"),
        ([Embedding(4, 3), Attention(2, [Embedding(4, 3)])], "a row has one source"),
    ],
)
def test_encoders_that_cannot_be_are_refused(encoder: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Attention(5, encoder)


def test_a_network_has_one_attention() -> None:
    with pytest.raises(UsageError, match="one Attention at most"):
        Sequential([Attention(5, [Embedding(4, 3)]), Attention(5, [Embedding(4, 3)])])
    with pytest.raises(UsageError, match="no time steps"):
        Sequential([LSTM(4), Attention(5, [Embedding(4, 3)])]).build((None, 3))
