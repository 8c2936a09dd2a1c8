"""PDF files, by pypdfium2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2

from retrievers.errors import CorpusError

_SOFT_HYPHEN = "\ufffe"  # where PDFium joins the halves of a word


def read_pdf(
    path: Path, encoding: str | None, note: Callable[[str, str], None], name: str
) -> tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """Title, no metadata, and a block for each page with text; pages with pictures alone are noted.

    Raises:
        CorpusError: The file is protected by a password, damaged, or has no page with text.
    """
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise CorpusError(f"{path}: protected by a password; save a copy without one") from error
        raise CorpusError(f"{path}: no PDF that can be read ({error})") from error
    blocks, without = [], []
    try:
        title = document.get_metadata_dict().get("Title", "")
        n_pages = len(document)
        for number in range(1, n_pages + 1):
            text, drawn = _page(document, number - 1)
            if text:
                blocks.append((text, {"page": number}))
            elif drawn:
                without.append(str(number))
    except pypdfium2.PdfiumError as error:
        raise CorpusError(f"{path}, page {number}: damaged ({error})") from error
    finally:
        document.close()
    if not blocks and without:
        raise CorpusError(f"{path}: pictures without text on all of {n_pages} pages; recognise the text first (OCR)")
    if without:
        note(f"{name}, page {', '.join(without)}", "pictures without text; recognise the text first (OCR)")
    return title, {}, blocks


def _page(document: Any, index: int) -> tuple[str, bool]:
    """Text of a page, and whether anything is drawn on it."""
    page = document[index]
    try:
        text_page = page.get_textpage()
        try:
            text = text_page.get_text_range()
        finally:
            text_page.close()
        text = text.replace(f"{_SOFT_HYPHEN}\r\n", "").replace(_SOFT_HYPHEN, "").replace("\r\n", "\n").replace("\0", "")
        text = text.encode("utf-8", "replace").decode()
        return text.strip(), next(iter(page.get_objects(max_depth=1)), None) is not None
    finally:
        page.close()
