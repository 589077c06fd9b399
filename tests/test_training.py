"""The training loop: validation, early stopping, averaging, divergence, interruption, resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare import assert_close
from karusel import (
    LSTM,
    Adam,
    AdamW,
    Callback,
    Checkpoint,
    Constant,
    Cosine,
    DataError,
    Dense,
    DivergenceError,
    Dropout,
    EarlyStopping,
    GradientFlow,
    Huber,
    ModelFileError,
    Sequential,
    Step,
    UsageError,
)
from networks import EXECUTORS

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 5, 2))
Y = X.sum(axis=(1, 2))[:, None] + 0.1 * RANDOM.normal(size=(60, 1))


def network(optimizer: Any = "adam", executor: str = "auto") -> Sequential:
    made = Sequential([LSTM(6), Dropout(0.1), Dense(1)], executor=executor)
    made.compile("mse", optimizer)
    return made


def test_training_learns() -> None:
    made = network(Adam(0.01))
    before = made.fit(X, Y, epochs=1).history["loss"][0]
    assert made.fit(X, Y, epochs=150).history["loss"][-1] < before / 10


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_last_rows_are_held_out(executor: str) -> None:
    made = network(executor=executor)
    history = made.fit(X, Y, epochs=2, validation_split=0.25)
    assert len(history.history["val_loss"]) == 2
    assert made.evaluate(X[45:], Y[45:]) == pytest.approx(history.history["val_loss"][-1], rel=1e-6)
    other = network(executor=executor)
    poisoned = Y.copy()
    poisoned[45:] = 1e6  # the held-out part does not touch the weights
    other.fit(X, poisoned, epochs=2, validation_split=0.25)
    assert np.array_equal(made._weights, other._weights)


def test_random_rows_are_held_out() -> None:
    seen: set[int] = set()
    for row in range(60):
        made, spoiled = network(), network()
        made.fit(X, Y, epochs=1, validation_split=0.25, validation="random")
        changed = Y.copy()
        changed[row] += 100
        spoiled.fit(X, changed, epochs=1, validation_split=0.25, validation="random")
        if np.array_equal(made._weights, spoiled._weights):
            seen.add(row)
    assert len(seen) == 15
    assert seen != set(range(45, 60))


def test_a_single_row_is_held_out() -> None:
    made = network()
    history = made.fit(X, Y, epochs=1, validation_split=1 / 60).history
    assert history["val_loss"] == [pytest.approx(made.evaluate(X[59:], Y[59:]))]


def test_validation_data() -> None:
    made = network()
    history = made.fit(X[:40], Y[:40], validation_data=(X[40:], Y[40:]))
    assert history.history["val_loss"][0] == pytest.approx(made.evaluate(X[40:], Y[40:]), rel=1e-6)


def test_validation_data_in_a_dict() -> None:
    lengths = np.arange(60) % 5 + 1
    held_out = {"X": X[40:], "y": Y[40:], "lengths": lengths[40:]}
    made = network()
    history = made.fit(X[:40], Y[:40], lengths=lengths[:40], validation_data=held_out)
    assert history.history["val_loss"][0] == pytest.approx(made.evaluate(**held_out), rel=1e-6)


def test_rows_without_weight_validate_and_teach_nothing() -> None:
    weight = np.ones(60)
    weight[48:] = 0
    with pytest.raises(DataError, match="every held-out row has weight 0"):
        network().fit(X, Y, sample_weight=weight, validation_split=0.2)
    with pytest.raises(DataError, match="every row to train on has weight 0"):
        network().fit(X, Y, sample_weight=1 - weight, validation_split=0.2)


def test_early_stopping_keeps_the_best_weights() -> None:
    noise = np.random.default_rng(4).normal(size=60)
    made = network(Adam(0.05))
    history = made.fit(X, noise, epochs=300, validation_split=0.3, callbacks=[EarlyStopping(patience=4)])
    losses = history.history["val_loss"]
    assert history.stopped == "early"
    assert history.epochs == int(np.argmin(losses)) + 1 + 4
    assert made.evaluate(X[42:], noise[42:]) == pytest.approx(min(losses), rel=1e-6)


def test_early_stopping_needs_held_out_data() -> None:
    with pytest.raises(UsageError, match="EarlyStopping needs held-out data"):
        network().fit(X, Y, callbacks=[EarlyStopping()])


def test_averaged_weights_are_the_average() -> None:
    class Record(Callback):
        def __init__(self) -> None:
            self.weights: list[Any] = []

        def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
            self.weights.append(training._optimizer.weights.copy())

    made, record = network(Adam(0.01, ema_decay=0.6)), Record()
    made.build((5, 2))
    expected = made._weights.copy()
    made.fit(X, Y, epochs=9, batch_size=60, callbacks=[record])
    for weights in record.weights:
        expected = np.float32(0.6) * expected + np.float32(0.4) * weights
    assert np.abs(made._weights - expected).max() < 1e-6
    assert np.abs(made._weights - record.weights[-1]).max() > 1e-3


def test_schedules() -> None:
    steps = np.arange(7)
    assert Constant(0.5).rates(steps).tolist() == [0.5] * 7
    assert Step(1.0, every=3, factor=0.5).rates(steps).tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    cosine = Cosine(1.0, total_steps=6, warmup_steps=2, final_rate=0.2).rates(steps)
    # (s+1)/2, then .2 + .8 (1 + cos(pi p)) / 2 with p = 0, 1/4, 1/2, 3/4, 1
    expected = [0.5, 1.0, 1.0, 0.2 + 0.4 * (1 + 0.5**0.5), 0.6, 0.2 + 0.4 * (1 - 0.5**0.5), 0.2]
    assert cosine == pytest.approx(expected)
    assert Cosine(0.4, total_steps=3, warmup_steps=1).rates(steps[:2]).tolist() == [0.4, 0.4]
    assert Cosine(0.4, total_steps=3, final_rate=0.4).rates(steps).tolist() == pytest.approx([0.4] * 7)


def test_defaults_are_pytorchs() -> None:
    for optimizer, decay in ((Adam(), 0.0), (AdamW(), 0.01)):
        assert optimizer.schedule.config() == {"kind": "constant", "rate": 0.001}
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
        assert (optimizer.clip_norm, optimizer.ema_decay, optimizer.weight_decay) == (None, None, decay)
    assert Step(1.0, every=1).factor == 0.1
    assert Huber().delta == 1


def test_adamw_without_decay_is_adam_with_the_same_settings() -> None:
    settings = {"beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.01, "clip_norm": 0.01, "ema_decay": 0.7}
    weights = []
    for optimizer in (Adam(0.02, **settings), AdamW(0.02, weight_decay=0.0, **settings)):
        made = network(optimizer)
        made.fit(X, Y, epochs=3)
        weights.append(made._weights)
        for name, value in settings.items():
            other = network(type(optimizer)(0.02, **{**settings, name: 0.9 * value}))
            other.fit(X, Y, epochs=3)
            assert not np.array_equal(other._weights, made._weights), name
    np.testing.assert_array_equal(*weights)


@pytest.mark.parametrize("executor", ["native", "reference"])
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_divergence_restores_the_last_good_weights(executor: str) -> None:
    class Record(Callback):
        def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
            good.append(training.weights.copy())

    good: list[Any] = []
    made = network(Adam(Step(0.01, every=6, factor=1e37)), executor)
    with pytest.raises(
        DivergenceError, match=r"Try a smaller learning_rate, clip_norm=1\.0, or inputs scaled"
    ):
        made.fit(X, Y, epochs=20, batch_size=20, callbacks=[Record()])
    assert good
    assert np.array_equal(made._weights, good[-1])
    assert np.isfinite(made.predict(X)).all()
    # Without a callback several epochs run at once: the good ones among them are kept too.
    alone = network(Adam(Step(0.01, every=6, factor=1e37)), executor)
    with pytest.raises(DivergenceError, match=f"the loss in epoch {len(good) + 1} "):
        alone.fit(X, Y, epochs=20, batch_size=20)
    assert len(good) > 1
    assert np.array_equal(alone._weights, good[-1])


def test_a_time_limit_ends_training() -> None:
    made = network()
    started = time.monotonic()
    history = made.fit(X, Y, epochs=10**7, time_limit=0.3)
    assert history.stopped == "time"
    assert time.monotonic() - started < 2
    assert 0 < history.epochs < 10**7


def test_interruption_leaves_a_usable_network() -> None:
    made = network(Adam(ema_decay=0.9))
    made.build((5, 2))
    before = made._weights.copy()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            made.fit(X, Y, epochs=10**7)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert np.isfinite(made.predict(X)).all()
    assert not np.array_equal(made._weights, before)
    made.fit(X, Y)


def test_masked_batches_teach_nothing() -> None:
    """A batch without targets makes no step: not even Adam's momentum moves the weights."""
    mask = np.zeros(60)
    mask[:20] = 1
    made, short = network(), network()
    made.fit(X, Y, epochs=1, batch_size=20, shuffle=False, mask=mask)
    short.fit(X[:20], Y[:20], epochs=1, batch_size=20, shuffle=False)
    assert np.array_equal(made._weights, short._weights)


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_masked_batches_use_up_no_rate(executor: str) -> None:
    """A schedule counts steps, not batches, however many epochs are trained before anything looks."""
    mask = np.zeros(60)
    mask[40:] = 1
    schedule = Step(0.03, every=2)
    made, watched, short = (network(Adam(schedule), executor) for _ in range(3))
    made.fit(X, Y, epochs=6, batch_size=20, shuffle=False, mask=mask)
    watched.fit(X, Y, epochs=6, batch_size=20, shuffle=False, mask=mask, callbacks=[Callback()])
    short.fit(X[40:], Y[40:], epochs=6, batch_size=20, shuffle=False)
    assert np.array_equal(made._weights, short._weights)
    assert np.array_equal(watched._weights, short._weights)


def test_verbose_two_prints_keras_lines(capsys: pytest.CaptureFixture[str]) -> None:
    made = network()
    made.fit(X, Y, epochs=2, batch_size=7, validation_split=0.2, verbose=2)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Epoch 1/2"
    assert lines[1].startswith("7/7 - 0s - loss: ")
    assert " - val_loss: " in lines[1]
    assert len(lines) == 4
    assert err == ""
    made.fit(X, Y)
    assert capsys.readouterr() == ("", "")


def test_a_second_fit_trains_on() -> None:
    whole, parts = network(), network()
    whole.fit(X, Y, epochs=4)
    parts.fit(X, Y, epochs=1)
    parts.fit(X, Y, epochs=3)
    assert np.array_equal(whole._weights, parts._weights)


# -- checkpoints -----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np
from karusel import *
executor, path, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
random = np.random.default_rng(0)
X, Y = random.normal(size=(60, 5, 2)), random.normal(size=60)
class Kill(Callback):
    def on_epoch_end(self, training, epoch, logs):
        if epoch == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
net = Sequential([LSTM(6, num_layers=2, dropout=0.2), Dense(1)], executor=executor)
net.compile("mse", Adam(Cosine(0.05, 60, 5), clip_norm=1.0, ema_decay=0.8))
history = net.fit(X, Y, epochs=12, batch_size=16, validation_split=0.2,
                  callbacks=[Checkpoint(path, every=2), EarlyStopping(patience=8), Kill()])
print(history.epochs, history.history["val_loss"][-1].hex(), net._weights.tobytes().hex())
"""


def run_killed(executor: str, path: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLED, executor, str(path), str(kill_at)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_a_killed_fit_resumes_to_the_same_bits(executor: str, tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    unbroken = run_killed(executor, path, -1)
    assert unbroken.returncode == 0, unbroken.stderr
    assert not path.exists()
    for kill_at in (5, 6):
        assert run_killed(executor, path, kill_at).returncode == -signal.SIGKILL
        assert path.exists()
    resumed = run_killed(executor, path, -1)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == unbroken.stdout
    assert not path.exists()
    assert os.listdir(tmp_path) == []


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"

    class Stop(Callback):
        def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
            raise KeyboardInterrupt

    class After(Checkpoint):
        """Interrupts once the checkpoint is there."""

        def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
            super().on_epoch_end(training, epoch, logs)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network().fit(X, Y, epochs=3, callbacks=[After(path)])
    with pytest.raises(DataError, match=r"is a checkpoint of another fit \(its data"):
        network().fit(X + 1, Y, epochs=3, callbacks=[After(path)])
    with pytest.raises(DataError, match=r"is a checkpoint of another fit \(its config"):
        network(Adam(0.1)).fit(X, Y, epochs=3, callbacks=[After(path)])
    with pytest.raises(DataError, match=r"is a checkpoint of another fit \(its held_out"):
        network().fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[After(path)])


class Interrupted(Checkpoint):
    """Ends with Ctrl-C once the checkpoint is there."""

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        super().on_epoch_end(training, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt


def test_a_checkpoint_keeps_what_callbacks_hold_and_what_is_infinite(tmp_path: Path) -> None:
    """Arrays of any shape, the flow of many layers in order, an infinite loss."""

    class Count(Callback):
        seen = np.zeros(3, np.float32)

        def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
            self.seen = self.seen + 1

        def tensors(self) -> dict[str, Any]:
            return {"seen": self.seen}

        def restore(self, state: dict[str, Any], tensors: dict[str, Any]) -> None:
            self.seen = np.array(tensors["seen"])

    def made() -> Sequential:
        net = Sequential([LSTM(2, num_layers=11), Dense(1)])
        net.compile("mse")
        return net

    held_out = (X[:3], np.full(3, 1e30))
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        made().fit(
            X,
            Y,
            epochs=4,
            validation_data=held_out,
            callbacks=[Count(), GradientFlow(X, Y), EarlyStopping(9), Interrupted(path)],
        )
    callbacks = [Count(), GradientFlow(X, Y), EarlyStopping(9), Interrupted(path)]
    history = made().fit(X, Y, epochs=4, validation_data=held_out, callbacks=callbacks)
    assert history.history["val_loss"] == [np.inf] * 4
    count, flow = callbacks[0], callbacks[1]
    assert isinstance(count, Count)
    assert isinstance(flow, GradientFlow)
    assert count.seen.tolist() == [4, 4, 4]
    assert list(flow.flows) == [0, 1, 2, 3]
    assert list(flow.flows[0].norms) == list(flow.flows[3].norms)
    assert len(flow.flows[0].norms["lstm_0.10.forward"]) == X.shape[1]


def test_a_checkpoint_beyond_the_last_epoch_is_told(tmp_path: Path) -> None:
    path = tmp_path / "fit.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        network().fit(X, Y, epochs=3, callbacks=[Interrupted(path)])
    with pytest.raises(UsageError, match="is a checkpoint after epoch 2, beyond epochs=1: ask for at least"):
        network().fit(X, Y, epochs=1, callbacks=[Interrupted(path)])


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("epoch", -5),
        ("epoch", "3"),
        ("step", None),
        ("step", 2**63),
        ("stop", "never"),
        ("history", {}),
        ("callbacks", []),
        ("callbacks", [{"best_loss": None, "best_epoch": 0}, {}]),
        ("callbacks", [{"best_loss": 10**400, "best_epoch": 0}, {}]),
        ("callbacks", [[], {}]),
        ("m", None),
        ("callback0.best", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_unsound_checkpoint_is_refused_whole(part: str, value: Any, tmp_path: Path) -> None:
    from karusel.saving import load_file, save_file

    class After(Checkpoint):
        def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
            super().on_epoch_end(training, epoch, logs)
            raise KeyboardInterrupt

    path = tmp_path / "fit.checkpoint"
    fitting: dict[str, Any] = {"epochs": 3, "validation_data": (X, Y)}
    fitting["callbacks"] = [EarlyStopping(), After(path)]
    with pytest.raises(KeyboardInterrupt):
        network().fit(X, Y, **fitting)
    header, tensors = load_file(path, "checkpoint")
    if part in tensors:
        tensors[part] = np.ones(1, tensors[part].dtype)  # would be broadcast
    else:
        header[part] = value
    save_file(path, "checkpoint", header, tensors)
    made = network()
    made.build((5, 2))
    before = made._weights.copy()
    with pytest.raises(ModelFileError, match="is no sound checkpoint: delete it"):
        made.fit(X, Y, **fitting)
    assert np.array_equal(made._weights, before)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_rows_of_no_weight_might_as_well_not_be_there(executor: str) -> None:
    """Not even with dropout, whose masks belong to places in the batch."""
    random = np.random.default_rng(11)
    X = [random.normal(size=(3 + k % 5, 2)) for k in range(45)]
    y = [random.normal(size=(len(x), 3)) for x in X]
    weights = np.where(np.arange(45) % 3 == 1, 0.0, 1.0 + np.arange(45) % 4)
    rest = np.flatnonzero(weights)
    net = Sequential([LSTM(5, return_sequences=True), Dense(3)], executor=executor)
    net.compile(loss="mean_squared_error")
    _, whole = net.gradients(X, y, sample_weight=weights)
    _, part = net.gradients([X[k] for k in rest], [y[k] for k in rest], sample_weight=weights[rest])
    assert_close(whole, part)
    evaluated = net.evaluate(X, y, sample_weight=weights)
    assert evaluated == pytest.approx(
        net.evaluate([X[k] for k in rest], [y[k] for k in rest], sample_weight=weights[rest]), rel=1e-5
    )
    assert net.predict(X)[1].shape == (4, 3)  # they are still forecast


def test_both_executors_drop_the_same_units_where_rows_have_no_weight() -> None:
    random = np.random.default_rng(12)
    X, y = random.normal(size=(40, 4, 2)), random.normal(size=40)
    weights = (np.arange(40) % 4 > 0) * 1.0
    losses = []
    for executor in ("native", "reference"):
        net = Sequential([LSTM(6), Dropout(0.5), Dense(1)], executor=executor, random_state=3)
        net.compile(loss="mean_squared_error")
        losses.append(net.fit(X, y, epochs=2, batch_size=20, sample_weight=weights).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
