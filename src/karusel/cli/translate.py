"""`karusel translate`: its commands and their options. What they do stands in `karusel.cli.translation`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from karusel.cli.options import Printing, Running, Tokenize, flat

__all__ = ["Learning", "app"]

app = typer.Typer(help="Translate sentences.", no_args_is_help=True)

Sources = Annotated[
    str,
    typer.Argument(
        metavar="SENTENCES",
        help="Plain text, a sentence on each line; - for standard input.",
        show_default=False,
    ),
]
Targets = Annotated[
    str,
    typer.Argument(
        metavar="TRANSLATIONS",
        help="Plain text, on each line the translation of that line of SENTENCES.",
        show_default=False,
    ),
]
Model = Annotated[
    Path, typer.Argument(help="Model file that `karusel translate train` wrote.", show_default=False)
]
BeamWidth = Annotated[
    int | None,
    typer.Option(help="Translations kept in the search; as in training by default. 1 is the fastest.", min=1),
]


@dataclass(frozen=True)
class Learning:
    """The settings of `karusel.tasks.Translator`."""

    vocabulary_size: Annotated[int, typer.Option(help="Byte pairs that both languages share.", min=1)] = 6000
    hidden_size: Annotated[int, typer.Option(help="Hidden units of each LSTM.", min=1)] = 256
    num_layers: Annotated[int, typer.Option(help="LSTM layers that read a sentence.", min=1)] = 1
    dropout: Annotated[float, typer.Option(help="Share of numbers left out in training.")] = 0.3
    epochs: Annotated[int, typer.Option(help="Most passes over the sentences.", min=1)] = 12
    batch_size: Annotated[
        int | None, typer.Option(help="Sentences per optimiser step; as fits the data by default.", min=1)
    ] = None
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.004
    validation_share: Annotated[
        float, typer.Option(help="Share held out where no other sentences are given.")
    ] = 0.1


@app.command()
@flat
def train(
    sources: Sources,
    targets: Targets,
    learning: Learning,
    running: Running,
    printing: Printing,
    out: Annotated[Path, typer.Option(help="Write the model to this file.")],
    validation: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="SENTENCES TRANSLATIONS",
            help="Two files to hold out, instead of a share.",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds of training, about.", min=0.1)] = None,
) -> None:
    """Fit to sentences and their translations, and keep what was learned in a model file.

    Example: karusel translate train train.de train.en --validation val.de val.en --out de-en.karusel
    """
    from karusel.cli.translation import run_train

    run_train(sources, targets, learning, running, out, validation, time_limit, printing)


@app.command()
@flat
def run(
    model: Model,
    sources: Sources,
    printing: Printing,
    out: Annotated[
        Path | None, typer.Option(help="Write the translations to this file, one on each line.")
    ] = None,
    alignment: Annotated[
        bool, typer.Option("--alignment", help="Show for each word which of the source it comes from.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw where each word comes from into this PNG file, of the first sentences."),
    ] = None,
    beam_width: BeamWidth = None,
) -> None:
    """Translate sentences, a line for each.

    Example: echo "ein hund rennt ." | karusel translate run de-en.karusel -
    """
    from karusel.cli.translation import run_run

    run_run(model, sources, out, alignment, plot, beam_width, printing)


@app.command()
@flat
def score(
    model: Model,
    sources: Sources,
    targets: Targets,
    printing: Printing,
    tokenize: Tokenize = "13a",
    beam_width: BeamWidth = None,
) -> None:
    """Compare a model's translations with others by BLEU.

    Example: karusel translate score de-en.karusel test.de test.en
    """
    from karusel.cli.translation import run_score

    run_score(model, sources, targets, tokenize, beam_width, printing.json)
