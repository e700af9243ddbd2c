"""The light way to a server: whatever form of HTTP the answer has, and both ways alike."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import chaos
from pneg.errors import BackendError
from pneg.lm import Completion, OpenAICompatible, Request, Sampling, client
from pneg.lm.wire import Answer, Broken, Pool, Unreachable, suits

pytest.importorskip("httptools", reason="the extra `fast` is not installed")

ASKED = Request('"""\nA: Hi there.\n"""\n1.', Sampling(), seed=1)
Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def saying(*answers: bytes, close: bool = False) -> tuple[list[bytes], Served]:
    """Gives these bytes to the requests of each connection, and keeps what was asked."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            seen.append(head + await reader.readexactly(length))
            writer.write(answer)
        if close:
            writer.close()

    return seen, serve


def posted(serve: Served, *bodies: bytes, timeout: float = 5.0) -> list[Answer | BaseException]:
    async def run() -> list[Answer | BaseException]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found: list[Answer | BaseException] = []
            async with Pool(
                f"http://127.0.0.1:{port}/v1/completions", {"Authorization": "Bearer k"}, timeout
            ) as pool:
                for body in bodies:
                    found += await asyncio.gather(pool.post(body), return_exceptions=True)
            return found

    return asyncio.run(run())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("answer", "close"),
    [
        (OK, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nhi", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, False),
    ],
    ids=["a length", "chunks", "until it closes", "HTTP/1.0", "after a 100"],
)
def test_an_answer_is_whole_in_every_form(answer: bytes, close: bool) -> None:
    [found] = posted(saying(answer, close=close)[1], b"{}")
    assert isinstance(found, Answer)
    assert (found.status, found.body) == (200, b"hi")


def test_a_connection_is_kept_and_the_request_is_as_it_should_be() -> None:
    seen, serve = saying(OK, OK.replace(b"hi", b"ho"))
    found = posted(serve, b'{"a": 1}', b"{}")
    assert [answer.body for answer in found if isinstance(answer, Answer)] == [b"hi", b"ho"]
    head, _, body = seen[0].partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "POST /v1/completions HTTP/1.1"
    assert {"Authorization: Bearer k", "Content-Length: 8", "Accept-Encoding: identity"} <= set(headers)
    assert any(header.startswith("Host: 127.0.0.1:") for header in headers)
    assert body == b'{"a": 1}'


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    seen, serve = saying(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", close=True)
    found = posted(serve, b"{}", b"{}")
    assert [answer.body for answer in found if isinstance(answer, Answer)] == [b"hi", b"hi"]
    assert len(seen) == 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", b"SSH-2.0-OpenSSH\r\n", b""])
def test_an_answer_that_ends_early_or_is_no_http_is_broken(answer: bytes) -> None:
    [found] = posted(saying(answer, close=True)[1], b"{}")
    assert isinstance(found, Broken)


def test_an_answer_that_does_not_come_is_late() -> None:
    [found] = posted(saying(b"HTTP/1.1 200 OK\r\n")[1], b"{}", timeout=0.1)
    assert isinstance(found, TimeoutError)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    async def run() -> None:
        async with Pool("http://127.0.0.1:9/v1/completions", {}, 5.0) as pool:
            await pool.post(b"{}")

    with pytest.raises(Unreachable):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("http://127.0.0.1:8000/v1/completions", True),
        ("https://api.openai.com/v1/chat/completions", True),
        ("http://[::1]:8000/v1/completions", True),
        ("https://user:secret@host/v1/completions", False),
        ("https://host/v1/completions?version=1", False),
        ("https://host/v 1/completions", False),
        ("https://h\u00f6st/v1/completions", False),
    ],
)
def test_only_plain_addresses_go_this_way(address: str, plain: bool) -> None:
    assert suits(address) == plain


@pytest.mark.parametrize("light", [True, False])
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (None, None),
        (chaos.refusing(401, "no"), (401, False, False)),
        (chaos.refusing(429, "no", after="7"), (429, True, False)),
        (chaos.breaking_off, (None, True, True)),
        (chaos.saying(b"<html>"), (None, True, True)),
    ],
)
def test_both_ways_tell_the_same(
    light: bool, fault: chaos.Fault | None, told: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not light:
        monkeypatch.setattr(client, "suits", lambda _: False)

    async def run(url: str) -> Completion:
        async with OpenAICompatible(url, "m", key="k").connect() as complete:
            return await complete(ASKED)

    with chaos.serving(chaos.Server(lambda _, __: fault)) as server:
        try:
            found = asyncio.run(run(server.url))
        except BackendError as error:
            assert (error.status, error.retryable, error.billed) == told
            assert error.retry_after == (7.0 if error.status == 429 else None)
        else:
            assert told is None
            assert found.prompt_tokens == chaos.PROMPT_TOKENS
