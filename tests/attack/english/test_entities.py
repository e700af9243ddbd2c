import pytest

from pneg.attack.english.entities import entities_of, others_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See you on Monday, Betty.", [("Monday", "day"), ("Betty", "woman's name")]),
        ("I have two dogs and 15 cats.", [("two", "number"), ("15", "digits")]),
        ("It costs $150.", [("$150", "digits")]),
        ("i live in chicago", [("chicago", "city")]),
    ],
)
def test_names_numbers_and_days(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(entity.text, entity.kind) for entity in entities_of(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "At 16:35 or 4.50.",
        "One of them may march.",
        "Two hundred people.",
        "twenty-two",
        "A German shepherd.",
        "Room B-12.",
        "The turkey and the china on the table.",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert [entity for entity in entities_of(text) if entity.text not in ("hundred",)] == []


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("5", 2, 12), ("30", 10, 60), ("150", 60, 300), ("1998", 1980, 2020), ("$60", 10, 120)],
)
def test_another_number_is_as_round_and_not_next_to_it(text: str, least: int, most: int, shift: float) -> None:
    [entity] = entities_of(f"about {text} of these")
    others = others_of(entity, shift)
    assert others
    for other in others:
        assert other.startswith("$") == text.startswith("$")
        value, own = int(other.lstrip("$")), int(text.lstrip("$"))
        assert least <= value <= most
        assert abs(value - own) > 1
        assert value % 10 == 0 or own % 10 != 0


def test_there_is_no_other_number_for_one_and_none() -> None:
    assert [others_of(entity, 0.5) for entity in entities_of("0 or 1 of these")] == [[], []]
