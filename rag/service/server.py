"""Running the application until a signal ends it."""

from __future__ import annotations

import socket

import uvicorn

from rag.pipeline import Pipeline
from rag.service.app import create_app
from rag.service.logs import LOG, set_up_logs
from rag.service.settings import ServiceSettings

_CONNECTIONS = 512  # open at once; further ones are refused


def listen(settings: ServiceSettings) -> socket.socket:
    """A socket that has the settings' host and port, but takes no connection before it is served.

    Raises:
        OSError: the port is in use or not permitted, or the host is not of this machine.
    """
    opened = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((settings.host, settings.port))
    except OSError as error:
        opened.close()
        place = _place(settings.host, settings.port)
        raise OSError(f"cannot listen on {place}: {error.strerror}; choose another --host or --port") from None
    return opened


def serve(pipeline: Pipeline, settings: ServiceSettings, listening: socket.socket | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Requests under way then have `settings.grace` seconds to finish; after that they are stopped.

    Args:
        pipeline: what answers.
        settings: limits, token and so on.
        listening: what `listen` returned, if it was called before.

    Raises:
        SettingsError: the token that the settings name is missing or unusable.
        OSError: the port cannot be opened.
    """
    set_up_logs()
    config = uvicorn.Config(
        create_app(pipeline, settings),
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(settings.grace)),
    )
    with listening or listen(settings) as opened:
        url = f"http://{_place(settings.host, opened.getsockname()[1])}"
        LOG.info("listening", extra={"fields": {"url": url}})
        uvicorn.Server(config).run(sockets=[opened])


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
