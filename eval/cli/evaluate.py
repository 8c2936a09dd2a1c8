"""`ragshap evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eval.cli.attribution import EXAMPLE as ATTRIBUTION_EXAMPLE
from eval.cli.attribution import attribution
from eval.cli.citations import EXAMPLE as CITATIONS_EXAMPLE
from eval.cli.citations import citations
from eval.cli.qa import QA_EXAMPLE, SUITE_EXAMPLE, qa, suite
from eval.cli.retrieval import EXAMPLE, retrieval
from rag.cli import options as opt

evaluate = typer.Typer(no_args_is_help=True, help="Measure retrieval, answers and explanations.", rich_markup_mode=None)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(evaluate, name="evaluate")
    evaluate.command(epilog=QA_EXAMPLE)(opt.with_options(qa))
    evaluate.command(epilog=EXAMPLE)(opt.with_options(retrieval))
    evaluate.command(epilog=ATTRIBUTION_EXAMPLE)(opt.with_options(attribution))
    evaluate.command(epilog=CITATIONS_EXAMPLE)(opt.with_options(citations))
    evaluate.command(epilog=SUITE_EXAMPLE)(suite)
    evaluate.command(epilog="Example: ragshap evaluate report bench --out bench")(report)


def report(
    config: Annotated[str, typer.Argument(help="A YAML file of sections, or bench.", metavar="FILE")],
    root: Annotated[Path, typer.Option(help="Folder of data that the commands name {data}.")] = Path(),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and each command's results.")] = Path(
        "report"
    ),
    quiet: opt.Quiet = False,
) -> None:
    """Run several measurements and show them on one HTML page, each with the command that makes it again."""
    with opt.progress_bars(quiet) as progress:
        from eval.report import ReportFile, make_report, render_report
        from rag.settings_base import load_section
        from retrievers.storage.atomic import replace_text

        file = load_section(ReportFile, config)
        bar = opt.stage_progress(progress)
        made = make_report(file, root, out, lambda _, done, total: bar("measuring", done, total))
        replace_text(out / "index.html", render_report(made))
    opt.say(f"{out / 'index.html'}: {len(made.parts)} sections")
