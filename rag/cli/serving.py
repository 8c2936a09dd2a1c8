"""`ragshap serve`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from rag.cli.options import Config, CorpusPath, IndexFolder, Overrides, Quiet, progress_bars, with_short


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ragshap serve --index islands.index --port 8000")(serve)


def serve(
    index: IndexFolder = None,
    corpus: CorpusPath = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. The default is 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on. The default is 8000; 0 takes a free one.")
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable that holds the bearer token. Required unless only this machine can connect."
        ),
    ] = None,
    config: Config = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
) -> None:
    """Answer over HTTP, with an explorer page.

    The service speaks the rerank protocols of Cohere, Jina and text-embeddings-inference beside its own routes.
    Without --index and --corpus, it works on the passages that come with each request. Set the other settings,
    service.…, with --set; configs/serve.yaml lists them.
    """
    from rag.service import serve as run  # so that a missing library is noticed before a reader is loaded
    from rag.service.server import listen

    with ExitStack() as held:
        with progress_bars(quiet) as progress:
            progress.add_task("loading", total=None)
            from rag.pipeline import Pipeline
            from rag.provenance import sources
            from rag.readers.loading import load_reader
            from rag.retrieval import open_retriever
            from rag.service.settings import ServeSettings
            from rag.settings_base import load_section
            from rag.threads import set_threads

            short = {"service.host": host, "service.port": port, "service.token_env": token_env}
            settings = load_section(ServeSettings, config, with_short(overrides, short))
            settings.service.token()
            listening = held.enter_context(listen(settings.service))
            own = settings.pipeline()
            set_threads(own.threads)
            retriever = (
                open_retriever(own, index=index, corpus=corpus) if index or corpus or own.retriever.is_engine else None
            )
            pipeline = Pipeline(retriever, load_reader(own.reader), own, made_with=sources(own, corpus, index))
        run(pipeline, settings.service, listening)
