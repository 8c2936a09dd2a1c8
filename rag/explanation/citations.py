"""Which passages carry each sentence of an answer, or each span that was chosen, and whether any does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attribution import Attribution, CachedGame
from rag.explanation.sentence_games import LikelihoodOfSentences, SentenceGame, TokenLogProb
from rag.explanation.similarity import SIMILARITIES, SimilarityToSentences
from rag.explanation.spans import explained_spans, visible
from rag.readers.base import Coalitions, TokenReader, WritingReader

if TYPE_CHECKING:
    from rag.session import Session

MOST_VOTED_WORDS = 12
"""An answer of more words is explained sentence by sentence: almost every coalition would word it differently."""

_BATCH = 32  # coalitions scored between two reports of progress
_MOST_PASSAGES = 3
_LEAST_SHARE = 0.25  # of the strongest passage's value


@dataclass(frozen=True)
class Sentence:
    """A sentence of an answer, and what carries it.

    Worth is that of the game: the log-probability of the sentence after those before it, or its similarity to what the
    reader answers. `drop` and `hold` are the pair of SelfCite (Chuang et al. 2025).

    Attributes:
        start: its first character in the answer.
        end: the character after its last.
        tokens: number of the reader's tokens in it; None where worth is no log-probability.
        passages: ids of the passages that carry it, the strongest first; at most three.
        drop: how much worth is lost without these passages; high where no other passage makes up for them.
        hold: how much worth there is from these passages alone beyond that from all; about 0 where they are enough.
        supported: whether these passages alone make it likely enough; None where it has not been measured for the
            reader how likely that is, nor set, and where worth is no log-probability.
        token_log_probs: how likely its tokens are; empty where worth is no log-probability.
    """

    start: int
    end: int
    tokens: int | None
    passages: tuple[str, ...]
    drop: float
    hold: float
    supported: bool | None
    token_log_probs: tuple[TokenLogProb, ...] = ()

    @property
    def log_prob(self) -> float | None:
        """The mean log-probability of its tokens from all passages."""
        return sum(token.full for token in self.token_log_probs) / self.tokens if self.tokens else None


@dataclass(frozen=True)
class Citations:
    """What the passages do for each sentence of an answer.

    Attributes:
        answer: the answer, which the user gave or the reader generated.
        attribution: values `(n_sentences, n_passages)`, one output for each sentence, all from the same evaluations.
        sentences: the sentences, or the parts that were chosen, in order.
    """

    answer: str
    attribution: Attribution
    sentences: tuple[Sentence, ...]

    def text(self, sentence: Sentence) -> str:
        """The words of a sentence."""
        return self.answer[sentence.start : sentence.end]

    @property
    def chosen(self) -> bool:
        """Whether they are parts of the answer that were chosen, beside which there is more text."""
        ends = [0, *(one.end for one in self.sentences)]
        starts = [*(one.start for one in self.sentences), len(self.answer)]
        return any(visible(self.answer[end:start]) for end, start in zip(ends, starts, strict=True))

    @property
    def unsupported(self) -> tuple[Sentence, ...]:
        """The sentences that no passage supports."""
        return tuple(sentence for sentence in self.sentences if sentence.supported is False)

    def to_dict(self) -> dict[str, Any]:
        """Everything in lists, strings and numbers."""
        sentences = [
            {
                **{"text": self.text(one), **asdict(one), "passages": list(one.passages)},
                "token_log_probs": [token._asdict() for token in one.token_log_probs],
            }
            for one in self.sentences
        ]
        return {"answer": self.answer, "sentences": sentences, "attribution": self.attribution.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Citations:
        """Inverse of `to_dict`; raises `KeyError`, `TypeError` or `ValueError` for damaged content."""
        sentences = tuple(
            Sentence(
                passages=tuple(one["passages"]),
                token_log_probs=tuple(TokenLogProb(**token) for token in one.get("token_log_probs", ())),
                **{name: one[name] for name in ("start", "end", "tokens", "drop", "hold", "supported")},
            )
            for one in content["sentences"]
        )
        return cls(content["answer"], Attribution.from_dict(content["attribution"]), sentences)


def by_sentences(session: Session) -> bool:
    """Whether an answer is explained sentence by sentence: if given, too long for votes, or cut into chosen spans."""
    utility = session.settings.attribution.utility
    if not visible(session.answer):
        return False
    if session.given or session.spans is not None or utility in (*SIMILARITIES, "logit"):
        return True
    return len(session.answer.split()) > MOST_VOTED_WORDS


def cite(
    session: Session, progress: Callable[[int, int], None] | None = None
) -> tuple[Attribution, Citations, list[str]]:
    """Attribute an answer's sentences, or the spans chosen, together and one by one.

    Args:
        session: its answer is explained; its settings say how values are estimated.
        progress: called as progress(evaluations, budget).

    Returns:
        The attribution of all sentences together, whose worth is the sum of theirs (their mean for similarity; see
        `LikelihoodOfSentences.whole` for logits); that of the sentences; and what the user should know of the utility.

    Raises:
        ValueError: the answer is too long for the reader, or does not hold the spans.
    """
    answer = session.answer
    spans = explained_spans(answer, session.spans)
    game, warnings = _game(session, answer, spans)
    # Fewer at once than for short answers, so that progress shows.
    cached = CachedGame(_WithWhole(game, answer), session.n_read, batch_size=min(_BATCH, session.batch_size))
    found = session.attribute(game=cached, progress=progress)
    own = slice(1, None) if len(spans) > 1 else slice(None)
    names = [answer[start:end] for start, end in spans]
    rows = {"values", "errors", "full", "empty"} | ({"pivots"} if found.pivots is not None else set())
    parts = {name: getattr(found, name)[own] for name in rows}
    attribution = replace(found, outputs=tuple(names), output=0, **parts)
    carriers = [_carriers(*row) for row in zip(attribution.values, attribution.errors, strict=True)]
    worth = _worth(cached, carriers)[:, :, own]
    least, likely = _least_support(session), game.token_log_probs()
    sentences = []
    for row, ((start, end), carrying) in enumerate(zip(spans, carriers, strict=True)):
        full, without, alone = (float(worth[row, which, row]) for which in range(3))
        count = supported = None
        if isinstance(game, LikelihoodOfSentences):
            count = len(likely[row])
            if least is not None:
                supported = bool(carrying) and bool(game.per_token(worth[row, 2])[row] >= least)
        ids = tuple(attribution.players[player] for player in carrying)
        sentences.append(Sentence(start, end, count, ids, full - without, alone - full, supported, likely[row]))
    whole = {name: getattr(found, name)[:1] for name in rows}
    return (
        replace(found, outputs=(answer,), output=0, **whole),
        Citations(answer, attribution, tuple(sentences)),
        [*warnings, *game.warnings()],
    )


def _game(session: Session, answer: str, spans: Sequence[tuple[int, int]]) -> tuple[SentenceGame, list[str]]:
    """The game that the settings ask for, if the reader can play it, and what is to be said of the choice."""
    reader, asked = session.reader, session.settings.attribution.utility
    warnings = []
    able = asked not in SIMILARITIES and isinstance(reader, TokenReader) and reader.scores_tokens()
    logit = asked == "logit"
    used = ("logit" if logit else "likelihood") if able else asked if asked in SIMILARITIES else "similarity"
    if not session.given and asked == "votes":
        of = "the spans'" if session.spans is not None else "its sentences'"
        why = "spans were chosen" if session.spans is not None else f"the answer has more than {MOST_VOTED_WORDS} words"
        warnings.append(f"{why}, so values are of {of} {used}, not of votes")
    if not able and asked not in SIMILARITIES:
        warnings.append(
            f"the reader {reader.name!r} gives no log-probabilities of given answers, so values are of the similarity "
            "between each sentence and what the reader answers"
        )
    if not able:
        warnings.append("similarity tells which passages a sentence resembles most, not whether they support it")
        return SimilarityToSentences(_regenerated(session), [answer[start:end] for start, end in spans], used), warnings
    assert isinstance(reader, TokenReader), "it is able to"
    return LikelihoodOfSentences(reader, session.encoded, answer, spans, used), warnings


def _regenerated(session: Session) -> Callable[[Coalitions], list[str]]:
    """What the reader answers from coalitions: at length, if it can, where the answer to explain was given."""
    reader, encoded, n_words = session.reader, session.encoded, len(session.answer.split())
    if session.given and isinstance(reader, WritingReader):
        return lambda coalitions: reader.write(encoded, coalitions, n_words)
    return session.answers


class _WithWhole:
    """A game of sentences with the whole answer as one more output, the first, if there are several sentences."""

    def __init__(self, game: SentenceGame, answer: str):
        self.utility, self._game = game.utility, game
        self.outputs = (answer, *game.outputs) if len(game.outputs) > 1 else game.outputs

    def __call__(self, coalitions: Coalitions, /) -> np.ndarray[Any, np.dtype[np.float64]]:
        worth = self._game(coalitions)
        return worth if worth.shape[1] == 1 else np.concatenate([self._game.whole(worth)[:, None], worth], axis=1)


def _carriers(values: np.ndarray[Any, Any], errors: np.ndarray[Any, Any]) -> list[int]:
    """The passages that carry a sentence: those that stand out from 0 and do not fall far behind the strongest."""
    order = np.argsort(-values, kind="stable")[:_MOST_PASSAGES].tolist()
    return [i for i in order if values[i] > max(0.0, 2 * errors[i]) and values[i] >= _LEAST_SHARE * values[order[0]]]


def _worth(game: CachedGame, carriers: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Worth from all passages, without a sentence's carriers, and from these alone, `(n_sentences, 3, n_outputs)`."""
    rows = np.zeros((len(carriers), 3, game.n_players), dtype=bool)
    rows[:, :2] = True
    for sentence, carrying in enumerate(carriers):
        rows[sentence, 1, carrying], rows[sentence, 2, carrying] = False, True
    worth = game(rows.reshape(3 * len(carriers), game.n_players))
    return worth.reshape(len(carriers), 3, game.n_outputs)


def _least_support(session: Session) -> float | None:
    """The log-probability per token from which a sentence is supported."""
    own = session.settings.attribution.support
    if own is not None:
        return own
    return session.reader.least_support if isinstance(session.reader, TokenReader) else None
