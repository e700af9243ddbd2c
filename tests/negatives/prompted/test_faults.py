from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneg import Dialogue, corpora
from pneg.negatives.prompted.faults import _WORD, MOST_WORDS, Faults, _words, repeats
from pneg.negatives.prompted.parse import Parsed

DIALOGUE = Dialogue(
    "1", ("Are you hungry?", "A little, what is there?"), ("There is soup.", "Nothing, let us go out.")
)
DATA = Path(__file__).parents[4] / "shared" / "data" / "dailydialog++"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("I was hungry when I learned to swim.", None),
        ("No, no, no, the soup is not for the dog!", None),
        ("Soup soup soup soup is what I want.", "repetition"),
        ("I like it I like it I like it very much.", "repetition"),
        ("I want to go to the store and I want to go to the store and buy soup.", "repetition"),
        ("There is a ____ on the table.", "underscores"),
        ("My name is _ _ and I am hungry.", "underscores"),
        ("...", "empty"),
        ("", "empty"),
        ("A: I am hungry too.", "numbering"),
        ("What is it? B: It is a robot.", "numbering"),
        ("It is 7 a.m., is the AB: line open?", None),
        ("word " * 3 + " ".join(f"w{n}" for n in range(MOST_WORDS)), "too long"),
        ("there is SOUP", "copy of a positive"),
        ("A little,  what is there?", "copy of a turn"),
        ("Hunger is a bad cook.", "duplicate"),
        ("The soup \ud83d is cold.", "no text"),
        ("The soup \N{POT OF FOOD} is cold.", None),
    ],
)
def test_a_response_is_refused_for_this_reason(text: str, fault: str | None) -> None:
    assert Faults(DIALOGUE, shown=["Hunger is a bad cook"]).of(Parsed(text)) == fault


def test_the_second_of_two_equal_responses_is_a_duplicate() -> None:
    faults = Faults(DIALOGUE)
    assert faults.of(Parsed("The soup was cold.")) is None
    assert faults.of(Parsed("the soup was cold!")) == "duplicate"


def test_a_cut_response_and_one_out_of_order_are_refused() -> None:
    assert Faults(DIALOGUE).of(Parsed("The soup wa", cut=True)) == "too long"
    assert Faults(DIALOGUE).of(Parsed("The soup was cold.", in_order=False)) == "numbering"


def test_a_refused_response_may_come_again_in_good_form() -> None:
    faults = Faults(DIALOGUE)
    assert faults.of(Parsed("The soup was cold.", in_order=False)) == "numbering"
    assert faults.of(Parsed("The soup was cold.")) is None


@given(st.text(st.characters(codec="ascii")))
def test_the_quick_way_to_the_words_of_a_text_finds_those_of_the_pattern(text: str) -> None:
    assert _words(text) == _WORD.findall(text.lower())


def test_a_repetition_needs_words_in_a_row() -> None:
    assert not repeats("the more the merrier the more the better".split())
    assert repeats("a b c d a b c d".split())


@pytest.mark.skipif(not DATA.is_dir(), reason="DailyDialog++ is not at hand")
def test_people_hardly_ever_make_these_faults() -> None:
    refused = judged = 0
    for dialogue in corpora.read(DATA / "test.json"):
        faults = Faults(dialogue)
        for text in dialogue.negatives["human"]:
            judged += 1
            refused += faults.of(Parsed(text)) is not None
    assert judged == 5710
    assert refused / judged < 0.005
