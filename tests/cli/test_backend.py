"""What is said of a server's address, a key and an answer that cannot be used, before and while a job runs."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from running import Run

import chaos
from pneg.cli.backend import Backend
from pneg.lm import OpenAICompatible, Watched

KEY = "sk-a-key-that-must-not-be-seen"


def command(url: str, *words: object) -> list[object]:
    return ["negatives", "prompted", "starter:test", "-o", "out.jsonl", "--lm", url, "--model", "m", "--json", *words]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("transformer", "--lm transformer is"),
        ("http://[::1/v1", "--lm http://[::1/v1 is"),
        ("http://host:port/v1", "--lm http://host:port/v1 is"),
        ("http://", "--lm http:// is"),
        ("htp://user:a-password@host/v1", "--lm ***@host/v1 is"),
    ],
)
def test_what_is_no_address_is_refused_before_anything_is_asked(pneg: Run, url: str, shown: str) -> None:
    ran = pneg(*command(url))
    assert ran.status == 2
    assert shown in ran.err
    assert "a-password" not in ran.err and "Traceback" not in ran.err


def test_a_key_with_a_line_break_is_refused_by_the_name_of_its_variable(
    pneg: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n")
    ran = pneg(*command("http://127.0.0.1:1/v1"))
    assert ran.status == 2
    assert ran.says == (
        "pneg: the environment variable OPENAI_API_KEY holds a line break; "
        "set it to the key alone, as the server's owner gave it"
    )


def test_a_redirect_ends_a_job_with_where_it_points(pneg: Run) -> None:
    moved: chaos.Fault = lambda handler: handler.answer(  # noqa: E731
        307, b"", headers={"Location": f"http://127.0.0.1:{other.server_port}/v1/files"}
    )
    with chaos.serving(chaos.Server()) as other, chaos.serving(chaos.Server(lambda *_: moved)) as server:
        ran = pneg(*command(server.url, "--limit", 2))
    assert ran.status == 1
    assert f"redirects requests to http://127.0.0.1:{other.server_port} (status 307)" in ran.says
    assert other.times == []


ODD: dict[str, Callable[[dict[str, object]], object]] = {
    "absurd tokens": lambda good: {**good, "usage": {"prompt_tokens": 1e30, "completion_tokens": -5}},
    "half a surrogate pair in a name": lambda good: {**good, "model": "\ud83d", "system_fingerprint": "\ud83d"},
    "a long name": lambda good: {**good, "model": "m" * 100_000},
    "usage of another form": lambda good: {**good, "usage": [5]},
}


@pytest.mark.parametrize("odd", ODD)
def test_a_job_goes_on_with_odd_values_beside_a_good_text(pneg: Run, tmp_path: Path, odd: str) -> None:
    def plan(_: int, asked: dict[str, object]) -> chaos.Fault:
        return chaos.saying(json.dumps(ODD[odd](chaos.answer(asked))).encode())

    with chaos.serving(chaos.Server(plan)) as server:
        ran = pneg(*command(server.url, "--limit", 3))
    assert ran.status == 0, ran.err
    told = json.loads(ran.out)
    assert told["dialogues"] == 3
    assert 0 <= told["prompt_tokens"] <= 10**6


def test_an_answer_that_is_too_large_costs_itself_alone(pneg: Run) -> None:
    numbers = count()

    def plan(_: int, asked: dict[str, object]) -> chaos.Fault | None:
        return chaos.saying(b" " * 2**22) if next(numbers) == 1 else None

    with chaos.serving(chaos.Server(plan)) as server:
        ran = pneg(*command(server.url, "--limit", 6))
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["counts"]["answer too large"] == 1


def test_a_server_is_watched_below_the_meter(tmp_path: Path) -> None:
    backend = Backend(
        lm="http://h/v1", model="m", endpoint="completions", schema=False, batch=False, concurrency=None, timeout=9.0,
        patience=1.0, ledger=None, price_in=None, price_out=None, budget=None,
    )  # fmt: skip
    lm = backend.language_model(tmp_path / "out.jsonl")
    assert isinstance(lm, Watched)
    assert isinstance(lm.lm, OpenAICompatible)
    assert lm.lm.timeout == 9.0
