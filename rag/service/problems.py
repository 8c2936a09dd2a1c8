"""What is wrong with a request, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_MOST = 3  # places named

_EXPECTED = {
    "string_type": "text",
    "text_or_object": "text or an object",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def described(problems: Sequence[Any], sent: Any) -> str:
    """A validator's findings as one sentence, which does not repeat what was sent.

    Args:
        problems: the findings, as pydantic lists them.
        sent: the body that was sent, or None.
    """
    if any(problem["type"] == "json_invalid" for problem in problems):
        return "the body is not valid JSON"
    if isinstance(sent, bytes | str):
        return "the body is not read as JSON; send it with the header 'Content-Type: application/json'"
    places: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for problem in problems:
        place = _place(problem, sent)
        values.setdefault(place, problem.get("input"))
        said = list(_said(problem))
        places.setdefault(place, []).extend(part for part in said if part not in places.get(place, []))
    parts = [_sentence(place, said, values[place]) for place, said in places.items()]
    more = len(parts) - _MOST
    return "; ".join(parts[:_MOST]) + (f"; and {more} more" if more > 0 else "")


def _place(problem: Any, sent: Any) -> str:
    """Where in the body it is, such as "documents[3].text", without the names of alternatives, which pydantic adds."""
    at, place = sent, ""
    for part in problem["loc"][1:]:
        if isinstance(part, int) and isinstance(at, list) and part < len(at):
            at, place = at[part], f"{place}[{part}]"
        elif isinstance(part, str) and isinstance(at, dict) and part in at:
            at, place = at[part], f"{place}.{part}" if place else part
    if problem["type"] == "missing" and len(problem["loc"]) > 1:
        place = f"{place}.{problem['loc'][-1]}" if place else str(problem["loc"][-1])
    return place or "the body"


def _said(problem: Any) -> Iterator[str]:
    """What was expected, or what is wrong; a statement begins with a colon."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _EXPECTED:
        yield _EXPECTED[kind]
    elif kind == "missing":
        yield ": is missing"
    elif kind == "extra_forbidden":
        yield ": is no field of this request"
    elif kind in ("too_short", "string_too_short"):
        yield f": is empty; expected at least {context.get('min_length', 1)}"
    elif kind == "too_long":
        yield f": is too long; expected at most {context['max_length']}"
    elif kind == "too_many_fields":
        yield f": has {context['n']} fields; expected those of this request"
    elif kind == "greater_than_equal":
        yield f"at least {context['ge']}"
    elif kind == "less_than_equal":
        yield f"at most {context['le']}"
    elif kind == "literal_error":
        yield str(context["expected"])
    else:
        yield ": " + problem["msg"].removeprefix("Value error, ")


def _sentence(place: str, said: Sequence[str], value: Any) -> str:
    statements = [part for part in said if part.startswith(":")]
    if statements:
        text = statements[0].removeprefix(": ")
        return f"{place} {text}" if text.startswith(("is ", "has ")) else f"{place}: {text}"
    return f"{place} is {_named(value)}; expected {' or '.join(said)}"


def _named(value: Any) -> str:
    """What kind of thing was sent; a number is said itself."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e15 else "a number"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "other text"
