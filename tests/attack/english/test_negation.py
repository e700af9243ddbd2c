import pytest

from pneg.attack.english.negation import flipped


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("I like it.", "I don't like it."),
        ("She likes it.", "She doesn't like it."),
        ("He went home.", "He didn't go home."),
        ("I didn't go.", "I went."),
        ("She doesn't like it.", "She likes it."),
        ("I do not like it.", "I like it."),
        ("I can't come.", "I can come."),
        ("I cannot see it.", "I can see it."),
        ("I'll bring something.", "I won't bring anything."),
        ("I don't have any money.", "I have some money."),
        ("We have some time.", "We don't have any time."),
        ("I am tired.", "I am not tired."),
        ("I'm not sure.", "I'm sure."),
        ("It's great.", "It's not great."),
        ("They are fine.", "They aren't fine."),
        ("I've been there.", "I haven't been there."),
        ("I had finished.", "I hadn't finished."),
        ("I had two dogs.", "I didn't have two dogs."),
        ("I'd love to come.", "I wouldn't like to come."),
        ("It must be cold.", "It can't be cold."),
        ("I really like it.", "I don't really like it."),
        ("Yes", None),
        ("I do.", "I don't."),
        ("it did , we saw it .", "it didn't , we saw it ."),
        ("You\u2019re right.", "You\u2019re not right."),
        ("i'm tired", "i'm not tired"),
        ("i will go", "i won't go"),
        ("i'll go", "i won't go"),
    ],
)
def test_a_clause_is_flipped_in_fluent_english(clause: str, expected: str | None) -> None:
    assert flipped(clause) == expected


@pytest.mark.parametrize(
    "clause",
    [
        "I think so.",
        "I see.",
        "Are you sure?",
        "The train is late.",
        "I have never been there.",
        "I still like it.",
        "I don't go anymore.",
        "I had better go.",
        "I too.",
        "That's why I came.",
        "I'd rather stay.",
    ],
)
def test_what_is_in_doubt_is_not_flipped(clause: str) -> None:
    assert flipped(clause) is None


@pytest.mark.parametrize(
    "clause", ["I can come.", "It's great.", "I like it.", "She went home.", "We have some time."]
)
def test_a_clause_flipped_twice_is_itself(clause: str) -> None:
    once = flipped(clause)
    assert once is not None
    assert flipped(once) == clause
