"""`ragshap evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rag.cli.attribution import EXAMPLE as ATTRIBUTION_EXAMPLE
from rag.cli.attribution import attribution
from rag.cli.options import Json, Overrides, Quiet, print_json, progress_bars, stage_progress, write_text
from rag.cli.retrieval import EXAMPLE, retrieval

evaluate = typer.Typer(no_args_is_help=True, help="Measure retrieval, answers and explanations.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(evaluate, name="evaluate")
    evaluate.command(epilog="Example: ragshap evaluate qa examples/islands -k 5 -k 20")(qa)
    evaluate.command(epilog=EXAMPLE)(retrieval)
    evaluate.command(epilog=ATTRIBUTION_EXAMPLE)(attribution)
    evaluate.command(epilog="Example: ragshap evaluate suite model-card --root data --out results")(suite)
    evaluate.command(epilog="Example: ragshap evaluate report bench --out bench")(report)


def qa(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA…",
            help="SQuAD, DPR/FiD, HotpotQA or MuSiQue JSON, or a BEIR folder with answers in its queries' metadata.",
            show_default=False,
        ),
    ],
    passages: Annotated[str | None, typer.Option(help="gold, own, hard or retrieved.")] = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", min=1, help="Answer from the first K passages; repeatable.")
    ] = None,
    pool: Annotated[list[str] | None, typer.Option(help="Search these files' passages too; repeatable.")] = None,
    index: Annotated[str | None, typer.Option("--index", "-i", help="Search this index instead.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many questions, drawn at random.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write all answers and settings as JSON.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Exact match and F1 of the reader's answers, by number of passages.

    The passages are those marked as gold, the question's own, gold ones among hard negatives, or retrieved ones. Other
    settings: kind=answerable|unanswerable|all, ids=odd|even|all, seed, retriever.…, reader.… (with --set).
    """
    with progress_bars(quiet) as progress:
        from eval.qa import QARun, evaluate_qa
        from rag.settings import load_section

        given = {"data": data, "passages": passages, "k": k, "pool": pool, "index": index, "limit": limit}
        base = {key: value for key, value in given.items() if value is not None}
        run = load_section(QARun, None, overrides or [], base=base)
        bar = stage_progress(progress)
        result = evaluate_qa(run, progress=lambda done, total: bar("asking", done, total))
    if out is not None:
        result.save(out)
    if as_json:
        print_json(result.to_dict())
        return
    content = result.to_dict()
    _print_rows([content])
    if result.left_out and run.passages in ("gold", "hard"):
        typer.echo(f"{result.left_out} questions left out: their answer stands whole in no passage")


def suite(
    config: Annotated[str, typer.Argument(help="A YAML file of runs, or model-card.", metavar="FILE")],
    root: Annotated[Path, typer.Option(help="Folder that the runs' paths are relative to.")] = Path(),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for one JSON file per run.")] = Path("results"),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Several evaluations from one file; run again after a stop, it keeps what is finished."""
    with progress_bars(quiet) as progress:
        from eval.suite import markdown as table
        from eval.suite import run_suite

        results = run_suite(config, root, out, overrides=overrides or [], progress=stage_progress(progress))
    if as_json:
        print_json([{key: value for key, value in result.items() if key != "questions"} for result in results])
    elif markdown:
        typer.echo(table(results))
    else:
        _print_rows(results)


def report(
    config: Annotated[str, typer.Argument(help="A YAML file of sections, or bench.", metavar="FILE")],
    root: Annotated[Path, typer.Option(help="Folder of data that the commands name {data}.")] = Path(),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and each command's results.")] = Path(
        "report"
    ),
    quiet: Quiet = False,
) -> None:
    """Run several measurements and show them on one HTML page, each with the command that makes it again."""
    with progress_bars(quiet) as progress:
        from eval.report import ReportFile, make_report, render_report
        from rag.settings import load_section

        file = load_section(ReportFile, config)
        bar = stage_progress(progress)
        made = make_report(file, root, out, lambda _, done, total: bar("measuring", done, total))
        write_text(out / "index.html", render_report(made))
    typer.echo(f"{out / 'index.html'}: {len(made.parts)} sections")


def _print_rows(results: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    named = any(result["settings"]["name"] for result in results)
    for name in (["setting"] if named else []) + ["passages", "questions", "exact match", "F1", "no answer", "recall",
                                                  "encode", "answer"]:  # fmt: skip
        table.add_column(name, justify="left" if name == "setting" else "right")
    for result in results:
        for row in result["rows"]:
            cells = [
                str(row["k"] or "all"),
                f"{row['questions']:,}",
                f"{row['exact_match']:.1f} ±{row['exact_match_error'] or 0:.1f}",
                f"{row['f1']:.1f} ±{row['f1_error'] or 0:.1f}",
                f"{row['no_answer']:.1f} %",
                "–" if row["recall"] is None else f"{row['recall']:.1f} %",
                f"{1000 * row['encode']:.0f} ms",
                f"{1000 * row['answer']:.0f} ms",
            ]
            table.add_row(*([result["settings"]["name"]] if named else []), *cells)
    Console().print(table)
