"""`ragshap index`, `add`, `remove` and `search`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.cli import options as opt

if TYPE_CHECKING:
    from rag.index_cost import IndexCost
    from rag.settings import Settings
    from retrievers import Retriever
    from retrievers.dense.recall import Recall

IndexToChange = Annotated[Path, typer.Option("--index", "-i", help="The index folder to change.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: ragshap index examples/islands --out islands.index")(index)
    app.command(epilog="Example: ragshap add new-notes/ --index notes.index")(add)
    app.command(epilog="Example: ragshap remove faroe-tunnels-2 --index islands.index")(remove)
    app.command(epilog='Example: ragshap search "tunnel to Sandoy" --index islands.index')(search)


def index(
    corpus: Annotated[
        str,
        typer.Argument(help="A BEIR folder, JSONL, TSV, SQuAD JSON, a folder of .txt and .md files, or hf:NAME."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write the index to. Milvus needs none.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of index: bm25, dense, hybrid or milvus.")] = None,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Build an index of a corpus."""
    from rag.report.wording import count
    from rag.retrieval import new_retriever
    from rag.scale.encoding import SpreadEncoder
    from rag.settings import load_settings
    from rag.threads import set_threads

    settings = load_settings(config, opt.with_short(overrides, {"retriever.kind": kind or None}))
    if out is None and not settings.retriever.is_engine:
        raise typer.BadParameter("give the folder to write the index to", param_hint="--out")
    executor = opt.chosen_executor(engine, address, workers, gpu=None)
    if executor.remote and settings.retriever.kind not in ("dense", "hybrid"):
        raise typer.BadParameter("Ray can only spread the encoding of dense and hybrid indexes", param_hint="--engine")
    set_threads(settings.threads)
    work = _Work(corpus, settings, settings.retriever.kind, out, quiet)
    retriever = new_retriever(
        settings.retriever, SpreadEncoder(settings.retriever.dense.encoder, executor) if executor.remote else None
    )
    work.add_to(retriever)
    place, recall = retriever if out is None else out, _recall(retriever)
    work.report(
        {
            "index": None if out is None else str(out),
            "kind": settings.retriever.kind,
            "passages": len(retriever),
            "recall": recall.to_dict() if recall else None,
        },
        f"{count(len(retriever), 'passage')} indexed ({settings.retriever.kind}) in {work.seconds:.1f} s: {place}"
        + (f"\n{recall}" if recall else ""),
        as_json,
    )


def add(
    corpus: Annotated[str, typer.Argument(help="The corpus to add, in any layout that `ragshap index` reads.")],
    index: IndexToChange,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Add a corpus to an index without rebuilding it.

    Nothing is added if the index already holds one of the ids.
    """
    from rag.report.wording import count
    from rag.settings import load_settings
    from rag.threads import set_threads
    from retrievers import load_index
    from retrievers.storage.index_folder import read_manifest

    settings = load_settings(config, overrides or [])
    set_threads(settings.threads)
    with _changing(index):
        # The existing files are linked with their checksums, so that a search still finds damage to them.
        retriever = load_index(index, verify=False)
        n_before = len(retriever)
        work = _Work(corpus, settings, read_manifest(index).kind, index, quiet)
        work.add_to(retriever)
    n_added = len(retriever) - n_before
    work.report(
        {"index": str(index), "added": n_added, "passages": len(retriever)},
        f"{count(n_added, 'passage')} added in {work.seconds:.1f} s: {index} holds {len(retriever)}",
        as_json,
    )


def remove(
    index: IndexToChange,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of the passages to remove.", metavar="ID...")] = None,
    file: Annotated[Path | None, typer.Option("--ids", help="A file with one id on each line.")] = None,
    as_json: opt.Json = False,
) -> None:
    """Remove passages from an index without rebuilding it.

    Nothing is removed if the index lacks one of the ids.
    """
    from rag.report.wording import count
    from retrievers import load_index

    listed = [] if file is None else [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [*(ids or []), *listed]
    if not names:
        raise typer.BadParameter("give the ids of the passages, or a file with them (--ids)", param_hint="ID")
    with _changing(index):
        retriever = load_index(index, verify=False)
        n_removed = retriever.remove(names)
        retriever.save(index)
    if as_json:
        opt.print_json({"index": str(index), "removed": n_removed, "passages": len(retriever)})
    else:
        opt.say(f"{count(n_removed, 'passage')} removed: {index} holds {len(retriever)}")


@contextmanager
def _changing(index: Path) -> Iterator[None]:
    """Lock an index before it is opened, so that no other writer's change is lost."""
    from retrievers.storage.index_folder import read_manifest
    from retrievers.storage.locks import writing

    read_manifest(index)
    with writing(index):
        yield


def _recall(retriever: Retriever) -> Recall | None:
    """The measured recall of the approximate index in a retriever, None if there is no such index."""
    measured = (getattr(member, "recall", None) for member in getattr(retriever, "retrievers", (retriever,)))
    return next((recall for recall in measured if recall is not None), None)


class _Work:
    """Adds a corpus to a retriever: estimates the cost, does the work, and reports what it took."""

    def __init__(self, corpus: str, settings: Settings, kind: str, out: Path | None, quiet: bool) -> None:
        from rag.index_cost import check_room, estimate

        self.corpus, self.settings, self.out, self.quiet = corpus, settings, out, quiet
        self.estimate: IndexCost | None = None
        if kind in ("bm25", "dense", "hybrid") and out is not None:
            retriever = settings.retriever.model_copy(update={"kind": kind})
            self.estimate = estimate(corpus, settings.model_copy(update={"retriever": retriever}))
            check_room(self.estimate, out)
            if not quiet:
                opt.say(f"ragshap: {self.estimate}", err=True)

    def add_to(self, retriever: Retriever) -> None:
        """Add the corpus and save the retriever."""
        from retrievers import load_corpus
        from retrievers.corpora.stream import add_stream

        started = time.perf_counter()
        with opt.progress_bars(self.quiet) as progress:
            task = progress.add_task("indexing", total=self.estimate.passages if self.estimate else None)
            passages = load_corpus(self.corpus, passage_words=self.settings.passage_words)
            with nullcontext() if self.out is None else retriever.saving(self.out):
                add_stream(retriever, passages, lambda done: progress.update(task, completed=done))
        self.seconds = time.perf_counter() - started

    def report(self, content: dict[str, Any], line: str, as_json: bool) -> None:
        """Print what was done, with the estimate and the actual cost in JSON."""
        from rag.index_cost import folder_bytes, peak_memory

        if not as_json:
            opt.say(line)
            return
        used = {"peak_memory_bytes": peak_memory(), "disk_bytes": folder_bytes(self.out) if self.out else None}
        estimated = asdict(self.estimate) if self.estimate else None
        opt.print_json({**content, "seconds": self.seconds, "estimate": estimated, "used": used})


def search(
    question: opt.Question,
    index: opt.IndexFolder = None,
    corpus: opt.CorpusPath = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of passages to find.")] = 10,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Find the passages that a question needs, without answering it."""
    from rich.console import Console

    from rag.report import print_hits
    from rag.retrieval import open_retriever
    from rag.settings import load_settings

    opt.check_question(question)
    with opt.progress_bars(quiet):
        retriever = open_retriever(load_settings(config, overrides or []), corpus=corpus, index=index)
        hits = retriever.search(question, k)
    if as_json:
        rows = [
            {
                "rank": rank,
                "id": hit.passage.id,
                "score": hit.score,
                "title": hit.passage.title,
                "text": hit.passage.text,
            }
            for rank, hit in enumerate(hits, 1)
        ]
        opt.print_json({"question": question, "passages": rows})
    else:
        print_hits(hits, Console())
