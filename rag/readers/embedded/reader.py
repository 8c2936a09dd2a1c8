"""The reader that ships with the package: small, offline, and made for many passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from rag.readers.attention import block_attention
from rag.readers.base import Coalitions, EncodedQuestion, TokenScores, check_coalitions, check_length, check_question
from rag.readers.decoding import PrefixTracker, greedy_decode
from rag.readers.drafts import PASS_COST, SeenAnswers, decode_in_chunks
from rag.readers.embedded.blocks import UNKNOWN, BlockTokenizer, assemble
from rag.readers.embedded.decoder import EmbeddedDecoder, State, decoder_states
from rag.readers.embedded.english import may_be_english
from rag.readers.embedded.hidden import HiddenBlocks, hidden_blocks, hidden_head, question_alone, whole_head
from rag.readers.embedded.model import CopyReaderModel, Source
from rag.readers.embedded.weights import load_model
from rag.readers.embedded_files import SHIPPED, WEIGHTS
from rag.readers.encoding import BlockMap, View, chunks, encode_blocks, flatten
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
)
from retrievers import Passage
from retrievers.text import unbroken


class EmbeddedReader:
    """Reads passages with the weights in a folder, by default those of the package.

    Args:
        folder: weights, configuration and tokenizer, as `ragshap train` writes them.
        max_block_tokens: limit of a block, which holds the question and a passage; a longer passage takes several.
        max_passage_tokens: limit of what is read of a passage; what exceeds it is cut and counted.
        max_answer_tokens: limit of a generated answer.
        no_answer_threshold: "no answer" (the empty string) is given when its calibrated probability reaches this; 1
            never gives it, and None is the threshold that training tuned.
        memory_mb: bound on what decoding holds beside weights, keys and values.
        device: a torch device, such as "cpu" or "cuda".
        dtype: "float32", or "bfloat16" for the encoder's products; the decoder, which is small, keeps float32.

    Raises:
        WeightsError: the folder's weights are missing, damaged, or not safetensors.
    """

    least_support: float | None = -13.5  # see docs/evaluation.md

    def __init__(
        self,
        folder: str | Path = WEIGHTS,
        *,
        max_block_tokens: int = 256,
        max_passage_tokens: int = 2048,
        max_answer_tokens: int = 32,
        no_answer_threshold: float | None = None,
        memory_mb: int = 256,
        device: str = "cpu",
        dtype: str = "float32",
    ):
        self.name = next((name for name, shipped in SHIPPED.items() if Path(folder) == shipped), str(folder))
        self.model: CopyReaderModel = load_model(Path(folder)).eval().to(device)
        if max_block_tokens > self.model.config.max_block_tokens:
            raise ValueError(
                f"the embedded reader reads at most {self.model.config.max_block_tokens} tokens, "
                f"max_block_tokens is {max_block_tokens}"
            )
        self.tokenizer = BlockTokenizer(Path(folder) / "tokenizer.json")
        self.max_block_tokens = max_block_tokens
        self.max_passage_tokens = max_passage_tokens
        self.max_answer_tokens = max_answer_tokens
        tuned = self.model.config.no_answer_threshold
        self.no_answer_threshold = tuned if no_answer_threshold is None else no_answer_threshold
        self.memory_mb = memory_mb
        self.device = torch.device(device)
        self.dtype = getattr(torch, dtype)
        self.pass_cost = PASS_COST[self.device.type]

    def reads(self, text: str) -> bool:
        """Whether a text may be English: by its letters, its stop words, and as most of its word pieces are known."""
        pieces = self.tokenizer.encode([text])[0].ids
        return may_be_english(text) and 2 * pieces.count(UNKNOWN) <= len(pieces)

    @torch.inference_mode()
    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        """Encode each block "question [SEP] title. passage" by itself, and the question alone.

        A passage that does not fit into one block is cut at sentence ends into several, which repeat its title.
        """
        question = check_question(question)
        asked, cut = self.tokenizer.encode_question(question, self.max_block_tokens)
        pieces, head = asked.ids, whole_head(asked.ids)
        room = self.max_block_tokens - head.size - 1
        parts, tokens = self.tokenizer.cut(passages, room, self.max_passage_tokens)
        pairs = [*((pieces, passage) for passage in tokens), (pieces, None)]
        blocks = assemble(pairs, self.max_block_tokens).to(self.device)
        with self._precision():
            states = self.model.encode_blocks(blocks.ids, blocks.types, blocks.mask)
        flat = flatten(blocks.mask)
        source = self.model.source(
            states[flat.row, flat.column][None],
            blocks.ids[flat.row, flat.column][None],
            flat.row[None],
            blocks.copyable[flat.row, flat.column][None],
            blocks.afresh[flat.row, flat.column][None],
            states[None, :, 0],
        )
        lengths = blocks.mask.sum(1).cumsum(0).tolist()
        first = [begin + head.size for begin in [0, *lengths[:-2]]] if passages else []
        sizes = blocks.mask.sum(1).tolist()
        stop_id = self.model.config.stop_id
        texts, cross = [part.full_text for part in parts.texts], self._cross_cache(source)
        state = State.of(source, stop_id, cross, parts.map, texts, tokens, first, sizes, SeenAnswers(), head)
        return EncodedQuestion(question, tuple(passages), tuple(parts.cut), cut, state, sum(sizes))

    @torch.inference_mode()
    def extend(
        self, encoded: EncodedQuestion, variants: Sequence[Variant], masking: Masking = "attention"
    ) -> EncodedQuestion:
        """Encode passages with parts hidden beside the whole ones; see `PartsReader`."""
        check_variants(encoded, variants, masking)
        if not variants:
            return encoded
        return self._joined(encoded, encoded.passages, variants, masking)

    @torch.inference_mode()
    def hide_question(
        self, encoded: EncodedQuestion, hidden: Spans, columns: Sequence[int], masking: Masking = "attention"
    ) -> EncodedQuestion:
        """Encode passages again with parts of the question hidden; see `PartsReader`."""
        check_hidden_question(encoded, hidden, columns, masking)
        head = hidden_head(self.tokenizer, encoded.question, hidden, masking, self.max_block_tokens)
        source, sizes = self._read(question_alone(head))
        seen, stop_id = encoded.state.seen, self.model.config.stop_id
        none, cross = BlockMap.of([]), self._cross_cache(source)
        state = State.of(source, stop_id, cross, none, [], [], [], sizes, seen, head)
        alone = replace(encoded, passages=(), cut_tokens=(), state=state)
        whole = [Variant(column, ()) for column in columns]
        return self._joined(alone, encoded.passages, whole, masking) if columns else alone

    @torch.inference_mode()
    def generate(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        """Greedy answers, one per coalition, in the passages' own spelling where they stand there."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        state: State = encoded.state
        config, block = self.model.config, state.source.block[0]
        members = state.map.spread(coalitions)
        thresholds = self.no_answer_thresholds(members.shape[1])

        def decode(part: slice, drafts: Sequence[Sequence[int]]) -> list[list[int]]:
            view = View.of(members[part], block)
            decoder = EmbeddedDecoder(self.model, state, view, thresholds, self.memory_mb)
            stops = frozenset([config.stop_id])
            return greedy_decode(decoder, drafts, config.start_id, stops, self.max_answer_tokens)

        room = max(1, self.memory_mb * 2**20 // self._bytes_per_query(state))
        rows = decode_in_chunks(len(coalitions), decode, state.seen, room, self.pass_cost)
        found: dict[tuple[int, ...], list[tuple[int, str]]] = {}
        answers = []
        for coalition, ids in zip(coalitions, rows, strict=True):
            key = tuple(ids)
            if key not in found:
                found[key] = self._spellings(encoded, key)
            spelled = next((text for number, text in found[key] if coalition[number]), None)
            answers.append(self.tokenizer.decode(ids) if spelled is None else spelled)
        return answers

    @torch.inference_mode()
    def score(self, encoded: EncodedQuestion, coalitions: Coalitions, answers: Sequence[str]) -> NDArray[np.float64]:
        """Summed log-probabilities of the answers' word pieces and of stopping after them."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        scores = np.zeros((len(coalitions), len(answers)))
        for column, answer in enumerate(self.tokenizer.encode(list(answers))):
            ids = [*answer.ids, self.model.config.stop_id]
            scores[:, column] = self._token_log_probs(encoded.state, coalitions, ids).sum(1)
        return scores

    def scores_tokens(self) -> bool:
        """Yes."""
        return True

    @torch.inference_mode()
    def score_tokens(self, encoded: EncodedQuestion, coalitions: Coalitions, answer: str) -> TokenScores:
        """Log-probabilities of the answer's word pieces; see `TokenReader`."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        [tokens] = self.tokenizer.encode([answer])
        check_length(self.name, len(tokens.ids), self.model.config.max_block_tokens)
        return TokenScores(self._token_log_probs(encoded.state, coalitions, tokens.ids), tuple(tokens.offsets))

    def _token_log_probs(self, state: State, coalitions: Coalitions, ids: Sequence[int]) -> NDArray[np.float64]:
        """Log-probabilities of given word pieces, each after those before it, `(n_coalitions, n_ids)`."""
        targets = torch.tensor(ids, device=self.device)
        inputs = torch.cat([targets.new_tensor([self.model.config.start_id]), targets[:-1]])
        members, found = state.map.spread(coalitions), np.zeros((len(coalitions), len(targets)))
        for part in chunks(len(coalitions), self._bytes_per_query(state) * len(targets), self.memory_mb):
            view = View.of(members[part], state.source.block[0])
            shape = (len(view.tokens), len(targets))
            prefixes = PrefixTracker(shape[0], state.sizes, self.device).extend(inputs.expand(shape), view.members)
            cache = EncoderDecoderCache(DynamicCache(), state.cross)
            hidden = decoder_states(self.model, inputs.expand(shape), state, view, cache, prefixes)
            log_probs = self.model.token_log_probs(hidden, state.source, view.tokens, targets.expand(shape))
            found[part] = log_probs.double().cpu().numpy()
        return found

    def no_answer_probability(self, encoded: EncodedQuestion, coalitions: Coalitions) -> NDArray[np.float64]:
        """See `DecliningReader`; calibrated as `NoAnswerCalibration` says."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        log_p = self.score(encoded, coalitions, [""])[:, 0]
        return self.model.config.no_answer.probability(log_p, encoded.state.map.spread(coalitions).sum(1))

    def no_answer_thresholds(self, n_blocks: int) -> Tensor:
        """Probabilities of stopping at once from which a coalition of 0, 1, ... blocks is declined, `(1 + n_blocks,)`.

        It is what `no_answer_threshold` is on the uncalibrated scale. A long passage counts as so many as it has
        blocks, since passages of one block are what the scale was calibrated with.
        """
        raw = self.model.config.no_answer.raw_threshold(self.no_answer_threshold, np.arange(n_blocks + 1))
        return torch.from_numpy(raw).float().to(self.device)

    def attention(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """See `AttentiveReader`."""
        mean: NDArray[np.float64] = self.attention_by_head(encoded, answer).mean(1)
        return mean

    @torch.inference_mode()
    def attention_by_head(self, encoded: EncodedQuestion, answer: str) -> NDArray[np.float64]:
        """See `AttentiveReader`."""
        state: State = encoded.state
        # Two rows: more rows than questions are the mark of the cross-attention.
        tokens = torch.tensor([self.model.config.start_id, *self.tokenizer.encode([answer])[0].ids], device=self.device)
        view = View.of(np.ones((2, len(state.map.owner)), dtype=bool), state.source.block[0])
        seen: list[Tensor] = []
        self.model.decoder(
            input_ids=tokens.expand(2, -1),
            encoder_hidden_states=state.source.states,
            encoder_attention_mask=view.mask,
            past_key_values=EncoderDecoderCache(DynamicCache(), state.cross),
            use_cache=True,
            seen=seen,
        )
        return state.map.total(block_attention(seen, state.sizes)[:-1].cpu())

    @torch.inference_mode()
    def relevance(self, encoded: EncodedQuestion) -> NDArray[np.float64]:
        """The encoder's relevance score of each passage, that of its best block, `(n_passages,)`; higher is better."""
        state: State = encoded.state
        # Read at the separator before each block's text: an empty passage has no word piece of its own.
        separators = torch.tensor(state.first, dtype=torch.long, device=self.device) - 1
        return state.map.best(state.source.relevance[0, separators].cpu())

    def _read(self, blocks: HiddenBlocks) -> tuple[Source, list[int]]:
        """Encode blocks with hidden parts, and count the tokens of each."""
        ids, positions, types, mask, copyable, afresh = (part.to(self.device) for part in blocks[:6])

        def encode(group: Tensor, length: int) -> Tensor:
            return self.model.encoder(
                input_ids=ids[group, :length],
                position_ids=positions[group, :length],
                token_type_ids=types[group, :length],
                attention_mask=mask[group, :length],
            ).last_hidden_state

        with self._precision():
            states = encode_blocks(encode, mask, self.model.config.hidden_size)
        row, column = flatten(mask)
        source = self.model.source(
            states[row, column][None],
            ids[row, column][None],
            row[None],
            copyable[row, column][None],
            afresh[row, column][None],
            states[None, :, 0],
        )
        return source, mask.sum(1).tolist()

    def _joined(
        self, encoded: EncodedQuestion, passages: Sequence[Passage], variants: Sequence[Variant], masking: Masking
    ) -> EncodedQuestion:
        """The question with variants of passages, which are encoded here, before the block of the question alone."""
        state: State = encoded.state
        limits = (self.max_block_tokens, self.max_passage_tokens)
        blocks = hidden_blocks(self.tokenizer, state.head, passages, variants, masking, *limits)
        new, sizes = self._read(blocks)
        block, at = insert_blocks(state.source.block[0], new.block[0], len(state.map.owner))
        source = Source(*(insert(old, added, at, 1) for old, added in zip(state.source, new, strict=True)))
        begins = np.cumsum([at, *sizes[:-1]]).tolist()
        joined = State.of(
            source._replace(block=block[None]),
            self.model.config.stop_id,
            insert_cache(state.cross, self._cross_cache(new), at),
            state.map + blocks.map,
            [*state.texts, *blocks.texts],
            [*state.tokens, *blocks.tokens],
            [*state.first, *(begin + len(state.head.ids) for begin in begins)],
            [*state.sizes[:-1], *sizes, state.sizes[-1]],
            state.seen,
            state.head,
        )
        return replace(
            encoded,
            passages=(*encoded.passages, *(shortened(passages[variant.passage], variant) for variant in variants)),
            cut_tokens=(*encoded.cut_tokens, *blocks.cut),
            state=joined,
        )

    def _cross_cache(self, source: Source) -> DynamicCache:
        """Keys and values of all blocks, made by one decoder step."""
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.model.decoder(
            input_ids=torch.full((1, 1), self.model.config.start_id, device=self.device),
            encoder_hidden_states=source.states,
            past_key_values=cache,
            use_cache=True,
        )
        return cache.cross_attention_cache

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _bytes_per_query(self, state: State) -> int:
        """Of a query: mask, scores, features and temporaries of the pointer, one number per source token each."""
        return 12 * len(state.place) * 4

    def _spellings(self, encoded: EncodedQuestion, ids: tuple[int, ...]) -> list[tuple[int, str]]:
        """The places where an answer occurs, as (passage, text as written there), the likeliest place first."""
        if not ids:
            return []
        state: State = encoded.state
        likely = (state.source.start + state.source.relevance)[0]
        places = []
        for number, (whole, tokens) in enumerate(zip(state.texts, state.tokens, strict=True)):
            for begin in range(len(tokens.ids) - len(ids) + 1):
                if tokens.ids[begin] == ids[0] and tuple(tokens.ids[begin : begin + len(ids)]) == ids:
                    left, right = tokens.offsets[begin][0], tokens.offsets[begin + len(ids) - 1][1]
                    score = float(likely[state.first[number] + begin])
                    places.append((score, int(state.map.owner[number]), unbroken(whole[left:right])))
        return [(number, text) for _, number, text in sorted(places, key=lambda place: -place[0])]
