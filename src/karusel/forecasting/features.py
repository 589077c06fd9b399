"""Features: what networks read of a window, and the anchor and size that their outputs are measured in.

A window's input part is an array of its last values, NaN where nothing is known: before the start of a short
series, or in a gap. With u the values (or their logarithms), all sums over known values:

    level   l      mean of the last fast season (up to 24 steps, or what slower ones consist of: a day of
                   hours or of half-hours, a week of days); the last value where there is none
    size    d      mean |u - mean| over the longest season seen, at least four fast ones; mean |difference|
                   where no season is fast
    anchor  A_k    M + r^k (L - M) + mean over past seasons j of u_(t - jm + k) - L_(t - jm), for one season
                   or the mean of two, k = 1..h; L is the level over one fast season or several, M the mean of
                   L_(t - jm), r the part of L's distance from it that is left after a step
    inputs         (u - l) / d in patches, one patch per step of the network; which values are known; the
                   differences where there is no fast season; what followed one slow season before; log d;
                   how far 0 is where nothing lies below it

Networks forecast (u_(t+k) - A_k) / d. So everything is relative to the window itself, levels never seen
before included, and a window never reads anything outside it. A patch per step (Nie et al., 2023) makes an
LSTM over weeks of hours as short as one over days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.forecasting import windows
from karusel.forecasting.prediction import Units
from karusel.forecasting.special import LENGTH, MOST_STEPS, special_days

__all__ = ["Reader", "Reading", "Seen", "anchors", "levels", "plain_reader", "returns", "specials", "trends"]

_FAST = 24  # steps of the longest season whose mean is a level, unless a slower one consists of such seasons
_SIZE_SEASONS = 4  # fast seasons that a size is taken over at least, if the look-back holds them
_SLOW_STEPS, _WEEK = 168, 7  # the longest slow season that an input part spans twice: steps, or fast seasons
_LEFT = (1.0, 0.99, 0.98, 0.96, 0.93, 0.9)
_LARGEST = 20.0  # an input beyond this many sizes is cut: it carries no more news
_LEAST_SIZE = 1e-3  # of a constant window, in logarithms or as a share of its level

Season = tuple[int, int]  # season length, how many past seasons are averaged
Days: TypeAlias = NDArray[np.int64] | None  # [n] of windows' ends, counted from 1970; None without a calendar


class Seen(NamedTuple):
    """Input parts [n, T] in u, gaps filled with the value before them, and where they are known."""

    u: NDArray[np.float64]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Reading:
    """Windows as networks read them, n of them.

    `features` float32 [n, T, I]; `anchor` float64 [n, h] and `size` float64 [n, 1] in the units of u.
    """

    features: NDArray[np.float32]
    anchor: NDArray[np.float64]
    size: NDArray[np.float64]


@dataclass(frozen=True)
class Reader(Units):
    """How windows are read.

    `seasons` ascending, each above 1; `look_back` steps that the network sees, in patches of `patch`;
    `anchor` the seasons whose patterns are averaged, () for the level alone; `levels` fast seasons (steps,
    where there is none) whose mean is the anchor's level; `left` r; `trend` the part of a damped trend in the
    forecast that needs no network (`karusel.forecasting.pooled.smoothing`), the anchor being the rest;
    `special` how much of a date's and of a weekday's own deviation (`karusel.forecasting.special`) the anchor
    has.
    """

    horizon: int
    seasons: tuple[int, ...]
    look_back: int
    patch: int
    anchor: tuple[Season, ...] = ()
    levels: int = 1
    left: float = 1.0
    trend: float = 0.0
    special: tuple[float, float] = (0.0, 0.0)

    @property
    def fast(self) -> int:
        """The fast season, which is a patch; 1 when there is none."""
        return self.patch if self.patch in self.seasons else 1

    @property
    def slow(self) -> int:
        """The slow season, 0 when there is none."""
        return self.seasons[-1] if self.seasons and self.seasons[-1] > self.fast else 0

    @property
    def length(self) -> int:
        """Values of an input part; shorter histories are given with NaN before them."""
        reach = max([m * j for m, j in self.anchor], default=0) + self.levels * self.fast
        return max(self.look_back + self.slow, reach, LENGTH if any(self.special) else 0)

    def see(self, inputs: NDArray[np.float64]) -> Seen:
        """Input parts at least as long as the reader's, each with at least one known value."""
        u = self.transform(inputs)
        return Seen(windows.filled(u), np.isfinite(u))

    def read(self, inputs: NDArray[np.float64], days: Days = None) -> Reading:
        """Read input parts [n, length], each with at least one known value, and the dates of their ends."""
        seen = self.see(inputs)
        size = self._size(*seen)
        return Reading(self._features(*seen, size), self.anchor_alone(seen, days), size)

    def size(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The size [n, 1] in u of input parts."""
        return self._size(*self.see(inputs))

    def _level(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(u[:, -self.fast :].mean(1, keepdims=True))

    def _size(self, u: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
        level = self._level(u)
        if self.fast == 1:
            u, known = u[:, -self.look_back :], known[:, -self.look_back :]
            away, both = np.abs(np.diff(u, axis=1)), known[:, 1:] & known[:, :-1]
        else:
            span = max(m for m in (*self.seasons, _SIZE_SEASONS * self.fast) if m <= self.look_back)
            u, both = u[:, -span:], known[:, -span:]
            away = np.abs(u - _mean(u, both))
        least = _LEAST_SIZE * (1.0 if self.log else np.abs(level)) + 1e-12
        return np.asarray(np.maximum(_mean(away, both), least))

    def anchor_alone(self, seen: Seen, days: Days = None) -> NDArray[np.float64]:
        """The anchor [n, h] in u."""
        u, known = seen
        steps, span = np.arange(self.horizon), self.levels * self.fast
        level = u[:, -span:].mean(1, keepdims=True)
        patterns = []
        for m, seasons in self.anchor:
            total = np.zeros((len(u), self.horizon))
            away, count = np.zeros((2, len(u), 1))
            for j in range(1, seasons + 1):
                at = u.shape[1] - j * m  # the first value of that season
                before = slice(at, at + m) if m == self.fast else slice(at - span, at)
                there = known[:, before.start : before.start + 1]
                then = u[:, before].mean(1, keepdims=True)
                total += there * (u[:, at + steps % m] - then)
                away += there * (level - then)
                count += there
            gone = away * (1 - self.left ** (steps + 1))
            patterns.append(level + (total - gone) / np.maximum(count, 1))
        anchor = np.asarray(np.mean(patterns, axis=0)) if patterns else np.repeat(level, self.horizon, axis=1)
        if days is not None and any(self.special):
            anchor += special_days(u, known, days, self.horizon) @ np.array(self.special)
        return anchor

    def _features(
        self,
        u: NDArray[np.float64],
        known: NDArray[np.bool_],
        size: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        n, width, patch, level = len(u), u.shape[1], self.patch, self._level(u)
        steps = self.look_back // patch

        def patches(channel: NDArray[Any]) -> NDArray[np.float32]:
            return channel.astype(np.float32).reshape(n, steps, -1)

        seen, there = u[:, -self.look_back :], known[:, -self.look_back :]
        away = np.clip((seen - level) / size, -_LARGEST, _LARGEST) * there
        channels = [patches(away / 3), patches(there * 1.0)]
        if self.fast == 1:
            both = there[:, 1:] & there[:, :-1]
            change = np.clip(np.diff(seen, axis=1) / size, -_LARGEST, _LARGEST) * both
            channels.append(patches(np.concatenate([np.zeros((n, 1)), change], axis=1)))
        if self.slow:
            ahead = min(self.horizon, 2 * patch, self.slow)
            ends = width - self.look_back + patch * (1 + np.arange(steps)) - self.slow
            at = ends[:, None] + np.arange(ahead)
            before = u[:, -self.slow - self.fast : width - self.slow].mean(1, keepdims=True)
            follows = np.clip((u[:, at.ravel()] - before) / size, -_LARGEST, _LARGEST) * known[:, at.ravel()]
            channels.append(patches(follows / 3))
        scale = size if self.log else size / (np.abs(level) + size)
        facts = [np.log(scale) / 2 + 1.5, np.log(known.mean(1, keepdims=True)) / 2]
        if self.shift:
            facts.append(np.clip((np.log(self.shift) - level) / size, -_LARGEST, 0) / 3)
        whole = np.concatenate(facts, axis=1)
        channels.append(np.repeat(whole[:, None, :], steps, axis=1).astype(np.float32))
        return np.concatenate(channels, axis=2)


def plain_reader(
    horizon: int,
    seasons: tuple[int, ...],
    log: bool,
    look_back: int | None = None,
    suggested: tuple[int, ...] = (),
) -> Reader:
    """The reader that follows from horizon and seasons, with the level as anchor.

    With a fast season a patch is one season, and the look-back the larger of two horizons and two slow
    seasons (slow ones up to a week of hours, or of days whatever their steps); with a slow season alone, a
    quarter of it and one season; otherwise one value and two horizons. `look_back` overrides the last of
    these, in whole patches. `suggested` are all seasons of the series' times, of which they may be too short
    to hold some: a day of half-hours is fast where no week is there.
    """
    seasons = tuple(sorted(m for m in set(seasons) if m > 1))
    reader = Reader(horizon, seasons, 1, _fast(seasons, (*seasons, *suggested)), log=log)
    if reader.fast > 1:
        slow = 2 * reader.slow if reader.slow <= max(_SLOW_STEPS, _WEEK * reader.fast) else 0
        patch, wanted = reader.fast, max(2 * horizon, slow, 4 * reader.fast)
    elif reader.slow:
        patch = max(p for p in range(1, reader.slow // 4 + 1) if reader.slow % p == 0)
        wanted = reader.slow
    else:
        patch, wanted = 1, max(2 * horizon, 8)
    return replace(reader, look_back=-(-(look_back or wanted) // patch) * patch, patch=patch)


def _fast(seasons: tuple[int, ...], suggested: tuple[int, ...]) -> int:
    first = min(seasons, default=1)
    return first if first <= _FAST or any(m > first and m % first == 0 for m in suggested) else 1


def anchors(reader: Reader) -> Iterator[Reader]:
    """The reader with each anchor that may be tried, the simplest first."""
    fast: list[Season] = [(reader.fast, j) for j in (1, 2, 4, 8)] if reader.fast > 1 else [(1, 1)]
    slow: list[Season] = [(reader.slow, j) for j in (1, 2, 4, 8)] if reader.slow else []
    for one in fast + slow:
        yield replace(reader, anchor=(one,))
    for one in fast:
        for other in slow:
            yield replace(reader, anchor=(one, other))


def levels(reader: Reader) -> Iterator[Reader]:
    """The reader with each level that its anchor may have: of now, or steadier."""
    for span in (1, 2, 4, 8):
        yield replace(reader, levels=span)


def returns(reader: Reader) -> Iterator[Reader]:
    """The reader with each pace at which its anchor's level may return to that of past seasons."""
    for left in _LEFT if reader.seasons else (1.0,):
        yield replace(reader, left=left)


def trends(reader: Reader) -> Iterator[Reader]:
    """The reader with each part that a damped trend may have; none beside a fast season."""
    for part in (0.0,) if reader.fast > 1 else (1.0, 0.5, 0.0):
        yield replace(reader, trend=part)


def specials(
    reader: Reader, inputs: NDArray[np.float64], days: Days, targets: NDArray[np.float64]
) -> Iterator[Reader]:
    """The reader, and of days with years the one whose anchor has what least squares take of special days."""
    yield reader
    if days is not None and (reader.fast, reader.slow) == (7, 364) and reader.horizon <= MOST_STEPS:
        seen = reader.see(inputs)
        special = special_days(*seen, days, reader.horizon)
        rest = reader.transform(targets) - reader.anchor_alone(seen)
        known = np.isfinite(rest)
        taken = np.linalg.lstsq(special[known], rest[known], rcond=None)[0]
        yield replace(reader, special=(float(taken[0]), float(taken[1])))


def _mean(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of the known values of each row [n, 1], 0 where there are none."""
    total = np.sum(np.where(known, values, 0.0), axis=1, keepdims=True)
    return np.asarray(total / np.maximum(np.count_nonzero(known, axis=1)[:, None], 1))
