"""What a language model replied: its text without reasoning, and how it ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from rag.readers.prompt.reasoning import split_reasoning

BYTES_PER_TOKEN = 4  # of English text under common tokenizers; that of an endpoint is not known
_CUT = ("length", "max_tokens", "model_length", "MAX_TOKENS")  # as OpenAI, Anthropic, Mistral and Google say it
_WITHHELD = ("content_filter", "safety", "SAFETY", "refusal")
_SWITCH = (
    "switch the model's reasoning off (reader.endpoint.request of an endpoint, reader.chat_template_kwargs of a model "
    "run here)"
)


@dataclass(frozen=True)
class Reply:
    """A reply.

    Attributes:
        text: what was said, without reasoning.
        cut: whether it ended at the limit of tokens.
        reasoning_tokens: tokens of reasoning, as the endpoint counts them, or about so many at four bytes each.
    """

    text: str
    cut: bool = False
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, text: str, *, cut: bool = False, reasoning: str = "", reasoning_tokens: int = 0) -> Reply:
        """The reply in a model's whole output.

        Args:
            text: the output, reasoning in tags among it.
            cut: whether it ended at the limit of tokens.
            reasoning: reasoning that came apart from it.
            reasoning_tokens: the tokens of reasoning, where they are known.

        Raises:
            NoReplyError: it is reasoning alone.
        """
        said, thoughts = split_reasoning(text)
        tokens = reasoning_tokens or -(-len(f"{reasoning}{thoughts}".encode(errors="replace")) // BYTES_PER_TOKEN)
        if not said.strip() and cut:
            raise NoReplyError(f"used up reader.max_answer_tokens before the reply began; raise it, or {_SWITCH}")
        if not said.strip() and tokens:
            raise NoReplyError(f"replied with reasoning alone, and no answer; {_SWITCH}")
        return cls(said, cut, tokens)

    def to_json(self) -> str:
        """The reply as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Reply:
        """Inverse of `to_json`."""
        return cls(**json.loads(line))


class NoReplyError(ValueError):
    """There is no reply in what a model sent.

    Attributes:
        passing: whether the same request may succeed later.
    """

    def __init__(self, message: str, *, passing: bool = False):
        super().__init__(message)
        self.passing = passing


def read_completion(body: Any) -> Reply:
    """The reply in the parsed JSON of a chat completion.

    The content may be a string or a list of parts, whose texts are joined; reasoning may stand in it, in parts of its
    own, or beside it (`reasoning_content`, `reasoning`).

    Raises:
        NoReplyError: it is no chat completion or holds no text, the reply is reasoning alone, or was withheld.
    """
    try:
        choice = body["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        content, refusal = message.get("content"), message.get("refusal")
        apart = [message.get(name) for name in ("reasoning_content", "reasoning")]
        usage = body.get("usage")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise NoReplyError("answered with no chat completion", passing=True) from None
    if finish in _WITHHELD:
        raise NoReplyError(
            f"withheld the reply (finish_reason {finish}), which is no vote for “no answer”; leave out the "
            "passages that its filter objects to, or ask another endpoint"
        )
    if finish == "error":
        raise NoReplyError("broke off the reply (finish_reason error)", passing=True)
    text, reasoning = _joined(content)
    if isinstance(content, list):
        refusal = refusal or next(
            (part["refusal"] for part in content if isinstance(part, dict) and part.get("refusal")), None
        )
        content = text or None
    reasoning = "\n".join([reasoning, *(part for part in apart if isinstance(part, str))]).strip()
    if not text and isinstance(refusal, str) and refusal:
        raise NoReplyError(f"refused to reply ({' '.join(refusal.split())[:160]!r}), which is no vote for “no answer”")
    tokens = _reasoning_tokens(usage)
    cut = finish in _CUT
    if content is None and not cut and not (reasoning or tokens):
        raise NoReplyError("answered without text", passing=True)
    reply = Reply.of(text, cut=cut, reasoning=reasoning, reasoning_tokens=tokens)
    try:
        reply.text.encode()  # half of a surrogate pair can neither be kept nor shown
    except UnicodeEncodeError:
        raise NoReplyError("answered with no chat completion", passing=True) from None
    return reply


def _joined(content: Any) -> tuple[str, str]:
    """The text of a message's content, and the reasoning among its parts."""
    if isinstance(content, str) or content is None:
        return content or "", ""
    if not isinstance(content, list) or not all(isinstance(part, str | dict) for part in content):
        raise NoReplyError("answered without text", passing=True)
    said, thoughts = [], []
    for part in content:
        if isinstance(part, str):
            said.append(part)
        elif part.get("type") in ("thinking", "reasoning", "redacted_thinking"):
            held = part.get("thinking") or part.get("text") or ""  # Mistral nests parts of its own
            thoughts.append(_joined(held)[0] if isinstance(held, str | list) else "")
        elif isinstance(part.get("text"), str):
            said.append(part["text"])
    return "".join(said), "\n".join(thoughts)


def _reasoning_tokens(usage: Any) -> int:
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    tokens = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else 0
