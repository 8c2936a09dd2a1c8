"""`ragshap evaluate qa` and `ragshap evaluate suite`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.cli.tables import print_table
from rag.cli.options import (
    Address,
    Engine,
    Even,
    Json,
    Limit,
    Markdown,
    Odd,
    Overrides,
    Pool,
    Quiet,
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
    from eval.qa import QADifference, QAResult

QA_EXAMPLE = "Example: ragshap evaluate qa examples/islands -k 1 -k 5 --rerank shapley --limit 20 -o answers.json"
SUITE_EXAMPLE = "Example: ragshap evaluate suite model-card --root data --out results"


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
    rerank: Annotated[
        list[str] | None,
        typer.Option(help="Answer also by these orders: relevance, shapley, banzhaf:likelihood, … and each with +rrf."),
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Read and rerank the first so many passages.")] = None,
    pool: Pool = None,
    index: Annotated[str | None, typer.Option("--index", "-i", help="Search this index instead.")] = None,
    odd: Odd = False,
    even: Even = False,
    limit: Limit = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write answers and settings as JSON, with --rerank plots beside it."),
    ] = None,
    markdown: Markdown = False,
    overrides: Overrides = None,
    engine: Engine = "local",
    address: Address = None,
    workers: Workers = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Exact match and F1 of the reader's answers, by number of passages and by their order.

    The passages are those marked as gold, the question's own, gold ones among hard negatives, or retrieved ones. With
    --out, a run that was stopped goes on where it was. Other settings: kind=answerable|unanswerable|all, seed, rrf_k,
    retriever.…, reader.…, attribution.…, report.… (with --set).
    """
    given = {
        "data": data,
        "passages": passages,
        "k": k,
        "rerank": split_names(rerank),
        "depth": depth,
        "pool": pool,
        "index": index,
        "ids": chosen_ids(odd, even),
        "limit": limit,
    }
    with progress_bars(quiet) as progress:
        from eval.plotting import figure_class
        from eval.qa import QARun, evaluate_qa
        from eval.qa.plots import plot_answers
        from rag.settings_base import load_section

        run = load_section(QARun, None, overrides or [], base=given_values(given))
        drawn = out is not None and bool(run.rerank)
        if drawn:
            figure_class()  # a missing library is better met now than after an hour
        bar = stage_progress(progress)
        executor = chosen_executor(engine, address, workers, run.reader.device.startswith("cuda"))
        result = evaluate_qa(run, out, progress=lambda done, total: bar("asking", done, total), executor=executor)
    files = plot_answers(result.rows, out.with_suffix("")) if out is not None and drawn else []
    if as_json:
        print_json(result.to_dict())
        return
    _print_result(result, markdown)
    if out is not None:
        say("\n" + ", ".join(map(str, [out, *files])))


def suite(
    config: Annotated[str, typer.Argument(help="A YAML file of runs, or model-card.", metavar="FILE")],
    root: Annotated[Path, typer.Option(help="Folder that the runs' paths are relative to.")] = Path(),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for one JSON file per run.")] = Path("results"),
    markdown: Markdown = False,
    overrides: Overrides = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Several evaluations of answers from one file; run again after a stop, it goes on where it was."""
    with progress_bars(quiet) as progress:
        from eval.suite import markdown as table
        from eval.suite import run_suite

        results = run_suite(config, root, out, overrides=overrides or [], progress=stage_progress(progress))
    if as_json:
        print_json([{key: value for key, value in result.items() if key != "questions"} for result in results])
    elif markdown:
        say(table(results))
    else:
        _print_rows(results, markdown=False)


def _print_result(result: QAResult, markdown: bool) -> None:
    _print_rows([result.to_dict()], markdown)
    if result.differences:
        say(f"\nDifferences in percentage points; {100 * result.run.report.confidence:g} % bootstrap intervals, "
                   "p by paired randomisation, Holm-corrected.\n")  # fmt: skip
        header = ["order", "passages", "less", "exact match", "p", "F1", "p"]
        print_table(header, list(_differences(result.differences, result.run.passages)), markdown, names=3)
    for warning in result.warnings:
        say(f"\n{warning}")


def _differences(differences: Sequence[QADifference], given: str) -> Iterator[list[str]]:
    """One line for the two measures of each difference."""
    found: dict[tuple[str, str, str], dict[str, QADifference]] = {}
    for one in differences:
        other = f"all {given}" if one.against == "all" else f"{one.k} {given}"
        found.setdefault((one.order, str(one.k or "all"), other), {})[one.measure] = one
    for names, measures in found.items():
        cells = []
        for one in measures.values():
            cells += [f"{one.difference:+.1f} [{one.low:+.1f}, {one.high:+.1f}]", f"{one.p_holm:.4f}"]
        yield [*names, *cells]


def _print_rows(results: Sequence[Mapping[str, Any]], markdown: bool) -> None:
    named = any(result["settings"]["name"] for result in results)
    reranked = any(row["evaluations"] is not None for result in results for row in result["rows"])
    lines = []
    for result in results:
        for row in result["rows"]:
            kept = str(row["k"] or "all")
            lines.append(
                [
                    *([result["settings"]["name"]] if named else []),
                    *([row["order"]] if reranked else []),
                    f"smallest ({row['passages']:.1f})" if kept == "smallest" else kept,
                    f"{row['questions']:,}",
                    f"{row['exact_match']:.1f} ±{row['exact_match_error'] or 0:.1f}",
                    f"{row['f1']:.1f} ±{row['f1_error'] or 0:.1f}",
                    f"{row['no_answer']:.1f} %",
                    "–" if row["recall"] is None else f"{row['recall']:.1f} %",
                    *(_milliseconds(row[stage]) for stage in ("retrieve", "encode")),
                    *([_milliseconds(row["attribute"])] if reranked else []),
                    _milliseconds(row["answer"]),
                    *(["" if row["evaluations"] is None else f"{row['evaluations']:,.0f}"] if reranked else []),
                ]
            )
    header = [
        *(["setting"] if named else []),
        *(["order"] if reranked else []),
        *["passages", "questions", "exact match", "F1", "no answer", "recall", "retrieve", "encode"],
        *(["attribute"] if reranked else []),
        "answer",
        *(["coalitions"] if reranked else []),
    ]
    print_table(header, lines, markdown, names=named + reranked)


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f} ms"
