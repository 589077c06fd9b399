"""Controller: simulation beside a linear model, control within limits, what it refuses, its file."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karusel.errors import DataError, ModelFileError, UsageError
from karusel.saving import load_file, save_file
from karusel.tasks import Controller
from karusel.tasks.arx import Arx
from karusel.tasks.controller import _bounded_least_squares

SMALL = {"ahead": 40, "known": 10, "epochs": 60, "hidden_size": 12, "n_jobs": 1}


class Tank:
    """Fills by u, empties by the root of its level, runs over at 4."""

    def __init__(self, seed: int) -> None:
        self.level = 1.0
        self.random = np.random.default_rng(seed)

    def step(self, u: float) -> float:
        self.level = float(np.clip(self.level + 0.2 * u - 0.15 * np.sqrt(self.level), 0, 4))
        return self.level + float(self.random.normal(0, 0.005))


def record(steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    u = np.repeat(random.uniform(0, 2, steps // 8), 8)
    tank = Tank(seed)
    y = [1.0]
    for one in u[:-1]:
        y.append(tank.step(one))
    return u, np.array(y)


@pytest.fixture(scope="module")
def model() -> Controller:
    return Controller(low=0, high=2, **SMALL).fit(*record(1600, 0))


def test_the_linear_model_finds_a_linear_process() -> None:
    random = np.random.default_rng(0)
    u, y = random.standard_normal((300, 2)), np.zeros((300, 2))
    A, B, C = np.array([[0.5, 0.2], [-0.1, 0.7]]), np.array([[1.0, 0.0], [0.3, -0.4]]), np.array([0.1, -0.2])
    for t in range(2, 300):
        y[t] = C + A @ y[t - 1] - 0.2 * y[t - 2] + B @ u[t - 1]
    model = Arx.fit([(u[:200], y[:200])], [(u[200:], y[200:])], known=5)
    assert model.order >= 2
    np.testing.assert_allclose(model.simulate(u, y, 5), y, atol=1e-8)
    both = model.simulate(np.stack([u, -u]), np.stack([y, y]), 5)
    np.testing.assert_allclose(both[0], y, atol=1e-8)
    np.testing.assert_allclose(both[1], model.simulate(-u, y, 5))


def test_it_simulates_better_than_the_linear_model(model) -> None:
    u, y = record(400, 1)
    said = model.predict(u, y)
    assert said.shape == (400, 1)
    assert (said[:10, 0] == y[:10]).all()
    assert model.score(u, y) == pytest.approx(np.sqrt(np.mean((said[10:, 0] - y[10:]) ** 2)))
    assert model.score(u, y) < 0.7 * model.score_linear(u, y)


def test_outputs_after_the_known_ones_are_never_read(model) -> None:
    u, y = record(400, 1)
    other = y.copy()
    other[10:] = 3.3
    assert (model.predict(u, other) == model.predict(u, y)).all()
    assert (model.predict(u, y[:10]) == model.predict(u, y)).all()
    later = u.copy()
    later[200:] = 0
    assert (model.predict(later, y)[:201] == model.predict(u, y)[:201]).all()


def test_a_tank_is_held_within_limits(model) -> None:
    tank, hand, level, inputs = Tank(7), model.stream(), 1.0, []
    for target in (2.0, 3.5, 0.8, 2.8):
        for k in range(60):
            inputs.append(hand.step(level, target))
            level = tank.step(inputs[-1])
            if k >= 35:
                assert abs(level - target) < 0.03 * target, (target, k, level)
    assert min(inputs) >= 0
    assert max(inputs) <= 2
    assert min(inputs) == 0  # it does go to its limits
    assert max(inputs) == 2
    assert hand.plan.shape == (model.horizon, 1)
    assert hand.expected.shape == (model.horizon, 1)
    assert hand.expected[-1, 0] == pytest.approx(2.8, rel=0.03)


def test_a_leak_that_was_never_recorded_leaves_no_error_at_rest(model) -> None:
    tank, hand, level = Tank(7), model.stream(), 1.0
    for k in range(120):
        level = tank.step(hand.step(level, 2.0) - 0.2)
        if k >= 80:
            assert abs(level - 2) < 0.06


def test_two_inputs_and_two_outputs() -> None:
    random = np.random.default_rng(0)
    u = np.repeat(random.uniform([0, -1], [1, 1], (80, 2)), 8, axis=0)

    def follow(y, u):
        return np.array([0.8 * y[0] + 0.3 * u[0] + 0.1 * u[1], 0.7 * y[1] - 0.4 * u[1] + 0.1 * np.tanh(y[0])])

    y = np.zeros((len(u), 2))
    for t in range(1, len(u)):
        y[t] = follow(y[t - 1], u[t - 1])
    model = Controller(low=[0, -1], high=[1, 1], **SMALL).fit([u[:300], u[300:]], [y[:300], y[300:]])
    hand, state = model.stream(), np.zeros(2)
    for _ in range(60):
        state = follow(state, hand.step(state, [0.9, 0.4]))
    np.testing.assert_allclose(state, [0.9, 0.4], atol=0.03)
    hand.reset()
    assert hand.step([0, 0], [0.9, 0.4]).shape == (2,)


def test_records_may_come_in_parts_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    u, y = record(400, 0)
    short = {**SMALL, "epochs": 2}
    model = Controller(low=0, high=2, **short).fit(u[5:], y[5:])
    for of in (pandas.Series, pandas.DataFrame):
        again = Controller(low=0, high=2, **short).fit(of(u)[5:], of(y)[5:])
        assert again.score(of(u)[5:], of(y)[5:]) == model.score(u[5:], y[5:])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_least_squares_within_bounds(seed: int) -> None:
    """Against the best of all ways to fix some numbers at a bound and solve for the rest."""
    random = np.random.default_rng(seed)
    A, b = random.standard_normal((7, 3)), random.standard_normal(7)
    low, high = -random.uniform(0, 0.5, 3), random.uniform(0, 0.5, 3)
    best = np.inf
    for fixed in itertools.product(("low", "high", "free"), repeat=3):
        x = np.where([one == "low" for one in fixed], low, high)
        free = [k for k in range(3) if fixed[k] == "free"]
        rest = [k for k in range(3) if fixed[k] != "free"]
        if free:
            x[free] = np.linalg.lstsq(A[:, free], b - A[:, rest] @ x[rest], rcond=None)[0]
        if (x >= low - 1e-12).all() and (x <= high + 1e-12).all():
            best = min(best, float(((A @ x - b) ** 2).sum()))
    x = _bounded_least_squares(A, b, low, high)
    assert (x >= low).all()
    assert (x <= high).all()
    assert ((A @ x - b) ** 2).sum() == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("u", "y", "message"),
    [
        (np.zeros(100), np.zeros(90), "record 0 has 100 inputs and 90 outputs"),
        (np.zeros(60), np.zeros(60), "record 0 has 60 steps, 48 of them to train on; at least 50 are needed"),
        (np.r_[np.nan, np.zeros(99)], np.zeros(100), "record 0 of u, step 0 holds NaN"),
        (np.arange(100.0), np.zeros(100), "output 0 never changes in the training part"),
        (np.full(100, 0.1), np.arange(100.0), "input 0 never changes in the training part"),
        (
            [np.zeros(100), np.zeros((100, 2))],
            [np.zeros(100)] * 2,
            "record 1 of u has 2 columns, record 0 has 1",
        ),
        ([np.zeros(100)], [np.zeros(100)] * 2, "1 records of inputs and 2 of outputs"),
        (np.array(["a"] * 100), np.zeros(100), "record 0 of u holds something that is no number"),
    ],
)
def test_records_that_cannot_be_learned_from(u, y, message) -> None:
    with pytest.raises(DataError, match=message):
        Controller(low=0, high=1, known=10, ahead=40).fit(u, y)


def test_settings_and_targets(model) -> None:
    u, y = record(200, 0)
    for low, high, message in [
        (1, 1, "low must be below high"),
        ([0, 0], [1, 1], "one for each of 1 inputs"),
        ("a", 1, "low and high must be"),
        ("0", True, "low and high must be"),
    ]:
        with pytest.raises(UsageError, match=message):
            Controller(low=low, high=high, **SMALL).fit(u, y)
    for setting in (
        {"horizon": 0},
        {"horizon": 2**63},
        {"ahead": 2**31},
        {"caution": -1},
        {"caution": "x"},
        {"validation_share": 0},
        {"hidden_size": True},
    ):
        with pytest.raises(UsageError, match=next(iter(setting))):
            Controller(low=0, high=1, **setting).fit(u, y)
    with pytest.raises(UsageError, match="not fitted"):
        Controller(low=0, high=1).stream()
    hand = model.stream()
    with pytest.raises(DataError, match="target 9 lies outside of what the records held of output 0"):
        hand.step(1.0, 9)
    with pytest.raises(DataError, match="y must be a finite number for each of 1 outputs"):
        hand.step(np.nan, 1)
    with pytest.raises(DataError, match="u has 2 columns, 1 were learned from"):
        model.predict(np.zeros((50, 2)), np.zeros(50))
    with pytest.raises(DataError, match="must have the first 10"):
        model.predict(np.zeros(50), np.zeros(5))
    with pytest.raises(DataError, match="must be equally many"):
        model.score(np.zeros(50), np.zeros(40))


FRESH = """
import sys, numpy as np
from karusel.tasks import Controller
model = Controller.load(sys.argv[1])
hand = model.stream()
print([hand.step(1 + k / 10, 2.5) for k in range(5)])
"""


def test_a_model_file_gives_the_same_in_a_fresh_process(model, tmp_path) -> None:
    path = tmp_path / "m.karusel"
    model.save(path)
    said = subprocess.run(
        [sys.executable, "-c", FRESH, path], capture_output=True, text=True, check=True
    ).stdout
    hand = model.stream()
    assert said.strip() == str([hand.step(1 + k / 10, 2.5) for k in range(5)])
    u, y = record(200, 3)
    loaded = Controller.load(path)
    assert (loaded.predict(u, y) == model.predict(u, y)).all()
    assert loaded.score_linear(u, y) == model.score_linear(u, y)
    header, tensors = load_file(path, "controller")
    for of, name, value in (
        (header["scales"], "u_mean_", [None]),
        (header["scales"], "y_spread_", 1.0),
        (header["arx"], "order", 10**6),
        (header["arx"], "weights", [[1.0]]),
    ):
        good = of[name]
        of[name] = value
        save_file(path, "controller", header, tensors)
        with pytest.raises(ModelFileError, match="describes no controller"):
            Controller.load(path)
        of[name] = good
    model.network_.save(path)
    with pytest.raises(ModelFileError):
        Controller.load(path)
