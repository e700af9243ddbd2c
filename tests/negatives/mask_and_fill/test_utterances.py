"""Which utterances are corrupted, in what order."""

from pneg import Dialogue
from pneg.negatives.mask_and_fill.utterances import long_enough, utterances

DIALOGUE = Dialogue(
    "a",
    ("Oldest turn spoken here.", "Second turn spoken.", "Third turn spoken.", "Last turn spoken."),
    ("Yes.", "Walk the dog."),
)


def test_positives_then_every_second_turn_then_what_was_retrieved_and_poor_ones_last() -> None:
    assert utterances(DIALOGUE, ["Retrieved long response.", "It is what it is, as it were.", "walk the dog"]) == [
        "Walk the dog.",
        "Last turn spoken.",
        "Second turn spoken.",
        "Retrieved long response.",
        "Yes.",
        "It is what it is, as it were.",
    ]


def test_there_are_twenty_at_most() -> None:
    found = utterances(DIALOGUE, [f"long response {n}" for n in range(30)])
    assert len(found) == 20 and "Yes." not in found


def test_what_is_retrieved_has_more_than_seven_words() -> None:
    assert long_enough("We rowed our boats over the lake today.")
    assert not long_enough("Nobody told me about the boat today.")
