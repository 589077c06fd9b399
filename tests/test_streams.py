"""Training on long sequences in pieces, the state carried from piece to piece and the gradient cut."""

from __future__ import annotations

import numpy as np
import pytest

import karusel
from compare import assert_close, assert_same_bits
from karusel import LSTM, Dense, Embedding, Sequential, Windows
from karusel.errors import UsageError
from networks import EXECUTORS, network, part, read_golden


def sequences(rows: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return random.normal(size=(rows, steps, 3)), random.normal(size=(rows, steps, 2))


def in_pieces(long: np.ndarray, steps: int) -> np.ndarray:
    """[streams, T, W] as rows: the first piece of each, then the second of each."""
    return np.concatenate(np.split(long, long.shape[1] // steps, axis=1))


def small(executor: str, **options: object) -> Sequential:
    net = Sequential(
        [LSTM(5, return_sequences=True, **options), LSTM(4, return_sequences=True), Dense(2)],
        executor=executor,
    )
    net.compile("mean_squared_error")
    return net


@pytest.mark.parametrize("executor", EXECUTORS)
def test_truncated_backpropagation_as_in_pytorch(executor: str) -> None:
    spec, arrays = read_golden("streams")
    inputs = part(arrays, "input")
    net = network(spec, part(arrays, "parameter"), executor)
    lengths, losses = inputs["lengths"], []
    rows = [x[:n] for x, n in zip(inputs["X"], lengths, strict=True)]
    targets = [y[:n] for y, n in zip(inputs["y"], lengths, strict=True)]
    history = net.fit(rows, targets, epochs=spec["epochs"], streams=spec["streams"])
    steps = [lengths[first : first + 3].sum() for first in range(0, 8, 3)]
    losses = [np.average(one, weights=steps) for one in arrays["losses"].reshape(-1, 3)]
    assert_close({"losses": np.array(history.history["loss"], net._dtype)}, {"losses": losses})
    assert_close(net.parameters, part(arrays, "final"), tolerance=2e-4 if executor == "native" else None)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dilation", [1, 3])
def test_pieces_have_the_loss_of_the_whole(executor: str, dilation: int) -> None:
    x, y = sequences(3, 20)
    net = small(executor, dilation=dilation)
    whole = net.evaluate(x, y)
    pieces = net.evaluate(in_pieces(x, 4), in_pieces(y, 4), streams=3)
    assert_close({"loss": np.array(pieces)}, {"loss": whole}, tolerance=1e-6)
    apart = net.evaluate(in_pieces(x, 4), in_pieces(y, 4))
    assert abs(apart - whole) > 1e-4


@pytest.mark.parametrize("executor", EXECUTORS)
def test_each_epoch_begins_anew(executor: str) -> None:
    x, y = (in_pieces(one, 5) for one in sequences(2, 15))
    one, two = small(executor), small(executor)
    for _ in range(3):
        one.fit(x, y, streams=2)
    two.fit(x, y, epochs=3, streams=2)
    assert_same_bits(one.parameters, two.parameters)


def test_threads_change_no_bit() -> None:
    tokens = np.random.default_rng(1).integers(0, 9, 4001).astype(np.int32)
    starts = (np.arange(0, 100, 10)[:, None] + np.arange(40) * 100).reshape(-1)
    weights = []
    for n_jobs in (1, 2):
        net = Sequential([Embedding(9, 4), LSTM(6, return_sequences=True), Dense(9)], n_jobs=n_jobs)
        net.compile("softmax_cross_entropy")
        net.fit(Windows(tokens, starts, 10), Windows(tokens, starts + 1, 10), streams=40, epochs=2)
        weights.append(net.parameters)
    assert_same_bits(*weights)


def test_a_checkpoint_goes_on_with_the_same_bits(tmp_path) -> None:
    x, y = (in_pieces(one, 5) for one in sequences(2, 15))

    class Breaking(karusel.Callback):
        broken = False

        def on_epoch_end(self, training, epoch, logs):
            if self.broken and epoch == 2:
                raise KeyboardInterrupt

    def fit(broken: bool) -> Sequential:
        net, breaking = small("auto"), Breaking()
        breaking.broken = broken
        callbacks = [breaking, karusel.Checkpoint(tmp_path / "c")]
        net.fit(x, y, epochs=4, streams=2, validation_data=(x, y), callbacks=callbacks)
        return net

    whole = fit(False).parameters
    with pytest.raises(KeyboardInterrupt):
        fit(True)
    assert (tmp_path / "c").exists()
    assert_same_bits(fit(False).parameters, whole)


@pytest.mark.parametrize(
    ("layer", "more", "words"),
    [
        ({}, {"streams": 0}, "streams must be a whole number from 1 up, got 0"),
        ({}, {"streams": 2, "validation_split": 0.5}, "give validation_data instead"),
        ({}, {"streams": 2, "steps_per_epoch": 1}, "leave steps_per_epoch out"),
        ({"direction": "backward"}, {"streams": 2}, "needs LSTMs with direction='forward'"),
        ({"initial_state": "learned"}, {"streams": 2}, "initial_state='zeros'"),
    ],
)
def test_what_cannot_be_carried_is_refused(layer, more, words) -> None:
    x, y = (in_pieces(one, 5) for one in sequences(2, 15))
    with pytest.raises(UsageError, match=words):
        small("reference", **layer).fit(x, y, **more)
