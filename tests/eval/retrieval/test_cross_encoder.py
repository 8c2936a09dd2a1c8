"""A cross-encoder as a score, against plain transformers; random weights."""

from __future__ import annotations

import huggingface_hub
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from eval.retrieval.cross_encoder import score_by_cross_encoder
from eval.retrieval.scoring import ScoredSession, parse_scoring, rerank, score_passages
from rag.readers.embedded_files import WEIGHTS
from rag.settings import AttributionSettings
from rag.settings_base import SettingsError
from retrievers import Passage
from retrievers.corpora.blocks import cut_passage
from retrievers.dense.encoder import TokenizerRuler

PASSAGES = [Passage(str(number), text, "Ports") for number, text in enumerate(["Oslo.", "Bergen is wet.", "It is so."])]


SIZES = {"vocab_size": 30522, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}


def make(folder, model, config, **more):
    torch.manual_seed(3)
    model(config(**SIZES, num_hidden_layers=1, initializer_range=0.5, **more)).save_pretrained(folder)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "unk", "mask")}
    PreTrainedTokenizerFast(tokenizer_file=str(WEIGHTS / "tokenizer.json"), **special).save_pretrained(folder)
    return f"cross-encoder:{folder}"


def make_cross_encoder(folder, labels=1):
    return make(folder, BertForSequenceClassification, BertConfig, num_labels=labels)


def score(reader, name):
    return score_passages(ScoredSession(reader, "where?", PASSAGES, AttributionSettings()), parse_scoring(name))


def test_scores_are_the_models_for_title_and_text(reader, tmp_path):
    name = make_cross_encoder(tmp_path / "model")
    scored = score(reader, name)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    pairs = tokenizer(["where?"] * 3, [p.full_text for p in PASSAGES], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(model(**pairs).logits[:, 0])
    assert scored.scores == pytest.approx(expected.numpy(), abs=1e-5)
    assert scored.evaluations == 0
    assert rerank(scored, False, 60)[0] == expected.argsort(descending=True).tolist()


def test_a_long_passage_has_the_score_of_its_best_block(reader, tmp_path):
    name = make_cross_encoder(tmp_path / "model")
    words = [f"The {word} of the harbour is wet and old." for word in ("stone", "gate", "wall", "bridge", "tower")]
    short, long = " ".join(words[:2]), " ".join(words * 30 + ["The lighthouse was finished in 1846."])
    asked = [Passage("short", short, "Ports"), Passage("long", long, "Ports")]
    scored = score_by_cross_encoder(name.partition(":")[2], "where?", asked)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    size = len(tokenizer(asked[1].full_text, add_special_tokens=False).input_ids)
    blocks = cut_passage(asked[1], size, 512 - 5, 10**6, TokenizerRuler(tokenizer)).blocks  # "where", "?", and three
    assert len(blocks) == 4
    assert "1846" in blocks[-1].passage.text
    texts = [short_passage.full_text for short_passage in (asked[0], *(block.passage for block in blocks))]
    with torch.no_grad():
        logits = [model(**tokenizer("where?", text, return_tensors="pt")).logits[0, 0] for text in texts]
    own = torch.sigmoid(torch.stack(logits)).tolist()
    assert scored == pytest.approx([own[0], max(own[1:])], abs=1e-5)
    assert len(set(own)) == 5


def test_of_a_long_question_the_end_is_scored(tmp_path):
    name = make_cross_encoder(tmp_path / "model").partition(":")[2]
    story = "We were on the islands with an old car. " * 60
    scores = [score_by_cross_encoder(name, story + asked, PASSAGES) for asked in ("Where is Oslo?", "Is Bergen wet?")]
    assert abs(scores[0] - scores[1]).max() > 1e-4


def test_the_fusion_is_no_part_of_the_name(tmp_path):
    assert parse_scoring("cross-encoder:of/a+b+rrf") == ("cross-encoder", "of/a+b", True, None)
    assert parse_scoring("cross-encoder:of/a+b") == ("cross-encoder", "of/a+b", False, None)
    with pytest.raises(ValueError, match="needs a model's name or folder"):
        parse_scoring("cross-encoder:+rrf")


def test_what_is_no_reranker_is_refused(reader, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # the variable is read at import
    with pytest.raises(SettingsError, match="cross-encoder:nobody/nothing cannot be loaded"):
        score(reader, "cross-encoder:nobody/nothing")
    with pytest.raises(SettingsError, match="gives 3 scores to a question and a passage; a reranker gives one"):
        score(reader, make_cross_encoder(tmp_path / "three", labels=3))
    masked = make(tmp_path / "masked", BertForMaskedLM, BertConfig)
    with pytest.raises(SettingsError, match="holds BertForMaskedLM, not the BertForSequenceClassification"):
        score(reader, masked)


def test_a_language_model_that_says_yes_or_no_scores_too(reader, tmp_path):
    scores = score(reader, make(tmp_path / "model", Qwen3ForCausalLM, Qwen3Config, num_key_value_heads=1)).scores
    assert len(set(scores.tolist())) == 3
