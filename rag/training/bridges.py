"""Two-hop questions composed of two: a name in one is described by the other, of which it is the answer.

"Who is the mayor of Rotterdam?" and "Which city hosted the Grand Départ?" give "Who is the mayor of the city that
hosted the Grand Départ?", for which both passages are needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rag.questions import Question, QuestionSet, holds_answer

_BE = r"(?P<be>is|was|are|were)"
_PARTICIPLE = r"(?P<participle>\w+ed|born|held|built|found)"
_VERB = r"(?P<verb>(?:is|was|are|were|has|had|\w+ed|won|wrote|led|became|made|built|held|gave|took|ran|sang)\b.+)"
_DESCRIPTIONS = (  # what a question asks for, as a noun phrase
    (rf"(?:Who|What) {_BE} (?P<thing>the .+)", "{thing}"),
    (rf"Who {_VERB}", "the person who {verb}"),
    (rf"(?:What|Which) (?P<kind>[a-z]+(?: [a-z]+)??) {_VERB}", "the {kind} that {verb}"),
    (
        rf"In (?:what|which) (?P<kind>[a-z]+) {_BE} (?P<thing>.+) {_PARTICIPLE}",
        "the {kind} in which {thing} {be} {participle}",
    ),
    (rf"Where {_BE} (?P<thing>.+) {_PARTICIPLE}", "the place where {thing} {be} {participle}"),
    (r"(?:What|Which) (?P<kind>[a-z]+) did (?P<thing>.+)", "the {kind} that {thing}"),
)
_AFTER = r"(?=\?|,|'s\b| (?:is|was|has|had|did|does|in|on|to|from|have|and|be|by|at|\w+ed)\b|\Z)"
_PER_QUESTION = 2  # compositions of one second question


def add_bridges(
    data: QuestionSet, questions: Sequence[int], negatives: Sequence[Sequence[int]], seed: int
) -> tuple[QuestionSet, list[list[int]], list[int]]:
    """The data with composed questions behind its own.

    Args:
        data: passages and questions.
        questions: indices of those that may be composed.
        negatives: hard negatives per question of `data`.
        seed: of the choice among possible compositions.

    Returns:
        The larger set, its negatives (those of both parts in turn), and the indices of the composed questions.
    """
    first_hops: dict[str, list[tuple[int, str]]] = {}
    by_word: dict[str, list[str]] = {}
    for index in questions:
        question = data.questions[index]
        name, description = data.answer(question), describe(question.text)
        if description and len(name) > 3 and all(word[:1].isupper() for word in name.split()):
            if name not in first_hops:
                by_word.setdefault(name.split()[0], []).append(name)
            first_hops.setdefault(name, []).append((index, description))
    composed, pools = list(data.questions), [list(pool) for pool in negatives]
    for index in questions:
        choices = _compositions(data, index, first_hops, by_word)
        rng = np.random.default_rng([seed, 3, index])
        for choice in rng.permutation(len(choices))[:_PER_QUESTION].tolist():
            text, hop = choices[choice]
            question, other = data.questions[index], data.questions[hop]
            assert question.place is not None, "only questions with a place are composed"
            assert other.place is not None, "only questions with a place are composed"
            gold = (question.place.passage, other.place.passage)
            composed.append(replace(question, id=f"{question.id}+{other.id}", text=text, passages=gold, gold=gold))
            both = [passage for pair in zip(negatives[index], negatives[hop], strict=False) for passage in pair]
            pools.append([p for p in dict.fromkeys(both) if _is_negative(data, p, gold, question)])
    return QuestionSet(data.passages, composed), pools, list(range(len(data.questions), len(composed)))


def describe(question: str) -> str | None:
    """What a question asks for as a noun phrase, or None if it has no form that is known."""
    asked = question.strip().rstrip("?").rstrip()
    for pattern, phrase in _DESCRIPTIONS:
        if match := re.fullmatch(pattern, asked):
            return phrase.format(**match.groupdict())
    return None


def _compositions(
    data: QuestionSet, index: int, first_hops: dict[str, list[tuple[int, str]]], by_word: dict[str, list[str]]
) -> list[tuple[str, int]]:
    """Composed texts and the questions that describe the name."""
    question = data.questions[index]
    if question.place is None:
        return []
    passage, found = data.passages[question.place.passage].full_text, []
    for word in dict.fromkeys(re.findall(r"\w+", question.text)):
        for name in by_word.get(word, ()):
            match = re.search(rf"(?<!\w)(?:the )?{re.escape(name)}{_AFTER}", question.text)
            # The second passage must speak of the name, and the name must not be part of a longer one.
            if match is None or name not in passage or re.search(r".\s[A-Z]\w* $", question.text[: match.start()]):
                continue
            for hop, description in first_hops[name]:
                place = data.questions[hop].place
                if place is not None and place.passage != question.place.passage and name not in description:
                    found.append((question.text[: match.start()] + description + question.text[match.end() :], hop))
    return found


def _is_negative(data: QuestionSet, passage: int, gold: Sequence[int], question: Question) -> bool:
    return passage not in gold and not holds_answer(data.passages[passage].full_text, question.answers)
