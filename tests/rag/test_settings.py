from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from rag import reader_settings
from rag.bfloat16 import computes_bfloat16
from rag.settings import ReaderSettings, Settings, load_settings
from rag.settings_base import SettingsError

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_default_file_spells_out_every_default():
    written = yaml.safe_load((CONFIGS / "default.yaml").read_text(encoding="utf-8"))
    assert written == Settings().model_dump(mode="json")
    assert load_settings("default") == load_settings() == Settings()


@pytest.mark.parametrize("name", ["default", "quality", "gpu", "endpoint"])
def test_shipped_files_are_valid_by_name_and_by_path(name):
    assert load_settings(name) == load_settings(CONFIGS / f"{name}.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attribution: {budgett: 5}", "attribution.budgett: unknown setting; did you mean 'budget'"),
        ("retriver: {}", "retriver: unknown setting; did you mean 'retriever'"),
        ("attribution: {budget: many}", "attribution.budget"),
        ("attribution: {budget: '500'}", "attribution.budget"),
        ("attribution: {budget: 1}", "attribution.budget"),
        ("retriever: {kind: magic}", "retriever.kind"),
        ("attribution: {until: sometime}", "attribution.until"),
        ("attribution: {until: target error, target_error: 0}", "attribution.target_error"),
        ("attribution: {until: top-k certain, confidence: 95}", "attribution.confidence"),
        ("attribution: {until: top-k certain, k: 0}", "attribution.k"),
        ("attribution: {until: target error, estimator: exact}", "until: target error needs values that are sampled"),
        ("attribution: {until: top-k certain, semivalue: first-in}", "until: top-k certain needs values"),
        ("rerank: {keep: 0}", "keep must be at least 1"),
        ("rerank: {keep: some}", "rerank.keep"),
        ("reader: {checkpoint: t5-small, no_answer_threshold: 0.5}", "and 't5-small' has no such probability"),
        ("reader: {checkpoint: 'http://h/v1#m', no_answer_threshold: 1}", "no_answer_threshold 1 is for the embedded"),
        ("reader: {no_answer_threshold: 0}", "reader.no_answer_threshold"),
        ("- a list", "must hold 'key: value' lines"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_key(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        load_settings(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_overrides_win_over_the_file_and_keep_the_rest(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("attribution: {budget: 300, seed: 7}", encoding="utf-8")
    settings = load_settings(path, ["attribution.budget=400", "rerank.keep=smallest", "retriever.bm25.k1=0.9"])
    assert settings.attribution.budget == 400
    assert settings.attribution.seed == 7
    assert settings.rerank.keep == "smallest"
    assert settings.retriever.bm25.k1 == 0.9


@pytest.mark.parametrize("override", ["attribution.budget", "=5", "attribution.budget=[", "nosuch.key=1"])
def test_a_wrong_override_is_refused(override):
    with pytest.raises(SettingsError):
        load_settings(overrides=[override])


def test_numbers_are_those_of_yaml_1_2(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("attribution: {target_error: 1e-3}\nretriever: {bm25: {stemmer: 1e-x}}", encoding="utf-8")
    settings = load_settings(path, ["attribution.margin=2E+1", "attribution.support=-.5e1"])
    own = settings.attribution
    assert (own.target_error, own.margin, own.support) == (0.001, 20.0, -5.0)
    assert settings.retriever.bm25.stemmer == "1e-x"


def test_a_key_that_occurs_twice_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("attribution: {seed: 1, budget: 5, seed: 2}", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine.yaml is not valid YAML: the key 'seed' occurs 2 times"):
        load_settings(path)


def test_a_mistake_is_laid_to_the_file_or_to_what_changed_it(tmp_path):
    with pytest.raises(SettingsError, match=r"^settings: foo: unknown setting"):
        load_settings("quality", ["foo=1"])
    path = tmp_path / "mine.yaml"
    path.write_text("attribution: {budget: 1}", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine.yaml: attribution.budget"):
        load_settings(path, ["attribution.seed=3"])


def test_an_unknown_kind_is_one_line_that_names_all():
    with pytest.raises(SettingsError, match=r"^settings: retriever.kind: .*'bm25', .*'opensearch'") as told:
        load_settings(None, ["retriever.kind=foo"])
    assert "\n" not in str(told.value)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml"):
        load_settings("nowhere.yaml")


@pytest.mark.parametrize(
    ("there", "fast", "asked", "found"),
    [
        (True, True, ("auto", "auto"), ("cuda", "bfloat16")),
        (True, False, ("auto", "auto"), ("cuda", "float32")),
        (False, False, ("auto", "auto"), ("cpu", "float32")),
        (True, False, ("cpu", "auto"), ("cpu", "float32")),
        (True, True, ("cpu", "auto"), ("cpu", "bfloat16")),
        (True, True, ("auto", "float32"), ("cuda", "float32")),
        (True, True, ("cuda:1", "auto"), ("cuda:1", "bfloat16")),
        (False, False, ("cpu", "bfloat16"), ("cpu", "bfloat16")),
    ],
)
def test_auto_is_what_the_machine_has(monkeypatch, there, fast, asked, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(reader_settings, "computes_bfloat16", lambda device: fast)
    settings = ReaderSettings(device=asked[0], dtype=asked[1])
    resolved = settings.resolved()
    assert (resolved.device, resolved.dtype) == found
    assert settings.on_gpu is resolved.on_gpu is found[0].startswith("cuda")


@pytest.mark.parametrize(
    ("told", "able"),
    [
        ({}, None),
        ({"avx2": True}, None),
        ({"avx512_bf16": False, "amx_bf16": False}, False),
        ({"amx_bf16": True}, True),
    ],
)
def test_a_processor_says_whether_it_computes_in_bfloat16(monkeypatch, told, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert computes_bfloat16("cpu") is able
    assert computes_bfloat16("mps") is None, "what the processor can do says nothing of another device"
