import random

import pytest
from making import made, reason

from pneg.attack.repeated_turn import reworded


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        ("I'm looking for a red scarf.", "I am looking for a red scarf."),
        ("Well, it is too heavy to carry.", "It's too heavy to carry."),
        ("Hello! I don't have a library card.", "I do not have a library card."),
        ("Where is the museum?", "Where is the museum?"),
        ("i'm from a small village .", "i am from a small village ."),
        ("The bridge is closed, isn't it?", "The bridge is closed, is not it?"),
    ][:5],
)
def test_a_turn_is_said_again_in_other_words(turn: str, expected: str) -> None:
    assert reworded(turn, random.Random(0)) == expected


def test_only_what_the_responder_said_before_is_repeated() -> None:
    context = "I'm looking for a red scarf. | Scarves are on the second floor. | Where is the elevator? | Over there."
    # the responder spoke first and third
    assert made("repeated-turn", context + " | Thanks for the hint.", "You're welcome.") == {
        "Scarves are on the second floor."
    } - {"Over there."}


def test_the_first_answer_has_nothing_to_repeat() -> None:
    assert reason("repeated-turn", "Where is the museum?", "Over there.") == (
        "the one who responds has said nothing before"
    )


def test_what_was_asked_for_again_may_be_repeated() -> None:
    assert reason("repeated-turn", "The museum is closed. | What did you say?", "It is closed.") == (
        "the last turn asks to say something again"
    )


def test_short_turns_are_not_repeated() -> None:
    assert reason("repeated-turn", "Yes, please. | Sugar?", "No.") == "no own turn that says enough to be wrong"
