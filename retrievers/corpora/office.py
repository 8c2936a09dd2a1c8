"""Word and PowerPoint files, by python-docx and python-pptx."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import docx
import pptx
from lxml import etree

from retrievers.corpora.html import Block, opened_archive
from retrievers.errors import CorpusError

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # repeats what stands beside it
_LEGACY = b"\xd0\xcf\x11\xe0"  # of Office files before 2007, and of those with a password


def read_docx(
    path: Path, encoding: str | None, note: Callable[[str, str], None], name: str
) -> tuple[str, dict[str, Any], list[Block]]:
    """Title, no metadata, and a block for each paragraph and row of a table, then the foot- and endnotes."""
    _check_protected(path)
    with opened_archive(path, "DOCX") as archive:
        document = docx.Document(cast(BinaryIO, archive.fp))
        headings = {
            style.style_id for style in document.styles if (style.name or "").lower().startswith(("heading", "title"))
        }
        blocks = list(_word_blocks(document.element.body, headings))
        for relation in document.part.rels.values():
            if relation.reltype.endswith(("/footnotes", "/endnotes")):
                notes = etree.fromstring(relation.target_part.blob)
                blocks += [(text, {}) for text, _ in _word_blocks(notes, set())]
        return document.core_properties.title or "", {}, blocks


def _word_blocks(root: Any, headings: set[str]) -> Iterator[Block]:
    """Paragraphs in order, those in a text box behind the one that holds it; a row of a table is one block."""
    for element in root:
        if element.tag == f"{_WORD}tr":
            cells = [" ".join(text for text, _ in _word_blocks(cell, headings)) for cell in element.iter(f"{_WORD}tc")]
            if row := " ".join(cell for cell in cells if cell):
                yield row, {}
        elif element.tag == f"{_WORD}p":
            style = element.find(f"{_WORD}pPr/{_WORD}pStyle")
            if text := "".join(_word_texts(element)).strip():
                yield text, {"heading": text} if style is not None and style.get(f"{_WORD}val") in headings else {}
            for box in element.iter(f"{_WORD}txbxContent"):
                if next(box.iterancestors(_FALLBACK), None) is None:
                    yield from _word_blocks(box, headings)
        elif isinstance(element.tag, str) and element.tag != f"{_WORD}sectPr":
            yield from _word_blocks(element, headings)


def _word_texts(element: Any) -> Iterator[str]:
    for child in element:
        if child.tag == f"{_WORD}t":
            yield child.text or ""
        elif child.tag == f"{_WORD}tab":
            yield "\t"
        elif child.tag in (f"{_WORD}br", f"{_WORD}cr"):
            yield "\n"
        elif child.tag not in (f"{_WORD}txbxContent", f"{_WORD}pPr", f"{_WORD}rPr"):
            yield from _word_texts(child)


def read_pptx(
    path: Path, encoding: str | None, note: Callable[[str, str], None], name: str
) -> tuple[str, dict[str, Any], list[Block]]:
    """Title, no metadata, and a block for each slide, whose number is the page; its notes stand behind its text."""
    _check_protected(path)
    blocks, without = [], []
    with opened_archive(path, "PPTX") as archive:
        presentation = pptx.Presentation(cast(BinaryIO, archive.fp))
        for number, slide in enumerate(presentation.slides, start=1):
            lines = list(_slide_lines(slide.element))
            if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
                lines += frame.text.splitlines()
            text = "\n".join(line for line in map(str.strip, lines) if line)
            heading = slide.shapes.title.text_frame.text.strip() if slide.shapes.title is not None else ""
            if text:
                blocks.append((text, {"page": number, "heading": heading}))
            elif len(slide.shapes):
                without.append(str(number))
        title = presentation.core_properties.title or ""
    if without and blocks:
        note(f"{name}, slide {', '.join(without)}", "pictures without text; recognise the text first (OCR)")
    elif without:
        raise CorpusError(f"{path}: pictures without text on all slides; recognise the text first (OCR)")
    return title, {}, blocks


def _slide_lines(slide: Any) -> Iterator[str]:
    """Paragraphs of all shapes, groups and tables included."""
    for paragraph in slide.iter(f"{_DRAWING}p"):
        yield "".join(
            {f"{_DRAWING}t": child.text or "", f"{_DRAWING}br": "\n"}.get(child.tag, "") for child in paragraph.iter()
        )


def _check_protected(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) == _LEGACY:
            raise CorpusError(f"{path}: protected by a password, or of the format before 2007; save it again without")
