import pytest
from making import applied, dialogue, made, reason


def test_the_other_one_says_it() -> None:
    assert made("wrong-speaker", "What do you do?", "I paint houses with my father.") == {
        "You paint houses with your father."
    }


def test_own_statements_follow_the_positives() -> None:
    asked = dialogue(
        "I met your sister. | I work as a plumber. | Nice. What is it like?", "I paint.", "My job is dull."
    )
    _, [texts] = applied("wrong-speaker", asked)
    assert set(texts[:2]) == {"You paint.", "Your job is dull."}
    assert texts[2:] == ("You work as a plumber.",), "the first and the last turn are the other one's"


@pytest.mark.parametrize(
    "positive", ["Can I help you?", "How are you?", "Could you call me?", "How much is your rent?"]
)
def test_what_either_may_say_is_left_alone(positive: str) -> None:
    assert reason("wrong-speaker", "Hello.", positive) == "no first or second person in a positive or an own turn"


def test_questions_among_own_turns_are_left_alone() -> None:
    assert made("wrong-speaker", "Do you like my hat? | It is large.", "It was cheap.") == set()
