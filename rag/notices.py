"""What people must be told of one question's reading: what was not read, screened out, or cannot be relied on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rag.readers.base import EnglishReader, RemarkingReader
from rag.session import Session
from retrievers import Passage


def notices(session: Session) -> Iterator[str]:
    """The warnings about a session, one sentence each."""
    encoded, given = session.encoded, len(session.passages)
    if isinstance(session.reader, EnglishReader) and not session.reader.reads(encoded.question):
        yield (
            f"the question is in a language that the reader {session.reader.name!r} does not read, so do not rely on "
            "the answer and the values; name another reader (reader.checkpoint), or search alone"
        )
    if isinstance(session.reader, RemarkingReader):
        yield from session.reader.remarks(encoded)
    out = given - session.n_read
    if out:
        yield (
            f"{out} of {given} passages were screened out; the reader got the other {session.n_read}, and "
            "values say nothing of those left out"
        )
    yield from of_cuts(encoded.cut_tokens)
    if encoded.question_cut_tokens:
        yield f"the question is longer than the limit; {encoded.question_cut_tokens} tokens were not read"
    yield from _of_repeats(encoded.passages)


def of_cuts(cut_tokens: Sequence[int]) -> Iterator[str]:
    """What to say of passages of which so many tokens were cut; nothing if none were."""
    cut = sum(tokens > 0 for tokens in cut_tokens)
    if cut:
        longer = "1 passage is" if cut == 1 else f"{cut} passages are"
        yield f"{longer} longer than the reader's limit; {sum(cut_tokens)} tokens were not read"


def _of_repeats(passages: Sequence[Passage]) -> Iterator[str]:
    texts = {passage.full_text for passage in passages}
    if len(texts) < len(passages):
        yield f"of {len(passages)} passages only {len(texts)} differ in text"
