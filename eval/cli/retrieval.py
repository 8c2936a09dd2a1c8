"""`ragshap evaluate retrieval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.cli.options import LAYOUTS, SearchOptions
from rag.cli.options import given_values, print_json, say, split_names

if TYPE_CHECKING:
    from eval.retrieval import RetrievalResult
    from eval.retrieval.summary import RetrievalRow

EXAMPLE = (
    "Example: ragshap evaluate retrieval examples/islands --rerank shapley,relevance --limit 20 -o results/islands"
)

_COMPARING = ("overrides", "markdown", "as_json", "quiet")  # shared options that go with --compare


def retrieval(
    shared: SearchOptions,
    data: Annotated[list[str] | None, typer.Argument(metavar="DATA…", help=LAYOUTS, show_default=False)] = None,
    retriever: Annotated[
        list[str] | None,
        typer.Option(help="bm25, dense, hybrid, a search engine, or own (the order of the questions' own passages)."),
    ] = None,
    trec: Annotated[list[str] | None, typer.Option("--run", help="A TREC run; repeatable.")] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="Scores: relevance, shapley, shapley:graded, banzhaf:likelihood, … and each with +rrf."),
    ] = None,
    depth: Annotated[list[int] | None, typer.Option(min=1, help="Rerank this many first passages; repeatable.")] = None,
    k: Annotated[list[int] | None, typer.Option("-k", min=1, help="Recall at K; AUC up to the largest.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Measures by qrels in ir_measures' notation, such as nDCG@10.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Test all systems against this one; by default each against what it reranks.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Compare two result.json files instead.")
    ] = None,
) -> None:
    """Recall and other measures of retrieved passages, before and after reranking by attribution.

    Options that take names also take several with commas between. Other settings: split, passage_words, rrf_k, bm25.…,
    dense.…, reader.…, attribution.…, report.… (with --set).
    """
    if (data is None) == (compare is None):
        raise typer.BadParameter("give either DATA or --compare with two files")
    if compare is not None:
        own = {"retriever": retriever, "run": trec, "rerank": rerank, "depth": depth, "k": k, "metric": metric}
        _compare(*compare, shared, {**own, "baseline": baseline})
        return
    from eval.retrieval import RetrievalRun, evaluate_retrieval
    from eval.retrieval.plots import plot_curves

    report = {"k": k, "metrics": split_names(metric), "baseline": baseline}
    settings = {
        "data": data,
        "retrievers": split_names(retriever),
        "runs": trec,
        "rerank": split_names(rerank),
        "depth": depth,
        "report": given_values(report) or None,
    }
    shared.evaluate_and_show(evaluate_retrieval, RetrievalRun, settings, plot_curves, _print_result)


def _compare(first: Path, second: Path, shared: SearchOptions, given: Mapping[str, Any]) -> None:
    left = {one.name: getattr(shared, one.name) != one.default for one in fields(shared) if one.name not in _COMPARING}
    if unused := [name for name, is_given in {**given, **left}.items() if is_given]:
        named = ", ".join(f"-{name}" if len(name) == 1 else f"--{name}" for name in unused)
        raise typer.BadParameter(f"--compare reads two finished results, in which {named} can change nothing")
    from eval.retrieval import compare
    from eval.retrieval.settings import ReportSettings
    from rag.settings_base import load_section

    rows, warnings = compare(first, second, load_section(ReportSettings, None, shared.overrides or []))
    if shared.as_json:
        print_json({"rows": [asdict(row) for row in rows], "warnings": warnings})
        return
    _print_rows(rows, {}, shared.markdown)
    for warning in warnings:
        say(warning)


def _print_result(result: RetrievalResult, markdown: bool) -> None:
    from eval.cli.tables import legend

    _print_rows(result.rows, result.evaluations, markdown)
    report = result.run.report
    say(f"\n{len(result.ids):,} questions, percentages. {legend(report, report.baseline or 'the order reranked')}")


def _print_rows(rows: Sequence[RetrievalRow], evaluations: Mapping[str, float], markdown: bool) -> None:
    from eval.cli.tables import comparison_table

    headroom = {row.system: f"{row.headroom:.2f}" for row in rows if row.headroom is not None}
    coalitions = {system: f"{count:,.0f}" for system, count in evaluations.items()}
    columns = {"headroom": headroom, "coalitions": coalitions}
    more = {head: column for head, column in columns.items() if column}
    metrics = list(dict.fromkeys(row.metric for row in rows))
    comparison_table(rows, metrics, head="system", percent=True, more=more).print(markdown)
