"""Keyphrases, and content words where there are none."""

import pytest

from pneg.negatives.key_sem.keyphrases import EXTRACTORS, keywords, rake

TEXT = "I had breakfast with my sister at the new Italian restaurant downtown."


def test_rake_ranks_the_longest_stretch_between_stop_words_first() -> None:
    assert rake()(TEXT, 10) == ["new italian restaurant downtown", "sister", "breakfast"]
    assert rake()(TEXT, 2) == ["new italian restaurant downtown", "sister"]


def test_punctuation_and_turns_end_a_phrase_and_an_apostrophe_does_not() -> None:
    assert set(rake()("Rain, hail... snow!\nO\u2019Neill\u2019s boat", 10)) == {
        "rain",
        "hail",
        "snow",
        "o'neill's boat",
    }


def test_a_phrase_that_is_said_twice_is_one() -> None:
    assert rake()("The lake, and the old boat. To the lake!", 10) == ["old boat", "lake"]


def test_yake_finds_the_restaurant_too() -> None:
    assert EXTRACTORS["yake"]()(TEXT, 3)[0] == "italian restaurant downtown"


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_text_of_stop_words_has_none(name: str) -> None:
    assert keywords("Is it you?", 5, EXTRACTORS[name]()) == []


def test_without_keyphrases_content_words_are_taken() -> None:
    assert keywords("The old lake, the old boat.", 2, lambda text, most: []) == ["old", "lake"]
