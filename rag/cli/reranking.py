"""`ragshap rerank`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli import options as opt

if TYPE_CHECKING:
    from rag.offline import RunTask, Task
    from rag.offline.writing import Rerank
    from rag.settings import Settings
    from retrievers import Passage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: ragshap rerank --queries topics.tsv --run theirs.trec --index notes.index --out ours.trec"
    )(rerank)


def rerank(
    contexts: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="DPR/FiD JSON (question, answers, ctxs), instead of --queries.", show_default=False
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(
            help="The questions: a BEIR folder, its queries.jsonl, a question file, or topics (.tsv, SGML, XML)."
        ),
    ] = None,
    trec: Annotated[
        Path | None, typer.Option("--run", help="The TREC run to rerank. Without it, the index or corpus is searched.")
    ] = None,
    index: opt.IndexFolder = None,
    corpus: opt.CorpusPath = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write: a TREC run, or DPR/FiD JSON if the input is.")
    ] = ...,  # type: ignore[assignment]
    depth: Annotated[
        int | None, typer.Option(min=1, help="Rerank the first passages, this many. The default is retriever.passages.")
    ] = None,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Rerank the results of any search engine by what each passage contributes to the reader's answer.

    If --queries is a BEIR folder and neither --index nor --corpus is given, the corpus of that folder is used. A
    stopped run continues when the same command is given again. The output file appears when it is complete.
    """
    if (contexts is None) == (queries is None):
        raise typer.BadParameter("give either a DPR/FiD file or --queries")
    if contexts is not None and (trec or index or corpus):
        raise typer.BadParameter("a DPR/FiD file brings its passages; leave out --run, --index and --corpus")
    if out.suffix == ".gz":
        raise typer.BadParameter("the output is not compressed; leave out .gz")
    opt.check_output(out, "--out", makes_folder=True)
    if queries is not None and index is None and corpus is None and queries.is_dir():
        corpus = str(queries)
    with opt.progress_bars(quiet) as progress:
        from rag.offline import ContextsTask, rerank_file
        from rag.provenance import made_with
        from rag.settings import load_settings
        from rag.threads import set_threads

        settings = load_settings(config, overrides or [])
        executor = opt.chosen_executor(engine, address, workers, settings.reader.on_gpu)
        set_threads(settings.threads)
        first = depth or settings.retriever.passages
        warnings: list[str] = []
        task: Task
        if queries is None:
            assert contexts is not None
            task = ContextsTask(contexts, first)
        else:
            task, warnings = _run_task(settings, queries, trec, index, corpus, first)
        named = [("input", contexts), ("queries", queries), ("run", trec), ("index", index), ("corpus", corpus)]
        files = ((name, Path(path)) for name, path in named if path is not None)
        made = {**made_with(settings.model_dump(mode="json"), settings.reader, files), "depth": first}
        bar = progress.add_task("reranking", total=task.total)
        make_rerank = partial(_reranker, settings, made["reader"])
        warnings += rerank_file(
            task, make_rerank, out, made, lambda done, _: progress.update(bar, completed=done), executor
        )
    if as_json:
        opt.print_json({"out": str(out), "questions": task.total, "depth": first, "warnings": warnings})
        return
    for line in warnings:
        opt.say(line)
    opt.say(f"{task.total:,} questions reranked, the first {first} passages of each: {out}")


def _reranker(settings: Settings, checksum: str) -> Rerank:
    from rag.rerank import Reranker
    from rag.scale.readers import load_same_reader
    from rag.threads import set_threads

    set_threads(settings.threads)
    reader = load_same_reader(settings.reader, checksum)
    return Reranker(reader, settings).attribute


def _run_task(
    settings: Settings, queries: Path, trec: Path | None, index: Path | None, corpus: str | None, depth: int
) -> tuple[RunTask, list[str]]:
    from rag.offline import RunTask
    from rag.offline.run import read_queries
    from rag.retrieval import open_retriever
    from rag.settings_base import SettingsError
    from retrievers import load_corpus, load_index

    texts, notes = read_queries(queries)
    if trec is None:
        retriever = open_retriever(settings, corpus=corpus, index=index)
        return RunTask.of_search(texts, lambda text: retriever.search(text, depth)), notes
    if (index is None) == (corpus is None):
        raise SettingsError("give either an index (--index) or a corpus (--corpus), one of the two")
    passages: Sequence[Passage]
    if index is not None:
        passages = load_index(index).passages
    else:
        assert corpus is not None
        passages = list(load_corpus(corpus, **settings.reading))
    task, warnings = RunTask.of_run(trec, texts, passages, depth)
    return task, [*notes, *warnings]
