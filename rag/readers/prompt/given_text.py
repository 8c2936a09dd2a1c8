"""Log-probabilities of a given text from an endpoint: how they are asked for, and how they are found in the answer."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rag.readers.prompt.address import COMPLETIONS

_UNDECODED = re.compile("\ufffd|^bytes:")  # a token that is part of a character
_MOST_UNDECODED = 4  # characters that one such token may stand for, all of them in one gap
_TAIL = 40  # characters of the prompt that the tokens before the text must spell

LIMITS = ("max_tokens", "max_completion_tokens")
"""The fields of a request that limit the tokens of its reply."""


class Token(NamedTuple):
    """A token of a given text: its characters [start, end) there, and its log-probability after all before it."""

    start: int
    end: int
    log_prob: float


class Way(ABC):
    """A way to ask an endpoint for the log-probabilities of a given text.

    Attributes:
        name: names it in messages.
        path: of the requests, in place of that of chat completions.
    """

    name: str
    path: str

    @abstractmethod
    def body(self, fields: Mapping[str, Any], prompt: str, text: str) -> dict[str, Any]:
        """The request: one token is generated, because not every server takes 0 to mean none."""

    @abstractmethod
    def tokens(self, body: Any, prompt: str, text: str) -> list[Token]:
        """The text's tokens in the parsed JSON of an answer; raises `GivenTextError` if they are not there."""


class GivenTextError(ValueError):
    """The answer does not hold the log-probabilities of the given text."""


class PromptLogProbs(Way):
    """vLLM's `prompt_logprobs`: the text is the beginning of the assistant's message, as the chat template has it."""

    name = "prompt_logprobs"
    path = COMPLETIONS

    def body(self, fields: Mapping[str, Any], prompt: str, text: str) -> dict[str, Any]:
        """A chat whose last message is to be continued."""
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
        unfinished = {"add_generation_prompt": False, "continue_final_message": True}
        return {**_short(fields), "messages": messages, **unfinished, "prompt_logprobs": 0}

    def tokens(self, body: Any, prompt: str, text: str) -> list[Token]:
        """The last of the prompt's tokens; of each position's, the given one stands first."""
        try:
            entries = [next(iter(entry.values())) for entry in body["prompt_logprobs"] if entry]
            pieces = [str(entry["decoded_token"]) for entry in entries]
            log_probs = [float(entry["logprob"]) for entry in entries]
        except (KeyError, TypeError, AttributeError, ValueError, StopIteration):
            raise GivenTextError("it ignores prompt_logprobs") from None
        return _last(pieces, log_probs, text)


class Echo(Way):
    """`/completions` with `echo` and `logprobs`: the bare prompt, with the text after a space."""

    name = "echo"
    path = "/completions"

    def body(self, fields: Mapping[str, Any], prompt: str, text: str) -> dict[str, Any]:
        """A text to be continued, and given back."""
        return {**_short(fields), "prompt": f"{prompt} {text}", "echo": True, "logprobs": 1}

    def tokens(self, body: Any, prompt: str, text: str) -> list[Token]:
        """The tokens before the generated one, which may be missing if it ends the text."""
        whole = f"{prompt} {text}"
        try:
            choice = body["choices"][0]
            said, held = str(choice["text"]), choice["logprobs"]
            pieces = [str(piece) for piece in held["tokens"]]
            log_probs = [float("nan") if value is None else float(value) for value in held["token_logprobs"]]
        except (KeyError, IndexError, TypeError, ValueError):
            raise GivenTextError("it gives no log-probabilities with echo") from None
        if not said.strip().startswith(whole.strip()) or len(pieces) != len(log_probs):
            raise GivenTextError("it ignores echo")
        tail = min(_TAIL, len(prompt))
        spelt = whole[len(prompt) - tail :]
        for generated in (1, 0):
            kept = len(pieces) - generated
            try:
                found = _last(pieces[:kept], log_probs[:kept], spelt)
            except GivenTextError:
                continue
            before = tail + 1
            own = [token for token in found if token.end > before]
            return [Token(max(0, one.start - before), one.end - before, one.log_prob) for one in own]
        raise GivenTextError("its tokens do not spell the text")


WAYS: tuple[Way, ...] = (PromptLogProbs(), Echo())
"""The ways, in the order in which they are tried: chat templates are better than bare prompts."""


def dump_tokens(tokens: Sequence[Token]) -> str:
    """Tokens as one line."""
    return json.dumps(tokens)


def load_tokens(line: str) -> list[Token]:
    """Inverse of `dump_tokens`."""
    return [Token(*token) for token in json.loads(line)]


def _short(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of every request, with one token as their limit."""
    limits = [name for name in LIMITS if name in fields] or ["max_tokens"]
    return {**fields, **dict.fromkeys(limits, 1)}


def _last(pieces: Sequence[str], log_probs: Sequence[float], text: str) -> list[Token]:
    """The last tokens, which spell a text; found from its end, because templates differ in what stands before it.

    White space is not compared: some servers decode each token alone, which takes it away. Tokens that are parts of
    characters share the characters between their neighbours.
    """
    found: list[Token] = []
    parts: list[float] = []  # log-probabilities of tokens whose characters are not known yet
    end = len(text.rstrip())
    for piece, log_prob in zip(reversed(pieces), reversed(log_probs), strict=True):
        if not end:
            break
        core = piece.strip()
        if _UNDECODED.search(piece):
            parts.append(log_prob)
            continue
        start, stop = _place(core, text[:end], len(parts))
        found += [Token(stop, end, one) for one in parts]
        parts.clear()
        if stop or not core:
            found.append(Token(start, stop, log_prob))
        end = len(text[:start].rstrip())
    if parts and end <= _MOST_UNDECODED * len(parts):
        found += [Token(0, end, one) for one in parts]
        end = 0
    if end:
        raise GivenTextError("its tokens do not spell the text")
    return found[::-1]


def _place(core: str, text: str, n_parts: int) -> tuple[int, int]:
    """Where a token stands in a text that ends with it and `n_parts` undecoded ones; (0, 0) if it stands before it."""
    if not n_parts:
        if text.endswith(core):
            return len(text) - len(core), len(text)
        if core.endswith(text):
            return 0, len(text)
        raise GivenTextError("its tokens do not spell the text")
    at = text.rfind(core, 0, len(text) - 1)  # an undecoded token has a character at least
    if at >= 0 and len(text) - at - len(core) <= _MOST_UNDECODED * n_parts:
        return at, at + len(core)
    if len(text) <= _MOST_UNDECODED * n_parts:
        return 0, 0
    raise GivenTextError("its tokens do not spell the text")
