"""Requests in the forms that clients give them: paths with something before them or a slash after, and HEAD."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BEFORE = re.compile(r"^(/api(?=/))?(/v[12](?=/v[12]/))?")


class Paths:
    """Serves `/api/v1/rerank` and `/v1/rerank/` as `/v1/rerank`, and HEAD as GET without the body.

    Of two versions, such as those in `/v1/v2/rerank`, the first is of an address and the second of the client that it
    was given to. Nothing is redirected, because clients do not follow redirects of POST.
    """

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on in its plain form."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = _BEFORE.sub("", scope["path"])
        head = scope["method"] == "HEAD"
        plain = {**scope, "path": path.rstrip("/") or "/", "method": "GET" if head else scope["method"]}
        plain["raw_path"] = plain["path"].encode()

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self.app(plain, receive, without_body if head else send)
