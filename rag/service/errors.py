"""Failures as a client sees them, in a body that the clients of every protocol understand."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from pydantic import BaseModel, Field

from rag.readers.prompt.errors import CallLimitError, EndpointError, EndpointUnavailableError
from ragshap import PACKAGES
from retrievers.errors import BusyError, DiskFullError, EngineError, EngineUnavailableError, IndexFormatError

KINDS = {
    400: "Validation",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "Validation",
    408: "Timeout",
    413: "Validation",
    415: "Validation",
    422: "Validation",
    429: "Overloaded",
    499: "Cancelled",
    500: "Backend",
    502: "Backend",
    503: "Unhealthy",
    504: "Timeout",
}

_LONGEST = 2000  # characters of a message
_SECRETS = re.compile(r"(?<=://)[^/\s'\"]*@|(?<=[\w/])\?[^\s'\")]*=[^\s'\")]*")  # an address's user and query


class Error(BaseModel):
    """What went wrong. Cohere's clients read `message`, Jina's `detail`, those of text-embeddings-inference `error`."""

    message: str = Field(examples=["the question is empty; ask something"])
    detail: str = Field(examples=["the question is empty; ask something"])
    error: str = Field(examples=["the question is empty; ask something"])
    error_type: str = Field(examples=["Validation"])


class Failure(Exception):  # noqa: N818 - it is an answer to a request
    """Ends a request with a status, a message and, where given, headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


UNFORESEEN = Failure(500, "something went wrong here; the log says where")


def failure_of(error: Exception) -> Failure | None:
    """What a client should learn of an error that came up while answering; None for an unforeseen one.

    502 and 503 are for endpoints and search engines: 502 if one answered wrongly, 503 if it cannot be reached, did not
    answer in time, or is busy. A `ValueError` that our own packages raised says what is wrong with the request; one
    that a library raised is unforeseen.
    """
    if isinstance(error, Failure):
        return error
    if isinstance(error, EndpointUnavailableError | EngineUnavailableError):
        wait = math.ceil(getattr(error, "retry_after", 0.0))
        return Failure(503, _without_secrets(error), {"Retry-After": str(wait)} if wait else None)
    if isinstance(error, CallLimitError | BusyError | DiskFullError):
        return Failure(503, str(error))
    if isinstance(error, EndpointError | EngineError):
        return Failure(502, _without_secrets(error))
    if isinstance(error, ConnectionError | TimeoutError):
        return Failure(503, f"what this service depends on cannot be reached ({type(error).__name__})")
    if _is_out_of_memory(error):
        return Failure(503, "there is not enough memory for this; send fewer or shorter passages, or a smaller budget")
    if isinstance(error, IndexFormatError):
        return Failure(500, str(error))
    if isinstance(error, ValueError) and _raised_in(error).split(".")[0] in PACKAGES:
        return Failure(422, str(error))
    return None


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn the errors that `failure_of` knows into a `Failure`; others pass unchanged."""
    try:
        yield
    except Exception as error:
        failure = failure_of(error)
        if failure is None or failure is error:
            raise
        raise failure from error


def _raised_in(error: Exception) -> str:
    """The name of the module that raised an error."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")) if frames else ""


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or torch ran out of memory; on the CPU, torch raises a bare `RuntimeError`."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "allocate memory" in str(error))
    )


def _without_secrets(error: Exception) -> str:
    return _SECRETS.sub("", str(error))


def body(status: int, message: str) -> dict[str, str]:
    """The body of a failure, as `Error` describes it; a long message is cut, and what UTF-8 cannot hold is replaced."""
    message = message.encode(errors="replace").decode()
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    kind = KINDS.get(status, "Validation" if status < 500 else "Backend")
    return {"message": message, "detail": message, "error": message, "error_type": kind}


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The body cannot be parsed, or there is nothing to rank"},
    401: {"model": Error, "description": "The bearer token is missing or wrong"},
    403: {
        "model": Error,
        "description": "Without a token, the service answers only requests whose Host is this machine",
    },
    408: {"model": Error, "description": "The body did not arrive in time"},
    413: {
        "model": Error,
        "description": "The body, also unpacked, a text, or the number of documents exceeds a limit",
    },
    415: {"model": Error, "description": "The body is packed in another way than gzip"},
    422: {
        "model": Error,
        "description": "The body is not JSON, or a field is missing or wrong; the message says which",
    },
    429: {"model": Error, "description": "The queue is full; try again after Retry-After seconds"},
    502: {
        "model": Error,
        "description": "The endpoint or search engine behind this service refused the request or answered wrongly",
    },
    503: {
        "model": Error,
        "description": "The service is shutting down or lacks memory, or the endpoint or search engine behind it "
        "cannot be reached or is busy; Retry-After is sent if that is known",
    },
    504: {"model": Error, "description": "The time limit was exceeded, and the work was stopped"},
}
