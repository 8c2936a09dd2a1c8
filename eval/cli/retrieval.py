"""`ragshap evaluate retrieval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
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
    from eval.retrieval import RetrievalResult
    from eval.retrieval.summary import RetrievalRow

EXAMPLE = (
    "Example: ragshap evaluate retrieval examples/islands --rerank shapley,relevance --limit 20 -o results/islands"
)


def retrieval(
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA…",
            help="A BEIR folder; SQuAD, DPR/FiD, HotpotQA, MuSiQue or NQ-open JSON; a .tsv of topics or PopQA.",
            show_default=False,
        ),
    ] = None,
    retriever: Annotated[
        list[str] | None,
        typer.Option(help="bm25, dense, hybrid, a search engine, or own (the order of the questions' own passages)."),
    ] = None,
    trec: Annotated[list[str] | None, typer.Option("--run", help="A TREC run; repeatable.")] = None,
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="Scores: relevance, shapley, shapley:positive, banzhaf:likelihood, … and each with +rrf."),
    ] = None,
    depth: Annotated[list[int] | None, typer.Option(min=1, help="Rerank the first so many; repeatable.")] = None,
    k: Annotated[list[int] | None, typer.Option("-k", min=1, help="Recall at K; AUC up to the largest.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Measures by qrels in ir_measures' notation, such as nDCG@10.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Test all systems against this one; by default each against what it reranks.")
    ] = None,
    qrels: Qrels = None,
    index: SearchedIndex = None,
    corpus: CorpusPath = None,
    pool: Pool = None,
    odd: Odd = False,
    even: Even = False,
    limit: Limit = None,
    seed: DrawSeed = None,
    out: ResultsFolder = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(metavar="A B", help="Compare two result.json files instead.")
    ] = None,
    markdown: Markdown = False,
    overrides: Overrides = None,
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Recall and other measures of retrieved passages, before and after reranking by attribution.

    Options that take names also take several with commas between. Other settings: split, passage_words, rrf_k, bm25.…,
    dense.…, reader.…, attribution.…, report.… (with --set).
    """
    if (data is None) == (compare is None):
        raise typer.BadParameter("give either DATA or --compare with two files")
    if compare is not None:
        _compare(*compare, overrides or [], markdown, as_json)
        return
    report = {"k": k, "metrics": split_names(metric), "baseline": baseline}
    given: dict[str, Any] = {
        "data": data,
        "retrievers": split_names(retriever),
        "runs": trec,
        "rerank": split_names(rerank),
        "depth": depth,
        "retrieve": max([*k, *(depth or [20])]) if k else None,
        "qrels": qrels,
        "index": index,
        "corpus": corpus,
        "pool": pool,
        "ids": chosen_ids(odd, even),
        "limit": limit,
        "seed": seed,
        "report": given_values(report) or None,
    }
    with progress_bars(quiet) as progress:
        from eval.plotting import figure_class
        from eval.retrieval import RetrievalRun, evaluate_retrieval
        from eval.retrieval.plots import plot_curves
        from rag.settings_base import load_section

        run = load_section(RetrievalRun, None, overrides or [], base=given_values(given))
        if out is not None:
            figure_class()  # a missing library is better met now than after an hour
        executor = chosen_executor(engine, address, workers, run.reader.device.startswith("cuda"))
        result = evaluate_retrieval(run, out, progress=stage_progress(progress), executor=executor)
    if out is not None:
        result.save(out / "result.json")
        plot_curves(result.curves, run.systems(), out)
    if as_json:
        print_json(result.to_dict())
        return
    _print_result(result, markdown)
    if out is not None:
        say(f"{out}: result.json, questions.jsonl, recall.png, recall.svg")


def _compare(first: Path, second: Path, overrides: Sequence[str], markdown: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from eval.retrieval import compare
    from eval.retrieval.settings import ReportSettings
    from rag.settings_base import load_section

    rows, said = compare(first, second, load_section(ReportSettings, None, overrides))
    if as_json:
        print_json({"rows": [asdict(row) for row in rows], "warnings": said})
        return
    _print_rows(rows, {}, markdown)
    for line in said:
        say(line)


def _print_result(result: RetrievalResult, markdown: bool) -> None:
    _print_rows(result.rows, result.evaluations, markdown)
    report = result.run.report
    say(
        f"\n{len(result.ids):,} questions, percentages. ±: half the {100 * report.confidence:g} % bootstrap interval. "
        f"In brackets: less {report.baseline or 'the order reranked'}; * p < 0.05, ** p < 0.01, paired randomisation, "
        "Holm-corrected."
    )
    for warning in result.warnings:
        say(warning)


def _print_rows(rows: Sequence[RetrievalRow], evaluations: Mapping[str, float], markdown: bool) -> None:
    metrics = list(dict.fromkeys(row.metric for row in rows))
    tested = any(row.headroom is not None for row in rows)
    header = ["system", *metrics, *(["headroom"] if tested else []), *(["coalitions"] if evaluations else [])]
    lines = []
    for system in dict.fromkeys(row.system for row in rows):
        own = {row.metric: row for row in rows if row.system == system}
        line = [system, *(_cell(own[metric]) if metric in own else "–" for metric in metrics)]
        if tested:
            line.append(next((f"{row.headroom:.2f}" for row in own.values() if row.headroom is not None), ""))
        if evaluations:
            line.append(f"{evaluations[system]:,.0f}" if system in evaluations else "")
        lines.append(line)
    print_table(header, lines, markdown)


def _cell(row: RetrievalRow) -> str:
    """Mean and half the width of its interval; the difference, with a star where it is significant."""
    half = (row.high - row.low) / 2
    text = f"{100 * row.mean:.1f} ±{100 * half:.1f}"
    if row.difference is None or row.p_holm is None:
        return text
    return f"{text} ({100 * row.difference:+.1f}{stars(row.p_holm)})"
