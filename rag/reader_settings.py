"""Settings of a reader, and of the endpoint that it may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from rag.bfloat16 import computes_bfloat16
from rag.readers.embedded_files import embedded_folder
from rag.readers.prompt.address import completions_address
from rag.readers.prompt.template import check_template
from rag.settings_base import Section


class EndpointSettings(Section):
    """How an HTTP endpoint is asked; see `rag.readers.prompt.endpoint.Endpoint`.

    `token_env` names the environment variable that holds the bearer token; `headers` are further ones, in which
    `${NAME}` is an environment variable, and which are never shown, saved or logged; `cache` is a file, "default" (in
    the user's cache folder) or null (none on disk); `request` holds fields to add to each request, or null to leave
    one out.
    """

    token_env: str | None = None
    headers: dict[str, SecretStr] = Field(default={})
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

    "embedded" or "base", which ship, a folder of `ragshap train`, the name or folder of a `transformers`
    encoder-decoder or causal language model, or an endpoint as URL#MODEL, such as "http://localhost:8000/v1#my-model".
    A passage that exceeds `max_block_tokens` is read in several blocks, up to `max_passage_tokens`; causal models and
    endpoints get it in one piece. The embedded reader declines where its calibrated probability of "no answer" reaches
    `no_answer_threshold`: 1 never declines, null is the checkpoint's own threshold, and other readers have none.
    `prompt` is a template for causal models and endpoints, null the built-in one; `chat_template_kwargs` are variables
    of a causal model's own chat template. `device` "auto" is the first CUDA GPU, or else the CPU; `dtype` "auto" is
    bfloat16 on a device that computes in it, or else float32.
    """

    checkpoint: str = "embedded"
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    max_block_tokens: int = Field(default=256, ge=16)
    max_passage_tokens: int = Field(default=2048, ge=16)
    max_answer_tokens: int = Field(default=32, ge=1)
    no_answer_threshold: float | None = Field(default=None, gt=0, le=1)
    memory_mb: int = Field(default=256, ge=1)
    prompt: str | None = None
    chat_template_kwargs: dict[str, Any] = Field(default={})
    endpoint: EndpointSettings = EndpointSettings()

    @property
    def is_endpoint(self) -> bool:
        """Whether the checkpoint is the address of an endpoint."""
        return self.checkpoint.startswith(("http://", "https://"))

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA GPU, also if "auto" finds one."""
        if self.device != "auto":
            return self.device.startswith("cuda")
        import torch

        return torch.cuda.is_available()

    def resolved(self) -> ReaderSettings:
        """The same settings with what "auto" means on this machine."""
        if "auto" not in (self.device, self.dtype):
            return self
        device = self.device if self.device != "auto" else "cuda" if self.on_gpu else "cpu"
        dtype = self.dtype if self.dtype != "auto" else "bfloat16" if computes_bfloat16(device) else "float32"
        return self.model_copy(update={"device": device, "dtype": dtype})

    @property
    def embedded_folder(self) -> Path | None:
        """The folder of the checkpoint if that is of the embedded architecture, or None."""
        return embedded_folder(self.checkpoint)

    @model_validator(mode="after")
    def _honoured(self) -> ReaderSettings:
        if self.embedded_folder is None and self.no_answer_threshold is not None:
            raise ValueError(
                f"no_answer_threshold {self.no_answer_threshold:g} is for the embedded reader's architecture, and "
                f"{self.checkpoint!r} has no such probability; leave it out"
            )
        if self.embedded_folder and self.prompt is not None:
            raise ValueError("prompt is for causal models and endpoints; leave it out")
        if self.prompt is not None:
            check_template(self.prompt)
        if self.chat_template_kwargs and (self.embedded_folder or self.is_endpoint):
            raise ValueError(
                "chat_template_kwargs is for causal models run here; an endpoint takes it in "
                "reader.endpoint.request={chat_template_kwargs: {…}}"
            )
        if ours := {"add_generation_prompt", "chat_template", "tokenize"} & set(self.chat_template_kwargs):
            raise ValueError(f"chat_template_kwargs cannot hold {', '.join(sorted(ours))}")
        if self.is_endpoint:
            _check_address(self.checkpoint)
        return self


def _check_address(checkpoint: str) -> None:
    url, _, model = checkpoint.partition("#")
    try:
        completions_address(url)
    except ValueError as error:
        raise ValueError(
            f"checkpoint must be URL#MODEL, such as http://localhost:8000/v1#my-model, but {error}"
        ) from None
    if not model:
        raise ValueError("checkpoint must be URL#MODEL, such as http://localhost:8000/v1#my-model")
