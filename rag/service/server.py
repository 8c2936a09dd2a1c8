"""Running the application until a signal ends it."""

from __future__ import annotations

import uvicorn

from rag.pipeline import Pipeline
from rag.service.app import create_app
from rag.service.logs import set_up_logs
from rag.service.settings import ServiceSettings

_CONNECTIONS = 512  # open at once; further ones are refused


def serve(pipeline: Pipeline, settings: ServiceSettings) -> None:
    """Serve until SIGINT or SIGTERM.

    Requests under way then have `settings.grace` seconds to finish; after that they are stopped.

    Raises:
        SettingsError: the token that the settings name is missing or unusable.
        OSError: the port cannot be opened.
    """
    set_up_logs()
    config = uvicorn.Config(
        create_app(pipeline, settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )
    socket = config.bind_socket()
    uvicorn.Server(config).run(sockets=[socket])
