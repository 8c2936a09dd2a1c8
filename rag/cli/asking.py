"""`ragshap ask` and `ragshap explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag.cli import options as opt

if TYPE_CHECKING:
    from rag.answer import Answer

Html = Annotated[Path | None, typer.Option("--html", help="Also write the explanation to this file, as one HTML page.")]
Passages = Annotated[int | None, typer.Option("-k", min=1, help="Number of passages to retrieve.")]
Level = Annotated[str | None, typer.Option("--level", help="Attribute the answer to each passage, sentence or word.")]
QuestionWords = Annotated[
    bool, typer.Option("--question-words", help="Also attribute the answer to the words of the question.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and ask the reader nothing.")]
Budget = Annotated[int | None, typer.Option("--budget", help="Number of coalitions to evaluate.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog='Example: ragshap ask "When did the tunnel to Sandoy open?" --index islands.index --html why.html'
    )(ask)
    app.command(epilog='Example: ragshap explain "Who built the Bell Rock lighthouse?" --passages mine.jsonl')(explain)


def ask(
    question: opt.Question,
    index: opt.IndexFolder = None,
    corpus: opt.CorpusPath = None,
    html: Html = None,
    k: Passages = None,
    level: Level = None,
    question_words: QuestionWords = False,
    budget: Budget = None,
    dry_run: DryRun = False,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Answer a question and say which passages the answer comes from."""
    opt.check_question(question)
    opt.check_output(html, "--html")
    with opt.progress_bars(quiet) as progress:
        from rag.pipeline import Pipeline

        changes = _settings(overrides, k, level, budget, question_words)
        with Pipeline.from_config(config, corpus=corpus, index=index, overrides=changes) as pipeline:
            if dry_run:
                return _say_cost(pipeline.rehearse(question, pipeline.search(question)), as_json)
            answer = pipeline.ask(question, progress=opt.stage_progress(progress))
    _show(answer, as_json, html)


def explain(
    question: opt.Question,
    passages: Annotated[str, typer.Option("--passages", "-p", help="Your passages: JSONL, TSV, a folder, …")],
    answer: Annotated[
        str | None,
        typer.Option("--answer", "-a", help="An answer that you have, or a file that holds it, to explain instead."),
    ] = None,
    span: Annotated[
        list[str] | None,
        typer.Option(
            "--span",
            metavar="START:END|WORDS",
            help="Part of the answer to explain: its characters, or words that it holds once. May be repeated.",
        ),
    ] = None,
    level: Level = None,
    question_words: QuestionWords = False,
    html: Html = None,
    budget: Budget = None,
    dry_run: DryRun = False,
    config: opt.Config = None,
    overrides: opt.Overrides = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the answer as Markdown, with citations such as [1][2].")
    ] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Attribute an answer, the reader's or your own, to passages that you bring."""
    opt.check_question(question)
    opt.check_output(html, "--html")
    if as_markdown and as_json:
        raise typer.BadParameter("give one of --markdown and --json", param_hint="--markdown")
    with opt.progress_bars(quiet) as progress:
        from rag.explanation.spans import parse_span
        from rag.pipeline import Pipeline
        from rag.provenance import sources
        from rag.readers.loading import load_reader
        from rag.settings import load_settings
        from rag.threads import set_threads
        from retrievers import load_corpus

        settings = load_settings(config, _settings(overrides, None, level, budget, question_words))
        set_threads(settings.threads)
        own = list(load_corpus(passages, **settings.reading))
        reader = load_reader(settings.reader)
        with Pipeline(None, reader, settings, made_with=sources(settings, passages)) as pipeline:
            spans = [parse_span(one) for one in span] if span else None
            if dry_run:
                return _say_cost(pipeline.rehearse(question, own, answer=_given(answer), spans=spans), as_json)
            bars = opt.stage_progress(progress)
            explained = pipeline.explain(question, own, answer=_given(answer), spans=spans, progress=bars)
    _show(explained, as_json, html, as_markdown)


def _say_cost(coalitions: int, as_json: bool) -> None:
    """Print the bound on what is asked; what it costs was logged if it costs anything."""
    if as_json:
        opt.print_json({"coalitions": coalitions, "warnings": list(opt.heard)})
    else:
        opt.say(f"At most {coalitions:,} coalitions would be asked about; nothing was asked.")


def _given(answer: str | None) -> str | None:
    """Return an answer as given, or what the file of that name holds."""
    try:
        if answer is None or not Path(answer).is_file():
            return answer
    except (OSError, ValueError):  # too long for a name, or not one at all
        return answer
    try:
        return Path(answer).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{answer} is no text in UTF-8: {error}") from None


def _settings(
    overrides: list[str] | None, k: int | None, level: str | None, budget: int | None, question_words: bool
) -> list[str]:
    """Return the overrides with the settings that the short options stand for."""
    short = {
        "retriever.passages": k,
        "hierarchy.level": level,
        "hierarchy.question": question_words or None,
        "attribution.budget": budget,
    }
    return opt.with_short(overrides, short)


def _show(answer: Answer, as_json: bool, html: Path | None, as_markdown: bool = False) -> None:
    if html is not None:
        from retrievers.storage.atomic import replace_text

        replace_text(html, answer.to_html())
    if as_json:
        content = answer.to_dict()
        opt.print_json({**content, "warnings": [*content["warnings"], *opt.heard]})
        return
    if as_markdown:
        opt.say(answer.to_markdown().rstrip())
        return
    from rich.console import Console

    from rag.report import print_answer

    print_answer(answer, Console())
    if html is not None:
        opt.say(f"Explanation page: {html}", err=True)
