"""Checks of an index folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag.doctor.check import Check

if TYPE_CHECKING:
    from retrievers import Retriever

_SAMPLED, _ASKED = 20, 200  # passages of an index that are looked at, and characters with which one is searched


def check_index(folder: Path) -> Iterator[Check]:
    """Whether an index is whole, can be opened, and finds its own passages."""
    from retrievers import load_index
    from retrievers.dense.encoder import DEFAULT
    from retrievers.storage.index_folder import read_manifest

    manifest = read_manifest(folder)
    found = load_index(folder)  # with all checksums
    made = ", ".join(f"{name} {number}" for name, number in manifest.created_with.items())
    yield Check(
        "index", str(folder), "ok", f"{manifest.kind}, {len(found):,} passages, every file as its checksum says"
    )
    yield Check("index", "made with", "ok", made or "the index does not say")
    members = [read_manifest(folder / member) for member in manifest.settings.get("members", ())]
    for one in (manifest, *members):
        if fingerprint := one.settings.get("encoder_fingerprint"):
            yield Check(
                "index", "encoder", "ok", f"{one.settings.get('encoder')}, fingerprint {fingerprint[:12]}, is here"
            )
    if manifest.kind in ("bm25", "dense", "hybrid"):
        encoders = {one.settings.get("encoder") for one in (manifest, *members)}
        yield from _sample(found, DEFAULT in encoders)


def _sample(index: Retriever, english: bool) -> Iterator[Check]:
    """Look at passages from the whole of an index; `english` says whether it has vectors of the default encoder."""
    from retrievers.text import latin, spaced

    passages = index.passages
    step = max(1, len(passages) // _SAMPLED)
    sample = [passages[place] for place in range(0, len(passages), step)][:_SAMPLED]
    share = latin(" ".join(passage.full_text for passage in sample))
    letters = f"{share:.0%} of the letters of {len(sample)} passages are Latin"
    if english and share < 0.5:
        fix = "name an encoder of your language (retriever.dense.encoder), or use bm25, and index again"
        yield Check("index", "language", "warning", f"{letters}, and the default encoder reads English alone", fix)
    else:
        yield Check("index", "language", "ok", letters)
    asked = [passage for passage in sample if spaced(passage.text).strip()]
    found = sum(
        any(hit.passage.full_text == passage.full_text for hit in index.search(passage.text[:_ASKED], 10))
        for passage in asked
    )
    finding = f"{found} of {len(asked)} passages are among the first 10 for their own beginning"
    if 2 * found < len(asked):
        fix = "index again with the language of the text, or with none (retriever.bm25.language=null)"
        yield Check("index", "search", "warning", finding, fix)
    else:
        yield Check("index", "search", "ok", finding)
