"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import karusel

__all__ = ["app"]

app = typer.Typer(
    help="LSTM networks as ready to use as gradient-boosted trees.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Threads = Annotated[
    Optional[int],  # noqa: UP045 - Typer reads these at run time, on Python 3.10 too
    typer.Option(
        help="Threads; all that this process may use by default. Results do not depend on it.", min=1
    ),
]
Seed = Annotated[int, typer.Option(help="Seed; the same seed gives the same result.", min=0, max=2**32 - 1)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """LSTM networks as ready to use as gradient-boosted trees."""
    if version:
        typer.echo(f"karusel {karusel.__version__}")
        raise typer.Exit()


@app.command()
def forecast(
    file: Annotated[
        Path, typer.Argument(help="CSV file: a column of times, one or more columns of numbers.")
    ],
    horizon: Annotated[int, typer.Option("-H", "--horizon", help="Steps to forecast.", min=1)],
    time_col: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Column of times; found by default. `none` counts the rows instead."),
    ] = None,
    target_col: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Column of values; may be given several times. By default `y`, or all numbers."),
    ] = None,
    id_col: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Column that tells several series apart; `unique_id` by default."),
    ] = None,
    freq: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Step between times, such as MS, W, D, B, h, 15min; found by default."),
    ] = None,
    season_length: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Steps of one season, 1 for none; from the frequency by default.", min=1),
    ] = None,
    level: Annotated[str, typer.Option(help="Levels of the intervals in percent.")] = "80,95",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write the forecasts to this CSV file."),
    ] = None,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Draw the forecasts into this file, a PNG or an SVG by its ending."),
    ] = None,
    report: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write a report into this HTML file, which needs nothing beside itself."),
    ] = None,
    json: Json = False,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Forecast the series of a CSV file, with intervals, a backtest and a verdict.

    Example: karusel forecast air_passengers.csv -H 12 --report report.html
    """
    from karusel.cli.forecast import Request, run_forecast

    run_forecast(
        Request(
            file=file,
            horizon=horizon,
            time_col=time_col,
            target_cols=tuple(target_col or ()),
            id_col=id_col,
            freq=freq,
            season_length=season_length,
            levels=level,
            out=out,
            plot=plot,
            report=report,
            json=json,
            seed=seed,
            threads=threads,
        )
    )


@app.command()
def demo(
    epochs: Annotated[int, typer.Option(help="Passes over the data.", min=1)] = 100,
    json: Json = False,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """A first LSTM: learn a curve, then see where that holds and where it does not.

    Example: karusel demo --epochs 20
    """
    from karusel.demo import run_demo

    result = run_demo(epochs, random_state=seed, n_jobs=threads)
    if json:
        from json import dumps

        typer.echo(dumps(result.document(), indent=1))
    else:
        typer.echo(result.text())


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="Network that `Sequential.save` wrote.")],
    data: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(
            help="CSV file: a column for each number that the network reads per step; noise by default."
        ),
    ] = None,
    input_col: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Column that the network reads, in its order; may be given several times."),
    ] = None,
    plot: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Draw gates, memory and horizon into this PNG file."),
    ] = None,
    json: Json = False,
    threads: Threads = None,
) -> None:
    """Look into a saved network: what its gates do, and how many steps it remembers.

    Example: karusel inspect net.karusel series.csv --plot inside.png
    """
    from karusel.cli.inspect import Request, run_inspect

    run_inspect(
        Request(
            model=model, data=data, input_cols=tuple(input_col or ()), plot=plot, json=json, threads=threads
        )
    )
