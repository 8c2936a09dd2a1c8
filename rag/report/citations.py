"""The sentences of an answer with the passages that carry them: for the terminal, for the page, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Group
from rich.text import Text

from rag.answer import Answer
from rag.explanation.citations import Sentence
from rag.explanation.findings import is_about_zero
from rag.report import wording
from rag.report.text import harmless, one_line

UNSUPPORTED = "no passage supports this"
_MARKUP = re.compile(r"([\\`*_\[\]<>|#&~])")
_QUOTE = 200  # characters of a passage below the answer


class Reference(NamedTuple):
    """A passage that carries a sentence: its place in attributed order, from 1, and its value with standard error."""

    place: int
    passage: str
    value: float
    error: float


class Cited(NamedTuple):
    """A sentence with what carries it; `before` is what stands between it and the sentence before, mostly white space.

    An unsupported sentence cites nothing; its references say what comes nearest to carrying it.
    """

    number: int
    before: str
    text: str
    sentence: Sentence
    references: tuple[Reference, ...]

    @property
    def unsupported(self) -> bool:
        """Whether it is known that no passage supports the sentence."""
        return self.sentence.supported is False


def cited_sentences(answer: Answer) -> list[Cited]:
    """The sentences of the explained answer; none if it is explained as a whole."""
    citations = answer.citations
    if citations is None:
        return []
    places = {e.passage.id: place for place, e in enumerate(answer.evidence, 1)}
    players = {player: column for column, player in enumerate(citations.attribution.players)}
    found, end = [], 0
    for row, sentence in enumerate(citations.sentences):
        values, errors = citations.attribution.values[row], citations.attribution.errors[row]
        references = tuple(
            Reference(places[name], name, float(values[players[name]]), float(errors[players[name]]))
            for name in sentence.passages
        )
        before = citations.answer[end : sentence.start]
        found.append(Cited(row + 1, before, citations.text(sentence), sentence, references))
        end = sentence.end
    return found


class TokenPiece(NamedTuple):
    """A piece of a sentence.

    Attributes:
        text: the piece.
        title: the log-probabilities of the token that it is; "" if it is none.
        strength: how much the passages add to these, from 0 to 1 for the token to which they add most.
    """

    text: str
    title: str = ""
    strength: float = 0.0


def token_pieces(cited: Cited, answer: Answer) -> list[TokenPiece]:
    """A sentence cut at its tokens, if their log-probabilities are known."""
    assert answer.citations is not None, "there are sentences"
    all_tokens = [token for one in answer.citations.sentences for token in one.token_log_probs]
    most = max((token.full - token.empty for token in all_tokens), default=0.0) or 1.0
    pieces, text, end = list[TokenPiece](), answer.citations.answer, cited.sentence.start
    for token in cited.sentence.token_log_probs:
        own = text[max(end, token.start) : min(token.end, cited.sentence.end)]
        start = max(end, token.start) + len(own) - len(own.lstrip())
        if not own.strip():
            continue
        pieces.append(TokenPiece(text[end:start]))
        full, empty = (wording.number(value, 2) for value in (token.full, token.empty))
        strength = round(max(0.0, token.full - token.empty) / most, 3)
        pieces.append(TokenPiece(own.strip(), f"log-probability {full}, without passages {empty}", strength))
        end = start + len(own.strip())
    return [piece for piece in (*pieces, TokenPiece(text[end : cited.sentence.end])) if piece.text]


def support(answer: Answer) -> str | None:
    """How many sentences the passages support, as a sentence; None where that is not known."""
    told = [one for one in cited_sentences(answer) if one.sentence.supported is not None]
    if not told:
        return None
    supported = sum(not one.unsupported for one in told)
    if len(told) == 1:
        return f"The passages {'support' if supported else 'do not support'} it."
    return f"The passages support {supported} of its {len(told)} {things(answer)}."


def things(answer: Answer) -> str:
    """What is cited: the sentences of the answer, or parts of it that were chosen."""
    return "chosen parts" if answer.citations is not None and answer.citations.chosen else "sentences"


def remainder(answer: Answer) -> str:
    """The text behind the last sentence that is explained, where only parts of the answer are."""
    citations = answer.citations
    return "" if citations is None else citations.answer[citations.sentences[-1].end :]


def value_of(reference: Reference, answer: Answer) -> str:
    """A passage's value for a sentence, with its standard error if it was estimated by sampling."""
    shown = wording.number(reference.value, 2)
    return shown if answer.attribution.samples is None else f"{shown} ±{wording.number(reference.error, 2)}"


def pair(cited: Cited) -> str:
    """What is lost without a sentence's passages, and what these alone leave."""
    drop, hold = (wording.number(value, 2) for value in (cited.sentence.drop, cited.sentence.hold))
    return f"drop {drop}, hold {hold}"


def likely(cited: Cited) -> str:
    """The mean log-probability of a sentence's tokens from all passages; "" where the reader gives none."""
    if cited.sentence.log_prob is None:
        return ""
    return f"log-probability {wording.number(cited.sentence.log_prob, 2)} a token"


def citation_lines(answer: Answer) -> Group | None:
    """The sentences for the terminal, each with its passages below; None if the answer is explained as a whole."""
    found = cited_sentences(answer)
    if not found:
        return None
    lines = [Text(f"{things(answer)}, and the passages that carry them", "dim")]
    for one in found:
        marks = "".join(f"[{reference.place}]" for reference in one.references if not one.unsupported)
        lines.append(Text.assemble(f"{one.number:>3}  ", one_line(one.text), " ", (marks, "bold")))
        worth = [f"[{reference.place}] {value_of(reference, answer)}" for reference in one.references]
        note = Text("     ")
        if one.unsupported:
            note.append(UNSUPPORTED + "; " * bool(worth), "yellow")
        note.append(", ".join(worth), "dim")
        told = filter(None, [pair(one) if worth else "", likely(one)])
        note.append("; ".join(["", *told][not worth and not one.unsupported :]), "dim")
        lines.append(note)
    return Group(*lines)


def markdown(answer: Answer) -> str:
    """The explained answer with a citation after each sentence, and the passages cited below, ready to paste.

    Passages are numbered in the order in which they are first cited. A sentence that no passage supports is marked and
    cites nothing. An answer that is explained as a whole cites the passages of a value above zero by two standard
    errors. An answer that another reader gave cites the passages that it was read from or, if it was attributed to
    them, those that carry it; who answered and for whom the values speak stands below it.

    The reader's own answer is shown as it is. A given one may be Markdown, of which only HTML is escaped.
    """
    if answer.readers is not None and answer.readers.explanation is not None:
        own = answer.readers.explanation
        return f"{markdown(own)}\n{_escaped(' '.join(wording.two_readers(answer)))}\n"
    numbers: dict[str, int] = {}
    # No passage is kept for an answer that was given; its own Markdown stays, but for HTML.
    given = answer.readers is None and answer.citations is not None and not any(e.kept for e in answer.evidence)

    def shown(text: str) -> str:
        return text.replace("<", "&lt;") if given else _MARKUP.sub(r"\\\1", text)

    def marks(names: Iterable[str]) -> str:
        found = [numbers.setdefault(name, len(numbers) + 1) for name in names]
        return "".join(f"[{number}]" for number in found)

    pieces = []
    if answer.readers is not None:
        kept = [e.passage.id for e in answer.evidence if e.kept]
        pieces = [f"{shown(answer.text or wording.NO_ANSWER)} {marks(kept)}".rstrip()]
    for one in cited_sentences(answer) if answer.readers is None else []:
        mark = f" *[{UNSUPPORTED}]*" if one.unsupported else marks(one.sentence.passages)
        pieces.append(f"{shown(one.before + one.text)}{' ' * (mark[:1] == '[')}{mark}")
    if not pieces:
        carrying = [e.passage.id for e in answer.evidence if e.value > 0 and not is_about_zero(e.value, e.error)]
        pieces = [f"{shown(answer.full_text or wording.NO_ANSWER)} {marks(carrying)}".rstrip()]
    passages = {e.passage.id: e.passage for e in answer.evidence}
    labels = wording.labels(answer, _QUOTE)
    below = []
    for name, number in numbers.items():
        text = one_line(passages[name].text)
        quote = text if len(text) <= _QUOTE else f"{text[:_QUOTE].rstrip()}…"
        below.append(f"{number}. **{_escaped(labels[name])}**: {_escaped(quote)}")
    body = harmless("".join([*pieces, shown(remainder(answer))]))
    told = _escaped(" ".join(wording.two_readers(answer)))
    return "\n".join([body, *([""] if below else []), *below, *(["", told] if told else [])]) + "\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", one_line(text))
