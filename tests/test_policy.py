"""Policy: it learns to remember, what its estimates are, environments that go wrong, its file."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from karusel.errors import DataError, ModelFileError, UsageError
from karusel.tasks import Policy
from karusel.tasks.policy import _discounted

SMALL = {"hidden_size": 16, "learning_rate": 0.01, "n_jobs": 1}


class Space:
    def __init__(self, n: int | None = None, shape: tuple[int, ...] | None = None) -> None:
        self.n, self.shape = n, shape


class Recall:
    """A bell rings left or right in the first step; the right answer three steps later brings 1, else -1."""

    action_space = Space(n=2)
    observation_space = Space(shape=(2,))

    def reset(self, seed=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.side = int(self.random.integers(0, 2))
        self.t = 0
        return np.array([1.0 - 2 * self.side, 0.0]), {}

    def step(self, action):
        self.t += 1
        over = self.t == 4
        reward = (1.0 if action == self.side else -1.0) if over else 0.0
        return np.array([0.0, float(self.t == 3)]), reward, over, False, {}

    def close(self):
        pass


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(**SMALL).fit(Recall, goal=0.95, rounds=120)


def test_it_learns_to_remember(policy) -> None:
    assert policy.score(Recall, episodes=200) == 1.0
    assert np.mean(policy.returns_[:50]) < 0.5
    assert policy.steps_ == 4 * len(policy.returns_)
    hand = policy.stream()
    for side in (0, 1, 1, 0):
        hand.reset()
        for k in range(4):
            action = hand.step([(1.0 - 2 * side) * (k == 0), float(k == 3)])
        assert action == side


def test_actions_are_counted_from_where_the_environment_begins(tmp_path) -> None:
    class Late(Recall):
        action_space = Space(n=2)
        action_space.start = 3

        def step(self, action):
            assert action in (3, 4)
            return super().step(action - 3)

    late, plain = (Policy(**SMALL).fit(one, rounds=3) for one in (Late, Recall))
    assert late.returns_ == plain.returns_
    assert late.score(Late) == plain.score(Recall)
    late.save(tmp_path / "p.karusel")
    for policy in (late, Policy.load(tmp_path / "p.karusel")):
        assert policy.stream().step([1.0, 0.0]) == 3 + plain.stream().step([1.0, 0.0])


def test_who_is_not_shown_the_bell_cannot_know() -> None:
    blind = Policy(observe=(1,), **SMALL).fit(Recall, rounds=15)
    assert abs(blind.score(Recall, episodes=200)) < 0.3


def test_the_same_seed_gives_the_same_bits() -> None:
    found = [Policy(**{**SMALL, "n_jobs": jobs}).fit(Recall, rounds=4) for jobs in (1, 2)]
    assert found[0].network_._weights.tobytes() == found[1].network_._weights.tobytes()
    assert found[0].returns_ == found[1].returns_


def test_discounted_sums_by_hand() -> None:
    np.testing.assert_allclose(_discounted(np.array([1.0, 0.0, 2.0]), 0.5), [1.5, 1.0, 2.0])


def test_what_is_learned_from_by_hand(monkeypatch) -> None:
    """Advantages are sums over all later surprises; a cut-off episode counts what was to come."""

    class Steady(Recall):
        def step(self, action):
            self.t += 1
            return np.array([float(self.t), 0.0]), 1.0 + self.t, False, self.t == 3, {}

    policy = Policy(discount=0.8, trace=0.5, episodes=2, **SMALL)
    seen = {}

    def keep(self, X, y, **_):
        seen.update(X=X, y=y)

    monkeypatch.setattr("karusel.network.Sequential.fit", keep)
    monkeypatch.setattr(Policy, "_reward_unit", lambda self, episodes: 2.0)
    played = []
    learn = Policy._learn
    monkeypatch.setattr(
        Policy, "_learn", lambda self, episodes: (played.extend(episodes), learn(self, episodes))
    )
    policy.fit(Steady, rounds=1)
    raw = []
    for episode, y in zip(played, seen["y"], strict=True):
        values = [value for _, _, value in episode.steps]
        rewards = [1.0, 1.5, 2.0]
        after = [*values[1:], episode.rest]
        assert episode.rest != 0
        surprise = [rewards[t] + 0.8 * after[t] - values[t] for t in range(3)]
        advantage = [sum((0.8 * 0.5) ** i * surprise[t + i] for i in range(3 - t)) for t in range(3)]
        raw += advantage
        np.testing.assert_allclose(y[:, 3], np.add(advantage, values), rtol=1e-5)
        assert (y[:, 0] == [action for action, _, _ in episode.steps]).all()
    got = np.concatenate([y[:, 2] for y in seen["y"]])
    np.testing.assert_allclose(got, (raw - np.mean(raw)) / np.std(raw), rtol=1e-4)


# --- environments that go wrong -------------------------------------------------------------------


def broken(**methods):
    return type("Broken", (Recall,), methods)


def raising(self, *_, **__):
    raise RuntimeError("motor\nstalled")


@pytest.mark.parametrize(
    ("environment", "error", "message"),
    [
        (
            broken(step=raising),
            DataError,
            "the environment Broken failed in step 0: RuntimeError: motor stalled",
        ),
        (broken(reset=raising), DataError, "the environment Broken failed in its reset: RuntimeError"),
        (broken(__init__=raising), DataError, "the environment Broken could not be made: RuntimeError"),
        (broken(reset=lambda self, seed=None: (np.array([np.nan, 0]), {})), DataError, "showed NaN"),
        (
            broken(step=lambda self, action: (np.zeros(2), np.inf, False, False, {})),
            DataError,
            "gave a reward of inf in step 0",
        ),
        (broken(action_space=Space(n=1)), UsageError, "two or more to choose one from"),
        (broken(action_space=Space(n=3, shape=(3,))), UsageError, "two or more to choose one from"),
        (broken(observation_space=Space(shape=(3, 3))), UsageError, "a line of numbers"),
        ("NoSuchPole-v7", DataError, "the environment NoSuchPole-v7 could not be made"),
    ],
)
def test_one_clear_line(environment, error, message) -> None:
    if isinstance(environment, str):
        pytest.importorskip("gymnasium")
    with pytest.raises(error, match=message) as caught:
        Policy(**SMALL).fit(environment, rounds=1)
    assert "\n" not in str(caught.value)


def test_settings(policy) -> None:
    for setting in (
        *({"episodes": 0}, {"discount": 1.1}, {"discount": "x"}, {"observe": (0, 5)}),
        *({"random_state": -1}, {"observe": 1}, {"observe": ()}, {"observe": [0.0]}, {"clip": "x"}),
        *({"entropy": True}, {"learning_rate": "x"}, {"hidden_size": np.True_}, {"n_jobs": 0}),
    ):
        with pytest.raises(UsageError, match=next(iter(setting))):
            Policy(**setting).fit(Recall, rounds=1)
    for option in ({"time_limit": -1}, {"time_limit": np.nan}, {"rounds": 0}, {"goal": np.nan}):
        with pytest.raises(UsageError, match=next(iter(option))):
            Policy(**SMALL).fit(Recall, **option)
    for option in ({"episodes": 0}, {"seed": -1}):
        with pytest.raises(UsageError, match=next(iter(option))):
            policy.play(Recall, **option)
    with pytest.raises(UsageError, match="not fitted"):
        Policy().score(Recall)
    with pytest.raises(DataError, match="an observation must be finite numbers"):
        policy.stream().step([0.0, np.nan])


def test_a_failed_refit_leaves_the_policy_as_it_was(monkeypatch) -> None:
    policy = Policy(**SMALL).fit(Recall, rounds=1)
    before = dict(vars(policy))
    weights = policy.network_._weights.copy()

    class Breaks(Recall):
        def step(self, action):
            observation, reward, over, cut, more = super().step(action)
            return observation, np.nan if over else reward, over, cut, more

    with pytest.raises(DataError, match="a reward of nan"):
        policy.fit(Breaks, rounds=1)
    assert vars(policy) == before
    np.testing.assert_array_equal(policy.network_._weights, weights)


FRESH = """
import sys
from karusel.tasks import Policy
hand = Policy.load(sys.argv[1]).stream()
print([hand.step([1.0 - k / 9, k / 5]) for k in range(20)])
"""


def test_a_model_file_gives_the_same_in_a_fresh_process(policy, tmp_path) -> None:
    path = tmp_path / "p.karusel"
    policy.save(path)
    said = subprocess.run(
        [sys.executable, "-c", FRESH, path], capture_output=True, text=True, check=True
    ).stdout
    hand = policy.stream()
    assert said.strip() == str([hand.step([1.0 - k / 9, k / 5]) for k in range(20)])
    policy.network_.save(path)
    with pytest.raises(ModelFileError):
        Policy.load(path)


@pytest.mark.slow
def test_a_pole_without_velocities() -> None:
    pytest.importorskip("gymnasium")
    policy = Policy(observe=(0, 2), n_jobs=1).fit("CartPole-v1", goal=300, time_limit=60)
    assert policy.score("CartPole-v1", episodes=20) > 250
