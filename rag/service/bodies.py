"""Request bodies are read whole before anything else happens, within limits of size and time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.service.errors import body

_ARRIVAL = 20.0  # seconds


class Bodies:
    """Refuses bodies that are too large or arrive too slowly.

    Args:
        app: the application that gets requests with complete bodies.
        limit: size of the largest body, in bytes.
        arrival: time within which a body must arrive, in seconds.
    """

    def __init__(self, app: ASGIApp, limit: int, arrival: float = _ARRIVAL):
        self.app = app
        self.limit = limit
        self.arrival = arrival

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and pass it on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        status, message = 413, f"the body exceeds this service's limit of {self.limit // 1024:,} kB"
        content: bytes | None = None
        if not announced.isdecimal() or int(announced) <= self.limit:
            try:
                content = await asyncio.wait_for(self._read(receive), self.arrival)
            except asyncio.TimeoutError:
                status, message = 408, f"the body did not arrive within {self.arrival:g} s"
        if content is None:
            # The rest of the body would be taken for the next request, so the connection ends here.
            await JSONResponse(body(status, message), status, {"Connection": "close"})(scope, receive, send)
            return
        first: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None as soon as it is too large."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            received = await receive()
            part = received.get("body", b"")
            size += len(part)
            if size > self.limit:
                return None
            parts.append(part)
            more = received["type"] == "http.request" and received.get("more_body", False)
        return b"".join(parts)
