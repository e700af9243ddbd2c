from collections import Counter

import pytest

from pneg import Dialogue
from pneg.errors import DataError
from pneg.negatives.prompted.demonstrations import BLOCK, Demonstrations

E = [Dialogue(str(n), (f"context {n}",), (), {"human": tuple(f"{n}-{m}" for m in range(5))}) for n in range(10)]
TARGET = Dialogue("target", ("another context",), ())


def test_they_are_drawn_uniformly_and_differ_within_a_prompt() -> None:
    demonstrations = Demonstrations(E, count=5, shots=2, sets=0, seed=0)
    drawn: Counter[str] = Counter()
    for position in range(2000):
        chosen = demonstrations.of(TARGET, position)
        assert len({example.id for example in chosen}) == 2
        drawn.update(example.id for example in chosen)
    # 400 each is expected, with a standard deviation of sqrt(2000 * .2 * .8) = 17.9
    assert all(abs(n - 400) < 5 * 17.9 for n in drawn.values()), drawn


def test_the_target_is_never_its_own_demonstration() -> None:
    demonstrations = Demonstrations(E, count=5, shots=2, sets=0, seed=0)
    for position in range(200):
        chosen = demonstrations.of(E[3], position)
        assert len(chosen) == 2
        assert all(example.id != "3" for example in chosen)


def test_the_same_seed_draws_the_same_whatever_came_before() -> None:
    one, other = (Demonstrations(E, count=5, shots=2, sets=0, seed=7) for _ in range(2))
    for position in range(5):
        one.of(TARGET, position)
    assert one.of(TARGET, 9) == other.of(TARGET, 9)
    differing = Demonstrations(E, count=5, shots=2, sets=0, seed=8)
    assert [one.of(TARGET, n) for n in range(9)] != [differing.of(TARGET, n) for n in range(9)]


def test_sets_are_shared_by_runs_of_contexts() -> None:
    demonstrations = Demonstrations(E, count=5, shots=2, sets=3, seed=0)
    drawn = [tuple(e.id for e in demonstrations.of(TARGET, n * BLOCK + n)) for n in range(6)]
    assert drawn[:3] == drawn[3:]
    assert len(set(drawn)) == 3
    assert demonstrations.of(TARGET, 0) == demonstrations.of(TARGET, BLOCK - 1)


def test_examples_with_too_few_negatives_are_left_out_and_too_small_a_set_is_refused() -> None:
    poor = Dialogue("poor", ("c",), (), {"human": ("one",)})
    assert poor not in Demonstrations([*E, poor], count=5, shots=2, sets=0, seed=0).examples
    with pytest.raises(DataError, match=r"2 dialogues with 5 human negatives.*at least 3"):
        Demonstrations([*E[:2], poor], count=5, shots=2, sets=0, seed=0)


def test_no_shots_need_no_examples() -> None:
    assert Demonstrations([], count=5, shots=0, sets=0, seed=0).of(TARGET, 0) == ()


def test_a_smaller_fraction_lies_within_a_larger_one() -> None:
    taken = [
        {example.id for example in Demonstrations(E, 5, 2, 0, seed=4, fraction=fraction).examples}
        for fraction in (0.3, 0.41, 0.9, 1.0)
    ]
    assert [len(ids) for ids in taken] == [3, 5, 9, 10]
    assert taken[0] < taken[1] < taken[2] < taken[3]
    other = {example.id for example in Demonstrations(E, 5, 2, 0, seed=5, fraction=0.41).examples}
    assert other != taken[1]
    with pytest.raises(DataError, match=r"the example set has 1 dialogues.*or a greater --example-fraction"):
        Demonstrations(E, 5, 2, 0, seed=4, fraction=0.1)
