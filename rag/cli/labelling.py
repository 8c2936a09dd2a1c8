"""`ragshap label`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rag.cli import options as opt


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: ragshap label questions.jsonl --index wiki.index --out labelled.json")(label)


def label(
    questions: Annotated[
        list[Path],
        typer.Argument(
            metavar="QUESTIONS…",
            help="Questions with accepted answers, in any layout that `ragshap evaluate qa` reads.",
            exists=True,
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the labelled questions, as SQuAD JSON.")],
    index: opt.IndexFolder = None,
    corpus: opt.CorpusPath = None,
    depth: Annotated[int, typer.Option(min=1, help="Look for answers in the first passages, this many.")] = 10,
    limit: Annotated[int | None, typer.Option(min=1, help="Draw at most this many questions at random.")] = None,
    most: Annotated[int, typer.Option(min=1, help="Keep at most this many passages for a question.")] = 2,
    likely: Annotated[
        float, typer.Option(max=0.0, help="Keep a passage if the log-probability of its answer is at least this.")
    ] = -3.0,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Find passages that answer questions of which only the answers are known.

    A passage is kept if it holds an accepted answer and the reader, given this passage alone, finds that answer likely.
    """
    opt.check_output(out, "--out")
    with opt.progress_bars(quiet) as progress:
        from rag.questions import draw_questions, load_questions
        from rag.readers.loading import load_reader
        from rag.retrieval import open_retriever
        from rag.settings import load_settings
        from rag.threads import set_threads
        from rag.training.labels import as_squad, find_labels
        from retrievers.storage.atomic import replace_text

        settings = load_settings(config, overrides or [])
        set_threads(settings.threads)
        asked = [question for question in load_questions(questions).questions if question.answers]
        if not asked:
            raise ValueError("no question has an accepted answer; nothing can be labelled")
        asked = draw_questions(asked, limit, seed=0)
        retriever = open_retriever(settings, corpus=corpus, index=index)
        bar = progress.add_task("labelling", total=len(asked))
        found = find_labels(
            asked,
            retriever,
            load_reader(settings.reader),
            depth=depth,
            most=most,
            likely=likely,
            progress=lambda done, _: progress.update(bar, completed=done),
        )
        labelled = [labels for labels in found if labels]
    labels = [label for labels in labelled for label in labels]
    replace_text(out, json.dumps(as_squad(labels), ensure_ascii=False) + "\n")
    if as_json:
        opt.print_json({"out": str(out), "questions": len(asked), "labelled": len(labelled), "labels": len(labels)})
        return
    opt.say(f"{len(labelled):,} of {len(asked):,} questions labelled, with {len(labels):,} passages: {out}")
