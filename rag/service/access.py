"""Who is let in: clients with the bearer token or, where none is set, clients on this machine."""

from __future__ import annotations

import hmac
import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rag.service.errors import body
from rag.service.settings import is_loopback

OPEN = ("/", "/health", "/openapi.json")
"""Paths that need no token, as the explorer's files do not: they hold no one's data."""

_HOST = re.compile(r"(?:\[(?P<six>[^\]]*:[^\]]*)\]|(?P<other>[^:\[\]]+))(?::[0-9]+)?")


class Access:
    """Refuses requests without the token.

    Where no token is set, a request must name this machine as its host. Otherwise a page on the web whose name is made
    to point here could have a browser send requests for it (DNS rebinding).

    Args:
        app: the application to guard.
        token: the bearer token; None requires none.
    """

    def __init__(self, app: ASGIApp, token: str | None):
        self.app = app
        self.expected = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if self.expected is None and not _is_local(headers.get("host", "")):
                message = (
                    "without a token, this service answers only to localhost and loopback addresses such as 127.0.0.1"
                )
                await JSONResponse(body(403, message), 403)(scope, receive, send)
                return
            if self.expected is not None and not _is_open(scope["path"]):
                # Bytes, because strings beyond ASCII cannot be compared in constant time.
                scheme, _, given = headers.get("authorization", "").encode("latin-1").partition(b" ")
                if not hmac.compare_digest(given.strip(b" "), self.expected) or scheme.lower() != b"bearer":
                    message = "the header 'Authorization: Bearer TOKEN' is missing or wrong"
                    response = JSONResponse(body(401, message), 401, {"WWW-Authenticate": "Bearer"})
                    await response(scope, receive, send)
                    return
        await self.app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith("/explorer/")


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine, with or without a port."""
    found = _HOST.fullmatch(host.lower())
    return found is not None and is_loopback(found["six"] or found["other"])
