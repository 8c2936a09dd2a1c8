"""Causal language models of `transformers`, run here."""

from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import GenerationConfig

from rag.readers.base import TokenScores, check_length
from rag.readers.encoding import chunks
from rag.readers.pretrained import load_config, load_model, load_tokenizer
from rag.readers.prompt.prefixes import SharedReading, can_go_back
from rag.readers.prompt.reply import NoReplyError, Reply
from rag.readers.prompt.usage import Usage
from rag.readers.rules import BIASES, FORBIDDING, check_applied, check_tokens, end_tokens, through_end

_TIMED_TOKENS = 128
_STEPS = 3  # of writing after a prompt, beyond a draft that is right
_LOG = logging.getLogger(__name__)


class CausalModel:
    """A causal language model, asked through its chat template if its tokenizer has one, else by the bare prompt.

    What prompts have in common at their beginnings is read once, where the model's cache can go back to it.
    Decoding is plainly greedy. Of the checkpoint's generation settings, the end tokens and the tokens that are
    forbidden or favoured are honoured; sampling, penalties and everything else are left out.

    Args:
        checkpoint: name or folder of the model; only safetensors weights are loaded, and no code.
        max_answer_tokens: limit of tokens of a reply.
        memory_mb: bound on the keys, values and logits held at once; at least one prompt is read at a time.
        device: a torch device, such as "cpu" or "cuda".
        dtype: "float32", or "bfloat16" where the device is fast at it.
        chat_template_kwargs: variables of the chat template, such as `{"enable_thinking": False}`.

    Raises:
        ValueError: the checkpoint is no causal language model, or forbids or favours tokens that do not exist; or its
            chat template does not know one of the variables.
        OSError: the checkpoint cannot be found, or has no safetensors weights.
    """

    priced = False
    limit: tuple[str, int | None] | None = None
    scoring = ""

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        max_answer_tokens: int = 32,
        memory_mb: int = 256,
        device: str = "cpu",
        dtype: str = "float32",
        chat_template_kwargs: Mapping[str, Any] | None = None,
    ):
        self.name = str(checkpoint)
        config = load_config(self.name)
        if config.is_encoder_decoder:
            raise ValueError(f"{checkpoint} is an encoder-decoder ({config.model_type}), not a causal language model")
        self.model: Any = load_model(self.name, config, getattr(torch, dtype)).to(device)
        self.tokenizer = load_tokenizer(self.name)
        self.chat_template_kwargs = dict(chat_template_kwargs or {})
        self._check_template_kwargs()
        added = self.tokenizer.added_tokens_decoder.values()
        self.control_tokens = tuple(t.content for t in added if t.special or t.content.startswith("<"))
        self.max_answer_tokens = max_answer_tokens
        self.memory_mb = memory_mb
        self.usage = Usage()
        self._forward = inspect.signature(self.model.forward).parameters
        self._pad: int = self.tokenizer.pad_token_id or 0  # masked, so that any token will do
        own = self.model.generation_config
        check_applied(own)
        check_tokens(own, self.model.config.get_text_config().vocab_size, BIASES)
        # `generate` would take what is not given here from the checkpoint's own settings.
        self.model.generation_config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_answer_tokens,
            eos_token_id=end_tokens(own, self.tokenizer.eos_token_id) or None,
            pad_token_id=self._pad,
            **{name: getattr(own, name, None) for name in FORBIDDING},
        )
        self._shared: SharedReading | None = None
        if can_go_back(self.model):
            free = not any(getattr(own, name, None) for name in FORBIDDING)
            self._shared = SharedReading(self.model, memory_mb, drafts=free)
        else:
            _LOG.warning(
                "%s: every prompt is read from its beginning, because this model's cache cannot go back to an earlier "
                "token",
                self.name,
            )

    def places(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) that each token of a text stands for."""
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets: list[tuple[int, int]] = found.offset_mapping
        return offsets

    def seconds(self, tokens: int, calls: int) -> float:
        """About how long it takes to read so many tokens of so many prompts, and to write a few after each of them."""
        return tokens * self._pace + calls * _STEPS * self._step

    @cached_property
    def _pace(self) -> float:
        """Seconds to read one token of many."""
        return self._timed(_TIMED_TOKENS) / _TIMED_TOKENS

    @cached_property
    def _step(self) -> float:
        """Seconds to write one token."""
        return self._timed(1)

    @torch.inference_mode()
    def _timed(self, tokens: int) -> float:
        """Seconds that so many tokens take, once the library has prepared for them."""
        ids = torch.ones(1, tokens, dtype=torch.long, device=self.model.device)
        options = {"logits_to_keep": 1} if "logits_to_keep" in self._forward else {}
        for _ in range(2):
            started = time.perf_counter()
            self.model(ids, use_cache=False, **options).logits[0, -1, 0].item()
        return time.perf_counter() - started

    @torch.inference_mode()
    def complete(self, prompts: Sequence[str], tokens: int = 0) -> list[Reply]:
        """The greedy reply to each prompt, of `tokens` or `max_answer_tokens` at most, whichever is more.

        Raises:
            ValueError: a reply is reasoning alone.
        """
        limit = max(tokens, self.max_answer_tokens)
        rows = self._rows(prompts, limit)
        fed = 0 if self._shared is None else self._shared.walk.fed
        written = self._padded_replies(rows, limit) if self._shared is None else self._shared.replies(rows, limit)
        total = sum(map(len, rows))
        cached = 0 if self._shared is None else max(0, total - (self._shared.walk.fed - fed))
        self.usage += Usage(len(rows), total, cached, sum(map(len, written)))
        ends, replies = set(end_tokens(self.model.generation_config)), []
        for reply, text in zip(written, self.tokenizer.batch_decode(written, skip_special_tokens=True), strict=True):
            try:
                replies.append(Reply.of(text, cut=len(reply) == limit and not ends & set(reply)))
            except NoReplyError as error:
                raise ValueError(f"{self.name} {error}") from None
        return replies

    @torch.inference_mode()
    def score(self, prompts: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
        """Summed log-probabilities of each reply's tokens after each prompt, `(n_prompts, n_replies)`."""
        found = self._log_probs(prompts, [self._reply(reply)[0] for reply in replies])
        return np.stack([tokens.sum(1) for tokens in found], axis=1)

    def scores_tokens(self) -> bool:
        """Yes."""
        return True

    @torch.inference_mode()
    def score_tokens(self, prompts: Sequence[str], reply: str) -> TokenScores:
        """Log-probabilities of a reply's tokens after each prompt; see `rag.readers.base.TokenReader`."""
        target, offsets = self._reply(reply)
        check_length(self.name, len(target), None)  # the window is checked with the prompts
        return TokenScores(self._log_probs(prompts, [target])[0], offsets)

    def _log_probs(self, prompts: Sequence[str], targets: Sequence[list[int]]) -> list[NDArray[np.float64]]:
        """Log-probabilities of given tokens after each prompt, one `(n_prompts, n_tokens)` for each target."""
        rows = self._rows(prompts, max(map(len, targets), default=0))
        if self._shared is None:
            return [self.padded_log_probs(rows, target) for target in targets]
        found = self._shared.log_probs(rows, targets)
        return [
            np.array([of_row[place].tolist() for of_row in found]).reshape(len(rows), len(target))
            for place, target in enumerate(targets)
        ]

    def _padded_replies(self, rows: Sequence[list[int]], limit: int) -> list[list[int]]:
        """The tokens of the reply to each prompt, all of which are read from the beginning."""
        replies: list[list[int]] = [[] for _ in rows]
        ends = end_tokens(self.model.generation_config)
        for batch in self._batches(rows, limit):
            ids, mask = self._pad_left([rows[index] for index in batch])
            written = self.model.generate(ids, attention_mask=mask, max_new_tokens=limit)[:, ids.shape[1] :].tolist()
            for index, tokens in zip(batch, written, strict=True):
                replies[index] = list(through_end(tokens, ends))
        return replies

    @torch.inference_mode()
    def padded_log_probs(self, rows: Sequence[list[int]], target: list[int]) -> NDArray[np.float64]:
        """Log-probabilities of given tokens after each prompt, each read whole, `(n_prompts, n_tokens)`."""
        targets = torch.tensor(target, device=self.model.device)
        found = np.zeros((len(rows), len(target)))
        for batch in self._batches(rows, len(target)):
            ids, mask = self._pad_left([[*rows[index], *target[:-1]] for index in batch])
            options: dict[str, Any] = {}
            if "position_ids" in self._forward:
                options["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
            if "logits_to_keep" in self._forward:
                options["logits_to_keep"] = len(target)
            logits = self.model(ids, attention_mask=mask, use_cache=False, **options).logits[:, -len(target) :]
            log_probs = logits.float().log_softmax(-1)[:, torch.arange(len(target)), targets]
            found[batch] = log_probs.double().cpu().numpy()
        return found

    def _rows(self, prompts: Sequence[str], new_tokens: int) -> list[list[int]]:
        """The tokens of each prompt; raises `ValueError` if one and what follows it exceed the model's window."""
        rows = [self._tokens(prompt) for prompt in prompts]
        longest = max(map(len, rows), default=0)
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and 0 < limit < longest + new_tokens:
            raise ValueError(
                f"{self.name} reads at most {limit} tokens, this prompt takes {longest} and its reply {new_tokens}; "
                "give fewer passages (retriever.passages, attribution.screen), cut them (reader.max_passage_tokens), "
                "or explain a shorter answer"
            )
        return rows

    def _check_template_kwargs(self) -> None:
        """A template ignores variables that it does not know, so a misspelt one would do nothing."""
        template = self.tokenizer.get_chat_template() if self.tokenizer.chat_template else ""
        unknown = [name for name in self.chat_template_kwargs if not re.search(rf"\b{re.escape(name)}\b", template)]
        if unknown:
            what = "knows no variable" if template else "has no chat template, which could take"
            raise ValueError(f"its tokenizer {what} {', '.join(unknown)} (reader.chat_template_kwargs)")

    def _tokens(self, prompt: str) -> list[int]:
        tokens: list[int]
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                add_generation_prompt=True,
                tokenize=False,
                **self.chat_template_kwargs,
            )
            tokens = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        else:
            tokens = self.tokenizer(prompt, verbose=False).input_ids
        return tokens

    def _reply(self, reply: str) -> tuple[list[int], tuple[tuple[int, int], ...]]:
        """A reply's tokens, and the characters of each; after a bare prompt, the reply begins with a space."""
        before = "" if self.tokenizer.chat_template else " "
        encoded = self.tokenizer(before + reply, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        moved = ((max(0, start - len(before)), max(0, end - len(before))) for start, end in encoded.offset_mapping)
        return encoded.input_ids, tuple(moved)

    def _batches(self, rows: Sequence[Sequence[int]], new_tokens: int) -> Iterator[list[int]]:
        """Indices of rows of similar length, the longest first, so that little padding is computed."""
        lengths = np.array([len(row) for row in rows], dtype=int)
        if not len(lengths):
            return
        longest = int(lengths.max()) + new_tokens
        config = self.model.config.get_text_config()
        width = 2 * config.num_hidden_layers * _key_width(config)
        per_row = (longest * width + new_tokens * config.vocab_size) * 4
        order = np.argsort(-lengths, kind="stable")
        for part in chunks(len(order), per_row, self.memory_mb):
            yield order[part].tolist()

    def _pad_left(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and mask, `(n_rows, length)`."""
        length = max(map(len, rows))
        ids = torch.tensor([[*[self._pad] * (length - len(row)), *row] for row in rows], device=self.model.device)
        lengths = torch.tensor([len(row) for row in rows], device=self.model.device)
        return ids, (torch.arange(length, device=self.model.device) >= length - lengths[:, None]).long()


def _key_width(config: Any) -> int:
    """Numbers in the keys of one token in one layer; a model without attention, or of unlike layers, may hold as many.

    Such a model says so by raising, each in its own way.
    """
    try:
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        return int(heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads))
    except Exception:
        return int(config.hidden_size)
