"""Context negatives: one turn of the context, random responses behind it."""

from collections import Counter

from pneg import Dialogue
from pneg.negatives import Context, Random

POOL = [Dialogue(str(n), ("x",), (f"response {n}",)) for n in range(50)]
GIVEN = Dialogue("a", ("first", "second", "third"), ("fits",))


def test_a_turn_comes_first_and_four_random_responses_behind_it() -> None:
    pool = {response for dialogue in POOL for response in dialogue.positives}
    for turn, *others in Context(POOL).propose([GIVEN] * 20, 5):
        assert turn in GIVEN.context
        assert len(set(others)) == 4
        assert set(others) <= pool


def test_every_turn_is_taken_equally_often() -> None:
    """The bound is chi-squared's for 2 degrees of freedom at a level of one in a thousand."""
    turns = Counter(responses[0] for responses in Context(POOL).propose([GIVEN] * 3000, 1))
    assert set(turns) == set(GIVEN.context)
    assert sum((seen - 1000) ** 2 / 1000 for seen in turns.values()) < 13.82


def test_a_turn_that_is_a_positive_too_is_never_taken() -> None:
    echo = Dialogue("a", ("Fits!", "other"), ("fits",))
    assert {responses[0] for responses in Context(POOL).propose([echo] * 20, 1)} == {"other"}


def test_where_no_turn_will_do_all_are_random() -> None:
    echo = Dialogue("a", ("Fits!",), ("fits",))
    source = Context(POOL)
    for responses in source.propose([echo] * 20, 5):
        assert len(responses) == 5
        assert all(text.startswith("response") for text in responses)
    assert source.counts["copy of a positive"] == 20


def test_in_the_place_of_a_turn_that_is_a_positive_every_other_is_taken_equally_often() -> None:
    """The bound is chi-squared's for 1 degree of freedom at a level of one in a thousand."""
    echo = Dialogue("a", ("Fits!", "second", "third"), ("fits",))
    turns = Counter(responses[0] for responses in Context(POOL).propose([echo] * 3000, 1))
    assert set(turns) == {"second", "third"}
    assert sum((seen - 1500) ** 2 / 1500 for seen in turns.values()) < 10.83


def test_the_turn_is_not_drawn_again_from_the_pool() -> None:
    pool = [Dialogue("p", ("x",), ("FIRST!", "other"))]
    assert set(Context(pool).propose([Dialogue("a", ("first",), ("fits",))] * 20, 2)) == {("first", "other")}


def test_what_the_pool_cannot_give_is_counted() -> None:
    source = Context([])
    [[turn]] = source.propose([GIVEN], 5)
    assert turn in GIVEN.context
    assert source.counts == {"too few": 4}


def test_its_random_responses_are_not_those_that_random_draws() -> None:
    others = [responses[1:] for responses in Context(POOL).propose([GIVEN] * 20, 5)]
    assert others != [responses[:4] for responses in Random(POOL).propose([GIVEN] * 20, 5)]
