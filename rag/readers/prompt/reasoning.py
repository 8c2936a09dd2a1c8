"""Reasoning in a reply: what a model writes for itself before it answers, which is no part of the answer."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thoughts?|reasoning|reason|reflection|analysis|scratchpad|inner_monologue|seed:think"
_OPEN = re.compile(
    rf"<(?:{_NAMES})\b[^<>]*>|<details\b[^<>]*reasoning[^<>]*>|\[THINK\]|\u25c1think\u25b7|<\|begin_of_thought\|>"
    r"|<\|START_THINKING\|>|<\|thinking\|>",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"</(?:{_NAMES})>|</details>|\[/THINK\]|\u25c1/think\u25b7|<\|end_of_thought\|>|<\|END_THINKING\|>|<\|/thinking\|>",
    re.IGNORECASE,
)
# gpt-oss writes channels, of which the last "final" is the answer; its tokens may have been dropped while decoding.
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>final(?: [^<]*)?<\|message\|>")
_BARE_FINAL = re.compile(r"\A\s*analysis.*assistantfinal", re.DOTALL)
_GRANITE = re.compile(
    r"\A\s*here(?: i|['\u2019])s my thought process:.*?(?:here(?: i|['\u2019])s my response:|\Z)", re.I | re.S
)


def split_reasoning(reply: str) -> tuple[str, str]:
    """The reply without reasoning, and the reasoning.

    Reasoning is what stands between two tags of any of the common kinds, before a closing tag without an opening one
    (which the prompt held), and after an opening tag without a closing one (the reply was cut).
    """
    if _CHANNEL in reply:
        final = list(_FINAL.finditer(reply))
        cut = final[-1].end() if final else len(reply)
        return reply[cut:], reply[:cut]
    if (bare := _BARE_FINAL.match(reply) or _GRANITE.match(reply)) is not None:
        return reply[bare.end() :], bare[0]
    kept, thoughts, place = [], [], 0
    while (opened := _OPEN.search(reply, place)) is not None:
        before, closed = reply[place : opened.start()], _CLOSE.search(reply, opened.end())
        kept.append(before)
        place = len(reply) if closed is None else closed.end()
        thoughts.append(reply[opened.end() : place if closed is None else closed.start()])
    text = "".join(kept) + reply[place:]
    stray = list(_CLOSE.finditer(text))
    if stray:
        thoughts.insert(0, text[: stray[-1].start()])
        text = text[stray[-1].end() :]
    return text, "\n".join(thoughts)
