"""Pictures that `classify` and `label` read and write: images, images of labels, and videos."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from karusel.cli.files import write_whole
from karusel.errors import DataError, FileMissingError, KaruselError, MissingDependencyError, unreadable

__all__ = [
    "check_folder",
    "images_in",
    "is_video",
    "picture_files",
    "pictures_in",
    "read_images",
    "read_pictures",
    "write_masks",
]

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_GREY = ("1", "L")
_LARGE = {"I": 255, "F": 1.0}  # the largest pixel of modes of 32 bits, by Pillow's name of each


def check_folder(folder: Path) -> None:
    """Raise for what is no folder of images."""
    if not folder.exists():
        raise FileMissingError(f"the folder {folder} does not exist; check the name")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; give the folder of the images")


def images_in(folder: Path) -> list[Path]:
    """The images of a folder, in the order of their names."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES)
    if not found:
        raise DataError(f"{folder} has no images ({', '.join(_IMAGES)})")
    return found


def is_video(path: Path) -> bool:
    """Whether this is a video: a folder of images, an array .npy, or a GIF of several frames."""
    ending = path.suffix.lower()
    if path.is_dir():
        return any(one.suffix.lower() in _IMAGES and not is_video(one) for one in path.iterdir())
    return ending == ".npy" or (ending == ".gif" and _frame_count(path) > 1)


def pictures_in(folder: Path) -> list[Path]:
    """The images and videos of a folder, in the order of their names."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES or is_video(path))
    if not found:
        raise DataError(
            f"{folder} has no images ({', '.join(_IMAGES)}) and no videos (folders of images, .npy, .gif)"
        )
    return found


def picture_files(folder: Path) -> tuple[Path, ...]:
    """The files of all images and videos in a folder and in those below it."""
    return tuple(path for path in folder.rglob("*") if path.suffix.lower() in (*_IMAGES, ".npy"))


def read_pictures(paths: Sequence[Path]) -> tuple[str, NDArray[Any]]:
    """Pictures of one size, and their kind: "images", or "videos" [n, frames, R, C] or [.., R, C, 3]."""
    videos = [is_video(path) for path in paths]
    if not any(videos):
        return "images", read_images(paths)
    if not all(videos):
        video, image = (paths[videos.index(kind)] for kind in (True, False))
        raise DataError(f"{video} is a video, {image} an image; give pictures of one kind")
    return "videos", _stacked(paths, [_frames(path) for path in paths])


def read_images(paths: Sequence[Path], *, masks: bool = False) -> NDArray[Any]:
    """Images of one size, [n, R, C] in grey or [n, R, C, 3]; masks are whole numbers [n, R, C]."""
    return _stacked(paths, [_pixels(path, masks) for path in paths])


def _stacked(paths: Sequence[Path], pictures: Sequence[NDArray[Any]]) -> NDArray[Any]:
    for path, one in zip(paths, pictures, strict=True):
        if one.shape != pictures[0].shape:
            size, first = (" x ".join(map(str, shape)) for shape in (one.shape, pictures[0].shape))
            raise DataError(
                f"{path} has {size} numbers, {paths[0]} has {first}; bring all pictures to one size and kind"
            )
    return np.stack(pictures)


def _frames(path: Path) -> NDArray[Any]:
    """The frames of a video, [frames, R, C] or [frames, R, C, 3]."""
    if path.is_dir():
        return read_images(images_in(path))
    if path.suffix.lower() == ".gif":
        return _gif(path)
    try:
        with path.open("rb") as file:
            frames: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from None
    except Exception as error:  # a damaged file fails anywhere in NumPy
        raise DataError(f"{path} is no NumPy file of numbers: {error}") from None
    if frames.ndim not in (3, 4):
        raise DataError(
            f"{path} has shape {list(frames.shape)}; a video is [frames, rows, columns] or has colours behind"
        )
    return frames


def _frame_count(path: Path) -> int:
    """The frames of an image file; none is unpacked."""
    with _opened(path) as image:
        return int(getattr(image, "n_frames", 1))


def _gif(path: Path) -> NDArray[Any]:
    """All frames of a GIF, in colours."""
    with _opened(path) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
        return np.stack(frames)


def _pixels(path: Path, mask: bool) -> NDArray[Any]:
    with _opened(path) as image:
        if not mask and (image.mode in _LARGE or image.mode.startswith("I;16")):
            return _eight_bits(image, path)
        pixels = np.asarray(image if mask else image.convert("L" if image.mode in _GREY else "RGB"))
    if mask and (pixels.ndim != 2 or pixels.dtype.kind not in "bui"):
        raise DataError(f"{path} has colours; an image of labels has one whole number for each pixel")
    return pixels


def _eight_bits(image: Any, path: Path) -> NDArray[np.uint8]:
    """Grey of 16 bits or more, which Pillow would cut off at 255, as 0 to 255."""
    pixels = np.asarray(image)
    # Before version 11 Pillow called a PNG of 16 bits one of 32, which there are none of.
    most = 65535 if image.format == "PNG" else _LARGE.get(image.mode, 65535)
    least, largest = pixels.min(), pixels.max()
    if not (least >= 0 and largest <= most):  # nor NaN
        raise DataError(
            f"{path} holds pixels from {least:g} to {largest:g}; grey of 32 bits must lie within "
            f"0 .. {most:g}: scale it, or save it with 8 or 16 bits"
        )
    return np.rint(pixels * (255 / most)).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An image file, opened by Pillow, whose warnings of what is odd in it are not shown."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependencyError("images need Pillow; run: pip install 'karusel[images]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                yield image
    except (KaruselError, MemoryError):
        raise
    except Exception as error:  # a damaged file fails anywhere in Pillow
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(path, error) from None
        raise DataError(f"{path} is no image that can be read: {error}") from None


def write_masks(folder: Path, names: Sequence[str], labels: Sequence[NDArray[Any]]) -> None:
    """Writes labels [R, C] of images, whole numbers up to 65535, as PNG files of these names."""
    from PIL import Image

    if any(one.dtype.kind not in "bui" or one.min() < 0 or one.max() > 65535 for one in labels):
        raise DataError("labels that are no whole numbers from 0 to 65535 cannot be written as images")
    for name, one in zip(names, labels, strict=True):
        whole = one.astype(np.uint8 if one.max() < 256 else np.uint16)
        write_whole(folder / f"{name}.png", partial(Image.fromarray(whole).save, format="PNG"))
