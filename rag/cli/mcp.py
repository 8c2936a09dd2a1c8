"""`ragshap mcp`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import typer

from rag.cli.options import Config, CorpusPath, IndexFolder, Overrides, silence_libraries


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ragshap mcp --index islands.index")(mcp)


def mcp(
    index: IndexFolder = None, corpus: CorpusPath = None, config: Config = None, overrides: Overrides = None
) -> None:
    """Serve search, ask and explain to assistants as MCP tools.

    The protocol runs over standard input and output.
    """
    with redirect_stdout(sys.stderr):  # nothing but the protocol may be written to standard output
        from rag.adapters.mcp import build_server
        from rag.pipeline import Pipeline

        silence_libraries()
        pipeline = Pipeline.from_config(config, corpus=corpus, index=index, overrides=overrides or [])
        server = build_server(pipeline)
    with pipeline:
        server.run()
