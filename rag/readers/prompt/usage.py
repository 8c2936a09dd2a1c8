"""How many tokens language models have read and written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """What was asked of a model so far, or for one question.

    Attributes:
        calls: prompts that were sent or read.
        read: tokens of these prompts.
        cached: tokens of these that were known, by the endpoint's count or because prompts share them.
        written: tokens of the replies.
    """

    calls: int = 0
    read: int = 0
    cached: int = 0
    written: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(
            self.calls + other.calls, self.read + other.read, self.cached + other.cached, self.written + other.written
        )

    def __sub__(self, other: Usage) -> Usage:
        """What was added since."""
        return self + Usage(-other.calls, -other.read, -other.cached, -other.written)

    @classmethod
    def of(cls, body: Any) -> Usage:
        """That of one call, by the parsed JSON of an endpoint's answer; what it does not count is 0.

        Cached tokens are counted in `usage.prompt_tokens_details` (OpenAI, vLLM, SGLang, llama.cpp) or in llama.cpp's
        `timings`.
        """
        usage, timings = _part(body, "usage"), _part(body, "timings")
        cached = _number(_part(usage, "prompt_tokens_details"), "cached_tokens") or _number(timings, "cache_n")
        return cls(1, _number(usage, "prompt_tokens"), cached, _number(usage, "completion_tokens"))


def _part(body: Any, name: str) -> Any:
    return body.get(name) if isinstance(body, dict) else None


def _number(part: Any, name: str) -> int:
    number = _part(part, name)
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else 0
