"""Fusion-in-Decoder (Izacard & Grave 2021) over any `transformers` encoder-decoder checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from rag.readers.attention import Prefixes, block_attention
from rag.readers.base import Coalitions, EncodedQuestion, TokenScores, check_coalitions, check_length, check_question
from rag.readers.decoding import CoalitionDecoder, PrefixTracker, greedy_decode
from rag.readers.drafts import PASS_COST, SeenAnswers, decode_in_chunks
from rag.readers.encoding import BlockMap, View, chunks, encode_blocks, flatten
from rag.readers.fid_blocks import FiDTokenizer
from rag.readers.fid_hidden import BlockQuestion, hidden_blocks
from rag.readers.hidden_parts import (
    Masking,
    Spans,
    Variant,
    check_hidden_question,
    check_variants,
    insert,
    insert_blocks,
    insert_cache,
    shortened,
    without,
)
from rag.readers.pretrained import load_seq2seq
from rag.readers.rules import decoding_rules
from retrievers import Passage


@dataclass(frozen=True)
class _State:
    states: Tensor  # (1, n_tokens, hidden)
    block: Tensor  # (n_tokens,)
    cross: DynamicCache  # cross-attention keys and values, one row
    sizes: list[int]  # tokens of each block
    map: BlockMap
    seen: SeenAnswers
    question: BlockQuestion


class FiDReader:
    """A T5, BART or other encoder-decoder that reads each passage by itself and answers from all of them.

    Args:
        checkpoint: name or folder of the model; only safetensors weights are loaded, and no code.
        max_block_tokens: limit of tokens of a block, which holds the question and a passage; a longer passage takes
            several blocks.
        max_passage_tokens: limit of tokens that are read of a passage; what exceeds it is cut and counted.
        max_answer_tokens: limit of tokens of a generated answer.
        memory_mb: bound on the memory of decoding, apart from weights, keys and values.
        device: a torch device, such as "cpu" or "cuda".
        dtype: "float32", or "bfloat16" where the device is fast at it.

    Raises:
        ValueError: the checkpoint is no encoder-decoder or lacks weights (see `rag.readers.pretrained`), its positions
            end before a block or an answer may, or its generation settings ask for something that is not applied (see
            `rag.readers.rules`).
        OSError: the checkpoint cannot be found, or has no safetensors weights.
    """

    least_support: float | None = None

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        max_block_tokens: int = 256,
        max_passage_tokens: int = 2048,
        max_answer_tokens: int = 32,
        memory_mb: int = 256,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.name = str(checkpoint)
        self.model, self.tokenizer = load_seq2seq(
            checkpoint, max_block_tokens, max_answer_tokens, getattr(torch, dtype)
        )
        self.model.to(device)
        self.max_answer_tokens = max_answer_tokens
        self.memory_mb = memory_mb
        self.pass_cost = PASS_COST[self.model.device.type]
        self._rules = decoding_rules(self.model, max_answer_tokens)
        self.blocks = FiDTokenizer(self.tokenizer, max_block_tokens, max_passage_tokens)

    @torch.inference_mode()
    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        """Encode each block "question: … title: … context: …" by itself, and the question alone.

        A passage that does not fit into one block is cut at sentence ends into several, which repeat its title.
        """
        question = check_question(question)
        blocks = self.blocks.blocks(question, passages)
        states, block, sizes = self._read(blocks.ids, [[1] * len(ids) for ids in blocks.ids])
        cross, seen, whole = self._cross_cache(states), SeenAnswers(), BlockQuestion(question)
        state = _State(states, block, cross, sizes, blocks.parts.map, seen, whole)
        return EncodedQuestion(question, tuple(passages), blocks.cut, blocks.question_cut, state, sum(sizes))

    @torch.inference_mode()
    def extend(
        self, encoded: EncodedQuestion, variants: Sequence[Variant], masking: Masking = "attention"
    ) -> EncodedQuestion:
        """Encode passages with parts hidden beside the whole ones; see `PartsReader`."""
        check_variants(encoded, variants, masking)
        if not variants:
            return encoded
        passages, state = encoded.passages, encoded.state
        blocks = hidden_blocks(self.blocks, state.question, passages, variants, masking)
        states, rows, sizes = self._read(blocks.ids[:-1], blocks.seen[:-1])
        block, at = insert_blocks(state.block, rows, len(state.map.owner))
        joined = replace(
            state,
            states=insert(state.states, states, at, 1),
            block=block,
            cross=insert_cache(state.cross, self._cross_cache(states), at),
            sizes=[*state.sizes[:-1], *sizes, state.sizes[-1]],
            map=state.map + blocks.map,
        )
        left = [shortened(passages[variant.passage], variant) for variant in variants]
        cut = (*encoded.cut_tokens, *blocks.cut)
        return replace(encoded, passages=(*passages, *left), cut_tokens=cut, state=joined)

    @torch.inference_mode()
    def hide_question(
        self, encoded: EncodedQuestion, hidden: Spans, columns: Sequence[int], masking: Masking = "attention"
    ) -> EncodedQuestion:
        """Encode passages again with parts of the question hidden; see `PartsReader`."""
        check_hidden_question(encoded, hidden, columns, masking)
        passages = tuple(encoded.passages[column] for column in columns)
        question = BlockQuestion(encoded.question, hidden)
        if masking == "delete":
            question = BlockQuestion(without(encoded.question, hidden)[0])
        whole = [Variant(number, ()) for number in range(len(passages))]
        blocks = hidden_blocks(self.blocks, question, passages, whole, masking)
        states, block, sizes = self._read(blocks.ids, blocks.seen)
        state = _State(states, block, self._cross_cache(states), sizes, blocks.map, encoded.state.seen, question)
        return replace(encoded, passages=passages, cut_tokens=blocks.cut, state=state)

    @torch.inference_mode()
    def generate(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        """Greedy answers, one per coalition; the same as the model's own `generate` on the visible blocks."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        state: _State = encoded.state
        members = state.map.spread(coalitions)

        def decode(part: slice, drafts: Sequence[Sequence[int]]) -> list[list[int]]:
            view = View.of(members[part], state.block, self.model.dtype)
            decoder = _Decoder(self, state, view)
            rules = self._rules
            return greedy_decode(decoder, drafts, rules.start, rules.stops, self.max_answer_tokens)

        room = max(1, self.memory_mb * 2**20 // self._bytes_per_query(state))
        tokens = list(decode_in_chunks(len(coalitions), decode, state.seen, room, self.pass_cost))
        answers: list[str] = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [answer.strip() for answer in answers]

    @torch.inference_mode()
    def score(self, encoded: EncodedQuestion, coalitions: Coalitions, answers: Sequence[str]) -> NDArray[np.float64]:
        """Summed log-probabilities of the answers' tokens, end of sequence included."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        scores = np.zeros((len(coalitions), len(answers)))
        for column, answer in enumerate(answers):
            ids = self.tokenizer(text_target=answer).input_ids
            scores[:, column] = self._token_log_probs(encoded.state, coalitions, ids).sum(1)
        return scores

    def scores_tokens(self) -> bool:
        """Whether the tokenizer says where a token stands in the answer; only fast ones do."""
        return bool(self.tokenizer.is_fast)

    @torch.inference_mode()
    def score_tokens(self, encoded: EncodedQuestion, coalitions: Coalitions, answer: str) -> TokenScores:
        """Log-probabilities of the answer's tokens, after the special tokens that begin it; see `TokenReader`."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        target = self.tokenizer(
            text_target=answer, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False
        )
        own = [place for place, special in enumerate(target.special_tokens_mask) if not special]
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and own:
            room -= own[-1] + 1 - len(own)  # special tokens take positions before the answer
        check_length(self.name, len(own), room)
        log_probs = self._token_log_probs(encoded.state, coalitions, target.input_ids[: own[-1] + 1])
        return TokenScores(log_probs[:, own], tuple(target.offset_mapping[place] for place in own))

    def _token_log_probs(self, state: _State, coalitions: Coalitions, ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probabilities of given tokens, each after those before it, `(n_coalitions, n_ids)`."""
        labels = torch.tensor(ids, device=self.model.device)
        inputs = torch.cat([labels.new_tensor([self._rules.start]), labels[:-1]])
        members, found = state.map.spread(coalitions), np.zeros((len(coalitions), len(labels)))
        for part in chunks(len(coalitions), self._bytes_per_query(state) * len(labels), self.memory_mb):
            view = View.of(members[part], state.block, self.model.dtype)
            tokens = inputs.expand(len(view.tokens), -1)
            prefixes = PrefixTracker(len(tokens), state.sizes, tokens.device).extend(tokens, view.members)
            cache = EncoderDecoderCache(DynamicCache(), state.cross)
            logits = self._decode(tokens, state.states, view.mask, cache, prefixes)
            log_probs = logits.float().log_softmax(-1)[:, torch.arange(len(labels)), labels]
            found[part] = log_probs.double().cpu().numpy()
        return found

    def attention(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """See `AttentiveReader`."""
        mean: NDArray[np.float64] = self.attention_by_head(encoded, answer).mean(1)
        return mean

    @torch.inference_mode()
    def attention_by_head(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """See `AttentiveReader`."""
        state: _State = encoded.state
        labels = torch.tensor(self.tokenizer(text_target=answer).input_ids, device=self.model.device)
        # Two rows: more rows than questions are the mark of the cross-attention.
        tokens = torch.cat([labels.new_tensor([self._rules.start]), labels[:-1]]).expand(2, -1)
        view = View.of(np.ones((2, len(state.map.owner)), dtype=bool), state.block, self.model.dtype)
        seen: list[Tensor] = []
        self._decode(tokens, state.states, view.mask, EncoderDecoderCache(DynamicCache(), state.cross), seen=seen)
        return state.map.total(block_attention(seen, state.sizes)[:-1].cpu())

    def _read(self, ids: Sequence[Sequence[int]], seen: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, list[int]]:
        """Encode blocks: states `(1, n_tokens, hidden)` of the tokens to be seen, each one's block, and blocks' sizes.

        Args:
            ids: each block's tokens.
            seen: 1 for each token that may be seen, 0 for each that keeps its place but is hidden.
        """
        tokens, mask = self.blocks.pad(ids, self.model.device)
        shown = self.blocks.pad(seen, self.model.device)[0] * mask
        encoder = self.model.get_encoder()

        def encode(group: Tensor, length: int) -> Tensor:
            return encoder(input_ids=tokens[group, :length], attention_mask=shown[group, :length]).last_hidden_state

        states = encode_blocks(encode, mask, self.model.config.hidden_size).to(self.model.dtype)
        flat = flatten(shown)
        return states[flat.row, flat.column][None], flat.row, shown.sum(1).tolist()

    def _decode(
        self,
        tokens: Tensor,
        states: Tensor,
        mask: Tensor | None,
        cache: EncoderDecoderCache,
        prefixes: Prefixes | None = None,
        seen: list[Tensor] | None = None,
    ) -> Tensor:
        """Logits `(n_rows, steps, vocab_size)` of decoder inputs `(n_rows, steps)`."""
        logits: Tensor = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask,
            decoder_input_ids=tokens,
            past_key_values=cache,
            use_cache=True,
            prefixes=prefixes,
            seen=seen,
        ).logits
        return logits

    def _cross_cache(self, states: Tensor) -> DynamicCache:
        """Keys and values of all blocks, from one decoder step that sees everything."""
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._decode(torch.full((1, 1), self._rules.start, device=self.model.device), states, None, cache)
        return cache.cross_attention_cache

    def _bytes_per_query(self, state: _State) -> int:
        """Memory of one query: the mask, and the logits in two precisions."""
        return (2 * len(state.block) + 3 * self.model.config.vocab_size) * 4


class _Decoder(CoalitionDecoder):
    def __init__(self, reader: FiDReader, state: _State, view: View):
        super().__init__(view, state.cross, state.sizes)
        self.reader, self.state = reader, state

    def advance(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self.fed.device)
        prefixes = self.tracker.extend(tokens, self.view.members)
        logits = self.reader._decode(tokens, self.state.states, self.view.mask, self.cache, prefixes).float()
        self.fed = torch.cat([self.fed, tokens], 1)
        chosen = []
        for number in range(tokens.shape[1]):
            so_far = self.fed[:, : self.fed.shape[1] - tokens.shape[1] + number + 1]
            scores: Tensor = self.reader._rules.processors(so_far, logits[:, number])  # type: ignore[arg-type]
            chosen.append(scores.argmax(-1))
        return torch.stack(chosen, 1).cpu()
