"""Small corpora in languages other than English, from the sentences and words in `samples/`."""

from __future__ import annotations

from pathlib import Path

from retrievers import Passage

_SAMPLES = Path(__file__).parent / "samples"
_STEPS = {"place": (1, 0), "person": (5, 7), "crop": (5, 3), "animal": (7, 5), "thing": (7, 9)}
LANGUAGES = ("ja", "zh", "ko", "hi", "th", "ar")


def sample(language: str) -> tuple[list[Passage], list[tuple[str, str]]]:
    """312 passages, of 26 subjects in each of 12 places, and for each a question with the passage's id.

    A file names words for each slot, then passages and questions, with " | " between them. The same places and the same
    subjects come back in many passages, so that a question must be met in both.
    """
    lines = (_SAMPLES / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    listed = dict(line.split(": ", 1) for line in lines[: len(_STEPS)])
    slots = {slot: [name.replace("_", " ") for name in names.split()] for slot, names in listed.items()}
    passages, questions = [], []
    for subject, line in enumerate(lines[len(_STEPS) :]):
        text, question = line.split(" | ")
        for number in range(12):
            words: dict[str, object] = {
                slot: names[(number * _STEPS[slot][0] + subject * _STEPS[slot][1]) % 12]
                for slot, names in slots.items()
            }
            words["year"] = 1850 + (number * 37 + subject * 13) % 170
            words["number"] = 40 + (number * 71 + subject * 29) % 560
            words["hour"] = 4 + (number + subject) % 6
            passages.append(Passage(f"{subject}-{number}", text.format(**words)))
            questions.append((question.format(**words), f"{subject}-{number}"))
    return passages, questions
