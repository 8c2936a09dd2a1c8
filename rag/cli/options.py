"""The options that several commands share, and how commands print."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from rag.scale import Executor

Question = Annotated[str, typer.Argument(help="The question.", metavar="QUESTION", show_default=False)]
Config = Annotated[
    str | None,
    typer.Option("--config", "-c", help="Settings: a YAML file, or one of default, quality, gpu and endpoint."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Change one setting, such as attribution.budget=500. May be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars.")]
IndexFolder = Annotated[Path | None, typer.Option("--index", "-i", help="An index folder that `ragshap index` made.")]
CorpusPath = Annotated[
    str | None,
    typer.Option("--corpus", help="A corpus to index in memory instead: a folder of documents, BEIR, JSONL, …"),
]

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Work in this process, or spread the work with Ray; see docs/cluster.md."),
]
Address = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of a Ray cluster, or auto. Without it, Ray is started here and stopped afterwards."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes that Ray starts. The default is one per CPU or GPU.")
]


heard: list[str] = []
"""What was left out of corpora that were read for another purpose than indexing, for `--json`."""

_CONTROL = re.compile("[\x7f-\x9f]")  # JSON escapes those below U+0020 only


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Progress]:
    """Show progress on standard error, unless `quiet` is set or standard error is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

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
    """Return a callback `(stage, done, total)` that keeps one bar for each stage."""
    tasks: dict[str, Any] = {}

    def update(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage, total=total)
        progress.update(tasks[stage], completed=done, total=total)

    return update


def silence_libraries() -> None:
    """Keep the progress bars and reports of `transformers` from between the user and the answer.

    It reads these variables when it is imported, which takes seconds and is left to the code that needs it.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if (loaded := sys.modules.get("transformers.utils.logging")) is not None:
        loaded.set_verbosity_error()
        loaded.disable_progress_bar()


def check_question(question: str) -> str:
    """Return a question that has at least one word, in UTF-8; anything else is an error of use."""
    from rag.readers.base import check_question

    try:
        return check_question(question)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="QUESTION") from None


def check_output(path: Path | None, option: str, *, makes_folder: bool = False) -> None:
    """Refuse a path to which no file can be written, before any work is done."""
    if path is None:
        return
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; give a file", param_hint=option)
    if not makes_folder and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}; make it, or give another", param_hint=option)


def split_names(names: Sequence[str] | None) -> list[str] | None:
    """Return the names that an option was given, one at a time or separated by commas."""
    return None if names is None else [part.strip() for name in names for part in name.split(",") if part.strip()]


def given_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given a value."""
    return {key: value for key, value in values.items() if value is not None}


def with_short(overrides: Sequence[str] | None, short: Mapping[str, Any]) -> list[str]:
    """Return the short options that were given, by the setting they stand for, after those of --set: they win."""
    return [*(overrides or []), *(f"{key}={_yaml(value)}" for key, value in given_values(short).items())]


def _yaml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class ReadingOptions:
    """Options of the commands that read a corpus; each is the setting of its name in the section `corpus`."""

    format: Annotated[
        str | None,
        typer.Option(
            help="Layout of the corpus: beir, jsonl, json, dpr, table, squad, folder or hf.", show_default=False
        ),
    ] = None
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of text files, such as cp1252. The default is UTF-8.")
    ] = None
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse a corpus of which something cannot be read, instead of leaving it out."),
    ] = False
    include: Annotated[
        list[str] | None, typer.Option(help='Read only these files of a folder, such as "*.md". May be repeated.')
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option(help='Leave these files of a folder out, such as "drafts/*". May be repeated.')
    ] = None
    id_field: Annotated[str | None, typer.Option(help="Field or column that holds the ids.")] = None
    text_field: Annotated[str | None, typer.Option(help="Field or column that holds the texts.")] = None
    title_field: Annotated[str | None, typer.Option(help="Field or column that holds the titles.")] = None

    def settings(self) -> dict[str, Any]:
        """Those that were given, for `with_short`."""
        return {f"corpus.{key}": value for key, value in vars(self).items() if value}


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes, for its parameter `shared`, the fields of that parameter's dataclass as options."""
    hints = get_type_hints(command, include_extras=True)
    shared = hints.pop("shared")
    more = get_type_hints(shared, include_extras=True)
    own = [one for name, one in inspect.signature(command).parameters.items() if name != "shared"]

    @wraps(command)
    def with_shared(**values: Any) -> None:
        command(shared=shared(**{name: values.pop(name) for name in more}), **values)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name]) for one in own]
    parameters += [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=more[one.name])
        for one in fields(shared)
    ]
    with_shared.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_shared.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_shared


def chosen_executor(engine: str, address: str | None, workers: int | None, gpu: bool | None = False) -> Executor:
    """Return the executor that --engine, --address and --workers ask for; `gpu` is passed to `RayExecutor`."""
    from rag.scale import LocalExecutor, RayExecutor

    if engine == "ray":
        return RayExecutor(address, workers, gpu)
    if address is not None or workers is not None:
        raise typer.BadParameter("--address and --workers need --engine ray")
    return LocalExecutor()


def say(text: str = "", *, err: bool = False) -> None:
    """Print a line, with every character that could act on the terminal replaced."""
    from rag.report.text import harmless

    typer.echo(harmless(text), err=err)


def print_json(content: Any) -> None:
    """Print JSON to standard output as UTF-8, with control characters escaped."""
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    text = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    sys.stdout.flush()
