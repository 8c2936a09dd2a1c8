"""Explain composed answers and count what is cited rightly."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from eval.citations.cases import Case, compose
from eval.records import save_json
from eval.runner import QUESTIONS_FILE, measure_questions, provenance
from rag import Pipeline
from rag.progress import StageProgress
from rag.questions import load_questions
from rag.readers import Reader
from rag.scale import Executor
from rag.settings import AttributionSettings, ReaderSettings, Settings
from rag.settings_base import Section

VERSION = 1


class CitationsRun(Section):
    """Which answers are composed, and how they are explained.

    Attributes:
        data: SQuAD files of whole articles.
        limit: how many answers are composed.
        distractors: passages beside those that sentences are taken from.
        seed: of the answers.
        attribution: how values are estimated.
        reader: explains.
    """

    data: list[str] = Field(min_length=1)
    limit: int = Field(default=200, ge=1)
    distractors: int = Field(default=8, ge=0)
    seed: int = Field(default=0, ge=0)
    attribution: AttributionSettings = AttributionSettings(budget=128)
    reader: ReaderSettings = ReaderSettings()


@dataclass(frozen=True)
class Share:
    """How many of some sentences, with the 95% interval of Wilson for the percentage."""

    what: str
    count: int
    of: int
    low: float
    high: float

    @property
    def percent(self) -> float:
        """The share in percent."""
        return 100 * self.count / self.of


@dataclass(frozen=True)
class CitationsResult:
    """What was counted.

    Attributes:
        run: the settings.
        shares: sentences of each number in an answer with their passage first, and all; made-up sentences marked as
            unsupported; other sentences marked so, which are false alarms.
        cases: number of answers.
        passages: passages named for a supported sentence, on average.
        seconds: per answer, on average.
        records: each answer's sentences.
        made: what the records were made with.
        warnings: what the reader of the result should know.
    """

    run: CitationsRun
    shares: tuple[Share, ...]
    cases: int
    passages: float
    seconds: float
    records: Sequence[Mapping[str, Any]]
    made: Mapping[str, Any]
    warnings: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single answers, as JSON has it."""
        shares = [{**asdict(share), "percent": share.percent} for share in self.shares]
        own = {name: getattr(self, name) for name in ("cases", "passages", "seconds")}
        return {"version": VERSION, **self.made, **own, "shares": shares, "warnings": list(self.warnings)}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        save_json(path, self.to_dict())


def evaluate_citations(
    run: CitationsRun,
    out: Path | None = None,
    *,
    root: Path | None = None,
    reader: Reader | None = None,
    progress: StageProgress | None = None,
    executor: Executor | None = None,
) -> CitationsResult:
    """Explain composed answers; see `eval.citations.cases`.

    The arguments are those of `evaluate_retrieval`, and so is what is kept in `out`.

    Raises:
        CorpusError, FileNotFoundError: data cannot be read.
        ValueError: no answer can be composed of the data.
        SettingsError: a setting cannot be honoured, or the records in `out` were made with other settings.
    """
    root = root or Path()
    cases = compose(load_questions(root / path for path in run.data), run.limit, run.distractors, run.seed)
    made = provenance_of(run, root, reader or run.reader)
    records, warnings = measure_questions(
        run,
        cases,  # type: ignore[arg-type]  # what has an id
        measure_case,
        lambda missing: ((case,) for case in missing),
        path=None if out is None else out / QUESTIONS_FILE,
        made=made,
        reader=reader,
        executor=executor,
        progress=progress,
    )
    return summarise(run, records, made, warnings)


def provenance_of(run: CitationsRun, root: Path, reader: Any) -> dict[str, Any]:
    """What the records depend on; the first cases are the same, however many there are."""
    return provenance(run, root, reader, "scipy", beside=("limit",))


def measure_case(run: CitationsRun, reader: Reader, case: Case) -> dict[str, Any]:
    """The record of one answer."""
    started = time.perf_counter()
    pipeline = Pipeline(None, reader, Settings(attribution=run.attribution, reader=run.reader))
    answer = pipeline.explain(case.question, case.passages, answer=" ".join(case.sentences))
    cited = answer.citations
    assert cited is not None, "a given answer has citations"
    ends = [sentence.end for sentence in cited.sentences]
    sentences, end = [], -1
    for text, source in zip(case.sentences, case.sources, strict=True):
        end += 1 + len(text)
        row = ends.index(end) if end in ends else None  # None where the splitter sees other sentences than we composed
        if row is None:
            continue
        one, attribution = cited.sentences[row], cited.attribution
        sentences.append(
            {
                "source": source,
                "first": attribution.top(1, row)[0].player,
                "cited": list(one.passages),
                **{name: getattr(one, name) for name in ("tokens", "drop", "hold", "supported")},
                "full": float(attribution.full[row]),
                "empty": float(attribution.empty[row]),
            }
        )
    seconds = time.perf_counter() - started
    left_out = len(case.sentences) - len(sentences)
    return {"id": case.id, "of": len(case.sentences) - 1, "left_out": left_out, "sentences": sentences} | {
        "cut_tokens": {one.passage.id: one.cut_tokens for one in answer.evidence if one.cut_tokens},
        "seconds": seconds,
        "evaluations": cited.attribution.evaluations,
    }


def summarise(
    run: CitationsRun, records: Sequence[Mapping[str, Any]], made: Mapping[str, Any], warnings: Sequence[str]
) -> CitationsResult:
    """Count over all answers."""
    flat = [(record["of"], one) for record in records for one in record["sentences"]]
    taken = [(n, one) for n, one in flat if one["source"] is not None]
    made_up = [one for _, one in flat if one["source"] is None]
    shares = [
        _share(f"right passage first, {n} sentences", [one for m, one in taken if m == n], _first) for n in (2, 3, 4)
    ]
    shares.append(_share("right passage first", [one for _, one in taken], _first))
    if all(one["supported"] is not None for _, one in flat):
        shares.append(_share("made-up sentences marked unsupported", made_up, _unsupported))
        shares.append(_share("false alarms", [one for _, one in taken], _unsupported))
    left_out = sum(record["left_out"] for record in records)
    said = [f"{left_out} sentences are split otherwise than composed, and left out"] if left_out else []
    cited = [len(one["cited"]) for _, one in taken]
    return CitationsResult(
        run,
        tuple(share for share in shares if share is not None),
        len(records),
        sum(cited) / max(1, len(cited)),
        sum(record["seconds"] for record in records) / max(1, len(records)),
        records,
        made,
        [*warnings, *said],
    )


def _first(sentence: Mapping[str, Any]) -> bool:
    return bool(sentence["first"] == sentence["source"])


def _unsupported(sentence: Mapping[str, Any]) -> bool:
    return sentence["supported"] is False


def _share(
    what: str, sentences: Sequence[Mapping[str, Any]], holds: Callable[[Mapping[str, Any]], bool]
) -> Share | None:
    """None where there are no such sentences."""
    from scipy.stats import binomtest

    if not sentences:
        return None
    count = sum(map(holds, sentences))
    interval = binomtest(count, len(sentences)).proportion_ci(method="wilson")
    return Share(what, count, len(sentences), 100 * float(interval.low), 100 * float(interval.high))
