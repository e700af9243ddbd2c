"""The chat endpoint: a text completed by a model that only converses, and JSON where a list went wrong."""

import asyncio
import json
from typing import Any

import pytest

import chaos
from pneg import Dialogue, corpora
from pneg.errors import BackendError
from pneg.lm import Completion, OpenAICompatible, Request, Sampling
from pneg.lm.client import CONTINUE
from pneg.negatives import Prompted
from pneg.negatives.prompted.structured import numbered, schema

ASKED = Request('"""\nA: Hi there.\n"""\nCreate:\n1.', Sampling(max_tokens=9, stop=("###",)), seed=1)


def saying(content: object, **more: Any) -> tuple[list[dict[str, Any]], chaos.Plan]:
    """A plan that gives one answer, and what was asked."""
    seen: list[dict[str, Any]] = []
    answer = {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"} | more]}

    def plan(_: int, asked: dict[str, Any]) -> chaos.Fault:
        seen.append(asked)
        return chaos.saying(json.dumps({**answer, "usage": None, "model": "chatty"}).encode())

    return seen, plan


def ask(plan: chaos.Plan, request: Request = ASKED) -> Completion:
    async def one(url: str) -> Completion:
        async with OpenAICompatible(url, "m", key="k", endpoint="chat").connect() as complete:
            return await complete(request)

    with chaos.serving(chaos.Server(plan)) as server:
        return asyncio.run(one(server.url))


def test_the_prompt_goes_as_a_message_and_comes_back_continued() -> None:
    seen, plan = saying(" Hello.\n2. Bye.")
    found = ask(plan)
    assert (found.text.strip(), found.model) == ("Hello.\n2. Bye.", "chatty")
    assert seen[0]["messages"] == [
        {"role": "system", "content": CONTINUE},
        {"role": "user", "content": ASKED.prompt},
    ]
    assert (seen[0]["stop"], seen[0]["max_tokens"], seen[0]["seed"]) == (["###"], 9, 1)
    assert "prompt" not in seen[0]


def test_a_number_that_is_said_again_is_left_out() -> None:
    assert ask(saying("1. Hello.\n2. Bye.")[1]).text == " Hello.\n2. Bye."


@pytest.mark.parametrize(("content", "more"), [(None, {}), ("", {"finish_reason": "content_filter"})])
def test_a_refusal_is_of_one_request(content: object, more: dict[str, str]) -> None:
    with pytest.raises(BackendError) as caught:
        ask(saying(content, **more)[1])
    assert caught.value.reason == "refused by the server"


def test_a_schema_is_sent_as_the_protocol_has_it() -> None:
    seen, plan = saying('{"responses": ["One", "Two"]}')
    assert ask(plan, Request("x", Sampling(stop=("###",)), 1, schema(2))).text == '{"responses": ["One", "Two"]}'
    sent = seen[0]["response_format"]
    assert (sent["type"], sent["json_schema"]["strict"]) == ("json_schema", True)
    assert sent["json_schema"]["schema"]["properties"]["responses"]["minItems"] == 2
    assert "stop" not in seen[0]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('{"responses": ["One", "Two\\nlines"]}', " One\n4. Two lines"),
        ('{"responses": []}', ""),
        ("no JSON", "no JSON"),
        ('{"responses": [1]}', '{"responses": [1]}'),
        ('{"other": []}', '{"other": []}'),
        ('{"responses": "one"}', '{"responses": "one"}'),
        ('{"responses": {"one": 1}}', '{"responses": {"one": 1}}'),
        ('["one"]', '["one"]'),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_json_becomes_the_list_it_stands_for(answer: str, text: str) -> None:
    assert numbered(answer, 3) == text


def test_only_what_is_asked_again_is_asked_for_as_json() -> None:
    formats: list[bool] = []

    def plan(_: int, asked: dict[str, Any]) -> chaos.Fault:
        formats.append("response_format" in asked)
        good = json.dumps({"responses": ["I like cats.", "The sea is deep.", "Buy a boat."]})
        content = good if formats[-1] else "Sure! Here are some.\n1. A fine day.\n2. So it goes."
        return chaos.saying(json.dumps({"choices": [{"message": {"content": content}}]}).encode())

    with chaos.serving(chaos.Server(plan)) as server:
        lm = OpenAICompatible(server.url, "m", key="k", endpoint="chat")
        source = Prompted(lm, corpora.read("starter:demonstrations"), structured=True)
        [written] = source.propose([Dialogue("a", ("Are you hungry?",), ("Yes.",))], 5)
    assert formats[0] is False
    assert all(formats[1:])
    assert len(formats) >= 2
    assert {"I like cats.", "The sea is deep.", "Buy a boat."} <= set(written)
