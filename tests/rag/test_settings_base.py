"""Where shipped settings are looked for, in a checkout and where a wheel was installed."""

from __future__ import annotations

import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from rag import settings_base


@pytest.fixture
def installed(tmp_path) -> ModuleType:
    """`rag.settings_base` in a folder of packages, beside somebody else's folder `configs`."""
    (tmp_path / "rag").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "default.yaml").write_text("theirs: 1", encoding="utf-8")
    (tmp_path / "configs" / "their-own.yaml").write_text("theirs: 1", encoding="utf-8")
    file = shutil.copy(settings_base.__file__, tmp_path / "rag" / "settings_base.py")
    spec = spec_from_file_location("installed_settings_base", file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_a_checkout_they_are_beside_the_package():
    assert settings_base._find("quality") == Path(__file__).parents[2] / "configs" / "quality.yaml"


def test_of_a_wheel_they_are_in_the_package(installed, tmp_path):
    own = tmp_path / "rag" / "configs"
    own.mkdir()
    (own / "default.yaml").write_text("threads: 1", encoding="utf-8")
    assert installed._find("default") == own / "default.yaml"
    with pytest.raises(FileNotFoundError, match=r"no file their-own; .* shipped one: default$"):
        installed._find("their-own")


def test_without_them_a_folder_beside_the_package_is_still_not_read(installed):
    with pytest.raises(FileNotFoundError, match="no file default"):
        installed._find("default")
