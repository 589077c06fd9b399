"""`karusel caption`: its commands and their options. What they do stands in `karusel.cli.captioning`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from karusel.cli.options import Printing, Running, Tokenize, flat

__all__ = ["Captions", "Learning", "app"]

app = typer.Typer(help="Say in words what images show.", no_args_is_help=True)

Model = Annotated[
    Path, typer.Argument(help="Model file that `karusel caption train` wrote.", show_default=False)
]
BeamWidth = Annotated[
    int | None,
    typer.Option(help="Captions kept in the search; as in training by default. 1 is the fastest.", min=1),
]


@dataclass(frozen=True)
class Captions:
    """Images and a table of their captions."""

    images: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of images of one size.", show_default=False)
    ]
    captions: Annotated[
        str,
        typer.Argument(
            metavar="CAPTIONS",
            help="CSV, TSV, Parquet or JSON file with a row for each caption and the name of its image; an "
            "image may have several. - for standard input.",
            show_default=False,
        ),
    ]
    image_col: Annotated[str, typer.Option(help="Column of names of images, seen from FOLDER.")] = "image"
    caption_col: Annotated[str, typer.Option(help="Column of captions.")] = "caption"


@dataclass(frozen=True)
class Learning:
    """The settings of `karusel.tasks.Captioner`."""

    unit: Annotated[str, typer.Option(help="What captions are made of: words or pairs (byte pairs).")] = (
        "words"
    )
    vocabulary_size: Annotated[int, typer.Option(help="Words or byte pairs that are known.", min=2)] = 2000
    patch: Annotated[int, typer.Option(help="Pixels on each side of a patch of an image.", min=1)] = 8
    shift: Annotated[
        int, typer.Option(help="Pixels by which training images are moved at random.", min=0)
    ] = 0
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Change left and right in half of the training images.")
    ] = False
    hidden_size: Annotated[int, typer.Option(help="Hidden units of each LSTM.", min=1)] = 128
    num_layers: Annotated[int, typer.Option(help="Rounds of sweeps over an image.", min=1)] = 1
    dropout: Annotated[float, typer.Option(help="Share of numbers left out in training.")] = 0.3
    epochs: Annotated[int, typer.Option(help="Most passes over the captions.", min=1)] = 20
    batch_size: Annotated[
        int | None, typer.Option(help="Captions per optimiser step; as fits the data by default.", min=1)
    ] = None
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.004
    validation_share: Annotated[float, typer.Option(help="Share of the images held out.")] = 0.1


@app.command()
@flat
def train(
    captions: Captions,
    learning: Learning,
    running: Running,
    printing: Printing,
    out: Annotated[Path, typer.Option(help="Write the model to this file.")],
    time_limit: Annotated[float | None, typer.Option(help="Seconds of training, about.", min=0.1)] = None,
) -> None:
    """Fit to images and their captions, and keep what was learned in a model file.

    Example: karusel caption train photos captions.csv --out photos.karusel
    """
    from karusel.cli.captioning import run_train

    run_train(captions, learning, running, out, time_limit, printing)


@app.command()
@flat
def run(
    model: Model,
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES", help="An image, or a folder of them.", show_default=False)
    ],
    printing: Printing,
    out: Annotated[
        str | None,
        typer.Option(help="Write the captions here: a .csv, .parquet, .json or .jsonl file, or a table."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw where each word looked into this PNG file, of the first images."),
    ] = None,
    beam_width: BeamWidth = None,
) -> None:
    """Say what images show, a line for each.

    Example: karusel caption run photos.karusel new.png --plot where.png
    """
    from karusel.cli.captioning import run_run

    run_run(model, images, out, plot, beam_width, printing)


@app.command()
@flat
def score(
    model: Model,
    captions: Captions,
    printing: Printing,
    tokenize: Tokenize = "13a",
    beam_width: BeamWidth = None,
) -> None:
    """Compare a model's captions with others by BLEU.

    Example: karusel caption score photos.karusel photos test.csv
    """
    from karusel.cli.captioning import run_score

    run_score(model, captions, tokenize, beam_width, printing.json)
