"""The same bits on any number of threads, after fork, from several Python threads, on every level."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from karusel import LSTM, Adam, Dense, Dropout, Sequential

engine = pytest.importorskip("karusel._engine")


def ragged(n: int = 83) -> tuple[list[Any], Any]:
    random = np.random.default_rng(5)
    lengths = random.integers(1, 30, n)
    return [random.normal(size=(t, 3)) for t in lengths], random.normal(size=(n, 2))


def trained(n_jobs: int, hidden: int = 40) -> Sequential:
    X, y = ragged()
    network = Sequential([LSTM(hidden, num_layers=2, dropout=0.3), Dropout(0.1), Dense(2)], n_jobs=n_jobs)
    network.compile("mse", Adam(clip_norm=1.0, ema_decay=0.9))
    network.fit(X, y, epochs=3, batch_size=41)
    return network


def bits(network: Sequential) -> bytes:
    return network._weights.tobytes()


def by_itself(code: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("hidden", [5, 40, 80])
def test_one_thread_equals_many(hidden: int) -> None:
    one = trained(1, hidden)
    for n_jobs in (2, 3, 7):
        many = trained(n_jobs, hidden)
        assert bits(one) == bits(many)
        X, _ = ragged()
        assert one.predict(X)[0].tobytes() == many.predict(X)[0].tobytes()


def test_a_second_run_gives_the_same_bits() -> None:
    assert bits(trained(2)) == bits(trained(2))


def test_another_seed_gives_other_bits() -> None:
    X, y = ragged()
    networks = []
    for seed in (0, 1):
        network = Sequential([LSTM(5), Dense(2)], random_state=seed)
        network.compile("mse")
        network.fit(X, y)
        networks.append(bits(network))
    assert networks[0] != networks[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_training_works_after_fork() -> None:
    expected = bits(trained(2))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"same" if bits(trained(2)) == expected else b"other")
        os._exit(0)
    os.close(write)
    answer = os.read(read, 10)
    os.close(read)
    os.waitpid(child, 0)
    assert answer == b"same"
    assert bits(trained(2)) == expected


def test_two_python_threads_train_at_once() -> None:
    expected = bits(trained(2))
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(bits(trained(2)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3


def test_python_threads_predict_with_one_network() -> None:
    """Each gets its own rows' outputs, as in a server."""
    random = np.random.default_rng(3)
    requests = [random.normal(size=(int(n), int(t), 3)) for n, t in random.integers(1, 90, (60, 2))]
    network = Sequential([LSTM(20), Dense(2)])
    network.build((None, 3))
    expected = [network.predict(X).tobytes() for X in requests]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda X: network.predict(X).tobytes(), requests * 3))
    assert found == expected * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_is_inside_leaves_the_child_free() -> None:
    """As in a server that forks its workers: a lock that the parent's thread holds is free in the child."""
    network = Sequential([LSTM(64, return_sequences=True), Dense(1)])
    network.build((None, 3))
    stream, X = network.stream(), np.zeros((8, 1000, 3))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            network.predict(X)
            stream.run(X[:1])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(6):
            child = os.fork()
            if child == 0:
                signal.alarm(20)  # ends a child that hangs
                network.predict(X[:1])
                stream.step([0.0, 0.0, 0.0])
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        stop.set()
        thread.join()


def test_python_ends_in_peace_while_a_thread_predicts() -> None:
    code = (
        "import atexit, threading, time, numpy as np\n"
        "from karusel import LSTM, Dense, Sequential\n"
        "net = Sequential([LSTM(64, return_sequences=True), Dense(1)], n_jobs=1)\n"
        "net.build((None, 3))\n"
        "X = np.zeros((64, 200, 3))\n"
        "def work():\n"
        "    while True: net.predict(X)\n"
        "atexit.register(lambda: print(net.predict(X[:1]).shape))\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.2)\n"
    )
    for _ in range(3):
        done = by_itself(code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 200, 1)\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory as Linux has them")
def test_where_no_thread_is_to_be_had_the_caller_works_alone() -> None:
    code = (
        "import resource, numpy as np\n"
        "from karusel import LSTM, Sequential\n"
        "X = np.ones((64, 50, 3))\n"
        "alone, many = (Sequential([LSTM(32)], n_jobs=n, random_state=1) for n in (1, 8))\n"
        "alone.build((None, 3)), many.build((None, 3))\n"
        "expected = alone.predict(X)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (20 << 20), -1))\n"
        "assert (many.predict(X) == expected).all()\n"
    )
    done = by_itself(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="threads as glibc makes them")
def test_threads_of_small_stacks_are_no_limit() -> None:
    """As Alpine's are, 128 kB, unless told otherwise."""
    code = (
        "import ctypes, numpy as np\n"
        "from karusel import LSTM, Sequential\n"
        "libc, settings = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
        "libc.pthread_attr_init(settings)\n"
        "libc.pthread_attr_setstacksize(settings, ctypes.c_size_t(128 << 10))\n"
        "assert libc.pthread_setattr_default_np(settings) == 0\n"
        "net = Sequential([LSTM(400)], n_jobs=4)\n"
        "net.compile('mse')\n"
        "net.fit(np.zeros((64, 20, 300)), np.zeros((64, 400)), epochs=1, batch_size=64)\n"
    )
    done = by_itself(code)
    assert done.returncode == 0, done.stderr


def test_threads_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from karusel import UsageError
    from karusel.program.executor import default_threads

    assert 1 <= default_threads() <= (os.cpu_count() or 1)
    monkeypatch.setenv("KARUSEL_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.setenv("KARUSEL_THREADS", "none")
    with pytest.raises(UsageError, match="KARUSEL_THREADS must be a whole number from 1 up, got 'none'"):
        default_threads()


def test_an_unknown_level_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from karusel import UsageError

    monkeypatch.setenv("KARUSEL_LEVEL", "v9")
    with pytest.raises(UsageError, match=r"KARUSEL_LEVEL must be empty or one of .*, got 'v9'"):
        Sequential([Dense(1)], executor="native")


LEVEL_SCRIPT = """
import numpy as np
from karusel import LSTM, Dense, Sequential, _engine
random = np.random.default_rng(0)
X = [random.normal(size=(t, 3)) for t in random.integers(1, 9, 50)]
y = random.normal(size=(50, 2))
for hidden in (3, 21, 70):
    results = []
    for executor in ("native", "reference"):
        net = Sequential([LSTM(hidden, num_layers=2, direction="bidirectional"), Dense(2)], executor=executor)
        net.compile("mse")
        results.append(net.gradients(X, y)[1])
    for name in results[0]:
        error = np.abs(results[0][name] - results[1][name]).max() / np.abs(results[1][name]).max()
        assert error < 1e-4, (hidden, name, error)
print(_engine.level())
"""


@pytest.mark.parametrize("level", engine.supported_levels())
def test_every_level_of_this_processor(level: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LEVEL_SCRIPT],
        env={**os.environ, "KARUSEL_LEVEL": level},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == level


def test_an_unknown_level_is_refused() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from karusel import _engine; _engine.level()"],
        env={**os.environ, "KARUSEL_LEVEL": "v9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "KARUSEL_LEVEL=v9 names no set of kernels that this processor can run" in run.stderr


def test_the_callers_treatment_of_denormals_is_left_alone() -> None:
    X, y = ragged(5)
    network = Sequential([LSTM(3), Dense(2)])
    network.compile("mse")
    network.fit(X, y)
    tiny = np.float32(1e-39)
    assert tiny / np.float32(2) > 0
