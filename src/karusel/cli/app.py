"""The commands and their options. What a command does stands in the module of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import karusel
from karusel.cli import caption, control, generate, labels, transcribe, translate
from karusel.cli.options import Covariates, Fitting, Printing, Reading, Running, flat

__all__ = ["app"]

app = typer.Typer(
    help="LSTM networks as ready to use as gradient-boosted trees.", pretty_exceptions_enable=False
)
app.add_typer(generate.app, name="generate")
app.add_typer(labels.classify, name="classify")
app.add_typer(labels.label, name="label")
app.add_typer(transcribe.app, name="transcribe")
app.add_typer(translate.app, name="translate")
app.add_typer(caption.app, name="caption")
app.add_typer(control.app, name="control")

Out = Annotated[
    str | None,
    typer.Option(
        help="Write the rows here: a .csv, .parquet, .json or .jsonl file, or a table such as "
        "sqlite:///shop.db#forecasts."
    ),
]

FutureData = Annotated[
    list[str] | None,
    typer.Option(
        help="Files with the columns of --future for the next steps of every series.", show_default=False
    ),
]
Level = Annotated[str, typer.Option(help="Levels of the intervals in percent.")]
Quantiles = Annotated[
    str | None, typer.Option(help="Quantiles to forecast beside the intervals, such as 0.1,0.5,0.9.")
]
Model = Annotated[Path, typer.Argument(help="Model file that `karusel fit` wrote.", show_default=False)]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    """LSTM networks as ready to use as gradient-boosted trees."""
    if version:
        typer.echo(f"karusel {karusel.__version__}")
        raise typer.Exit()


@app.command()
@flat
def forecast(
    reading: Reading,
    covariates: Covariates,
    fitting: Fitting,
    running: Running,
    printing: Printing,
    future_data: FutureData = None,
    level: Level = "80,95",
    quantiles: Quantiles = None,
    out: Out = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the forecasts into this file, a PNG or an SVG by its ending."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a report into this HTML file, which needs nothing beside itself."),
    ] = None,
) -> None:
    """Forecast series, with intervals, a backtest and a verdict.

    Example: karusel forecast air_passengers.csv -H 12 --report report.html
    """
    from karusel.cli.forecast import run_forecast
    from karusel.cli.work import read_wanted

    run_forecast(
        reading,
        covariates,
        fitting,
        running,
        future_data or [],
        read_wanted(level, quantiles),
        out,
        plot,
        report,
        printing,
    )


@app.command()
@flat
def backtest(
    reading: Reading,
    covariates: Covariates,
    fitting: Fitting,
    running: Running,
    printing: Printing,
    out: Out = None,
) -> None:
    """Show how well past parts of the series would have been forecast.

    Example: karusel backtest air_passengers.csv -H 12
    """
    from karusel.cli.backtest import run_backtest_command

    run_backtest_command(reading, covariates, fitting, running, out, printing)


@app.command()
@flat
def fit(
    reading: Reading,
    covariates: Covariates,
    fitting: Fitting,
    running: Running,
    printing: Printing,
    out: Annotated[Path, typer.Option(help="Write the model to this file.")],
) -> None:
    """Fit to series, and keep all that forecasting needs in a model file.

    Example: karusel fit air_passengers.csv -H 12 --out air.karusel
    """
    from karusel.cli.fit import run_fit

    run_fit(reading, covariates, fitting, running, out, printing)


@app.command()
@flat
def predict(
    model: Model,
    reading: Reading,
    printing: Printing,
    future_data: FutureData = None,
    level: Level = "80,95",
    quantiles: Quantiles = None,
    out: Out = None,
) -> None:
    """Forecast with a model file: the series that it was fitted to, or those of FILES.

    Example: karusel predict air.karusel --out forecast.csv
    """
    from karusel.cli.predict import run_predict
    from karusel.cli.work import read_wanted

    run_predict(model, reading, future_data or [], read_wanted(level, quantiles), out, printing)


@app.command()
@flat
def update(
    model: Model,
    reading: Reading,
    printing: Printing,
    train: Annotated[bool, typer.Option("--train", help="Fit and backtest anew.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the model to this file instead of its own.")] = None,
) -> None:
    """Put later rows of the series, or new series, into a model file.

    Example: karusel update air.karusel air_passengers_1961.csv
    """
    from karusel.cli.update import run_update

    run_update(model, reading, train, out, printing)


@app.command()
@flat
def live(
    model: Model,
    printing: Printing,
    level: Annotated[float, typer.Option(help="Level of the intervals in percent.")] = 95,
    out: Annotated[
        Path | None, typer.Option(help="Write the model, with all values seen, to this file at the end.")
    ] = None,
) -> None:
    """Forecast after each value that comes on standard input, a line for each.

    A line is a value, or a time and a value; of several series the values of all of them, commas between.
    A first line of names is passed over. A time may have an offset from UTC; without one it is on the clock
    of the model's time zone. What comes out is the value, whether it lay outside the interval that was given
    for it, and the next step; with --json an object for each value, with all steps.

    Example: karusel live meter.karusel < meter.csv
    """
    from karusel.cli.live import run_live

    run_live(model, level, out, printing)


@app.command()
@flat
def data(reading: Reading, printing: Printing) -> None:
    """Show what is found in a source: columns, frequency, gaps, lengths, seasons. Nothing is fitted.

    Example: karusel data 'sales/*.parquet'
    """
    from karusel.cli.data import run_data

    run_data(reading, printing.json)


@app.command()
@flat
def tune(
    reading: Reading,
    covariates: Covariates,
    horizon: Annotated[int, typer.Option("-H", "--horizon", help="Steps to forecast.", min=1)],
    running: Running,
    printing: Printing,
    out: Annotated[
        Path, typer.Option(help="TOML file for the winner and all trials; a search goes on from it.")
    ],
    time_limit: Annotated[float, typer.Option(help="Seconds for the trials.", min=0)] = 60,
) -> None:
    """Try a few settings on past cutoffs and write the best to a file that --config takes.

    Example: karusel tune air_passengers.csv -H 12 --out best.toml
    """
    from karusel.cli.tune import run_tune

    run_tune(reading, covariates, horizon, running, time_limit, out, printing)


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Show versions, the processor's level, threads, and which extras are installed.

    Example: karusel doctor
    """
    from karusel.cli.doctor import run_doctor

    run_doctor(json)


@app.command()
@flat
def demo(
    running: Running,
    printing: Printing,
    epochs: Annotated[int, typer.Option(help="Passes over the data.", min=1)] = 100,
) -> None:
    """A first LSTM: learn a curve, then see where that holds and where it does not.

    Example: karusel demo --epochs 20
    """
    from karusel.demo import run_demo

    result = run_demo(epochs, random_state=running.seed, n_jobs=running.threads)
    if printing.json:
        from json import dumps

        typer.echo(dumps(result.document(), indent=1))
    else:
        typer.echo(result.text())


@app.command()
@flat
def inspect(
    model: Annotated[Path, typer.Argument(help="Network that `Sequential.save` wrote.")],
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV file: a column for each number that the network reads per step; noise by default."
        ),
    ] = None,
    input_col: Annotated[
        list[str] | None,
        typer.Option(help="Column that the network reads, in its order; may be given several times."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw gates, memory and horizon into this PNG file."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a report into this HTML file, which needs nothing beside itself."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads; all that this process may use by default.", min=1)
    ] = None,
) -> None:
    """Look into a saved network: what its gates do, and how many steps it remembers.

    Example: karusel inspect net.karusel series.csv --report inside.html
    """
    from karusel.cli.inspect import Request, run_inspect

    run_inspect(
        Request(
            model=model,
            data=data,
            input_cols=tuple(input_col or ()),
            plot=plot,
            report=report,
            json=json,
            threads=threads,
        )
    )
