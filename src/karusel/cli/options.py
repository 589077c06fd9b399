"""The options that commands share, in groups, and how a group becomes part of a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from karusel.cli.config import take_config

__all__ = ["Covariates", "Fitting", "Printing", "Reading", "Running", "Tokenize", "flat"]

Tokenize = Annotated[
    str, typer.Option(help="How BLEU cuts into words: 13a, intl, char, or none for text that is cut.")
]

_NUMBER = "as fits the data by default."


@dataclass(frozen=True)
class Reading:
    """Where the series come from, and which columns hold them."""

    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="CSV, Parquet or JSON files, a glob in quotes, - for standard input, or a database such as "
            "sqlite:///shop.db#sales or postgresql://host/shop#sales.",
            show_default=False,
        ),
    ] = None
    sql: Annotated[
        str | None,
        typer.Option(
            help="Query whose rows are read: from files named in quotes, from `input`, which are the FILES, "
            "or from the database's tables.",
        ),
    ] = None
    time_col: Annotated[
        str | None, typer.Option(help="Column of times; found by default. `none` counts the rows instead.")
    ] = None
    target_col: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of values; may be given several times. By default `y`, or all numbers.",
            show_default=False,
        ),
    ] = None
    id_col: Annotated[
        str | None, typer.Option(help="Column that tells several series apart; `unique_id` by default.")
    ] = None
    freq: Annotated[
        str | None,
        typer.Option(help="Step between times, such as MS, W, D, B, h, 15min; found by default."),
    ] = None
    season_length: Annotated[
        int | None,
        typer.Option(
            help="Steps of one season, 1 for none; from the frequency, or else from the values, by default.",
            min=1,
        ),
    ] = None


@dataclass(frozen=True)
class Fitting:
    """What is fitted."""

    horizon: Annotated[int, typer.Option("-H", "--horizon", help="Steps to forecast.", min=1)]
    input_size: Annotated[int | None, typer.Option(help=f"Steps that the networks see; {_NUMBER}", min=1)] = (
        None
    )
    hidden_size: Annotated[int | None, typer.Option(help=f"Hidden units of each layer; {_NUMBER}", min=1)] = (
        None
    )
    num_layers: Annotated[int | None, typer.Option(help=f"LSTM layers; {_NUMBER}", min=1)] = None
    learning_rate: Annotated[float | None, typer.Option(help=f"Of Adam; {_NUMBER}")] = None
    batch_size: Annotated[int | None, typer.Option(help=f"Windows per optimiser step; {_NUMBER}", min=1)] = (
        None
    )
    n_members: Annotated[int | None, typer.Option(help=f"Networks in the ensemble; {_NUMBER}", min=1)] = None
    backtest: Annotated[
        bool,
        typer.Option(
            "--backtest/--no-backtest", help="Whether to backtest; intervals and the verdict need it."
        ),
    ] = True
    best: Annotated[
        bool,
        typer.Option(
            "--best", help="Forecast with what the backtest says is best, a simple method or a blend."
        ),
    ] = False
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds that fitting and backtesting may take, about.", min=0.1)
    ] = None


@dataclass(frozen=True)
class Running:
    """How a command runs."""

    seed: Annotated[
        int, typer.Option(help="Seed; the same seed gives the same result.", min=0, max=2**32 - 1)
    ] = 0
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads; all that this process may use by default. Results do not depend on it.", min=1
        ),
    ] = None


@dataclass(frozen=True)
class Printing:
    """What is printed."""

    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of options by their long names, such as seed = 1; those given here go before it.",
            callback=take_config,
            is_eager=True,
        ),
    ] = None


@dataclass(frozen=True)
class Covariates:
    """Columns beside the values."""

    future: Annotated[
        list[str] | None,
        typer.Option(help="Columns known in the future too, such as price,promo.", show_default=False),
    ] = None
    past: Annotated[
        list[str] | None,
        typer.Option(help="Columns known in the past only, such as temperature.", show_default=False),
    ] = None
    static: Annotated[
        list[str] | None,
        typer.Option(help="Columns that do not change within a series, such as region.", show_default=False),
    ] = None

    @staticmethod
    def names(given: list[str] | None) -> list[str]:
        """The names of an option that may be given several times, or once with commas."""
        return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def flat(function: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters are groups, as one that has their options."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        inner = get_type_hints(groups[name], include_extras=True)
        for field in fields(groups[name]):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=inner[field.name],
                )
            )

    def command(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        function(**made, **given)

    for one in parameters:
        for option in getattr(one.annotation, "__metadata__", ()):
            # What cannot be read has its exit code from who reads it, and an output need not be readable.
            option.readable = False
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command
