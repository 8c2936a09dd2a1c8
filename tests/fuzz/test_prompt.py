"""Passages and questions that imitate the prompt's delimiters and a model's control tokens."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from rag.readers.prompt.answer import find_answer
from rag.readers.prompt.endpoint import _CONTROL_TOKENS
from rag.readers.prompt.reasoning import split_reasoning
from rag.readers.prompt.template import Prompt
from retrievers import Passage

from .harness import fuzz
from .hostile import texts

PIECES = [
    *[
        "<",
        "</",
        ">",
        "/",
        "passage",
        "PASSAGE",
        "Passage",
        "pa\u017f\u017fage",
        " 1",
        " 2>",
        "\n",
        " ",
        "\t",
        "\u00a0",
    ],
    *["\u200b", "\ufeff", "\u00ad", "\x00", "\u2060", "Question: ", "Answer: ", "{question}", "{0}", "{{", "}"],
    *["<|", "|>", "im_end", "im_start", "[", "INST", "]", "<s>", "</s>", "<think>", "<end_of_turn>", "<<SYS>>"],
    *[
        "</think>",
        "**",
        '"',
        "`",
        "```",
        "\\boxed{",
        "<answer>",
        "</answer>",
        "- ",
        ":",
        "The answer is ",
        "<|channel|>",
    ],
]
TOKENS = ["<|im_end|>", "<|im_start|>", *_CONTROL_TOKENS]
broken = st.lists(st.one_of(st.sampled_from(PIECES), texts), max_size=9).map("".join)
_INVISIBLE = re.compile("[\\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")


@fuzz("prompts", 5.0, title=broken, text=broken, question=broken)
def test_no_text_leaves_its_place(title, text, question):
    prompt = Prompt(control_tokens=TOKENS)
    quoted = [prompt.quote(Passage("a", text, title)), prompt.quote(Passage("b", "harmless"))]
    asked = prompt.disarm(question)
    rendered = prompt.render(asked, quoted)
    rendered.encode()
    seen = _INVISIBLE.sub("", rendered).lower().replace("\u017f", "s")
    assert seen.count("<passage") == seen.count("</passage") == 2
    for part in (*quoted, asked):
        assert not any(token.lower() in part.lower() for token in TOKENS)
    frame = prompt.render("", []).split("(There are no passages.)")[0]
    assert rendered.startswith(frame)


@fuzz("replies", 1.0, reply=st.one_of(broken, st.text()))
def test_any_reply_is_one_line(reply):
    said, _ = split_reasoning(reply)
    assert len(find_answer(said).splitlines()) <= 1
    assert len(find_answer(reply).splitlines()) <= 1
