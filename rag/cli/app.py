"""The command's frame: subcommands that are imported when they are used, exit codes, and errors as one clear line."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from rag.cli.options import heard, say
from ragshap import PACKAGES, check_packages

_LONGEST = 2000  # characters of an error, which may repeat what was read
_CHECKOUT_ONLY = "eval.own_tables"  # stays out of the wheel

# The module whose `register` adds the command, and the command's line in the list. The modules of `eval` are named
# as text because `rag` must not depend on `eval`.
_COMMANDS = {
    "index": ("rag.cli.indexing", "Build an index of a corpus."),
    "add": ("rag.cli.changing", "Add a corpus to an index."),
    "remove": ("rag.cli.changing", "Remove documents or passages from an index."),
    "sync": ("rag.cli.changing", "Make an index hold what a folder holds."),
    "search": ("rag.cli.indexing", "Find passages, without an answer."),
    "ask": ("rag.cli.asking", "Answer a question and say which passages the answer comes from."),
    "explain": ("rag.cli.asking", "Attribute an answer to passages that you bring."),
    "rerank": ("rag.cli.reranking", "Rerank the results of any search engine by attribution."),
    "train": ("rag.cli.training", "Train a reader."),
    "label": ("rag.cli.labelling", "Find passages that answer questions, to train a reader on them."),
    "serve": ("rag.cli.serving", "Answer over HTTP, with an explorer page."),
    "mcp": ("rag.cli.mcp", "Serve search, ask and explain to assistants as MCP tools."),
    "doctor": ("rag.cli.doctor", "Check whether everything works here, and say what to do."),
    "evaluate": ("eval.cli.evaluate", "Measure retrieval, answers and explanations."),
    "benchmark": ("eval.cli.benchmark", "Measure speed against the alternatives."),
}


class _LazyGroup(TyperGroup):
    """Knows its commands by name and one line; imports the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and _load(name), rest


@cache
def _load(name: str) -> Any:
    """The command of that name, out of all that its module registers."""
    module, _ = _COMMANDS[name]
    if name != "doctor":  # which reports what is wrong with the packages
        check_packages(*PACKAGES, module.partition(".")[0])
    registered = typer.Typer(rich_markup_mode=None)
    import_module(module).register(registered)
    return get_group(registered).commands[name]


app = typer.Typer(
    name="ragshap",
    cls=_LazyGroup,
    help="Question answering that knows why it answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
for _name, (_, _line) in _COMMANDS.items():
    app.command(_name, short_help=_line)(lambda: None)


class _Notices(logging.Handler):
    """Prints the package's own log messages on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"ragshap: {record.getMessage()}", err=True)


logging.getLogger("rag").addHandler(_Notices())


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"ragshap {version('ragshap')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Question answering that knows why it answers."""


def main() -> None:
    """Run the command and exit: with 0 when it is done, 1 when it failed, 2 when it was used wrongly."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with arguments and return the exit code."""
    try:
        with _corpus_warnings():
            app(arguments)
    except SystemExit as done:
        return int(done.code or 0)
    except (ValueError, OSError, ImportError, MemoryError) as error:
        return _fail(error)
    return 0


@contextmanager
def _corpus_warnings() -> Iterator[None]:
    """Print what is left out of a corpus as one line, and keep it for `--json`."""
    heard.clear()
    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.filterwarnings("always", message="left out of ")

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if category.__name__ != "CorpusWarning":  # its package is not imported before it is known to be ours
                others(message, category, *where, **more)
                return
            heard.append(str(message))
            say(f"ragshap: {message}", err=True)

        warnings.showwarning = show
        yield


def _fail(error: Exception) -> int:
    """Print an error as one line and return its exit code."""
    from rag.settings_base import SettingsError

    message = str(error) or type(error).__name__
    code = 2 if isinstance(error, SettingsError) else 1
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith(_CHECKOUT_ONLY):
        message, code = "this command needs a checkout of the repository", 2
    say(f"ragshap: {message if len(message) <= _LONGEST else f'{message[:_LONGEST]}…'}", err=True)
    return code
