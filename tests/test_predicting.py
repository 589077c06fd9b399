"""Prediction of much data: no tape, all threads, no memory beyond the first call, piece by piece."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare import assert_close, assert_same_bits
from karusel import LSTM, DataError, Dense, Embedding, Sequential, UsageError, Windows
from karusel.program.plan import plan, slice_rows
from karusel.windows import PIECE
from networks import EXECUTORS

RANDOM = np.random.default_rng(3)


def network(per_step: bool = False, executor: str = "auto", n_jobs: int | None = None) -> Sequential:
    made = Sequential(
        [LSTM(6, num_layers=2, return_sequences=per_step), Dense(3)], executor=executor, n_jobs=n_jobs
    )
    made.compile("mse")
    made.build((None, 2))
    return made


def test_prediction_keeps_no_tape() -> None:
    """Of each step a layer's input, cells and output are kept, where training keeps more, of all layers."""
    net = Sequential([LSTM(64, num_layers=2), Dense(1)])
    net.compile("mse")
    net.build((200, 1))
    rows = slice_rows(net.program("predict"))
    predict, gradient = (plan(net.program(kind), rows, 200) for kind in ("predict", "gradient"))
    assert predict.arena_size * 4 < gradient.arena_size
    line = rows * 200
    assert predict.arena_size < line * (3 * 64 + 8)


def test_later_predictions_take_no_memory() -> None:
    pytest.importorskip("karusel._engine")
    net = network(n_jobs=2)
    X = RANDOM.normal(size=(3000, 9, 2)).astype(np.float32)
    net.predict(X)
    ((executor, *_),) = net._executors.values()
    before = executor.allocations
    for n in (3000, 17, 1, 2500):
        net.predict(X[:n])
    ((executor, *_),) = net._executors.values()
    assert executor.allocations == before > 0


def test_prediction_has_the_same_bits_on_any_number_of_threads() -> None:
    X = RANDOM.normal(size=(2500, 9, 2)).astype(np.float32)
    one = network(n_jobs=1).predict(X)
    for n_jobs in (2, 3):
        assert_same_bits({"y": network(n_jobs=n_jobs).predict(X)}, {"y": one})


def test_an_evaluation_that_pauses_often_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    native = pytest.importorskip("karusel.program.native")
    X, y = RANDOM.normal(size=(5000, 9, 2)), RANDOM.normal(size=(5000, 3))
    net = network()
    expected = net.evaluate(X, y)
    monkeypatch.setattr(native, "CALL_SECONDS", 0.0)
    assert net.evaluate(X, y) == expected


def test_ctrl_c_ends_a_long_evaluation() -> None:
    pytest.importorskip("karusel._engine")
    values = RANDOM.normal(size=250_100).astype(np.float32)
    X, y = (Windows(values, np.arange(250_000), steps) for steps in (50, 3))
    net = Sequential([LSTM(128), Dense(3)])
    net.compile("mse")
    net.build((None, 1))
    old = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            net.evaluate(X, y)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - started < 3  # all of it takes several times as long


def test_a_list_of_lists_may_be_longer_than_a_piece() -> None:
    rows = [[[0.1, 0.2]] * 5] * 1024 + [[[0.1, 0.2]] * 6] + [[[0.1, 0.2]] * 5]
    for end in (1025, 1026):
        assert [len(y) for y in network(per_step=True).predict(rows[:end])] == [
            len(row) for row in rows[:end]
        ]


@pytest.mark.parametrize("steps", [True, False])
def test_data_in_one_piece_may_have_more_rows_than_a_piece(steps: bool) -> None:
    n = PIECE + 5
    net = Sequential([LSTM(2), Dense(1)] if steps else [Dense(1)])
    net.build((None, 1) if steps else (1,))
    X = np.linspace(0, 1, n, dtype=np.float32)
    rows: Any = [[x] for x in X.tolist()] if steps else X
    assert_same_bits({"y": net.predict(rows)}, {"y": net.predict(X.reshape(n, 1))})


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of threads")
def test_prediction_uses_all_threads() -> None:
    pytest.importorskip("karusel._engine")
    net = Sequential([LSTM(32), Dense(1)], n_jobs=2)
    net.build((20, 1))
    X = RANDOM.normal(size=(8000, 20, 1)).astype(np.float32)

    def busy() -> dict[str, int]:
        """Nanoseconds that each thread of this process has run."""
        tasks = Path("/proc/self/task").iterdir()
        return {task.name: int((task / "schedstat").read_text().split()[0]) for task in tasks}

    net.predict(X)
    before, shares = busy(), [0.0]
    end = time.monotonic() + 20  # a busy machine may run one thread alone for a while
    while max(shares) < 0.2 and time.monotonic() < end:
        net.predict(X)
        ran = sorted([0, *(now - before.get(name, 0) for name, now in busy().items())])
        shares.append(ran[-2] / sum(ran))
    assert max(shares) >= 0.2


KINDS = {
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X,
    "turned": lambda X: np.asfortranarray(X),
    "every other": lambda X: np.repeat(X, 2, axis=0)[::2],
    "nested lists": lambda X: X.tolist(),
    "list": lambda X: [row[: 1 + k % 7] for k, row in enumerate(X)],
    "windows": lambda X: Windows(X.astype(np.float32).reshape(-1, 2), np.arange(90) * 7, 7),
    "ragged windows": lambda X: Windows(
        X.astype(np.float32).reshape(-1, 2), np.arange(90) * 7, 1 + np.arange(90) % 7
    ),
}


def cut_small(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    """Data are looked at in pieces of so many numbers."""
    for module in ("batches", "inputs"):
        monkeypatch.setattr(f"karusel.{module}.PIECE", numbers)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("per_step", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_make_the_whole(
    kind: str, per_step: bool, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = KINDS[kind](RANDOM.normal(size=(90, 7, 2)))
    options: dict[str, Any] = {"return_state": True}
    if kind in ("float32", "float64"):
        options["lengths"] = 1 + np.arange(90) % 7
    net = network(per_step, executor)
    expected, states = net.predict(X, **options)
    cut_small(monkeypatch, 100)
    monkeypatch.setattr("karusel.network.PIECE", 100)
    monkeypatch.setattr("karusel.network.EVALUATION_ROWS", 8)
    seen: list[int] = []
    outputs = Sequential._outputs
    monkeypatch.setattr(
        Sequential, "_outputs", lambda net, x, *rest: seen.append(len(x)) or outputs(net, x, *rest)
    )
    got, got_states = net.predict(X, **options)
    assert type(got) is type(expected)
    assert sum(seen) == 90
    assert (len(seen) > 9) == (kind != "nested lists")
    named, wanted = ({str(k): row for k, row in enumerate(rows)} for rows in (got, expected))
    assert_close(named, wanted, 1e-5)
    for pair, other in zip(got_states, states, strict=True):
        assert_close(dict(zip("hc", pair, strict=True)), dict(zip("hc", other, strict=True)), 1e-5)


def test_pieces_have_the_bits_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are whole batches, so cutting changes nothing."""
    X = RANDOM.normal(size=(5000, 7, 2))
    net = network()
    whole = net.predict(X)
    cut_small(monkeypatch, 30_000)
    assert_same_bits({"y": net.predict(X)}, {"y": whole})


def test_given_states_are_cut_with_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Sequential([LSTM(4, initial_state="given"), Dense(1)])
    net.build((5, 2))
    X, state = RANDOM.normal(size=(50, 5, 2)), [(RANDOM.normal(size=(50, 4)), RANDOM.normal(size=(50, 4)))]
    expected = net.predict(X, initial_state=state)
    cut_small(monkeypatch, 70)
    assert_close({"y": net.predict(X, initial_state=state)}, {"y": expected}, 1e-6)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_bad_number_in_a_later_piece_is_named(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch, 100)
    net = network(executor=executor)
    X = RANDOM.normal(size=(90, 7, 2))
    X[71, 3, 1] = np.nan
    X[80] = np.inf
    with pytest.raises(DataError, match="X holds nan in row 71, step 3, column 1"):
        net.predict(X)
    y = np.zeros((90, 3))
    y[55, 2] = np.inf
    X[71:] = 0
    with pytest.raises(DataError, match="y holds inf in row 55, step 0, column 2"):
        net.evaluate(X, y)
    rows = [row[: 1 + k % 7] for k, row in enumerate(RANDOM.normal(size=(2050, 7, 2)))]
    rows[2048] = rows[2048].copy()
    rows[2048][1, 0] = np.nan
    with pytest.raises(DataError, match="X holds nan in row 2048, step 1, column 0"):
        net.predict(rows)
    rows[2048] = np.zeros((0, 2))
    with pytest.raises(DataError, match="X, row 2048, has no steps"):
        net.predict(rows)
    symbols = Sequential([Embedding(9, 2), LSTM(3), Dense(1)], executor=executor)
    symbols.build((7, 1))
    indices = RANDOM.integers(0, 9, size=(90, 7)).astype(float)
    indices[88, 6] = 9
    with pytest.raises(DataError, match="X holds 9 in row 88, step 6: it must be from 0 to 8"):
        symbols.predict(indices)
    indices[88, 6] = 0.5
    with pytest.raises(DataError, match="X must hold whole numbers"):
        symbols.predict(indices)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("per_step", [True, False])
def test_out_is_filled(per_step: bool, executor: str, tmp_path: Path) -> None:
    X = RANDOM.normal(size=(30, 5, 2))
    net = network(per_step, executor)
    expected = net.predict(X)
    for dtype in (np.float32, np.float64):
        out = np.full(expected.shape, np.nan, dtype)
        assert net.predict(X, out=out) is out
        assert np.array_equal(out, expected.astype(dtype))
    disk = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, expected.shape)
    net.predict(X, out=disk)
    disk.flush()
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected.astype(np.float32))


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((30, 4)), r"of shape \[30, 3\] that can be written, got float64 \[30, 4\]"),
        (np.zeros((30, 3), int), r"got int64 \[30, 3\]"),
        (np.broadcast_to(0.0, (30, 3)), "can be written"),
        ([0.0], "got list"),
    ],
)
def test_what_cannot_be_filled_is_named(out: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        network().predict(np.zeros((30, 5, 2)), out=out)


def test_a_list_of_outputs_has_no_array_to_fill() -> None:
    rows = [np.zeros((1 + k, 2)) for k in range(3)]
    with pytest.raises(UsageError, match="for sequences of different lengths are a list"):
        network(per_step=True).predict(rows, out=np.zeros((3, 3, 3)))
    out = np.zeros((3, 3))
    assert network().predict(rows, out=out) is out


def test_batches_come_one_by_one() -> None:
    net, read = network(), []

    def batches() -> Any:
        for n in (5, 1, 7):
            read.append(n)
            yield np.full((n, 4, 2), n / 10)

    results = net.predict_batches(batches())
    assert read == []
    assert np.array_equal(next(results), net.predict(np.full((5, 4, 2), 0.5)))
    assert read == [5]
    assert [len(y) for y in results] == [1, 7]
    with pytest.raises(DataError, match="batch 1: X holds nan in row 0, step 2, column 1"):
        list(net.predict_batches([np.zeros((1, 4, 2)), [[[0, 0], [0, 0], [0, np.nan]]]]))


LARGE = """
import resource, sys
import numpy as np
from karusel import Dense, LSTM, Sequential, Windows
folder, rows = sys.argv[1], int(sys.argv[2])
net = Sequential([Dense(1, activation="tanh"), LSTM(2), Dense(1)], n_jobs=1)
net.compile("mse")
net.build((4, 1024))
limit = 192 << 20  # private memory; the file's own pages are the system's
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.ones(limit // 4, np.float32)
except MemoryError:
    print("limited")
X = np.memmap(f"{folder}/x", np.float32, "r", shape=(rows, 4, 1024))
out = np.lib.format.open_memmap(f"{folder}/y.npy", "w+", np.float32, (rows, 1))
net.predict(X, out=out)
print(float(np.abs(out[:-1] - out[0]).max()), bool(out[-1] != out[0]))
wide = np.memmap(f"{folder}/x", np.float64, "r", shape=(rows, 4, 512))
narrow = Sequential([Dense(1), LSTM(2), Dense(1)], n_jobs=1)
narrow.build((4, 512))
print(narrow.predict(wide).shape)
lines = X.reshape(-1, 1024)
print(net.predict(Windows(lines, np.arange(0, len(lines) - 4, 2), 4)).shape)
print(net.evaluate(X, np.zeros(rows)) >= 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit on private memory")
def test_a_file_larger_than_memory_is_predicted(tmp_path: Path) -> None:
    """1 GiB, nearly all of it a hole, by a process that may have 192 MiB of its own."""
    rows = 1 << 16
    with open(tmp_path / "x", "wb") as file:
        file.truncate(rows * 4 * 1024 * 4)
        file.seek(-4096, 2)
        file.write(np.ones(1024, np.float32).tobytes())
    command = [sys.executable, "-c", LARGE, str(tmp_path), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == ["limited", "0.0 True", f"({rows}, 1)", f"({2 * rows - 2}, 1)", "True"]
