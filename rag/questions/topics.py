"""TREC topics, in the SGML of the early tracks and in XML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rag.questions.question import Question, QuestionSet
from retrievers import CorpusError

_TOP = re.compile(r"<top\b[^>]*>(.*?)(?=</top>|<top\b|\Z)", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r"<([a-z]+)\b[^>]*>(.*?)(?=</?[a-z]+\b[^>]*>|\Z)", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"^(number|topic|description|narrative)\s*:\s*", re.IGNORECASE)  # of the early tracks' fields
_NAMES = {"num": "id", "number": "id", "identifier": "id", "desc": "description", "narr": "narrative"}
_TEXTS = ("title", "query", "question", "description", "text")  # the first of them is searched for


def read_topics(path: Path, text: str) -> QuestionSet:
    """Topics as `<top>` with num, title, desc and narr, or as XML `<topic number="…">` with title or query, or text.

    The question is the title or query, where there is none the question or description; other fields are metadata.

    Raises:
        CorpusError: there is no topic, or one lacks number or text; names file, line and layout.
    """
    sgml = bool(_TOP.search(text))
    layout = "SGML topics" if sgml else "XML topics"
    found, used, left = QuestionSet([], []), set(), set()
    for where, fields in _sgml(path, text) if sgml else _xml(path, text):
        number, name = fields.pop("id", ""), next((field for field in _TEXTS if fields.get(field)), None)
        if not number or name is None:
            missing = "number" if name else "title, query or description"
            raise CorpusError(f"{where}: {layout}, of which this one has no {missing}")
        asked = fields.pop(name)
        used.add(name)
        left |= {field for field, value in fields.items() if value}
        found.questions.append(Question(number, asked, (), number, metadata=dict(fields), answers_given=False))
    if not found.questions:
        raise CorpusError(f"{path}: {layout}, of which there are none; expected <topic number=…> with a title or query")
    if left:
        searched, rest = " or ".join(sorted(used)), ", ".join(sorted(left))
        found.notes.append(f"{path}: {layout}; the question is the {searched}, and not searched are {rest}")
    return found


def _sgml(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    for topic in _TOP.finditer(text):
        fields: dict[str, str] = {}
        for field in _FIELD.finditer(topic[1]):
            name = field[1].lower()
            own = _LABEL.sub("", " ".join(html.unescape(field[2]).split()))
            fields.setdefault(_NAMES.get(name, name), own)
        yield f"{path}, line {text.count(chr(10), 0, topic.start()) + 1}", fields


def _xml(path: Path, text: str) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        root: Any = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CorpusError(f"{path}, line {error.position[0]}: XML that is broken ({error})") from None
    for number, topic in enumerate(root.iter("topic"), start=1):
        fields = {key: value for key, value in topic.attrib.items() if key not in ("number", "id", "num", "qid")}
        if name := next((topic.attrib[key] for key in ("number", "num", "id", "qid") if key in topic.attrib), None):
            fields["id"] = name
        for child in topic:
            own = _LABEL.sub("", " ".join("".join(child.itertext()).split()))
            tag = child.tag.lower()
            fields.setdefault(_NAMES.get(tag, tag), own)
        if not len(topic) and topic.text:
            fields["text"] = " ".join(topic.text.split())
        yield f"{path}, topic {number}", fields
