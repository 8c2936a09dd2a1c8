"""Options that the evaluations share, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from rag.cli import options as opt

Markdown = Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")]
LAYOUTS = (
    "A BEIR folder; JSON of SQuAD, DPR/FiD, HotpotQA, MuSiQue, MIRACL, NQ-open, TriviaQA, FlashRAG, KILT or BRIGHT; "
    "a .tsv or .csv; TREC topics."
)


@dataclass(frozen=True)
class MeasuringOptions:
    """Options of every evaluation: how it is run, and what is printed of it."""

    limit: Annotated[int | None, typer.Option(min=1, help="Draw at most this many questions at random.")] = None
    markdown: Markdown = False
    overrides: opt.Overrides = None
    engine: opt.Engine = "local"
    address: opt.Address = None
    workers: opt.Workers = None
    as_json: opt.Json = False
    quiet: opt.Quiet = False

    def settings(self) -> dict[str, Any]:
        """The settings of a run that these options give; None for those that were not given."""
        return {"limit": self.limit}

    def evaluate(
        self,
        evaluate: Callable[..., Any],
        run_class: type[Any],
        settings: Mapping[str, Any],
        out: Path | None,
        draws: Callable[[Any], bool],
    ) -> Any:
        """The result of an evaluation.

        Args:
            evaluate: called as evaluate(run, out, progress=..., executor=...).
            run_class: the settings' type.
            settings: those that other options gave, None for those that were not given.
            out: where results are kept.
            draws: whether plots will be drawn for a run, for which a library must be there.
        """
        from rag.plotting import figure_class
        from rag.settings_base import load_section

        given = opt.given_values({**self.settings(), **settings})
        with opt.progress_bars(self.quiet) as progress:
            run = load_section(run_class, None, self.overrides or [], base=given)
            if draws(run):
                figure_class()  # a missing library must show now, not after an hour
            executor = opt.chosen_executor(self.engine, self.address, self.workers, run.reader.on_gpu)
            return evaluate(run, out, progress=opt.stage_progress(progress), executor=executor)

    def show(self, result: Any, describe: Callable[[Any, bool], None], files: Sequence[Path | str] = ()) -> None:
        """Print a result as JSON, or its tables and warnings and the files that were written."""
        if self.as_json:
            opt.print_json(result.to_dict())
            return
        describe(result, self.markdown)
        for warning in result.warnings:
            opt.say(warning)
        if files:
            opt.say("\n" + ", ".join(map(str, files)))


@dataclass(frozen=True)
class RunOptions(MeasuringOptions):
    """Options of evaluations that choose among questions and search passages for them."""

    pool: Annotated[list[str] | None, typer.Option(help="Also search the passages of this file. May be repeated.")] = (
        None
    )
    odd: Annotated[bool, typer.Option("--odd", help="Ask only the questions whose id ends in an odd number.")] = False
    even: Annotated[bool, typer.Option("--even", help="Ask only the questions whose id ends in an even number.")] = (
        False
    )
    only: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Ask only the questions of a list of digests: held-out, or a file."),
    ] = None

    def settings(self) -> dict[str, Any]:
        """As above, with the passages searched and which questions are asked."""
        if self.odd + self.even + (self.only is not None) > 1:
            raise typer.BadParameter("--odd, --even and --only exclude each other; give one of them")
        ids = "odd" if self.odd else "even" if self.even else self.only
        return {**super().settings(), "pool": self.pool, "ids": ids}


@dataclass(frozen=True)
class SearchOptions(RunOptions):
    """Options of evaluations that keep their results in a folder."""

    qrels: Annotated[str | None, typer.Option(help="Relevance judgements in the format of TREC or BEIR.")] = None
    index: Annotated[str | None, typer.Option("--index", "-i", help="The index to search.")] = None
    corpus: opt.CorpusPath = None
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draw that --limit makes.")] = None
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results and plots. A stopped run continues from it.")
    ] = None

    def settings(self) -> dict[str, Any]:
        """As above, with what is searched and judged relevant."""
        own = {"qrels": self.qrels, "index": self.index, "corpus": self.corpus, "seed": self.seed}
        return {**super().settings(), **own}

    def evaluate_and_show(
        self,
        evaluate: Callable[..., Any],
        run_class: type[Any],
        settings: Mapping[str, Any],
        plot: Callable[[Any, Path], Sequence[Path]],
        describe: Callable[[Any, bool], None],
    ) -> None:
        """Evaluate, write the result and its plots into the folder if there is one, and print."""
        from eval.runner import QUESTIONS_FILE

        out, files = self.out, list[Path]()
        result = self.evaluate(evaluate, run_class, settings, out, lambda run: out is not None)
        if out is not None:
            result.save(out / "result.json")
            files = [out / "result.json", out / QUESTIONS_FILE, *plot(result, out)]
        self.show(result, describe, files)
