"""What holds of every rule: no positive, no repeat, at most the count, the same again in any order and batch."""

from collections.abc import Sequence
from unittest.mock import patch

import pytest
from making import dialogue

from pneg import Dialogue, corpora
from pneg.attack.catalogue import RULES, make
from pneg.attack.rule import Material
from pneg.dialogue import normalised
from pneg.negatives import bm25
from pneg.negatives.base import TOO_FEW

NAMES = [name for name, listed in RULES.items() if not listed.model]
every_rule = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def starter() -> list[Dialogue]:
    return list(corpora.read("starter:test"))


def made(name: str, asked: Sequence[Dialogue], pool: Sequence[Dialogue], seed: int = 0) -> list[tuple[str, ...]]:
    return list(make(name, Material(pool, seed)).propose(iter(asked), 5))


@every_rule
def test_no_positive_no_repeat_and_every_dialogue_without_negatives_has_a_reason(
    name: str, starter: list[Dialogue]
) -> None:
    rule = make(name, Material(starter))
    assert rule.name == name
    found = list(rule.propose(starter, 5))
    assert len(found) == len(starter)
    for asked, texts in zip(starter, found, strict=True):
        keys = [normalised(text) for text in texts]
        assert len(set(keys)) == len(keys) <= 5
        assert not set(keys) & set(map(normalised, asked.positives))
        assert all(text.strip() for text in texts)
    assert sum(rule.left_out.values()) == found.count(())
    assert rule.counts[TOO_FEW] == sum(5 - len(texts) for texts in found)


@every_rule
def test_the_same_negatives_whatever_is_asked_with_them(name: str, starter: list[Dialogue]) -> None:
    together = made(name, starter, starter)
    backwards = made(name, starter[::-1], starter)
    assert backwards[::-1] == together
    with patch.object(bm25, "BLOCK", 7):
        assert made(name, starter, starter) == together
    assert made(name, starter[40:50], starter) == together[40:50]


@pytest.mark.parametrize("name", ["copied-turn", "wrong-speaker"])
def test_another_seed_gives_another_order(name: str, starter: list[Dialogue]) -> None:
    first, second = made(name, starter, starter), made(name, starter, starter, seed=1)
    assert first != second
    assert [set(texts) for texts in made("copied-turn", starter, starter)] == [
        set(texts) for texts in made("copied-turn", starter, starter, seed=1)
    ]


@every_rule
def test_a_dialogue_without_a_positive_is_left_out_and_counted(name: str) -> None:
    alone = dialogue("The parrot flew over the garden wall. | Did it come back?")
    other = dialogue("Where is the garden?", "The garden is behind the wall.", id="other")
    rule = make(name, Material([alone, other]))
    [none, _] = rule.propose([alone, other], 5)
    assert none == ()
    assert rule.left_out["no positive"] == 1


@every_rule
def test_single_turns_and_an_empty_pool_are_no_errors(name: str) -> None:
    single = dialogue("Hello.", "Hi.")
    rule = make(name, Material([]))
    assert list(rule.propose([single], 5)) == [()]
    assert sum(rule.left_out.values()) == 1


@every_rule
def test_negatives_that_are_there_already_make_no_difference(name: str, starter: list[Dialogue]) -> None:
    bare = [Dialogue(each.id, each.context, each.positives) for each in starter]
    assert made(name, bare, bare) == made(name, starter, starter)
