"""Reading prompts that begin alike without reading any token twice.

Prompts in lexicographic order are a depth-first walk through the trie of their prefixes: each prompt is read from where
it leaves the one before, and the keys and values of what they share are kept.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from rag.readers.decoding import fork_cache
from rag.readers.interruption import checkpoint
from rag.readers.rules import end_tokens, through_end

ROUNDING = {torch.float32: 0.02, torch.bfloat16: 0.5}
"""How far a log-probability may be apart when the same tokens are read in other parts."""

_DRAFT_TOKENS = 16  # read at once of a draft, which may be wrong from its first token on
_SEEN = 256  # replies kept as drafts
_WRITTEN_AT_ONCE = 8  # one step for so many replies takes less time than a step for each


def can_go_back(model: Any) -> bool:
    """Whether the model's cache holds keys and values token by token, so that reading can go on from any earlier token.

    A state-space model's cache does not, and that of a hybrid does not in each layer.
    """
    tokens = [1, 2, 3, 4]
    try:
        with torch.inference_mode():
            walk = PrefixWalk(model)
            walk.read([*tokens[:2], *tokens], 1)
            again = walk.read(tokens, 1)[0].log_softmax(-1)
            whole = model(torch.tensor([tokens], device=model.device), use_cache=False).logits[0, -1].log_softmax(-1)
    except Exception:  # each architecture that wants another cache says so in its own way
        return False
    layers = walk.cache.layers
    token_by_token = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
    return token_by_token and bool((again - whole).abs().max() < ROUNDING[model.dtype])


class PrefixWalk:
    """The keys and values of the tokens read last, in one row.

    Args:
        model: a causal language model that `can_go_back`.

    Attributes:
        tokens: what is held.
        cache: their keys and values, of all tokens in every layer; where attention has a window, its mask says so.
        fed: number of tokens that the model has read so far.
    """

    def __init__(self, model: Any):
        self.model = model
        self.tokens: list[int] = []
        self.fed = 0
        self.cache = DynamicCache()
        self._keeps_logits = "logits_to_keep" in inspect.signature(model.forward).parameters

    def read(self, tokens: Sequence[int], keep: int) -> Tensor:
        """The logits after each of the last `keep` tokens, `(keep, vocabulary)`; what is held already is not read."""
        shared = min(common_length(self.tokens, tokens), len(tokens) - keep)
        fresh, held = list(tokens[shared:]), self.tokens
        self.tokens = []  # what is held is unknown if the model fails
        self.cache.crop(shared - len(held))  # below 0 it is the number of tokens to remove
        if not shared:
            self.cache = DynamicCache()
        device = self.model.device
        logits: Tensor = self.model(
            torch.tensor([fresh], device=device),
            attention_mask=torch.ones(1, len(tokens), dtype=torch.long, device=device),
            past_key_values=self.cache,
            use_cache=True,
            **({"logits_to_keep": keep} if self._keeps_logits else {}),
        ).logits[0, -keep:]
        self.tokens = list(tokens)
        self.fed += len(fresh)
        return logits

    def fork(self, length: int) -> DynamicCache:
        """A copy of the keys and values of the first `length` tokens."""
        return fork_cache(self.cache, torch.zeros(1, dtype=torch.long, device=self.model.device), length)


@dataclass(frozen=True)
class _Begun:
    """A reply that goes on as none before it."""

    row: int
    reply: list[int]
    cache: DynamicCache  # of the prompt and the reply, except for the last token of both

    @property
    def bytes(self) -> int:
        layers: list[Any] = self.cache.layers
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)


class SharedReading:
    """Greedy replies and log-probabilities after many prompts, each read from where it leaves the one before.

    Replies mostly repeat, so the latest one is read behind a prompt as a draft, in the same pass: the token that the
    model would choose after each token of a draft shows how far the draft is right (Leviathan et al. 2023). Where no
    earlier reply begins like this one, it waits for others and is written with them in a batch. Drafts change the time
    that replies take, and a reply only where the two likeliest tokens are as close as rounding, which in bfloat16
    happened to 2 of 128 replies of a model of half a billion parameters.

    Args:
        model: a causal language model that `can_go_back`, with the settings of `generate` in it.
        memory_mb: bound on the keys and values of replies that wait.
        drafts: whether a reply follows from logits alone; false where settings forbid or favour tokens, which is then
            left to `generate`.
    """

    def __init__(self, model: Any, memory_mb: int, *, drafts: bool = True):
        self.model = model
        self.walk = PrefixWalk(model)
        self._limit = memory_mb * 2**20
        self._drafts = drafts
        self._ends: frozenset[int] = frozenset()
        self._seen: dict[tuple[int, ...], None] = {}  # the latest last
        self._lock = threading.Lock()

    def replies(self, rows: Sequence[list[int]], limit: int) -> list[list[int]]:
        """The tokens of each prompt's reply, at most `limit`, with the end token if it came to one."""
        replies: list[list[int]] = [[] for _ in rows]
        waiting: list[_Begun] = []
        done = 0
        with self._lock:
            self._ends = frozenset(end_tokens(self.model.generation_config))
            for row in sorted(range(len(rows)), key=lambda row: rows[row]):
                checkpoint()
                if self._begin(rows[row], replies[row], limit):
                    done += 1
                else:
                    waiting.append(self._waiting(row, rows[row], replies[row]))
                # No more at once than came before: the first replies, which are drafts for the others, come soon.
                if len(waiting) >= max(done, _WRITTEN_AT_ONCE) or self._full(waiting):
                    done += self._write(rows, waiting, limit)
            self._write(rows, waiting, limit)
        return replies

    def log_probs(self, rows: Sequence[list[int]], targets: Sequence[Sequence[int]]) -> list[list[Tensor]]:
        """Log-probabilities of given tokens after each prompt, for each row one `(n_tokens,)` for each target."""
        found: list[list[Tensor]] = [[] for _ in rows]
        with self._lock:
            for row in sorted(range(len(rows)), key=lambda row: rows[row]):
                checkpoint()
                for target in targets:
                    logits = self.walk.read([*rows[row], *target[:-1]], len(target))
                    given = torch.tensor(target, device=logits.device)[:, None]
                    found[row].append(logits.float().log_softmax(-1).gather(1, given)[:, 0].double().cpu())
        return found

    def _begin(self, prompt: Sequence[int], reply: list[int], limit: int) -> bool:
        """Extend a reply as long as an earlier one begins like it; whether it is then at its end."""
        while self._drafts and (draft := self._draft(reply)) is not None:
            chosen = self.walk.read([*prompt, *reply, *draft], len(draft) + 1).argmax(-1).tolist()
            right = common_length(draft, chosen)
            reply.extend(chosen[: min(right + 1, limit - len(reply))])
            if reply[-1] in self._ends or len(reply) == limit:
                self._remember(reply)
                return True
        return False

    def _draft(self, reply: list[int]) -> list[int] | None:
        """How the latest reply that begins like this one goes on, perhaps not at all; None if none begins so."""
        if not (reply or self._seen):
            return []  # the very first reply
        for seen in reversed(self._seen):
            if len(seen) > len(reply) and list(seen[: len(reply)]) == reply:
                rest = seen[len(reply) : len(reply) + _DRAFT_TOKENS]
                return list(rest[:-1] if rest[-1] in self._ends else rest)
        return None

    def _remember(self, reply: Sequence[int]) -> None:
        self._seen.pop(tuple(reply), None)
        self._seen[tuple(reply)] = None
        if len(self._seen) > _SEEN:
            del self._seen[next(iter(self._seen))]

    def _waiting(self, row: int, prompt: Sequence[int], reply: list[int]) -> _Begun:
        if not reply:
            self.walk.read(prompt, 1)
        return _Begun(row, reply, self.walk.fork(len(prompt) + len(reply) - 1))

    def _full(self, waiting: Sequence[_Begun]) -> bool:
        """Whether memory admits no more: they are held once by themselves and once in a batch, and have logits."""
        vocabulary = self.model.config.get_text_config().vocab_size
        return bool(waiting) and (len(waiting) + 1) * (2 * waiting[-1].bytes + 4 * vocabulary) > self._limit

    def _write(self, rows: Sequence[list[int]], waiting: list[_Begun], limit: int) -> int:
        """Write all that wait to their ends, in one batch that is padded on the left; returns how many did."""
        if not waiting:
            return 0
        checkpoint()
        device, batch = self.model.device, [[*rows[one.row], *one.reply] for one in waiting]
        longest = max(map(len, batch))
        ids = torch.tensor([[*[0] * (longest - len(tokens)), *tokens] for tokens in batch], device=device)
        lengths = torch.tensor([[len(tokens)] for tokens in batch], device=device)
        written = self.model.generate(
            ids,
            attention_mask=(torch.arange(longest, device=device) >= longest - lengths).long(),
            past_key_values=_stacked([one.cache for one in waiting]),
            max_new_tokens=limit - min(len(one.reply) for one in waiting),
        )[:, longest:].tolist()
        for one, tokens in zip(waiting, written, strict=True):
            one.reply.extend(through_end(tokens, self._ends)[: limit - len(one.reply)])
            self._remember(one.reply)
        count = len(waiting)
        waiting.clear()
        return count


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginnings."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _stacked(caches: Sequence[DynamicCache]) -> DynamicCache:
    """Caches of one row each as one cache, padded on the left."""
    longest, stacked = max(cache.get_seq_length() for cache in caches), DynamicCache()
    for number in range(len(caches[0].layers)):
        layers: list[Any] = [cache.layers[number] for cache in caches]
        padded = [
            torch.cat([pad(held, (0, 0, longest - held.shape[-2], 0)) for held in parts])
            for parts in ([layer.keys for layer in layers], [layer.values for layer in layers])
        ]
        stacked.update(padded[0], padded[1], number)
    return stacked
