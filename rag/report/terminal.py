"""The view of an answer for the terminal, readable from 80 columns up."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from rag.answer import Answer, Evidence
from rag.explanation.findings import is_about_zero
from rag.report import wording
from rag.report.citations import citation_lines
from rag.report.findings import Finding, findings
from rag.report.parts import part_lines
from rag.report.text import Part, extract, one_line

_BAR = 12
_GAP = 2
_MOST_OTHERS = 5
_OTHER_NAME = 40
_MOST_WIDTH = 120  # longer lines are hard to follow
_POSITIVE, _NEGATIVE = "cyan", "red"


def print_answer(answer: Answer, console: Console) -> None:
    """Print question, answer, evidence with value bars, findings, other answers, cost and warnings to `console`."""
    width = min(console.width, _MOST_WIDTH)
    console.print(_head(answer), width=width)
    console.print()
    cited = citation_lines(answer)
    if cited is not None:
        console.print(cited, width=width)
        console.print()
    console.print(_evidence(answer, width), width=width)
    if answer.readers is not None and answer.readers.explanation is not None:
        console.print()
        console.print(_own_values(answer.readers.explanation, width), width=width)
    parts = part_lines(answer, wording.labels(answer, _OTHER_NAME), width)
    if parts is not None:
        console.print()
        console.print(parts, width=width)
    found = findings(answer)
    if found:
        console.print()
        console.print(_findings(answer, found), width=width)
    if answer.others:
        console.print()
        console.print(_others(answer), width=width)
    console.print()
    console.print(_foot(answer), width=width)


def _head(answer: Answer) -> Table:
    rows: list[tuple[str, Text]] = [
        ("Question", Text(one_line(answer.question))),
        ("Answer", _answer_text(answer.text, "bold")),
    ]
    if answer.readers is not None:
        rows += [("", Text(sentence)) for sentence in wording.two_readers(answer)]
    elif answer.full_text != answer.text:
        all_ = f"from {'all ' * (len(answer.evidence) > 1)}{wording.count(len(answer.evidence), 'passage')}: "
        rows.append(("", Text.assemble((all_, "dim")) + _answer_text(answer.full_text)))
    return _labelled(rows)


def _own_values(explanation: Answer, width: int) -> Group:
    """The final answer's own sentences and passages, for the reader that gave it."""
    lines = Text(f"values of the kept passages for {wording.quoted(explanation.text)}, the final answer", "dim")
    cited = citation_lines(explanation)
    return Group(lines, *([] if cited is None else [cited]), _evidence(explanation, width))


def _evidence(answer: Answer, width: int) -> Group:
    shown = [(place, e) for place, e in enumerate(answer.evidence, 1) if not is_about_zero(e.value, e.error)]
    rest = [e for e in answer.evidence if is_about_zero(e.value, e.error)]
    lines = _evidence_lines(answer, shown, width) if shown else []
    if not answer.evidence:
        lines.append(Text("no passages", "dim"))
    if rest:
        lines.append(Text(wording.about_zero(rest, len(answer.evidence)), "dim"))
    if any(e.kept for _, e in shown):
        lines.append(Text("● kept: the answer was read from these passages", "dim"))
    return Group(*lines)


def _evidence_lines(answer: Answer, shown: Sequence[tuple[int, Evidence]], width: int) -> list[Text]:
    """A header and two lines a passage: the columns, and below them an extract over the whole width."""
    answers = answer.text, answer.full_text
    values = [wording.worth(e, answer.attribution) for _, e in shown]
    places, value_width = len(str(len(answer.evidence))), max(map(len, (*values, "value")))
    indent = 1 + _GAP + places + _GAP
    name_width = max(20, width - indent - value_width - _BAR - len("retrieved") - 3 * _GAP)
    names = wording.labels(answer, name_width)
    low, high = min(0.0, *(e.value for _, e in shown)), max(0.0, *(e.value for _, e in shown))

    def columns(mark: Text, place: str, name: Text, value: str, bar: Text, rank: str) -> Text:
        name.truncate(name_width, overflow="ellipsis", pad=True)
        bar.pad_right(_BAR - len(bar))
        cells = (
            mark,
            Text(place.rjust(places)),
            name,
            Text(value.rjust(value_width)),
            bar,
            Text(rank.rjust(9)),
        )
        return Text(" " * _GAP).join(cells)

    lines = [columns(Text(" "), "#", Text("passage"), "value", Text(), "retrieved")]
    lines[0].stylize("dim")
    for (place, e), value in zip(shown, values, strict=True):
        mark = Text("●" if e.kept else " ", _POSITIVE)
        name = Text(names[e.passage.id], "bold")
        lines.append(columns(mark, str(place), name, value, _bar(e.value, low, high), str(e.rank)))
        text = one_line(e.passage.text)
        room = max(20, width - indent) * len(text) // max(1, cell_len(text))  # some scripts take two cells a letter
        snippet = Text(" " * indent) + _highlighted(extract(text, answers, room))
        snippet.truncate(width, overflow="ellipsis")
        lines.append(snippet)
    return lines


def _bar(value: float, low: float, high: float) -> Text:
    """A bar from a zero axis, in eighths of a cell to the right, in the three steps there are to the left."""
    axis = low < 0
    room = _BAR - axis
    left = min(room - 1, max(1, round(room * -low / (high - low)))) if axis and high > 0 else room * axis
    cells = min(part / side for part, side in ((left, -low), (room - left, high)) if side > 0) * abs(value)
    eighths = max(1, round(8 * cells))
    full, part = divmod(eighths, 8)
    line = "│" * axis
    if value >= 0:
        return Text(" " * left + line) + Text("█" * full + " ▏▎▍▌▋▊▉"[part] * (part > 0), _POSITIVE)
    end = "█" if part > 6 else "▐" if part > 2 else "▕" if part else ""
    return Text((end + "█" * full).rjust(left), _NEGATIVE) + Text(line)


def _findings(answer: Answer, found: Sequence[Finding]) -> Table:
    names = wording.labels(answer, _OTHER_NAME)
    rows = []
    for place, finding in enumerate(found):
        repeated = place > 0 and found[place - 1].label == finding.label
        pieces = ((names.get(p.text, one_line(p.text)), "bold") if p.is_passage else p.text for p in finding.pieces)
        rows.append(("" if repeated else finding.label, Text.assemble(*pieces)))
    return _labelled(rows)


def _others(answer: Answer) -> Group:
    names = wording.labels(answer, _OTHER_NAME)
    table = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    table.show_header = True
    table.add_column("other answers", ratio=2, overflow="fold", header_style="dim")
    table.add_column("share", justify="right", no_wrap=True, header_style="dim")
    table.add_column("pulled towards by", ratio=3, overflow="fold", header_style="dim")
    for other in answer.others[:_MOST_OTHERS]:
        pulls = ", ".join(names.get(name, one_line(name)) for name in other.passages)
        table.add_row(_answer_text(other.text), Text(wording.percent(other.share)), Text(pulls or "–"))
    more = answer.others[_MOST_OTHERS:]
    share = wording.percent(sum(other.share for other in more))
    note = Text(f"{wording.count(len(more), 'more answer')}, together {share}", "dim")
    return Group(table, note) if more else Group(table)


def _foot(answer: Answer) -> Table:
    times = [f"{one_line(stage)} {wording.duration(time)}" for stage, time in answer.seconds.items()]
    rows = [("Values", Text(wording.method(answer.attribution)))]
    rows += [("", Text(line)) for line in wording.merged(answer)]
    stopping = wording.stopping(answer.attribution)
    if stopping:
        rows.append(("", Text(stopping)))
    gap = wording.efficiency(answer.attribution)
    if gap:
        rows.append(("", Text(gap)))
    if times:
        total = wording.duration(sum(answer.seconds.values()))
        rows.append(("Time", Text(f"{total}: {', '.join(times)}")))
    rows += [("Warning", Text(one_line(warning), "yellow")) for warning in answer.warnings]
    return _labelled(rows)


def _labelled(rows: Iterable[tuple[str, Text]]) -> Table:
    table = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    table.add_column(style="dim", width=len("Question"))
    table.add_column(overflow="fold")
    for label, content in rows:
        table.add_row(label, content)
    return table


def _answer_text(text: str, style: str = "") -> Text:
    return Text(one_line(text), style) if text else Text(wording.NO_ANSWER, "dim")


def _highlighted(parts: Sequence[Part]) -> Text:
    return Text.assemble(*((part.text, "bold not dim" if part.marked else "") for part in parts), style="dim")
