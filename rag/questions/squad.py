"""SQuAD JSON: articles, paragraphs and questions with answer spans (SQuAD 1.1 and 2.0, SquadShifts, XQuAD)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.questions.question import AnswerPlace, Question, QuestionSet
from retrievers import CorpusError, Passage, split_text


def read_squad(path: Path, content: Any) -> QuestionSet:
    """Questions over paragraphs cut into passages as an index cuts them.

    Each question comes with all passages of its paragraph. The gold one holds the target answer, which is the answer
    that most annotators gave, the shortest of them on a tie; an answer that is cut in two leaves it without.
    """
    found = QuestionSet([], [])
    try:
        for article in content["data"]:
            title = article["title"].replace("_", " ")
            for number, paragraph in enumerate(article["paragraphs"]):
                context, first = paragraph["context"], len(found.passages)
                pieces = split_text(context)
                for part, (start, end) in enumerate(pieces):
                    name = f"{path.stem}/{article['title']}/{number}#{part}"
                    found.passages.append(Passage(name, context[start:end], title))
                for entry in paragraph["qas"]:
                    found.questions.append(_question(entry, title, pieces, found.passages, first))
    except (KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{path} is not SQuAD JSON, which holds data, paragraphs and qas: {error!r}") from None
    return found


def _question(
    entry: dict[str, Any], title: str, pieces: Sequence[tuple[int, int]], passages: Sequence[Passage], first: int
) -> Question:
    answers = entry.get("answers", [])
    place = _place(answers, pieces, passages, first)
    return Question(
        id=str(entry["id"]),
        text=entry["question"].strip(),
        answers=tuple(dict.fromkeys(answer["text"] for answer in answers)),
        article=title,
        passages=tuple(range(first, first + len(pieces))),
        gold=() if place is None else (place.passage,),
        place=place,
    )


def _place(
    answers: Sequence[dict[str, Any]], pieces: Sequence[tuple[int, int]], passages: Sequence[Passage], first: int
) -> AnswerPlace | None:
    counts = Counter((answer["text"], answer["answer_start"]) for answer in answers)
    for text, begin in sorted(counts, key=lambda answer: (-counts[answer], len(answer[0]))):
        for part, (start, end) in enumerate(pieces):
            if start <= begin and begin + len(text) <= end and text.strip():
                passage = passages[first + part]
                at = begin - start + len(passage.full_text) - len(passage.text)
                return AnswerPlace(first + part, at, at + len(text))
    return None
