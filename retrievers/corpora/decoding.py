"""Bytes of text files as characters: encodings, byte order marks, compression, and bounds on what is held."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from retrievers.errors import CorpusError

LONGEST_LINE = 64 * 2**20  # bytes, or characters of UTF-16 and UTF-32
MOST_EXPANDED, EXPANSION = 256 * 2**20, 50  # bytes that a compressed file may expand to, or times its own size
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CARRIAGE_RETURN = re.compile(r"(?<=\r)(?!\n|\Z)")  # one that ends a line by itself


class BadLine(NamedTuple):
    """Stands for a line that is not of the encoding that it is read in."""

    reason: str
    byte: str


def encoding_of(beginning: bytes, encoding: str | None) -> str:
    """Python's name of a byte order mark's encoding, else of the one that is asked for, else of UTF-8.

    Raises:
        ValueError: Python knows no such encoding of text.
    """
    name = "utf-8"
    if encoding is not None:
        try:
            known = codecs.lookup(encoding)
        except (LookupError, ValueError):  # the second for a zero byte
            known = None
        if known is None or not known._is_text_encoding:  # such as hex, which makes bytes of bytes
            raise ValueError(f"unknown encoding {encoding!r}; cp1252, latin-1 and utf-16 are some")
        name = known.name
    return next((marked for mark, marked in _MARKS.items() if beginning.startswith(mark)), name)


def packed_or_plain(path: Path) -> Path | None:
    """The file, else the same file with ``.gz`` behind its name; None if there is neither."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def decoded_lines(path: Path, encoding: str | None = None) -> Iterator[str]:
    r"""Lines of a text file, ``.gz`` or not, with their ends (``\n``, ``\r\n``, ``\r``, also mixed).

    A byte order mark is dropped; without one, and without ``encoding``, the file is UTF-8.

    Raises:
        CorpusError: The file is not of the encoding or not gzip, or a line has more than 64 MiB; of a
            compressed file, no more than that is held at once.
    """
    for number, line in enumerate(tolerant_lines(path, encoding), start=1):
        if isinstance(line, BadLine):
            raise CorpusError(f"{path}, line {number}: {line.reason} ({line.byte})")
        yield line


def tolerant_lines(path: Path, encoding: str | None = None) -> Iterator[str | BadLine]:
    """As :func:`decoded_lines`, but a line that cannot be decoded is a :class:`BadLine`."""
    number = 0
    lines: Any
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            name = encoding_of(file.peek(4)[:4], encoding)
            lines = file
            if name.startswith(("utf-16", "utf-32")):
                lines = io.TextIOWrapper(file, encoding=name, newline="")  # the end of a line has several bytes
            while line := lines.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    raise CorpusError(f"{path}, line {number + 1}: longer than {LONGEST_LINE // 2**20} MiB")
                text = line if isinstance(line, str) else _decoded(line, name if number == 0 else _later(name))
                if isinstance(text, BadLine) or "\r" not in text:
                    number += 1
                    yield text
                    continue
                for part in _CARRIAGE_RETURN.split(text):
                    number += 1
                    yield part
        except UnicodeError as error:
            raise CorpusError(f"{path}, after line {number}: not valid {name} ({error})") from error
        except BROKEN_GZIP as error:
            raise CorpusError(f"{path}, after line {number}: damaged gzip file ({error})") from error


def _later(name: str) -> str:
    """The encoding of all lines but the first: no other has a byte order mark."""
    return "utf-8" if name == "utf-8-sig" else name


def _decoded(line: bytes, name: str) -> str | BadLine:
    try:
        return line.decode(name)
    except UnicodeDecodeError as error:
        shown = "UTF-8" if name.startswith("utf-8") else name
        return BadLine(f"not valid {shown}", f"byte 0x{error.object[error.start]:02x} at byte {error.start}")


def read_text(path: Path, encoding: str | None = None) -> str:
    """The whole text of a file, ``.gz`` or not, without a byte order mark.

    Raises:
        CorpusError: The file is not of the encoding (see :func:`decoded_lines`) or not gzip, or expands to more than
            256 MiB and 50 times its size.
    """
    return decode(read_bytes(path), path, encoding)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, expanded if it is ``.gz``; ``CorpusError`` as :func:`read_text`."""
    if path.suffix != ".gz":
        return path.read_bytes()
    most = max(MOST_EXPANDED, EXPANSION * path.stat().st_size)
    try:
        with gzip.open(path, "rb") as file:
            raw = file.read(most + 1)
    except BROKEN_GZIP as error:
        raise CorpusError(f"{path}: damaged gzip file ({error})") from error
    if len(raw) > most:
        raise CorpusError(f"{path} expands to more than {most // 2**20:,} MiB; unpack it first, if that is right")
    return raw


def decode(raw: bytes, path: Path, encoding: str | None = None) -> str:
    """Bytes of a file as text; ``CorpusError`` names file and line."""
    name = encoding_of(raw[:4], encoding)
    try:
        text = raw.decode(name)
    except UnicodeDecodeError as error:
        shown = "UTF-8" if name.startswith("utf-8") else name
        line, byte = raw.count(b"\n", 0, error.start) + 1, raw[error.start]
        raise CorpusError(f"{path}, line {line}: not valid {shown} (byte 0x{byte:02x})") from error
    if "\0" in text:
        raise CorpusError(f"{path}: not valid {name} text (it holds zero bytes)")
    return text
