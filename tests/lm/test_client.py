"""The client against real servers on the loopback: one that fails as servers do, and llama.cpp."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from pneg.errors import BackendError
from pneg.lm import Completion, Embedded, OpenAICompatible, Request, Sampling
from pneg.lm.completions import completion
from pneg.lm.server import public

KEY = "sk-very-secret-key-123456"
ASKED = Request("Once upon a time", Sampling(max_tokens=8, stop=("\n",)), seed=7)


class Server:
    """Answers every request in the same way and remembers what it was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.seen: list[dict[str, Any]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen.append({"path": self.path, "key": self.headers["Authorization"], **asked})
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing to standard error."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"


@contextmanager
def serving(status: int, body: object) -> Iterator[Server]:
    server = Server(status, body if isinstance(body, bytes) else json.dumps(body).encode())
    thread = Thread(target=server.http.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def ask(client: OpenAICompatible | Embedded, *requests: Request) -> list[Completion]:
    async def all_of() -> list[Completion]:
        async with client.connect() as complete:
            return list(await asyncio.gather(*(complete(request) for request in requests)))

    return asyncio.run(all_of())


ANSWER = {
    "id": "1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": " there was a cat", "finish_reason": "length", "logprobs": None}],
    "usage": {
        "prompt_tokens": 4,
        "completion_tokens": 5,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}


def test_the_request_and_the_answer_as_the_protocol_has_them() -> None:
    with serving(200, ANSWER) as server:
        [completion] = ask(OpenAICompatible(server.url, "m", key=KEY), ASKED)
    assert completion == Completion(" there was a cat", True, 4, 5, 3)
    [seen] = server.seen
    assert seen == {
        "path": "/v1/completions", "key": f"Bearer {KEY}", "model": "m", "prompt": "Once upon a time",
        "temperature": 0.8, "top_p": 1.0, "frequency_penalty": 0.4, "presence_penalty": 0.4,
        "max_tokens": 8, "stop": ["\n"], "seed": 7,
    }  # fmt: skip


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(200, ANSWER) as server:
        ask(OpenAICompatible(server.url, "m"), ASKED)
    assert server.seen[0]["key"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [(401, False, "OPENAI_API_KEY"), (404, False, "check --model"), (429, True, "--concurrency"), (503, True, "")],
)
def test_a_refusal_says_what_to_do_and_never_the_key(status: int, retryable: bool, hint: str) -> None:
    with serving(status, {"error": {"message": f"Incorrect API key provided: {KEY}."}}) as server:
        client = OpenAICompatible(server.url, "m", key=KEY)
        with pytest.raises(BackendError) as caught:
            ask(client, ASKED)
    error = caught.value
    assert (error.status, error.retryable) == (status, retryable)
    assert hint in str(error)
    assert server.url in str(error)
    assert KEY not in str(error) + repr(error) + repr(client)
    assert error.__cause__ is None


@pytest.mark.parametrize("body", [b"<html>not here</html>", {**ANSWER, "choices": []}, b'{"choices": [{"te'])
def test_an_answer_that_is_no_completion_is_an_error(body: object) -> None:
    with serving(200, body) as server, pytest.raises(BackendError):
        ask(OpenAICompatible(server.url, "m", key=KEY), ASKED)


def test_half_a_surrogate_pair_in_an_answer_is_read() -> None:
    answer = rb'{"choices": [{"text": "a\ud83db", "finish_reason": "stop"}]}'
    assert completion(answer, Request("x", Sampling(), 0), "completions") == Completion("a\ufffdb")


def test_a_server_that_is_down_is_named() -> None:
    with serving(200, ANSWER) as server:
        url = server.url
    with pytest.raises(BackendError, match=f"{url} cannot be reached; check --lm") as caught:
        ask(OpenAICompatible(url, "m", key=KEY), ASKED)
    assert caught.value.retryable


def test_the_embedded_server_keeps_strangers_out_and_repeats_itself_by_seed() -> None:
    greedy = Request("The capital of France is", Sampling(temperature=0.0, max_tokens=6), seed=1)
    drawn = [Request("I went to the market and", Sampling(temperature=1.0, max_tokens=12), seed=n) for n in (1, 2)]
    paris, *others = ask(Embedded(concurrency=1), greedy, *drawn, drawn[0])
    assert "Paris" in paris.text
    assert paris.completion_tokens == 6
    assert paris.cut
    assert others[0].text == others[2].text != others[1].text


def test_a_stop_text_ends_the_completion_and_is_not_part_of_it() -> None:
    [completion] = ask(Embedded(concurrency=1), Request("1, 2, 3, 4,", Sampling(0.0, max_tokens=20, stop=(" 7",)), 1))
    assert "7" not in completion.text
    assert not completion.cut


def test_what_is_secret_in_an_address_is_not_shown() -> None:
    url = "https://user:secret@host:8000/v1?api-key=secret"
    assert public(url) == "https://host:8000/v1"
    assert "secret" not in repr(OpenAICompatible(url, "m"))
    with serving(401, {"error": {"message": "no"}}) as server, pytest.raises(BackendError) as caught:
        ask(OpenAICompatible(server.url.replace("://", "://user:secret@"), "m", key=KEY), ASKED)
    assert "secret" not in str(caught.value)
