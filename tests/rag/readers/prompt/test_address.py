from __future__ import annotations

import pytest

from rag.readers.prompt.address import completions_address, request_headers


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
        (" http://localhost:8000/v1/ ", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/v1/chat/completions", "http://localhost:8000/v1/chat/completions"),
        ("http://localhost:8000/v1/chat/completions/", "http://localhost:8000/v1/chat/completions"),
        ("https://host/api/v1", "https://host/api/v1/chat/completions"),
        ("https://host/v1beta/openai/", "https://host/v1beta/openai/chat/completions"),
        ("https://host/chat/completions", "https://host/chat/completions"),
        (
            "https://x.openai.azure.com/openai/deployments/y?api-version=2024-10-21",
            "https://x.openai.azure.com/openai/deployments/y/chat/completions?api-version=2024-10-21",
        ),
        (
            "https://x.azure.com/models/chat/completions?api-version=2024-05-01-preview",
            "https://x.azure.com/models/chat/completions?api-version=2024-05-01-preview",
        ),
        ("http://[::1]:8000", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_completions_are_found_under_every_base(base, address):
    assert completions_address(base) == address
    assert completions_address(address) == address


@pytest.mark.parametrize(
    "base",
    [
        *[
            "http://",
            "localhost:8000/v1",
            "ftp://host/v1",
            "http://[x/v1",
            "http://host:port/v1",
            "http://me:secret@host/v1",
        ],
        *["http://host/v1?key=secret", "http://host/v1?api-version=1&sig=secret", "http://host/v1?secret"],
    ],
)
def test_what_is_no_address_or_would_store_a_secret_is_refused(base):
    with pytest.raises(ValueError, match="address") as error:
        completions_address(base)
    assert "secret" not in str(error.value)


def test_headers_are_filled_from_the_environment(monkeypatch):
    monkeypatch.setenv("MY_KEY", " secret ")
    headers = {"api-key": "${MY_KEY}", "X-Plain": "a $$5 ${MY_KEY}${MY_KEY}"}
    assert request_headers("MY_KEY", headers) == {
        "Authorization": "Bearer secret",
        "api-key": "secret",
        "X-Plain": "a $5 secretsecret",
    }
    assert request_headers(None, {"Authorization": "Basic ${MY_KEY}"}) == {"Authorization": "Basic secret"}


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"api-key": "${NO_SUCH_KEY}"}, r"variable NO_SUCH_KEY \(reader\.endpoint\.headers, api-key\) is not set"),
        ({"Host": "secret"}, "'Host' is no header that can be set"),
        ({"a b": "secret"}, "'a b' is no header"),
        ({"a": "secret\r\nX: y"}, "a holds a character"),
        ({"a": "secret\u2026"}, "a holds a character"),
        ({"authorization": "secret"}, "which token_env sets"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused_without_their_values(monkeypatch, headers, message):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    monkeypatch.setenv("MY_TOKEN", "secret")
    with pytest.raises(ValueError, match=message) as error:
        request_headers("MY_TOKEN", headers)
    assert "secret" not in str(error.value)
