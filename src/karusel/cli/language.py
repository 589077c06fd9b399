"""What `karusel generate` does: fit a language model, let it write, say how likely a text or music is."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from karusel.cli import document
from karusel.cli.files import check_output, files_read, write_whole
from karusel.cli.generate import Drawing, Fitting
from karusel.cli.options import Printing, Running
from karusel.cli.progress import Progress
from karusel.cli.show import for_stdout, print_lines
from karusel.cli.work import naming, short_name
from karusel.cli.writing import decoded, fit, read_bytes
from karusel.errors import DataError, MissingDependencyError, UsageError, unreadable
from karusel.sources.origin import STDIN
from karusel.tasks.generator import Generator, Likelihood
from karusel.tasks.midi import NOTES, read_midi, write_midi

__all__ = ["run_run", "run_score", "run_train"]

_MIDI = (".mid", ".midi")
_MUSIC = (".npy", ".npz", ".mat", *_MIDI)
_PARTS = ("traindata", "validdata", "testdata")  # of the .mat files of polyphonic music research


def run_train(
    source: list[str],
    fitting: Fitting,
    running: Running,
    out: Path,
    lines: bool,
    time_limit: float | None,
    printing: Printing,
) -> None:
    """Fit to text or music; the model goes to `out`."""
    check_output(out, files_read(printing, [file for name in source for file in _files(name)]))
    started = time.perf_counter()
    settings: dict[str, Any] = {field.name: getattr(fitting, field.name) for field in fields(fitting)}
    model = Generator(**settings, random_state=running.seed, n_jobs=running.threads)
    with Progress() as progress:
        progress(f"reading {short_name(source)}")
        data = _read(source, lines, fitting.unit, "train")
        held_out = _held_out(source)
        done = fit(
            model,
            short_name(source),
            out,
            started,
            progress,
            data,
            validation=held_out,
            time_limit=time_limit,
        )
    if printing.json:
        document.print_document(
            {
                "file": short_name(source),
                "unit": model.reader_.unit,
                **done.document(),
            }
        )
        return
    each = "frame" if model.reader_.unit == "notes" else "token"
    print_lines(
        [
            f"{short_name(source)}: {model.reader_.unit}, {done.weights:,} weights",
            done.line(each),
            f"{out} holds the model; karusel generate run {out} writes",
        ]
    )


def run_run(
    model: Path,
    drawing: Drawing,
    running: Running,
    prompt: str | None,
    prompt_file: str | None,
    length: int,
    out: Path | None,
    printing: Printing,
) -> None:
    """Write on from a prompt."""
    if out is not None:
        prompts = _files(prompt_file) if prompt_file is not None else ()
        check_output(out, files_read(printing, (model, *prompts)))
    made = Generator.load(model)
    unit = made.reader_.unit
    if prompt is not None and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file are both given; leave one out")
    if unit == "notes" and prompt is not None:
        raise UsageError("--prompt is text, but the model writes music; give --prompt-file with music")
    if unit == "notes":
        _check_music_out(out, made.reader_.notes, printing.json)
    begin: Any = None if prompt is None else _of_argument(prompt, unit)
    if prompt_file is not None:
        begin = _read([prompt_file], False, unit, "train")
        if isinstance(begin, list):
            if len(begin) > 1:
                raise DataError(f"{prompt_file} holds {len(begin)} pieces; the prompt is one")
            begin = begin[0]
    with naming("the prompt"):
        parts = made.stream(
            begin,
            length,
            temperature=drawing.temperature,
            top_k=drawing.top_k,
            top_p=drawing.top_p,
            seed=running.seed,
        )
    if printing.json or out is not None:
        _write_out(made, list(parts), out, printing.json)
    else:
        _write_live(parts, unit)


def _check_music_out(out: Path | None, notes: int, json: bool) -> None:
    ending = None if out is None else out.suffix.lower()
    if ending not in (".npy", *_MIDI) and not (json and out is None):
        raise UsageError("music is written to a file: give --out FILE.mid or FILE.npy, or --json")
    if ending in _MIDI and notes != NOTES:
        raise UsageError(
            f"a MIDI file takes the {NOTES} keys of a piano, but the model writes {notes} notes; "
            "give --out FILE.npy"
        )


def run_score(model: Path, source: list[str], lines: bool, json: bool) -> None:
    """Say how likely a text or music is."""
    made = Generator.load(model)
    with Progress() as progress:
        progress(f"reading {short_name(source)}")
        data = _read(source, lines, made.reader_.unit, "test")
        progress("measuring")
        with naming(short_name(source)):
            found = made.measure(data)
    unit = made.reader_.unit
    if json:
        document.print_document(
            {
                "file": short_name(source),
                "unit": unit,
                "tokens": found.tokens,
                "nats": found.nats,
                "perplexity": found.perplexity if unit != "notes" else None,
                "bits_per_character": found.bits_per_character,
                "versions": document.versions(),
            }
        )
    else:
        print_lines([f"{short_name(source)}: {_measured(found, unit)}"])


def _measured(found: Likelihood, unit: str) -> str:
    if unit == "notes":
        return f"{found.nats:.3f} nats per frame over {found.tokens:,} frames"
    size = "byte" if unit == "bytes" else "character"
    return (
        f"{found.nats:.3f} nats per token over {found.tokens:,} {unit}, perplexity {found.perplexity:.4g}, "
        f"{found.bits_per_character:.3f} bits per {size}"
    )


def _write_live(parts: Iterator[Any], unit: str) -> None:
    """To stdout as it comes."""
    if sys.stdout.isatty():
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for part in parts:
            text = decoder.decode(part) if unit == "bytes" else part
            print(for_stdout(text), end="", flush=True)
        print(decoder.decode(b"", final=True))
        return
    target: Any = sys.stdout.buffer if unit == "bytes" else sys.stdout
    for part in parts:
        target.write(part)
    if unit != "bytes":
        target.write("\n")
    target.flush()


def _write_out(model: Generator, parts: list[Any], out: Path | None, json: bool) -> None:
    """All at once, to a file or as a document."""
    unit = model.reader_.unit
    written: Any = np.stack(parts) if unit == "notes" else model.reader_.join(iter(parts))
    if out is not None:

        def fill(path: Path) -> None:
            if unit == "notes" and out.suffix.lower() in _MIDI:
                write_midi(path, written)
                return
            with path.open("wb") as file:
                if unit == "notes":
                    np.save(file, written)
                else:
                    file.write(written if unit == "bytes" else written.encode())

        write_whole(out, fill)
    if json:
        text = written.decode(errors="replace") if unit == "bytes" else written
        shown = {"frames": written.tolist()} if unit == "notes" else {"text": text}
        place = {"out": str(out)} if out is not None else {}
        document.print_document({"unit": unit, "tokens": len(parts), **shown, **place})
    elif out is not None:
        print_lines([f"{out} holds {len(parts):,} {'frames' if unit == 'notes' else unit}"])


# -- reading -------------------------------------------------------------------------------------


def _read(source: list[str], lines: bool, unit: str | None, part: str) -> Any:
    """One text, or a list of texts or of pieces of music."""
    files = [file for name in source for file in _files(name)]
    read = [one for name in files for one in _read_one(name, unit, part)]
    music = Path(files[0]).suffix.lower() in _MUSIC
    if any((Path(name).suffix.lower() in _MUSIC) != music for name in files):
        raise UsageError("text and music are given together; give files of one kind")
    if (unit == "notes") != music and unit is not None:
        raise UsageError(
            f"{short_name(source)} is {'music' if music else 'text'}, which unit {unit} does not read"
        )
    if lines:
        if music:
            raise UsageError("--lines is for text")
        read = [line for text in read for line in text.splitlines() if line.strip()]
        if not read:
            raise DataError(f"{short_name(source)} has no line with text")
    return read if music or lines or len(files) > 1 else read[0]


def _files(name: str) -> list[str]:
    """A file by itself, or the MIDI files in a folder and in those below it."""
    if not Path(name).is_dir():
        return [name]
    found = sorted(str(path) for path in Path(name).rglob("*") if path.suffix.lower() in _MIDI)
    if not found:
        raise DataError(f"{name} is a folder without MIDI files ({', '.join(_MIDI)})")
    return found


def _read_one(name: str, unit: str | None, part: str) -> list[Any]:
    """A file's text, or its pieces of music."""
    path, ending = Path(name), Path(name).suffix.lower()
    if ending in _MUSIC:
        try:
            return _read_music(path, ending, part)
        except OSError as error:
            raise unreadable(name, error) from None
    data = read_bytes(name)
    title = "standard input" if name == STDIN else name
    if not data:
        raise DataError(f"{title} is empty")
    if unit == "bytes":
        return [data]
    text = decoded(title, data, "convert it, or read it as it is with --unit bytes")
    if not text:
        raise DataError(f"{title} is empty")
    return [text]


def _of_argument(prompt: str, unit: str) -> str | bytes:
    """A prompt as the model reads it; bytes of a command line that are no text came in as surrogates."""
    try:
        if unit == "bytes":
            return prompt.encode(errors="surrogateescape")
        prompt.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the prompt: character {error.start + 1:,} is no text; give it in UTF-8") from None
    return prompt


def _read_music(path: Path, ending: str, part: str) -> list[Any]:
    if ending in _MIDI:
        return [read_midi(path)]
    if ending == ".mat":
        held = _read_mat(path)
        wanted = _PARTS[0] if part == "train" else _PARTS[2]
        cells = {
            key: value
            for key, value in held.items()
            if isinstance(value, np.ndarray) and value.dtype == object
        }
        if wanted not in cells and len(cells) != 1:
            raise DataError(
                f"{path} holds no cells {wanted!r} of piano-rolls, but {', '.join(cells) or 'none'}"
            )
        return list(cells.get(wanted, next(iter(cells.values()))).reshape(-1))
    try:
        with path.open("rb") as file:
            read: Any = np.load(file, allow_pickle=False)
            if not isinstance(read, np.ndarray):  # several arrays, whatever the ending says
                return [read[name] for name in read.files]
    except OSError:
        raise
    except Exception as error:  # a damaged file fails anywhere in NumPy
        raise DataError(f"{path} is no NumPy file of numbers: {error}") from None
    return list(read) if read.ndim == 3 else [read]


def _read_mat(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingDependencyError(f"{path}: .mat files need SciPy: pip install 'karusel[music]'") from None
    try:
        with path.open("rb") as file:
            return dict(loadmat(file))
    except OSError:
        raise
    except Exception as error:  # a damaged file fails anywhere in SciPy
        raise DataError(f"{path} is no .mat file that SciPy reads: {error}") from None


def _held_out(source: list[str]) -> list[Any] | None:
    """The part of a .mat file that is there to be held out."""
    if len(source) == 1 and Path(source[0]).suffix.lower() == ".mat":
        held = _read_mat(Path(source[0])).get(_PARTS[1])
        return None if held is None else list(held.reshape(-1))
    return None
