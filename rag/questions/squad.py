"""SQuAD JSON: articles, paragraphs and questions with answer spans (SQuAD 1.1 and 2.0, SquadShifts, XQuAD)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.questions.question import AnswerPlace, Question, QuestionSet
from retrievers import CorpusError, Passage, split_document
from retrievers.corpora.formats import squad_paragraphs


def read_squad(path: Path, content: Any) -> QuestionSet:
    """Questions over paragraphs cut into passages as an index cuts them, with the same ids.

    Each question comes with all passages of its paragraph. The gold one holds the target answer, which is the answer
    that most annotators gave, the shortest of them on a tie; an answer that is cut in two leaves it without.
    """
    found = QuestionSet([], [])
    places: dict[str, range] = {}
    try:
        for record, paragraph in squad_paragraphs(content, path):
            if record.id not in places:
                pieces = split_document(record.id, record.text, title=record.title)
                places[record.id] = range(len(found.passages), len(found.passages) + len(pieces))
                found.passages.extend(pieces)
            for entry in paragraph["qas"]:
                found.questions.append(_question(entry, record.title or record.id, found.passages, places[record.id]))
    except (KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"{path}: not SQuAD JSON, whose paragraphs hold qas with id and question: {error!r}"
        ) from None
    return found


def _question(entry: dict[str, Any], article: str, passages: Sequence[Passage], own: range) -> Question:
    answers = entry.get("answers", [])
    place = _place(answers, passages, own)
    return Question(
        id=str(entry["id"]),
        text=entry["question"].strip(),
        answers=tuple(dict.fromkeys(answer["text"] for answer in answers)),
        article=article,
        passages=tuple(own),
        gold=() if place is None else (place.passage,),
        place=place,
    )


def _place(answers: Sequence[dict[str, Any]], passages: Sequence[Passage], own: range) -> AnswerPlace | None:
    counts = Counter((answer["text"], answer["answer_start"]) for answer in answers)
    for text, begin in sorted(counts, key=lambda answer: (-counts[answer], len(answer[0]))):
        for index in own:
            passage = passages[index]
            start, end = passage.metadata["start"], passage.metadata["end"]
            if start <= begin and begin + len(text) <= end and text.strip():
                at = begin - start + len(passage.full_text) - len(passage.text)
                return AnswerPlace(index, at, at + len(text))
    return None
