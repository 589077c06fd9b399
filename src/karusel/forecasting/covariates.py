"""Covariates: columns beside the values of a panel, numbers or categories.

A covariate of the past is known up to the cutoff (`hist_exog_list`), one of the future also for the steps
that are forecast (`futr_exog_list`), and a static one does not change (`stat_exog_list`). Categories are
numbered 1, 2, 3, ... in the order of their names; 0 stands for one that is missing or was not there when the
panel was read. A number that is missing is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError
from karusel.forecasting.categories import Categories, number_column
from karusel.forecasting.rows import SHOWN

__all__ = ["KINDS", "Column", "Covariate", "Covariates", "Kind", "describe_column", "read_column"]

Kind: TypeAlias = Literal["past", "future", "static"]
KINDS: tuple[Kind, ...] = ("past", "future", "static")


@dataclass(frozen=True)
class Covariate:
    """A covariate's name, kind and categories; None for the categories of numbers."""

    name: str
    kind: Kind
    categories: tuple[Hashable, ...] | None = None

    @property
    def missing(self) -> float:
        """What stands for a missing one."""
        return float("nan") if self.categories is None else 0.0


@dataclass(frozen=True)
class Column:
    """A covariate as it is read: one number for each row [N] of a table. `unknown` are the names that are no
    categories of it.
    """

    covariate: Covariate
    values: NDArray[np.float64]
    unknown: tuple[Hashable, ...] = ()

    @staticmethod
    def of_categories(covariate: Covariate, found: Categories) -> Column:
        """The numbers of a column of names."""
        categories = covariate.categories or ()
        known = set(categories)
        unknown = tuple(name for name in found.names if name not in known)
        return Column(covariate, (found.within(categories) + 1).astype(np.float64), unknown)

    def notes(self) -> list[str]:
        """What is said of categories that were not there when the panel was read."""
        if not self.unknown:
            return []
        first = ", ".join(f'"{one}"' for one in self.unknown[:SHOWN])
        first += ", ..." if len(self.unknown) > SHOWN else ""
        found = f'column "{self.covariate.name}" holds categories that were not there when fitted'
        return [f"{found}: {first}; taken as unknown"]


@dataclass(frozen=True)
class Covariates:
    """All covariates of a panel of N values and S series.

    `past` float64 [N, P], `future` float64 [N, F] and `static` float64 [S, K] have one column for each of
    `described` of that kind, in their order.
    """

    described: tuple[Covariate, ...]
    past: NDArray[np.float64]
    future: NDArray[np.float64]
    static: NDArray[np.float64]

    @staticmethod
    def none(rows: int, series: int) -> Covariates:
        """No covariates."""
        return Covariates((), np.empty((rows, 0)), np.empty((rows, 0)), np.empty((series, 0)))

    def of(self, kind: Kind) -> tuple[Covariate, ...]:
        """The covariates of one kind."""
        return tuple(one for one in self.described if one.kind == kind)

    def values(self, kind: Kind) -> NDArray[np.float64]:
        """The numbers of one kind: [N, P], [N, F] or [S, K]."""
        return {"past": self.past, "future": self.future, "static": self.static}[kind]

    def take(self, rows: NDArray[np.int64]) -> Covariates:
        """The covariates of some of the panel's rows."""
        return replace(self, past=self.past[rows], future=self.future[rows])

    def spread(self, places: NDArray[np.int64], rows: int) -> Covariates:
        """The same rows at other `places` among `rows` rows, the others missing."""
        return replace(
            self,
            past=_spread(self.past, self.of("past"), places, rows),
            future=_spread(self.future, self.of("future"), places, rows),
        )


def _spread(
    known: NDArray[np.float64], described: Sequence[Covariate], places: NDArray[np.int64], rows: int
) -> NDArray[np.float64]:
    spread = np.empty((rows, len(described)))
    spread[:] = [one.missing for one in described]
    spread[places] = known
    return spread


def read_column(column: Any, covariate: Covariate, row_name: Callable[[int], str]) -> Column:
    """Read a narwhals series [N] as `covariate` says.

    Raises `DataError` for infinite numbers, and for text where there were numbers.
    """
    import narwhals as nw

    name = covariate.name
    if covariate.categories is None:
        if not _is_number(column.dtype):
            raise DataError(
                f'column "{name}" held numbers when fitted and holds {column.dtype} now; convert it'
            )
        values = column.cast(nw.Float64).to_numpy().astype(np.float64)
        infinite = np.isinf(values)
        if infinite.any():
            at = int(np.argmax(infinite))
            raise DataError(
                f'{row_name(at)}, column "{name}" holds {values[at]}; values must be finite: '
                "correct or empty it"
            )
        return Column(covariate, values)
    return Column.of_categories(covariate, number_column(column))


def describe_column(column: Any, name: str, kind: Kind) -> Covariate:
    """What a narwhals series holds: numbers, or categories in the order of their names."""
    if _is_number(column.dtype):
        return Covariate(name, kind)
    names = number_column(column).names
    return Covariate(name, kind, tuple(sorted(names, key=lambda one: (type(one).__name__, one))))


def _is_number(dtype: Any) -> bool:
    import narwhals as nw

    return bool(dtype.is_numeric() or dtype == nw.Boolean)
