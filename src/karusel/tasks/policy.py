"""Policy: acting in an environment, learned by trial."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.arguments import (
    LARGEST_SEED,
    check_time_limit,
    is_number,
    is_whole,
    number_from_zero,
    positive_number,
    whole_number,
)
from karusel.errors import DataError, MissingDependencyError, UsageError
from karusel.layers import LSTM, Dense
from karusel.losses import ClippedSurrogate
from karusel.network import Sequential
from karusel.optimizers import Adam
from karusel.tasks.fitting import Progress, check_learning, check_whole, no_progress
from karusel.tasks.task import Task, all_or_nothing, finite

__all__ = ["Policy", "PolicyStream"]

_RECENT = 100  # episodes whose mean return ends training

Numbers = NDArray[np.float64]


class Policy(Task):
    """A policy with a memory, for environments with a few actions that do not show all there is to know.

    An LSTM reads what is observed and says how likely each action should be, and what return it expects
    (recurrent PPO; Schulman et al. 2017). Episodes are played side by side by drawing actions; then the
    network learns from all of them, whole, from their first step: advantages are estimated by generalised
    advantage estimation (Schulman et al. 2016). Observations are centred and scaled by what was seen of them
    so far, rewards by the spread of returns.

    Parameters
    ----------
    observe : numbers of the observation that are seen, such as (0, 2); None for all.
    hidden_size : hidden units; 64 by default.
    episodes : episodes played between two times of learning; 16 by default.
    epochs : passes over these episodes; 6 by default.
    batch_size : episodes per optimiser step; 4 by default.
    learning_rate : of Adam; 0.003 by default.
    discount : weight of the next step's return; 0.99 by default.
    trace : lambda of the advantages, from 0 (the next value alone) to 1 (all to come); 0.95 by default.
    clip, entropy : of `karusel.losses.ClippedSurrogate`; 0.2 and 0.005 by default.
    random_state : seed; the same seed gives the same bits on any number of threads.
    n_jobs : threads; all that this process may use by default.

    Attributes
    ----------
    network_ : what was learned; `mean_`, `spread_` : of what is observed; `start_` : the first action.
    returns_ : the return of every episode played in training; `steps_` : steps played.
    """

    task = "policy"
    fits = "fit(environment)"

    def __init__(
        self,
        *,
        observe: Sequence[int] | None = None,
        hidden_size: int = 64,
        episodes: int = 16,
        epochs: int = 6,
        batch_size: int = 4,
        learning_rate: float = 0.003,
        discount: float = 0.99,
        trace: float = 0.95,
        clip: float = 0.2,
        entropy: float = 0.005,
        random_state: int = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.observe = observe
        self.hidden_size = hidden_size
        self.episodes = episodes
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.discount = discount
        self.trace = trace
        self.clip = clip
        self.entropy = entropy
        self.random_state = random_state
        self.n_jobs = n_jobs

    @all_or_nothing
    def fit(
        self,
        environment: str | Callable[[], Any],
        *,
        goal: float = math.inf,
        rounds: int = 1000,
        time_limit: float | None = None,
        progress: Progress = no_progress,
    ) -> Policy:
        """Learns by playing; returns self.

        environment: the name of a Gymnasium environment, or a function that makes one (whatever has
        Gymnasium's `reset` and `step`, a Box of numbers [n] to observe and a Discrete action). Training ends
        when the mean return of the last 100 episodes reaches `goal`, after `rounds` of play, or after
        `time_limit` seconds. `progress` is told each round: its mean return, and the steps played so far.
        A fit that fails or is interrupted leaves the policy as it was.
        """
        self._check()
        whole_number("Policy", "rounds", rounds)
        check_time_limit("Policy", time_limit)
        if not is_number(goal) or math.isnan(goal):
            raise UsageError(f"Policy: goal must be a mean return to reach, got {goal!r}")
        started = time.monotonic()
        world = _World(environment, self.episodes)
        try:
            self._begin(world)
            for number in range(rounds):
                self._learn(self._play(world, self._random))
                self.returns_ += world.returns
                self.steps_ += int(sum(world.lengths))
                progress(number, {"return": float(np.mean(world.returns)), "steps": float(self.steps_)})
                if len(self.returns_) >= _RECENT and np.mean(self.returns_[-_RECENT:]) >= goal:
                    break
                if time_limit is not None and time.monotonic() - started >= time_limit:
                    break
        finally:
            world.close()
        return self

    def score(self, environment: str | Callable[[], Any], *, episodes: int = 100, seed: int = 1) -> float:
        """The mean return of some episodes, with the likeliest action at each step."""
        return float(np.mean(self.play(environment, episodes=episodes, seed=seed)))

    def play(self, environment: str | Callable[[], Any], *, episodes: int = 1, seed: int = 1) -> list[float]:
        """The return of each of some episodes, with the likeliest action at each step."""
        self._fitted()
        whole_number("Policy", "episodes", episodes)
        whole_number("Policy", "seed", seed, 0, LARGEST_SEED)
        world = _World(environment, episodes)
        try:
            world.seed(seed)
            self._play(world, None)
        finally:
            world.close()
        return world.returns

    def stream(self) -> PolicyStream:
        """Acting, step by step."""
        self._fitted()
        return PolicyStream(self)

    def _kept(self) -> dict[str, Any]:
        scales = {"mean": self.mean_.tolist(), "spread": self.spread_.tolist()}
        return {"scales": scales, "start": self.start_}

    def _take(self, header: dict[str, Any]) -> None:
        self.mean_, self.spread_ = (finite(header["scales"][name]) for name in ("mean", "spread"))
        self.start_ = int(header["start"])
        if self.mean_.ndim != 1 or self.mean_.shape != self.spread_.shape:
            raise ValueError(f"mean and spread are of shapes {self.mean_.shape} and {self.spread_.shape}")
        self._check_outputs(max(3, self.network_._output.width))  # two actions or more, and the value

    # -- playing -----------------------------------------------------------------------------------

    def _begin(self, world: _World) -> None:
        self._random = np.random.default_rng(self.random_state)
        world.seed(self.random_state)
        width = len(self._seen(np.zeros(world.width)))
        network = Sequential(
            [LSTM(self.hidden_size, return_sequences=True), Dense(world.actions + 1)],
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        network.compile(
            ClippedSurrogate(self.clip, value=0.5, entropy=self.entropy),
            Adam(self.learning_rate, clip_norm=0.5),
        )
        network.build((None, width))
        # All actions are equally likely at first, and nothing is expected.
        network.parameters["dense_1.W"][:] *= 0.01
        self.network_, self.start_ = network, world.start
        self.mean_, self.spread_ = np.zeros(width), np.ones(width)
        self._moments = np.zeros((3, width))  # how many, their sum, the sum of their squares
        self._gains = np.zeros(3)  # the same of discounted returns
        self.returns_: list[float] = []
        self.steps_ = 0

    def _seen(self, observation: Any) -> Numbers:
        whole = np.asarray(observation, np.float64).reshape(-1)
        if self.observe is None:
            return whole
        odd = [k for k in self.observe if not 0 <= k < len(whole)]
        if odd:
            raise UsageError(
                f"observe names number {odd[0]}, the environment shows {len(whole)}: 0 to {len(whole) - 1}"
            )
        return whole[list(self.observe)]

    def _play(self, world: _World, random: np.random.Generator | None) -> list[_Episode]:
        """One episode in each environment, all step by step; actions are drawn, or else the likeliest."""
        n = len(world)
        stream = self.network_.stream(n)
        seen = np.stack([self._seen(one) for one in world.reset()])
        if seen.shape[1] != len(self.mean_):
            raise DataError(
                f"the environment shows {seen.shape[1]} numbers, the policy learned from {len(self.mean_)}"
            )
        episodes = [_Episode() for _ in range(n)]
        playing = list(range(n))
        while True:
            y = np.asarray(stream.step(self._normal(seen)), np.float64).reshape(n, -1)
            log_p = _log_softmax(y[:, :-1])
            for k in list(playing):
                episode = episodes[k]
                if episode.ended:  # cut off by the time limit: what would have come is the value of this step
                    episode.rest = float(y[k, -1])
                    playing.remove(k)
                    continue
                if random is None:
                    action = int(np.argmax(log_p[k]))
                else:
                    action = int(np.searchsorted(np.cumsum(np.exp(log_p[k])), random.random()))
                    action = min(action, log_p.shape[1] - 1)
                episode.seen.append(seen[k].copy())
                episode.steps.append((action, log_p[k, action], y[k, -1]))
                observation, reward, over, cut = world.step(k, action)
                episode.rewards.append(reward)
                seen[k] = self._seen(observation)
                if over:
                    playing.remove(k)
                episode.ended = cut
            if not playing:
                return episodes

    def _normal(self, seen: Numbers) -> NDArray[np.float32]:
        return np.asarray(np.clip((seen - self.mean_) / self.spread_, -10, 10), np.float32)

    # -- learning ----------------------------------------------------------------------------------

    def _learn(self, episodes: list[_Episode]) -> None:
        unit = self._reward_unit(episodes)
        X, advantages, gains = [], [], []
        for episode in episodes:
            values = np.array([value for _, _, value in episode.steps] + [episode.rest])
            rewards = np.array(episode.rewards) / unit
            surprise = rewards + self.discount * values[1:] - values[:-1]
            advantage = _discounted(surprise, self.discount * self.trace)
            X.append(self._normal(np.array(episode.seen)))
            advantages.append(advantage)
            gains.append(advantage + values[:-1])
        every = np.concatenate(advantages)
        y = [
            np.column_stack(
                [
                    [action for action, _, _ in episode.steps],
                    [log_p for _, log_p, _ in episode.steps],
                    (advantage - every.mean()) / (every.std() + 1e-8),
                    gain,
                ]
            ).astype(np.float32)
            for episode, advantage, gain in zip(episodes, advantages, gains, strict=True)
        ]
        self.network_.fit(X, y, epochs=self.epochs, batch_size=self.batch_size)
        seen = np.concatenate([episode.seen for episode in episodes])
        self._moments += np.stack(
            [np.full(seen.shape[1], len(seen)), seen.sum(axis=0), (seen**2).sum(axis=0)]
        )
        self.mean_, self.spread_ = _mean_and_spread(self._moments)

    def _reward_unit(self, episodes: list[_Episode]) -> float:
        """The spread of discounted returns so far."""
        for episode in episodes:
            gains = _discounted(np.array(episode.rewards), self.discount)
            self._gains += np.array([len(gains), gains.sum(), (gains**2).sum()])
        return float(_mean_and_spread(self._gains)[1])

    def _check(self) -> None:
        check_learning(self)
        check_whole(self, "episodes", "batch_size")
        observe = self.observe
        listed = isinstance(observe, (list, tuple, np.ndarray)) and len(observe) > 0
        if observe is not None and not (listed and all(map(is_whole, observe))):
            raise UsageError(
                "Policy: observe must be None or the numbers of what is seen, such as (0, 2), "
                f"got {observe!r}"
            )
        positive_number("Policy", "clip", self.clip)
        number_from_zero("Policy", "entropy", self.entropy)
        for name in ("discount", "trace"):
            share = getattr(self, name)
            if not (is_number(share) and 0 <= share <= 1):
                raise UsageError(f"Policy: {name} must lie from 0 to 1, got {share!r}")


class PolicyStream:
    """A policy at work: `policy.stream()`."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._network = policy.network_.stream()

    def reset(self) -> None:
        """A new episode begins."""
        self._network.reset()

    def step(self, observation: Any) -> int:
        """The likeliest action after what is observed."""
        seen = self._policy._seen(observation)
        if seen.shape != self._policy.mean_.shape or not np.isfinite(seen).all():
            raise DataError(f"an observation must be finite numbers, as in training, got {observation!r}")
        scores = self._network.step(self._policy._normal(seen))[:-1]
        return self._policy.start_ + int(np.argmax(scores))


class _Episode:
    """What was seen and done: a line, and (action, its log p, the value) for each step; what each brought."""

    def __init__(self) -> None:
        self.seen: list[Numbers] = []
        self.steps: list[tuple[int, float, float]] = []
        self.rewards: list[float] = []
        self.ended = False  # by a time limit
        self.rest = 0.0  # what was still to come then


class _World:
    """Environments side by side. Whatever goes wrong in one becomes one clear line."""

    def __init__(self, environment: str | Callable[[], Any], count: int) -> None:
        self.name = (
            environment if isinstance(environment, str) else getattr(environment, "__name__", "environment")
        )
        self._all = [self._make(environment) for _ in range(count)]
        self._seeds: list[int | None] = [None] * count
        self.returns: list[float] = []
        self.lengths: list[int] = []
        space = self._all[0].action_space
        actions = getattr(space, "n", None)
        # MultiBinary has an n as well: so many actions at once.
        if actions is None or getattr(space, "shape", None) or actions < 2:
            raise UsageError(
                f"{self.name} has actions {space}; a policy needs two or more to choose one from"
            )
        self.actions = int(actions)
        self.start = int(getattr(space, "start", 0))
        shape = getattr(self._all[0].observation_space, "shape", None)
        if not shape or len(shape) != 1:
            raise UsageError(
                f"{self.name} shows {self._all[0].observation_space}; a policy needs a line of numbers"
            )
        self.width = int(shape[0])

    def __len__(self) -> int:
        return len(self._all)

    def _make(self, environment: str | Callable[[], Any]) -> Any:
        if not isinstance(environment, str):
            return self._guarded("could not be made", environment)
        try:
            import gymnasium
        except ImportError:
            raise MissingDependencyError(
                "environments by name need Gymnasium: pip install 'karusel[control]'"
            ) from None
        return self._guarded("could not be made", partial(gymnasium.make, environment))

    def _guarded(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as fault:
            reason = " ".join(str(fault).split()) or "no reason given"
            raise DataError(
                f"the environment {self.name} {what}: {type(fault).__name__}: {reason}"
            ) from fault

    def seed(self, seed: int) -> None:
        """Of the next reset: each environment its own."""
        self._seeds = [int(one) for one in np.random.default_rng(seed).integers(0, 2**31, len(self))]

    def reset(self) -> list[Any]:
        """The first observation of each."""
        seeds, self._seeds = self._seeds, [None] * len(self)
        self.returns, self.lengths = [0.0] * len(self), [0] * len(self)
        found = []
        for one, seed in zip(self._all, seeds, strict=True):
            observation, _ = self._guarded("failed in its reset", partial(one.reset, seed=seed))
            found.append(self._finite(observation))
        return found

    def step(self, k: int, action: int) -> tuple[Any, float, bool, bool]:
        """Observation, reward, whether the episode is over, whether a time limit cut it off.

        Actions are counted from 0 here, in an environment from its `start`.
        """
        what = f"failed in step {self.lengths[k]}"
        act = partial(self._all[k].step, self.start + action)
        observation, reward, over, cut, _ = self._guarded(what, act)
        self.lengths[k] += 1
        self.returns[k] += float(reward)
        if not math.isfinite(reward):
            raise DataError(
                f"the environment {self.name} gave a reward of {reward} in step {self.lengths[k] - 1}"
            )
        return self._finite(observation), float(reward), bool(over), bool(cut)

    def _finite(self, observation: Any) -> Any:
        if not np.isfinite(observation).all():
            raise DataError(f"the environment {self.name} showed NaN or an infinite number: {observation!r}")
        return observation

    def close(self) -> None:
        for one in self._all:
            one.close()


def _log_softmax(y: Numbers) -> Numbers:
    shifted = y - y.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _discounted(values: Numbers, discount: float) -> Numbers:
    """sum_i discount^i values[t + i] for each t."""
    found, total = np.zeros(len(values)), 0.0
    for t in range(len(values) - 1, -1, -1):
        total = values[t] + discount * total
        found[t] = total
    return found


def _mean_and_spread(moments: Numbers) -> tuple[Any, Any]:
    """Of what was counted, summed, and summed in squares; a spread of 1 where all were alike."""
    count, total, squares = moments
    mean = total / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean, np.where(spread > 1e-6, spread, 1.0)
