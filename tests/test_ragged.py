"""Rows of different lengths: each row counts as if it stood alone, and padding is never seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import karusel
from compare import assert_close, assert_same_bits
from karusel import LSTM, Dense, LayerNorm, Sequential
from networks import EXECUTORS

pytestmark = pytest.mark.parametrize("executor", EXECUTORS)
FEW = settings(max_examples=12, deadline=None, print_blob=True)

# layers of a network for rows of `width` inputs
NETWORKS: dict[str, Any] = {
    "last": lambda hidden: [LSTM(hidden), Dense(2)],
    # Of units that nearly agree LayerNorm's usual epsilon makes 300 times a difference by rounding.
    "all": lambda hidden: [LSTM(hidden, return_sequences=True), LayerNorm(0.1), Dense(2)],
    "backward": lambda hidden: [LSTM(hidden, direction="backward"), Dense(2)],
    "bidirectional deep": lambda hidden: [
        LSTM(hidden, num_layers=2, direction="bidirectional", return_sequences=True, initial_state="learned"),
        Dense(2),
    ],
    "dilated": lambda hidden: [LSTM(hidden, num_layers=2, dilation=[1, 3], residual=True), Dense(2)],
}
SHAPES = st.tuples(
    st.lists(st.integers(1, 11), min_size=1, max_size=9),  # lengths
    st.integers(1, 5),  # inputs
    st.integers(1, 17),  # hidden units
    st.integers(0, 2**32 - 1),  # seed
)


def ragged_network(kind: str, width: int, hidden: int, executor: str, seed: int = 3) -> Sequential:
    net = Sequential(NETWORKS[kind](hidden), random_state=seed, executor=executor)
    net.compile(loss="mean_squared_error", optimizer="adam")
    net.build(input_shape=(None, width))
    random = np.random.default_rng(seed)
    for array in net.parameters.values():
        array[:] = random.standard_normal(array.shape) * 0.5
    return net


def draw(lengths: list[int], width: int, random: np.random.Generator) -> list[np.ndarray]:
    return [random.standard_normal((length, width)).astype(np.float32) for length in lengths]


def padded(rows: list[np.ndarray], fill: float) -> np.ndarray:
    longest = max(map(len, rows))
    found = np.full((len(rows), longest, *rows[0].shape[1:]), fill, rows[0].dtype)
    for row, array in enumerate(rows):
        found[row, : len(array)] = array
    return found


def targets(kind: str, rows: list[np.ndarray], random: np.random.Generator) -> Any:
    if kind in ("all", "bidirectional deep"):
        return draw([len(row) for row in rows], 2, random)
    return random.standard_normal((len(rows), 2)).astype(np.float32)


def by_row(output: Any, lengths: list[int]) -> dict[str, np.ndarray]:
    """Outputs row by row, cut to the row's length where there is one for each step."""
    return {
        f"row {k}": row[:length] if row.ndim == 2 else row
        for k, (row, length) in enumerate(zip(output, lengths, strict=True))
    }


@pytest.mark.parametrize("kind", NETWORKS)
@FEW
@given(shape=SHAPES)
def test_a_row_alone_is_the_row_in_a_batch(executor: str, kind: str, shape: Any) -> None:
    lengths, width, hidden, seed = shape
    rows = draw(lengths, width, np.random.default_rng(seed))
    net = ragged_network(kind, width, hidden, executor)
    alone = [net.predict([row])[0] for row in rows]

    # One array, so that errors are measured by the largest output: a row's own may all be near zero.
    def together(output: Any) -> dict[str, np.ndarray]:
        return {"rows": np.vstack(list(by_row(output, lengths).values()))}

    assert_close(together(net.predict(rows)), together(alone), tolerance=3e-6)


@pytest.mark.parametrize("kind", NETWORKS)
@FEW
@given(shape=SHAPES)
def test_a_list_is_a_padded_array_with_lengths(executor: str, kind: str, shape: Any) -> None:
    lengths, width, hidden, seed = shape
    random = np.random.default_rng(seed)
    rows = draw(lengths, width, random)
    y = targets(kind, rows, random)
    net = ragged_network(kind, width, hidden, executor)
    X, n = padded(rows, 9.0), np.array(lengths)
    assert_same_bits(by_row(net.predict(rows), lengths), by_row(net.predict(X, lengths=n), lengths))
    listed, from_list = net.gradients(rows, y)
    loss, gradients = net.gradients(X, padded(y, -9.0) if isinstance(y, list) else y, lengths=n)
    assert_same_bits({**from_list, "loss": listed}, {**gradients, "loss": loss})


@pytest.mark.parametrize("kind", NETWORKS)
def test_padding_never_reaches_a_gradient(executor: str, kind: str) -> None:
    random = np.random.default_rng(5)
    lengths = [3, 9, 1, 6, 9, 2, 4]
    rows = draw(lengths, 3, random)
    y = targets(kind, rows, random)
    net = ragged_network(kind, 3, 10, executor)
    found: list[dict[str, Any]] = []
    for fill in (0.0, 1e30, -7.0):
        told = padded(y, fill) if isinstance(y, list) else y
        loss, gradients = net.gradients(padded(rows, fill), told, lengths=np.array(lengths))
        outputs = by_row(net.predict(padded(rows, fill), lengths=np.array(lengths)), lengths)
        found.append({**gradients, **outputs, "loss": loss})
    assert all(np.abs(value).max() > 1e-3 for name, value in found[0].items() if name.endswith(".W"))
    assert_same_bits(found[1], found[0])
    assert_same_bits(found[2], found[0])


@pytest.mark.parametrize("kind", NETWORKS)
def test_padding_never_reaches_a_weight_in_training(executor: str, kind: str) -> None:
    random = np.random.default_rng(6)
    lengths = [2, 7, 1, 5, 7, 3]
    rows = draw(lengths, 2, random)
    y = targets(kind, rows, random)
    trained = []
    for fill in (0.0, 1e30):
        net = ragged_network(kind, 2, 5, executor)
        told = padded(y, fill) if isinstance(y, list) else y
        net.fit(padded(rows, fill), told, lengths=np.array(lengths), epochs=3, batch_size=4)
        trained.append({name: np.array(value) for name, value in net.parameters.items()})
    assert_same_bits(trained[1], trained[0])


@pytest.mark.parametrize("kind", NETWORKS)
@FEW
@given(shape=SHAPES)
def test_the_order_of_rows_does_not_matter(executor: str, kind: str, shape: Any) -> None:
    lengths, width, hidden, seed = shape
    random = np.random.default_rng(seed)
    rows = draw(lengths, width, random)
    y = targets(kind, rows, random)
    net = ragged_network(kind, width, hidden, executor)
    order = random.permutation(len(rows))
    mixed_lengths = [lengths[k] for k in order]
    mixed = by_row(net.predict([rows[k] for k in order]), mixed_lengths)
    straight = by_row(net.predict(rows), lengths)
    assert_close(
        mixed, {f"row {place}": straight[f"row {k}"] for place, k in enumerate(order)}, tolerance=3e-6
    )
    _, gradients = net.gradients(rows, y)
    _, mixed_gradients = net.gradients([rows[k] for k in order], [y[k] for k in order])
    assert_close(mixed_gradients, gradients, tolerance=2e-5)


def test_the_loss_is_the_mean_over_all_steps_of_all_rows(executor: str) -> None:
    random = np.random.default_rng(8)
    lengths = [2, 9, 4]
    rows = draw(lengths, 3, random)
    y = targets("all", rows, random)
    weight = np.array([0.5, 2.0, 3.0], np.float32)
    net = ragged_network("all", 3, 7, executor)
    alone = np.array([net.evaluate([row], [target]) for row, target in zip(rows, y, strict=True)])
    share = weight * lengths
    together = net.evaluate(rows, y, sample_weight=weight)
    assert_close(
        {"loss": np.float32(together)}, {"loss": (share * alone).sum() / share.sum()}, tolerance=1e-6
    )


def test_a_row_without_steps_is_refused(executor: str) -> None:
    net = ragged_network("last", 3, 4, executor)
    rows = draw([2, 0, 3], 3, np.random.default_rng(0))
    with pytest.raises(karusel.errors.DataError, match="1"):
        net.predict(rows)
    with pytest.raises(karusel.errors.DataError, match="1"):
        net.predict(np.zeros((3, 4, 3), np.float32), lengths=np.array([2, 0, 3]))
    with pytest.raises(karusel.errors.DataError, match="2"):
        net.predict(np.zeros((3, 4, 3), np.float32), lengths=np.array([2, 1, 5]))
