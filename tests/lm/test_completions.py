"""What becomes of an answer in which anything may stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneg.errors import BackendError
from pneg.lm import Completion, Request, Sampling
from pneg.lm.base import LONGEST_NAME, MOST_TOKENS
from pneg.lm.completions import completion, completion_of
from pneg.lm.exchange import REFUSED

ASKED = Request("A: Hi.\n1.", Sampling(), 1)
USAGE = {"prompt_tokens": 4, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}


def answer(**more: Any) -> dict[str, Any]:
    return {"choices": [{"text": "one", "finish_reason": "stop"}], "usage": USAGE, **more}


def tokens(found: Completion) -> tuple[int, int, int]:
    return found.prompt_tokens, found.cached_tokens, found.completion_tokens


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (USAGE, (4, 3, 5)),
        ({**USAGE, "prompt_tokens": 4.0}, (4, 3, 5)),
        ({**USAGE, "prompt_tokens": 0, "completion_tokens": 0}, (0, 0, 0)),
        ({**USAGE, "prompt_tokens": MOST_TOKENS}, (MOST_TOKENS, 3, 5)),
        ({**USAGE, "prompt_tokens": 2}, (2, 2, 5)),
        *(
            ({**USAGE, name: absurd}, (0, 0, 0))
            for name in ("prompt_tokens", "completion_tokens")
            for absurd in (
                1e30,
                MOST_TOKENS + 1,
                2**70,
                -1,
                "4",
                True,
                [4],
                {},
                None,
                4.5,
                float("nan"),
                float("inf"),
            )
        ),
        *(
            ({**USAGE, "prompt_tokens_details": details}, (4, 0, 5))
            for details in ({"cached_tokens": -3}, {"cached_tokens": "3"}, {"cached_tokens": 1e30}, [], 5, None)
        ),
        *((usage, (0, 0, 0)) for usage in (None, [], 5, "usage", {})),
    ],
)
def test_tokens_that_cannot_be_true_are_not_given(usage: Any, expected: tuple[int, int, int]) -> None:
    assert tokens(completion_of(answer(usage=usage), ASKED, "completions")) == expected


@pytest.mark.parametrize("number", ["1e30", "1e999", "-1", "NaN", "Infinity", "-Infinity", "9" * 5000, '"4"', "true"])
def test_numbers_that_only_some_read_as_json_are_not_given(number: str) -> None:
    body = json.dumps(answer(usage={**USAGE, "prompt_tokens": 123456})).replace("123456", number)
    try:
        found = completion(body.encode(), ASKED, "completions")
    except BackendError as error:  # Python reads no integer of so many digits
        assert number.startswith("9") and error.retryable
    else:
        assert (found.text, tokens(found)) == ("one", (0, 0, 0))


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("gpt-4o", "gpt-4o"),
        ("m\ud83d", "m\ufffd"),
        ("m\x1b[31m\n", "m"),
        ("x" * 10_000, "x" * LONGEST_NAME),
        (5, ""),
        (["m"], ""),
        (None, ""),
    ],
)
def test_names_are_short_and_printable(name: Any, kept: str) -> None:
    found = completion_of(answer(model=name, system_fingerprint=name), ASKED, "completions")
    assert (found.model, found.backend) == (kept, kept)


@pytest.mark.parametrize("endpoint", ["completions", "chat"])
@pytest.mark.parametrize("text", [5, 1.5, True, ["one"], {"text": "one"}, [{"type": "text", "text": "one"}]])
@pytest.mark.parametrize("schema", ["", "{}"])
def test_a_text_that_is_no_text_is_no_completion(endpoint: Any, text: Any, schema: str) -> None:
    choice = {"text": text} if endpoint == "completions" else {"message": {"content": text}}
    with pytest.raises(BackendError, match="without a completion") as caught:
        completion_of({"choices": [choice]}, Request("x", Sampling(), 1, schema), endpoint)
    assert caught.value.retryable and caught.value.billed


@pytest.mark.parametrize("values", [[], 5, None, "text", {}, {"choices": {}}, {"choices": [5]}, {"choices": [{}]}])
@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_an_answer_of_another_form_is_no_completion(endpoint: Any, values: Any) -> None:
    with pytest.raises(BackendError, match="without a completion"):
        completion_of(values, ASKED, endpoint)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (r"a\ud83db", "a\ufffdb"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"tab\t and nul\u0000", "tab\t and nul\0"),
    ],
)
def test_a_text_is_valid_unicode(said: str, text: str) -> None:
    body = f'{{"choices": [{{"text": "{said}"}}], "usage": null}}'
    assert completion(body.encode(), ASKED, "completions") == Completion(text)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("prompt_tokens", "completion_tokens", "prompt_tokens_details")
USAGES = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, ANYTHING)) | ANYTHING
CHOICE = {"text": ANYTHING, "message": st.fixed_dictionaries({"content": ANYTHING}), "finish_reason": ANYTHING}
ANSWERS = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({}, optional=CHOICE), max_size=2)},
    optional={"usage": USAGES, "model": ANYTHING, "system_fingerprint": ANYTHING},
)


@given(values=ANSWERS | ANYTHING, endpoint=st.sampled_from(["completions", "chat"]))
def test_whatever_is_answered_is_a_completion_as_promised_or_an_error(values: Any, endpoint: Any) -> None:
    try:
        found = completion(json.dumps(values).encode(), ASKED, endpoint)
    except BackendError as error:
        assert error.billed and (error.retryable or error.reason == REFUSED)
        return
    for text in (found.text, found.model, found.backend):
        assert text.encode().decode() == text
    for name in (found.model, found.backend):
        assert name.isprintable() and len(name) <= LONGEST_NAME
    for number in tokens(found):
        assert type(number) is int and 0 <= number <= MOST_TOKENS
    assert found.cached_tokens <= found.prompt_tokens
    assert found.cut in (True, False)
