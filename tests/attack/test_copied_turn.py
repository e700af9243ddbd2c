from making import made, reason


def test_each_turn_that_says_something_is_copied() -> None:
    context = "Did you feed the parrot this morning? | Yes, of course. | Then why is the cage empty?"
    assert made("copied-turn", context, "Oh no, it flew away!") == {
        "Did you feed the parrot this morning?",
        "Then why is the cage empty?",
    }


def test_turns_before_those_that_a_selector_reads_are_not_copied() -> None:
    context = " | ".join(f"The {word} stands in the garden." for word in "first second third fourth fifth".split())
    assert made("copied-turn", context, "Let's go.") == {
        f"The {word} stands in the garden." for word in "second third fourth fifth".split()
    }


def test_a_turn_that_is_a_positive_is_not_copied() -> None:
    assert made("copied-turn", "The parrot flew away. | Where is the cage?", "the PARROT flew away!") == set()


def test_what_was_asked_for_again_may_be_said_again() -> None:
    asked = "The parrot flew away. | Pardon?"
    assert reason("copied-turn", asked, "I said it flew away.") == "the last turn asks to say something again"


def test_a_context_of_turns_that_fit_anywhere_gives_none() -> None:
    assert reason("copied-turn", "Hello! | Hi, how are you?", "Fine.") == "no turn that says enough to be wrong"
