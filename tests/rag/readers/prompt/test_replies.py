"""The answers in replies, from the JSON of a completion on, in the shapes that servers and models give them."""

from __future__ import annotations

import time

import pytest

from rag.readers.prompt.answer import find_answer, is_cut
from rag.readers.prompt.reasoning import split_reasoning
from rag.readers.prompt.reply import NoReplyError, Reply, read_completion

SHAPES = [  # content, or fields of the message; answer
    # plain
    ("Oslo", "Oslo"),
    ("\n\n  Oslo \nbecause the first passage says so.", "Oslo"),
    ("Oslo\n\nQuestion: Which river?\nAnswer: Rhine", "Oslo"),
    ("", ""),
    ("  \n ", ""),
    ("12:30", "12:30"),
    ("Mission: Impossible", "Mission: Impossible"),
    ("*NSYNC", "*NSYNC"),
    ("The Answer", "The Answer"),
    ("1. FC Köln", "1. FC Köln"),
    ("The capital is Oslo.", "The capital is Oslo."),
    ('"A" and "B"', '"A" and "B"'),
    ('"', '"'),
    # lead-ins
    ("Here is the answer:\n\nOslo", "Oslo"),
    ("Here is the answer: Oslo", "Oslo"),
    ("Sure! Here's what the passages say:\n\n**Oslo**", "Oslo"),
    ("Sure!\nOslo", "Oslo"),
    ("Certainly, Oslo", "Oslo"),
    ("Answer: Oslo", "Oslo"),
    ("Answer:\nOslo", "Oslo"),
    ("**Answer:** Oslo", "Oslo"),
    ("**Answer: Oslo**", "Oslo"),
    ("## Answer\n\nOslo", "Oslo"),
    ("Short answer → Oslo", "Oslo"),
    ("A: Oslo", "Oslo"),
    ("Question: Which capital? Answer: Oslo", "Oslo"),
    ("Question: Which capital?\nAnswer: Oslo", "Oslo"),
    ("The answer is Oslo.", "Oslo"),
    ("Therefore, the final answer to the question is: **Oslo**.", "Oslo"),
    ("According to passage 2, Oslo", "Oslo"),
    ("Based on the passages, the answer is Oslo.", "Oslo"),
    ("Passage 1 speaks of ships.\nPassage 2 of a capital.\n**Final answer:** Oslo", "Oslo"),
    # marks
    ("**Oslo**", "Oslo"),
    ("**Oslo**.", "Oslo"),
    ("*Oslo*", "Oslo"),
    ("The capital is **Oslo**.", "The capital is Oslo."),
    ("- Oslo", "Oslo"),
    ("> Oslo", "Oslo"),
    ("# Oslo", "Oslo"),
    ("---\nOslo", "Oslo"),
    ("`Oslo`", "Oslo"),
    ("```\nOslo\n```", "Oslo"),
    ('```json\n{"answer": "Oslo"}\n```', "Oslo"),
    ('{"answer": null}', ""),
    ("“Oslo”", "Oslo"),
    ("«Oslo»", "Oslo"),
    ("\\boxed{\\text{Oslo}}", "Oslo"),
    ("<answer>\nOslo\n</answer>", "Oslo"),
    ("Oslo [1][2]", "Oslo"),
    ("Oslo (passage 2).", "Oslo."),
    ("Oslo<|im_end|>", "Oslo"),
    # no answer
    ("No answer.", ""),
    ("Answer: “no answer”", ""),
    ("**No answer**", ""),
    ("The passages do not contain the answer to the question.", ""),
    ("no answer was given by 1900", "no answer was given by 1900"),
    # parts
    (["Oslo"], "Oslo"),
    ([{"type": "text", "text": "Os"}, {"type": "text", "text": "lo"}], "Oslo"),
    ({"content": "Oslo", "refusal": None, "tool_calls": [], "annotations": []}, "Oslo"),
    ("<think></think>Oslo", "Oslo"),
]
REASONED = [  # with reasoning beside the answer
    ("<think>\nThe first passage names it.\n</think>\n\nOslo", "Oslo"),
    ("It is Rome, no, Oslo.\n</think>\n\nOslo", "Oslo"),
    ("Oslo\n<think>Was that right?", "Oslo"),
    ("<Thinking time='3'>Rome?</thinking>Oslo", "Oslo"),
    ("<think>one <think>two</think> three</think>Oslo", "Oslo"),
    ("<reasoning>Rome?</reasoning><answer>Oslo</answer>", "Oslo"),
    ("[THINK]Rome?[/THINK]Oslo", "Oslo"),
    ("◁think▷Rome?◁/think▷Oslo", "Oslo"),
    ("<seed:think>Rome?</seed:think>Oslo", "Oslo"),
    ("<|begin_of_thought|>Rome?<|end_of_thought|><|begin_of_solution|>Oslo<|end_of_solution|>", "Oslo"),
    ("<|START_THINKING|>Rome?<|END_THINKING|><|START_RESPONSE|>Oslo<|END_RESPONSE|>", "Oslo"),
    ("<|channel|>analysis<|message|>Rome?<|end|><|start|>assistant<|channel|>final<|message|>Oslo<|return|>", "Oslo"),
    ("analysisRome?assistantfinalOslo", "Oslo"),
    ("Here is my thought process: Rome?\nHere is my response: Oslo", "Oslo"),
    ('<details type="reasoning" done="true">Rome?</details>\nOslo', "Oslo"),
    ({"content": "Oslo", "reasoning_content": "Rome?"}, "Oslo"),
    ({"content": "Oslo", "reasoning": "Rome?"}, "Oslo"),
    ([{"type": "thinking", "thinking": [{"type": "text", "text": "Rome?"}]}, {"type": "text", "text": "Oslo"}], "Oslo"),
    ([{"type": "reasoning", "text": "Rome?"}, {"type": "output_text", "text": "Oslo"}], "Oslo"),
]


def completion(message, finish="stop", **more) -> dict:
    fields = message if isinstance(message, dict) else {"content": message}
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": finish}], **more}


@pytest.mark.parametrize(("message", "answer"), [*SHAPES, *REASONED], ids=lambda part: str(part)[:40])
def test_the_answer_is_found_in_every_shape(message, answer):
    reply = read_completion(completion(message))
    assert find_answer(reply.text) == answer
    assert (reply.reasoning_tokens > 0) == ((message, answer) in REASONED)
    assert not reply.cut


@pytest.mark.parametrize(
    ("body", "message", "passing"),
    [
        (completion(None, "length"), r"used up reader\.max_answer_tokens before the reply began", False),
        (completion("", "length"), "used up", False),
        (completion("<think>Rome, or", "length"), "used up", False),
        (
            completion({"content": None, "reasoning_content": "Rome, or"}, "length"),
            r"used up .*reader\.endpoint\.request",
            False,
        ),
        (completion({"content": None, "reasoning_content": "Rome."}), "reasoning alone", False),
        (completion("<think>Rome.</think>"), "reasoning alone", False),
        (completion("", usage={"completion_tokens_details": {"reasoning_tokens": 9}}), "reasoning alone", False),
        (completion(None, "content_filter"), "content_filter.* no vote for", False),
        (completion("Os", "content_filter"), "content_filter", False),
        (
            completion({"content": None, "refusal": "I cannot help\nwith that."}),
            "refused to reply .'I cannot help with",
            False,
        ),
        (completion([{"type": "refusal", "refusal": "I cannot."}]), "refused to reply .'I cannot", False),
        (completion("Os", "SAFETY"), "withheld .*SAFETY", False),
        (completion("", "model_length"), "used up", False),
        (completion([]), "without text", True),
        (completion([{"type": "text", "text": "<think>Rome?"}], "max_tokens"), "used up", False),
        (completion("Os", "error"), "broke off", True),
        (completion(None), "without text", True),
        (completion(None, "tool_calls"), "without text", True),
        (completion([7]), "without text", True),
        (completion(7), "without text", True),
        ({"error": {"message": "busy"}}, "no chat completion", True),
        ({"choices": [{"text": "Oslo"}]}, "no chat completion", True),
        ({"choices": [{"message": "Oslo"}]}, "no chat completion", True),
        ([], "no chat completion", True),
        (None, "no chat completion", True),
        (completion("half \ud800"), "no chat completion", True),
    ],
)
def test_what_holds_no_reply_says_why_and_whether_to_ask_again(body, message, passing):
    with pytest.raises(NoReplyError, match=message) as error:
        read_completion(body)
    assert error.value.passing is passing


def test_reasoning_is_counted_as_the_endpoint_counts_it_or_by_its_bytes():
    counted = {"completion_tokens_details": {"reasoning_tokens": 7}}
    assert read_completion(completion("Oslo", usage=counted)).reasoning_tokens == 7
    assert read_completion(completion("<think>" + 40 * "x" + "</think>Oslo", usage={})).reasoning_tokens == 10
    assert read_completion(completion("Oslo", usage={"completion_tokens_details": None})).reasoning_tokens == 0


@pytest.mark.parametrize(
    "piece",
    [" ", "\n", "**a ", "- ", "(passage 1)", "[1] ", "<think>", "</think>", "Answer: ", "<answer>", "\\boxed{", '"'],
)
def test_a_reply_of_any_length_is_read_in_little_time(piece):
    started = time.process_time()
    said, _ = split_reasoning(piece * (50_000 // len(piece)) + "x")
    find_answer(said)
    find_answer(piece * (50_000 // len(piece)) + "x")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Osl", True),
        ("Answer: Osl", True),
        ("Oslo\nbecause the", False),
        ("**Oslo**\n\nThe", False),
        ("No answer", False),
    ],
)
def test_a_cut_reply_counts_if_it_ends_within_its_answer(text, cut):
    assert is_cut(read_completion(completion(text, "length"))) is cut
    assert not is_cut(read_completion(completion(text)))


def test_a_reply_is_kept_as_one_line():
    reply = Reply("Oslo\nand “more”", True, 12)
    assert Reply.from_json(reply.to_json()) == reply
    assert len(reply.to_json().splitlines()) == 1
