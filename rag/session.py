"""One question over its passages: encoded once, asked about any coalitions of them, attributed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cache, cached_property
from typing import TypeVar

import numpy as np

from attribution import Attribution, CachedGame, LikelihoodGame, VotesGame, explain
from rag.estimation import budget_of, check_scoring, check_settings, decodes_of, estimation
from rag.explanation.similarity import SIMILARITIES, SimilarityToSentences
from rag.explanation.spans import Span, explained_spans
from rag.matching import Matching, Votes
from rag.progress import Progress
from rag.readers.base import Coalitions, CostlyReader, DecliningReader, Reader, Screener
from rag.readers.interruption import checkpoint
from rag.scores import Scores, influence_order
from rag.settings import AttributionSettings, Settings
from rag.settings_base import SettingsError
from retrievers import Passage

S = TypeVar("S", bound="Session")

_SCREENING_BUDGET = 1000


class Session:
    """A question that a reader was given with its passages, and what the reader answers from any of these.

    Explaining, reranking and evaluating a question are all done through one session. It encodes the passages once,
    announces the cost to a costly reader once, and remembers answers and likelihoods, so that no coalition is asked
    about twice.

    Args:
        reader: answers from subsets of the passages.
        question: the question; a blank one raises `ValueError`.
        passages: the players, each with an id of its own; without any, the answer is from the question alone.
        settings: how the answer is attributed; checked before anything is encoded (see `check_settings`).
        screener: chooses the passages that the reader gets where `attribution.screen` asks for fewer than there are;
            by default the embedded reader.
        answer: the answer to explain; by default the reader's own.
        spans: the parts of it to explain, as words or as characters [start, end); by default its sentences, or, if it
            is short and the reader's own, the whole.
        most_decodes: the most coalitions that will be asked about; by default what one explanation may take.

    Raises:
        ValueError: two passages have the same id, the question or the answer is blank, or the answer does not hold the
            spans.
        SettingsError: the settings contradict one another, or the reader cannot do what they ask for.

    Attributes:
        passages: all passages given.
        read: the places, among these, of those that the reader got; coalitions have one column for each.
        encoded: the question with the passages that were read.
        given: whether the answer to explain was given.
        spans: the parts of it that were chosen; None if none were.
        most_decodes: the most coalitions that will be asked about, as announced to a costly reader.
        batch_size: the most coalitions that the reader is asked about at once.
        seconds: the time spent in each of "screen" (if there was any), "encode", "generate" and "score".
    """

    def __init__(
        self,
        reader: Reader,
        question: str,
        passages: Sequence[Passage],
        settings: Settings | None = None,
        *,
        screener: Screener | None = None,
        answer: str | None = None,
        spans: Sequence[Span] | None = None,
        most_decodes: int | None = None,
    ):
        self.reader, self.settings = reader, settings or Settings()
        self.passages = tuple(passages)
        self.seconds: dict[str, float] = {}
        self._answers: dict[bytes, str] = {}
        self._likelihoods: dict[tuple[bytes, str], float] = {}
        self._votes: Votes | None = None
        own = self.settings.attribution
        self.given, n_given = answer is not None, 0
        if answer is not None:
            self.answer = _check_answer(answer)
            n_given = len(explained_spans(self.answer, spans))  # raises before anything is encoded
        self.spans = spans
        _check_ids(self.passages)
        screened = 0 < own.screen < len(self.passages)
        check_settings(self.settings, reader, own.screen if screened else len(self.passages))
        self.read = list(range(len(self.passages)))
        if screened:
            with self._timed("screen"):
                self.read = _screening(screener, question, self.passages, own.seed).screened(own.screen)
        with self._timed("encode"):
            self.encoded = reader.encode(question, [self.passages[place] for place in self.read])
        self.most_decodes = most_decodes or decodes_of(own, budget_of(own, reader, self.n_read), self.n_read, n_given)
        self.batch_size = 1024
        if isinstance(reader, CostlyReader):
            scores = check_scoring(reader, own.utility, self.given or spans is not None)
            given = self.answer if self.given else ""
            words, scored = (0, given) if scores else (len(given.split()), "")
            self.batch_size = reader.batch_size
            reader.announce(self.encoded, self.most_decodes, words, scored)

    @property
    def n_read(self) -> int:
        """The number of passages that the reader got."""
        return len(self.read)

    @property
    def decodes(self) -> int:
        """The number of distinct coalitions decoded so far."""
        return len(self._answers)

    @property
    def scored(self) -> int:
        """The number of distinct coalitions whose likelihoods are known."""
        return len({key for key, _ in self._likelihoods})

    @cached_property
    def answer(self) -> str:
        """The answer explained: the one given, or the reader's from all passages that it got; "" is "no answer"."""
        return self.answers(np.ones((1, self.n_read), dtype=bool))[0]

    @cached_property
    def matching(self) -> Matching:
        """Which answers count as the same; where wordings may differ, `answer` is the first that others are like."""
        name = self.settings.attribution.matching
        return Matching(name, self.answer if name != "exact" else None)

    def no_answer_probabilities(self, coalitions: Coalitions) -> list[float] | list[None]:
        """How likely it is that each coalition's passages hold no answer, to four digits; it costs one decoder step.

        None for each if the reader does not say.
        """
        if not isinstance(self.reader, DecliningReader):
            return [None] * len(coalitions)
        return [round(p, 4) for p in self.reader.no_answer_probability(self.encoded, coalitions).tolist()]

    def answers(self, coalitions: Coalitions) -> list[str]:
        """One answer for each row of bool `(n_coalitions, n_read)`."""
        keys = _keys(coalitions)
        if rows := _first_rows(keys, lambda key: key not in self._answers):
            checkpoint()
            with self._timed("generate"):
                found = self.reader.generate(self.encoded, coalitions[rows])
            self._answers.update(zip([keys[row] for row in rows], found, strict=True))
        return [self._answers[key] for key in keys]

    def unknown(self, coalitions: Coalitions) -> int:
        """How many of the coalitions, all different, have not been decoded yet."""
        return sum(key not in self._answers for key in _keys(coalitions))

    def likelihoods(self, coalitions: Coalitions, answers: Sequence[str]) -> Scores:
        """Log-probabilities of given answers, `(n_coalitions, n_answers)`."""
        keys, known = _keys(coalitions), self._likelihoods
        if rows := _first_rows(keys, lambda key: any((key, answer) not in known for answer in answers)):
            checkpoint()
            with self._timed("score"):
                found = self.reader.score(self.encoded, coalitions[rows], answers)
            for row, values in zip(rows, found.tolist(), strict=True):
                known.update(((keys[row], answer), value) for answer, value in zip(answers, values, strict=True))
        return np.array([[known[key, answer] for answer in answers] for key in keys]).reshape(len(keys), len(answers))

    def anew(self: S) -> S:
        """The session as it was when the passages had just been encoded, so that work is timed as if done first."""
        other = copy(self)
        own = {"matching"} if self.given else {"matching", "answer"}
        other.__dict__ = {name: held for name, held in vars(self).items() if name not in own}
        other._answers, other._likelihoods, other._votes = {}, {}, None
        other.seconds = {stage: self.seconds[stage] for stage in ("screen", "encode") if stage in self.seconds}
        return other

    def game(self, utility: str) -> VotesGame | LikelihoodGame | SimilarityToSentences:
        """The game over the passages: "votes", one output per answer, or one of the others for `answer`."""
        self._votes = Votes(self.answers, self.matching) if utility == "votes" else None
        if utility in SIMILARITIES:
            return SimilarityToSentences(self.answers, [self.answer], utility)
        return VotesGame(self._votes) if self._votes else LikelihoodGame(self.likelihoods, [self.answer])

    def attribute(
        self,
        settings: AttributionSettings | None = None,
        *,
        score: str | None = None,
        game: CachedGame | None = None,
        progress: Progress | None = None,
    ) -> Attribution:
        """Values of the passages that were read; the players are their ids, in the order given.

        Args:
            settings: utility, semivalue, estimator and budget; by default those of the session.
            score: what the passages will be ordered by, which a stopping rule must know; by default `rerank.score`.
            game: over the passages that were read; by default that of the settings' utility.
            progress: called as progress(evaluations, budget).
        """
        settings, score = settings or self.settings.attribution, score or self.settings.rerank.score
        budget = budget_of(settings, self.reader, self.n_read)
        return explain(
            game or self.game(settings.utility),
            self.n_read,
            players=[passage.id for passage in self.encoded.passages],
            seed=settings.seed,
            batch_size=game.batch_size if game else self.batch_size,
            progress=progress,
            **estimation(settings, budget, score, self.settings.rerank.keep),
        )

    def share(self, answer: str) -> float:
        """The fraction of the last attribution's coalitions that gave an answer; 0 where it was not of votes."""
        return 0.0 if self._votes is None else self._votes.share(answer)

    def distil(self, order: Sequence[int], keep: int | str) -> tuple[list[int], str]:
        """The passages to keep, and the answer read from them alone.

        Args:
            order: passages, best first.
            keep: a number of passages, or "smallest": the fewest first ones that give the full answer.
        """
        sizes = range(len(order) + 1) if keep == "smallest" else [min(int(keep), len(order))]
        prefixes = np.zeros((len(sizes), len(order)), dtype=bool)
        for row, size in enumerate(sizes):
            prefixes[row, list(order[:size])] = True
        answers = self.answers(prefixes)
        if keep != "smallest":
            return list(order[: sizes[0]]), answers[0]
        key = self.matching.key
        size = next(size for size, answer in zip(sizes, answers, strict=True) if key(answer) == key(self.answer))
        return list(order[:size]), answers[size]

    def screened(self, size: int) -> list[int]:
        """The places of the `size` passages that matter most to this session's reader, in their given order.

        A costlier reader then plays the game over these passages alone, as if no other had been retrieved. In the game
        in which the others are never read, their values are zero. This is cheaper than reading the others always, and
        an answer that they would give does not hide what the chosen ones do. The reader must be a `Screener`.
        """
        if not isinstance(self.reader, Screener):
            raise SettingsError(
                f"attribution.screen: reader {self.reader.name!r} does not say how relevant passages are"
            )
        order = influence_order(self.attribute(), self.reader.relevance(self.encoded))
        return sorted(self.read[index] for index in order[:size])

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started


@cache
def default_screener() -> Screener:
    """The embedded reader, loaded once."""
    from rag.readers.embedded import EmbeddedReader

    return EmbeddedReader()


def _screening(screener: Screener | None, question: str, passages: Sequence[Passage], seed: int) -> Session:
    """A session of the reader that screens."""
    budget = max(_SCREENING_BUDGET, 4 * len(passages))
    attribution = AttributionSettings(estimator="kernel", budget=budget, seed=seed)
    return Session(screener or default_screener(), question, passages, Settings(attribution=attribution))


def _check_answer(answer: str) -> str:
    if not answer.strip():
        raise ValueError("the answer to explain is empty; give one, or leave it out to explain the reader's own")
    return answer.strip()


def _check_ids(passages: Sequence[Passage]) -> None:
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise ValueError(f"two passages have the id {passage.id!r}; give each its own")
        seen.add(passage.id)


def _keys(coalitions: Coalitions) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def _first_rows(keys: Sequence[bytes], wanted: Callable[[bytes], bool]) -> list[int]:
    """Where each wanted key stands first."""
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        if wanted(key):
            first.setdefault(key, row)
    return list(first.values())
