"""Which utterances are corrupted, in what order."""

from pneg import Dialogue
from pneg.negatives.mask_and_fill.utterances import Retriever, utterances

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


def test_the_response_about_the_same_comes_first_and_short_ones_are_not_there() -> None:
    retriever = Retriever(
        [
            "My sister cooks noodles every day of the week.",
            "We rowed our boats over the lake until it was dark.",
            "A boat on a lake.",
            "Nobody told me that the train would be late.",
        ]
    )
    [first, second] = retriever.retrieve([("Shall we go boating?", "On the lakes?"), ("zebra",)])
    assert first == ["We rowed our boats over the lake until it was dark."]
    assert second == []


def test_a_corpus_of_short_responses_has_nothing_to_retrieve() -> None:
    assert Retriever(["Yes.", "No."]).retrieve([("Yes?",)]) == [[]]
