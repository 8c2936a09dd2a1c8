"""What all routes share, and how they hand work to the worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse

from rag.progress import StageProgress
from rag.service.errors import UNFORESEEN, Failure, body, failures_told
from rag.service.logs import LOG, log_cause
from rag.service.metrics import Metrics
from rag.service.operations import Engine
from rag.service.saved import SavedExplanations
from rag.service.settings import ServiceSettings
from rag.service.worker import Busy, Interrupted, Job, Stopped, Worker

T = TypeVar("T")
_HEARTBEAT = 10.0  # seconds between signs of life in a stream


@dataclass(frozen=True)
class Service:
    """One running service."""

    engine: Engine
    worker: Worker
    settings: ServiceSettings
    saved: SavedExplanations
    metrics: Metrics

    def take(self, request: Request, question: str, documents: int, texts: Iterable[str]) -> None:
        """Count and log the documents of a request; raises a `Failure` if there are too many, or a text is too long."""
        most = self.settings.max_documents
        if documents > most:
            raise Failure(413, f"{documents:,} documents were sent; this service takes at most {most:,} at once")
        self.check_texts(question, *texts)
        self.metrics.documents.inc(documents)
        request.state.log.update(documents=documents, text=question)

    def check_texts(self, *texts: str) -> None:
        """Raise a `Failure` if a text is too long."""
        longest, most = max(map(len, texts), default=0), self.settings.max_characters
        if longest > most:
            raise Failure(413, f"a text of {longest:,} characters was sent; this service takes at most {most:,}")

    async def compute(self, request: Request, work: Callable[[], T]) -> T:
        """Have the worker do the work; it is stopped when its time is over or the client is gone.

        Raises:
            Failure: the work failed or was stopped.
        """
        outcome: T = await self._outcome(request, self._submit(work))
        return outcome

    async def compute_steps(self, request: Request, work: Callable[[], Generator[None, None, T]]) -> T:
        """As `compute`, in the steps of a generator, between which other requests have a turn."""
        outcome: T = await self._outcome(request, self._submit(work))
        return outcome

    async def _outcome(self, request: Request, job: Job) -> Any:
        outcome = asyncio.wrap_future(job.future)
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({outcome, gone}, timeout=self.settings.time_limit, return_when=asyncio.FIRST_COMPLETED)
            return self._result(outcome, gone.done())
        finally:
            gone.cancel()
            outcome.cancel()
            job.give_up()

    def stream(self, request: Request, work: Callable[[StageProgress], dict[str, Any]]) -> StreamingResponse:
        """As `compute`, by server-sent events: `progress` any number of times, then one `answer` or `error`."""
        loop = asyncio.get_running_loop()
        news: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()  # None: there will be no more

        def progress(stage: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(news.put_nowait, {"stage": stage, "done": done, "total": total})

        progress("waiting", 0, self.worker.unfinished)
        job = self._submit(lambda: work(progress))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        content = self._events(request, job, news)
        return StreamingResponse(content, media_type="text/event-stream; charset=utf-8", headers=headers)

    async def _events(
        self, request: Request, job: Job, news: asyncio.Queue[dict[str, Any] | None]
    ) -> AsyncIterator[str]:
        outcome = asyncio.wrap_future(job.future)
        gone = asyncio.ensure_future(_gone(request))
        for end in (outcome, gone):
            end.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while (left := job.deadline - time.monotonic()) > 0:
                try:
                    update = await asyncio.wait_for(news.get(), min(_HEARTBEAT, left))
                except asyncio.TimeoutError:
                    yield ": still at work\n\n"
                    continue
                if update is None:
                    break
                yield event("progress", update)
            yield event("answer", self._result(outcome, gone.done()))
        except Exception as error:
            failure = error if isinstance(error, Failure) else UNFORESEEN
            if failure is UNFORESEEN:
                LOG.error("failed", exc_info=error)
            log_cause(request, error)
            wait = failure.headers.get("Retry-After")
            more = {"retry_after": int(wait)} if wait else {}
            yield event("error", {"status": failure.status, **more, **body(failure.status, failure.message)})
        finally:
            gone.cancel()
            outcome.cancel()
            job.give_up()

    def _submit(self, work: Callable[[], Any]) -> Job:
        try:
            return self.worker.submit(work, self.settings.time_limit)
        except Busy as busy:
            raise Failure(429, str(busy), {"Retry-After": str(busy.retry_after)}) from None
        except Stopped:
            raise Failure(503, "the service is shutting down") from None

    def _result(self, outcome: asyncio.Future[T], gone: bool) -> T:
        if outcome.done() and not outcome.cancelled():
            with suppress(Interrupted), failures_told():
                return outcome.result()
        if gone:
            self.metrics.stopped.labels("client gone").inc()
            raise Failure(499, "the client closed the connection")
        if not self.worker.alive:
            self.metrics.stopped.labels("shutdown").inc()
            raise Failure(503, "the service is shutting down")
        self.metrics.stopped.labels("time limit").inc()
        raise Failure(504, f"this took longer than {self.settings.time_limit:g} s and was stopped; ask for less")


def service_of(request: Request) -> Service:
    """The service that got a request."""
    service: Service = request.app.state.service
    return service


def event(name: str, data: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


async def _gone(request: Request) -> None:
    """Wait until the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
