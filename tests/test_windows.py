"""Windows: the same as their copies, for every use; nothing is copied; bad ones are named."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compare import assert_same_bits
from karusel import (
    LSTM,
    Adam,
    Callback,
    Checkpoint,
    DataError,
    Dense,
    Embedding,
    Pinball,
    Sequential,
    UsageError,
    Windows,
)
from karusel.randomness import shuffled
from karusel.windows import PIECE, Runs
from networks import EXECUTORS

FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RANDOM = np.random.default_rng(7)
VALUES = RANDOM.normal(size=300).astype(np.float32)


def network(outputs: int, executor: str, per_step: bool = False, loss: Any = "mse") -> Sequential:
    made = Sequential(
        [LSTM(5, return_sequences=per_step), Dense(outputs)], executor=executor, random_state=2, n_jobs=2
    )
    made.compile(loss, Adam(0.01))
    return made


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Windows over a storage, overlapping, repeated, in any order; of one length or of many."""
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    lines, columns, n = draw(st.integers(20, 90)), draw(st.integers(1, 3)), draw(st.integers(1, 45))
    ragged, per_step = draw(st.booleans()), draw(st.booleans())
    steps = random.integers(1, 9, n) if ragged else np.full(n, draw(st.integers(1, 8)))
    horizon = draw(st.integers(1, 3))
    flat = columns == 1 and draw(st.booleans())
    return {
        "values": random.normal(size=lines if flat else (lines, columns)).astype(np.float32),
        "starts": np.array([random.integers(0, lines - s - horizon + 1) for s in steps], dtype=np.int32),
        "steps": steps,
        "ragged": ragged,
        "per_step": per_step,
        "horizon": horizon,
        "columns": columns,
        "shift": random.normal(size=n).astype(np.float32) if draw(st.booleans()) else None,
        "scale": random.uniform(0.2, 5, n).astype(np.float32) if draw(st.booleans()) else None,
        "known": (random.random(size=(lines, columns)) > 0.2).astype(np.float32),
        "masked": draw(st.booleans()),
        "sample_weight": random.uniform(0.1, 2, n) if draw(st.booleans()) else None,
    }


def cut(values: Any, starts: Any, steps: Any, shift: Any = None, scale: Any = None) -> list[Any]:
    """The same windows, copied and scaled in float32."""
    copies = []
    for k, (start, count) in enumerate(zip(starts, steps, strict=True)):
        copy = values[start : start + count].reshape(count, -1)
        if shift is not None:
            copy = copy - shift[k]
        copies.append(copy if scale is None else copy * scale[k])
    return copies


@pytest.mark.parametrize("executor", EXECUTORS)
@FUZZ
@given(case=cases())
def test_windows_are_their_copies(executor: str, case: dict[str, Any]) -> None:
    values, starts, steps, n = case["values"], case["starts"], case["steps"], len(case["starts"])
    sizes = {"shift": case["shift"], "scale": case["scale"]}
    later = starts + 1 if case["per_step"] else starts + steps
    horizon = steps if case["per_step"] else np.full(n, case["horizon"])
    lengths = steps if case["ragged"] else int(steps[0])
    ahead = (lengths if case["per_step"] else case["horizon"]) if n else 1

    X, y = Windows(values, starts, lengths, **sizes), Windows(values, later, ahead, **sizes)
    copies: Any = cut(values, starts, steps, **sizes)
    targets: Any = cut(values, later, horizon, **sizes)
    extra: dict[str, Any] = {"sample_weight": case["sample_weight"]}
    other = dict(extra)
    known = case["known"]
    if case["masked"] and known[later[0]].any():
        extra["mask"] = Windows(known if values.ndim == 2 else known[:, 0], later, ahead)
        other["mask"] = cut(known, later, horizon)
    if not case["per_step"]:
        targets = np.stack([target.reshape(-1) for target in targets])
        if "mask" in other:
            other["mask"] = np.stack([mask.reshape(-1) for mask in other["mask"]])
    if not case["ragged"]:
        copies = np.stack(copies)
        if case["per_step"]:
            targets = np.stack(targets)
            if "mask" in other:
                other["mask"] = np.stack(other["mask"])

    results = []
    outputs = case["columns"] * (1 if case["per_step"] else case["horizon"])
    for inputs, wanted, options in ((X, y, extra), (copies, targets, other)):
        net = network(outputs, executor, case["per_step"])
        fitting = {"epochs": 2, "batch_size": 7, "validation_split": 0.3 if n > 9 else 0, **options}
        history = net.fit(inputs, wanted, **fitting).history
        loss, gradients = net.gradients(inputs, wanted, **options)
        predicted = net.predict(inputs)
        results.append(
            {
                **net.parameters,
                **{f"d{name}": gradient for name, gradient in gradients.items()},
                "losses": [loss, net.evaluate(inputs, wanted, **options), *history["loss"]],
                "held out": history.get("val_loss", []),
                "predicted": np.concatenate([np.atleast_2d(row) for row in predicted]),
            }
        )
    if executor == "native":
        assert_same_bits(results[0], results[1])
    else:  # float64 there, and so are shift and scale, which are float32 in the copies
        for name, expected in results[1].items():
            assert np.allclose(results[0][name], expected, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("executor", EXECUTORS)
def test_pairs_are_all_windows_of_a_panel(executor: str) -> None:
    offsets = [2, 14, 14, 20, 29, 40]  # the third series is too short, the second is empty
    X, y = Windows.pairs(VALUES, offsets, 5, 3)
    starts = np.concatenate(
        [np.arange(a, b - 7) for a, b in pairwise(offsets)]  # 5 + 3 - 1 lines fewer
    )
    assert len(X) == len(y) == len(starts) == 5 + 2 + 4
    net = network(3, executor)
    history = net.fit(X, y, epochs=2, batch_size=4)
    other = network(3, executor)
    explicit = Windows(VALUES, starts, 5), Windows(VALUES, starts + 5, 3)
    assert other.fit(*explicit, epochs=2, batch_size=4).history == history.history
    assert_same_bits(net.parameters, other.parameters)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_windows_of_indices_and_of_a_network_without_time(executor: str) -> None:
    text = RANDOM.integers(0, 6, 80).astype(np.int32)
    starts = RANDOM.integers(0, 70, 23)
    net = Sequential([Embedding(6, 3), LSTM(4, return_sequences=True), Dense(6)], executor=executor)
    net.compile("softmax_cross_entropy")
    copies, targets = np.stack(cut(text, starts, [7] * 23)), np.stack(cut(text, starts + 1, [7] * 23))
    net.build((7, 1))
    windows = Windows(text, starts, 7), Windows(text, starts + 1, 7)
    assert net.evaluate(*windows) == net.evaluate(copies, targets)

    flat = Sequential([Dense(4)], executor=executor)
    flat.compile("mse")
    flat.build((6,))
    lags = Windows(VALUES, starts, 6)
    expected = flat.predict(np.stack(cut(VALUES, starts, [6] * 23))[:, :, 0])
    assert np.allclose(flat.predict(lags), expected, rtol=1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_weight_for_each_target(executor: str) -> None:
    """A target of weight 0 counts for nothing: as if another network had no such output."""
    X, y = RANDOM.normal(size=(11, 4, 2)), RANDOM.normal(size=(11, 3))
    weight = RANDOM.uniform(0.5, 2, size=(11, 3))
    weight[:, 1] = 0
    weight[4, 2] = 0
    poisoned = np.where(weight == 0, np.nan, y)
    net = network(3, executor)
    loss, gradients = net.gradients(X, poisoned, sample_weight=weight)
    error = (net.predict(X) - y) ** 2
    assert loss == pytest.approx((weight * error).sum() / weight.sum(), rel=1e-5)
    assert net.evaluate(X, poisoned, sample_weight=weight) == pytest.approx(loss, rel=1e-6)
    d_bias = (weight * 2 * (net.predict(X) - y)).sum(axis=0) / weight.sum()
    assert np.allclose(gradients["dense_1.b"], d_bias, rtol=1e-4)
    assert not gradients["dense_1.W"][:, 1].any()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_weight_for_each_target_of_quantiles(executor: str) -> None:
    quantiles = np.array([0.1, 0.5, 0.8])
    X, y = RANDOM.normal(size=(7, 5, 2)), RANDOM.normal(size=(7, 5, 2))
    mask = RANDOM.random((7, 5, 2)) > 0.4
    net = network(6, executor, per_step=True, loss=Pinball(quantiles))
    loss = net.gradients(X, np.where(mask, y, np.nan), mask=mask, sample_weight=np.arange(1.0, 8))[0]
    e = y[..., None] - net.predict(X).reshape(7, 5, 2, 3)
    weight = (mask * np.arange(1.0, 8)[:, None, None])[..., None]
    expected = (weight * np.maximum(quantiles * e, (quantiles - 1) * e)).sum() / (3 * weight.sum())
    assert loss == pytest.approx(expected, rel=1e-5)


def test_missing_targets_of_windows_are_masked() -> None:
    values = VALUES[:, None].repeat(2, axis=1)
    values[40:60, 1] = np.nan
    known = np.isfinite(values).astype(np.float32)
    filled = np.nan_to_num(values)
    starts = np.arange(0, 280, 3)
    net = network(8, "auto")
    history = net.fit(
        Windows(filled, starts, 5),
        Windows(values, starts + 5, 4),
        mask=Windows(known, starts + 5, 4),
        sample_weight=np.linspace(1, 2, len(starts)),
        epochs=2,
    )
    assert np.isfinite(history.history["loss"]).all()
    shifted = known[1:].copy()  # another storage: the mask of a line before
    with pytest.raises(DataError, match=r"y holds nan in window 17, step 3, column 1.*drop the window"):
        net.fit(
            Windows(filled, starts, 5), Windows(values, starts + 5, 4), mask=Windows(shifted, starts + 5, 4)
        )
    before = Windows(known, starts + 4, 4)  # the same storage, a line too early
    with pytest.raises(DataError, match="y holds nan in window 11, step 2, column 1"):
        net.fit(Windows(filled, starts, 5), Windows(values, starts + 5, 4), mask=before)


def cutting(*arguments: Any, **options: Any) -> Any:
    return lambda: Windows(*arguments, **options)


def with_nan(at: int) -> Any:
    return np.where(np.arange(300) == at, np.float32(np.nan), VALUES)


ONES = Windows(np.ones(300, np.float32), np.arange(290), 1)
FITS = ((np.arange(290), 4), (np.arange(290) + 4, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cutting(VALUES, [3, -2], 4), "window 1 is lines -2 to 1: they must lie within the storage"),
        (cutting(VALUES, [3, 4, 297], 4), "window 2 is lines 297 to 300: .* lines 0 to 299"),
        (cutting(VALUES, [3, 297], [4, 3]), None),
        (cutting(VALUES, [3, 297], [4, 4]), "window 1 is lines 297 to 300"),
        (cutting(VALUES, [3], 301), "window 0 is lines 3 to 303"),
        (cutting(VALUES, [], 4), "starts is empty"),
        (cutting(VALUES, [0.5], 4), r"starts must be whole numbers of shape \[n\], got float64 \[1\]"),
        (cutting(VALUES, [[1]], 4), r"starts must be whole numbers of shape \[n\], got int64 \[1, 1\]"),
        (cutting(VALUES, [1, 2], [3, 0]), "window 1 has 0 steps: at least 1 is needed"),
        (cutting(VALUES, [1, 2], [3]), "steps has 1 numbers, starts has 2"),
        (cutting(VALUES.astype(float), [1], 4), r"must be float32.* got float64: .*astype\(np.float32\)"),
        (cutting(VALUES[::2], [1], 4), "must lie line after line"),
        (cutting(VALUES[:0], [1], 4), "not be empty"),
        (cutting(VALUES.reshape(3, 10, 10), [1], 4), r"shape \[lines\] or \[lines, numbers\]"),
        (cutting(VALUES, [1, 2], 4, shift=[1.0]), "shift must hold one number for each of the 2 windows"),
        (cutting(VALUES, [1, 2], 4, scale=[1, np.inf]), "scale holds inf for window 1"),
        (cutting(VALUES, [1], 4, scale=["a"]), "scale must hold numbers only"),
        (cutting(np.arange(9, dtype=np.int32), [1], 4, scale=[1.0]), "shift and scale need float32"),
        (lambda: Windows.pairs(VALUES, [0, 4, 9], 8, 2), "no series has the 10 lines of .* longest has 5"),
        (lambda: Windows.pairs(VALUES, [0, 301], 8, 2), "offsets must ascend from 0 .* at most .*300"),
        (lambda: Windows.pairs(VALUES, [9, 4], 8, 2), "offsets must ascend"),
    ],
)  # fmt: skip
def test_windows_that_cannot_be_are_named(make: Any, message: str | None) -> None:
    if message is None:
        assert len(make()) == 2
        return
    with pytest.raises(DataError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cutting(VALUES, [1], 0), "Windows: steps must be a whole number from 1 up, got 0"),
        (cutting(VALUES, [1], 4.0), "Windows: steps must be a whole number from 1 up, got 4.0"),
        (lambda: Windows.pairs(VALUES, [0, 9], 8, 0), "horizon must be a whole number from 1 up, got 0"),
    ],
)  # fmt: skip
def test_windows_have_a_whole_number_of_steps(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_windows_stay_where_they_were_checked() -> None:
    starts, steps = np.array([0, 1]), np.array([5, 4])
    windows = Windows(VALUES, starts, steps)
    net = network(1, "auto")
    net.build((None, 1))
    expected = net.predict(windows)
    starts[1] = steps[1] = 10**12
    assert_same_bits({"y": net.predict(windows)}, {"y": expected})
    for own in (windows.starts, windows.steps):
        with pytest.raises(ValueError, match="read-only"):
            own[1] = 10**12


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        (with_nan(200), VALUES, {}, "X holds nan in window 197, step 3, column 0"),
        (VALUES, with_nan(3), {}, None),
        (VALUES, with_nan(4), {}, "y holds nan in window 0, step 0, column 0"),
        (np.zeros(300, np.int32), VALUES, {}, "X: Windows of float32 values are needed here"),
        (VALUES[:, None].repeat(2, 1), VALUES, {}, "X: 1 numbers per step are expected, got 2"),
        (VALUES, VALUES[:, None].repeat(2, 1), {}, "y: 1 numbers per row are expected, got 2"),
        (VALUES, VALUES, {"lengths": [4]}, "X is Windows: lengths are known from it"),
        (VALUES, VALUES, {"mask": Windows(VALUES, [0], 1)}, "mask has 1 windows, X has 290"),
        (VALUES, VALUES, {"mask": Windows(-np.abs(VALUES), np.arange(290), 1)}, "finite numbers from 0 up"),
        (VALUES, VALUES, {"mask": Windows(0 * VALUES, np.arange(290), 1)}, "leave no target at all"),
        (VALUES, VALUES, {"mask": Windows(VALUES, np.arange(290), 2)}, "mask: 1 numbers per row"),
        (
            VALUES,
            VALUES,
            {"mask": ONES, "sample_weight": ONES},
            "of Windows one is taken",
        ),
        (
            VALUES,
            VALUES,
            {"mask": Windows(np.ones(300, np.float32), np.arange(290), 1, shift=np.ones(290))},
            "Windows of weights take a scale, but no shift",
        ),
    ],
)  # fmt: skip
def test_bad_numbers_in_windows_are_named(
    executor: str, X: Any, y: Any, options: Any, message: str | None
) -> None:
    net = network(1, executor)
    net.build((4, 1))
    windows = Windows(X, *FITS[0]), Windows(y, *FITS[1])
    if message is None:
        assert np.isfinite(net.evaluate(*windows, **options))
        return
    with pytest.raises(DataError, match=message):
        net.evaluate(*windows, **options)


def test_scaling_beyond_float32_is_named() -> None:
    net = network(1, "auto")
    net.build((4, 1))
    values = VALUES.copy()
    values[100] = 1e30
    scale = np.full(290, 1e12, np.float32)
    with pytest.raises(DataError, match=r"make 1\.0.*e\+30 in window 97, step 3 larger than float32"):
        net.predict(Windows(values, np.arange(290), 4, scale=scale))
    scale[97:101] = 1
    net.predict(Windows(values, np.arange(290), 4, scale=scale))


def test_a_range_holds_for_what_is_shifted_and_scaled() -> None:
    values = np.tile(np.array([1, 0], np.float32), 4)
    net = Sequential([Dense(1)])
    net.compile("binary_crossentropy")
    X, starts = np.zeros((8, 1)), np.arange(8)
    scale = np.ones(8)
    scale[4] = 50
    with pytest.raises(DataError, match=r"y holds 1\.0 in window 4, step 0, shifted and scaled: .* 0 to 1"):
        net.evaluate(X, Windows(values, starts, 1, scale=scale))
    net.evaluate(X, Windows(values, starts, 1, scale=scale), sample_weight=scale == 1)
    net.evaluate(X, Windows(1 + 9 * values, starts, 1, shift=np.ones(8), scale=np.full(8, 1 / 9)))


def test_more_windows_than_a_piece() -> None:
    """Beyond a piece nothing is written out; results are the same bits as with everything written out."""
    n = PIECE + 700
    values = np.sin(np.arange(n + 8)).astype(np.float32)
    X, y = Windows.pairs(values, [0, n // 2, n + 8], 4, 2)
    assert len(X) > PIECE
    scale = RANDOM.uniform(1, 2, len(X)).astype(np.float32)
    X.scale = scale
    starts = np.r_[: n // 2 - 5, n // 2 : n + 3]
    net = network(2, "auto")
    net.build((4, 1))
    copies = values[starts[:, None] + np.arange(4)] * scale[:, None]
    targets = values[starts[:, None] + np.arange(4, 6)]
    assert_same_bits({"y": net.predict(X)}, {"y": net.predict(copies)})
    assert net.evaluate(X, y) == pytest.approx(net.evaluate(copies, targets), rel=1e-12)
    loss, gradients = net.gradients(X, y)
    expected_loss, expected = net.gradients(copies, targets)
    assert loss == expected_loss
    assert_same_bits(gradients, expected)
    other = network(2, "auto")
    history = net.fit(X, y, batch_size=3000, validation_split=0.4)
    expected_history = other.fit(copies, targets, batch_size=3000, validation_split=0.4)
    for name, losses in expected_history.history.items():
        assert history.history[name] == pytest.approx(losses, rel=1e-12)
    assert_same_bits(net.parameters, other.parameters)


def test_an_epoch_over_many_windows_takes_little_memory() -> None:
    values = np.zeros(30 * PIECE, np.float32)
    X, y = Windows.pairs(values, np.arange(0, len(values) + 1, PIECE), 4, 2)
    net = network(2, "auto")
    net.fit(X, y, batch_size=512, epochs=1, steps_per_epoch=1)
    tracemalloc.start()
    net.fit(X, y, batch_size=512, epochs=3, steps_per_epoch=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(X) / 4  # a quarter of what their starts alone would take


@pytest.mark.parametrize("n", [1, 2, 3, 10, (1 << 13) + 1, 70_001, 99_856])
def test_an_order_is_a_permutation(n: int) -> None:
    order = shuffled(5, 2, n, np.arange(n))
    assert np.array_equal(np.sort(order), np.arange(n))
    some = RANDOM.integers(0, n, 9)
    assert np.array_equal(shuffled(5, 2, n, some), order[some])
    if n > 100:
        assert (shuffled(5, 3, n, np.arange(n)) == order).mean() < 0.001
        assert (shuffled(6, 2, n, np.arange(n)) == order).mean() < 0.001


def test_a_large_order_looks_random() -> None:
    n = 100_003
    order = shuffled(1, 1, n, np.arange(n)).astype(float) / n
    steps = np.abs(np.diff(order))
    assert steps.mean() == pytest.approx(1 / 3, abs=0.005)  # of two numbers drawn from [0, 1]
    assert np.corrcoef(order[:-1], order[1:])[0, 1] == pytest.approx(0, abs=0.01)
    counts = np.histogram(order[:20_000], 100, (0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() == pytest.approx(99 * 0.8, abs=60)  # drawn without replacement


@pytest.mark.parametrize("shuffle", [True, False])
def test_steps_per_epoch_go_on_where_the_last_epoch_stopped(shuffle: bool) -> None:
    """Three epochs of 2 batches are one epoch of 6; the next pass has another order."""
    X, y = RANDOM.normal(size=(24, 3, 1)), RANDOM.normal(size=24)
    whole, parts = network(1, "auto"), network(1, "auto")
    whole.fit(X, y, epochs=2, batch_size=4, shuffle=shuffle)
    history = parts.fit(X, y, epochs=6, batch_size=4, shuffle=shuffle, steps_per_epoch=2)
    assert history.epochs == 6
    assert_same_bits(whole.parameters, parts.parameters)
    across = network(1, "auto")
    across.fit(X, y, epochs=1, batch_size=4, shuffle=shuffle, steps_per_epoch=12)
    assert_same_bits(whole.parameters, across.parameters)


class Stop(Exception):
    pass


class StopAfter(Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise Stop


def test_steps_per_epoch_resume_to_the_same_bits(tmp_path: Path) -> None:
    offsets, checkpoint = [0, 100, 300], Checkpoint(tmp_path / "checkpoint")
    X, y = Windows.pairs(VALUES, offsets, 6, 2)
    options: dict[str, Any] = {"epochs": 9, "batch_size": 8, "steps_per_epoch": 5}
    whole, broken, again = (network(2, "auto") for _ in range(3))
    whole.fit(X, y, **options)
    with pytest.raises(Stop):
        broken.fit(X, y, callbacks=[checkpoint, StopAfter(4)], **options)
    with pytest.raises(DataError, match=r"checkpoint of another fit \(its steps_per_epoch differ\)"):
        again.fit(X, y, callbacks=[checkpoint, StopAfter(99)], **{**options, "steps_per_epoch": 6})
    other = Windows.pairs(VALUES, [0, 50, 300], 6, 2)  # as many windows of the same storage, elsewhere
    with pytest.raises(DataError, match=r"checkpoint of another fit \(its data differ\)"):
        again.fit(*other, callbacks=[checkpoint, StopAfter(99)], **options)
    again.fit(X, y, callbacks=[checkpoint, StopAfter(99)], **options)
    assert_same_bits(whole.parameters, again.parameters)


def test_runs_are_their_numbers() -> None:
    runs = Runs(np.array([5, 9, 0]), np.array([3, 0, 2]), 2)
    expected = [5, 7, 9, 0, 2]
    assert len(runs) == 5
    assert runs[np.arange(5)].tolist() == expected
    assert runs.times(3)[np.array([4, 1])].tolist() == [6, 21]


@FUZZ
@given(
    counts=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 900)), min_size=1, max_size=60).filter(any),
    step=st.integers(1, 5),
)
def test_runs_of_any_lengths(counts: list[int], step: int) -> None:
    first = RANDOM.integers(0, 1000, len(counts))
    parts = [start + step * np.arange(count) for start, count in zip(first, counts, strict=True)]
    expected = np.concatenate(parts)
    runs = Runs(first, np.array(counts), step)
    assert np.array_equal(runs[np.arange(len(runs))], expected)
    some = RANDOM.integers(0, len(runs), 20)
    assert np.array_equal(runs[some], expected[some])
    assert (runs.min(), runs.max()) == (expected.min(), expected.max())
    assert runs == Runs(first, np.array(counts), step) != Runs(first + 1, np.array(counts), step)
