"""`ragshap evaluate attribution`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli.options import LAYOUTS, SearchOptions
from rag.cli.options import say, split_names

if TYPE_CHECKING:
    from eval.attribution import AttributionResult

EXAMPLE = "Example: ragshap evaluate attribution hotpotqa/dev500.jsonl --passages own --limit 100 -o results/hotpotqa"

_TABLES = {
    "Passages removed or added": ("deletion", "insertion", "deletion:votes", "insertion:votes"),
    "Drop of log-probability, prediction and stability": (
        *("drop@1", "drop@3", "drop@5"),
        *("LDS", "stability", "overlap@5"),
    ),
    "Rank correlation with reference values": (
        *("spearman:votes", "kendall:votes", "spearman:likelihood"),
        *("kendall:likelihood", "spearman:own", "kendall:own"),
    ),
    "Marked evidence": ("AP", "Rprec", "pairs.AP"),
}


def attribution(
    shared: SearchOptions,
    data: Annotated[list[str], typer.Argument(metavar="DATA…", help=LAYOUTS, show_default=False)],
    passages: Annotated[str | None, typer.Option(help="own (those of the questions) or retrieved.")] = None,
    retriever: Annotated[str | None, typer.Option(help="bm25, dense or hybrid.")] = None,
    depth: Annotated[int | None, typer.Option(min=2, help="Most passages of a question.")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(help="shapley, banzhaf@0.1:likelihood, lasso, attention, random, …; by default all."),
    ] = None,
    budget: Annotated[int | None, typer.Option(min=4, help="Coalitions that each sampled method may read.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Test all against this one; by default the first.")] = None,
) -> None:
    """Faithfulness, agreement with exact values, and marked evidence of many ways to score passages.

    Options that take names also take several with commas between. Other settings: split, passage_words, estimator,
    seeds, lasso_alpha, coalitions, reference, bm25.…, dense.…, reader.…, report.… (with --set).
    """
    from eval.attribution import AttributionRun, evaluate_attribution
    from eval.attribution.plots import plot_curves

    settings = {
        "data": data,
        "passages": passages,
        "retriever": retriever,
        "depth": depth,
        "methods": split_names(methods),
        "budget": budget,
        "report": {"baseline": baseline} if baseline else None,
    }
    shared.evaluate_and_show(evaluate_attribution, AttributionRun, settings, plot_curves, _print_result)


def _print_result(result: AttributionResult, markdown: bool) -> None:
    from eval.cli.tables import comparison_table, legend
    from eval.tables import Table

    for title, metrics in _TABLES.items():
        rows = [row for row in result.rows if row.metric in metrics]
        if rows:
            say(f"{title} ({max(row.questions for row in rows):,} questions)")
            measured = [metric for metric in metrics if any(row.metric == metric for row in rows)]
            comparison_table(rows, measured, head="method").print(markdown)
            say()
    say("Cost of each alone, per question")
    costs = [[name, f"{cost.evaluations:,.0f}", f"{cost.seconds:.2f}"] for name, cost in result.costs.items()]
    Table(["method", "coalitions", "seconds"], costs).print(markdown)
    say(f"\n{legend(result.run.report, result.run.baseline())} Low deletion is good; of all others, high is good.")
