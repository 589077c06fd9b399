"""Moving: training images shifted and mirrored, anew for each epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.callbacks import Callback
from karusel.tasks.sequences import Images

__all__ = ["Moved"]


class Moved(Callback):
    """Moves each training image by up to `most` pixels, anew for each epoch; what leaves the frame is lost.

    pixels [n, ..., R, C, F] are those that `reader` cuts into `steps` [N, T, numbers]; `of` [N] says of which
    image each of the steps are, one for each by default. mirror: whether half of them, at random, change left
    and right as well.

    A fit reads an array of the executor's type where it lies: what is written there is what the next epoch
    trains on.
    """

    def __init__(
        self,
        reader: Images,
        pixels: NDArray[np.float32],
        steps: NDArray[Any],
        most: int,
        seed: int,
        *,
        of: NDArray[np.int64] | None = None,
        mirror: bool = False,
    ) -> None:
        self._reader, self._steps, self._most, self._mirror = reader, steps, most, mirror
        self._of = np.arange(len(steps)) if of is None else of
        edge = [
            (most, most) if axis in (pixels.ndim - 3, pixels.ndim - 2) else (0, 0)
            for axis in range(pixels.ndim)
        ]
        self._wide = np.pad(pixels, edge, mode="edge")
        self._random = np.random.default_rng(seed)

    def on_begin(self, training: Any) -> None:
        self._move()

    def on_epoch_end(self, training: Any, epoch: int, logs: dict[str, float]) -> None:
        self._move()

    def _move(self) -> None:
        count, places = len(self._steps), 2 * self._most + 1
        place = self._random.integers(0, places * places, count)
        turned = self._random.integers(0, 2, count) if self._mirror else np.zeros(count, np.int64)
        rows, columns = (size - places + 1 for size in self._wide.shape[-3:-1])
        for at, back in np.unique(np.stack([place, turned]), axis=1).T:
            ours = (place == at) & (turned == back)
            down, right = divmod(at, places)
            part = self._wide[self._of[ours], ..., down : down + rows, right : right + columns, :]
            self._steps[ours] = self._reader.cut(part[..., ::-1, :] if back else part)
