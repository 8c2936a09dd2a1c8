"""Typed settings of the whole system, read from YAML; nothing in a file is silently ignored."""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, model_validator

from rag.engines import ENGINES, Engine, EngineSections, missing_settings
from rag.readers.prompt.template import check_template
from rag.section import Section


class SettingsError(ValueError):
    """A setting is unknown, of the wrong type, or cannot be honoured; the message names its key."""


S = TypeVar("S", bound=Section)
_LARGEST = 2**20  # characters of a settings file
_MOST_VALUES = 10_000  # in a settings file, each time that an alias repeats one counted
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 100


class BM25Settings(Section):
    """Lexical retrieval; `stemmer` is a language of PyStemmer, or null."""

    engine: Literal["bm25s", "rank-bm25"] = "bm25s"
    k1: float = Field(default=1.5, ge=0)
    b: float = Field(default=0.75, ge=0, le=1)
    stopwords: str | None = "en"
    stemmer: str | None = "english"


class DenseSettings(Section):
    """Retrieval by sentence embeddings; `encoder` is "default" or a sentence-transformers name or folder.

    `target_recall` is what an approximate index (hnsw, ivfpq) should find of the ten passages truly nearest.
    """

    encoder: str = "default"
    index: Literal["flat", "hnsw", "ivfpq"] = "flat"
    target_recall: float = Field(default=0.95, gt=0, le=1)


class RetrieverSettings(EngineSections):
    """How passages are found, and how many (`passages`) the reader gets.

    A `kind` that is a search engine needs no corpus or index; its section says where it is.
    """

    kind: Literal["bm25", "dense", "hybrid"] | Engine = "bm25"
    passages: int = Field(default=20, ge=1)
    bm25: BM25Settings = BM25Settings()
    dense: DenseSettings = DenseSettings()

    @property
    def is_engine(self) -> bool:
        """Whether passages are found by a search engine, not by an index of ours."""
        return self.kind in ENGINES

    @model_validator(mode="after")
    def _findable(self) -> RetrieverSettings:
        if self.is_engine and (missing := missing_settings(self.kind, self)):
            needed = " and ".join(f"retriever.{self.kind}.{name}" for name in missing)
            raise ValueError(f"kind {self.kind} needs {needed}")
        return self


class EndpointSettings(Section):
    """How an HTTP endpoint is asked; see `rag.readers.prompt.endpoint.Endpoint`.

    `token_env` names the environment variable that holds the bearer token; `cache` is a file, "default" (in the user's
    cache folder) or null (none on disk); `request` holds fields to add to each request, or null to leave one out.
    """

    token_env: str | None = None
    timeout: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=4, ge=1)
    retries: int = Field(default=5, ge=0)
    max_calls: int = Field(default=1000, ge=1)
    cache: str | None = "default"
    request: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _requests(self) -> EndpointSettings:
        ours = {"messages", "model", "n", "stream"} & set(self.request)
        if ours:
            raise ValueError(f"request cannot hold {', '.join(sorted(ours))}")
        return self


class ReaderSettings(Section):
    """The reader, named by `checkpoint`.

    "embedded", a folder of `ragshap train`, the name or folder of a `transformers` encoder-decoder or causal language
    model, or an endpoint as URL#MODEL, such as "http://localhost:8000/v1#my-model". `no_answer_threshold` is the
    embedded reader's alone; `prompt` is a template for causal models and endpoints, null the built-in one.
    """

    checkpoint: str = "embedded"
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16"] = "float32"
    max_block_tokens: int = Field(default=256, ge=16)
    max_answer_tokens: int = Field(default=32, ge=1)
    no_answer_threshold: float | None = Field(default=None, gt=0, le=1)
    memory_mb: int = Field(default=256, ge=1)
    prompt: str | None = None
    endpoint: EndpointSettings = EndpointSettings()

    @property
    def is_endpoint(self) -> bool:
        """Whether the checkpoint is the address of an endpoint."""
        return self.checkpoint.startswith(("http://", "https://"))

    @property
    def is_embedded(self) -> bool:
        """Whether the checkpoint is of the embedded architecture: the package's, or a folder of `ragshap train`."""
        return self.checkpoint == "embedded" or os.path.isfile(Path(self.checkpoint) / "checksums.json")

    @model_validator(mode="after")
    def _honoured(self) -> ReaderSettings:
        if not self.is_embedded and self.no_answer_threshold is not None:
            raise ValueError("no_answer_threshold is for the embedded reader; leave it out")
        if self.is_embedded and self.prompt is not None:
            raise ValueError("prompt is for causal models and endpoints; leave it out")
        if self.prompt is not None:
            check_template(self.prompt)
        if self.is_endpoint:
            _check_address(self.checkpoint)
        return self


def _check_address(checkpoint: str) -> None:
    try:
        parts = urlsplit(checkpoint)
        held = parts.username or parts.password or parts.query
    except ValueError as error:
        raise ValueError(f"checkpoint is no address: {error}") from None
    if not parts.hostname or not parts.fragment:
        raise ValueError("checkpoint must be URL#MODEL, such as http://localhost:8000/v1#my-model")
    if held:
        raise ValueError(
            "checkpoint holds a password or query, which would be stored with results; "
            "put the token into an environment variable and name that in reader.endpoint.token_env"
        )


class AttributionSettings(Section):
    """How passages are valued; `budget` counts distinct coalitions.

    With `screen`, the embedded reader chooses so many of the passages, and the reader gets these alone; 0 is all.
    `until` stops before the budget is spent: once the first `k` passages are certain at `confidence`, values within
    `margin` counting as tied (`k` is by default what `rerank.keep` keeps, or 5), or once no standard error is above
    `target_error`. `minimal_sets` bounds the decodes of each search for a minimal set.
    """

    utility: Literal["votes", "likelihood"] = "votes"
    semivalue: Literal["shapley", "banzhaf", "leave-one-out", "first-in"] = "shapley"
    estimator: Literal["auto", "exact", "permutation", "kernel", "regression-adjusted", "banzhaf"] = "auto"
    p: float = Field(default=0.5, gt=0, lt=1)
    budget: int = Field(default=1000, ge=2)
    permutations: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    screen: int = Field(default=0, ge=0)
    until: Literal["none", "top-k certain", "target error"] = "none"
    k: int | None = Field(default=None, ge=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    margin: float = Field(default=0.01, ge=0)
    target_error: float = Field(default=0.02, gt=0)
    minimal_sets: int = Field(default=300, ge=0)
    interactions: bool = False

    @model_validator(mode="after")
    def _can_stop(self) -> AttributionSettings:
        exact = self.estimator == "exact" or self.semivalue in ("leave-one-out", "first-in")
        if self.until != "none" and exact:
            raise ValueError(f"until: {self.until} needs values that are sampled, but exact ones are asked for")
        return self


class HierarchySettings(Section):
    """How far down an answer is attributed, and at what cost; see `rag.explanation.hierarchy`.

    At most `passages` passages, and `sentences` sentences of each, are opened, the most valuable ones: those worth more
    than `above` (`open` "value"), those worth more than two standard errors ("certain"), or any ("top-n"). With
    `question`, the words of the question are players too.
    """

    level: Literal["passage", "sentence", "word"] = "passage"
    question: bool = False
    open: Literal["value", "certain", "top-n"] = "value"
    above: float = Field(default=0.02, ge=0)
    passages: int = Field(default=3, ge=1)
    sentences: int = Field(default=2, ge=1)
    masking: Literal["attention", "mask", "delete"] = "attention"
    permutations: int = 64
    shared: int = Field(default=4, ge=1)

    @property
    def asks(self) -> bool:
        """Whether anything but whole passages is attributed to."""
        return self.level != "passage" or self.question

    @model_validator(mode="after")
    def _in_draws(self) -> HierarchySettings:
        draw = 2 * self.shared
        if self.permutations % draw or self.permutations < 2 * draw:
            raise ValueError(
                f"permutations must be a multiple of 2 x shared = {draw}, at least {2 * draw}; got {self.permutations}"
            )
        return self


class RerankSettings(Section):
    """The order of the passages, and how many the final answer is read from.

    `score` with "+rrf" is fused with the retriever's order by reciprocal ranks.
    `keep` is a number, or "smallest": as few of the first passages as still give the full answer.
    """

    score: Literal["value", "positive", "pivots", "value+rrf", "positive+rrf", "pivots+rrf"] = "positive"
    keep: int | Literal["smallest"] = 5

    @model_validator(mode="after")
    def _positive(self) -> RerankSettings:
        if isinstance(self.keep, int) and self.keep < 1:
            raise ValueError("keep must be at least 1, or 'smallest'")
        return self


class Settings(Section):
    """All settings. `passage_words` is the length at which long texts are cut; `threads` 0 leaves torch's choice."""

    passage_words: int = Field(default=100, ge=10)
    threads: int = Field(default=0, ge=0)
    retriever: RetrieverSettings = RetrieverSettings()
    reader: ReaderSettings = ReaderSettings()
    attribution: AttributionSettings = AttributionSettings()
    hierarchy: HierarchySettings = HierarchySettings()
    rerank: RerankSettings = RerankSettings()

    @model_validator(mode="after")
    def _scored(self) -> Settings:
        if self.reader.is_endpoint and self.attribution.utility == "likelihood":
            raise ValueError("attribution.utility must be votes: endpoints give no log-probabilities of given answers")
        return self


def load_settings(config: str | Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """Settings from a YAML file or the name of a shipped one, changed by "section.key=value" overrides.

    Args:
        config: a path; or "default", "quality", "gpu", "endpoint"; None is the default.
        overrides: for instance `["attribution.budget=500", "retriever.kind=hybrid"]`; values are YAML.

    Raises:
        SettingsError: names the key that is unknown, mistyped or cannot be honoured.
        FileNotFoundError: there is no such file.
    """
    return load_section(Settings, config, overrides)


def load_section(
    kind: type[S],
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> S:
    """As `load_settings`, for any kind of settings; `base` holds values to start from instead of a file's."""
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
        raise SettingsError("\n".join(f"{origin}: {_explain(kind, item)}" for item in error.errors())) from None


def _yaml(text: str) -> Any:
    """A YAML value; `ValueError` for everything that is none, among them aliases that grow beyond any file's size."""
    if len(text) > _LARGEST:
        raise ValueError(f"{len(text):,} characters, at most {_LARGEST:,} are read")
    try:
        value = yaml.safe_load(text)
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
    """A file as given; else a shipped configuration of that name, in the package or beside it in a checkout."""
    path = Path(config)
    if path.is_file():
        return path
    here = Path(__file__).parent
    shipped = {
        file.stem: file for folder in ("../configs", "configs") for file in sorted((here / folder).glob("*.yaml"))
    }
    if str(config) in shipped:
        return shipped[str(config)]
    raise FileNotFoundError(f"no configuration file {config}; shipped ones are {', '.join(shipped)}")


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
        raise SettingsError(f"{key}: {_SHOWN.repr(text)} is not a valid value") from None


def _explain(kind: type[Section], item: Any) -> str:
    """One line on one validation error, beginning with the key."""
    key = ".".join(str(part) for part in item["loc"] if part not in ("int", "literal['smallest']"))
    if item["type"] == "extra_forbidden":
        section: Any = kind
        for part in item["loc"][:-1]:
            section = section.model_fields[part].annotation if isinstance(part, str) else get_args(section)[0]
        known = list(section.model_fields)
        close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown setting{hint} Known here: {', '.join(known)}"
    message = item["msg"].removeprefix("Value error, ")
    return (
        f"{key}: {message} (got {_SHOWN.repr(item['input'])})" if item["type"] != "value_error" else f"{key}: {message}"
    )
