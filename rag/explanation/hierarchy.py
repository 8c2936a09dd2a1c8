"""From passages down to sentences and words, and the words of the question: Owen values of all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from attribution import Attribution, Group, OwenValues, owen
from rag.explanation.citations import by_sentences
from rag.explanation.parts import Part, question_part, sentences, whole, words
from rag.explanation.parts_game import PartsGame, Values
from rag.explanation.question_game import QuestionGame
from rag.explanation.sentence_games import LikelihoodOfSentences
from rag.explanation.spans import explained_spans
from rag.progress import StageProgress
from rag.readers import EncodedQuestion
from rag.readers.base import Coalitions, TokenReader
from rag.readers.hidden_parts import PartsReader
from rag.session import Session
from rag.settings import HierarchySettings
from retrievers import Passage

FORMAT = "ragshap-hierarchy"
VERSION = 2


@dataclass(frozen=True)
class Hierarchy:
    """What passages, their sentences and their words did for the answer.

    All values come from one nested estimate, so that a part's value is exactly the sum of its parts' values, and the
    passages' values sum to what they add together. It is an estimate of its own: a passage's value here and in the
    passage-level attribution differ by what their standard errors allow.

    With the words of the question as players, the question is one more group beside the passages: their values and its
    own sum to v(all) less what the reader makes of nothing, no passage and no question. A passage is then also read
    where the question is hidden, so that its value here is another than in the passage-level attribution.

    Attributes:
        level: "passage", "sentence" or "word".
        answer: the answer explained, that from all passages.
        passages: every passage in the retriever's order, the opened ones with their parts.
        masking: how parts were hidden.
        permutations: number of nested orders behind the values.
        evaluations: number of distinct coalitions evaluated, at both levels.
        variants: number of encoded passages with parts hidden.
        seconds: time of it all.
        question: the question with its words, if they were players.
        questions: number of states of the question that were encoded, each with the passages that were read with it.
    """

    level: str
    answer: str
    passages: tuple[Part, ...]
    masking: str
    permutations: int
    evaluations: int
    variants: int
    seconds: float
    question: Part | None = None
    questions: int = 0

    def of(self, passage: str) -> Part:
        """The node of a passage, by id; raises `KeyError` if there is none."""
        for part in self.passages:
            if part.passage == passage:
                return part
        raise KeyError(passage)

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers, with the format's name and version."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        passages = [part.to_dict() for part in self.passages]
        question = None if self.question is None else self.question.to_dict()
        return {"format": FORMAT, "version": VERSION, **content, "passages": passages, "question": question}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Hierarchy:
        """Inverse of `to_dict`, also of version 1's, in which the question is no player.

        Raises:
            ValueError: for what is foreign, newer or damaged.
        """
        if content.get("format") != FORMAT or content.get("version") not in (1, VERSION):
            raise ValueError(f"not a hierarchy of version 1 or {VERSION}: expected format {FORMAT!r}")
        if content["version"] == 1:
            content = {**content, "question": None, "questions": 0}
        try:
            passages = tuple(Part.from_dict(part) for part in content["passages"])
            question = None if content["question"] is None else Part.from_dict(content["question"])
            own = {name: value for name, value in content.items() if name not in ("format", "version")}
            return cls(**{**own, "passages": passages, "question": question})
        except (TypeError, KeyError) as error:
            raise ValueError(f"damaged hierarchy: {error}") from error


def explain_parts(session: Session, attribution: Attribution, progress: StageProgress | None = None) -> Hierarchy:
    """Attribute an explained answer to sentences, or words, of the passages that matter, and to the question's words.

    Passages are opened by their passage-level values, sentences by values that are estimated first; every other
    passage or sentence stays a single player. The game is that of the attribution: 1 where the reader gives the
    explained answer, or that answer's log-probability.

    Args:
        session: the question; its settings say the level, what is opened, how parts are hidden, and how many orders are
            drawn from which seed.
        attribution: the session's, of the passages.
        progress: called as progress("passages", "sentences" or "words", coalitions done, coalitions to do).
    """
    settings = session.settings.hierarchy
    started = time.perf_counter()
    passages = session.encoded.passages
    texts = {passage.id: passage for passage in passages}
    tree = [whole(passage) for passage in passages]
    values, errors = attribution.of(attribution.output).tolist(), attribution.errors[attribution.output].tolist()
    tree = [replace(part, value=value, error=error) for part, value, error in zip(tree, values, errors, strict=True)]
    question = None
    evaluations = variants = questions = 0
    levels = ("sentence", "word") if settings.level == "word" else (settings.level,)
    for level in levels if tree or settings.question else ():
        if level == "sentence":
            tree = _opened(tree, settings, settings.passages, lambda part: sentences(texts[part.passage]))
        if level == "word":
            tree = [_with_words(part, settings, texts[part.passage]) for part in tree]
        if settings.question:
            # A part's value does not depend on whether others are divided: the question is only at the last level.
            question = question_part(session.encoded.question, divided=level == settings.level)
        found, game = _estimate(session, attribution.utility, tree, question, level, progress)
        evaluations, variants = evaluations + found.evaluations, variants + game.variants
        nodes = zip(found.values[0, 1:].tolist(), found.errors[0, 1:].tolist(), strict=True)
        tree = [_valued(part, nodes) for part in tree]
        if isinstance(game, QuestionGame) and question is not None:
            question, questions = _valued(question, nodes), questions + game.questions
    return Hierarchy(
        settings.level,
        session.answer,
        tuple(tree),
        settings.masking,
        settings.permutations,
        evaluations,
        variants,
        time.perf_counter() - started,
        question,
        questions,
    )


def _estimate(
    session: Session,
    utility: str,
    tree: Sequence[Part],
    question: Part | None,
    level: str,
    progress: StageProgress | None,
) -> tuple[OwenValues, PartsGame | QuestionGame]:
    reader, encoded, settings = session.reader, session.encoded, session.settings.hierarchy
    assert isinstance(reader, PartsReader), "the session has checked it"
    players, worth = [part.finest() for part in tree], _worth(session, utility)
    report = None if progress is None else lambda done, total: progress(f"{level}s", done, total)
    game: PartsGame | QuestionGame
    if question is None:
        game = PartsGame(reader, encoded, players, worth, settings.masking, report)
    else:
        tree = [*tree, question]
        game = QuestionGame(reader, encoded, players, question.finest(), worth, settings.masking, report)
    # A passage has few sentences, so that their states repeat from order to order; of words hardly any state does.
    divided = level == "word" or (question is not None and question.parts)
    shared, seed = settings.shared if divided else 1, session.settings.attribution.seed
    return owen(game, _group(tree), permutations=settings.permutations, shared=shared, seed=seed), game


def _worth(session: Session, utility: str) -> Callable[[EncodedQuestion, Coalitions], Values]:
    """The passage-level game's worth for the explained answer, of any encoded passages."""
    reader, answer, key = session.reader, session.answer, session.matching.key
    if utility == "likelihood" and by_sentences(session) and isinstance(reader, TokenReader):
        spans = explained_spans(answer, session.spans)

        def likelihood(encoded: EncodedQuestion, rows: Coalitions) -> Values:
            game = LikelihoodOfSentences(reader, encoded, answer, spans)
            return game.whole(game(rows))

        return likelihood
    if utility == "likelihood":
        return lambda encoded, rows: reader.score(encoded, rows, [answer])[:, 0]
    explained = key(answer)

    def votes(encoded: EncodedQuestion, rows: Coalitions) -> Values:
        return np.array([key(given) == explained for given in reader.generate(encoded, rows)], float)

    return votes


def _opened(
    parts: Sequence[Part], settings: HierarchySettings, most: int, divide: Callable[[Part], tuple[Part, ...]]
) -> list[Part]:
    """The parts, the most valuable ones that qualify divided into parts of their own."""
    rule = {
        "top-n": lambda part: True,
        "value": lambda part: part.value > settings.above,
        "certain": lambda part: part.value > 2 * part.error,
    }[settings.open]
    able = [index for index, part in enumerate(parts) if part.kind != "title" and rule(part)]
    chosen = sorted(able, key=lambda index: -parts[index].value)[:most]
    return [replace(part, parts=divide(part)) if index in chosen else part for index, part in enumerate(parts)]


def _with_words(part: Part, settings: HierarchySettings, passage: Passage) -> Part:
    divided = _opened(part.parts, settings, settings.sentences, lambda sentence: words(passage, sentence))
    return replace(part, parts=tuple(divided))


def _group(parts: Sequence[Part], name: str = "all") -> Group:
    return Group(name, tuple(_group(part.parts, part.kind) for part in parts))


def _valued(part: Part, nodes: Iterator[tuple[float, float]]) -> Part:
    """The part and its parts with the next values and errors, depth first."""
    value, error = next(nodes)
    return replace(part, value=value, error=error, parts=tuple(_valued(child, nodes) for child in part.parts))
