from making import FILLER, applied, dialogue

from pneg.negatives.other_turns import WholeDialogues

WHOLE = dialogue(
    "Good morning, the bakery here. | Do you have rye bread? | Yes, fresh from the oven. | Two loaves, please. | "
    "Shall I slice them? | No, leave them whole.",
    "That makes six francs.",
    id="whole",
)
PART = dialogue("Good morning, the bakery here! | Do you have RYE bread ?", "We have, sir.", id="part")


def test_turns_said_later_are_found_but_for_the_one_in_the_place_of_the_response() -> None:
    rule, [texts] = applied("same-dialogue", PART, pool=[*FILLER, WHOLE], count=9)
    assert set(texts) == {
        "Two loaves, please.",
        "Shall I slice them?",
        "No, leave them whole.",
        "That makes six francs.",
    }
    assert not rule.left_out


def test_turns_before_those_that_a_selector_reads_are_taken_of_the_context_itself() -> None:
    _, [texts] = applied("same-dialogue", WHOLE)
    assert set(texts) == {"Good morning, the bakery here.", "Do you have rye bread?"}


def test_a_context_that_nothing_goes_on_behind_is_counted() -> None:
    rule, [texts] = applied("same-dialogue", PART, pool=[*FILLER, PART])
    assert texts == ()
    assert list(rule.left_out) == [
        "no dialogue of the pool goes on behind this context, which has no earlier turns either"
    ]


def test_another_dialogue_with_the_same_two_last_turns_is_another_dialogue() -> None:
    other = dialogue("What else? | Do you have rye bread? | No. | Then two rolls, please.", "Here.", id="other")
    found = WholeDialogues([other]).of(("Good morning, the bakery here.", "Do you have rye bread?"))
    assert (found.later, found.earlier, found.continued) == ((), (), False)
    inside = WholeDialogues([WHOLE]).of(("Do you have rye bread?", "Yes, fresh from the oven."))
    assert inside.later == ("Shall I slice them?", "No, leave them whole.", "That makes six francs.")
    assert inside.earlier == ("Good morning, the bakery here.",), "before a context that begins in the middle"


def test_of_several_positives_none_is_a_turn_of_the_dialogue() -> None:
    branching = dialogue("One potato. | Two potatoes. | Three potatoes.", "Four.", "Many potatoes more.")
    found = WholeDialogues([branching]).of(("One potato.",))
    assert found.later == ("Three potatoes.",)


def test_a_context_of_one_turn_agrees_only_with_a_beginning() -> None:
    pool = WholeDialogues([WHOLE])
    assert pool.of(("Do you have rye bread?",)).continued is False
    assert pool.of(("Good morning, the bakery here.",)).continued is True
