"""Options that several commands share, and what stands behind them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from retrievers.storage.atomic import replace_file

if TYPE_CHECKING:
    from rag.scale import Executor

Question = Annotated[str, typer.Argument(help="The question.", metavar="QUESTION", show_default=False)]
Config = Annotated[
    str | None, typer.Option("--config", "-c", help="YAML settings: a file, or default, quality, gpu or endpoint.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override a setting, such as attribution.budget=500; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
IndexFolder = Annotated[Path | None, typer.Option("--index", "-i", help="Index folder made by `ragshap index`.")]
CorpusPath = Annotated[
    str | None,
    typer.Option("--corpus", help="Corpus to index in memory instead: a folder of .txt and .md, BEIR, JSONL, …"),
]

Pool = Annotated[list[str] | None, typer.Option(help="Search these files' passages too; repeatable.")]
Odd = Annotated[bool, typer.Option("--odd", help="Only questions whose id ends in an odd number.")]
Even = Annotated[bool, typer.Option("--even", help="Only questions whose id ends in an even number.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many questions, drawn at random.")]
DrawSeed = Annotated[int | None, typer.Option(min=0, help="Of that draw.")]
Qrels = Annotated[str | None, typer.Option(help="TREC or BEIR judgements.")]
SearchedIndex = Annotated[str | None, typer.Option("--index", "-i", help="Search this index.")]
ResultsFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for results, plots, and what a stopped run goes on from.")
]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")]

Engine = Annotated[
    Literal["local", "ray"], typer.Option(help="Work in this process, or spread by Ray; see docs/cluster.md.")
]
Address = Annotated[
    str | None,
    typer.Option(help="A Ray cluster's HOST:PORT, or auto; without it, Ray runs here while the command does."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that Ray spreads the work over; by default one per CPU or GPU.")
]


_CONTROL = re.compile("[\x7f-\x9f]")  # JSON escapes those below U+0020 only


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Progress]:
    """Progress on standard error; nothing when quiet or when standard error is no terminal."""
    silence_libraries()
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        yield progress


def stage_progress(progress: Progress) -> Any:
    """A `progress(stage, done, total)` callback that keeps one bar per stage."""
    tasks: dict[str, Any] = {}

    def update(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage, total=total)
        progress.update(tasks[stage], completed=done, total=total)

    return update


def silence_libraries() -> None:
    """No progress bars or reports of `transformers` between the user and the answer.

    Where it is not imported yet, it will read the environment; a search by words never imports it.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if "transformers" in sys.modules:
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()


def check_question(question: str) -> str:
    """A question with at least one word; anything else is wrong use."""
    if not question.strip():
        raise typer.BadParameter("the question is empty; ask something", param_hint="QUESTION")
    return question


def split_names(names: Sequence[str] | None) -> list[str] | None:
    """Names given one by one or with commas between."""
    return None if names is None else [part.strip() for name in names for part in name.split(",") if part.strip()]


def given_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {key: value for key, value in values.items() if value is not None}


def chosen_ids(odd: bool, even: bool) -> str | None:
    """What --odd and --even choose; None for neither."""
    if odd and even:
        raise typer.BadParameter("give one of --odd and --even")
    return "odd" if odd else "even" if even else None


def chosen_executor(engine: str, address: str | None, workers: int | None, gpu: bool | None = False) -> Executor:
    """What --engine, --address and --workers ask for; `gpu` as `RayExecutor` takes it."""
    from rag.scale import LocalExecutor, RayExecutor

    if engine == "ray":
        return RayExecutor(address, workers, gpu)
    if address is not None or workers is not None:
        raise typer.BadParameter("--address and --workers go with --engine ray")
    return LocalExecutor()


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line of any origin; what could act on the terminal is replaced."""
    from rag.report.text import harmless

    typer.echo(harmless(text), err=err)


def print_json(content: Any) -> None:
    """Print JSON to standard output, whatever the terminal's encoding, control characters spelt out."""
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    text = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    sys.stdout.flush()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
