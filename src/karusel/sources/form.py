"""The form of a CSV file: encoding, delimiter, lines before the table, header.

Encodings are UTF-8, UTF-16, Windows-1251 and Windows-1252. Refused is what is not text.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from karusel.errors import DataError

__all__ = [
    "Form",
    "are_periods",
    "as_utf8",
    "find_form",
    "is_packed",
    "line_of",
    "refuse_two_alike",
    "unpacked",
]

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_LOOKED_AT = 64 * 1024  # bytes at the head of the file from which its form is found
_LONGEST_LINE = 16 << 20
_CHUNK = 1 << 20  # bytes of a file that are read at a time
_NUMBER = re.compile(r"^\s*[-+]?\d+[.,]?\d*([eE][-+]?\d+)?\s*$")
_DATE = re.compile(r"^\s*[-+]?\d{1,4}[-/.]\d{1,2}")
_YEAR = re.compile(r"^\s*[12]\d{3}\s*$")
_NO_TABLES = {
    b"PK\x03\x04": "looks like a spreadsheet or an archive; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "looks like a spreadsheet or an archive; save the table as CSV",
    b"SQLite format 3\x00": "is an SQLite database; write sqlite:///FILE#TABLE",
}


@dataclass(frozen=True)
class Form:
    """How a CSV file is written."""

    encoding: str
    delimiter: str
    skip: int  # lines before the table
    header: bool
    names: tuple[str, ...]

    def describe(self) -> str:
        parts = [f"{_DELIMITERS[self.delimiter]} separated", self.encoding]
        parts.append("header found" if self.header else "no header")
        if self.skip:
            parts.append(f"{self.skip} line{'s' if self.skip > 1 else ''} before the table skipped")
        return ", ".join(parts)


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """A file opened for reading, through gzip where it is packed so."""
    with path.open("rb") as file:
        if not is_packed(path):
            yield file
            return
        try:
            with gzip.open(file) as inside:
                yield cast(BinaryIO, inside)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise DataError(f"{path.name} is a damaged gzip file; fetch or pack it again") from None


def is_packed(path: Path) -> bool:
    """Whether a file is packed by gzip."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def as_utf8(path: Path, name: str, folder: Path) -> tuple[Path, str]:
    """The file itself when it is UTF-8 with one kind of line ends, which DuckDB needs, otherwise a copy in
    `folder` that is, with the encoding found.
    """
    with unpacked(path) as file:
        head = file.read(4096)
    if not head:
        raise DataError(f"{name} is empty; a CSV file with a header and rows is needed")
    for start, words in _NO_TABLES.items():
        if head.startswith(start):
            raise DataError(f"{name} {words}")
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\x00" in head and not utf16:
        raise DataError(f"{name} is a binary file, not text; a CSV file is needed")
    is_utf8, mixes_line_ends = (False, False) if utf16 else _look_through(path)
    if is_utf8 and not mixes_line_ends and not is_packed(path):
        return path, "UTF-8"
    encoding = "UTF-16" if utf16 else "UTF-8" if is_utf8 else _one_byte_encoding(path, name)
    copy = folder / f"{len(list(folder.iterdir()))}.csv"
    try:
        with (
            unpacked(path) as packed,
            io.TextIOWrapper(packed, encoding) as source,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            while chunk := source.read(_CHUNK):
                out.write(chunk)
    except UnicodeError:
        raise DataError(f"{name} is not whole {encoding} text; save it again as UTF-8") from None
    return copy, encoding


def _look_through(path: Path) -> tuple[bool, bool]:
    """Whether a file is UTF-8, and whether some of its lines end with a carriage return and others do not, as
    after `>>`.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, with_return, last = 0, 0, b""
    try:
        with unpacked(path) as file:
            while chunk := file.read(_CHUNK):
                if decoder.getstate()[0] or not chunk.isascii():
                    decoder.decode(chunk)
                lines += chunk.count(b"\n")
                if b"\r" in chunk or last == b"\r":
                    with_return += chunk.count(b"\r\n") + (last == b"\r" and chunk.startswith(b"\n"))
                last = chunk[-1:]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False, False
    return True, 0 < with_return < lines


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with unpacked(path) as file:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _one_byte_encoding(path: Path, name: str) -> str:
    """Windows-1251 when the bytes above ASCII look like Russian words, Windows-1252 when they look like
    Western ones.

    In Russian text letters above ASCII stand next to each other; in Western text they are single accents.
    """
    with unpacked(path) as file:
        head = file.read(_LOOKED_AT)
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    high = sum(byte >= 0x80 for byte in head)
    if controls or high > 0.9 * len(head):
        raise DataError(f"{name} is a binary file, not text; a CSV file is needed")
    neighbours = len(re.findall(rb"(?<=[\xc0-\xff])[\xc0-\xff]", head))
    encoding = "windows-1251" if neighbours * 2 > high else "windows-1252"
    if not _decodes(path, encoding):
        raise DataError(f"{name} is not text in UTF-8 or a Windows encoding; save it again as UTF-8")
    return encoding


def find_form(readable: Path, name: str, encoding: str) -> Form:
    """The form of a CSV file, from the first lines of a UTF-8 copy of it."""
    with readable.open(encoding="utf-8-sig", newline="") as file:
        # With thousands of columns the header alone may be longer than what is looked at.
        head = file.read(_LOOKED_AT) + "".join(file.readline(_LONGEST_LINE) for _ in range(3))
    lines = head.splitlines()
    filled = [
        (number, line)
        for number, line in enumerate(lines)
        if line.strip() and not line.startswith(("#", "sep="))  # comments, and Excel's word for the delimiter
    ]
    if not filled:
        raise DataError(f"{name} has no rows; a CSV file with a header and rows is needed")
    delimiter, count = _find_delimiter([line for _, line in filled[:200]])
    skip = next(
        (number for number, line in filled if _outside_quotes(line, delimiter) == count), filled[0][0]
    )
    try:
        with _long_cells():
            rows = [cells for cells in csv.reader(lines[skip:], delimiter=delimiter) if cells]
    except csv.Error as error:
        raise DataError(f"{name} cannot be read as CSV: {error}") from None
    first, second = rows[0], rows[1] if len(rows) > 1 else []
    header = (
        not any(map(_is_value, first))
        or any(
            name.strip() and not _is_value(name) and _is_value(cell)
            for name, cell in zip(first, second, strict=False)
        )
        or (not _is_value(first[0]) and are_periods(list(itertools.dropwhile(_is_name, first))))
    )
    above = max((number for number, _ in filled if number < skip), default=None)
    if not header and above is not None and (cells := _outside_quotes(lines[above], delimiter)):
        raise DataError(
            f"{name}, line {above + 1}: {cells + 1} cells where the rows below have {count + 1}; every row "
            "needs the same number, and a cell that holds the separator needs quotes"
        )
    names = [name.strip() for name in first] if header else [f"column {k + 1}" for k in range(len(first))]
    refuse_two_alike(names, name)
    return Form(encoding, delimiter, skip, header, tuple(names))


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Let `csv` take cells as long as lines may be; its own limit, of the whole process, comes back."""
    usual = csv.field_size_limit(_LONGEST_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def refuse_two_alike(columns: Sequence[str], name: str) -> None:
    """Refuse two columns of one name."""
    twice = [column for column, times in Counter(columns).items() if times > 1 and column]
    if twice:
        raise DataError(f'{name} has two columns called "{twice[0]}"; rename one of them')


def _outside_quotes(line: str, delimiter: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(delimiter)


def _find_delimiter(lines: list[str]) -> tuple[str, int]:
    """The delimiter that stands equally often on most lines, and how often; a comma when there is none."""
    best = (0.0, 0, ",")
    for delimiter in _DELIMITERS:
        counts = Counter(_outside_quotes(line, delimiter) for line in lines)
        count, agreeing = max(counts.items(), key=lambda item: (item[1], item[0]))
        if count:
            best = max(best, (agreeing / len(lines), count, delimiter), key=lambda found: found[:2])
    return best[2], best[1]


def _is_value(cell: str) -> bool:
    """Whether a cell of the first line is a number or a date, so that the line is no header."""
    return bool(_NUMBER.match(cell) or _DATE.match(cell))


def _is_name(cell: str) -> bool:
    return not _is_value(cell)


def are_periods(cells: Sequence[str]) -> bool:
    """Whether the names of columns are dates or years, above the values of one series in each row."""
    if not all(map(_YEAR.match, cells)):
        return all(_DATE.match(cell) and not _NUMBER.match(cell) for cell in cells)
    steps = {int(later) - int(year) for year, later in itertools.pairwise(cells)}
    return len(cells) > 2 and len(steps) == 1 and min(steps) > 0


def line_of(path: Path, form: Form, row: int) -> int:
    """The line of the file on which data row `row` ends; blank lines and line breaks in quotes count.

    In a table of one column a blank line may itself be a row: then the last line is named.
    """
    encoding = "utf-8-sig" if form.encoding == "UTF-8" else form.encoding
    with unpacked(path) as packed:
        passed = 0 if form.encoding == "UTF-16" else _pass_plain_lines(packed, form.skip + form.header + row)
        skip = max(form.skip - passed, 0)
        with io.TextIOWrapper(packed, encoding, newline="") as file:
            for _ in range(skip):
                next(file)
            reader = csv.reader(file, delimiter=form.delimiter)
            rows = (reader.line_num for cells in reader if cells)
            # A cell longer even than that: the line before it.
            with _long_cells(), contextlib.suppress(csv.Error):
                next(itertools.islice(rows, row + form.header + form.skip - passed - skip, None), None)
            return passed + skip + reader.line_num


def _pass_plain_lines(file: BinaryIO, most: int) -> int:
    """Go past whole blocks of lines that are a row each, and no more than `most`; returns how many."""
    passed = 0
    while True:
        begin = file.tell()
        block = file.read(_LOOKED_AT) + file.readline()
        lines = block.count(b"\n")
        plain = not any(mark in block for mark in (b'"', b"\r", b"\n\n")) and not block.startswith(b"\n")
        if not plain or lines == 0 or passed + lines > most:
            file.seek(begin)
            return passed
        passed += lines
