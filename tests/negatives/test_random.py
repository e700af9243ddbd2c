"""Random negatives: uniform, and honest about what a pool cannot give."""

from collections import Counter

import pytest

from pneg import Dialogue
from pneg.negatives import Random

POOL = [Dialogue(str(n), ("x",), (f"response {n}",)) for n in range(10)]
STRANGER = Dialogue("s", ("x",), ("something else",))


@pytest.mark.parametrize(("count", "place"), [(1, 0), (3, 0), (3, 2)])
def test_each_response_of_the_pool_is_drawn_equally_often(count: int, place: int) -> None:
    """The bound is chi-squared's for 9 degrees of freedom at a level of one in a thousand."""
    drawn = Counter(responses[place] for responses in Random(POOL).propose([STRANGER] * 5000, count))
    assert len(drawn) == 10
    assert sum((seen - 500) ** 2 / 500 for seen in drawn.values()) < 27.88


def test_the_pool_is_all_positives_of_all_its_dialogues() -> None:
    pool = [Dialogue("a", ("x",), ("one", "two")), Dialogue("b", ("x",), ()), Dialogue("c", ("x",), ("six",))]
    [responses] = Random(pool).propose([STRANGER], 3)
    assert set(responses) == {"one", "two", "six"}


def test_a_dialogues_own_positives_are_never_drawn_for_it() -> None:
    for dialogue, responses in zip(POOL, Random(POOL).propose(POOL, 9), strict=True):
        assert set(responses) == {f"response {n}" for n in range(10)} - set(dialogue.positives)


def test_what_the_pool_cannot_give_is_counted_and_not_padded() -> None:
    pool = [Dialogue("a", ("x",), ("one", "One!", "two"))]
    source = Random(pool)
    assert [sorted(text.casefold().rstrip("!") for text in found) for found in source.propose(POOL, 5)] == (
        [["one", "two"]] * 10
    )
    assert source.counts["too few"] == 30
    assert source.counts["duplicate"] > 0


def test_an_empty_pool_gives_nothing_and_says_so() -> None:
    source = Random([])
    assert list(source.propose([STRANGER], 5)) == [()]
    assert source.counts == {"too few": 5}


def test_draws_behind_the_first_sixteen_are_as_uniform() -> None:
    """The bound is chi-squared's for 39 degrees of freedom at a level of one in a thousand."""
    pool = [Dialogue(str(n), ("x",), (f"response {n}",)) for n in range(40)]
    drawn = Counter(responses[16] for responses in Random(pool).propose([STRANGER] * 4000, 17))
    assert sum((drawn[f"response {n}"] - 100) ** 2 / 100 for n in range(40)) < 72.05


@pytest.mark.parametrize("seed", [0, 1])
def test_a_response_that_draws_miss_is_found_before_anything_is_missing(seed: int) -> None:
    pool = [Dialogue("a", ("x",), ("same",) * 100_000), Dialogue("b", ("x",), ("rare", "scarce"))]
    source = Random(pool, seed)
    [responses] = source.propose([STRANGER], 3)
    assert set(responses) == {"same", "rare", "scarce"}
    assert {frozenset(found) for found in source.propose([STRANGER] * 20, 2)} == {
        frozenset(("same", "rare")),
        frozenset(("same", "scarce")),
    }
    assert source.counts["too few"] == 0


def test_seed_and_stream_tell_every_draw_and_a_seed_may_be_negative() -> None:
    """Of 1,000 responses no two dialogues' five are the same by chance."""
    pool = [Dialogue(str(n), ("x",), (f"response {n}",)) for n in range(1000)]
    keys = [(0, "random"), (1, "random"), (-1, "random"), (0, "context")]
    drawn = {next(Random(pool, seed, stream).propose([STRANGER], 5)) for seed, stream in keys}
    assert len(drawn) == len(keys)
