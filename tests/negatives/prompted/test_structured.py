"""Answers as JSON: what is in the form asked for, and whatever else a model may say."""

import json

import pytest

from pneg.negatives.prompted.structured import numbered


def test_responses_stand_behind_their_numbers() -> None:
    assert numbered(json.dumps({"responses": ["Soup  is\nhot.", "No."]}), 3) == " Soup is hot.\n4. No."


@pytest.mark.parametrize(
    "answer",
    [
        "", "null", "5", "[]", "{}", "text", '{"responses": null}', '{"responses": "abc"}', '{"responses": {"a": 1}}',
        '{"responses": ["good", 5]}', '{"responses": [["nested"]]}', '{"responses": ' + "[" * 100_000,
        '{"responses": ' + "1" * 10_000 + "}", "[" * 100_000,
    ],
    ids=lambda answer: answer[:24],
)  # fmt: skip
def test_what_is_no_list_of_texts_holds_nothing_and_a_plain_text_is_left_as_it_is(answer: str) -> None:
    assert numbered(answer, 1) == ("" if answer[:1] in ("{", "[") else answer)
