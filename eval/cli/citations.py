"""`ragshap evaluate citations`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli.options import MeasuringOptions
from rag.cli import options as opt

if TYPE_CHECKING:
    from eval.citations import CitationsResult

EXAMPLE = "Example: ragshap evaluate citations squad/dev-v2.0.json --limit 60 -o results/citations"


@dataclass(frozen=True)
class CitationsOptions(MeasuringOptions):
    """The same, where a question is a composed answer."""

    limit: Annotated[int | None, typer.Option(min=1, help="How many answers are composed.")] = None


def citations(
    shared: CitationsOptions,
    data: Annotated[
        list[str], typer.Argument(metavar="DATA…", help="SQuAD JSON of whole articles.", show_default=False)
    ],
    budget: Annotated[int | None, typer.Option(min=4, help="Coalitions evaluated for each answer.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results. A stopped run continues from it.")
    ] = None,
) -> None:
    """Composed answers: is the right passage first for each sentence, and is a made-up sentence marked unsupported?

    An answer has two to four sentences, each from another passage of an article, and one sentence from a passage that
    is not read. Other settings: distractors, seed, attribution.…, reader.… (with --set).
    """
    from eval.citations import CitationsRun, evaluate_citations

    settings = {"data": data, "attribution": None if budget is None else {"budget": budget}}
    result = shared.evaluate(evaluate_citations, CitationsRun, settings, out, draws=lambda run: False)
    if out is not None:
        result.save(out / "result.json")
    shared.show(result, _print_result)


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
