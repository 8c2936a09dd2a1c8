import pytest

from rag import Pipeline
from rag.estimation import budget_of
from rag.settings import AttributionSettings, load_settings
from retrievers import Passage
from tests.rag.conftest import ScriptedReader, WordReader


class CostlyReader(WordReader):
    """A reader whose coalitions cost something, which remembers what was announced and what was asked."""

    batch_size = 16

    def __init__(self):
        self.announced, self.asked = [], 0

    def announce(self, encoded, calls, words=0, scored=""):
        self.announced.append(calls)

    def score_tokens(self, encoded, coalitions, answer):
        self.asked += len(coalitions)
        return super().score_tokens(encoded, coalitions, answer)


@pytest.mark.parametrize(("n", "budget"), [(0, 32), (1, 32), (10, 32), (11, 64), (20, 64), (21, 96)])
def test_costly_readers_answer_from_32_coalitions_for_every_ten_passages(n, budget):
    assert budget_of(AttributionSettings(), CostlyReader(), n) == budget
    assert budget_of(AttributionSettings(budget=50), CostlyReader(), n) == 50
    assert budget_of(AttributionSettings(), ScriptedReader(), n) == 640


@pytest.mark.parametrize(("screen", "budget"), [(10, 32), (20, 64)])
def test_the_default_budget_is_what_is_spent(screen, budget):
    reader = CostlyReader()
    passages = [Passage(str(i), f"Town {i} has {'a harbour' if i == 3 else 'none'}.") for i in range(13)]
    settings = load_settings("endpoint", [f"attribution.screen={screen}"])
    found = Pipeline(None, reader, settings).explain("Which town?", passages)
    assert found.attribution.budget == budget
    assert found.attribution.evaluations <= budget


def test_of_a_given_answer_no_more_is_announced_than_its_sentences_take():
    """Each is read without the passages that carry it and from these alone; minimal sets are for the reader's own."""
    reader = CostlyReader()
    passages = [Passage(str(i), f"Town {i}.") for i in range(9)]
    answer = "Town 3 is first. Town 5 comes next."
    Pipeline(None, reader, load_settings()).explain("Which town?", passages, answer=answer)
    assert reader.announced == [32 + 2 * 2]
    assert 32 <= reader.asked <= 36
