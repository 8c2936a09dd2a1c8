"""`ragshap index` and `ragshap search`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from rag.cli.options import (
    Address,
    Config,
    CorpusPath,
    Engine,
    IndexFolder,
    Json,
    Overrides,
    Question,
    Quiet,
    Workers,
    check_question,
    chosen_executor,
    print_json,
    progress_bars,
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: ragshap index examples/islands --out islands.index")(index)
    app.command(epilog='Example: ragshap search "tunnel to Sandoy" --index islands.index')(search)


def index(
    corpus: Annotated[
        str,
        typer.Argument(help="Corpus: a BEIR folder, JSONL, TSV, SQuAD JSON, .txt and .md files, hf:NAME."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write the index to; not needed for milvus.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="bm25, dense, hybrid or milvus.")] = None,
    config: Config = None,
    overrides: Overrides = None,
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build an index of a corpus."""
    from rag.pipeline import build_retriever
    from rag.readers.loading import set_threads
    from rag.scale.encoding import SpreadEncoder
    from rag.settings import load_settings
    from retrievers import load_corpus

    settings = load_settings(config, [*(overrides or []), *([f"retriever.kind={kind}"] if kind else [])])
    if out is None and not settings.retriever.is_engine:
        raise typer.BadParameter("give the folder to write the index to", param_hint="--out")
    executor = chosen_executor(engine, address, workers, gpu=None)
    if executor.remote and settings.retriever.kind not in ("dense", "hybrid"):
        raise typer.BadParameter("ray spreads the encoding of dense and hybrid indexes alone", param_hint="--engine")
    set_threads(settings.threads)
    started = time.perf_counter()
    with progress_bars(quiet) as progress:
        task = progress.add_task("indexing", total=None)
        retriever = build_retriever(
            load_corpus(corpus, passage_words=settings.passage_words),
            settings.retriever,
            progress=lambda done: progress.update(task, completed=done),
            encoder=SpreadEncoder(settings.retriever.dense.encoder, executor) if executor.remote else None,
        )
        if out is not None:
            retriever.save(out)
    seconds = time.perf_counter() - started
    if as_json:
        print_json(
            {
                "index": None if out is None else str(out),
                "kind": settings.retriever.kind,
                "passages": len(retriever),
                "seconds": seconds,
            }
        )
    else:
        place = retriever if out is None else out
        typer.echo(f"{len(retriever)} passages indexed ({settings.retriever.kind}) in {seconds:.1f} s: {place}")


def search(
    question: Question,
    index: IndexFolder = None,
    corpus: CorpusPath = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of passages.")] = 10,
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Retrieve passages only."""
    from rich.console import Console

    from rag.pipeline import open_retriever
    from rag.report import print_hits
    from rag.settings import load_settings

    check_question(question)
    with progress_bars(quiet):
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
        print_json({"question": question, "passages": rows})
    else:
        print_hits(hits, Console())
