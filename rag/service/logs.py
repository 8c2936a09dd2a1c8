"""One line of JSON per request, which holds the question only if the settings say so."""

from __future__ import annotations

import json
import logging
import secrets
import sys
import time
import traceback
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.service.errors import UNFORESEEN, Failure, body
from rag.service.metrics import Metrics

LOG = logging.getLogger("ragshap.service")


class JsonLines(logging.Formatter):
    """Time, level, event and fields of a record as one line of JSON.

    An exception is logged with its type and the places in the code, but not its message, which may repeat a request.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up_logs() -> None:
    """Send the records of the service and of uvicorn to standard error as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("ragshap.service", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


def log_cause(request: Request, error: Exception) -> None:
    """Add the kind of error that a failure comes from to the request's line; nothing if it comes from none."""
    cause = error.__cause__ or error
    if not isinstance(cause, Failure):
        request.state.log["exception"] = type(cause).__name__


class Faults:
    """Answers an unforeseen error with 500 and logs it, within what puts headers on every response.

    Args:
        app: the application that may raise one; what it raises within a response passes.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            LOG.error("failed", exc_info=error)
            log_cause(Request(scope), error)
            await JSONResponse(body(UNFORESEEN.status, UNFORESEEN.message), UNFORESEEN.status)(scope, receive, send)


class Requests:
    """Gives each request an id, and logs and counts it at its end.

    Args:
        app: the application; it may add fields to the dictionary `request.state.log`.
        metrics: the counters.
        log_text: whether the field `text` is logged.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log_text: bool):
        self.app, self.metrics, self.log_text = app, metrics, log_text

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        name = secrets.token_hex(8)
        fields: dict[str, Any] = {}
        scope.setdefault("state", {})["log"] = fields
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:
            status = 500
            raise
        finally:
            status = status or 499  # nothing was sent, because the client is gone
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            text = {} if self.log_text else {"text"}
            logged = {key: value for key, value in fields.items() if key not in text}
            about = {"id": name, "method": scope["method"], "route": route, "status": status}
            LOG.info("request", extra={"fields": {**about, "seconds": round(seconds, 4), **logged}})
