"""Files written whole or not at all: filled under a name beside their own, flushed to disk, then renamed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from karusel.errors import KaruselError

__all__ = ["write_whole", "written_whole"]

_LEFT_BEHIND = 3600  # seconds without a write after which a part belongs to nobody


@contextlib.contextmanager
def written_whole(target: str | os.PathLike[str]) -> Iterator[Path]:
    """The path to write to; it takes the target's place when the block ends well, and is gone otherwise.

    A link is followed, and a file that is there keeps its permissions. What cannot be replaced, such as
    /dev/stdout, is written in place. A process that is killed leaves its part behind: the next file written
    in that folder an hour later removes it. Raises the system's own errors.
    """
    if os.path.exists(target) and not os.path.isfile(target):
        yield Path(target)
        return
    whole = Path(os.path.realpath(target))
    # A short name of its own: the target's may already be as long as the system allows.
    part = whole.parent / f".karusel-{os.getpid()}-{os.urandom(4).hex()}.part"
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())  # else the new name could be on the disk before what it stands for
        if whole.exists():
            part.chmod(whole.stat().st_mode & 0o7777)
        os.replace(part, whole)
    finally:  # of Ctrl-C too
        with contextlib.suppress(OSError):
            part.unlink()
    # The rename, too, has to survive a power cut; a file system that cannot promise it says so here.
    with contextlib.suppress(OSError):
        handle = os.open(whole.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    _remove_left_behind(whole.parent)


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new file beside `path`, then put it in its place in one step.

    Raises `KaruselError` where the system cannot write.
    """
    try:
        with written_whole(path) as part:
            write(part)
    except BrokenPipeError:  # whoever read the pipe has seen enough
        raise
    except OSError as error:
        raise KaruselError(f"{path} cannot be written: {error.strerror or error}") from None


def _remove_left_behind(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for part in folder.glob(".karusel-*.part"):
            if time.time() - part.stat().st_mtime > _LEFT_BEHIND:
                part.unlink()
