"""Answers, votes and values of the example corpus stay as they were when `frozen_answers.json` was written.

The file is written anew only when the weights that ship, the rule of cutting words or the default estimator change:
`python -m tests.rag.test_frozen`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rag import Answer, Pipeline
from rag.questions import load_questions

ISLANDS = Path(__file__).parents[2] / "examples" / "islands"
FROZEN = Path(__file__).with_name("frozen_answers.json")


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline.from_config("default", corpus=ISLANDS, overrides=["attribution.budget=200"])


def plain(answer: Answer) -> dict[str, Any]:
    attribution = answer.attribution
    values = attribution.values[attribution.output]
    return {
        "question": answer.question,
        "answer": answer.text,
        "full_answer": answer.full_text,
        "share": round(answer.share, 6),
        "order": [evidence.passage.id for evidence in answer.evidence],
        "values": {name: round(float(value), 6) for name, value in zip(attribution.players, values, strict=True)},
        "other_answers": [[other.text, round(other.share, 6), list(other.passages)] for other in answer.others],
        "warnings": list(answer.warnings),
    }


@pytest.mark.parametrize("frozen", json.loads(FROZEN.read_text(encoding="utf-8")), ids=lambda one: one["question"][:30])
def test_answers_votes_and_values_are_as_before(pipeline: Pipeline, frozen: dict[str, Any]) -> None:
    found = plain(pipeline.ask(frozen["question"]))
    assert found.pop("values") == pytest.approx(frozen["values"], abs=2e-6)
    assert found == {key: value for key, value in frozen.items() if key != "values"}


if __name__ == "__main__":
    reader = Pipeline.from_config("default", corpus=ISLANDS, overrides=["attribution.budget=200"])
    texts = [question.text for question in load_questions([ISLANDS]).questions[::12]]
    FROZEN.write_text(json.dumps([plain(reader.ask(text)) for text in texts], ensure_ascii=False, indent=1) + "\n")
