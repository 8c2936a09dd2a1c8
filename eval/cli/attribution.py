"""`ragshap evaluate attribution`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli.options import LAYOUTS, SearchOptions
from rag.cli.options import say, split_names

if TYPE_CHECKING:
    from eval.attribution import AttributionResult
    from eval.controlled import ControlledResult

EXAMPLE = "Example: ragshap evaluate attribution hotpotqa/dev500.jsonl --passages own --limit 100 -o results/hotpotqa"

_TABLES = {
    "Passages removed or added": ("deletion", "insertion", "deletion:votes", "insertion:votes"),
    "Log-probability without the first passages, and with these alone": (
        *("drop@1", "drop@3", "drop@5"),
        *("hold@1", "hold@3", "hold@5"),
    ),
    "Prediction and stability": ("LDS", "stability", "overlap@5"),
    "Rank correlation with reference values": (
        *("spearman:votes", "kendall:votes", "spearman:likelihood"),
        *("kendall:likelihood", "spearman:own", "kendall:own"),
    ),
    "Marked evidence": ("AP", "Rprec", "nDCG@10", "pairs.AP"),
}


def attribution(
    shared: SearchOptions,
    data: Annotated[list[str], typer.Argument(metavar="DATA…", help=LAYOUTS, show_default=False)],
    passages: Annotated[str | None, typer.Option(help="own (those of the questions) or retrieved.")] = None,
    retriever: Annotated[str | None, typer.Option(help="bm25, dense or hybrid.")] = None,
    depth: Annotated[int | None, typer.Option(min=2, help="Most passages of a question.")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(help="shapley, banzhaf@0.1:likelihood, lasso, lasso@64, attention, …; by default all."),
    ] = None,
    budget: Annotated[int | None, typer.Option(min=4, help="Coalitions that each sampled method may read.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Test all against this one; by default the first.")] = None,
    controlled: Annotated[
        bool, typer.Option("--controlled", help="Make games whose right attribution is known; --limit cases of each.")
    ] = False,
) -> None:
    """Faithfulness, agreement with exact values, and marked evidence of many ways to score passages.

    Options that take names also take several with commas between. Other settings: split, passage_words, estimator,
    seeds, measures, lasso_alpha, coalitions, reference, bm25.…, dense.…, reader.…, report.… (with --set). With
    --controlled: games, tries, estimator, lasso_alpha, reader.…, report.….
    """
    from eval.attribution import AttributionRun, evaluate_attribution
    from eval.attribution.plots import plot_curves
    from eval.controlled import ControlledRun, evaluate_controlled
    from eval.controlled.plots import plot_games

    settings = {
        "data": data,
        "passages": passages,
        "retriever": retriever,
        "depth": depth,
        "methods": split_names(methods),
        "budget": budget,
        "report": {"baseline": baseline} if baseline else None,
    }
    if controlled:
        shared.evaluate_and_show(evaluate_controlled, ControlledRun, settings, plot_games, _print_games)
    else:
        shared.evaluate_and_show(evaluate_attribution, AttributionRun, settings, plot_curves, _print_result)


def _print_games(result: ControlledResult, markdown: bool) -> None:
    from eval.cli.tables import comparison_table, legend
    from eval.controlled.summary import MEASURES

    for game, (played, tried) in result.cases.items():
        rows = [
            replace(row, metric=row.metric.split(".")[1]) for row in result.rows if row.metric.startswith(f"{game}.")
        ]
        if rows:
            say(f"{game} ({played:,} cases of {tried:,} tried), %")
            measured = [measure for measure in MEASURES if any(row.metric == measure for row in rows)]
            comparison_table(rows, measured, head="method", percent=True).print(markdown)
            say()
    say(f"{legend(result.run.report, result.run.baseline())} Low elsewhere is good; of all others, high is good.")


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
    good = "Low deletion is good; of all others, high is good." if result.curves else "High is good."
    say(f"\n{legend(result.run.report, result.run.baseline())} {good}")
