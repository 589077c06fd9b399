"""Speech: recordings from WAV files or arrays, log-mel features, and variations to train on."""

from __future__ import annotations

import os
import wave
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, UsageError, unreadable
from karusel.tasks.sequences import by_example

__all__ = ["LogMel", "masked", "read_recordings", "read_wav", "varied"]

Numbers = NDArray[np.float32]

FLOOR = 1e-4  # added to the power of a band: below the noise of a quiet 16-bit recording
FASTER = 0.1  # largest change of speed in varied recordings
LOUDER = 6.0  # largest change of loudness, dB
NOISE = (15.0, 45.0)  # how far below the recording its noise lies, dB
MASKED_BANDS, MASKED_STEPS = 8, 4  # most bands and steps of a mask


@dataclass(frozen=True)
class LogMel:
    """The logarithm of the power in bands that the ear tells apart, several frames a step.

    A frame is `window` seconds, each `hop` seconds later than the one before, under a Hann window and a
    Fourier transform (of the next power of two). Its power goes into `bands` triangles, equally wide on the
    mel scale, 2595 log10(1 + f / 700 Hz) (Davis & Mermelstein 1980), between 0 and rate / 2; a number is
    log(power + 1e-4), samples lying within -1 .. 1. `stack` frames side by side are a step. Whatever is left
    of a recording after its last whole step is not read.

    Parameters
    ----------
    rate : samples a second.
    bands : 40 by default.
    window, hop : seconds; 0.025 and 0.010 by default.
    stack : frames of a step; 2 by default.
    """

    rate: int
    bands: int = 40
    window: float = 0.025
    hop: float = 0.010
    stack: int = 2

    def __post_init__(self) -> None:
        if self.rate < 1000 or self.bands < 1 or self.stack < 1 or not 0 < self.hop <= self.window:
            raise UsageError(
                "log-mel features need a rate of 1,000 samples a second or more, a band and a frame or more, "
                f"and a hop above 0, not longer than the window; got {self}"
            )

    @property
    def width(self) -> int:
        """Numbers of a step."""
        return self.bands * self.stack

    @property
    def step(self) -> int:
        """Samples from one step to the next."""
        return self._hop * self.stack

    @property
    def least(self) -> int:
        """Samples of the shortest recording that has a step."""
        return self._window + self._hop * (self.stack - 1)

    def steps(self, samples: int) -> int:
        """Steps of a recording of so many samples."""
        return max(0, (samples - self.least) // self.step + 1)

    def __call__(self, samples: Numbers) -> Numbers:
        """Features [steps, width] of samples [n]."""
        count = self.steps(len(samples)) * self.stack
        if count == 0:
            return np.empty((0, self.width), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, self._window)[:: self._hop][:count]
        spectrum = np.fft.rfft(frames * self._shape, self._points, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ self._triangles
        return np.asarray(np.log(power + np.float32(FLOOR)).reshape(-1, self.width), np.float32)

    def config(self) -> dict[str, Any]:
        """All that it is made of, in types that JSON has."""
        return asdict(self)

    @property
    def _window(self) -> int:
        return round(self.window * self.rate)

    @property
    def _hop(self) -> int:
        return max(1, round(self.hop * self.rate))

    @property
    def _points(self) -> int:
        return 1 << (self._window - 1).bit_length()

    @cached_property
    def _shape(self) -> Numbers:
        n = np.arange(self._window)
        return (0.5 - 0.5 * np.cos(2 * np.pi * n / self._window)).astype(np.float32)

    @cached_property
    def _triangles(self) -> Numbers:
        """How much of each frequency goes into each band [frequencies, bands]."""
        frequency = np.arange(self._points // 2 + 1) * self.rate / self._points
        highest = 2595 * np.log10(1 + self.rate / 2 / 700)
        edges = 700 * (10 ** (np.linspace(0, highest, self.bands + 2) / 2595) - 1)
        left, middle, right = edges[:-2], edges[1:-1], edges[2:]
        f = frequency[:, None]
        rising, falling = (f - left) / (middle - left), (right - f) / (right - middle)
        return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


# -- recordings ------------------------------------------------------------------------------------


def read_wav(path: str | os.PathLike[str]) -> tuple[Numbers, int]:
    """Samples [n] of a WAV file within -1 .. 1, channels averaged, and its samples a second.

    Raises `FileMissingError` when there is none, `KaruselError` for one that the system cannot read,
    `DataError` for one that is a folder, cut off or no PCM WAV file of at most 32 bits a sample.
    """
    name = os.fspath(path)
    try:
        with wave.open(name, "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            promised = file.getnframes()
            data = file.readframes(promised)
    except OSError as fault:
        raise unreadable(repr(name), fault) from None
    except Exception as fault:  # a damaged file fails anywhere in wave
        raise DataError(
            f"{name!r} is no WAV file of whole samples (PCM): {str(fault) or 'it ends in its header'}"
        ) from None
    if width > 4:
        raise DataError(f"{name!r} has samples of {8 * width} bits; save it with 16, or with 8, 24 or 32")
    found = len(data) // (channels * width)
    if found < promised:
        raise DataError(
            f"{name!r} is cut off: its header promises {promised:,} samples, it holds {found:,}; "
            "record or copy it again"
        )
    if width == 1:
        numbers = np.frombuffer(data, np.uint8).astype(np.float32) - 128
    else:
        # The highest bytes of an int32: 24 bits have no type of their own.
        wide = np.zeros((found * channels, 4), np.uint8)
        wide[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
        numbers = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2.0 ** (32 - 8 * width))
    samples = numbers / np.float32(2.0 ** (8 * width - 1))
    return samples.reshape(found, channels).mean(axis=1, dtype=np.float32), rate


def read_recordings(data: Any, rate: int | None) -> tuple[list[Numbers], int, list[str]]:
    """Samples of each recording, their samples a second, and what to call each in a message.

    data: paths of WAV files, or arrays of samples: whole numbers of 16 bits, or numbers within -1 .. 1.
    rate: samples a second of arrays, and what files must have where it is known.
    """
    recordings, names = [], []
    for number, one in enumerate(by_example(data)):
        if isinstance(one, (str, os.PathLike)):
            samples, own = read_wav(one)
            name = f"recording {number} ({os.fspath(one)!r})"
            if rate is not None and own != rate:
                raise DataError(
                    f"{name} has {own:,} samples a second, {rate:,} are expected; "
                    f"convert it to {rate:,} first"
                )
            rate = own
        else:
            name = f"recording {number}"
            samples = _samples(one, name)
        if len(samples) == 0 or np.ptp(samples) == 0:
            raise DataError(f"{name} is silent: all its {len(samples):,} samples are alike; leave it out")
        recordings.append(samples)
        names.append(name)
    if not recordings:
        raise DataError("there are no recordings; give at least one")
    if rate is None:
        raise UsageError("the recordings are arrays: pass rate=, their samples a second")
    return recordings, rate, names


def _samples(one: Any, name: str) -> Numbers:
    array = np.asarray(one)
    if array.ndim != 1 or array.dtype.kind not in "if":
        raise DataError(
            f"{name} is {array.dtype} of shape {list(array.shape)}; it must be a path of a WAV file, or "
            "samples [n]: whole numbers of 16 bits or numbers within -1 .. 1"
        )
    samples = array.astype(np.float32)
    if array.dtype.kind == "i":
        samples /= np.float32(2**15)
    if not np.isfinite(samples).all():
        raise DataError(f"{name} holds NaN or an infinite value; correct it")
    if samples.size and np.abs(samples).max() > 1:
        raise DataError(
            f"{name} holds {samples[np.abs(samples).argmax()]:g}: samples must lie within -1 .. 1, or be "
            "whole numbers of 16 bits; divide them by their range"
        )
    return samples


# -- variations --------------------------------------------------------------------------------------


def varied(samples: Numbers, random: np.random.Generator) -> Numbers:
    """A recording said faster or slower (Ko et al. 2015), louder or softer, and in some noise."""
    speed = 1 + random.uniform(-FASTER, FASTER)
    at = np.arange(0, len(samples) - 1, speed)
    other = np.interp(at, np.arange(len(samples)), samples)
    size = np.sqrt(np.mean(other**2)) * 10 ** (-random.uniform(*NOISE) / 20)
    other += random.normal(0, size, len(other))
    return np.asarray(other * 10 ** (random.uniform(-LOUDER, LOUDER) / 20), np.float32)


def masked(features: Numbers, random: np.random.Generator, bands: int) -> Numbers:
    """Features of mean 0 with some neighbouring bands and steps at 0 (Park et al. 2019)."""
    kept: Numbers = features.copy()
    first = random.integers(0, bands)
    kept.reshape(len(kept), -1, bands)[:, :, first : first + random.integers(0, MASKED_BANDS + 1)] = 0
    start = random.integers(0, len(kept))
    kept[start : start + random.integers(0, min(MASKED_STEPS, len(kept) // 5) + 1)] = 0
    return kept
