"""Decoding with the embedded reader: its decoder and pointer over coalitions of one question's passages."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from rag.readers.attention import Prefixes
from rag.readers.decoding import CoalitionDecoder
from rag.readers.drafts import SeenAnswers
from rag.readers.embedded.blocks import Tokens
from rag.readers.embedded.hidden import Head
from rag.readers.embedded.model import CopyReaderModel, Source, extend_runs
from rag.readers.encoding import BlockMap, View


@dataclass(frozen=True)
class State:
    """A question and its passages as they were encoded."""

    source: Source  # one row, without padding
    cross: DynamicCache  # cross-attention keys and values of that row
    vocabulary: Tensor  # (n_distinct,) distinct source ids, in ascending order
    stop: int  # index of the stop token in `vocabulary`
    place: Tensor  # (n_tokens,) index of each source token's id in `vocabulary`
    map: BlockMap  # which passage each block is of
    texts: list[str]  # what each block holds of its passage
    tokens: list[Tokens]  # word pieces of each with their characters
    first: list[int]  # position in the source of each block's first such piece
    sizes: list[int]  # tokens of each block, the question alone included
    seen: SeenAnswers
    head: Head  # the question as it stands in the blocks

    @classmethod
    def of(
        cls,
        source: Source,
        stop_id: int,
        cross: DynamicCache,
        map: BlockMap,
        texts: list[str],
        tokens: list[Tokens],
        first: list[int],
        sizes: list[int],
        seen: SeenAnswers,
        head: Head,
    ) -> State:
        """The state with the vocabulary of its source, which includes `stop_id`."""
        vocabulary, place = torch.unique(source.ids[0], return_inverse=True)
        stop = int(torch.searchsorted(vocabulary, stop_id))
        return cls(source, cross, vocabulary, stop, place, map, texts, tokens, first, sizes, seen, head)


def decoder_states(
    model: CopyReaderModel, tokens: Tensor, state: State, view: View, cache: EncoderDecoderCache, prefixes: Prefixes
) -> Tensor:
    """Decoder states `(n_rows, steps, hidden)` of tokens `(n_rows, steps)`, which follow those in the cache."""
    hidden: Tensor = model.decoder(
        input_ids=tokens,
        encoder_hidden_states=state.source.states,
        encoder_attention_mask=view.mask,
        past_key_values=cache,
        use_cache=True,
        prefixes=prefixes,
    ).last_hidden_state
    return hidden


class EmbeddedDecoder(CoalitionDecoder):
    """Decoder and pointer for a batch of coalitions.

    Args:
        model: the network.
        state: the encoded question.
        view: what each row sees.
        no_answer_thresholds: `(1 + n_blocks,)`, the probability of stopping at once from which "no answer" is given,
            by the number of passages' blocks that a row sees.
        memory_mb: bound on the vocabulary's scores.
    """

    def __init__(self, model: CopyReaderModel, state: State, view: View, no_answer_thresholds: Tensor, memory_mb: int):
        super().__init__(view, state.cross, state.sizes)
        self.model, self.state = model, state
        self.no_answer_thresholds = no_answer_thresholds
        # A row's scores over the vocabulary take more memory than all else, so they are computed a few rows at a time.
        self.vocabulary_rows = max(1, memory_mb * 2**20 // (40 * model.config.vocab_size))
        self.runs = torch.zeros(view.tokens.shape, dtype=torch.int16, device=view.tokens.device)

    def advance(self, tokens: Tensor) -> Tensor:
        """See `CoalitionDecoder`."""
        tokens = tokens.to(self.fed.device)
        model, source, before = self.model, self.state.source, self.fed.shape[1]
        prefixes = self.tracker.extend(tokens, self.view.members)
        hidden = decoder_states(model, tokens, self.state, self.view, self.cache, prefixes)
        match, stop = model.pointer_match(hidden, source), model.stop(hidden).squeeze(-1)
        chosen = []
        for number, last in enumerate(tokens.unbind(1)):
            step = before + number
            if step:
                self.runs = extend_runs(self.runs, source, last[:, None])
            scores = model.pointer_scores(match[:, number], stop[:, number], source, self.view.tokens, self.runs, step)
            chosen.append(self._choose(hidden[:, number], scores.softmax(-1), step))
        self.fed = torch.cat([self.fed, tokens], 1)
        return torch.stack(chosen, 1).cpu()

    def fork(self, rows: Tensor, length: int | None = None) -> EmbeddedDecoder:
        """See `CoalitionDecoder`."""
        fork = super().fork(rows, length)
        if fork.fed.shape[1] == self.fed.shape[1]:
            fork.runs = self.runs[rows.to(self.runs.device)]
        else:
            fork.runs = torch.zeros_like(fork.view.tokens, dtype=self.runs.dtype)
            for last in fork.fed[:, 1:].unbind(1):
                fork.runs = extend_runs(fork.runs, self.state.source, last[:, None])
        return fork

    def _choose(self, hidden: Tensor, pointer: Tensor, step: int) -> Tensor:
        """The likeliest token of each row under the mixture of copying and the vocabulary.

        The vocabulary adds at most the gate's value to a token's probability; where that cannot change the choice, its
        scores are not computed.
        """
        model, state = self.model, self.state
        gate = model.gate(hidden).sigmoid()
        copy = torch.zeros(len(hidden), len(state.vocabulary), device=hidden.device)
        copy.index_add_(1, state.place, pointer[:, 1:])
        copy[:, state.stop] += pointer[:, 0]
        copy *= 1 - gate
        unsure = torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
        if step == 0:
            # Stopping at once means "no answer": the threshold decides on it, not its rank.
            threshold = self.no_answer_thresholds[self.view.members[:, :-1].sum(1)]
            stop = copy[:, state.stop]
            unsure = (stop < threshold) & (stop + gate[:, 0] >= threshold)
            ranked = _decide_stop(copy, state.stop, threshold)
        else:
            ranked = copy
        best = ranked.topk(min(2, ranked.shape[1]), dim=-1)
        chosen = state.vocabulary[best.indices[:, 0]]
        if best.values.shape[1] > 1:
            unsure |= best.values[:, 0] - best.values[:, 1].clamp(min=0) <= gate[:, 0]
        for rows in unsure.nonzero().flatten().split(self.vocabulary_rows):
            full = gate[rows] * model.vocabulary_logits(hidden[rows]).softmax(-1)
            full.index_add_(1, state.vocabulary, copy[rows])
            if step == 0:
                full = _decide_stop(full, model.config.stop_id, threshold[rows])
            chosen[rows] = full.argmax(-1)
        return chosen


def _decide_stop(probabilities: Tensor, stop: int, threshold: Tensor) -> Tensor:
    """The probabilities `(n_rows, n)`, with column `stop` made certain or impossible by each row's threshold."""
    decided = probabilities.clone()
    decided[:, stop] = torch.where(probabilities[:, stop] >= threshold, torch.inf, -torch.inf)
    return decided
