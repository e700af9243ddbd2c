import pytest

from pneg.negatives.prompted.parse import Parsed, parse


def texts(parsed: list[Parsed]) -> list[str]:
    return [entry.text for entry in parsed]


def test_the_completion_of_appendix_g() -> None:
    completion = (
        " I don\u2019t know how to handle an interview.\n2. How could I prepare for the interview?\n"
        "3. To be honest man, I don\u2019t know what to say.\n\n"
        "4. You are probably thinking that I could not do well in the interview, right?\n"
        "5. Did you remember to register for the interview?\n"
    )
    parsed = parse(completion, 1, cut=False)
    assert texts(parsed) == [
        "I don\u2019t know how to handle an interview.",
        "How could I prepare for the interview?",
        "To be honest man, I don\u2019t know what to say.",
        "You are probably thinking that I could not do well in the interview, right?",
        "Did you remember to register for the interview?",
    ]
    assert all(entry.in_order and not entry.cut for entry in parsed)


def test_good_responses_of_a_partly_faulty_completion_are_in_order() -> None:
    parsed = parse(" First one.\nAnd a line without a number.\n2. Second one.\n4. Number three is missing.", 1, False)
    assert [(entry.text, entry.in_order) for entry in parsed] == [
        ("First one.", True),
        ("And a line without a number.", False),
        ("Second one.", True),
        ("Number three is missing.", False),
    ]


def test_a_continued_list_begins_at_the_number_that_was_asked_for() -> None:
    assert [entry.in_order for entry in parse(" Fourth.\n5. Fifth.", 4, False)] == [True, True]


def test_two_responses_in_one_line_are_out_of_order() -> None:
    assert [entry.in_order for entry in parse(" One here. 2. Two here.\n2. Two.", 1, False)] == [False, True]


def test_a_time_of_day_is_no_number_of_a_response() -> None:
    assert [
        entry.in_order for entry in parse(" The train leaves at 9. Do not be late, it is 7.30 now.", 1, False)
    ] == [True]


def test_only_the_last_response_of_a_cut_completion_is_cut() -> None:
    assert [entry.cut for entry in parse(" One.\n2. And then sudd", 1, cut=True)] == [False, True]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (' "I like it."', "I like it."),
        (" \u201cI like it.\u201d", "I like it."),
        (' He said "no" and she said "yes".', 'He said "no" and she said "yes".'),
        (' "No" is not "yes"', '"No" is not "yes"'),
        ("   spaces  ", "spaces"),
    ],
)
def test_marks_around_the_whole_response_are_taken_off(line: str, text: str) -> None:
    assert texts(parse(line, 1, False)) == [text]


def test_nothing_written_is_one_empty_response() -> None:
    assert texts(parse("", 1, False)) == [""]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (' "Soup."', "Soup."),
        (" \u201cSoup.\u201d", "Soup."),
        (" 'Soup.'", "Soup."),
        (" 'Soup' is 'food'", "'Soup' is 'food'"),
        (" Soup 'n' bread", "Soup 'n' bread"),
    ],
)
def test_quotation_marks_around_the_whole_response_are_no_part_of_it(line: str, text: str) -> None:
    assert texts(parse(line, 1, False)) == [text]


def test_the_next_number_inside_a_line_is_out_of_order_unless_it_numbers_nothing() -> None:
    parsed = parse(" Soup. 2. Bread.\n2. I have 3 spoons.\n3. It is 14. March.", 1, False)
    assert [entry.in_order for entry in parsed] == [False, True, True]
