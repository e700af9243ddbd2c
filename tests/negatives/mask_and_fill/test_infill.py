"""What the infilling model reads and writes."""

import pytest

from pneg import Dialogue
from pneg.negatives.mask_and_fill import infill

RESPONSE = "Do you mind if I join?"
MASKED = ((7, 11), (15, 21))


def test_the_context_comes_first_then_the_blanks_then_what_belongs_into_them() -> None:
    context, blanks = infill.prompt(("1", "2", "3", "4", "5"), RESPONSE, MASKED)
    assert (context.text, context.shortened) == ("A: 2\nB: 3\nA: 4\nB: 5\nA:", True)
    assert (blanks.text, blanks.shortened) == (" Do you <|blank|> if <|blank|>?<|infill|>", False)
    assert context.learned and blanks.learned
    assert infill.answer(RESPONSE, MASKED) == " mind<|filled|> I join<|filled|>"


def test_what_was_masked_fills_the_blanks_again() -> None:
    written = infill.answer(RESPONSE, MASKED).removesuffix(infill.END)
    assert infill.fill(RESPONSE, MASKED, written) == RESPONSE


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        (" care<|filled|> we  both\nleave", "Do you care if we both leave?"),
        (" you care<|filled|>I go", "Do you care if I go?"),
        (" care , even then<|filled|> I say .", "Do you care, even then if I say."),
        (" care", None),
        (" care<|filled|>", None),
        (" a<|filled|> b<|filled|> c", None),
    ],
    ids=["two fills", "a doubled word", "spaces before marks", "too few", "an empty one", "too many"],
)
def test_fills_are_parsed(written: str, filled: str | None) -> None:
    assert infill.fill(RESPONSE, MASKED, written) == filled


@pytest.mark.parametrize(
    ("before", "behind", "together"),
    [
        ("Okay", "I am glad", "Okay I am glad"),
        ("as a human ", "being", "as a human being"),
        ("I know.", "But", "I know. But"),
        ("not half-past eleven", " . ", "not half-past eleven. "),
        ("at all ", "?", "at all?"),
        ("my class now.", ".", "my class now. "),
        ("Oh", ", good . If", ", good . If"),
        ("see this? ", ", but why", "see this? but why"),
        ("it is 6:", "45", "it is 6:45"),
        ("", ". Well", ". Well"),
        ("the boy", "'s", "the boy's"),
    ],
)
def test_pieces_are_put_together_as_words_and_marks_are_written(before: str, behind: str, together: str) -> None:
    assert infill.beside(before, behind) == (before if together.startswith(",") else "") + together


def test_a_fill_of_words_in_the_place_of_a_mark_stays_apart_from_its_neighbours() -> None:
    response = "Okay! See you."
    masked = ((4, 5), (6, 9))
    assert infill.fill(response, masked, "never ever<|filled|> .") == "Okay never ever. you."


def test_a_response_does_not_begin_with_a_mark_and_a_fill_has_one_at_a_time() -> None:
    assert infill.fill("Well, go on.", ((0, 4), (6, 8)), "!<|filled|> please!: sit") == "please! sit on."
    assert infill.fill("Well, go.", ((0, 4), (6, 8)), "!<|filled|> ?") is None


def test_doubled_words_are_said_once() -> None:
    assert infill.without_doubled("The the cat sat sat sat on no notes, I I'm so so.") == (
        "The cat sat on no notes, I I'm so."
    )


def test_every_positive_is_masked_in_its_own_context() -> None:
    dialogues = [Dialogue("a", ("Hi.",), ("I like the old lake.", "Yes")), Dialogue("b", ("Oh?",), ("I see, Tom.",))]
    found = list(infill.examples(dialogues, versions=4, seed=0))
    assert len(found) == 4 + 1 + 4
    assert [example.prompt[0].text for example in found] == ["A: Hi.\nB:"] * 5 + ["A: Oh?\nB:"] * 4
    assert found == list(infill.examples(dialogues, versions=4, seed=0))
    assert found != list(infill.examples(dialogues, versions=4, seed=1))
    assert found[4].prompt[1].text == " <|blank|><|infill|>" and found[4].answer == " Yes<|filled|>"
    for example in found:
        assert example.prompt[1].text.count(infill.BLANK) == example.answer.count(infill.END)
