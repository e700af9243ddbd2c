import pytest
from making import made, reason


@pytest.mark.parametrize(
    ("context", "positive", "negated"),
    [
        # a yes or no, and a clause that explains it
        ("Could you water the plants?", "Yes, I will do it tonight.", "Yes, I won't do it tonight."),
        ("Do you take sugar?", "No, thanks. I don't like it.", "No, thanks. I like it."),
        ("Is it far?", "Yes! It is an hour from here. Bring water.", "Yes! It isn't an hour from here. Bring water."),
        ("Could you wait?", "Okay, I will wait here.", "Okay, I won't wait here."),
        # a clause and its reason
        ("Come to the party.", "I can't come because I have to work.", "I can come because I have to work."),
        ("Why so late?", "I was tired, so I went to bed.", "I wasn't tired, so I went to bed."),
        # courtesy
        ("My cat died.", "I am so sorry to hear that.", "I am not so sorry to hear that."),
        ("I have a cold.", "I hope you feel better soon.", "I hope you don't feel better soon."),
        ("Thanks!", "You are welcome, sir.", "You are not welcome, sir."),
        # what the responder said before
        (
            "I work in the bakery near the station. | Really? What do you do?",
            "I work in the bakery.",
            "I don't work in the bakery.",
        ),
    ],
)
def test_a_clause_that_would_be_wrong_is_negated(context: str, positive: str, negated: str) -> None:
    assert negated in made("negated", context, positive)


def test_what_stands_in_the_persona_is_negated() -> None:
    made_of = made("negated", "What do you do?", "I play the violin in an orchestra.", persona=["I play the violin."])
    assert made_of == set(), "half of the clause is not in the persona"
    made_of = made(
        "negated", "What do you do?", "I play the violin every night.", persona=["I play the violin at night."]
    )
    assert made_of == {"I don't play the violin every night."}


@pytest.mark.parametrize(
    ("context", "positive"),
    [
        ("How was the film?", "I liked the actors."),
        ("What do you think of summer?", "I like it because it is warm."),
        ("Tea or coffee?", "We have some tea."),
        ("Don't you like it?", "No, I like it."),
        ("Is it far?", "Of course, it is far away."),
        ("Shall we go?", "Are you ready?"),
        ("She was screaming.", "Ok, I don't know how to deal with her."),
    ],
)
def test_a_clause_whose_opposite_may_fit_is_left_alone(context: str, positive: str) -> None:
    assert reason("negated", context, positive) == "no clause of a positive that would be wrong if it were negated"


def test_a_negation_that_is_another_positive_is_no_negative() -> None:
    assert made("negated", "Is it far?", "Yes, it is far.", "Yes, it isn't far.") == set()
