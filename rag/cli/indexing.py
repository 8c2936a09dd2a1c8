"""`ragshap index` and `search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag.cli import options as opt

if TYPE_CHECKING:
    from retrievers import Retriever
    from retrievers.dense.recall import Recall


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: ragshap index examples/islands --out islands.index")(opt.with_options(index))
    app.command(epilog='Example: ragshap search "tunnel to Sandoy" --index islands.index')(search)


def index(
    corpus: Annotated[
        str,
        typer.Argument(help="A folder of documents, a BEIR folder, JSONL, JSON, CSV, TSV, SQuAD JSON, or hf:NAME."),
    ],
    shared: opt.ReadingOptions,
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
    from rag.cli.work import Work
    from rag.report.wording import count
    from rag.retrieval import new_retriever
    from rag.scale.encoding import SpreadEncoder
    from rag.settings import load_settings
    from rag.threads import set_threads

    settings = load_settings(config, opt.with_short(overrides, {"retriever.kind": kind or None, **shared.settings()}))
    if out is None and not settings.retriever.is_engine:
        raise typer.BadParameter("give the folder to write the index to", param_hint="--out")
    executor = opt.chosen_executor(engine, address, workers, gpu=None)
    if executor.remote and settings.retriever.kind not in ("dense", "hybrid"):
        raise typer.BadParameter("Ray can only spread the encoding of dense and hybrid indexes", param_hint="--engine")
    set_threads(settings.threads)
    work = Work(corpus, settings, settings.retriever.kind, out, quiet)
    retriever = new_retriever(
        settings.retriever, SpreadEncoder(settings.retriever.dense.encoder, executor) if executor.remote else None
    )
    replaced = _replaced(out)
    if replaced:
        opt.say(
            f"ragshap: {out} holds an index ({replaced['kind']}, {replaced['passages']:,} passages), which this one "
            "replaces",
            err=True,
        )
    work.add_all(retriever)
    place, recall = retriever if out is None else out, _recall(retriever)
    work.report(
        {
            "index": None if out is None else str(out),
            "kind": settings.retriever.kind,
            "passages": len(retriever),
            "recall": recall.to_dict() if recall else None,
            "replaced": replaced,
        },
        f"{count(len(retriever), 'passage')} indexed ({settings.retriever.kind}) in {work.seconds:.1f} s: {place}"
        + (f"\n{recall}" if recall else ""),
        as_json,
    )


def _replaced(out: Path | None) -> dict[str, Any] | None:
    """Kind and size of the index in a folder, None if there is none that can be opened."""
    from retrievers.errors import IndexFormatError
    from retrievers.storage.index_folder import read_manifest

    try:
        manifest = read_manifest(out) if out is not None and out.exists() else None
    except (FileNotFoundError, IndexFormatError):
        return None
    return None if manifest is None else {"kind": manifest.kind, "passages": manifest.passages}


def _recall(retriever: Retriever) -> Recall | None:
    """The measured recall of the approximate index in a retriever, None if there is no such index."""
    measured = (getattr(member, "recall", None) for member in getattr(retriever, "retrievers", (retriever,)))
    return next((recall for recall in measured if recall is not None), None)


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
                "metadata": dict(hit.passage.metadata),
            }
            for rank, hit in enumerate(hits, 1)
        ]
        opt.print_json({"question": question, "passages": rows, "warnings": opt.heard})
    else:
        print_hits(hits, Console())
