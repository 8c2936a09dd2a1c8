"""Overrides and settings that try to be more than values."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from rag.settings import load_settings
from rag.settings_base import SettingsError

from .harness import fuzz, only
from .hostile import TEXTS
from .readers import override

NAMES = "passage_words retriever.kind reader.checkpoint reader.prompt reader.endpoint.request attribution rerank.keep"
KEYS = [
    *NAMES.split(),
    "attribution.budget",
    "retriever.milvus.uri",
    "a.b",
    "",
    ".",
    "..",
    "retriever..kind",
    "reader.x",
]
VALUES = [
    *TEXTS,
    "!!timestamp x",
    "!!python/object/apply:os.system [id]",
    "!!bool x",
    "!!int ''",
    "!!binary '\u00e9'",
    "&a [*a]",
    "*missing",
    "{a: &x [1], b: *x}",
    "? [1]\n: 2",
    "{[1, 2]: 3}",
    "{1: 2}",
    "2001-99-99",
    ".inf",
    ".nan",
    "1:99:99",
    "http://[::1#m",
    "[" * 1000,
    "{{{{",
]


@fuzz("overrides", 6.0, key=st.sampled_from(KEYS), value=st.one_of(st.sampled_from(VALUES), st.text(max_size=12)))
def test_overrides(key, value):
    with only(SettingsError):
        override(f"{key}={value}")


@fuzz("override pairs", 2.0, first=st.sampled_from(KEYS), second=st.sampled_from(KEYS), value=st.sampled_from(VALUES))
def test_an_override_into_what_another_set(first, second, value):
    with only(SettingsError):
        load_settings(None, [f"{first}={value}", f"{second}=1", f"{first}.x=2"])


def test_aliases_that_grow_are_refused_before_they_grow(tmp_path):
    lines = ['a0: &a0 ["x", "x", "x", "x", "x", "x", "x", "x", "x", "x"]']
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines) + "\nreader: *a11\n")
    with pytest.raises(SettingsError, match="more than 10,000 values, aliases expanded"):
        load_settings(path)


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [touch PATH]", "!!python/name:os.system x"])
def test_yaml_makes_no_objects(value, tmp_path):
    with pytest.raises(SettingsError):
        override(f"reader.prompt={value.replace('PATH', str(tmp_path / 'made'))}")
    assert not (tmp_path / "made").exists()
