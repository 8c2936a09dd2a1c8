"""The same comparison on a T5 with random weights and answers of fixed length."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from eval.benchmark.plain import plain
from eval.benchmark.result import Section
from eval.benchmark.settings import BenchmarkSettings, Shape
from eval.benchmark.speed import compare, evaluated_coalitions, table
from eval.selection import Example
from rag.progress import Progress
from rag.questions import Question
from rag.readers import Reader
from rag.readers.fid import FiDReader
from retrievers import Passage

_FRAME = 14  # tokens of a block beside the passage's text: the question of eight, the title of two, marks
_SPECIAL = ("<pad>", "</s>", "<unk>")


def shape(settings: BenchmarkSettings, reader: Reader, examples: Sequence[Example], progress: Progress) -> Section:
    """Time all ways on one question of random words, whatever reader and examples are given."""
    size = settings.shape
    with tempfile.TemporaryDirectory() as folder:
        make_t5(size, Path(folder))
        reader = FiDReader(
            folder,
            max_block_tokens=size.block_tokens,
            max_answer_tokens=size.answer_tokens,
            memory_mb=settings.reader.memory_mb,
            device=settings.reader.resolved().device,
        )
    example = random_question(size, settings.passages)
    way = plain(reader)
    samples = {"naive_sample": settings.naive_sample, "expanded_sample": size.sample}
    rows = compare(settings, reader, [example], way, **samples)
    encoded = reader.encode(example.question.text, example.passages)
    answers = reader.generate(encoded, evaluated_coalitions(reader, encoded, settings.permutations))
    title = (
        f"Votes of {settings.permutations} permutations of {settings.passages} passages of {size.block_tokens} tokens, "
        f"T5 of {size.layers} layers of width {size.width}, random weights, answers of {size.answer_tokens} tokens "
        f"({len(set(answers)):,} different ones)"
    )
    return Section("shape", [table(title, settings, rows)], {"rows": rows, "different_answers": len(set(answers))})


def make_t5(size: Shape, folder: Path) -> None:
    """Write a T5 and its tokenizer of numbered words; its special tokens have zero embeddings.

    A zero embedding has the score 0, which the best of thousands of random scores exceeds: no answer ends early.
    """
    config = T5Config(
        vocab_size=size.vocabulary,
        d_model=size.width,
        d_kv=size.head_width,
        d_ff=size.feed_forward,
        num_layers=size.layers,
        num_heads=size.heads,
        pad_token_id=0,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = T5ForConditionalGeneration(config)
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "relative_attention_bias" not in name:
                parameter.normal_(std=size.weights / parameter.shape[-1] ** 0.5)
        model.shared.weight[: len(_SPECIAL)] = 0
    model.generation_config.decoder_start_token_id = 0
    model.save_pretrained(folder)
    words = [*_SPECIAL, *(f"w{number}" for number in range(size.vocabulary - len(_SPECIAL)))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


def random_question(size: Shape, n_passages: int) -> Example:
    """A question of eight random words, and passages that fill their blocks to the last token."""
    rng = np.random.default_rng(0)

    def text(count: int) -> str:
        return " ".join(f"w{number}" for number in rng.integers(size.vocabulary - len(_SPECIAL), size=count))

    passages = [
        Passage(f"p{number}", text(size.block_tokens).rsplit(" ", _FRAME)[0], text(2)) for number in range(n_passages)
    ]
    return Example(Question("random", text(8), (), "random"), passages)
