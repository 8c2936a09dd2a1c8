"""`ragshap evaluate qa` and `ragshap evaluate suite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.cli.options import Markdown, RunOptions
from rag.cli import options as opt

if TYPE_CHECKING:
    from eval.qa import QADifference, QAResult
    from eval.tables import Table

QA_EXAMPLE = "Example: ragshap evaluate qa examples/islands -k 1 -k 5 --rerank shapley --limit 20 -o answers.json"
SUITE_EXAMPLE = "Example: ragshap evaluate suite model-card --root data --out results"


def qa(
    shared: RunOptions,
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
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="Answer also by these orders: relevance, shapley, banzhaf:likelihood, … and each with +rrf."),
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="How many first passages are read and reranked.")] = None,
    index: Annotated[str | None, typer.Option("--index", "-i", help="Search this index instead.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write answers and settings as JSON, and plots beside it."),
    ] = None,
) -> None:
    """Exact match and F1 of the reader's answers, by number of passages and by their order.

    The passages are those marked as gold, the question's own, gold ones among hard negatives, or retrieved ones. With
    --out, a stopped run resumes where it was. Other settings: kind=answerable|unanswerable|all, seed, rrf_k,
    retriever.…, reader.…, attribution.…, answer.reader.… (which answers from the passages that the reader orders),
    report.… (with --set).
    """
    from eval.qa import QARun, evaluate_qa
    from eval.qa.plots import plot_answers, plot_reliability

    settings = {
        "data": data,
        "passages": passages,
        "k": k,
        "rerank": opt.split_names(rerank),
        "depth": depth,
        "index": index,
    }
    result: QAResult = shared.evaluate(evaluate_qa, QARun, settings, out, draws=lambda run: out is not None)
    files = [] if out is None else [out]
    if out is not None and result.run.rerank:
        files += plot_answers(result.rows, out.with_suffix(""))
    if out is not None and result.no_answer:
        files += plot_reliability(result.no_answer, out.with_suffix(".no-answer"))
    shared.show(result, _print_result, files)


def suite(
    config: Annotated[str, typer.Argument(help="A YAML file of runs, or model-card.", metavar="FILE")],
    root: Annotated[Path, typer.Option(help="Folder that the runs' paths are relative to.")] = Path(),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for one JSON file per run.")] = Path("results"),
    markdown: Markdown = False,
    overrides: opt.Overrides = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Several evaluations of answers from one file; after a stop, the same command resumes."""
    with opt.progress_bars(quiet) as progress:
        from eval.suite import run_suite

        results = run_suite(config, root, out, overrides=overrides or [], progress=opt.stage_progress(progress))
    if as_json:
        opt.print_json([{key: value for key, value in result.items() if key != "questions"} for result in results])
    else:
        _rows_table(results, times=not markdown).print(markdown)
        _print_no_answer(results, markdown)


def _print_result(result: QAResult, markdown: bool) -> None:
    _rows_table([result.to_dict()]).print(markdown)
    _print_no_answer([result.to_dict()], markdown)
    if (answering := result.run.answer.reader) is not None:
        ordering = result.run.reader.checkpoint
        opt.say(f"\nAnswers are those of {answering.checkpoint}; orders, and their seconds, those of {ordering}.")
    if result.differences:
        opt.say(
            f"\nDifferences in percentage points; {100 * result.run.report.confidence:g} % bootstrap intervals, "
            "p by paired randomisation, Holm-corrected.\n"
        )
        _differences_table(result.differences, result.run.passages).print(markdown)


def _print_no_answer(results: Sequence[Mapping[str, Any]], markdown: bool) -> None:
    """How far the probability of "no answer" can be trusted, and how often the reader declined, of some results."""
    from eval.tables import Table

    named = any(result["settings"]["name"] for result in results)
    rows = []
    for result in results:
        for row in result["no_answer"]:
            cells = [f"{row['k'] or 'all'}", f"{row['questions']:,}", f"{row['answered']:.1f} %"]
            cells += [_percent(row["declined_answered"]), _percent(row["declined_unanswered"])]
            rows.append([*([result["settings"]["name"]] if named else []), *cells, f"{row['calibration_error']:.1f}"])
    if rows:
        opt.say('\n"No answer", by whether the passages hold an accepted answer; calibration error in points.\n')
        header = ["passages", "questions", "hold the answer", "of these declined", "of others declined"]
        Table([*(["setting"] if named else []), *header, "calibration error"], rows, names=named).print(markdown)


def _differences_table(differences: Sequence[QADifference], given: str) -> Table:
    """One row for all measures of each difference."""
    from eval.qa.summary import LABELS, MEASURES
    from eval.tables import Table

    rows: dict[tuple[str, str, str], list[str]] = {}
    for one in differences:
        other = f"all {given}" if one.against == "all" else f"{one.k} {given}"
        cells = rows.setdefault((one.order, str(one.k or "all"), other), [])
        cells += [f"{one.difference:+.1f} [{one.low:+.1f}, {one.high:+.1f}]", f"{one.p_holm:.4f}"]
    header = ["order", "passages", "less", *(head for name in MEASURES for head in (LABELS[name], "p"))]
    return Table(header, [[*names, *cells] for names, cells in rows.items()], names=3)


def _rows_table(results: Sequence[Mapping[str, Any]], times: bool = True) -> Table:
    """All rows of some results; columns that no row fills are left out."""
    from eval.qa.summary import LABELS, MEASURES
    from eval.tables import Table

    named = any(result["settings"]["name"] for result in results)
    reranked = any(row["evaluations"] is not None for result in results for row in result["rows"])
    rows = []
    for result in results:
        for row in result["rows"]:
            kept = str(row["k"] or "all")
            cells = {
                "setting": result["settings"]["name"] if named else None,
                "order": row["order"] if reranked else None,
                "passages": f"smallest ({row['passages']:.1f})" if kept == "smallest" else kept,
                "questions": f"{row['questions']:,}",
                **{LABELS[name]: f"{row[name]:.1f} ±{row[f'{name}_error'] or 0:.1f}" for name in MEASURES},
                "no answer": f"{row['no_answer']:.1f} %",
                "recall": _percent(row["recall"]),
                "retrieve": _milliseconds(row["retrieve"]) if times else None,
                "encode": _milliseconds(row["encode"]) if times else None,
                "attribute": _milliseconds(row["attribute"]) if times and reranked else None,
                "answer": _milliseconds(row["answer"]) if times else None,
                "coalitions": _count(row["evaluations"]) if reranked else None,
            }
            rows.append({head: cell for head, cell in cells.items() if cell is not None})
    return Table([*rows[0]], [[*row.values()] for row in rows], names=named + reranked)


def _percent(percent: float | None) -> str:
    return "–" if percent is None else f"{percent:.1f} %"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f} ms"


def _count(evaluations: float | None) -> str:
    return "" if evaluations is None else f"{evaluations:,.0f}"
