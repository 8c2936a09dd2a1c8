"""`ragshap evaluate citations`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli.options import Markdown
from rag.cli import options as opt

if TYPE_CHECKING:
    from eval.citations import CitationsResult

EXAMPLE = "Example: ragshap evaluate citations squad/dev-v2.0.json --limit 60 -o results/citations"


def citations(
    data: Annotated[
        list[str], typer.Argument(metavar="DATA…", help="SQuAD JSON of whole articles.", show_default=False)
    ],
    limit: Annotated[int | None, typer.Option(min=1, help="How many answers are composed.")] = None,
    budget: Annotated[int | None, typer.Option(min=4, help="Coalitions evaluated for each answer.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results. A stopped run continues from it.")
    ] = None,
    markdown: Markdown = False,
    overrides: opt.Overrides = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Composed answers: is the right passage first for each sentence, and is a made-up sentence marked unsupported?

    An answer has two to four sentences, each from another passage of an article, and one sentence from a passage that
    is not read. Other settings: distractors, seed, attribution.…, reader.… (with --set).
    """
    from eval.citations import CitationsRun, evaluate_citations
    from rag.settings_base import load_section

    given = opt.given_values({"data": data, "limit": limit})
    with opt.progress_bars(quiet) as progress:
        changes = opt.with_short(overrides, {"attribution.budget": budget})
        run = load_section(CitationsRun, None, changes, base=given)
        executor = opt.chosen_executor(engine, address, workers, run.reader.device.startswith("cuda"))
        result = evaluate_citations(run, out, progress=opt.stage_progress(progress), executor=executor)
    if out is not None:
        result.save(out / "result.json")
    if as_json:
        opt.print_json(result.to_dict())
        return
    _print_result(result, markdown)


def _print_result(result: CitationsResult, markdown: bool) -> None:
    from eval.tables import Table

    rows = [
        [share.what, f"{share.percent:.1f}%", f"{share.low:.1f}–{share.high:.1f}", f"{share.count} of {share.of}"]
        for share in result.shares
    ]
    Table(["sentences", "share", "95% interval", "count"], rows).print(markdown)
    opt.say(
        f"\n{result.cases} answers of {result.run.reader.checkpoint}, {result.passages:.1f} passages named for a "
        f"sentence taken from one, {result.seconds:.1f} s for each answer"
    )
    for warning in result.warnings:
        opt.say(warning)
