"""MIDI: files made here by hand, byte for byte, as frames; frames as files that mido reads; broken files."""

from __future__ import annotations

import builtins
import struct
from pathlib import Path

import numpy as np
import pytest

from karusel.errors import DataError, FileMissingError, MissingDependencyError
from karusel.tasks import read_midi, write_midi
from karusel.tasks.midi import NOTES

mido = pytest.importorskip("mido")

C4, E4, LOWEST, HIGHEST = 60, 64, 21, 108


def delta(ticks: int) -> bytes:
    """A number of ticks as MIDI has it: seven bits a byte, the highest bit says that more follow."""
    parts = [ticks & 0x7F]
    while ticks := ticks >> 7:
        parts.append(ticks & 0x7F | 0x80)
    return bytes(reversed(parts))


def track(*events: tuple[int, tuple[int, ...]]) -> bytes:
    body = b"".join(delta(wait) + bytes(event) for wait, event in events) + delta(0) + b"\xff\x2f\x00"
    return b"MTrk" + struct.pack(">L", len(body)) + body


def midi(path: Path, *tracks: bytes, division: int = 96, kind: int = 1) -> Path:
    head = b"MThd" + struct.pack(">LHHH", 6, kind, len(tracks), division & 0xFFFF)
    path.write_bytes(head + b"".join(tracks))
    return path


def sounding(frames: np.ndarray, note: int) -> list[int]:
    return np.flatnonzero(frames[:, note - LOWEST]).tolist()


def test_notes_are_frames_of_an_eighth(tmp_path):
    """A beat has 96 ticks, so a frame has 48; two tracks, running status, and a note-on of no velocity."""
    tempo = track((0, (0xFF, 0x51, 3, 1, 2, 3)))
    first = track((0, (0x90, C4, 64)), (96, (C4, 0)), (48, (E4, 64)), (144, (0x80, E4, 0)))
    second = track((48, (0x91, LOWEST, 9)), (48, (0x81, LOWEST, 0)), (0, (0x91, HIGHEST, 9)))
    frames = read_midi(midi(tmp_path / "a.mid", tempo, first, second))
    assert frames.dtype == np.uint8
    assert frames.shape == (6, NOTES)
    assert sounding(frames, C4) == [0, 1]
    assert sounding(frames, E4) == [3, 4, 5]
    assert sounding(frames, LOWEST) == [1]
    assert sounding(frames, HIGHEST) == [2]  # never let go of: a frame
    assert frames.sum() == 7


def test_notes_go_to_the_nearest_frames_and_last_one_at_least(tmp_path):
    played = track(
        *((23, (0x90, C4, 64)), (50, (0x80, C4, 0))),  # 23 to 73 of 48 a frame: frames 0 and 1
        *((0, (0x90, E4, 64)), (5, (0x80, E4, 0))),  # 73 to 78: frame 2
    )
    frames = read_midi(midi(tmp_path / "a.mid", played, kind=0))
    assert (sounding(frames, C4), sounding(frames, E4)) == ([0, 1], [2])


def test_drums_and_notes_beyond_the_piano_are_left_out(tmp_path):
    others = track(
        (0, (0x99, C4, 64)), (0, (0x90, LOWEST - 1, 64)), (0, (0x90, HIGHEST + 1, 64)), (48, (0x90, E4, 64))
    )
    frames = read_midi(midi(tmp_path / "a.mid", others))
    assert frames.sum() == 1
    assert sounding(frames, E4) == [1]


def test_a_note_struck_anew_is_held(tmp_path):
    twice = track((0, (0x90, C4, 64)), (48, (0x90, C4, 64)), (48, (0x80, C4, 0)), (48, (0x80, C4, 0)))
    assert sounding(read_midi(midi(tmp_path / "a.mid", twice)), C4) == [0, 1]


def test_what_is_written_is_read_back(tmp_path):
    random = np.random.default_rng(0)
    frames = (random.random((40, NOTES)) < 0.2).astype(np.uint8)
    frames[-1, 3] = 1
    write_midi(tmp_path / "a.mid", frames)
    np.testing.assert_array_equal(read_midi(tmp_path / "a.mid"), frames)


def test_a_written_file_is_what_other_programs_read(tmp_path):
    frames = np.zeros((5, NOTES))
    frames[1:4, C4 - LOWEST] = frames[3, E4 - LOWEST] = 1
    write_midi(tmp_path / "a.mid", frames)
    file = mido.MidiFile(tmp_path / "a.mid")
    assert (file.type, file.ticks_per_beat) == (0, 480)
    told = [(one.type, one.note, one.time) for one in file.tracks[0] if not one.is_meta]
    assert told == [
        ("note_on", C4, 240),
        ("note_on", E4, 480),
        ("note_off", C4, 240),
        ("note_off", E4, 0),
    ]
    assert file.length == pytest.approx(1.0)  # four eighths at 120 beats a minute


def test_files_that_cannot_be_read(tmp_path):
    note = track((0, (0x90, C4, 64)), (96, (0x80, C4, 0)))
    whole = midi(tmp_path / "a.mid", note).read_bytes()
    for cut in range(len(whole)):
        (tmp_path / "cut.mid").write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"cut\.mid is no whole MIDI file: \S"):
            read_midi(tmp_path / "cut.mid")
    (tmp_path / "text.mid").write_text("no music at all")
    with pytest.raises(DataError, match="MThd not found"):
        read_midi(tmp_path / "text.mid")
    with pytest.raises(FileMissingError, match="does not exist"):
        read_midi(tmp_path / "none.mid")
    with pytest.raises(DataError, match="is a folder"):
        read_midi(tmp_path)
    with pytest.raises(FileMissingError, match="make its folder first"):
        write_midi(tmp_path / "none" / "a.mid", np.zeros((4, NOTES)))
    for told, made in {
        r"no notes that a piano has": midi(tmp_path / "silent.mid", track()),
        r"several pieces in one": midi(tmp_path / "two.mid", note, note, kind=2),
        r"frames of film": midi(tmp_path / "film.mid", note, division=-25 << 8 | 40),
        r"at most 100,000 are read": midi(tmp_path / "long.mid", track((1 << 27, (0x90, C4, 64)))),
    }.items():
        with pytest.raises(DataError, match=told):
            read_midi(made)


def test_frames_that_no_piano_plays(tmp_path):
    with pytest.raises(DataError, match=r"frames have shape \[4, 5\]; a MIDI file takes \[frames, 88\]"):
        write_midi(tmp_path / "a.mid", np.zeros((4, 5)))


def test_without_mido_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "mido":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"a\.mid: MIDI files need mido: pip install"):
        read_midi(tmp_path / "a.mid")
