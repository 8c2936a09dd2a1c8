"""The reader that ships with the package: small, offline, and made for many passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from rag.readers.base import Coalitions, EncodedQuestion, check_coalitions, check_question
from rag.readers.decoding import greedy_decode
from rag.readers.embedded.blocks import BlockTokenizer, Tokens, assemble, question_limit
from rag.readers.embedded.model import CopyReaderModel, Source, extend_runs
from rag.readers.embedded.weights import WEIGHTS, load_model
from rag.readers.encoding import chunks, flatten, visible_tokens
from retrievers import Passage


@dataclass(frozen=True)
class _State:
    source: Source  # one row, without padding
    cross: DynamicCache  # cross-attention keys and values of that row
    vocabulary: Tensor  # (n_distinct,) distinct source ids, in ascending order
    stop: int  # index of the stop token in `vocabulary`
    place: Tensor  # (n_tokens,) index of each source token's id in `vocabulary`
    tokens: list[Tokens]  # word pieces of each passage with their characters
    first: list[int]  # position in the source of each passage's first word piece


class EmbeddedReader:
    """Reads passages with the weights in a folder, by default those of the package.

    Args:
        folder: weights, configuration and tokenizer, as `ragshap train` writes them.
        max_block_tokens: limit of question and passage together; what exceeds it is cut and counted.
        max_answer_tokens: limit of a generated answer.
        no_answer_threshold: "no answer" (the empty string) is given when its probability reaches this; None is the
            threshold that training tuned.
        memory_mb: bound on the attention scores that are held at once.
        device: a torch device, such as "cpu" or "cuda".

    Raises:
        WeightsError: the folder's weights are missing, damaged, or not safetensors.
    """

    def __init__(
        self,
        folder: str | Path = WEIGHTS,
        *,
        max_block_tokens: int = 256,
        max_answer_tokens: int = 32,
        no_answer_threshold: float | None = None,
        memory_mb: int = 64,
        device: str = "cpu",
    ):
        self.name = "embedded" if Path(folder) == WEIGHTS else str(folder)
        self.model: CopyReaderModel = load_model(Path(folder)).eval().to(device)
        if max_block_tokens > self.model.config.max_block_tokens:
            raise ValueError(
                f"the embedded reader reads at most {self.model.config.max_block_tokens} tokens, "
                f"max_block_tokens is {max_block_tokens}"
            )
        self.tokenizer = BlockTokenizer(Path(folder) / "tokenizer.json")
        self.max_block_tokens = max_block_tokens
        self.max_answer_tokens = max_answer_tokens
        tuned = self.model.config.no_answer_threshold
        self.no_answer_threshold = tuned if no_answer_threshold is None else no_answer_threshold
        self.memory_mb = memory_mb
        self.device = torch.device(device)

    @torch.inference_mode()
    def encode(self, question: str, passages: Sequence[Passage]) -> EncodedQuestion:
        """Encode each block "question [SEP] title. passage" by itself, and the question alone."""
        question = check_question(question)
        asked = self.tokenizer.encode([question])[0].ids
        tokens = self.tokenizer.encode([passage.full_text for passage in passages])
        pairs = [*((asked, passage.ids) for passage in tokens), (asked, None)]
        blocks = assemble(pairs, self.max_block_tokens).to(self.device)
        states = self.model.encode_blocks(blocks.ids, blocks.types, blocks.mask)
        flat = flatten(blocks.mask)
        source = self.model.source(
            states[flat.row, flat.column][None],
            blocks.ids[flat.row, flat.column][None],
            flat.row[None],
            blocks.copyable[flat.row, flat.column][None],
            states[None, :, 0],
        )
        vocabulary, place = torch.unique(source.ids[0], return_inverse=True)
        limit = question_limit(self.max_block_tokens)
        head = min(len(asked), limit) + 2
        lengths = blocks.mask.sum(1).cumsum(0).tolist()
        state = _State(
            source,
            self._cross_cache(source),
            vocabulary,
            int(torch.searchsorted(vocabulary, self.model.config.stop_id)),
            place,
            tokens,
            [begin + head for begin in [0, *lengths[:-2]]] if passages else [],
        )
        cut = max(0, len(asked) - limit)
        return EncodedQuestion(question, tuple(passages), tuple(blocks.cut[:-1]), cut, state)

    @torch.inference_mode()
    def generate(self, encoded: EncodedQuestion, coalitions: Coalitions) -> list[str]:
        """Greedy answers, one per coalition, in the passages' own spelling where they stand there."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        state: _State = encoded.state
        found: dict[tuple[int, ...], list[tuple[int, str]]] = {}
        answers = []
        for part in chunks(len(coalitions), self._bytes_per_step(state), self.memory_mb):
            visible = visible_tokens(coalitions[part], state.source.block[0])
            config = self.model.config
            rows = greedy_decode(
                _Stepper(self, state, visible),
                len(visible),
                config.start_id,
                frozenset([config.stop_id]),
                self.max_answer_tokens,
            )
            for coalition, ids in zip(coalitions[part], rows, strict=True):
                key = tuple(ids)
                if key not in found:
                    found[key] = self._spellings(encoded, key)
                spelled = next((text for block, text in found[key] if coalition[block]), None)
                answers.append(self.tokenizer.decode(ids) if spelled is None else spelled)
        return answers

    @torch.inference_mode()
    def score(self, encoded: EncodedQuestion, coalitions: Coalitions, answers: Sequence[str]) -> NDArray[np.float64]:
        """Summed log-probabilities of the answers' word pieces and of stopping after them."""
        coalitions = check_coalitions(coalitions, len(encoded.passages))
        state: _State = encoded.state
        config = self.model.config
        scores = np.zeros((len(coalitions), len(answers)))
        for column, answer in enumerate(self.tokenizer.encode(list(answers))):
            targets = torch.tensor([*answer.ids, config.stop_id], device=self.device)
            inputs = torch.cat([targets.new_tensor([config.start_id]), targets[:-1]])
            size = self._bytes_per_step(state) * len(targets)
            for part in chunks(len(coalitions), size, self.memory_mb):
                visible = visible_tokens(coalitions[part], state.source.block[0])
                shape = (len(visible), len(targets))
                hidden = self._decode(inputs.expand(shape), state, visible, self._new_cache(state))
                log_probs = self.model.token_log_probs(hidden, state.source, visible, targets.expand(shape))
                scores[part, column] = log_probs.double().sum(1).cpu().numpy()
        return scores

    @torch.inference_mode()
    def relevance(self, encoded: EncodedQuestion) -> NDArray[np.float64]:
        """The encoder's relevance score of each passage, `(n_passages,)`; higher is better."""
        state: _State = encoded.state
        # Read at the separator before each passage: an empty passage has no word piece of its own.
        separators = torch.tensor(state.first, dtype=torch.long, device=self.device) - 1
        return state.source.relevance[0, separators].double().cpu().numpy()

    def _decode(self, tokens: Tensor, state: _State, visible: Tensor, cache: EncoderDecoderCache) -> Tensor:
        """Decoder states `(n_rows, steps, hidden)` of tokens `(n_rows, steps)`."""
        hidden: Tensor = self.model.decoder(
            input_ids=tokens,
            encoder_hidden_states=state.source.states,
            encoder_attention_mask=visible[:, None, None, :],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

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

    def _new_cache(self, state: _State) -> EncoderDecoderCache:
        return EncoderDecoderCache(DynamicCache(), state.cross)

    def _bytes_per_step(self, state: _State) -> int:
        return 2 * (self.model.config.heads + 2) * len(state.place) * 4

    def _spellings(self, encoded: EncodedQuestion, ids: tuple[int, ...]) -> list[tuple[int, str]]:
        """Where an answer stands: (passage, text as written there), the likeliest place first."""
        if not ids:
            return []
        state: _State = encoded.state
        likely = (state.source.start + state.source.relevance)[0]
        places = []
        for number, (passage, tokens) in enumerate(zip(encoded.passages, state.tokens, strict=True)):
            kept = len(tokens.ids) - encoded.cut_tokens[number]
            for begin in range(kept - len(ids) + 1):
                if tokens.ids[begin] == ids[0] and tuple(tokens.ids[begin : begin + len(ids)]) == ids:
                    left, right = tokens.offsets[begin][0], tokens.offsets[begin + len(ids) - 1][1]
                    score = float(likely[state.first[number] + begin])
                    places.append((score, number, passage.full_text[left:right]))
        return [(number, text) for _, number, text in sorted(places, key=lambda place: -place[0])]


class _Stepper:
    """One decoder and pointer step for a batch of coalitions that share the encoded source."""

    def __init__(self, reader: EmbeddedReader, state: _State, visible: Tensor):
        self.reader = reader
        self.state = state
        self.visible = visible
        self.cache = reader._new_cache(state)
        self.runs = torch.zeros(visible.shape, dtype=torch.int32, device=visible.device)
        self.steps = 0

    def step(self, last: Tensor) -> Tensor:
        model, source = self.reader.model, self.state.source
        last = last.to(self.visible.device)
        if self.steps:
            self.runs = extend_runs(self.runs, source, last[:, None])
        hidden = self.reader._decode(last[:, None], self.state, self.visible, self.cache)[:, 0]
        match = model.pointer_match(hidden[:, None], source)[:, 0]
        stop = model.stop(hidden).squeeze(-1)
        scores = model.pointer_scores(match, stop, source, self.visible, self.runs, self.steps)
        tokens = self._choose(hidden, scores.softmax(-1))
        self.steps += 1
        return tokens.cpu()

    def keep(self, rows: Tensor) -> None:
        rows = rows.to(self.visible.device)
        self.visible = self.visible[rows]
        self.runs = self.runs[rows]
        self.cache.self_attention_cache.batch_select_indices(rows)

    def _choose(self, hidden: Tensor, pointer: Tensor) -> Tensor:
        """The likeliest token of each row under the mixture of copying and the vocabulary.

        The vocabulary adds at most the gate to any token's probability; rows that this cannot change do without it.
        """
        model, state = self.reader.model, self.state
        gate = model.gate(hidden).sigmoid()
        copy = torch.zeros(len(hidden), len(state.vocabulary), device=hidden.device)
        copy.index_add_(1, state.place, pointer[:, 1:])
        copy[:, state.stop] += pointer[:, 0]
        copy *= 1 - gate
        unsure = torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
        if self.steps == 0:
            # Stopping at once means "no answer": it is taken or left by the threshold, not by rank.
            threshold = self.reader.no_answer_threshold
            stop = copy[:, state.stop]
            unsure = (stop < threshold) & (stop + gate[:, 0] >= threshold)
            ranked = _decide_stop(copy, state.stop, threshold)
        else:
            ranked = copy
        best = ranked.topk(min(2, ranked.shape[1]), dim=-1)
        chosen = state.vocabulary[best.indices[:, 0]]
        if best.values.shape[1] > 1:
            unsure |= best.values[:, 0] - best.values[:, 1].clamp(min=0) <= gate[:, 0]
        if unsure.any():
            full = gate[unsure] * model.vocabulary_logits(hidden[unsure]).softmax(-1)
            full.index_add_(1, state.vocabulary, copy[unsure])
            if self.steps == 0:
                full = _decide_stop(full, model.config.stop_id, self.reader.no_answer_threshold)
            chosen[unsure] = full.argmax(-1)
        return chosen


def _decide_stop(probabilities: Tensor, stop: int, threshold: float) -> Tensor:
    """The probabilities with that of column `stop` made certain or impossible, by the threshold."""
    decided = probabilities.clone()
    decided[:, stop] = torch.where(probabilities[:, stop] >= threshold, torch.inf, -torch.inf)
    return decided
