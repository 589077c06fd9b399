"""The commands `classify` and `label`, and their options; what they do stands in modules of their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from karusel.cli.options import Printing, Running, flat

__all__ = ["classify", "label"]

classify = typer.Typer(help="Label whole texts, series or images.")
label = typer.Typer(help="Label every word of texts, step of series or pixel of images.")


@dataclass(frozen=True)
class Source:
    """Where examples come from, and which columns hold them."""

    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILES",
            help="CSV, TSV, Parquet or JSON files, a glob in quotes, - for standard input, a database, or a "
            "folder of images.",
            show_default=False,
        ),
    ] = None
    sql: Annotated[
        str | None, typer.Option(help="Query whose rows are read; it calls the FILES `input`.")
    ] = None
    text_col: Annotated[str | None, typer.Option(help="Column of texts or words; found by default.")] = None
    value_col: Annotated[
        list[str] | None,
        typer.Option(help="Column of numbers of a series; may be given several times.", show_default=False),
    ] = None
    id_col: Annotated[
        str | None,
        typer.Option(
            help="Column that tells series, or texts cut into words, apart; `unique_id` by default."
        ),
    ] = None
    label_col: Annotated[
        str | None,
        typer.Option(
            help="Column of labels; `label`, or else the last one that is not called `text` or the like, by "
            "default."
        ),
    ] = None


@dataclass(frozen=True)
class Learning:
    """How a network learns."""

    unit: Annotated[str, typer.Option(help="Parts of texts: words, characters, or pairs (to classify).")] = (
        "words"
    )
    patch: Annotated[int, typer.Option(help="Pixels on each side of a patch of an image.", min=1)] = 4
    hidden_size: Annotated[int, typer.Option(help="Hidden units of each direction.", min=1)] = 64
    num_layers: Annotated[int, typer.Option(help="LSTM layers, or rounds of sweeps.", min=1)] = 1
    dropout: Annotated[float, typer.Option(help="Share of numbers left out in training.")] = 0.3
    epochs: Annotated[int, typer.Option(help="Most passes over the examples.", min=1)] = 20
    batch_size: Annotated[
        int | None, typer.Option(help="Examples per optimiser step; as fits the data by default.", min=1)
    ] = None
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.003
    class_weight: Annotated[
        str | None, typer.Option(help="`balanced` lets every label count alike.", show_default=False)
    ] = None
    time_limit: Annotated[float | None, typer.Option(help="Seconds of training, about.", min=0.1)] = None


Out = Annotated[Path, typer.Option(help="Write the model to this file.")]
Model = Annotated[Path, typer.Argument(help="Model file that `train` wrote.", show_default=False)]
Labels = Annotated[
    str | None,
    typer.Option(help="Write the labels here: a .csv, .parquet, .json or .jsonl file, or a table."),
]
Masks = Annotated[
    Path | None,
    typer.Option(help="Of images: folder of their labels, images of the same names whose values are labels."),
]


@classify.command("train")
@flat
def classify_train(
    source: Source,
    learning: Learning,
    running: Running,
    printing: Printing,
    out: Out,
    sweep: Annotated[str, typer.Option(help="How images are read: patches, rows or pixels.")] = "patches",
    shift: Annotated[
        int, typer.Option(help="Pixels by which training images are moved at random.", min=0)
    ] = 0,
) -> None:
    """Fit to labelled examples and keep what was learned in a model file.

    A table has a row for each text and its label, or a row for each step of a series; a folder has a folder
    of images or videos for each label. A video is a folder of images, an array .npy, or a GIF.

    Example: karusel classify train reviews.csv --out reviews.karusel
    """
    from karusel.cli.classify import run_train

    run_train(source, learning, running, out, sweep, shift, printing)


@classify.command("run")
@flat
def classify_run(model: Model, source: Source, printing: Printing, out: Labels = None) -> None:
    """Label examples with a model file.

    Example: karusel classify run reviews.karusel new.csv --out labels.csv
    """
    from karusel.cli.classify import run_run

    run_run(model, source, out, printing)


@classify.command("score")
@flat
def classify_score(model: Model, source: Source, printing: Printing) -> None:
    """Compare the labels that a model gives with the right ones.

    Example: karusel classify score reviews.karusel test.csv
    """
    from karusel.cli.classify import run_score

    run_score(model, source, printing.json)


@label.command("train")
@flat
def label_train(
    source: Source,
    learning: Learning,
    running: Running,
    printing: Printing,
    out: Out,
    masks: Masks = None,
    direction: Annotated[
        str, typer.Option(help="bidirectional, or forward: labels then do not depend on later steps.")
    ] = "bidirectional",
) -> None:
    """Fit to examples whose steps are labelled and keep what was learned in a model file.

    A table has a row for each word or step, its label, and an id that tells texts or series apart.

    Example: karusel label train machines.csv --id-col machine --out machines.karusel
    """
    from karusel.cli.label import run_train

    run_train(source, learning, running, out, masks, direction, printing)


@label.command("run")
@flat
def label_run(model: Model, source: Source, printing: Printing, out: Labels = None) -> None:
    """Label every step of examples with a model file; of images `--out` is a folder for images of labels.

    Example: karusel label run machines.karusel today.csv --out labels.csv
    """
    from karusel.cli.label import run_run

    run_run(model, source, out, printing)


@label.command("score")
@flat
def label_score(model: Model, source: Source, printing: Printing, masks: Masks = None) -> None:
    """Compare the labels that a model gives with the right ones.

    Example: karusel label score machines.karusel test.csv
    """
    from karusel.cli.label import run_score

    run_score(model, source, masks, printing.json)
