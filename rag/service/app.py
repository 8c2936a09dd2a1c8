"""The application: its routes and guards, its start and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from rag import report
from rag.pipeline import Pipeline
from rag.service import answers, score
from rag.service.access import Access
from rag.service.bodies import Bodies
from rag.service.errors import RESPONSES, Failure, body, failures_told
from rag.service.logs import LOG, Faults, Requests, log_cause
from rag.service.metrics import Metrics
from rag.service.operations import Engine
from rag.service.paths import Paths
from rag.service.problems import described
from rag.service.saved import SavedExplanations
from rag.service.settings import ServiceSettings
from rag.service.state import Service, service_of
from rag.service.worker import Worker
from rag.threads import set_threads
from retrievers import Retriever

EXPLORER = Path(__file__).parent / "explorer"
STYLE = Path(report.__file__).parent / "page.css.j2"
_ABOUT = (
    "Answers with the passages that they come from, and the rerank protocols of Cohere, Jina, vLLM and "
    "text-embeddings-inference. If the service was started with a bearer token, all routes need it except `/`, "
    "`/health` and `/openapi.json`."
)
_FRAME = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(pipeline: Pipeline, settings: ServiceSettings | None = None) -> FastAPI:
    """The service over a pipeline, as an ASGI application.

    Args:
        pipeline: what answers; it is closed when the application ends. Without a retriever, `/ask` and `/search` are
            refused.
        settings: limits, token and so on.

    Raises:
        SettingsError: the token that the settings name is missing or unusable.
    """
    settings = settings or ServiceSettings()
    token = settings.token()
    worker = Worker(settings.waiting, lambda: set_threads(pipeline.settings.threads))
    metrics = Metrics(worker)
    saved = SavedExplanations(settings.explanations, settings.keep)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        LOG.info("ready", extra={"fields": {"reader": pipeline.reader.name, "version": version("ragshap")}})
        try:
            yield
        finally:
            worker.stop(settings.grace)
            saved.close()
            pipeline.close()
            LOG.info("stopped")

    app = FastAPI(
        title="ragshap",
        version=version("ragshap"),
        description=_ABOUT,
        docs_url=None,  # the pages of both would load scripts from other servers
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = Service(
        Engine(pipeline, settings.rerank_budget, settings.attribute), worker, settings, saved, metrics
    )
    for part in (answers, score):
        app.include_router(part.router)
    _add_operation(app)
    app.mount("/explorer", StaticFiles(directory=EXPLORER), name="explorer")
    app.add_exception_handler(Failure, _failed)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Bodies, limit=settings.max_body_kb * 1024)
    app.add_middleware(Access, token=token)
    app.add_middleware(Faults)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["X-Warning", "X-Request-ID", "Retry-After"],
        )
    app.add_middleware(Requests, metrics=metrics, log_text=settings.log_text)
    app.add_middleware(Paths)  # the outermost
    return app


def _add_operation(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def explorer() -> FileResponse:
        return FileResponse(EXPLORER / "index.html", headers=_FRAME)

    @app.get("/explorer/report.css", include_in_schema=False)
    def style() -> FileResponse:
        return FileResponse(STYLE, media_type="text/css")

    @app.get("/health", tags=["operation"], responses={code: RESPONSES[code] for code in (502, 503)})
    def health(request: Request) -> dict[str, Any]:
        """Whether the service works, its readers, and its number of passages (null without an index, or if unknown)."""
        service = service_of(request)
        if not service.worker.alive:
            raise Failure(503, "the service is shutting down")
        pipeline = service.engine.pipeline
        with failures_told():  # a search engine is asked for the number
            passages = len(pipeline.retriever) if isinstance(pipeline.retriever, Retriever) else None
        readers = {"reader": pipeline.reader.name}
        if pipeline.answerer is not None:
            readers["answer_reader"] = pipeline.answerer.name
        return {"status": "ok", "version": version("ragshap"), **readers, "passages": passages}

    @app.get("/metrics", tags=["operation"], responses={401: RESPONSES[401]}, response_class=Response)
    async def metrics(request: Request) -> Response:
        """Counters for Prometheus."""
        return Response(generate_latest(service_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Failure)
    log_cause(request, error)
    return JSONResponse(body(error.status, error.message), error.status, error.headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(body(error.status_code, str(error.detail)), error.status_code, dict(error.headers or {}))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse(body(422, described(error.errors(), error.body)), 422)
