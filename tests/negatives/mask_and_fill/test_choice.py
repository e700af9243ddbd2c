"""Which filled responses are taken: new words, little overlap, the greedy choice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneg.negatives.mask_and_fill.choice import LIMITS, diverse, new_content_words, overlap


def test_new_content_words_are_counted_against_the_text_that_shares_most() -> None:
    others = ["The boat is on the lake.", "An old boat."]
    assert new_content_words("The old boat sank in the lake", others) == 2, "against the first: old, sank"
    assert new_content_words("The old boat sank in the lake", others[1:]) == 2, "sank, lake"
    assert new_content_words("It is you", others) == 0
    assert new_content_words("A green hill", []) == 2


def test_overlap_is_over_twice_the_chosen_ones_words_and_one() -> None:
    assert overlap(frozenset("abc"), frozenset("bcde")) == 2 / 9
    assert overlap(frozenset("bcde"), frozenset("abc")) == 2 / 7


def test_the_choice_is_greedy_and_loosened_round_by_round() -> None:
    responses = ["a b c d", "a b x y", "e f g h", "a i j k", "a b c d"]
    # with "a b c d": "a b x y" 2/9, "a i j k" 1/9, itself 4/9
    assert diverse(responses, 5, LIMITS[:1]) == ["a b c d", "e f g h"]
    assert diverse(responses, 5, LIMITS[:2]) == ["a b c d", "e f g h", "a i j k"]
    assert diverse(responses, 5, LIMITS[:3]) == ["a b c d", "e f g h", "a i j k", "a b x y"]
    assert diverse(responses, 5) == ["a b c d", "e f g h", "a i j k", "a b x y", "a b c d"]
    assert diverse(responses, 3) == ["a b c d", "e f g h", "a i j k"]


def test_an_overlap_of_the_limit_is_too_much() -> None:
    assert diverse(["a b", "a c"], 2, (0.1, 0.2)) == ["a b"], "1 of 2 x 2 + 1"
    assert diverse(["a b", "a c"], 2, (0.1, 0.2, 0.3)) == ["a b", "a c"]


@given(
    responses=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6).map(" ".join), max_size=12),
    cut=st.integers(0, 12),
    most=st.integers(1, 6),
)
def test_what_the_first_limit_lets_through_stays_whatever_comes_behind(
    responses: list[str], cut: int, most: int
) -> None:
    early = diverse(responses[:cut], most, LIMITS[:1])
    assert diverse(responses, most, LIMITS[:1])[: len(early)] == early
    if len(early) == most:
        assert diverse(responses, most) == early


@pytest.mark.parametrize("most", [0, 1])
def test_no_more_than_asked_for_are_chosen(most: int) -> None:
    assert len(diverse(["a b", "c d"], most)) == most
