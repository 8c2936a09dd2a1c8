import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from attribution import Attribution, Contribution, VotesGame, exact, explain
from attribution.attribution import descending


def make(**changes):
    parts = {
        "players": ("a", "b", "c", "d"),
        "outputs": ("Paris", "Zürich"),
        "values": [[0.25, 0.5, 0.5, -0.25], [0.5, -0.5, 0.0, 0.0]],
        "errors": [[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.0, 0.0]],
        "pivots": [[0.25, 0.5, 0.5, 0.0], [0.75, 0.0, 0.0, 0.25]],
        "full": [1.0, 0.0],
        "empty": [0.0, 0.5],
        "output": 0,
        "evaluations": 16,
        "estimator": "permutation",
        "semivalue": "shapley",
        "utility": "votes",
        "samples": 24,
        "seed": 3,
        "budget": 100,
    }
    return Attribution(**{**parts, **changes})


def test_top_orders_by_value_then_by_player():
    assert make().top(2) == [Contribution("b", 0.5, 0.2), Contribution("c", 0.5, 0.3)]
    assert [c.player for c in make().top(99)] == ["b", "c", "a", "d"]
    assert [c.player for c in make().top(4, "Zürich")] == ["a", "c", "d", "b"]
    assert make().top(1, output=1) == make(output=1).top(1) == [("a", 0.5, 0.0)]
    assert make().top(0) == []
    with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
        make().top(-1)


def test_rounding_does_not_order_equal_players():
    values = [[0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2], [0.0] * 4]
    assert [c.player for c in make(values=values).top(4)] == ["a", "b", "c", "d"]
    small = [[1e-15, 2e-15, 3e-15, 4e-15], [0.0] * 4]
    assert [c.player for c in make(values=small).top(4)] == ["d", "c", "b", "a"]


def test_equal_players_of_a_large_game_keep_their_order():
    weights = np.array([1.0, 1.0, 3.0, 1.0, 3.0, 1.0, 1.0, 3.0, 1.0])
    result = exact(lambda c: np.sqrt(c @ weights) * 0.1, 9)
    assert descending(result.of(0)).tolist() == [2, 4, 7, 0, 1, 3, 5, 6, 8]


def test_of_takes_index_or_name():
    np.testing.assert_array_equal(make().of("Zürich"), make().of(1))
    for wrong in (2, -1, "zürich"):
        with pytest.raises(ValueError, match="there are 2: 'Paris', 'Zürich'"):
            make().of(wrong)


def test_efficiency_gap():
    np.testing.assert_allclose(make().efficiency_gap, [0.0, 0.5])


def test_nothing_can_be_changed():
    values = np.zeros((2, 4))
    result = make(values=values)
    values[0, 0] = 9.0
    assert result.values[0, 0] == 0.0
    for array in (result.values, result.errors, result.pivots, result.full, result.empty):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1.0
    with pytest.raises(FrozenInstanceError):
        result.output = 1


def test_equality_is_by_content():
    assert make() == make()
    assert make() != "something else"
    changes = {"values": np.zeros((2, 4)), "pivots": None, "output": 1, "seed": None, "budget": 99}
    for change in ({name: value} for name, value in changes.items()):
        assert make(**change) != make()
        assert make() != make(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.zeros((4, 2))}, r"values must be .* = \(2, 4\), got \(4, 2\)"),
        ({"full": [1.0]}, r"full must be .* = \(2,\), got \(1,\)"),
        ({"errors": np.full((2, 4), np.nan)}, "errors holds a number that is not finite"),
        ({"output": 2}, "no output 2"),
        ({"players": "abcd"}, "players must be a sequence of strings"),
        ({"until": "all is well"}, "until .* and reached go together"),
        ({"players": (1, 2, 3, 4)}, "players must be a sequence of strings"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


def test_repr_is_short_and_says_what_it_is():
    text = repr(make())
    assert "'Paris'" in text
    assert "b +0.500±0.200" in text
    assert "permutation" in text
    assert len(text) < 200


def awkward():
    return [
        make(),
        make(pivots=None, seed=None, budget=None, samples=None, p=0.25),
        make(until="the first is certain", reached=False),
        make(values=np.random.default_rng(0).normal(size=(2, 4)) / 3),
        exact(lambda c: np.ones((len(c), 2)), 0),
        explain(VotesGame(lambda c: ['"quoted"\n' if row[0] else "" for row in c]), 20, seed=np.int64(5)),
    ]


@pytest.mark.parametrize("case", range(6))
def test_round_trips_are_exact(tmp_path, case):
    result = awkward()[case]
    assert Attribution.from_dict(result.to_dict()) == result
    assert Attribution.from_json(result.to_json()) == result
    path = tmp_path / "result.json"
    result.save(path)
    result.save(str(path))  # over what is there
    loaded = Attribution.load(path)
    assert loaded == result
    np.testing.assert_array_equal(loaded.values, result.values)
    assert not loaded.values.flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert json.loads(path.read_text(encoding="utf-8"))["format"] == "ragshap-attribution"


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    make().save(path)

    def full_disk(self, *args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        make(output=1).save(path)
    monkeypatch.undo()
    assert Attribution.load(path) == make()
    assert len(list(tmp_path.iterdir())) == 1


def test_save_and_load_name_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere does not exist"):
        make().save(tmp_path / "nowhere" / "result.json")
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        Attribution.load(tmp_path / "absent.json")


def changed(**changes):
    return json.dumps({**make().to_dict(), **changes})


def without(name):
    content = make().to_dict()
    del content[name]
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not an attribution: expected a mapping with format 'ragshap-attribution'"),
        ("[1, 2]", "not an attribution"),
        (changed(format="parquet"), "not an attribution"),
        (changed(version=3), "version 3; this release reads versions 1 and 2"),
        (without("version"), "version None"),
        (without("errors"), r"damaged attribution: missing \['errors'\], unknown \[\]"),
        (changed(extra=1), r"missing \[\], unknown \['extra'\]"),
        (make().to_json()[:-20], "not valid JSON"),
        (make().to_json().replace("0.25", "NaN", 1), "NaN is not a finite number"),
        (make().to_json().replace("0.25", "1e999", 1), "not finite"),
        (changed(values=[[1.0, 2.0], [3.0]]), "damaged attribution"),
        (changed(values=[["x"] * 4] * 2), "damaged attribution"),
        (changed(values=None), "damaged attribution"),
        (changed(output=7), "damaged attribution: no output 7"),
        (changed(output=None), "damaged attribution"),
        (changed(players=5), "damaged attribution"),
        (changed(seed="x"), "damaged attribution"),
    ],
)
def test_load_refuses_what_is_foreign_newer_or_damaged(tmp_path, text, message):
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        Attribution.load(path)
    assert str(path) in str(error.value)


def test_version_1_had_no_stopping_rules():
    content = make().to_dict()
    del content["until"], content["reached"]
    assert Attribution.from_dict({**content, "version": 1}) == make()
    with pytest.raises(ValueError, match="missing"):
        Attribution.from_dict(content)


def test_load_refuses_a_binary_file(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"\x93NUMPY\xff\xfe")
    with pytest.raises(ValueError, match="cannot load"):
        Attribution.load(path)


def test_replace_checks_too():
    with pytest.raises(ValueError, match="no output 5"):
        replace(make(), output=5)


def test_numbers_of_numpy_are_saved_as_plain_ones():
    class Always:
        goal = "always"

        def excess(self, look):
            return np.float64(0.5)

    game = lambda c: c.sum(axis=1)  # noqa: E731
    banzhaf = explain(game, 16, semivalue="banzhaf", p=np.float32(0.25), budget=200)
    stopped = explain(game, 16, until=Always())
    for result in (banzhaf, stopped):
        assert Attribution.from_json(result.to_json()) == result
    assert (banzhaf.p, stopped.reached) == (0.25, True)
