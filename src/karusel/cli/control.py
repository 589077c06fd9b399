"""`karusel control`: its commands and their options. What they do stands in `karusel.cli.process`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from karusel.cli.options import Printing, Running, flat

__all__ = ["Columns", "Learning", "Limits", "app"]

app = typer.Typer(help="Hold a process where it is wanted, or act in an environment.", no_args_is_help=True)

_LIMIT = "limit of an input: one for all, or one for each in order; no input ever lies outside."
Model = Annotated[
    Path, typer.Argument(help="Model file that `karusel control train` wrote.", show_default=False)
]
Records = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RECORDS",
        help="CSV, Parquet or JSON file with a row for each step: the inputs given and the outputs measured.",
        show_default=False,
    ),
]
Environment = Annotated[
    str | None, typer.Option("--environment", help="Name of a Gymnasium environment, instead of RECORDS.")
]


@dataclass(frozen=True)
class Columns:
    """Which columns of the records are what."""

    input_col: Annotated[
        list[str] | None, typer.Option(help="Column of an input; may be given several times.")
    ] = None
    output_col: Annotated[
        list[str] | None, typer.Option(help="Column of an output; may be given several times.")
    ] = None


@dataclass(frozen=True)
class Limits:
    """What the inputs may be."""

    low: Annotated[list[float] | None, typer.Option(help=f"Lower {_LIMIT}")] = None
    high: Annotated[list[float] | None, typer.Option(help=f"Upper {_LIMIT}")] = None


@dataclass(frozen=True)
class Learning:
    """How it is learned."""

    hidden_size: Annotated[
        int | None,
        typer.Option(help="Hidden units; 16 for a process, 64 for an environment by default.", min=1),
    ] = None
    epochs: Annotated[
        int | None, typer.Option(help="Most passes over the records, or over what was played.", min=1)
    ] = None
    known: Annotated[
        int | None,
        typer.Option(help="Of a process: steps whose outputs the model is given; 20 by default.", min=1),
    ] = None
    ahead: Annotated[
        int | None,
        typer.Option(help="Of a process: steps that it learns to simulate; 150 by default.", min=1),
    ] = None
    horizon: Annotated[
        int | None, typer.Option(help="Of a process: steps planned ahead; 30 by default.", min=1)
    ] = None
    caution: Annotated[
        float | None,
        typer.Option(help="Of a process: how much changes of the input cost; 0.05 by default.", min=0),
    ] = None
    observe: Annotated[
        str | None,
        typer.Option(help="Of an environment: numbers that are seen, such as 0,2; all by default."),
    ] = None
    goal: Annotated[
        float | None, typer.Option(help="Of an environment: mean return at which training ends.")
    ] = None
    time_limit: Annotated[float | None, typer.Option(help="Seconds of training, about.", min=0.1)] = None


@app.command()
@flat
def train(
    columns: Columns,
    limits: Limits,
    learning: Learning,
    running: Running,
    printing: Printing,
    out: Annotated[Path, typer.Option(help="Write the model to this file.")],
    records: Records = None,
    environment: Environment = None,
) -> None:
    """Learn a process from its records, or a policy by playing, and keep it in a model file.

    Example: karusel control train tank.csv --input-col u --output-col y --low 0 --high 5 --out tank.karusel
    """
    from karusel.cli.process import run_train

    run_train(records or [], environment, columns, limits, learning, running, out, printing)


@app.command()
@flat
def run(
    model: Model,
    printing: Printing,
    target: Annotated[
        list[float] | None,
        typer.Option(
            help="Of a process: set point, one for each output. Lines may name another behind their outputs."
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(help="Name of a Gymnasium environment to play in, instead of controlling a process."),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(help="Of an environment: episodes to play; 1 by default.", min=1)
    ] = None,
) -> None:
    """Control a process: a line of outputs measured comes in, a line of inputs to apply goes out.

    Or play episodes in an environment and print their returns.

    Example: karusel control run tank.karusel --target 6
    """
    from karusel.cli.process import run_run

    run_run(model, target or [], environment, episodes, printing.json)


@app.command()
@flat
def score(
    model: Model,
    columns: Columns,
    printing: Printing,
    records: Records = None,
    environment: Environment = None,
    episodes: Annotated[
        int | None, typer.Option(help="Of an environment: episodes to play; 100 by default.", min=1)
    ] = None,
) -> None:
    """Say how far the simulation of other records is off, or the mean return of episodes.

    Example: karusel control score tank.karusel other.csv --input-col u --output-col y
    """
    from karusel.cli.process import run_score

    run_score(model, records or [], environment, columns, episodes, printing.json)
