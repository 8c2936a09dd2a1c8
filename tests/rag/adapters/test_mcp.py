from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from functools import partial

import pytest

pytest.importorskip("mcp.server", reason="needs mcp: pip install 'ragshap[mcp]'")

import anyio
from mcp import Client

from rag import Pipeline, load_settings
from rag.adapters.mcp import build_server
from rag.cli import run
from rag.readers.prompt.errors import EndpointError
from retrievers import EngineError

from ..conftest import ScriptedReader
from ..test_matching import PASSAGES, Wordy
from .conftest import CORPUS, OVERRIDES

COMMAND = ["-m", "rag", "mcp", "--corpus", CORPUS, "--set", "attribution.budget=16", "--set", "retriever.passages=4"]


@pytest.fixture(scope="module")
def pipeline(reranker, retriever):
    return Pipeline(retriever, reranker.reader, load_settings(overrides=[*OVERRIDES, "retriever.passages=4"]))


def ask_tool(pipeline, tool, **arguments):
    """Calls a tool in memory: its structured result, or the text of its error."""

    async def run():
        async with Client(build_server(pipeline)) as client:
            return await client.call_tool(tool, arguments)

    result = asyncio.run(run())
    return result.content[0].text if result.is_error else result.structured_content


@pytest.fixture
def call(pipeline):
    return partial(ask_tool, pipeline)


def test_tools_say_what_they_take_and_return(pipeline):
    async def run():
        async with Client(build_server(pipeline)) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(run())}
    assert set(tools) == {"search", "ask", "explain"}
    assert tools["search"].input_schema["required"] == ["question"]
    assert set(tools["explain"].input_schema["properties"]) == {"question", "passages", "level", "answer", "spans"}
    assert "evidence" in tools["ask"].output_schema["properties"]
    assert all(tool.description and tool.annotations.read_only_hint for tool in tools.values())


def test_wordings_that_were_counted_as_one_are_told():
    pipeline = Pipeline(None, Wordy(), load_settings(overrides=["attribution.matching=contains"]))
    sent = [{"id": passage.id, "text": passage.text} for passage in PASSAGES]
    found = ask_tool(pipeline, "explain", question="when?", passages=sent)
    assert found["merged"] == {"It was on 12 May 1912": ["12 May 1912"]}


def test_search_finds_what_the_retriever_finds(call, retriever, question):
    found = call("search", question=question, k=3)
    hits = retriever.search(question, 3)
    assert [(p["id"], p["text"], p["score"]) for p in found["passages"]] == [
        (h.passage.id, h.passage.text, h.score) for h in hits
    ]
    assert [p["rank"] for p in found["passages"]] == [1, 2, 3]


def test_ask_says_what_the_pipeline_says(call, pipeline, question):
    result, answer = call("ask", question=question), pipeline.ask(question)
    assert result["answer"] == answer.text == "2,110 metres"
    assert [(e["id"], e["value"], e["rank"]) for e in result["evidence"]] == [
        (e.passage.id, e.value, e.rank) for e in answer.evidence
    ]
    assert 0 < result["no_answer_probability"] == answer.no_answer_probability < 1
    assert [o["answer"] for o in result["other_answers"]] == [o.text for o in answer.others]
    assert result["evidence"][0]["text"] == answer.evidence[0].passage.text
    assert json.loads(json.dumps(result)) == result


def test_explain_goes_down_to_sentences_of_own_passages(call, hits, question):
    own = [{"text": hit.passage.text, "title": hit.passage.title} for hit in hits[-2:]]
    result = call("explain", question=question, passages=own, level="sentence")
    assert result["answer_from_all"] == "2,110 metres"
    assert {e["id"] for e in result["evidence"]} == {"1", "2"}
    best = max((part for e in result["evidence"] for part in e["parts"] or []), key=lambda part: part["value"])
    assert "2,110 metres" in best["text"]


def test_explain_cites_passages_for_each_sentence_of_a_given_answer(call, hits, question):
    own = [hit.passage.text for hit in hits[-2:]]
    result = call("explain", question=question, passages=own, answer="It is 2,110 metres high. Nobody lives there.")
    assert result["answer"] == "It is 2,110 metres high. Nobody lives there."
    assert [sentence["text"] for sentence in result["sentences"]] == ["It is 2,110 metres high.", "Nobody lives there."]
    spans = ["2,110 metres", [25, 31]]
    chosen = call("explain", question=question, passages=own, answer=result["answer"], spans=spans)
    assert [sentence["text"] for sentence in chosen["sentences"]] == ["2,110 metres", "Nobody"]
    assert call("explain", question=question, passages=own)["sentences"] is None


def test_explain_says_who_answered_and_for_whom_values_speak(passages):
    settings = load_settings(overrides=["answer.attribute=true", "answer.reader.checkpoint=embedded", "rerank.keep=1"])
    answering = ScriptedReader()
    answering.name = "other"

    async def run(pipeline):
        async with Client(build_server(pipeline)) as client:
            sent = {"question": "where?", "passages": [{"text": passage.text} for passage in passages]}
            return (await client.call_tool("explain", sent)).structured_content

    found = asyncio.run(run(Pipeline(None, ScriptedReader(), settings, answerer=answering)))
    [kept] = [one["id"] for one in found["evidence"] if one["kept"]]
    assert found["readers"] == {"answering": "other", "attributed": "scripted", "own_values": {kept: 1.0}}
    assert asyncio.run(run(Pipeline(None, ScriptedReader())))["readers"] is None


def test_plain_strings_are_passages_named_by_their_place(call, hits, question):
    texts = [hit.passage.text for hit in hits[-2:]]
    result = call("explain", question=question, passages=[texts[0], {"text": texts[1]}])
    assert result == call("explain", question=question, passages=[{"text": text} for text in texts])
    assert {e["id"] for e in result["evidence"]} == {"1", "2"}


def test_what_a_call_leaves_out_is_what_the_settings_say(pipeline, question):
    overrides = [*OVERRIDES, "retriever.passages=3", "hierarchy.level=sentence", "hierarchy.permutations=16"]
    other = Pipeline(pipeline.retriever, pipeline.reader, load_settings(overrides=overrides))

    async def run():
        async with Client(build_server(other)) as client:
            tools = {tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools}
            found = await client.call_tool("search", {"question": question})
            by_default = await client.call_tool("ask", {"question": question})
            by_passage = await client.call_tool("ask", {"question": question, "level": "passage"})
        return tools, *(result.structured_content for result in (found, by_default, by_passage))

    tools, found, by_default, by_passage = asyncio.run(run())
    assert (tools["search"]["k"]["default"], tools["ask"]["level"]["default"]) == (3, "sentence")
    assert len(found["passages"]) == 3
    assert any(e["parts"] for e in by_default["evidence"])
    assert not any(e["parts"] for e in by_passage["evidence"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EndpointError("http://host/v1 answered 401 Unauthorized: 'no'"), "http://host/v1 answered 401"),
        (EngineError("http://ada:pass@host:9200 does not answer"), "http://host:9200 does not answer"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("a secret"), "something went wrong here; the log says where"),
    ],
)
def test_what_another_machine_does_wrong_is_the_tools_error(error, message):
    class Broken(ScriptedReader):
        def generate(self, encoded, coalitions):
            raise error

    async def run():
        async with Client(build_server(Pipeline(None, Broken()))) as client:
            return await client.call_tool("explain", {"question": "where?", "passages": ["Rome it is."]})

    result = asyncio.run(run())
    text = result.content[0].text
    assert result.is_error
    assert message in text
    assert not any(hidden in text for hidden in ("secret", "pass@", "Traceback", "\n"))


def test_explain_without_passages_answers_from_the_question_alone(call, question):
    assert call("explain", question=question, passages=[])["evidence"] == []


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("search", {"question": " "}, "the query is empty"),
        ("ask", {"question": ""}, "empty"),
        ("search", {"question": "what?", "k": 0}, "greater than or equal to 1"),
        ("ask", {"question": "what?", "level": "letter"}, "'passage', 'sentence' or 'word'"),
        ("explain", {"question": "what?", "passages": [{"text": ""}]}, "at least 1 character"),
        ("explain", {"question": "what?", "passages": [{"text": "a", "id": "x"}] * 2}, "two passages have the id 'x'"),
        ("explain", {"question": "what?"}, "Field required"),
    ],
)
def test_wrong_use_is_the_tools_error(call, tool, arguments, message):
    assert message in call(tool, **arguments)


def test_progress_reaches_the_client(pipeline, question):
    reports = []

    async def hear(done, total, stage):
        reports.append((stage, done, total))

    async def run():
        async with Client(build_server(pipeline)) as client:
            await client.call_tool("ask", {"question": question}, progress_callback=hear)

    asyncio.run(run())
    assert reports
    assert reports[-1][0] == "attribute"
    assert reports[-1][1] <= reports[-1][2]


def test_a_call_that_is_given_up_ends(passages):
    class Slow(ScriptedReader):
        batch_size = 1
        decoded = 0

        def announce(self, encoded, calls, words=0, scored=""):
            pass

        def generate(self, encoded, coalitions):
            self.decoded += len(coalitions)
            time.sleep(0.02)
            return super().generate(encoded, coalitions)

    reader = Slow()
    own = [{"text": passage.text} for passage in passages] * 2
    server = build_server(Pipeline(None, reader, load_settings(overrides=["attribution.minimal_sets=0"])))

    async def run():
        async with Client(server) as client:
            with anyio.move_on_after(0.3) as limit:
                await client.call_tool("explain", {"question": "where?", "passages": own})
        return limit.cancelled_caught

    assert asyncio.run(run())
    assert 0 < reader.decoded < 128  # of 256, which take 5 s


@pytest.mark.slow
def test_the_command_speaks_nothing_but_the_protocol(question):
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    search = {"name": "search", "arguments": {"question": question}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": search},
        "no JSON",
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "none", "arguments": {}}},
    ]
    server = subprocess.Popen(
        [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        for message in messages:
            server.stdin.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
        server.stdin.flush()
        lines, answered = [], set()
        while not answered >= {1, 2, 3}:
            lines.append(json.loads(server.stdout.readline()))
            answered.add(lines[-1].get("id"))
        server.stdin.close()
        lines += [json.loads(line) for line in server.stdout]
        assert server.wait(30) == 0
    finally:
        server.kill()
    assert all(line["jsonrpc"] == "2.0" for line in lines)


def test_the_command_refuses_wrong_settings_in_one_line(capsys):
    assert run(["mcp"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "ragshap: give either an index (--index) or a corpus (--corpus), one of the two\n"
