"""Settings of the service, in addition to those of the pipeline."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address

from pydantic import Field, field_validator, model_validator

from rag.settings import ATTRIBUTED, Settings
from rag.settings_base import Section, SettingsError

_LEAST_TOKEN = 16  # characters
_ORIGIN = re.compile(r"https?://[^/?#\s]+")


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServiceSettings(Section):
    """Where the service listens, whom it lets in, and how much a request may ask for.

    `token_env` names the environment variable that holds the bearer token; null requires no token, which is allowed
    on loopback addresses only. Up to `waiting` requests may wait while another is worked on; each has `time_limit`
    seconds in all. The clients of the rerank protocols cannot choose a budget, so `rerank_budget` does; four
    coalitions for each document are evaluated where that is more. Of the documents of such a request, up to
    `max_documents`, the `attribute` most relevant ones are attributed; a request to our own routes takes so many
    passages. Pages of the origins `cors_origins`, such as "https://app.example.org" or "*" for all, may send
    requests. The `keep` newest explanations are kept in the folder `explanations`; null is a temporary folder,
    deleted when the service ends. `log_text` puts questions into the log.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    token_env: str | None = None
    waiting: int = Field(default=32, ge=0)
    time_limit: float = Field(default=60.0, gt=0)
    grace: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    cors_origins: list[str] = Field(default=[])
    max_body_kb: int = Field(default=8192, ge=1)
    max_documents: int = Field(default=1000, ge=1)
    attribute: int = Field(default=ATTRIBUTED, ge=1)
    max_characters: int = Field(default=20_000, ge=1)
    max_budget: int = Field(default=4000, ge=2)
    rerank_budget: int = Field(default=256, ge=2)
    explanations: str | None = None
    keep: int = Field(default=200, ge=1)
    log_text: bool = False

    @model_validator(mode="after")
    def _guarded(self) -> ServiceSettings:
        if self.token_env is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, so a token is needed: put one into an "
                "environment variable and name that in service.token_env"
            )
        return self

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin; write a scheme, a host and perhaps a port, such as "
                    '"https://app.example.org" without a slash at its end, or "*" for all'
                )
        return origins

    def token(self) -> str | None:
        """The bearer token; None if none is required.

        Raises:
            SettingsError: the environment variable is not set, or the token is short or not plain ASCII.
        """
        if self.token_env is None:
            return None
        token = os.environ.get(self.token_env, "")
        if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise SettingsError(
                f"service.token_env: the environment variable {self.token_env} must hold a token of at least "
                f"{_LEAST_TOKEN} printable ASCII characters without spaces, for instance from `openssl rand -hex 24`"
            )
        return token


class ServeSettings(Settings):
    """All settings of `ragshap serve`: those of the pipeline, and the service's own in the section `service`."""

    service: ServiceSettings = ServiceSettings()

    def pipeline(self) -> Settings:
        """The settings of the pipeline alone."""
        return Settings.model_validate(self.model_dump(exclude={"service"}))
