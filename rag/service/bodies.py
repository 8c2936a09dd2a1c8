"""Request bodies are read whole before anything else happens, up to a size and within a time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.service.errors import body

_ARRIVAL = 20.0  # seconds


class Bodies:
    """Refuses bodies that are too large, or too slow, in the words of `rag.service.errors`.

    Args:
        app: gets requests whose body is there.
        most: bytes.
        arrival: seconds.
    """

    def __init__(self, app: ASGIApp, most: int, arrival: float = _ARRIVAL):
        self.app = app
        self.most = most
        self.arrival = arrival

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and pass it on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        status, said = 413, f"the body exceeds this service's limit of {self.most // 1024:,} kB"
        content: bytes | None = None
        if not announced.isdecimal() or int(announced) <= self.most:
            try:
                content = await asyncio.wait_for(self._read(receive), self.arrival)
            except asyncio.TimeoutError:
                status, said = 408, f"the body did not arrive within {self.arrival:g} s"
        if content is None:
            # What is left of the body cannot be told from a next request, so the connection ends here.
            await JSONResponse(body(status, said), status, {"Connection": "close"})(scope, receive, send)
            return
        first: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def replay() -> Message:
            return first.pop() if first else await receive()

        await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None once it is too large."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self.most:
                return None
            parts.append(part)
            more = message["type"] == "http.request" and message.get("more_body", False)
        return b"".join(parts)
