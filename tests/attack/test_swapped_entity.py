import re

import pytest
from making import made, reason

DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"


@pytest.mark.parametrize(
    ("context", "positive", "pattern"),
    [
        ("We meet on Friday.", "See you on Friday then.", rf"See you on ({DAYS}) then\."),
        ("This is Betty.", "Nice to meet you, Betty.", r"Nice to meet you, [A-Z][a-z]+\."),
        ("You need six hours.", "Six hours? So long?", r"[A-Z][a-z]+ hours\? So long\?"),
        ("It costs $150.", "$150 is too much.", r"\$\d{2,3} is too much\."),
        ("How about this red scarf?", "I love this red scarf.", r"I love this [a-z]+ scarf\."),
        ("i live in paris .", "how is life in paris ?", r"how is life in [a-z]+ \?"),
    ],
)
def test_what_the_context_settles_is_another_one(context: str, positive: str, pattern: str) -> None:
    texts = made("swapped-entity", context, positive)
    assert texts
    for text in texts:
        assert re.fullmatch(pattern, text)
        assert text != positive


def test_an_article_follows_what_stands_behind_it() -> None:
    texts = made("swapped-entity", "It is a French film.", "I have never seen a French film.")
    assert texts
    for text in texts:
        assert re.fullmatch(r"I have never seen (an (Italian|Indian)|a [B-HJ-Z][a-z]+) film\.", text)


def test_it_is_swapped_wherever_it_stands() -> None:
    [text] = made("swapped-entity", "We meet on Friday.", "Friday? I work on Friday.")
    [first, second] = re.findall(DAYS, text)
    assert first == second != "Friday"


def test_the_new_one_is_not_named_in_the_dialogue() -> None:
    context = "Betty, this is Lisa. I met Mary, Anna and Susan too. We meet on Friday, not on Monday, Betty."
    for text in made("swapped-entity", context, "Welcome, Betty."):
        assert not re.search("Betty|Lisa|Mary|Anna|Susan", text)


def test_what_the_responder_said_before_is_said_again_with_another_number() -> None:
    [text] = made("swapped-entity", "I have four brothers. | So many!", "Yes, it was loud.")
    assert re.fullmatch(r"I have [a-z]+ brothers\.", text)
    assert "four" not in text


@pytest.mark.parametrize(
    ("context", "positive"),
    [
        ("On Friday or on Monday?", "Friday is fine."),
        ("Can we meet on Friday?", "I have a class on Friday."),
        ("Two friends came.", "It cost two dollars."),
        ("I like red.", "A red car is nice."),
        ("It rained.", "See you on Friday."),
    ],
)
def test_what_the_context_does_not_settle_is_left_alone(context: str, positive: str) -> None:
    assert reason("swapped-entity", context, positive) == (
        "the context does not settle a name, number or day of a positive"
    )


def test_without_an_entity_the_reason_says_so() -> None:
    assert reason("swapped-entity", "How was the film?", "It was long.") == (
        "no name, number or day in a positive or an own turn"
    )
