"""`ragshap add`, `sync` and `remove`: change an index without rebuilding it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli import options as opt

if TYPE_CHECKING:
    from retrievers import Retriever
    from retrievers.changes import Changes
    from retrievers.corpora.corpus import Corpus

_NAMED = 5  # documents that a line names

IndexToChange = Annotated[Path, typer.Option("--index", "-i", help="The index folder to change.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: ragshap add new-notes/ --index notes.index")(opt.with_options(add))
    app.command(epilog="Example: ragshap remove old/fees.txt --index notes.index")(remove)
    app.command(epilog="Example: ragshap sync notes/ --index notes.index")(opt.with_options(sync))


def add(
    corpus: Annotated[str, typer.Argument(help="The corpus to add, in any layout that `ragshap index` reads.")],
    index: IndexToChange,
    shared: opt.ReadingOptions,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put edited documents in the place of those that the index has.")
    ] = False,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Add a corpus to an index without rebuilding it.

    Documents that the index has already are left as they are. If one of them was edited since, nothing is added unless
    --replace is given.
    """
    from retrievers.changes import add_documents

    _change(
        corpus,
        index,
        lambda retriever, opened, progress: add_documents(
            retriever, opened.passages, replace=replace, progress=progress
        ),
        config,
        opt.with_short(overrides, shared.settings()),
        as_json,
        quiet,
        estimated=True,
    )


def sync(
    folder: Annotated[str, typer.Argument(help="The corpus that the index was made of, as it is now.")],
    index: IndexToChange,
    shared: opt.ReadingOptions,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Make an index hold the documents of a folder, and no others, without rebuilding it.

    New documents are added, edited ones replaced, and those that are gone are removed. What the index has of a document
    that cannot be read now is kept.
    """
    from retrievers.changes import sync_documents

    _change(
        folder,
        index,
        lambda retriever, opened, progress: sync_documents(
            retriever, opened.passages, lambda: opened.skipped.unread, progress=progress
        ),
        config,
        opt.with_short(overrides, shared.settings()),
        as_json,
        quiet,
        estimated=False,
    )


def _change(
    corpus: str,
    index: Path,
    change: Callable[[Retriever, Corpus, Callable[[int], None]], Changes],
    config: str | None,
    overrides: list[str],
    as_json: bool,
    quiet: bool,
    *,
    estimated: bool,
) -> None:
    """Change an index by a corpus, and report the changes."""
    from rag.cli.work import Work
    from rag.report.wording import count
    from rag.settings import load_settings
    from rag.threads import set_threads
    from retrievers import load_index
    from retrievers.storage.index_folder import read_manifest

    settings = load_settings(config, overrides)
    set_threads(settings.threads)
    with _changing(index):
        # The existing files are linked with their checksums, so that a search still finds damage to them.
        retriever = load_index(index, verify=False)
        work = Work(corpus, settings, read_manifest(index).kind if estimated else None, index, quiet)
        changes = work.change(retriever, change)
    parts = [
        f"{len(names)} {what} ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})"
        for what, names in (
            ("added", changes.added),
            ("replaced", changes.replaced),
            ("removed", changes.removed),
            ("kept though unreadable now", changes.kept),
        )
        if names
    ]
    if changes.unchanged or not parts:
        parts.append(f"{changes.unchanged} unchanged")
    work.report(
        {
            "index": str(index),
            "added": changes.passages_added,
            "removed": changes.passages_removed,
            "passages": len(retriever),
            "documents": changes.to_dict(),
        },
        f"documents: {'; '.join(parts)}. {count(changes.passages_added, 'passage')} added"
        + (f", {changes.passages_removed:,} removed" if changes.passages_removed else "")
        + f" in {work.seconds:.1f} s: {index} holds {len(retriever)}",
        as_json,
    )


def remove(
    index: IndexToChange,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Documents, such as fees.txt, or ids of passages.", metavar="NAME...")
    ] = None,
    file: Annotated[Path | None, typer.Option("--ids", help="A file with one name on each line.")] = None,
    as_json: opt.Json = False,
) -> None:
    """Remove documents or passages from an index without rebuilding it.

    Nothing is removed if the index lacks one of them.
    """
    from rag.report.wording import count
    from retrievers import load_index
    from retrievers.changes import passage_ids

    listed = [] if file is None else [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [*(ids or []), *listed]
    if not names:
        raise typer.BadParameter("give documents or ids of passages, or a file with them (--ids)", param_hint="NAME")
    with _changing(index):
        retriever = load_index(index, verify=False)
        n_removed = retriever.remove(passage_ids(retriever, names))
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
