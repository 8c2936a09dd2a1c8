"""What can go wrong with an endpoint; needs no HTTP client, so that others can name these errors cheaply."""

from __future__ import annotations

from typing import TypeVar

Self = TypeVar("Self", bound="EndpointError")


class EndpointError(OSError):
    """The endpoint refuses, or answers with something that is no reply.

    Attributes:
        retry_after: seconds that the endpoint asked to wait; 0 if it did not say.
        passing: whether the same request may succeed at the next try.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0, passing: bool = False):
        super().__init__(message)
        self.retry_after, self.passing = retry_after, passing

    def extended(self: Self, more: str) -> Self:
        """The same error with more to say."""
        return type(self)(f"{self}{more}", retry_after=self.retry_after, passing=self.passing)


class EndpointUnavailableError(EndpointError):
    """The endpoint cannot be reached, does not answer in time, or is busy."""


class CallLimitError(EndpointError):
    """The cap on calls is reached."""
