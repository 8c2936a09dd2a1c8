"""From text to blocks, the input of the embedded reader's encoder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from rag.readers.cuts import CutPassages, cut_passages
from rag.readers.long_questions import kept_tokens
from retrievers import Passage

CLS, SEP, PAD, UNKNOWN = 101, 102, 0, 100
MAX_QUESTION_TOKENS = 64
_WORD = re.compile(r"\w+")


class Tokens(NamedTuple):
    """Word pieces of one text, with each piece's (start, end) characters in it."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    afresh: int | None = None  # the piece at which a passage's text begins afresh, after repeating its title


class Blocks(NamedTuple):
    """A padded batch of blocks; all tensors are `(n_blocks, length)`."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    copyable: Tensor
    afresh: Tensor  # bool: a copied answer does not continue into the token
    cut: list[int]  # passage tokens left out of each block because they did not fit

    def to(self, device: torch.device) -> Blocks:
        """The same blocks on a device."""
        ids, types, mask, copyable, afresh = (part.to(device) for part in self[:5])
        return Blocks(ids, types, mask, copyable, afresh, self.cut)


class BlockTokenizer:
    """Word pieces without special tokens, from a `tokenizer.json`."""

    def __init__(self, path: Path):
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the bare class is what tokenizers raises
            raise ValueError(f"{path} is no tokenizer: {error}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True  # "[SEP]" in a passage is text, not the stop token

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise texts; the same text always gives the same pieces."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            Tokens(encoding.ids, _with_marks(text, encoding.offsets))
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def encode_passages(self, passages: Sequence[Passage]) -> list[Tokens]:
        """Tokenise passages' full texts, and find where a text begins afresh after a repeated title."""
        found = []
        for passage, tokens in zip(passages, self.encode([p.full_text for p in passages]), strict=True):
            end = repeated_title_end(passage)
            later = (i for i, (start, _) in enumerate(tokens.offsets) if end is not None and start >= end)
            found.append(tokens._replace(afresh=next(later, None)))
        return found

    def cut(self, passages: Sequence[Passage], room: int, limit: int) -> tuple[CutPassages, list[Tokens]]:
        """Passages cut into blocks of at most `room` word pieces, and the pieces of each block; see `cut_passage`."""
        tokens = self.encode_passages(passages)
        sizes = [len(pieces.ids) for pieces in tokens]
        parts = cut_passages(passages, sizes, room, limit, self)
        return parts, self.encode_passages(parts.texts) if max(sizes, default=0) > min(room, limit) else tokens

    def sizes(self, passages: Sequence[Passage]) -> list[int]:
        """See `Ruler`."""
        return [len(pieces.ids) for pieces in self.encode([passage.full_text for passage in passages])]

    def places(self, text: str) -> list[tuple[int, int]]:
        """See `Ruler`."""
        return self.encode([text])[0].offsets

    def encode_question(self, question: str, max_tokens: int) -> tuple[Tokens, int]:
        """A question's word pieces that blocks of `max_tokens` hold (see `kept_tokens`), and how many are left out.

        At least half of a block is left for the passage.
        """
        [pieces] = self.encode([question])
        kept = kept_tokens(question, pieces.offsets, min(MAX_QUESTION_TOKENS, max_tokens // 2))
        tokens = Tokens([pieces.ids[i] for i in kept], [pieces.offsets[i] for i in kept])
        return tokens, len(pieces.ids) - len(kept)

    def decode(self, ids: Sequence[int]) -> str:
        """Lower-case text of word pieces, for answers that do not occur in a passage."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


def _with_marks(text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pieces' characters with the accents that follow the last of them, which the tokenizer takes away."""
    if unicodedata.is_normalized("NFC", text):
        return offsets
    whole = []
    for start, end in offsets:
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        whole.append((start, end))
    return whole


def repeated_title_end(passage: Passage) -> int | None:
    """Where the `full_text` goes on after a title that the text repeats without a stop, and then names again.

    Corpora in DPR's format join both, as "Khyber Pass The Khyber Pass is a pass"; read as one sentence, the title
    would run on into the next. A text such as "Apollo 11 was" under the title "Apollo" is no such case.
    """
    title, size = passage.title.lower(), len(passage.title)
    if not title or passage.text[:size].lower() != title or passage.text[size : size + 1] != " ":
        return None
    named, next_words = (_without_article(_WORD.findall(part)) for part in (title, passage.text[size:].lower()))
    if not named or named[:1] != next_words[:1]:
        return None
    return len(passage.full_text) - len(passage.text) + size + 1


def _without_article(words: list[str]) -> list[str]:
    return words[1:] if words[:1] in (["the"], ["a"], ["an"]) else words


def assemble(pairs: Sequence[tuple[Sequence[int], Tokens | None]], max_tokens: int) -> Blocks:
    """Blocks "[CLS] question [SEP] passage [SEP]" of (question ids, passage) pairs.

    A passage of `None` gives the question alone. Passages are cut to fit `max_tokens`.
    """
    rows, cut = [], []
    for question, passage in pairs:
        head = [CLS, *question, SEP]
        room = max_tokens - len(head) - 1
        kept = passage.ids[:room] if passage is not None else []
        cut.append(len(passage.ids) - len(kept) if passage is not None else 0)
        rows.append((head, kept, passage.afresh if passage is not None else None))
    length = max(len(head) + len(kept) + bool(kept) for head, kept, _ in rows)
    ids = torch.full((len(rows), length), PAD, dtype=torch.long)
    types, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    copyable, afresh = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for row, (head, kept, again) in enumerate(rows):
        block = [*head, *kept, SEP] if kept else head
        ids[row, : len(block)] = torch.tensor(block)
        mask[row, : len(block)] = 1
        types[row, len(head) : len(block)] = 1
        copyable[row, len(head) : len(head) + len(kept)] = True
        if again is not None and again < len(kept):
            afresh[row, len(head) + again] = True
    return Blocks(ids, types, mask, copyable, afresh, cut)
