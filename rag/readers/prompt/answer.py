"""The short answer in a reply of a model that was told to give nothing else, and does."""

from __future__ import annotations

import json
import re

from attribution import normalize_answer
from rag.readers.prompt.reply import Reply
from rag.readers.prompt.template import NO_ANSWER

_LAYERS = 8  # of what is around an answer
_CONTROL = re.compile(r"<\|[^<>|]{1,40}\|>|</?s>|<eos>|<(?:end|start)_of_turn>")
_ENVELOPE = r"answer|final|final_answer|response|output|solution|result|begin_of_solution|START_RESPONSE"
_IN_ENVELOPE = re.compile(
    rf"<\|?(?:{_ENVELOPE})\|?>(.*?)(?:</(?:{_ENVELOPE})>|<\|end_of_solution\|>|<\|END_RESPONSE\|>|\Z)", re.I | re.S
)
_TEX = re.compile(r"\\(?:text|textbf|mathbf|mathrm)\{([^{}]*)\}")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_FENCE = re.compile(r"\A```\w*")
_RULE = re.compile(r"(?:```|~~~)[\w+-]*|[-*_=]{3,}")  # a line of a fence, or one drawn across
_COURTESY = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|great question|thank you|thanks)"
_LEAD_IN = re.compile(rf"\W*(?:{_COURTESY}\W*|(?:(?:the|final|short) )*answer\W*|question:.*)", re.IGNORECASE)
_FINAL = re.compile(r"^[^\w\n]*final answer[^\w\n]*[:\uff1a]", re.I | re.M)
_PREFIXES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:[-*\u2022>]|#{1,6})\s+(?=[^\s\d])",
        rf"{_COURTESY}(?:\s?[,!.:]|\s[\u2013\u2014-])\s*(?=\S)",
        r"question:.*?\banswer:\s*(?=\S)",
        r"[*_]*(?:a|response)[*_]*\s?[:\uff1a][*_]*\s*(?=\S)",
        r"[*_]*(?:(?:the|final|short|my|correct|exact) )*answer[*_]*\s?"
        r"(?:[:\uff1a=\u2192\u2013\u2014-]|->)[*_]*\s*(?=\S)",
        r"[^:.?!]{0,80}\banswers?\b[^:.?!]{0,60}:[*_]*\s*(?=\S)",
        r"(?:based on|according to|from|in) (?:the |these |this )?(?:(?:given|provided|above) )?"
        r"(?:passages?|texts?|context|information|documents?)\b[^,:]{0,40}[,:]\s*(?=\S)",
    )
]
_SENTENCE = re.compile(
    r"(?:(?:so|thus|therefore|hence),? )?(?:the|my) (?:(?:final|short|correct|exact) )*answer "
    r"(?:to [^,:]{0,120}? )?is:?\s+(.+?)\.?",
    re.IGNORECASE,
)
_SOURCES = re.compile(
    r"\s?(?:\[(?:passages? ?)?\d+(?:, ?\d+)*\]|\((?:(?:see|from|source:) )?passages? \d+(?:(?:, | and )\d+)*\)"
    r"|</?passage \d+>){1,9}(?=\.?\Z)",
    re.IGNORECASE,
)
_AROUND = [
    *[(mark, mark) for mark in ("***", "**", "*", "_", "`", "$", '"', "'")],
    *[("\u201c", "\u201d"), ("\u201e", "\u201c"), ("\u2018", "\u2019"), ("\u00ab", "\u00bb"), ("\u300c", "\u300d")],
]
_ELEMENT = re.compile(r"<(\w+)[^<>]*>(.+)</\1>")
_BOLD = re.compile(r"\*\*([^*\s](?:[^*]*[^*\s])?)\*\*")
_DECLINES = re.compile(
    r"(?:sorry |unfortunately )*(?:(?:provided|given) )?(?:passages?|texts?|context|documents?) (?:do|does)(?: not|nt) "
    r"(?:hold|contain|provide|include|give|have|state|mention) (?:any )?(?:answer|information)"
    r"(?: (?:to|for|about|on) .*)?"
    r"|(?:there is )?no answer(?: (?:found|given|available))?"
    r"(?: (?:in|from) (?:provided |given )?(?:passages?|text|context))?"
)


def find_answer(reply: str) -> str:
    r"""The answer in a reply without reasoning; "" for "no answer".

    The answer is one line. It is looked for

    - after "Final answer:" if a line begins so, else in the last envelope (`<answer>…</answer>`) or `\boxed{…}`, if
      there is one, else in the whole reply; a JSON object stands for its "answer";
    - on the first line that is not blank, drawn across, or the line of a code fence. A line that leads to another is
      passed over: one that ends with a colon, a bare courtesy ("Sure!"), or the question repeated.

    From this line, what is around the answer is taken: marks of a list, heading or quotation, emphasis, quotation
    marks, courtesies, "Answer:" and what begins like it, "The answer is …", "According to passage 2, …", and references
    to passages behind it. No answer is cut out of another sentence: such a sentence is the answer.

    "No answer" is taken as such in any letter case and punctuation, and so is a sentence that says that the passages do
    not hold the answer.
    """
    text = _CONTROL.sub("", _unwrapped(reply))
    given = _of_object(text)
    lines = [line.strip() for line in (text if given is None else given).splitlines()]
    lines = [line for line in lines if line and not _RULE.fullmatch(line)]
    if not lines:
        return ""
    line = next((line for line in lines[:-1] if not _leads_in(line)), lines[-1])
    for _ in range(_LAYERS):
        line = _shortened(line)
    normal = normalize_answer(line)
    return "" if normal == NO_ANSWER or _DECLINES.fullmatch(normal) else line


def find_text(reply: str) -> str:
    """The whole text of a reply without reasoning; "" for "no answer"."""
    return _CONTROL.sub("", reply).strip() if find_answer(reply) else ""


def is_cut(reply: Reply) -> bool:
    """Whether a reply was cut before its answer ended, not behind it."""
    answer = find_answer(reply.text)
    return reply.cut and answer != "" and reply.text.rstrip().endswith(answer)


def _leads_in(line: str) -> bool:
    return line.rstrip("*_ )").endswith((":", "\uff1a")) or _LEAD_IN.fullmatch(line) is not None


def _unwrapped(reply: str) -> str:
    """What stands in the place for the answer, if the reply has one."""
    if (final := _FINAL.search(reply)) is not None:
        return reply[final.start() :]
    reply = _TEX.sub(r"\1", reply)
    if boxed := _BOXED.findall(reply):
        return str(boxed[-1])
    envelopes = [found for found in _IN_ENVELOPE.findall(reply) if found.strip()]
    return envelopes[-1] if envelopes else reply


def _of_object(text: str) -> str | None:
    """The answer in a JSON object, which may stand in a fence; None if the text is none."""
    bare = _FENCE.sub("", text.strip()).removesuffix("```").strip()
    if not bare.startswith("{"):
        return None
    try:
        held = json.loads(bare)
    except (ValueError, RecursionError):
        return None
    values = {str(name).lower(): value for name, value in held.items()}
    value = values.get("answer", next(iter(values.values())) if len(values) == 1 else held)
    return None if isinstance(value, dict | list) else NO_ANSWER if value is None else str(value)


def _shortened(line: str) -> str:
    """The line without the outermost of what is around an answer."""
    line = _SOURCES.sub("", line)
    end = line.removesuffix(".")
    for opening, closing in _AROUND:
        inner = end.removeprefix(opening).removesuffix(closing)
        surrounded = len(inner) == len(end) - len(opening) - len(closing)
        if surrounded and inner and opening not in inner and closing not in inner:
            return inner.strip()
    for prefix in _PREFIXES:
        if (found := prefix.match(line)) is not None:
            return line[found.end() :].strip()
    if (sentence := _SENTENCE.fullmatch(line)) is not None:
        return sentence[1].strip()
    if (element := _ELEMENT.fullmatch(line)) is not None:
        return element[2].strip()
    if line.startswith("**") and "**" not in line[2:]:
        return line[2:].strip()
    return _BOLD.sub(r"\1", line).strip()
