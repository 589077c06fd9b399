"""What all tasks have in common: settings that are stored as given, and a model file."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from karusel.errors import NOT_DESCRIBED, ModelFileError, UsageError
from karusel.network import Sequential, restored

__all__ = ["Task", "all_or_nothing", "finite"]

T = TypeVar("T", bound="Task")
P = ParamSpec("P")


class Task(ABC):
    """A network with what it takes to use it.

    Subclasses take their settings by name and only store them. What `fit` learned ends in an underscore.
    """

    task: ClassVar[str]  # as model files and errors call it
    fits: ClassVar[str] = "fit(X, y)"  # what is to be called first

    n_jobs: int | None
    precision: str = "float32"  # of a task without this setting
    network_: Sequential

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all that the model needs to one data-only file, whole or not at all."""
        from karusel.saving import save_file

        self._fitted()
        header = {
            "settings": {name: _plain(value) for name, value in self._settings().items()},
            **self._kept(),
            "network": self.network_.get_config(),
        }
        tensors = {name: np.asarray(a, np.float32) for name, a in self.network_.parameters.items()}
        save_file(path, self.task, header, tensors)

    @classmethod
    def load(cls: type[T], path: str | os.PathLike[str]) -> T:
        """The model in a file that `save` wrote.

        Raises `FileMissingError` when there is none, `ModelFileError` for one that is damaged, truncated, of
        another version or of another kind.
        """
        from karusel.saving import load_file

        header, tensors = load_file(path, cls.task)
        try:
            made = cls(**header["settings"])
            made._check()
            made.network_ = restored(header["network"], tensors, precision=made.precision)
            made.network_.n_jobs = made.n_jobs
            made._take(header)
        except NOT_DESCRIBED as fault:
            raise ModelFileError(f"model file {os.fspath(path)!r} describes no {cls.task}: {fault}") from None
        return made

    @abstractmethod
    def _check(self) -> None:
        """Raise `UsageError` for settings that break a rule."""

    @abstractmethod
    def _kept(self) -> dict[str, Any]:
        """What was learned besides the network, in types that JSON has."""

    @abstractmethod
    def _take(self, header: dict[str, Any]) -> None:
        """Take back what `_kept` gave; the network is there. Raise `ValueError` for what does not fit."""

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _check_outputs(self, wanted: int, per_step: bool = True) -> None:
        """Raise `ValueError` unless the network puts out so many numbers, at each step or at the end."""
        found = self.network_._output
        if (found.width, found.per_step) != (wanted, per_step):
            raise ValueError(f"its network puts out {found.width} numbers, where {wanted} are wanted")

    def _fitted(self) -> None:
        if not hasattr(self, "network_"):
            raise UsageError(f"the {self.task} is not fitted; call {self.fits} first")


def all_or_nothing(fit: Callable[Concatenate[T, P], T]) -> Callable[Concatenate[T, P], T]:
    """A `fit` that learns in a copy: the model stays as it was where the fit fails or is interrupted."""

    @wraps(fit)
    def learn(self: T, /, *args: P.args, **kwargs: P.kwargs) -> T:
        made = fit(type(self)(**self._settings()), *args, **kwargs)
        vars(self).update(vars(made))
        return self

    return learn


def finite(values: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """Numbers of a model file; raises `ValueError` for what is none."""
    array = np.array(values, dtype)
    if not np.isfinite(array).all():
        raise ValueError("a number in it is missing")
    return array


def _plain(value: Any) -> Any:
    """A setting in types that JSON has."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
