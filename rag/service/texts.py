"""The text fields of requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def _whole(text: str) -> str:
    """Refuse halves of surrogate pairs, which JSON can spell but no tokenizer and no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the character at {error.start} is half of a surrogate pair") from None
    return text


Text = Annotated[str, AfterValidator(_whole)]
"""Any string that can be written as UTF-8."""
