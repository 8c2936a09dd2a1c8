"""HTML pages and EPUB books, by lxml."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lxml import etree

from retrievers.corpora.decoding import EXPANSION, MOST_EXPANDED, decode, read_bytes
from retrievers.errors import CorpusError

Block = tuple[str, dict[str, Any]]
_DECLARED = re.compile(rb"""<(?:meta[^>]*charset|\?xml[^>]*encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_UNSEEN = {"script", "style", "template", "noscript", "svg"}
_INLINE = set(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q rp rt ruby s samp small span "
    "strike strong sub sup time tt u var wbr".split()
)
_CELLS = {"td", "th"}
_HEADINGS = {f"h{level}" for level in range(1, 7)}
_CHUNK = 2**20


class _Reader:
    """Takes a parser's events, so that no tree is held, and collects what a reader of the page sees."""

    def __init__(self) -> None:
        self.title = ""
        self.blocks: list[Block] = []
        self._pieces: list[str] = []
        self._unseen = 0
        self._kept = 0  # depth of <pre>
        self._heading = self._in_title = False

    def start(self, tag: str, attributes: Any) -> None:
        if tag in _UNSEEN:
            self._unseen += 1
        elif tag == "title":
            self._in_title = True
        elif tag == "br":
            self._pieces.append("\n")
        elif tag in _CELLS:
            self._pieces.append(" ")
        elif tag not in _INLINE:
            self._end_block()
            self._heading = tag in _HEADINGS
            self._kept += tag == "pre"

    def end(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen -= 1
        elif tag == "title":
            self._in_title = False
        elif tag not in _INLINE and tag not in _CELLS and tag != "br":
            self._end_block()
            self._kept -= tag == "pre"

    def data(self, text: str) -> None:
        if self._in_title:
            self.title += text
        elif not self._unseen:
            self._pieces.append(text if self._kept else re.sub(r"[ \t\r\n\f]+", " ", text))

    def comment(self, text: str) -> None:
        pass

    def close(self) -> None:
        self._end_block()

    def _end_block(self) -> None:
        text = "".join(self._pieces)
        if text.strip():
            text = (
                text.strip("\n").rstrip()
                if self._kept
                else re.sub(r" *\n[ \n]*", "\n", re.sub(" +", " ", text)).strip()
            )
            self.blocks.append((text, {"heading": " ".join(text.split())} if self._heading else {}))
        self._pieces, self._heading = [], False


def _parse(text: str) -> _Reader:
    reader = _Reader()
    parser = etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True)
    for at in range(0, len(text), _CHUNK):
        parser.feed(text[at : at + _CHUNK].encode("utf-8", "replace"))
    if text:
        parser.close()
    return reader


def read_html(
    path: Path, encoding: str | None, note: Callable[[str, str], None], name: str
) -> tuple[str, dict[str, Any], list[Block]]:
    """Title, no metadata, and a block for each paragraph, heading, list item and row of a table."""
    page = _parse(_decoded(read_bytes(path), path, encoding))
    return " ".join(page.title.split()), {}, page.blocks


def _decoded(raw: bytes, path: Path, encoding: str | None) -> str:
    """As :func:`decode`, in the encoding that the page declares where the caller names none."""
    declared = _DECLARED.search(raw[:4096]) if encoding is None else None
    if declared:
        try:
            return decode(raw, path, "cp1252" if declared[1].lower() == b"iso-8859-1" else declared[1].decode())
        except ValueError:  # unknown, or not what the page is in
            pass
    return decode(raw, path, encoding)


def read_epub(
    path: Path, encoding: str | None, note: Callable[[str, str], None], name: str
) -> tuple[str, dict[str, Any], list[Block]]:
    """Title, authors, and the blocks of the chapters in reading order.

    Raises:
        CorpusError: The file is no EPUB, is encrypted, or expands beyond bounds.
    """
    with opened_archive(path, "EPUB") as archive:
        names = set(archive.namelist())
        if "META-INF/encryption.xml" in names and b"xmlenc#aes" in archive.read("META-INF/encryption.xml"):
            raise CorpusError(f"{path}: encrypted (DRM)")
        container = etree.fromstring(archive.read("META-INF/container.xml"), _plain_xml())
        package = next(container.iter("{*}rootfile")).get("full-path", "")
        content = etree.fromstring(archive.read(package), _plain_xml())
        files = {item.get("id"): item.get("href", "") for item in content.iter("{*}item")}
        title = next((" ".join(item.itertext()) for item in content.iter("{*}title")), "")
        authors = [" ".join(item.itertext()) for item in content.iter("{http://purl.org/dc/elements/1.1/}creator")]
        blocks: list[Block] = []
        for reference in content.iter("{*}itemref"):
            href = unquote(files.get(reference.get("idref"), "").partition("#")[0])
            place = posixpath.normpath(posixpath.join(posixpath.dirname(package), href))
            if not href or place not in names:
                note(f"{name}, chapter {href or reference.get('idref')}", "missing in the archive")
                continue
            blocks += _parse(_decoded(archive.read(place), path, None)).blocks
    return title, {"authors": authors} if authors else {}, blocks


def _plain_xml() -> Any:
    return etree.XMLParser(resolve_entities=False, no_network=True)


@contextmanager
def opened_archive(path: Path, kind: str) -> Iterator[zipfile.ZipFile]:
    """A document that is a zip archive, held in memory; whatever is wrong with it is a ``CorpusError``."""
    raw = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            most = max(MOST_EXPANDED, EXPANSION * len(raw))
            if sum(item.file_size for item in archive.infolist()) > most:
                raise CorpusError(f"{path}: expands to more than {most // 2**20:,} MiB, as a zip bomb does")
            yield archive
    except (CorpusError, ImportError, MemoryError):
        raise
    except zipfile.BadZipFile as error:
        raise CorpusError(f"{path}: no {kind} file, which is a zip archive ({error})") from error
    except Exception as error:  # libraries let through whatever a damaged file makes them stumble over
        raise CorpusError(f"{path}: no {kind} file that can be read ({type(error).__name__}: {error})") from error
