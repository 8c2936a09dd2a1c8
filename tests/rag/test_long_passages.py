"""The answer stands in the last of 4,600 characters, and the embedded reader finds it there, whoever asks."""

from __future__ import annotations

import json

import pytest

from rag import Pipeline, Reranker
from rag.readers.loading import load_reader
from rag.settings import ReaderSettings
from retrievers import BM25Retriever, Passage

QUESTION = "In which year was the lighthouse of Utvær finished?"
ANSWER = "1846"
LAST = "The lighthouse of Utvær was finished in 1846."
FILLER = "The ferry to the island takes two hours, and it carries goods and people three times a week. "
LONG = Passage("utvær", (FILLER * 100)[: 4600 - len(LAST)].rsplit(".", 1)[0] + ". " + LAST, "Utvær")
OTHERS = [
    Passage("solund", "Solund is a group of islands in the west of Norway, where many lighthouses stand.", "Solund"),
    Passage("ferry", FILLER * 3, "Ferries"),
    Passage("year", "The year of the great storm was 1901, when the harbour of Bergen was rebuilt.", "Bergen"),
]
PASSAGES = [*OTHERS, LONG]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(BM25Retriever(PASSAGES))


def test_ask_finds_it(pipeline):
    answer = pipeline.ask(QUESTION)
    assert answer.text == ANSWER
    assert answer.evidence[0].passage.id == "utvær"
    assert answer.evidence[0].cut_tokens == 0
    assert not any("longer than" in warning for warning in answer.warnings)


def test_explain_finds_it_among_passages_that_are_brought(pipeline):
    answer = pipeline.explain(QUESTION, [LONG, *OTHERS])
    assert answer.text == ANSWER
    assert answer.evidence[0].passage.id == "utvær"
    assert json.loads(answer.to_json())["evidence"][0]["cut_tokens"] == 0


def test_what_exceeds_the_limit_is_reported(pipeline):
    settings = ReaderSettings(max_passage_tokens=256)
    short = Pipeline(pipeline.retriever, load_reader(settings))
    answer = short.ask(QUESTION)
    assert answer.text != ANSWER
    cut = {evidence.passage.id: evidence.cut_tokens for evidence in answer.evidence}
    assert cut["utvær"] > 600
    said = f"passages longer than reader.max_passage_tokens: 1; {cut['utvær']:,} of their tokens were not read"
    assert said in answer.warnings


def test_the_reranker_puts_it_first(pipeline):
    ranked = Reranker(pipeline.reader).rerank(QUESTION, PASSAGES)
    assert ranked[0].passage.id == "utvær"
