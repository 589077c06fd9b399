"""`karusel generate`: its commands and their options. What they do stands in `karusel.cli.language`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from karusel.cli.options import Printing, Running, flat

__all__ = ["Drawing", "Fitting", "app"]

app = typer.Typer(help="Write on from text or music, after a language model.", no_args_is_help=True)

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Plain text, or - for standard input; or music: MIDI files, a folder of them, or piano-rolls, "
        ".npy, .npz or .mat arrays of 0 and 1. Several files are several texts, each with an end.",
        show_default=False,
    ),
]
Lines = Annotated[bool, typer.Option("--lines", help="Take each line as a text by itself, such as a name.")]
Model = Annotated[
    Path, typer.Argument(help="Model file that `karusel generate train` wrote.", show_default=False)
]


@dataclass(frozen=True)
class Fitting:
    """The settings of `karusel.tasks.Generator`."""

    unit: Annotated[
        str | None,
        typer.Option(
            help="characters, bytes, words, pairs or notes; notes for music and characters by default."
        ),
    ] = None
    vocabulary_size: Annotated[int, typer.Option(help="Most words or byte pairs that are known.", min=1)] = (
        10_000
    )
    hidden_size: Annotated[int, typer.Option(help="Hidden units of each LSTM.", min=1)] = 128
    num_layers: Annotated[int, typer.Option(help="LSTMs, one after the other.", min=1)] = 1
    embedding_size: Annotated[int, typer.Option(help="Numbers for each token.", min=1)] = 64
    tied: Annotated[bool, typer.Option("--tied", help="Share the embedding's weights with the softmax.")] = (
        False
    )
    dropout: Annotated[float, typer.Option(help="Share of numbers left out, the same at all steps.")] = 0.1
    weight_drop: Annotated[float, typer.Option(help="Share of recurrent weights left out.")] = 0.0
    steps: Annotated[int, typer.Option(help="Tokens through which gradients go back.", min=1)] = 100
    epochs: Annotated[int, typer.Option(help="Most passes over the text.", min=1)] = 20
    batch_size: Annotated[
        int | None, typer.Option(help="Streams, or pieces, side by side; as fits the data by default.", min=1)
    ] = None
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.006
    validation_share: Annotated[float, typer.Option(help="Share held out at the end.")] = 0.1


@dataclass(frozen=True)
class Drawing:
    """How the next token is drawn."""

    temperature: Annotated[
        float, typer.Option(help="Below 1 the likely becomes likelier; 0 takes the likeliest.", min=0)
    ] = 1.0
    top_k: Annotated[int | None, typer.Option(help="Only so many of the likeliest tokens.", min=1)] = None
    top_p: Annotated[float, typer.Option(help="Only the fewest with this share of the chances.")] = 1.0


@app.command()
@flat
def train(
    source: Files,
    fitting: Fitting,
    running: Running,
    printing: Printing,
    out: Annotated[Path, typer.Option(help="Write the model to this file.")],
    lines: Lines = False,
    time_limit: Annotated[float | None, typer.Option(help="Seconds that fitting may take.", min=0.1)] = None,
) -> None:
    """Fit a language model to text or music.

    Example: karusel generate train book.txt --out book.karusel
    """
    from karusel.cli.language import run_train

    run_train(source, fitting, running, out, lines, time_limit, printing)


@app.command()
@flat
def run(
    model: Model,
    drawing: Drawing,
    running: Running,
    printing: Printing,
    prompt: Annotated[str | None, typer.Option(help="Text to go on from.")] = None,
    prompt_file: Annotated[str | None, typer.Option(help="File of the text or music to go on from.")] = None,
    length: Annotated[int, typer.Option(help="Tokens, or frames of music, to write at most.", min=1)] = 500,
    out: Annotated[
        Path | None,
        typer.Option(help="Write to this file; music needs it: .mid, or a piano-roll .npy."),
    ] = None,
) -> None:
    """Write on, token by token.

    Example: karusel generate run book.karusel --prompt 'Once ' --temperature 0.7
    """
    from karusel.cli.language import run_run

    run_run(model, drawing, running, prompt, prompt_file, length, out, printing)


@app.command()
@flat
def score(model: Model, source: Files, printing: Printing, lines: Lines = False) -> None:
    """Say how likely a text or music is to the model.

    Example: karusel generate score book.karusel other.txt
    """
    from karusel.cli.language import run_score

    run_score(model, source, lines, printing.json)
