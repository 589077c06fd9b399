"""`karusel transcribe`: its commands and their options. What they do stands in `karusel.cli.speech`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from karusel.cli.options import Printing, Running, flat

__all__ = ["Learning", "app"]

app = typer.Typer(help="Write down what recordings say.", no_args_is_help=True)

Recordings = Annotated[
    Path,
    typer.Argument(
        metavar="RECORDINGS",
        help="CSV file with the columns `file`, a WAV file seen from the folder of this one, and `text`, "
        "what it says.",
        show_default=False,
    ),
]
Model = Annotated[
    Path, typer.Argument(help="Model file that `karusel transcribe train` wrote.", show_default=False)
]
BeamWidth = Annotated[
    int | None,
    typer.Option(help="Texts kept in the search; as in training by default. 1 is the fastest.", min=1),
]


@dataclass(frozen=True)
class Learning:
    """The settings of `karusel.tasks.Transcriber`."""

    live: Annotated[
        bool, typer.Option("--live", help="Read in one direction, to transcribe while someone speaks.")
    ] = False
    hidden_size: Annotated[int, typer.Option(help="Hidden units of each direction.", min=1)] = 128
    num_layers: Annotated[int, typer.Option(help="LSTM layers.", min=1)] = 2
    dropout: Annotated[float, typer.Option(help="Share of numbers left out in training.")] = 0.4
    variations: Annotated[int, typer.Option(help="Varied copies of each recording.", min=0)] = 2
    epochs: Annotated[int, typer.Option(help="Most passes over the recordings.", min=1)] = 12
    batch_size: Annotated[
        int | None, typer.Option(help="Recordings per optimiser step; as fits the data by default.", min=1)
    ] = None
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.004
    validation_share: Annotated[float, typer.Option(help="Share held out.")] = 0.1


@app.command()
@flat
def train(
    recordings: Recordings,
    learning: Learning,
    running: Running,
    printing: Printing,
    out: Annotated[Path, typer.Option(help="Write the model to this file.")],
    time_limit: Annotated[float | None, typer.Option(help="Seconds of training, about.", min=0.1)] = None,
) -> None:
    """Fit to recordings and what they say, and keep what was learned in a model file.

    Example: karusel transcribe train recordings.csv --out digits.karusel
    """
    from karusel.cli.speech import run_train

    run_train(recordings, learning, running, out, time_limit, printing)


@app.command()
@flat
def run(
    model: Model,
    printing: Printing,
    files: Annotated[list[Path], typer.Argument(metavar="FILES", help="WAV files.", show_default=False)],
    beam_width: BeamWidth = None,
) -> None:
    """Write down what WAV files say, a line for each.

    Example: karusel transcribe run digits.karusel call.wav
    """
    from karusel.cli.speech import run_run

    run_run(model, files, beam_width, printing.json)


@app.command()
@flat
def score(model: Model, recordings: Recordings, printing: Printing, beam_width: BeamWidth = None) -> None:
    """Compare what a model writes with what was said.

    Example: karusel transcribe score digits.karusel test.csv
    """
    from karusel.cli.speech import run_score

    run_score(model, recordings, beam_width, printing.json)
