import pytest

from pneg.attack.english.persons import swapped_persons


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am planning a trip with my friends.", "You are planning a trip with your friends."),
        ("Could you please explain your plan?", "Could I please explain my plan?"),
        ("i do not . do i need one ?", "you do not . do you need one ?"),
        ("Are you sure? I was there with you.", "Am I sure? You were there with me."),
        ("Why don't you join me?", "Why don't I join you?"),
        ("you are nice . i wish i had your job", "i am nice . i wish you had my job"),
        ("congratulations , you should be proud", "congratulations , i should be proud"),
        ("I\u2019ll give you mine.", "You\u2019ll give me yours."),
        ("Aren't you hungry?", "Aren't I hungry?"),
        ("Were you there?", "Was I there?"),
        ("I will see you tomorrow.", "You will see me tomorrow."),
        ("She gave you the key.", "She gave me the key."),
        ("If I\u2019m late, start.", "If you\u2019re late, start."),
    ],
)
def test_persons_change_places_and_verbs_agree(text: str, expected: str) -> None:
    assert swapped_persons(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thank you, I will call tomorrow.", "Thank you, you will call tomorrow."),
        ("I think you are right.", "I think I am right."),
        ("Let me see your ticket.", "Let me see my ticket."),
        ("See you later, I have to go.", "See you later, you have to go."),
    ],
)
def test_formulas_stay_as_they_are(text: str, expected: str) -> None:
    assert swapped_persons(text) == expected


@pytest.mark.parametrize("text", ["Me too.", "Thank you.", "The train is late.", "A way to keep yourself healthy."])
def test_a_text_that_names_no_person_outside_of_formulas_gives_none(text: str) -> None:
    assert swapped_persons(text) is None
