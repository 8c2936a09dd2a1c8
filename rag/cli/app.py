"""The command's frame: subcommands, exit codes, and errors as one clear line."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from rag.cli import asking, doctor, indexing, mcp, reranking, serving, training
from rag.cli.options import say

_LONGEST = 2000  # characters of an error, which may repeat what was read

app = typer.Typer(
    name="ragshap",
    help="Question answering that knows why it answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)
indexing.register(app)
asking.register(app)
reranking.register(app)
training.register(app)
for commands in ("eval.cli.evaluate", "eval.cli.benchmark"):  # by name: `rag` does not depend on `eval`
    import_module(commands).register(app)
serving.register(app)
mcp.register(app)
doctor.register(app)


class _Notices(logging.Handler):
    """Prints what the package has to say on standard error."""

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
    """Run the command; exits with 0 when done, 1 when it failed, 2 when it was used wrongly."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command with arguments; returns the exit code."""
    from rag.settings_base import SettingsError

    try:
        app(arguments)
    except SystemExit as done:
        return int(done.code or 0)
    except SettingsError as error:
        return _fail(str(error), 2)
    except (ValueError, OSError, ImportError) as error:
        return _fail(str(error) or type(error).__name__, 1)
    return 0


def _fail(message: str, code: int) -> int:
    say(f"ragshap: {message if len(message) <= _LONGEST else f'{message[:_LONGEST]}…'}", err=True)
    return code
