"""What `index`, `add` and `sync` have in common: the estimate, the work, and the report of what it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from rag.cli import options as opt
from rag.index_cost import IndexCost, check_room, estimate, folder_bytes, peak_memory
from rag.settings import Settings
from retrievers import Retriever
from retrievers.corpora.corpus import Corpus, load_corpus
from retrievers.corpora.skips import describe
from retrievers.corpora.stream import add_stream

T = TypeVar("T")


class Work:
    """Adds a corpus to a retriever: estimates the cost, does the work, and reports what it took.

    There is no estimate where `kind` is None, as much of the corpus may be in the index already.
    """

    def __init__(self, corpus: str, settings: Settings, kind: str | None, out: Path | None, quiet: bool) -> None:
        self.corpus, self.settings, self.out, self.quiet = corpus, settings, out, quiet
        self.estimate: IndexCost | None = None
        if kind in ("bm25", "dense", "hybrid") and out is not None:
            retriever = settings.retriever.model_copy(update={"kind": kind})
            self.estimate = estimate(corpus, settings.model_copy(update={"retriever": retriever}))
            check_room(self.estimate, out)
            if not quiet:
                opt.say(f"ragshap: {self.estimate}", err=True)

    def add_all(self, retriever: Retriever) -> None:
        """Add the corpus, none of which is in the retriever, and save the retriever."""
        self.change(retriever, lambda new, corpus, progress: add_stream(new, corpus.passages, progress))

    def change(self, retriever: Retriever, change: Callable[[Retriever, Corpus, Callable[[int], None]], T]) -> T:
        """Change a retriever by the corpus and save it; what was left out of the corpus is said, also on failure."""
        started = time.perf_counter()
        corpus = load_corpus(self.corpus, **self.settings.reading)
        self.skipped = corpus.skipped
        try:
            with opt.progress_bars(self.quiet) as progress:
                task = progress.add_task("indexing", total=self.estimate.passages if self.estimate else None)
                with nullcontext() if self.out is None else retriever.saving(self.out):
                    result = change(retriever, corpus, lambda done: progress.update(task, completed=done))
        finally:
            if corpus.skipped:
                opt.say(f"ragshap: {describe(corpus.skipped, self.corpus)}", err=True)
        self.seconds = time.perf_counter() - started
        return result

    def report(self, content: dict[str, Any], line: str, as_json: bool) -> None:
        """Print what was done, with the estimate and the actual cost in JSON."""
        if not as_json:
            opt.say(line)
            return
        used = {"peak_memory_bytes": peak_memory(), "disk_bytes": folder_bytes(self.out) if self.out else None}
        estimated = asdict(self.estimate) if self.estimate else None
        skipped = [{"where": item.where, "reason": item.reason, "document": item.document} for item in self.skipped]
        opt.print_json({**content, "skipped": skipped, "seconds": self.seconds, "estimate": estimated, "used": used})
