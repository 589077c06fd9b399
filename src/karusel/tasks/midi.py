"""MIDI files as frames of notes (piano-rolls), and frames as MIDI files, by the package mido."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.errors import DataError, FileMissingError, MissingDependencyError, unreadable

__all__ = ["NOTES", "read_midi", "write_midi"]

NOTES = 88  # keys of a piano
_LOWEST = 21  # MIDI's number of the first of them, an A
_PER_BEAT = 2  # frames: a beat is a quarter note, so a frame is an eighth
_TICKS = 240  # of a frame, in files that are written
_DRUMS = 9  # the channel whose notes are no pitches
_MOST = 200_000  # frames of a piece: more than a day


def read_midi(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A piece of music as frames [T, 88], 1 for each key of the piano, from the lowest A up, that sounds.

    A frame lasts an eighth note, whatever the tempo. A note begins and ends at the frames nearest to where
    the file has it, and lasts a frame at least; one that is struck anew without a rest is held, since frames
    do not tell these apart. Drums, and notes that a piano does not have, are left out.

    Raises `FileMissingError` when there is no such file, `KaruselError` for one that the system cannot read,
    `DataError` for one that is a folder, broken or has no notes, `MissingDependencyError` without mido.
    """
    mido, name = _library(path), os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(name, error) from None
    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except Exception as error:  # a damaged file fails anywhere in mido
        raise DataError(f"{name} is no whole MIDI file: {str(error) or 'it ends too early'}") from None
    if file.type == 2:
        raise DataError(f"{name} holds several pieces in one (MIDI type 2); save each as one of type 0 or 1")
    if file.ticks_per_beat <= 0:
        raise DataError(f"{name} counts time in frames of film, not in beats; save it with beats")
    played = [note for track in file.tracks for note in _played(track)]
    if not played:
        raise DataError(f"{name} has no notes that a piano has")
    keys, *ticks = np.array(played).T
    first, last = (np.floor(_PER_BEAT * at / file.ticks_per_beat + 0.5).astype(int) for at in ticks)
    last = np.maximum(last, first + 1)
    length = int(last.max())
    if length > _MOST:
        raise DataError(
            f"{name} lasts {length // _PER_BEAT:,} beats; at most {_MOST // _PER_BEAT:,} are read"
        )
    frames = np.zeros((length, NOTES), np.uint8)
    for key, begin, end in zip(keys, first, last, strict=True):
        frames[begin:end, key] = 1
    return frames


def write_midi(path: str | os.PathLike[str], frames: Any) -> None:
    """Writes frames [T, 88] as a MIDI file of one track, a piano, at 120 beats a minute.

    A note that sounds in frames one after the other is held. `read_midi` gives the same frames back, but for
    silence at the end. Raises `FileMissingError` when there is no such folder, `DataError` for other frames.
    """
    mido = _library(path)
    if not Path(path).parent.is_dir():
        raise FileMissingError(f"{os.fspath(path)} cannot be written: make its folder first")
    sounds = np.asarray(frames)
    if sounds.ndim != 2 or sounds.shape[1] != NOTES:
        raise DataError(f"frames have shape {list(sounds.shape)}; a MIDI file takes [frames, {NOTES}]")
    silence = np.zeros((1, NOTES), int)
    changes = np.diff(np.concatenate([silence, sounds != 0, silence]).astype(int), axis=0)
    track = mido.MidiTrack()
    now = 0
    for frame, key in np.argwhere(changes):
        kind = "note_on" if changes[frame, key] > 0 else "note_off"
        wait = (int(frame) - now) * _TICKS
        track.append(mido.Message(kind, note=_LOWEST + int(key), time=wait))
        now = int(frame)
    mido.MidiFile(type=0, ticks_per_beat=_PER_BEAT * _TICKS, tracks=[track]).save(os.fspath(path))


def _played(track: Any) -> list[tuple[int, int, int]]:
    """The notes of a track: the key, and the ticks where it begins and ends."""
    played: list[tuple[int, int, int]] = []
    begun: dict[tuple[int, int], int] = {}
    now = 0

    def end(channel: int, note: int) -> None:
        start = begun.pop((channel, note), None)
        if start is not None and 0 <= note - _LOWEST < NOTES:
            played.append((note - _LOWEST, start, now))

    for message in track:
        now += message.time
        if message.type in ("note_on", "note_off") and message.channel != _DRUMS:
            end(message.channel, message.note)
            if message.type == "note_on" and message.velocity > 0:
                begun[message.channel, message.note] = now
    for channel, note in list(begun):
        end(channel, note)
    return played


def _library(path: str | os.PathLike[str]) -> Any:
    try:
        import mido  # type: ignore[import-untyped, unused-ignore]  # it has no types, and may not be there
    except ImportError:
        raise MissingDependencyError(
            f"{os.fspath(path)}: MIDI files need mido: pip install 'karusel[music]'"
        ) from None
    return mido
