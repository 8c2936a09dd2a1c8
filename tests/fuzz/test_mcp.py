"""Arguments of the MCP tools: a result or the tool's error, never a broken session."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("mcp.server", reason="needs mcp: pip install 'ragshap[mcp]'")
from mcp import Client

from rag import Pipeline, load_settings
from rag.adapters.mcp import build_server
from retrievers import BM25Retriever, Passage

from ..rag.conftest import ScriptedReader
from .harness import fuzz
from .hostile import TEXTS, json_like

PASSAGES = [Passage("a", "it is Rome.", "first"), Passage("b", "others say Paris.", "second")]
ARGUMENTS = {
    "search": {"question": "where is Rome?", "k": 2},
    "ask": {"question": "where is Rome?", "level": "passage"},
    "explain": {"question": "where?", "passages": [{"text": "it is Rome.", "title": "t", "id": "1"}, {"text": "no."}]},
}


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline(BM25Retriever(PASSAGES), ScriptedReader(), load_settings(overrides=["attribution.budget=8"]))


def call_all(pipeline, tool: str, calls) -> list:
    async def run():
        async with Client(build_server(pipeline)) as client:
            return [await client.call_tool(tool, arguments) for arguments in calls]

    return asyncio.run(run())


@pytest.mark.parametrize("tool", ARGUMENTS)
def test_arguments(pipeline, tool):
    @fuzz(f"MCP {tool}", 0.6, text=json_like(ARGUMENTS[tool]))
    def check(text):
        try:
            arguments = json.loads(text)
            json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            return  # the client itself could not send it
        if isinstance(arguments, dict):
            result, after = call_all(pipeline, tool, [arguments, ARGUMENTS[tool]])
            assert not result.is_error or result.content[0].text.strip()
            assert not after.is_error

    check()


def test_hostile_questions_and_passages(pipeline):
    sendable = [text for text in TEXTS if text.encode("utf-8", "replace").decode() == text]
    calls = [{"question": text, "passages": [{"text": text or "x", "title": text, "id": text}]} for text in sendable]
    for text, result in zip(sendable, call_all(pipeline, "explain", calls), strict=True):
        assert result.is_error == (not text.strip())
        assert result.is_error or result.structured_content["evidence"][0]["title"] == text
