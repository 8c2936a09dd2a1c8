"""A reader that puts a question and its passages into one prompt for any language model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from attribution.games import all_coalitions
from rag.readers.base import (
    Closable,
    Coalitions,
    EncodedQuestion,
    Notice,
    TokenScores,
    check_coalitions,
    check_question,
    close,
)
from rag.readers.long_questions import kept_text
from rag.readers.prompt.answer import find_answer, find_text, is_cut
from rag.readers.prompt.reply import Reply
from rag.readers.prompt.template import DEFAULT_TEMPLATE, LONG_TEMPLATE, NO_ANSWER, Prompt
from rag.readers.prompt.usage import Usage
from retrievers import Passage

_LONG = 20.0  # seconds from which a time is worth saying
_LOG = logging.getLogger(__name__)
_TOKENS_PER_WORD = 2  # more than any common tokenizer needs for English


class LanguageModel(Protocol):
    """A model that continues a prompt.

    Attributes:
        name: the model's name in results.
        control_tokens: strings by which the model's chat format is controlled.
        priced: whether calls cost money; the cost is then announced before the first call.
        usage: what was asked of the model so far.
        scoring: how log-probabilities of given replies are found, if that had to be found out; shown with the cost.
        limit: the setting that limits the tokens of a reply in place of `reader.max_answer_tokens`, and its value, None
            if there is no limit; None where no other setting does.
    """

    name: str
    control_tokens: tuple[str, ...]
    priced: bool
    usage: Usage
    scoring: str
    limit: tuple[str, int | None] | None

    def places(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) that each token of a text stands for."""
        ...

    def seconds(self, tokens: int, calls: int) -> float:
        """About how long it takes to read so many tokens of so many prompts; 0 if it is not known."""
        ...

    def complete(self, prompts: Sequence[str], tokens: int = 0) -> list[Reply]:
        """The greedy reply to each prompt, of at least so many tokens at most; the prompts are distinct."""
        ...

    def score(self, prompts: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
        """Log-probabilities that a reply begins so, `(n_prompts, n_replies)`; the prompts are distinct."""
        ...

    def scores_tokens(self) -> bool:
        """Whether the model scores given replies at all; an endpoint may have to be asked."""
        ...

    def score_tokens(self, prompts: Sequence[str], reply: str) -> TokenScores:
        """Log-probabilities of a reply's tokens after each prompt; the prompts are distinct."""
        ...


@dataclass(frozen=True)
class Cost:
    """The largest number of calls for a question, and about how many tokens they read and write.

    Of the tokens read, `tokens_shared` are passages at the beginning of a prompt that another prompt begins with too.
    """

    calls: int
    tokens_read: int
    tokens_shared: int
    tokens_written: int | None  # None if nothing limits it


@dataclass(frozen=True)
class _State:
    question: str
    quoted: tuple[str, ...]  # as they stand in the prompt
    tokens: tuple[int, ...]  # of each passage
    frame_tokens: int  # of the prompt without passages
    usage: Usage  # of the model before this question
    replies: dict[str, Reply] = field(default_factory=dict)  # by prompt


class PromptReader(Closable):
    """Answers by one prompt per coalition, which holds the passages of the coalition only.

    Args:
        model: a `CausalModel` or an `Endpoint`.
        template: the prompt, with placeholders; see `Prompt`. By default, answers at length have another one.
        max_passage_tokens: limit of tokens of the question (see `kept_text`), and of each passage with its title;
            what exceeds it is cut and counted.
        max_answer_tokens: the model's limit of tokens of a reply, for the cost, unless the model has its own.

    Raises:
        ValueError: the template lacks a placeholder or has an unknown one.
    """

    batch_size = 16
    least_support: float | None = -2.2  # measured with one model; see docs/evaluation.md

    def __init__(
        self,
        model: LanguageModel,
        *,
        template: str | None = None,
        max_passage_tokens: int = 2048,
        max_answer_tokens: int = 32,
    ):
        self.name = model.name
        self.model = model
        self.prompt = Prompt(template or DEFAULT_TEMPLATE, model.control_tokens)
        self.long_prompt = Prompt(template or LONG_TEMPLATE, model.control_tokens)
        self.max_passage_tokens = max_passage_tokens
        self.limit_setting, self.max_answer_tokens = model.limit or ("reader.max_answer_tokens", max_answer_tokens)

    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        """Quote and cut the passages; the model is not called yet."""
        question = check_question(question)
        whole = self.prompt.disarm(question)
        asked, question_cut = kept_text(whole, self.model.places(whole), self.max_passage_tokens)
        quoted, tokens, cut = [], [], []
        for text in map(self.prompt.quote, passages):
            places = self.model.places(text)
            read = places[: self.max_passage_tokens]
            quoted.append(text if len(read) == len(places) else text[: read[-1][1]])
            tokens.append(len(read))
            cut.append(len(places) - len(read))
        frame = len(self.model.places(self.prompt.render(asked, [])))
        state = _State(asked, tuple(quoted), tuple(tokens), frame, self.model.usage)
        return EncodedQuestion(question, tuple(passages), tuple(cut), question_cut, state, frame + sum(tokens))

    def close(self) -> None:
        """Release what the model holds open; the reader cannot be used afterwards."""
        close(self.model)

    def generate(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        """The model's greedy answers, one per coalition; coalitions with the same prompt cost one call."""
        state: _State = encoded.state
        prompts = self.prompts(encoded, coalitions)
        distinct = list(dict.fromkeys(prompts))
        state.replies.update(zip(distinct, self.model.complete(distinct), strict=True))
        return [find_answer(state.replies[prompt].text) for prompt in prompts]

    def write(self, encoded: EncodedQuestion, coalitions: Coalitions, words: int) -> list[str]:
        """The model's whole replies to a prompt that asks for sentences, one per coalition; see `WritingReader`."""
        prompts = self._prompts(self.long_prompt, encoded, coalitions)
        distinct = list(dict.fromkeys(prompts))
        replies = dict(zip(distinct, self.model.complete(distinct, _TOKENS_PER_WORD * words), strict=True))
        return [find_text(replies[prompt].text) for prompt in prompts]

    def remarks(self, encoded: EncodedQuestion) -> list[Notice]:
        """How many of the replies so far were cut in their answer, and how many held reasoning."""
        replies = list(encoded.state.replies.values())
        told = []
        if cut := sum(map(is_cut, replies)):
            limit = "their limit of" if self.max_answer_tokens is None else f"the limit of {self.max_answer_tokens}"
            sentence = (
                f"{{:,}} of {{:,}} replies ended at {limit} tokens before the answer did; raise {self.limit_setting}"
            )
            told.append(Notice(sentence, (cut, len(replies))))
        if reasoned := [reply.reasoning_tokens for reply in replies if reply.reasoning_tokens]:
            sentence = "{:,} of {:,} replies held reasoning, about {:,} tokens, which is no part of the answers"
            told.append(Notice(sentence, (len(reasoned), len(replies), sum(reasoned))))
        if self.model.priced and (usage := self.model.usage - encoded.state.usage).calls:
            sentence = "{:,} calls; {:,} tokens read, {:,} of them from the endpoint's cache, and {:,} written"
            told.append(Notice(sentence, (usage.calls, usage.read, usage.cached, usage.written)))
        return told

    def score(self, encoded: EncodedQuestion, coalitions: Coalitions, answers: Sequence[str]) -> NDArray[np.float64]:
        """Log-probabilities that the reply begins with an answer ("" being the phrase for "no answer").

        The end of the reply is not counted, because models end their replies in too many ways.
        """
        prompts = self.prompts(encoded, coalitions)
        distinct = list(dict.fromkeys(prompts))
        scores = self.model.score(distinct, [answer or NO_ANSWER for answer in answers])
        place = {prompt: row for row, prompt in enumerate(distinct)}
        return scores[[place[prompt] for prompt in prompts]]

    def scores_tokens(self) -> bool:
        """Whether the model gives log-probabilities of given answers; an endpoint is tried out once."""
        return self.model.scores_tokens()

    def score_tokens(self, encoded: EncodedQuestion, coalitions: Coalitions, answer: str) -> TokenScores:
        """Log-probabilities of an answer's tokens, if the model gives them; see `TokenReader`."""
        prompts = self.prompts(encoded, coalitions)
        distinct = list(dict.fromkeys(prompts))
        found = self.model.score_tokens(distinct, answer)
        place = {prompt: row for row, prompt in enumerate(distinct)}
        return found._replace(log_probs=found.log_probs[[place[prompt] for prompt in prompts]])

    def prompts(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        """The prompt of each coalition."""
        return self._prompts(self.prompt, encoded, coalitions)

    def _prompts(self, prompt: Prompt, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        state: _State = encoded.state
        rows = check_coalitions(coalitions, len(encoded.passages))
        return [prompt.render(state.question, [state.quoted[i] for i in np.flatnonzero(row)]) for row in rows]

    def cost(self, encoded: EncodedQuestion, calls: int, words: int = 0, scored: str = "") -> Cost:
        """What `calls` coalitions of a question cost if each holds half of the passages on average.

        `words` is that of `write`, or 0; `scored` is an answer that is read behind each prompt, and nothing written.
        """
        state: _State = encoded.state
        tokens, n = np.array(state.tokens, dtype=float), len(state.tokens)
        rows = all_coalitions(n) if calls >= 2**n else np.random.default_rng(0).random((calls, n)) < 0.5
        limit = self.max_answer_tokens
        written = None if limit is None else calls * max(limit, _TOKENS_PER_WORD * words)
        read = calls * (state.frame_tokens + len(self.model.places(scored))) + tokens.sum() / 2 * calls
        return Cost(
            calls,
            round(read),
            round(shared_tokens(rows, tokens)),
            0 if scored else written,
        )

    def announce(self, encoded: EncodedQuestion, calls: int, words: int = 0, scored: str = "") -> None:
        """Log the largest cost of the question, or how long it may take a model that is run here."""
        cost = self.cost(encoded, calls, words, scored)
        if self.model.priced:
            _LOG.warning(
                "%s: at most %s calls, about %s tokens read, of which %s are at the same place in another prompt, "
                "and %s written, less what is cached%s",
                self.name,
                *(f"{number:,}" for number in (cost.calls, cost.tokens_read, cost.tokens_shared)),
                "any number" if cost.tokens_written is None else f"at most {cost.tokens_written:,}",
                self.model.scoring and f"; {self.model.scoring}",
            )
        elif (seconds := cost.calls and self.model.seconds(cost.tokens_read - cost.tokens_shared, cost.calls)) > _LONG:
            _LOG.warning(
                "%s: at most %s coalitions, about %s tokens, of which %s are read once for several; it may take %s min",
                self.name,
                *(f"{number:,}" for number in (cost.calls, cost.tokens_read, cost.tokens_shared)),
                f"{seconds / 60:.1f}",
            )


def shared_tokens(coalitions: Coalitions, tokens: NDArray[np.float64]) -> float:
    """How many tokens of passages prompts have in common with one before, if read depth-first.

    Args:
        coalitions: bool `(n_coalitions, n_passages)`.
        tokens: `(n_passages,)` of each passage.
    """
    rows = coalitions[np.lexsort(coalitions.T[::-1])] if coalitions.size else coalitions
    agree = np.cumprod(rows[1:] == rows[:-1], axis=1, dtype=bool)
    return float(((agree & rows[1:]) @ tokens).sum())
