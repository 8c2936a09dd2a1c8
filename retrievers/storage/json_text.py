"""JSON that others wrote: whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
import math
from typing import Any

_QUOTED = 40  # characters of a number that an error repeats


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        json.JSONDecodeError: It is not JSON (RFC 8259, which has no NaN and no infinity), it is nested too deeply, or a
            number in it is too large.
    """
    try:
        return DECODER.decode(text)
    except (RecursionError, ValueError) as error:
        raise as_decode_error(error, text) from None


def as_decode_error(error: Exception, text: str) -> json.JSONDecodeError:
    """Any error of :data:`DECODER` as the one that says where it is."""
    if isinstance(error, json.JSONDecodeError):
        return error
    return json.JSONDecodeError("nested too deeply" if isinstance(error, RecursionError) else str(error), text, 0)


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"the number {_short(number)} is too large")
    return value


def _whole(number: str) -> int:
    try:
        return int(number)
    except ValueError:  # Python's limit of digits
        raise ValueError(f"the number {_short(number)} has too many digits") from None


def _short(number: str) -> str:
    return number if len(number) <= _QUOTED else f"{number[:_QUOTED]}…"


DECODER = json.JSONDecoder(parse_constant=_constant, parse_float=_finite, parse_int=_whole)
