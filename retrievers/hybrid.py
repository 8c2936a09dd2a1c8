"""Several retrievers as one: reciprocal rank fusion."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from retrievers.base import RRF_K, LocalRetriever, Progress, Retriever, check_queries, fuse
from retrievers.errors import IndexFormatError
from retrievers.loading import load_index
from retrievers.passage import Hit, Passage
from retrievers.storage.index_folder import MANIFEST_FILE, new_index, open_index, read_manifest
from retrievers.storage.passage_store import PassageStore, check_new, distinct_ids
from retrievers.storage.undo import Undoable


class HybridRetriever(LocalRetriever):
    """Adds up 1 / (rrf_k + rank) over the retrievers that find a passage (Cormack, Clarke and Büttcher 2009).

    Of passages with equal sums, the one comes first that the first retriever ranks higher, or else the
    second, and so on.

    Args:
        retrievers: At least one, all holding the same passages.
        rrf_k: Damps the weight of the first ranks.
        depth: How many hits of each retriever are fused, or ``k`` if a search asks for more.

    Raises:
        ValueError: There is no retriever, they differ in size, or a setting is out of range.
    """

    kind = "hybrid"

    def __init__(self, retrievers: Sequence[Retriever], *, rrf_k: float = RRF_K, depth: int = 100) -> None:
        """See the class."""
        if not retrievers:
            raise ValueError("a hybrid needs at least one retriever")
        if len(counts := {len(retriever) for retriever in retrievers}) > 1:
            raise ValueError(f"the retrievers must hold the same passages, but hold {sorted(counts)} of them")
        if not 0 <= rrf_k < float("inf"):
            raise ValueError(f"rrf_k must not be negative and must be finite, got {rrf_k}")
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.retrievers = tuple(retrievers)
        self._rrf_k, self._depth = rrf_k, depth

    @property
    def passages(self) -> Sequence[Passage]:
        """All passages, in the order in which they were added."""
        return self.retrievers[0].passages

    def search_many(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """For each query the ``k`` passages of the highest fused score, best first.

        Raises:
            ValueError: A query is blank, or ``k`` is not a whole number from 1 on.
        """
        check_queries(queries, k)
        by_retriever = [retriever.search_many(queries, max(k, self._depth)) for retriever in self.retrievers]
        return [fuse(rankings, self._rrf_k)[:k] for rankings in zip(*by_retriever, strict=True)]

    def add(self, passages: Iterable[Passage | str], *, progress: Progress | None = None) -> None:
        """Add passages to every retriever; ``progress`` follows the last of them.

        Raises:
            ValueError: An id is there already or occurs twice.
        """
        new = check_new(passages, len(self), self._find)
        *others, last = self._undoable_first()
        with self.all_or_nothing():
            for retriever in others:
                retriever.add(new)
            last.add(new, progress=progress)

    def remove(self, ids: Iterable[str]) -> int:
        """Remove passages from every retriever, and return how many.

        Raises:
            ValueError: An id is not there.
        """
        names = distinct_ids(ids)
        with self.all_or_nothing():
            for retriever in self._undoable_first():
                retriever.remove(names)
        return len(names)

    def _undoable_first(self) -> list[Retriever]:
        """Search engines come last: what they have changed cannot be undone when another retriever fails."""
        return sorted(self.retrievers, key=lambda retriever: not isinstance(retriever, Undoable))

    def _find(self, ids: Sequence[str]) -> Collection[str]:
        """Those of some ids that a retriever of ours holds; search engines are not asked."""
        stores = (retriever.passages for retriever in self.retrievers if isinstance(retriever, Undoable))
        return next((store.find(ids) for store in stores if isinstance(store, PassageStore)), ())

    @contextmanager
    def saving(self, folder: str | Path) -> Iterator[None]:
        """Write an index folder with one index folder per retriever in it, and what is added meanwhile as it comes.

        Their passage files are one file on disk where the file system can link, copies elsewhere.
        """
        members = [f"{number}-{type(retriever).__name__}" for number, retriever in enumerate(self.retrievers)]
        settings = {"rrf_k": self._rrf_k, "depth": self._depth, "members": members}
        with self.all_or_nothing(), new_index(folder, self.kind, settings, self.__len__) as building:
            with ExitStack() as parts:
                for member, retriever in zip(members, self.retrievers, strict=True):
                    parts.enter_context(retriever.saving(building / member))
                yield
            for member in members[1:]:
                _share(building / members[0], building / member)

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> HybridRetriever:
        """Open an index folder.

        Raises:
            FileNotFoundError: There is no such folder.
            IndexFormatError: The index or one of those in it cannot be used.
        """
        manifest = open_index(folder, cls.kind, verify=verify)
        settings = manifest.settings
        try:
            if outside := [name for name in settings["members"] if f"{name}/{MANIFEST_FILE}" not in manifest.files]:
                raise IndexFormatError(
                    f"{folder}: {outside[0]!r} is no index in this folder; run `ragshap index` again"
                )
            retrievers = [load_index(Path(folder) / member, verify=verify) for member in settings["members"]]
            return cls(retrievers, rrf_k=settings["rrf_k"], depth=settings["depth"])
        except (KeyError, TypeError) as error:
            raise IndexFormatError(f"{folder}: the settings in the manifest cannot be used: {error}") from error

    def __len__(self) -> int:
        """Number of passages."""
        return len(self.retrievers[0])


def _share(original: Path, copy: Path) -> None:
    """Make the passage files of the index ``copy`` hard links to equal ones of the index ``original``."""
    files, others = read_manifest(original).files, read_manifest(copy).files
    for name, entry in files.items():
        if not name.startswith("passages-") or others.get(name) != entry:
            continue
        link = copy / f"{name}.link"
        try:
            os.link(original / name, link)
        except OSError:  # not every file system can
            return
        os.replace(link, copy / name)
