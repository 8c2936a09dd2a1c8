"""Where requests to an endpoint go, and the headers they carry."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit, urlunsplit

COMPLETIONS = "/chat/completions"
QUERY = ("api-version",)
"""What an address may hold after "?": it is stored with results, so nothing that could be a key."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.1
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)\})")
_OURS = ("content-length", "content-type", "host", "transfer-encoding")


def completions_address(url: str) -> str:
    """The address of chat completions under a base address.

    "/chat/completions" is added unless the path ends so already, after "/v1" where there is no path at all, and before
    the query: `http://localhost:8000`, `http://localhost:8000/v1/` and `http://localhost:8000/v1/chat/completions` are
    the same, and Azure's `https://x.openai.azure.com/openai/deployments/y?api-version=2024-10-21` works too.

    Raises:
        ValueError: it is no HTTP address, or holds a password, or a query beside `api-version`. The message does not
            repeat the address.
    """
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise ValueError(f"it is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is no address of the form http://host/v1")
    query = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.username or parts.password or any(name not in QUERY for name in query) or (parts.query and not query):
        raise ValueError(
            f"the address holds a password, or a query other than {' and '.join(QUERY)}, which would be stored with "
            "results; put a token into an environment variable and name that in reader.endpoint.token_env, or send a "
            "header (reader.endpoint.headers)"
        )
    path = parts.path.rstrip("/")
    if not path.endswith(COMPLETIONS):
        path = f"{path or '/v1'}{COMPLETIONS}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def request_headers(token_env: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of each request: the bearer token, and those given.

    In their values, `${NAME}` is an environment variable and `$$` is `$`.

    Raises:
        ValueError: an environment variable is not set, a header cannot be sent, or both name `Authorization`. The
            message repeats no value.
    """
    sent: dict[str, str] = {}
    if token_env is not None:
        sent["Authorization"] = f"Bearer {_variable(token_env, 'token_env')}"
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise ValueError(f"reader.endpoint.headers: {name!r} is no header that can be set")
        if name.lower() == "authorization" and sent:
            raise ValueError("reader.endpoint.headers holds Authorization, which token_env sets; leave one of them out")
        setting = f"headers, {name}"
        parts = _VARIABLE.split(value)  # texts and names in turn; a "$$" has an empty name
        parts[1::2] = [_variable(held, setting) if held else "$" for held in parts[1::2]]
        filled = "".join(parts)
        if not filled.isascii() or not filled.isprintable():
            raise ValueError(f"reader.endpoint.headers: {name} holds a character that no header can hold")
        sent[name] = filled.strip()
    return sent


def _variable(name: str, setting: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise ValueError(f"the environment variable {name} (reader.endpoint.{setting}) is not set")
    return value
