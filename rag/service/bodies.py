"""Request bodies are read whole before anything else happens, within limits of size and time."""

from __future__ import annotations

import asyncio
import zlib

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.service.errors import Failure, body

_ARRIVAL = 20.0  # seconds
_INCOMPLETE = "the body is not complete gzip"
_MOST_PARTS = 100  # of gzip; what follows each is copied


class Bodies:
    """Refuses bodies that are too large, also when unpacked, or arrive too slowly; unpacks those packed with gzip.

    Args:
        app: the application that gets requests with complete, plain bodies.
        limit: size of the largest body, packed or not, in bytes.
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
        encoding = Headers(scope=scope).get("content-encoding", "identity").lower()
        if encoding in ("gzip", "x-gzip"):
            try:
                content = _unpacked(content, self.limit)
            except Failure as failure:
                refusal = JSONResponse(body(failure.status, failure.message), failure.status)
                await refusal(scope, receive, send)
                return
            if content is None:
                await JSONResponse(body(status, f"unpacked, {message}"), status)(scope, receive, send)
                return
            gone = (b"content-encoding", b"content-length")
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name.lower() not in gone]
        elif encoding != "identity":
            message = f"a body packed with {encoding[:20]!r} cannot be read here; send it plain or as gzip"
            await JSONResponse(body(415, message), 415, {"Accept-Encoding": "gzip"})(scope, receive, send)
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


def _unpacked(packed: bytes, limit: int) -> bytes | None:
    """What gzip packed, in one or several parts; None if it exceeds `limit`, of which no more is unpacked.

    Raises:
        Failure: this is not gzip, not all of it, or too many parts.
    """
    parts: list[bytes] = []
    room = limit
    while packed:
        if len(parts) == _MOST_PARTS:
            raise Failure(400, f"the body is gzip of more than {_MOST_PARTS} parts; pack it as one")
        part = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            parts.append(part.decompress(packed, room + 1))
        except zlib.error:
            raise Failure(400, _INCOMPLETE) from None
        room -= len(parts[-1])
        if room < 0:
            return None
        if not part.eof:
            raise Failure(400, _INCOMPLETE)
        packed = part.unused_data
    return b"".join(parts)
