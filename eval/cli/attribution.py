"""`ragshap evaluate attribution`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.cli.tables import print_table, stars
from rag.cli.options import (
    Address,
    CorpusPath,
    DrawSeed,
    Engine,
    Even,
    Json,
    Limit,
    Markdown,
    Odd,
    Overrides,
    Pool,
    Qrels,
    Quiet,
    ResultsFolder,
    SearchedIndex,
    Workers,
    chosen_executor,
    chosen_ids,
    given_values,
    print_json,
    progress_bars,
    say,
    split_names,
    stage_progress,
)

if TYPE_CHECKING:
    from eval.attribution import AttributionResult
    from eval.comparison import Row

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
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA…",
            help="A BEIR folder; SQuAD, DPR/FiD, HotpotQA, MuSiQue or NQ-open JSON; a .tsv of topics or PopQA.",
            show_default=False,
        ),
    ],
    passages: Annotated[str | None, typer.Option(help="own (those of the questions) or retrieved.")] = None,
    retriever: Annotated[str | None, typer.Option(help="bm25, dense or hybrid.")] = None,
    depth: Annotated[int | None, typer.Option(min=2, help="At most so many passages.")] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(help="shapley, banzhaf@0.1:likelihood, lasso, attention, random, …; by default all."),
    ] = None,
    budget: Annotated[int | None, typer.Option(min=4, help="Coalitions that each sampled method may read.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Test all against this one; by default the first.")] = None,
    qrels: Qrels = None,
    index: SearchedIndex = None,
    corpus: CorpusPath = None,
    pool: Pool = None,
    odd: Odd = False,
    even: Even = False,
    limit: Limit = None,
    seed: DrawSeed = None,
    out: ResultsFolder = None,
    markdown: Markdown = False,
    overrides: Overrides = None,
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Faithfulness, agreement with exact values, and marked evidence of many ways to score passages.

    Options that take names also take several with commas between. Other settings: split, passage_words, estimator,
    seeds, lasso_alpha, coalitions, reference, bm25.…, dense.…, reader.…, report.… (with --set).
    """
    given: dict[str, Any] = {
        "data": data,
        "passages": passages,
        "retriever": retriever,
        "depth": depth,
        "methods": split_names(methods),
        "budget": budget,
        "qrels": qrels,
        "index": index,
        "corpus": corpus,
        "pool": pool,
        "ids": chosen_ids(odd, even),
        "limit": limit,
        "seed": seed,
        "report": given_values({"baseline": baseline}) or None,
    }
    with progress_bars(quiet) as progress:
        from eval.attribution import AttributionRun, evaluate_attribution
        from eval.attribution.plots import plot_curves
        from eval.plotting import figure_class
        from rag.settings_base import load_section

        run = load_section(AttributionRun, None, overrides or [], base=given_values(given))
        if out is not None:
            figure_class()
        executor = chosen_executor(engine, address, workers, run.reader.device.startswith("cuda"))
        result = evaluate_attribution(run, out, progress=stage_progress(progress), executor=executor)
    if out is not None:
        result.save(out / "result.json")
        plot_curves(result.curves, out)
    if as_json:
        print_json(result.to_dict())
        return
    _print_result(result, markdown)
    if out is not None:
        say(f"{out}: result.json, questions.jsonl, curves.png, curves.svg")


def _print_result(result: AttributionResult, markdown: bool) -> None:
    for title, metrics in _TABLES.items():
        rows = [row for row in result.rows if row.metric in metrics]
        if rows:
            say(f"{title} ({max(row.questions for row in rows):,} questions)")
            _print_rows(rows, [metric for metric in metrics if any(row.metric == metric for row in rows)], markdown)
            say()
    say("Cost of each alone, per question")
    lines = [[name, f"{cost.evaluations:,.0f}", f"{cost.seconds:.2f}"] for name, cost in result.costs.items()]
    print_table(["method", "coalitions", "seconds"], lines, markdown)
    report = result.run.report
    say(
        f"\n±: half the {100 * report.confidence:g} % bootstrap interval. In brackets: less {result.run.baseline()}; "
        "* p < 0.05, ** p < 0.01, paired randomisation, Holm-corrected. Low deletion is good, of all else high."
    )
    for warning in result.warnings:
        say(warning)


def _print_rows(rows: Sequence[Row], metrics: Sequence[str], markdown: bool) -> None:
    lines = []
    for method in dict.fromkeys(row.system for row in rows):
        own = {row.metric: row for row in rows if row.system == method}
        lines.append([method, *(_cell(own[metric]) if metric in own else "–" for metric in metrics)])
    print_table(["method", *metrics], lines, markdown)


def _cell(row: Row) -> str:
    """Mean and half the width of its interval; the difference, with stars where it is significant."""
    text = f"{row.mean:.3f} ±{(row.high - row.low) / 2:.3f}"
    if row.difference is None or row.p_holm is None:
        return text
    return f"{text} ({row.difference:+.3f}{stars(row.p_holm)})"
