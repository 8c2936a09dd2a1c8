"""The view of an answer as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rag.answer import Answer, Evidence
from rag.explanation.findings import is_about_zero
from rag.report import wording
from rag.report.citations import UNSUPPORTED, Cited, cited_sentences, pair, remainder, support, token_pieces, value_of
from rag.report.findings import findings
from rag.report.parts import question_shades, shades, worth
from rag.report.text import Part, extract, harmless, marked

_SNIPPET = 170
_LABEL = 120
_HEAT_ANSWERS = 6
_HEAT_PASSAGES = 10
_OTHERS_SHOWN = 8


class Bar(NamedTuple):
    """A value bar with its whisker of one standard error: positions in percent of the common scale."""

    zero: float
    start: float
    length: float
    low: float
    high: float


class Row(NamedTuple):
    """A passage as the page shows it; `place` is its rank in attributed order, from 1."""

    place: int
    evidence: Evidence
    label: str
    worth: str
    bar: Bar
    snippet: list[Part]
    parts: list[Part]


class HeatCell(NamedTuple):
    """A value, and how strongly to colour it, 0 to 1."""

    value: float
    strength: float


def render_page(answer: Answer) -> str:
    """One HTML page, without network access and scripts: answer, evidence, other answers, method."""
    return _render("page.html.j2", answer)


def render_report(answer: Answer) -> str:
    """The content of that page, to be put into another page that has its style, `page.css.j2`."""
    return _render("report.html.j2", answer)


def _render(template: str, answer: Answer) -> str:
    labels = wording.labels(answer, _LABEL)
    rows = _rows(answer, labels)
    about_zero = [row for row in rows if is_about_zero(row.evidence.value, row.evidence.error)]
    attribution, cited = answer.attribution, cited_sentences(answer)
    return (
        _environment()
        .get_template(template)
        .render(
            answer=answer,
            attribution=attribution,
            summary=[*wording.summary(answer), *filter(None, [support(answer)])],
            two_readers=wording.two_readers(answer),
            reader=wording.reader(answer),
            subject=wording.subject(answer),
            own=None if answer.readers is None else answer.readers.explanation,
            cited_sentences=cited_sentences,
            worth_of=wording.worth,
            cited=cited,
            carried={row.evidence.passage.id: _carried(row.evidence, cited) for row in rows},
            pair=pair,
            remainder=remainder,
            token_pieces=token_pieces,
            value_of=value_of,
            unsupported=UNSUPPORTED,
            shown=[row for row in rows if not is_about_zero(row.evidence.value, row.evidence.error)],
            about_zero=about_zero,
            about_zero_text=wording.about_zero([row.evidence for row in about_zero], len(rows)) if about_zero else "",
            places={row.evidence.passage.id: row.place for row in rows},
            labels=labels,
            heat=_heat(answer),
            shades=shades(answer),
            question_shades=question_shades(answer),
            part_worth=worth,
            others_shown=_OTHERS_SHOWN,
            findings=findings(answer),
            merged=wording.merged(answer),
            stopping=wording.stopping(attribution),
            others=wording.others(attribution),
            exactness=wording.exactness(attribution),
            efficiency=wording.efficiency(attribution),
            largest_error=float(attribution.errors[attribution.output].max(initial=0.0)),
            settings=_flat(answer.settings),
        )
    )


def _carried(evidence: Evidence, cited: Sequence[Cited]) -> list[int]:
    """Numbers of the sentences that a passage carries."""
    return [one.number for one in cited if evidence.passage.id in one.sentence.passages and not one.unsupported]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rag.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (wording.number, wording.percent, wording.duration, wording.quoted, wording.count):
        environment.filters[function.__name__] = function
    return environment


def _finalize(value: Any) -> Any:
    """Make every string that the template prints harmless; only the template itself makes Markup."""
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _rows(answer: Answer, labels: Mapping[str, str]) -> list[Row]:
    answers = answer.text, answer.full_text
    low = min((e.value - e.error for e in answer.evidence), default=0.0)
    high = max((e.value + e.error for e in answer.evidence), default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    return [
        Row(
            place,
            e,
            labels[e.passage.id],
            wording.worth(e, answer.attribution),
            _bar(e.value, e.error, low, high),
            extract(e.passage.text, answers, _SNIPPET),
            marked(harmless(e.passage.text), answers),
        )
        for place, e in enumerate(answer.evidence, 1)
    ]


def _bar(value: float, error: float, low: float, high: float) -> Bar:
    def position(number: float) -> float:
        return round(100 * (number - low) / (high - low or 1.0), 2)

    ends = position(min(value, 0.0)), position(max(value, 0.0))
    return Bar(position(0.0), ends[0], round(ends[1] - ends[0], 2), position(value - error), position(value + error))


def _heat(answer: Answer) -> dict[str, Any]:
    """Values of the up to 10 passages that matter most, for the explained answer and up to 5 others."""
    attribution = answer.attribution
    order = {other.text: place for place, other in enumerate(answer.others)}
    columns = sorted(
        range(len(attribution.outputs)),
        key=lambda i: (i != attribution.output, order.get(attribution.outputs[i], len(order))),
    )[:_HEAT_ANSWERS]
    players = {name: index for index, name in enumerate(attribution.players)}
    values = attribution.values[columns][:, [players[e.passage.id] for e in answer.evidence]]
    largest = np.abs(values).max(axis=0, initial=0.0)
    chosen = sorted(np.argsort(-largest, kind="stable")[:_HEAT_PASSAGES].tolist())
    scale = float(largest.max(initial=0.0)) or 1.0
    cells = [[HeatCell(float(v), round(float(abs(v)) / scale, 3)) for v in values[:, i]] for i in chosen]
    return {
        "answers": [attribution.outputs[i] for i in columns],
        "rows": [(answer.evidence[i].passage.id, row) for i, row in zip(chosen, cells, strict=True)],
        "of_answers": len(attribution.outputs),
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and values."""
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            pairs.append((f"{prefix}{name}", ", ".join(map(str, value))))
        else:
            pairs.append((f"{prefix}{name}", "–" if value is None else str(value)))
    return pairs
