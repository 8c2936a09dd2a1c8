"""Sentences and words: what they are, what the game over them is, and what their values are."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from attribution import Group, exact_owen
from rag import Pipeline, SettingsError, load_reader, load_settings
from rag.explanation.hierarchy import Hierarchy, explain_parts
from rag.explanation.parts import Part, sentences, whole, words
from rag.explanation.parts_game import PartsGame
from rag.readers.fid import FiDReader
from rag.readers.hidden_parts import Variant
from rag.session import Session
from rag.settings import AttributionSettings, HierarchySettings, Settings
from retrievers import Passage

from ..conftest import ScriptedReader
from ..readers.conftest import random_passages


class PartsScriptedReader(ScriptedReader):
    """The scripted reader, which also reads what is left of a passage; remembers what it was asked to hide."""

    name = "scripted by parts"

    def __init__(self):
        self.batches = []

    def extend(self, encoded, variants, masking="attention"):
        self.batches.append(list(variants))
        left = []
        for number, hidden, _ in variants:
            text = encoded.passages[number].text
            kept = [c for i, c in enumerate(text) if not any(start <= i < end for start, end in hidden)]
            left.append(Passage("left", "".join(kept)))
        return self.encode(encoded.question, [*encoded.passages, *left])

    def hide_question(self, encoded, hidden, columns, masking="attention"):
        raise AssertionError("no one asked for words of the question")


@pytest.fixture
def reader():
    return PartsScriptedReader()


PASSAGES = [
    Passage("a", "some say Rome or Rome. it may be Paris. nobody knows.", "cities"),
    Passage("b", "surely Paris."),
    Passage("c", "nothing at all"),
]


def hierarchy(reader, given=PASSAGES, *, utility="votes", **settings) -> Hierarchy:
    settings = {"level": "word", "permutations": 64, "shared": 2, "open": "top-n"} | settings
    session = asking(reader, given, AttributionSettings(utility=utility), HierarchySettings(**settings))
    return explain_parts(session, session.attribute())


def asking(reader, given, attribution, hierarchy) -> Session:
    return Session(reader, "where?", given, Settings(attribution=attribution, hierarchy=hierarchy))


def test_parts_cover_the_text_in_its_own_characters():
    passage = Passage("p", "  Dr. Smith's boat  sank\tin 1862. Why?\n\nNo-one (not even he) knew; “never”.  ", "A boat")
    parts = sentences(passage)
    assert [part.kind for part in parts] == ["title", "sentence", "sentence", "sentence"]
    assert [passage.text[part.start : part.end] for part in parts[1:]] == [
        "Dr. Smith's boat  sank\tin 1862.",
        "Why?",
        "No-one (not even he) knew; “never”.",
    ]
    found = [passage.text[word.start : word.end] for part in parts[1:] for word in words(passage, part)]
    assert found == passage.text.split()
    assert sentences(Passage("e", "")) == ()


def test_the_game_reads_what_is_left_of_each_passage(reader):
    """Against reading each coalition's own text, written out."""
    encoded = reader.encode("where?", PASSAGES)
    first = [part for part in sentences(PASSAGES[0]) if part.kind == "sentence"]
    players = [first, [whole(PASSAGES[1])], list(words(PASSAGES[2], whole(PASSAGES[2])))]
    asked = []

    def worth(extended, rows):
        asked.append(len(rows))
        return np.array([len(answer) for answer in reader.generate(extended, rows)], float)

    game = PartsGame(reader, encoded, players, worth)
    rows = np.array(list(product([False, True], repeat=7)))
    found = game(rows)
    flat = [(number, part) for number, parts in enumerate(players) for part in parts]
    for row, value in zip(rows, found, strict=True):
        texts = {}
        for (number, part), shown in zip(flat, row, strict=True):
            if shown:
                texts.setdefault(number, []).append(PASSAGES[number].text[part.start : part.end])
        alone = [Passage(str(number), " ".join(pieces)) for number, pieces in texts.items()]
        answer = reader.generate(reader.encode("where?", alone), np.ones((1, len(alone)), bool))[0]
        assert value == len(answer)
    assert sum(asked) == len(rows)
    assert game.variants == sum(map(len, reader.batches))


def test_every_variant_is_encoded_once_for_all_contexts(reader):
    """With one passage opened, 30 states of its words among 8 contexts of other passages are 30 variants."""
    passages = [Passage("a", "one two three four five"), *(Passage(str(i), f"Town{i}") for i in range(3))]
    encoded = reader.encode("where?", passages)
    players = [words(passages[0], whole(passages[0])), *([whole(p)] for p in passages[1:])]
    game = PartsGame(reader, encoded, players, lambda extended, rows: np.zeros(len(rows)))
    game(np.array(list(product([False, True], repeat=8))))
    asked = [variant for batch in reader.batches for variant in batch]
    assert len(asked) == len(set(asked)) == game.variants == 30
    lengths = [sum(end - start for start, end in hidden) for _, hidden, _ in asked]
    assert lengths == sorted(lengths, reverse=True)  # like lengths are encoded together


def test_values_are_owen_values_and_sum_exactly(reader):
    result = hierarchy(reader, sentences=1, permutations=2048)
    a, b, c = result.passages
    assert [part.kind for part in a.parts] == ["title", "sentence", "sentence", "sentence"]
    assert [len(part.parts) for part in a.parts].count(0) == 3
    for node in (node for part in result.passages for node in part.walk() if node.parts):
        assert node.value == pytest.approx(sum(part.value for part in node.parts), abs=1e-12)
    tree = Group("all", tuple(group(part) for part in result.passages))
    players = [[node for node in part.walk() if not node.parts] for part in result.passages]
    encoded = reader.encode("where?", PASSAGES)
    game = PartsGame(reader, encoded, players, lambda e, rows: np.array(reader.generate(e, rows)) == result.answer)
    truth = exact_owen(lambda rows: game(rows).astype(float), tree)
    nodes = [node for part in result.passages for node in part.walk()]
    for node, value in zip(nodes, truth.values[0, 1:], strict=True):
        assert abs(node.value - value) <= 4 * node.error + 1e-9
    assert sum(part.value for part in (a, b, c)) == pytest.approx(1.0)


def group(part: Part) -> Group:
    return Group(part.kind, tuple(group(child) for child in part.parts))


def test_words_that_carry_the_answer_have_the_value(reader):
    result = hierarchy(reader, [Passage("b", "it is surely Paris, they say.")])
    (sentence,) = result.passages[0].parts
    values = {word.start: word.value for word in sentence.parts}
    assert values.pop(13) == pytest.approx(1.0)
    assert not any(values.values())


def test_rules_of_opening(reader):
    passages = [
        Passage("a", "it is Paris. surely Paris."),
        Passage("b", "Paris it is."),
        Passage("c", "nothing. here."),
    ]

    def opened(**settings):
        return [
            part.passage for part in hierarchy(reader, passages, level="sentence", **settings).passages if part.parts
        ]

    assert opened(open="top-n", passages=3) == ["a", "b", "c"]
    assert opened(open="value", above=0.1) == opened(open="certain") == ["a", "b"]
    assert opened(open="value", above=0.9) == []
    assert opened(open="top-n", passages=1) == ["a"]


def test_log_probabilities_are_attributed_too(t5):
    reader = FiDReader(t5, max_block_tokens=64, max_answer_tokens=4)
    passages = random_passages(3, seed=3)
    result = hierarchy(reader, passages, utility="likelihood", permutations=16, sentences=1, passages=1)
    attribution = asking(reader, passages, AttributionSettings(utility="likelihood"), HierarchySettings()).attribute()
    total = attribution.full - attribution.empty
    assert sum(part.value for part in result.passages) == pytest.approx(total[0], abs=1e-4)
    assert any(word.value for part in result.passages for word in part.walk() if word.kind == "word")


@pytest.mark.parametrize("masking", ["attention", "mask", "delete"])
def test_the_embedded_reader_finds_the_words(masking):
    passages = [
        Passage("oslo", "Oslo is the capital of Norway. It lies on a fjord.", "Oslo"),
        Passage("cats", "Cats sleep for most of the day."),
    ]
    chosen = {"masking": masking, "level": "word", "permutations": 16, "shared": 4}
    settings = load_settings(None, [f"hierarchy.{name}={value}" for name, value in chosen.items()])
    answer = Pipeline(None, load_reader(settings.reader), settings).explain("What is the capital of Norway?", passages)
    assert answer.hierarchy.masking == masking
    assert answer.full_text == "Oslo"
    oslo = answer.hierarchy.of("oslo")
    assert oslo.value == pytest.approx(1.0)
    best = max(oslo.parts, key=lambda part: part.value)
    assert best.kind == "title" or best.start == 0
    assert answer.hierarchy.of("cats").parts == ()


def test_a_hierarchy_comes_back_from_json(reader):
    result = hierarchy(reader)
    content = json.loads(json.dumps(result.to_dict()))
    assert Hierarchy.from_dict(content) == result
    for damage in ({"version": 3}, {"format": "x"}, {"passages": [{}]}, {"colour": 1}):
        with pytest.raises(ValueError, match="hierarchy"):
            Hierarchy.from_dict(content | damage)


def test_what_cannot_be_done_is_said(reader):
    with pytest.raises(SettingsError, match="reader 'scripted' cannot hide parts"):
        asking(ScriptedReader(), PASSAGES, AttributionSettings(), HierarchySettings(level="word"))
    with pytest.raises(SettingsError, match="semivalue=shapley, not banzhaf"):
        asking(reader, PASSAGES, AttributionSettings(semivalue="banzhaf"), HierarchySettings(level="word"))
    with pytest.raises(SettingsError, match="multiple of 2 x shared = 8"):
        load_settings(None, ["hierarchy.permutations=100"])


def test_progress_and_no_passages(reader):
    assert hierarchy(reader, []).passages == ()
    calls = []
    settings = HierarchySettings(level="word", permutations=32, open="top-n")
    session = asking(reader, PASSAGES, AttributionSettings(), settings)
    explain_parts(session, session.attribute(), lambda *call: calls.append(call))
    assert {stage for stage, _, _ in calls} == {"sentences", "words"}
    assert calls[-1][1] == calls[-1][2]


def test_a_title_is_hidden_as_a_whole(reader):
    hierarchy(reader, PASSAGES[:1], level="sentence")
    variants = [variant for batch in reader.batches for variant in batch]
    assert Variant(0, (), True) in variants
    assert Variant(0, tuple((part.start, part.end) for part in sentences(PASSAGES[0])[1:]), False) in variants
