"""SQuAD JSON: articles, paragraphs and questions with answer spans (SQuAD 1.1 and 2.0, SquadShifts, XQuAD)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.questions.fields import Entry, accepted_answers
from rag.questions.question import AnswerPlace, Question, QuestionSet
from retrievers import CorpusError, Passage, split_document
from retrievers.corpora.formats import squad_paragraphs
from retrievers.corpora.records import Record


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
                found.questions.append(_question(entry, record, found.passages, places[record.id]))
    except CorpusError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CorpusError(
            f"{path}: not SQuAD JSON, whose paragraphs hold qas with id and question: {error!r}"
        ) from None
    return found


def read_squad_rows(path: Path, entries: Sequence[Entry]) -> QuestionSet:
    """The rows of the Hugging Face data sets: `context`, `question` and `answers`, read as SQuAD JSON of one row each.

    Answers may come without their start, and then stand where they are first found.
    """
    articles = []
    for entry in entries:
        context, title = entry.value.get("context"), entry.value.get("title") or ""
        if not isinstance(context, str) or not isinstance(title, str):
            raise CorpusError(f"{entry.where}: not a SQuAD row, whose context and title are strings")
        row: dict[str, Any] = {"id": entry.id, "question": entry.text}
        if (answers := entry.answers) is not None:
            try:
                starts = any(_spans(entry.value.get(field)) for field in ("answers", "answer"))
            except (KeyError, TypeError, ValueError):
                raise CorpusError(
                    f"{entry.where}: the answers of a SQuAD row must hold one answer_start for each text, got "
                    f"{entry.value.get('answers', entry.value.get('answer'))!r}"
                ) from None
            row["answers"] = entry.value.get("answers", entry.value.get("answer")) if starts else list(answers)
        articles.append({"title": title, "paragraphs": [{"context": context, "qas": [row]}]})
    return read_squad(path, {"data": articles})


def _question(entry: dict[str, Any], record: Record, passages: Sequence[Passage], own: range) -> Question:
    name, given = str(entry["id"]), entry.get("answers")
    answers = accepted_answers(given, f"{record.where}, question {name!r}")
    place = _place(_spans(given) or _found(answers, record.text), passages, own)
    return Question(
        id=name,
        text=entry["question"].strip(),
        answers=answers,
        article=record.title or record.id,
        passages=tuple(own),
        gold=() if place is None else (place.passage,),
        place=place,
        answers_given="answers" in entry,
    )


def _spans(given: Any) -> list[tuple[str, int]]:
    """Text and first character of each annotator's answer: of a list of objects, or of an object of lists."""
    if isinstance(given, dict):
        return list(zip(given["text"], given["answer_start"], strict=True)) if "answer_start" in given else []
    objects = [answer for answer in given if isinstance(answer, dict)] if isinstance(given, list) else []
    return [(answer["text"], answer["answer_start"]) for answer in objects if "answer_start" in answer]


def _found(answers: Sequence[str], context: str) -> list[tuple[str, int]]:
    """Where answers without a start first stand in the context as whole words."""
    matches = (re.search(rf"(?<!\w){re.escape(answer.strip())}(?!\w)", context) for answer in answers)
    return [(match[0], match.start()) for match in matches if match]


def _place(spans: Sequence[tuple[str, int]], passages: Sequence[Passage], own: range) -> AnswerPlace | None:
    counts = Counter(spans)
    for text, begin in sorted(counts, key=lambda answer: (-counts[answer], len(answer[0]))):
        for index in own:
            passage = passages[index]
            start, end = passage.metadata["start"], passage.metadata["end"]
            if start <= begin and begin + len(text) <= end and text.strip():
                at = begin - start + len(passage.full_text) - len(passage.text)
                return AnswerPlace(index, at, at + len(text))
    return None
