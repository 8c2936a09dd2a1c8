"""What both views say in words and numbers about an answer; nothing that its data do not support."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attribution import Attribution
from rag.explanation.findings import is_about_zero
from rag.report.text import one_line

if TYPE_CHECKING:
    from rag.answer import Answer, Evidence
    from retrievers import Passage

NO_ANSWER = "no answer"


def number(value: float, digits: int = 3) -> str:
    """A value with a true minus sign, and none before zero."""
    shown = f"{value:.{digits}f}"
    return shown.removeprefix("-") if float(shown) == 0 else shown.replace("-", "\N{MINUS SIGN}")


def worth(evidence: Evidence, attribution: Attribution) -> str:
    """A passage's value, with its standard error if it was estimated by sampling."""
    value = number(evidence.value)
    return value if attribution.samples is None else f"{value} ±{number(evidence.error)}"


def percent(share: float) -> str:
    """A fraction between 0 and 1 as a whole percentage."""
    return "<1%" if 0 < share < 0.005 else ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def duration(seconds: float) -> str:
    """A time in milliseconds or seconds, whichever reads better."""
    return f"{1000 * seconds:.0f} ms" if seconds < 0.1 else f"{seconds:.{seconds < 100:d}f} s"


def quoted(text: str) -> str:
    """An answer in quotation marks, or "no answer"."""
    return f"“{one_line(text)}”" if text else NO_ANSWER


def count(things: int, name: str) -> str:
    """For instance "1 passage", "2 passages"."""
    return f"{things:,} {name}" + "s" * (things != 1)


def page_of(passage: Passage) -> str:
    """For instance ", page 3" or ", pages 3–4"; nothing where the passage does not say."""
    first, last = passage.metadata.get("page"), passage.metadata.get("last_page")
    if not isinstance(first, int):
        return ""
    return f", pages {first}–{last}" if isinstance(last, int) else f", page {first}"


def labels(answer: Answer, width: int) -> dict[str, str]:
    """A name for each passage id: its title and page, with the id where these repeat; the id if it has no title.

    Titles are cut so that a name has at most `width` characters; a page and an id are never cut.
    """
    titles = {e.passage.id: (one_line(e.passage.title), page_of(e.passage)) for e in answer.evidence}
    times = Counter(titles.values())
    names = {}
    for name, (title, page) in titles.items():
        mark = page + f" ({one_line(name)})" * (times[title, page] > 1)
        room = max(2, width - len(mark))
        cut = title if len(title) <= room else f"{title[: room - 1].rstrip()}…"
        names[name] = cut + mark if title else one_line(name) + page
    return names


def about_zero(rest: list[Evidence], of_all: int) -> str:
    """For instance "14 more passages (2 of them kept): value about 0"."""
    kept = sum(e.kept for e in rest)
    which = "all " * (kept > 1) if kept == len(rest) else f"{kept} of them "
    more = " more" if len(rest) < of_all else ""
    note = f" ({which}kept)" if kept else ""
    error = max(e.error for e in rest)
    errors = f", standard errors up to {number(error)}" if not is_about_zero(error, 0.0) else ""
    return f"{len(rest)}{more} passage{'s' * (len(rest) != 1)}{note}: value about 0{errors}"


def subject(answer: Answer) -> str:
    """What to call the explained answer in a sentence: "this answer" where it is the one on show."""
    if not answer.full_text:
        return "the outcome “no answer”"
    shown = answer.readers is None and answer.text == answer.full_text
    return "this answer" if shown else f"the answer {quoted(answer.full_text)}"


def reader(answer: Answer) -> str:
    """What to call the reader that is explained: by its name where another one gave the final answer."""
    return "the reader" if answer.readers is None else f"the reader {one_line(answer.readers.attributed)}"


def two_readers(answer: Answer) -> list[str]:
    """Who answered and for whom the values speak, as sentences; empty where one reader did both."""
    if answer.readers is None:
        return []
    kept, n = sum(e.kept for e in answer.evidence), len(answer.evidence)
    read = f"the {count(kept, 'kept passage')}" if kept else "the question alone"
    answering = one_line(answer.readers.answering)
    return [
        f"The reader {answering} gave the final answer from {read}.",
        f"The values speak for {reader(answer)}, which answers {quoted(answer.full_text)} from "
        f"{'all ' * (n > 1)}{count(n, 'passage')}.",
    ]


def summary(answer: Answer) -> list[str]:
    """Sentences on which passages carry the answer."""
    attribution, n = answer.attribution, len(answer.evidence)
    if not n:
        return ["There are no passages to attribute the answer to: it comes from the question alone."]
    votes = attribution.utility == "votes"
    sentences = [_carriers(answer, subject(answer))]
    away = sum(e.value < 0 and not is_about_zero(e.value, e.error) for e in answer.evidence)
    if away:
        sentences.append(f"{count(away, 'passage')} {'pulls' if away == 1 else 'pull'} away from it.")
    if votes:
        tried = count(attribution.evaluations, "subset")
        sentences.append(f"Of the {tried} of the passages that were tried, {percent(answer.share)} gave it.")
        alone = attribution.outputs[int(attribution.empty.argmax())]
        again = alone == attribution.outputs[attribution.output]
        alone_answer = "gives no answer" if not alone else f"answers {quoted(alone)}"
        sentences.append(f"Without any passage {reader(answer)} {alone_answer}{' as well' if again else ''}.")
    elif attribution.utility == "likelihood":
        none, all_ = (number(part[attribution.output], 2) for part in (attribution.empty, attribution.full))
        sentences.append(f"Its log-probability is {none} without any passage and {all_} with all of them.")
    return sentences


def _carriers(answer: Answer, subject: str) -> str:
    n = len(answer.evidence)
    values = [e.value for e in answer.evidence if e.value > 0 and not is_about_zero(e.value, e.error)]
    total = number(sum(e.value for e in answer.evidence), 2)
    if not values:
        return f"No passage has a value for {subject} that stands out from 0."
    which = f"{len(values)} of {count(n, 'passage')}" if n > 1 else "The only passage"
    if len(values) == n > 1:
        return f"All {n} passages carry {subject}: their values sum to {total}."
    if n == 1:
        return f"{which} carries {subject}: its value is {total}."
    verb, sum_ = ("carries", "its value is") if len(values) == 1 else ("carry", "their values sum to")
    return f"{which} {verb} {subject}: {sum_} {number(sum(values), 2)}; the values of all {n} sum to {total}."


def efficiency(attribution: Attribution) -> str | None:
    """The gap between the sum of the values and what all passages add together; None if there is none."""
    gap = float(attribution.efficiency_gap[attribution.output])
    if abs(gap) < 1e-6:
        return None
    total = number(float(attribution.of(attribution.output).sum()))
    gain = number(float((attribution.full - attribution.empty)[attribution.output]))
    why = "" if attribution.semivalue == "shapley" else f", as {attribution.semivalue.capitalize()} values may"
    return f"the values sum to {total}, the passages together add {gain}, a gap of {number(gap)}{why}"


def merged(answer: Answer) -> list[str]:
    """Which wordings were counted as one answer, one sentence for each answer, without a stop."""
    return [
        f"counted as {quoted(text)}: {', '.join(map(quoted, wordings))}" for text, wordings in answer.merged.items()
    ]


def method(attribution: Attribution) -> str:
    """Semivalue, estimator and cost in one line."""
    measure = f" (p = {attribution.p:g})" if attribution.p is not None else ""
    budget = f" (budget {attribution.budget:,})" if attribution.budget is not None else ""
    return (
        f"{attribution.semivalue.capitalize()} values{measure} of {attribution.utility}, "
        f"{attribution.estimator}, {count(attribution.evaluations, 'evaluation')}{budget}"
    )


def stopping(attribution: Attribution) -> str | None:
    """Whether sampling stopped early, and by which rule; None without a stopping rule."""
    if attribution.until is None:
        return None
    budget = f" of at most {attribution.budget:,}" if attribution.budget is not None else ""
    if attribution.reached:
        return f"stopped after {attribution.evaluations:,}{budget} evaluations: {attribution.until}"
    if attribution.budget is not None and attribution.evaluations < attribution.budget:
        ended = f"sampling ended after {attribution.evaluations:,}{budget} evaluations,"
    else:
        ended = "the budget ran out"
    return f"{ended} before this was reached: {attribution.until}"


def others(attribution: Attribution) -> str:
    """Beside which other passages a value says what a passage adds."""
    beside = {"leave-one-out": "beside all the others", "first-in": "without any of the others"}
    return beside.get(attribution.semivalue, "averaged over subsets of the others")


def exactness(attribution: Attribution) -> str:
    """Why values that were not sampled have no error."""
    which = "all subsets" if attribution.semivalue in ("shapley", "banzhaf") else "all subsets that they depend on"
    return f"{which} were evaluated, the values are exact"
