"""What every group of settings has in common, and how it is read from YAML: nothing in a file is silently ignored."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

_LARGEST = 2**20  # characters of a settings file
_MOST_VALUES = 10_000  # in a settings file, each time that an alias repeats one counted
_SECRET = "headers"  # a setting whose values no message shows
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 100


class SettingsError(ValueError):
    """A setting is unknown, of the wrong type, or cannot be honoured; the message names its key."""


class Section(BaseModel):
    """Settings that refuse unknown keys and values of the wrong type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


S = TypeVar("S", bound=Section)


def load_section(
    kind: type[S],
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> S:
    """Settings of one kind from a YAML file or the name of a shipped one, changed by "section.key=value" overrides.

    Args:
        kind: what they are settings of.
        config: a path, or the name of a file in `configs`; None is the defaults.
        overrides: for instance `["attribution.budget=500", "retriever.kind=hybrid"]`; values are YAML.
        base: values to start from instead of a file's.

    Raises:
        SettingsError: names the key that is unknown, mistyped or cannot be honoured.
        FileNotFoundError: there is no such file.
    """
    values: dict[str, Any] = dict(base or {})
    origin = "settings"
    if config is not None:
        path = _find(config)
        origin = str(path)
        try:
            read = _yaml(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise SettingsError(f"{path} is not valid YAML: {error}") from None
        if read is not None and not isinstance(read, Mapping):
            raise SettingsError(f"{path} must hold 'key: value' lines, got a {type(read).__name__}")
        values = dict(read or {})
    for override in overrides:
        _override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        changed = [override.partition("=")[0].strip() for override in overrides]
        lines = [
            f"{'settings' if _concerns(item['loc'], changed) else origin}: {_explain(kind, item)}"
            for item in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, as YAML 1.2 does, and refuses a key that occurs twice, of which one would be ignored."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for name, n in counts.items():
            if n > 1:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} occurs {n} times", node.start_mark)
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _yaml(text: str) -> Any:
    """A YAML value; `ValueError` for everything that is none, among them aliases that grow beyond any file's size."""
    if len(text) > _LARGEST:
        raise ValueError(f"{len(text):,} characters, at most {_LARGEST:,} are read")
    try:
        value = yaml.load(text, Loader=_Loader)
    except Exception as error:  # a tag's conversion raises whatever it raises: AttributeError for "!!timestamp x"
        raise ValueError("nested too deeply" if isinstance(error, RecursionError) else str(error)) from None
    held = [value]
    seen = 0
    while held:
        seen += 1
        if seen > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values, aliases expanded")
        one = held.pop()
        held += [*one, *one.values()] if isinstance(one, dict) else one if isinstance(one, list | tuple | set) else []
    return value


def _find(config: str | Path) -> Path:
    """A file as given; else the shipped configuration of that name."""
    path = Path(config)
    return path if path.is_file() else find_shipped(str(config))


def find_shipped(name: str, suffix: str = ".yaml") -> Path:
    """The shipped file of that name among those with the suffix; `FileNotFoundError` if there is none."""
    shipped = {file.stem: file for file in sorted(_shipped_folder().glob(f"*{suffix}"))}
    if name not in shipped:
        raise FileNotFoundError(
            f"there is no file {name}; give a file, or the name of a shipped one: {', '.join(shipped) or 'none'}"
        )
    return shipped[name]


def _shipped_folder() -> Path:
    """The folder `configs`: within the package where a wheel was installed, else beside it in a checkout.

    A folder of that name beside an installed package is somebody else's.
    """
    package = Path(__file__).parent
    in_checkout = not (package / "configs").is_dir() and (package.parent / "constraints.txt").is_file()
    return (package.parent if in_checkout else package) / "configs"


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise SettingsError(f"{override!r} is no override; write section.key=value")
    *sections, last = key.strip().split(".")
    for section in sections:
        held = values.get(section) or {}
        if not isinstance(held, Mapping):
            raise SettingsError(f"{key}: {section} is set to {_SHOWN.repr(held)}, which is no section")
        values[section] = dict(held)
        values = values[section]
    try:
        values[last] = _yaml(text)
    except ValueError:
        shown = "this" if _SECRET in key.split(".") else _SHOWN.repr(text)
        raise SettingsError(f"{key}: {shown} is not a valid value") from None


def _concerns(place: Sequence[Any], changed: Sequence[str]) -> bool:
    """Whether what is wrong at a place may come from one of the changed settings."""
    parts = [str(part) for part in place]
    return any(all(a == b for a, b in zip(parts, key.split("."), strict=False)) for key in changed)


def _explain(kind: type[Section], item: Any) -> str:
    """One line on one validation error, beginning with the key."""
    key = ".".join(str(part) for part in item["loc"] if part not in ("int", "literal['smallest']"))
    if item["type"] == "extra_forbidden":
        section: Any = kind
        for part in item["loc"][:-1]:
            if isinstance(part, str):
                section = section.model_fields[part].annotation
                section = next(iter(get_args(section)), section)  # of a list, or of what may be null
        known = list(section.model_fields)
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        return f"{key}: unknown setting{hint} Known here: {', '.join(known)}"
    message = item["msg"].removeprefix("Value error, ")
    hidden = item["type"] == "value_error" or _SECRET in item["loc"]
    return f"{key}: {message}" if hidden else f"{key}: {message} (got {_SHOWN.repr(item['input'])})"
