"""The errors of an endpoint; importing them needs no HTTP client."""

from __future__ import annotations

from typing import TypeVar

Self = TypeVar("Self", bound="EndpointError")


class EndpointError(OSError):
    """The endpoint refuses a request, or its answer holds no reply.

    Attributes:
        retry_after: seconds that the endpoint asked to wait; 0 if it did not say.
        passing: whether the same request may succeed later.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0, passing: bool = False):
        super().__init__(message)
        self.retry_after, self.passing = retry_after, passing

    def extended(self: Self, more: str) -> Self:
        """The same error with a longer message."""
        return type(self)(f"{self}{more}", retry_after=self.retry_after, passing=self.passing)


class EndpointUnavailableError(EndpointError):
    """The endpoint cannot be reached, does not answer in time, or is busy."""


class CallLimitError(EndpointError):
    """The cap on calls is reached."""
