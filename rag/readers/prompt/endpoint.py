"""Language models behind an OpenAI-compatible HTTP endpoint."""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
from numpy.typing import NDArray

from rag.readers.base import Closable, TokenScores, check_length
from rag.readers.prompt.address import COMPLETIONS, completions_address, request_headers
from rag.readers.prompt.cache import ReplyCache
from rag.readers.prompt.errors import CallLimitError, EndpointError, EndpointUnavailableError
from rag.readers.prompt.given_text import LIMITS, WAYS, GivenTextError, Way, dump_tokens, load_tokens
from rag.readers.prompt.reply import BYTES_PER_TOKEN, NoReplyError, Reply, read_completion
from rag.readers.prompt.usage import Usage

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds
_SHORTEST_SECRET = 6  # characters; a shorter header, such as a version, is no secret
_PASSING = (408, 409, 425, 429)  # besides 5xx: the same request may succeed later
_UNAVAILABLE = (408, 425, 429, 502, 503, 504)  # the endpoint, or what stands before it, is busy or cannot be reached
_CONTROL_TOKENS = (
    "<| <\uff5c <s> </s> <bos> <eos> <pad> <unk> [INST] [/INST] <<SYS>> <</SYS>> <start_of_turn> <end_of_turn> <think> "
    "</think>"
).split()
_TRIAL = "Count to three.", "One, two, three."  # a prompt and a reply, whose log-probabilities are asked for


class _Request(NamedTuple):
    """What is sent where, and what makes the text that is kept of the answer from its parsed JSON."""

    url: str
    body: Mapping[str, Any]
    read: Callable[[Any], str]


class Endpoint(Closable):
    """Asks for chat completions at temperature 0; every reply is cached as it arrives.

    Prompts go out in lexicographic order, so that the prefix cache of a server is of use.

    Reasoning is no part of a reply; a reply of reasoning alone, and one that was withheld, are errors.

    A request is tried again after errors that may pass: time-outs, broken connections, 408, 409, 425, 429, 5xx, and
    bodies without a reply. Waits double and are drawn at random from their upper half. If `Retry-After` asks for more,
    no request is sent until then.

    Args:
        url: base address, such as "http://localhost:8000/v1"; see `completions_address`.
        model: the model's name there.
        max_answer_tokens: limit of tokens of a reply.
        token_env: environment variable that holds the bearer token; None sends no token.
        headers: further headers of each request; see `request_headers`. They are shown, saved and logged nowhere.
        timeout: seconds after which a silent endpoint is given up.
        concurrency: largest number of requests under way at once.
        retries: largest number of further tries of a request.
        max_calls: largest number of requests sent in this object's life, further tries included.
        cache: file of replies; None keeps them in memory.
        request: fields to add to each request; a field that is None is left out of it.

    Raises:
        ValueError: the address, a header, a limit of tokens in `request` or the cache cannot be used, or an environment
            variable is not set.
    """

    priced = True
    control_tokens = tuple(_CONTROL_TOKENS)

    def __init__(
        self,
        url: str,
        model: str,
        *,
        max_answer_tokens: int = 32,
        token_env: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        concurrency: int = 4,
        retries: int = 5,
        max_calls: int = 1000,
        cache: str | Path | None = None,
        request: Mapping[str, Any] | None = None,
    ):
        self.name = f"{url}#{model}"
        self.url = completions_address(url)
        self.timeout = timeout
        self.concurrency = concurrency
        self.retries = retries
        self.max_calls = max_calls
        self.calls = 0
        self.usage = Usage()
        self.scoring = ""  # what was found out about the log-probabilities of given texts
        fields = {"model": model, "temperature": 0, "max_tokens": max_answer_tokens, **(request or {})}
        self._fields = {name: value for name, value in fields.items() if value is not None}
        self.limit = _own_limit(self._fields, request or {})
        try:
            httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise ValueError(f"it is no address: {error}") from None
        sent = request_headers(token_env, headers or {})
        parts = {part for value in sent.values() for part in (value, value.removeprefix("Bearer "))}
        self._secrets = sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)
        self.cache = ReplyCache(cache)
        self._client = httpx2.Client(headers=sent, timeout=timeout)
        self._closing = weakref.finalize(self, self._client.close)
        self._lock = threading.Lock()
        self._not_before = 0.0  # on the monotonic clock: no request goes out earlier

    def close(self) -> None:
        """Close connections and cache for good; this also happens when the endpoint is garbage-collected."""
        self._closing()
        self.cache.close()

    def places(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) that each token of a text stands for, at four bytes a token."""
        ends = np.cumsum([len(character.encode()) for character in text], dtype=np.int64)  # in bytes
        bytes_of = np.arange(0, len(text.encode()), BYTES_PER_TOKEN)
        bounds = [*np.searchsorted(ends, bytes_of, side="right").tolist(), len(text)]
        return list(pairwise(bounds))

    def seconds(self, tokens: int, calls: int) -> float:
        """0, as it is not known."""
        return 0.0

    def complete(self, prompts: Sequence[str], tokens: int = 0) -> list[Reply]:
        """The reply to each prompt, from the cache where it is known; the limit of tokens is raised to `tokens`.

        Raises:
            EndpointError: a request failed for good; replies that came are cached.
            CallLimitError: `max_calls` requests were sent; replies that came are cached.
        """
        chats = ([{"role": "user", "content": prompt}] for prompt in prompts)
        fields = self._fields | {name: max(self._fields[name], tokens) for name in LIMITS if name in self._fields}
        requests = [_Request(self.url, {**fields, "messages": chat}, _completion) for chat in chats]
        return [Reply.from_json(held) for held in self._held(requests)]

    def scores_tokens(self) -> bool:
        """Whether the endpoint gives log-probabilities of given texts; it is tried out once, with a short text."""
        return self._way is not None

    def score(self, prompts: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
        """Log-probabilities that a reply begins so, `(n_prompts, n_replies)`; raises as `score_tokens` does."""
        found = np.zeros((len(prompts), len(replies)))
        for column, reply in enumerate(replies):
            found[:, column] = self.score_tokens(prompts, reply).log_probs.sum(axis=1)
        return found

    def score_tokens(self, prompts: Sequence[str], reply: str) -> TokenScores:
        """Log-probabilities of a reply's tokens after each prompt; see `rag.readers.base.TokenReader`.

        Raises:
            ValueError: the endpoint gives none, or tokens that differ with the prompt.
            EndpointError, CallLimitError: as `complete`.
        """
        way = self._way
        if way is None:
            raise ValueError(f"{self.name} gives {self.scoring}; use attribution.utility=votes or similarity")
        tokens = [load_tokens(held) for held in self._held([self._given(way, prompt, reply) for prompt in prompts])]
        offsets = {tuple((token.start, token.end) for token in row) for row in tokens} or {()}
        if len(offsets) > 1:
            raise ValueError(f"{self.name} splits the answer into other tokens after some prompts than after others")
        [places] = offsets
        check_length(self.name, len(places), None)
        log_probs = np.array([[token.log_prob for token in row] for row in tokens], dtype=float)
        return TokenScores(log_probs.reshape(len(prompts), len(places)), places)

    @cached_property
    def _way(self) -> Way | None:
        """How the endpoint gives log-probabilities of given texts; None if it does not."""
        failures = []
        for way in WAYS:
            request = self._given(way, *_TRIAL)
            key = self.cache.key(request.url, request.body)
            try:
                if self.cache.get(key) is None:
                    self.cache.put(key, self._send(request))
            except CallLimitError:
                raise
            except EndpointUnavailableError:
                self._held([request])  # it is busy: to try again may help
            except EndpointError as error:
                failures.append(f"{way.name}: {error}")
                continue
            self.scoring = f"log-probabilities of given answers by {way.name}"
            return way
        self.scoring = f"no log-probabilities of given answers ({'; '.join(failures)})"
        return None

    def _given(self, way: Way, prompt: str, text: str) -> _Request:
        """The request for the log-probabilities of a text after a prompt."""
        address, question, query = self.url.partition("?")
        url = f"{address.removesuffix(COMPLETIONS)}{way.path}{question}{query}"

        def read(body: Any) -> str:
            try:
                return dump_tokens(way.tokens(body, prompt, text))
            except GivenTextError as error:
                raise NoReplyError(f"answered, but {error}") from None

        return _Request(url, way.body(self._fields, prompt, text), read)

    def _held(self, requests: Sequence[_Request]) -> list[str]:
        """What is kept of the answer to each request; those that are not in the cache are sent."""
        keys = [self.cache.key(request.url, request.body) for request in requests]
        known = {key: self.cache.get(key) for key in keys}
        missing = {key: request for key, request in zip(keys, requests, strict=True) if known[key] is None}
        # Prompts that begin alike go out one after another, so that an endpoint finds what it read in its cache.
        missing = dict(sorted(missing.items(), key=lambda item: str(item[1].body)))
        if missing:
            known.update(self._ask_all(missing))
        return [held for key in keys if (held := known[key]) is not None]

    def _ask_all(self, requests: Mapping[str, _Request]) -> dict[str, str]:
        stop = threading.Event()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="endpoint")
        try:
            futures: dict[Future[str], str] = {
                pool.submit(self._ask, key, request, stop): key for key, request in requests.items()
            }
            for future in futures:  # called by the failing thread, before it takes up another request
                future.add_done_callback(lambda done: stop.set() if done.cancelled() or done.exception() else None)
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # after an interrupt too: replies under way arrive and are cached, and nothing more is sent
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        finished = [future for future in futures if not future.cancelled()]
        failed = [error for future in finished if (error := future.exception()) is not None]
        if failed:
            first = next((error for error in failed if not isinstance(error, _StoppedError)), failed[0])
            if not isinstance(first, EndpointError):
                raise first
            came = f"{len(finished) - len(failed)} of the {len(requests)} replies asked for came and are kept"
            way = "until this process ends" if self.cache.path is None else f"in {self.cache.path}"
            raise first.extended(f"; {came} {way}: ask again to go on from them") from None
        return {key: future.result() for future, key in futures.items()}

    def _ask(self, key: str, request: _Request, stop: threading.Event) -> str:
        """What is kept of one reply; the request is tried again as long as that may help."""
        for attempt in range(self.retries + 1):
            while (pause := self._not_before - time.monotonic()) > 0 and not stop.wait(pause):
                pass
            if stop.is_set():
                raise _StoppedError("another request failed")
            try:
                held = self._send(request)
            except EndpointError as error:
                if not error.passing:
                    raise
                if attempt == self.retries:
                    raise error.extended(f" (tried {attempt + 1} times)") from None
                if error.retry_after > _LONGEST_WAIT:
                    raise error.extended(f" and asks to wait {error.retry_after:,.0f} s") from None
                if error.retry_after:
                    self._not_before = max(self._not_before, time.monotonic() + error.retry_after)
                backoff = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt) * random.uniform(0.5, 1.0)
                stop.wait(backoff)
            else:
                self.cache.put(key, held)
                return held
        raise AssertionError("the last try returns or raises")

    def _send(self, request: _Request) -> str:
        with self._lock:
            if self.calls >= self.max_calls:
                raise CallLimitError(f"the cap of {self.max_calls:,} calls (reader.endpoint.max_calls) is reached")
            self.calls += 1
        try:
            response = self._client.post(request.url, json=request.body)
        except httpx2.TimeoutException:
            raise EndpointUnavailableError(
                f"{request.url} did not answer within {self.timeout:g} s", passing=True
            ) from None
        except httpx2.RequestError as error:
            raise EndpointUnavailableError(
                f"{request.url} cannot be reached: {str(error) or type(error).__name__}", passing=True
            ) from None
        status = response.status_code
        if status != 200:
            message = f"{request.url} answered {status} {response.reason_phrase}: {self._excerpt(response)}"
            if status in (404, 405):
                message += f" (the address may also be given whole, ending in {COMPLETIONS})"
            passing = status in _PASSING or status >= 500
            kind = EndpointUnavailableError if status in _UNAVAILABLE else EndpointError
            wait = retry_after(response.headers.get("Retry-After")) if passing else 0.0
            raise kind(message, retry_after=wait, passing=passing)
        content = _json(response)
        with self._lock:
            self.usage += Usage.of(content)
        try:
            return request.read(content)
        except NoReplyError as error:
            sent = f": {self._excerpt(response)}" if error.passing else ""
            raise EndpointError(f"{request.url} {error}{sent}", passing=error.passing) from None

    def _excerpt(self, response: httpx2.Response) -> str:
        """The beginning of a body, safe to print."""
        line = " ".join(response.text.split())
        for secret in self._secrets:
            line = line.replace(secret, "…")
        return repr(line if len(line) <= 160 else f"{line[:160]}…")


def _own_limit(fields: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[str, int | None] | None:
    """The setting in `request` that limits a reply's tokens, and its value, None if it sends no limit; else None."""
    sent = {f"reader.endpoint.request.{name}": fields[name] for name in LIMITS if name in fields}
    for name, value in sent.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1 on, or null, got {value!r}")
    if not any(name in request for name in LIMITS):
        return None
    return max(sent.items(), key=lambda item: item[1], default=("reader.endpoint.request", None))


def _completion(body: Any) -> str:
    return read_completion(body).to_json()


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


class _StoppedError(EndpointError):
    """Not sent, because another request failed."""


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks to wait, from a number or a date; 0 without one."""
    if header is None:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())
