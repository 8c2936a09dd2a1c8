"""Documents in an index: which passages are theirs, what of a corpus is new or edited, and what is gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from retrievers.base import Progress, Retriever
from retrievers.corpora.stream import slabs
from retrievers.passage import Passage
from retrievers.storage.passage_store import PassageStore

_NAMED = 5
_WINDOW = 32  # pieces of a document that are looked for at once


def document_of(passage: Passage) -> str:
    """Id of the document that :func:`retrievers.split_document` cut a passage from; else the passage's own id."""
    said = passage.metadata
    source, number = said.get("source"), passage.id.rpartition("#")[2]
    cut = isinstance(said.get("start"), int) and isinstance(said.get("end"), int) and number.isdecimal()
    return source if isinstance(source, str) and cut and passage.id == f"{source}#{number}" else passage.id


@dataclass
class Changes:
    """What a corpus changed in an index: ids of documents, and numbers of passages."""

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Documents that are in the index and could not be read again."""
    unchanged: int = 0
    passages_added: int = 0
    passages_removed: int = 0

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return dict(vars(self))


def add_documents(
    retriever: Retriever, passages: Iterable[Passage], *, replace: bool = False, progress: Progress | None = None
) -> Changes:
    """Add the documents of a corpus that an index lacks; those that it has in the same words are left as they are.

    Within ``retriever.saving``, memory is bounded, and nothing is changed where this raises.

    Args:
        retriever: The index.
        passages: Those of a document stand together, as :func:`retrievers.load_corpus` gives them.
        replace: Put documents that differ in the place of those that the index has.
        progress: Is called with the number of passages read so far.

    Raises:
        ValueError: The index has other passages of a document, and ``replace`` is not set; the message names some.
            Or the passages of a document do not stand together.
    """
    held = _Held(retriever)
    return _add(
        retriever,
        passages,
        lambda new: held.passages_of({name: len(pieces) for name, pieces in new.items()}),
        replace=replace,
        progress=progress,
    )


def _add(
    retriever: Retriever,
    passages: Iterable[Passage],
    find: Callable[[Mapping[str, list[Passage]]], dict[str, list[Passage]]],
    *,
    replace: bool,
    progress: Progress | None,
) -> Changes:
    """As :func:`add_documents`; ``find`` gives the passages that the index has of documents."""
    changes = Changes()
    seen: set[str] = set()
    n_read = 0
    for slab in slabs(passages, whole=document_of):
        new: dict[str, list[Passage]] = {}
        for name, group in groupby(slab, key=document_of):
            if name in seen:
                raise ValueError(
                    f"passages of the document {name!r} come again behind those of another; give all passages of a "
                    "document one after another"
                )
            seen.add(name)
            new[name] = list(group)
        old = find(new)
        fresh: list[Passage] = []
        stale: list[str] = []
        for name, pieces in new.items():
            if name not in old:
                changes.added.append(name)
            elif _content(old[name]) == _content(pieces):
                changes.unchanged += 1
                continue
            else:
                changes.replaced.append(name)
                stale += [passage.id for passage in old[name]]
            fresh += pieces
        if replace or not changes.replaced:
            if stale:
                changes.passages_removed += retriever.remove(stale)
            if fresh:
                retriever.add(fresh)
                changes.passages_added += len(fresh)
        n_read += len(slab)
        if progress:
            progress(n_read)
    if changes.replaced and not replace:
        raise ValueError(
            f"{_documents(changes.replaced)} in another version in the index; --replace puts the new versions in their "
            "place. Nothing was changed"
        )
    return changes


def sync_documents(
    retriever: Retriever,
    passages: Iterable[Passage],
    unread: Callable[[], Collection[str]] = tuple,
    *,
    progress: Progress | None = None,
) -> Changes:
    """Make an index hold the documents of a corpus and no others.

    Args:
        retriever: The index.
        passages: As for :func:`add_documents`.
        unread: Gives, when ``passages`` have ended, ids of documents that are in the corpus but could not be read; the
            index keeps what it has of them. With ``""`` among them, an unknown one, it keeps everything.
        progress: Is called with the number of passages read so far.

    Raises:
        ValueError: No document of the index is in the corpus, which is hardly the one that was indexed. Or the
            passages of a document do not stand together.
    """
    held = _Held(retriever)
    before: dict[str, list[str]] = {}  # ids of passages by document
    for passage in retriever.passages:
        before.setdefault(document_of(passage), []).append(passage.id)
    seen: set[str] = set()

    def noting() -> Iterator[Passage]:
        for passage in passages:
            seen.add(document_of(passage))
            yield passage

    def find(new: Mapping[str, list[Passage]]) -> dict[str, list[Passage]]:
        pieces = held.find([piece for name in new for piece in before.get(name, ())])
        return {name: [pieces[id] for id in before[name] if id in pieces] for name in new if name in before}

    changes = _add(retriever, noting(), find, replace=True, progress=progress)
    gone = {name: ids for name, ids in before.items() if name not in seen}
    unreadable = unread()
    changes.kept = sorted(name for name in gone if not {"", name, _file_of(name)}.isdisjoint(unreadable))
    changes.removed = sorted(gone.keys() - set(changes.kept))
    if before and len(changes.removed) == len(before):
        raise ValueError(
            f"none of the {len(before)} documents in the index is in this corpus, such as {changes.removed[0]!r}. If "
            "that is right, index the corpus anew with `ragshap index`. Nothing was changed"
        )
    if changes.removed:
        changes.passages_removed += retriever.remove([name for document in changes.removed for name in gone[document]])
    return changes


def passage_ids(retriever: Retriever, names: Sequence[str]) -> list[str]:
    """Ids of the passages that names stand for: a passage, a document, or a table whose rows are documents.

    Raises:
        ValueError: A name is none of these; the message names it.
    """
    held = _Held(retriever)
    found = held.passages_of(dict.fromkeys(names, 1))
    ids = {name: [passage.id for passage in found[name]] for name in names if name in found}
    missing = [name for name in dict.fromkeys(names) if name not in ids]
    pieces = held.find(missing)
    ids |= {name: [name] for name in pieces}
    if missing := [name for name in missing if name not in ids]:
        for passage in retriever.passages:
            file = _file_of(document_of(passage))
            if file in missing:
                ids.setdefault(file, []).append(passage.id)
    if unknown := [name for name in missing if name not in ids]:
        more = f" (and of {len(unknown) - 1} other names neither)" if len(unknown) > 1 else ""
        raise ValueError(f"no passage with the id {unknown[0]!r} is there, and no document{more}; nothing is removed")
    return list(dict.fromkeys(one for name in names for one in ids[name]))


def _file_of(document: str) -> str:
    """The file of a row of a table, ``prices.csv:3``; the name itself if it is none."""
    file, colon, row = document.rpartition(":")
    return file if colon and row.isdecimal() else document


class _Held:
    """Finds passages of an index by id, without reading those of our own indexes one by one."""

    def __init__(self, retriever: Retriever) -> None:
        passages = retriever.passages
        self._store = passages if isinstance(passages, PassageStore) else None
        self._listed = {} if self._store is not None else {passage.id: passage for passage in passages}

    def find(self, ids: Sequence[str]) -> dict[str, Passage]:
        if self._store is None:
            return {name: self._listed[name] for name in ids if name in self._listed}
        return {name: self._store.at(position) for name, position in self._store.find(ids).items()}

    def passages_of(self, documents: Mapping[str, int]) -> dict[str, list[Passage]]:
        """The passages of those documents that are there, in the order of their numbers.

        ``documents`` says for each how many pieces are expected. The next 32 are looked for too, as single pieces may
        have been removed, and then on, 32 at a time, until there are none.
        """
        found = {name: [one] for name, one in self.find(list(documents)).items() if document_of(one) == name}
        ranges = {name: range(n_pieces + _WINDOW) for name, n_pieces in documents.items()}
        while ranges:
            pieces = self.find([f"{name}#{number}" for name, numbers in ranges.items() for number in numbers])
            going = {}
            for name, numbers in ranges.items():
                here = [pieces[piece] for number in numbers if (piece := f"{name}#{number}") in pieces]
                here = [passage for passage in here if document_of(passage) == name]
                if here:
                    found.setdefault(name, []).extend(here)
                    going[name] = range(numbers.stop, numbers.stop + _WINDOW)
            ranges = going
        return found


def _content(passages: Iterable[Passage]) -> list[str]:
    return sorted(
        json.dumps([passage.id, passage.text, passage.title, dict(passage.metadata)], sort_keys=True)
        for passage in passages
    )


def _documents(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} {'are' if len(names) > 1 else 'is'}"
