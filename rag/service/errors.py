"""Failures that a client is told about, in a body that every protocol's clients understand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

KINDS = {
    400: "Validation",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "Validation",
    408: "Timeout",
    413: "Validation",
    422: "Validation",
    429: "Overloaded",
    499: "Cancelled",
    500: "Backend",
    503: "Unhealthy",
    504: "Timeout",
}


_LONGEST = 2000  # characters of a message


class Error(BaseModel):
    """What went wrong: Cohere's clients read `message`, Jina's `detail`, those of text-embeddings-inference `error`."""

    message: str = Field(examples=["the question is empty; ask something"])
    detail: str = Field(examples=["the question is empty; ask something"])
    error: str = Field(examples=["the question is empty; ask something"])
    error_type: str = Field(examples=["Validation"])


class Failure(Exception):  # noqa: N818 - it is an answer to a request
    """Ends a request with a status, a sentence and perhaps headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


def body(status: int, message: str) -> dict[str, str]:
    """The body of a failure, as `Error` says; what a message repeats of the request is cut, and can be sent."""
    message = message.encode(errors="replace").decode()
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    kind = KINDS.get(status, "Validation" if status < 500 else "Backend")
    return {"message": message, "detail": message, "error": message, "error_type": kind}


def described(problems: Sequence[Any]) -> str:
    """Pydantic's findings on a request as one sentence, without what was sent."""
    if any(problem["type"] == "json_invalid" for problem in problems):
        return "the body is not valid JSON"
    parts = []
    for problem in problems[:3]:
        place = ".".join(str(part) for part in problem["loc"][1:]) or "body"
        parts.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}")
    more = len(problems) - 3
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The body is not JSON, or holds nothing to work on"},
    401: {"model": Error, "description": "The bearer token is missing or wrong"},
    403: {"model": Error, "description": "Without a token, the service answers only to the names of this machine"},
    408: {"model": Error, "description": "The body did not arrive in time"},
    413: {"model": Error, "description": "The body, a text, or the number of documents exceeds a limit"},
    422: {"model": Error, "description": "A field is missing or wrong; the message says which"},
    429: {"model": Error, "description": "The queue is full; try again after Retry-After seconds"},
    503: {"model": Error, "description": "The service is shutting down"},
    504: {"model": Error, "description": "The time limit is over; the work was stopped"},
}
