"""What people must be told of questions' reading: what was not read, screened out, or cannot be relied on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rag.readers.base import EncodedQuestion, EnglishReader, Notice, RemarkingReader
from retrievers import Passage

if TYPE_CHECKING:
    from rag.session import Session


def notices(session: Session) -> Iterator[Notice]:
    """The warnings about a session."""
    encoded, given = session.encoded, len(session.passages)
    if isinstance(session.reader, EnglishReader):
        yield from _of_language(session.reader, encoded, session.answer if session.given else None)
    if isinstance(session.reader, RemarkingReader):
        yield from session.reader.remarks(encoded)
    if out := given - session.n_read:
        yield Notice(
            "{:,} of {:,} passages were screened out; the reader got the other {:,}, and values say nothing of those "
            "left out",
            (out, given, session.n_read),
        )
    yield from of_cuts(encoded.cut_tokens, encoded.question_cut_tokens)
    yield from _of_repeats(encoded.passages)
    if session.spans is not None and not session.answer:
        yield Notice("the reader gave no answer, so there is none in which to look for the spans")


def _of_language(reader: EnglishReader, encoded: EncodedQuestion, given: str | None) -> Iterator[Notice]:
    name = reader.name.replace("{", "{{").replace("}", "}}")  # a notice is a template
    asked = reader.reads(encoded.question)
    if not asked:
        yield Notice(
            f"the question is in a language that the reader {name!r} does not read, so do not rely on "
            "the answer and the values; name another reader (reader.checkpoint), or search alone"
        )
    if given is not None and not reader.reads(given):
        yield Notice(
            f"the answer to explain is in a language that the reader {name!r} does not read, so do not rely on the "
            "values; name another reader (reader.checkpoint)"
        )
    unread = sum(not reader.reads(passage.full_text) for passage in encoded.passages)
    if asked and 2 * unread > len(encoded.passages):
        yield Notice(
            f"{{:,}} of {{:,}} passages are in a language that the reader {name!r} does not read, so do not rely on "
            "the answer and the values; name another reader (reader.checkpoint)",
            (unread, len(encoded.passages)),
        )


def of_cuts(passages: Iterable[int], question: int = 0) -> Iterator[Notice]:
    """What to say of passages and a question of which so many tokens were not read; nothing if all were."""
    if cut := [tokens for tokens in passages if tokens]:
        yield Notice(
            "passages longer than reader.max_passage_tokens: {:,}; {:,} of their tokens were not read",
            (len(cut), sum(cut)),
        )
    if question:
        yield Notice("the question is longer than the reader's limit; {:,} of its tokens were not read", (question,))


def _of_repeats(passages: Sequence[Passage]) -> Iterator[Notice]:
    texts = {passage.full_text for passage in passages}
    if len(texts) < len(passages):
        yield Notice("of {:,} passages only {:,} differ in text", (len(passages), len(texts)))


class Tally:
    """The notices of many questions, added up.

    Args:
        said: what an earlier tally's `said` holds.

    Attributes:
        said: for each sentence, of how many questions it was said, and then its counts.
    """

    def __init__(self, said: Mapping[str, Sequence[int]] | None = None):
        self.said: dict[str, list[int]] = {sentence: list(counts) for sentence, counts in (said or {}).items()}

    def add(self, of_one: Iterable[Notice]) -> None:
        """Add the notices of one question."""
        for sentence, counts in of_one:
            before = self.said.get(sentence, [0] * (1 + len(counts)))
            self.said[sentence] = [n + more for n, more in zip(before, (1, *counts), strict=True)]

    def lines(self, total: int) -> list[str]:
        """A sentence for each kind of notice about `total` questions."""
        return [
            f"in {questions:,} of {total:,} questions: {Notice(sentence, tuple(counts))}"
            for sentence, (questions, *counts) in self.said.items()
        ]
