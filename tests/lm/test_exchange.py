"""What a hostile server, a dead proxy or a wrong key may do, and what is said of it."""

import asyncio
import base64
import gzip
import json
import tracemalloc
import zlib

import pytest

import raw
from pneg.errors import BackendError, DataError
from pneg.lm import Completion, OpenAICompatible, Request, Sampling
from pneg.lm.exchange import TOO_LARGE, refusal
from pneg.lm.server import Server, is_address

KEY = "sk-very-secret-key-123456"
ASKED = Request("Once upon a time", Sampling(max_tokens=8), seed=7)
GOOD = raw.saying()
MEBIBYTE = 2**20


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def answered(url: str, key: str | None = KEY) -> Completion | BackendError:
    async with OpenAICompatible(url, "m", key=key, timeout=30).connect() as complete:
        try:
            return await complete(ASKED)
        except BackendError as error:
            return error


def ask(*answers: bytes, key: str | None = KEY) -> tuple[Completion | BackendError, raw.Raw]:
    async def run() -> tuple[Completion | BackendError, raw.Raw]:
        async with raw.sending(*answers) as server:
            return await answered(server.url, key), server

    return asyncio.run(run())


def refused(*answers: bytes, key: str | None = KEY) -> BackendError:
    error, _ = ask(*answers, key=key)
    assert isinstance(error, BackendError)
    return error


def bomb(mebibytes: int) -> bytes:
    """A good answer, a thousandth of its size while it is compressed."""
    packer = zlib.compressobj(wbits=31)
    blank = b" " * MEBIBYTE
    return b"".join([packer.compress(GOOD), *(packer.compress(blank) for _ in range(mebibytes)), packer.flush()])


def test_a_small_answer_may_be_compressed() -> None:
    assert ask(raw.http(gzip.compress(GOOD), "Content-Encoding: gzip"))[0] == Completion("one")


def test_an_answer_that_is_large_once_decompressed_is_a_fault_of_its_own_and_is_not_read_to_its_end() -> None:
    packed = raw.http(bomb(256), "Content-Encoding: gzip")
    assert len(packed) < MEBIBYTE / 2
    tracemalloc.start()
    try:
        error = refused(packed)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.reason, error.retryable, error.billed) == (TOO_LARGE, False, True)
    assert most < 16 * MEBIBYTE


@pytest.mark.parametrize(("more", "good"), [(0.9, True), (1.1, False)])
def test_the_limit_of_an_answer_grows_with_the_tokens_that_were_asked_for(more: float, good: bool) -> None:
    async def run() -> Completion | BackendError:
        body = GOOD + b" " * int(more * (MEBIBYTE + 1024 * 4096))
        request = Request("x", Sampling(max_tokens=4096), 1)
        async with raw.sending(raw.http(body)) as server, OpenAICompatible(server.url, "m").connect() as complete:
            try:
                return await complete(request)
            except BackendError as error:
                return error

    assert isinstance(asyncio.run(run()), Completion) is good


def test_a_refusal_is_read_no_further_than_its_message_needs() -> None:
    error = refused(raw.http(b'"' + b"x" * 50 * MEBIBYTE + b'"', status="503 Busy"))
    assert (error.status, error.retryable) == (503, True)
    assert "no reason given" in str(error)


LONG = "X: " + "a" * 100_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + GOOD,
        b"HTTP/1.1 200 OK\r\nX\0Y: 1\r\n\r\n" + GOOD,
        raw.http(GOOD, LONG),
        raw.http(GOOD, *["X: a"] * 10_000),
        raw.http(GOOD, "Content-Encoding: gzip"),
        raw.http(GOOD, "Content-Encoding: br"),
        raw.http(zlib.compress(GOOD)[:-3], "Content-Encoding: deflate"),
        raw.http(gzip.compress(b" ") * 20_000, "Content-Encoding: gzip"),
        raw.http(gzip.compress(GOOD)[:-20], "Content-Encoding: gzip"),
        raw.http(b"", status="204 No Content"),
        raw.http(b"\xff\xfe\xff"),
        raw.http(b"[" * 100_000),
        raw.http(b'{"choices": ' + b"[" * 900 + b"]" * 900 + b"}"),
    ],
    ids=[
        "nothing", "not-http", "no-status", "negative-length", "huge-length", "bad-chunk", "nul-in-a-header",
        "long-header", "many-headers", "not-gzip", "unknown-encoding", "cut-deflate", "many-members", "cut-gzip",
        "no-content", "not-utf-8", "deep", "deep-choices",
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_may_be_asked_for_again_and_may_have_been_paid_for(answer: bytes) -> None:
    error = refused(answer)
    assert (error.retryable, error.reason, error.billed) == (True, "", True)
    assert str(error).isprintable()


@pytest.mark.parametrize("status", ["000 Zero", "101 Switching Protocols", "300 Choices", "407 Proxy"])
def test_a_status_that_is_neither_success_nor_busy_ends_the_job(status: str) -> None:
    error = refused(raw.http(GOOD, status=status))
    assert (error.retryable, error.reason, error.status) == (False, "", int(status[:3]))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_says_where_it_points(status: int) -> None:
    async def run() -> tuple[Completion | BackendError, raw.Raw]:
        async with raw.sending(raw.http(GOOD)) as other:
            target = other.url.replace("://", "://user:a-password@") + "/completions?api-key=secret"
            async with raw.sending(raw.http(b"", f"Location: {target}", status=f"{status} Moved")) as server:
                return await answered(server.url), other

    error, other = asyncio.run(run())
    assert isinstance(error, BackendError)
    assert other.seen == []
    assert f"redirects requests to {other.url.removesuffix('/v1')} (status {status})" in str(error)
    assert "put its address into --lm" in str(error)
    assert "secret" not in str(error) and "a-password" not in str(error)
    assert (error.retryable, error.reason) == (False, "")


@pytest.mark.parametrize("target", ["http://[::1", "//", "\x1b[31m", "javascript:alert(1)", "a" * 5000])
def test_a_redirect_to_nowhere_is_one_printable_line(target: str) -> None:
    error = refused(raw.http(b"", f"Location: {target}", status="307 Moved"))
    assert "redirects" in str(error)
    assert str(error).isprintable() and len(str(error)) < 1000


def test_words_of_a_server_come_without_escape_sequences_and_without_a_key_that_these_part() -> None:
    said = f"\x1b]0;title\x07\x1b[31mno\n\x9b2Juse {KEY[:9]}\x1b[0m{KEY[9:]} \u202e\ud83d"
    error = refused(raw.http(json.dumps({"error": {"message": said}}).encode(), status="400 Bad"))
    assert "refused: no use *** \ufffd\ufffd (status 400)" in str(error)


@pytest.mark.parametrize("message", [5, ["a", {"b": 1}], {"x": "y"}, None, True])
@pytest.mark.parametrize("code", [5, [], {}, None])
def test_errors_of_any_form_are_told(message: object, code: object) -> None:
    error = refusal(Server("http://s/v1"), 400, {}, {"error": {"message": message, "code": code}})
    assert str(error).startswith("http://s/v1 refused: ")


def test_an_error_nested_too_deep_is_told() -> None:
    body = b'{"error": {"message": ' + b"[" * 950 + b"]" * 950 + b"}}"
    assert len(str(refused(raw.http(body, status="400 Bad")))) < 500


@pytest.mark.parametrize(
    ("url", "key", "said", "shown"),
    [
        ("http://h/v1", None, "no nonesuch model, none", "no nonesuch model, none"),
        ("http://h/v1", "none", "no nonesuch model, none", "no nonesuch model, ***"),
        ("http://h/v1", KEY, f"wrong:{KEY}x", "wrong:***x"),
        ("http://user:a-password@h/v1", None, "user a-password", "user ***"),
        ("http://user:p%40ssw%2Frd@h/v1", None, "p@ssw/rd p%40ssw%2Frd", "*** ***"),
        ("http://u:pw@h/v1", None, "pw spwn pwd", "*** spwn pwd"),
        ("http://a-token-alone@h/v1", None, "a-token-alone", "***"),
        (
            "http://user:pass@h/v1", None,
            "Basic " + base64.b64encode(b"user:pass").decode(), "Basic ***",
        ),
        ("http://h/v1?api-version=2024-02&api-key=abc", None, "2024-02 of abc", "2024-02 of ***"),
    ],
)  # fmt: skip
def test_only_what_is_secret_is_masked(url: str, key: str | None, said: str, shown: str) -> None:
    assert Server(url, key).masked(said) == shown
    assert "refused: " + shown in str(refusal(Server(url, key), 400, {}, {"message": said}))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        ("http://u:p@h:1/v1?api-version=1&x=a%20b", "http://u:p@h:1/v1/chat/completions?api-version=1&x=a%20b"),
        ("http://h/v1?a=1#part", "http://h/v1/chat/completions?a=1"),
    ],
)
def test_a_query_stays_behind_the_path(url: str, address: str) -> None:
    assert Server(url).address("chat/completions") == address


def test_a_query_of_its_own_is_added_to_that_of_the_server() -> None:
    assert Server("http://h/v1?a=1").address("batches", "limit=2") == "http://h/v1/batches?a=1&limit=2"


def test_the_server_is_sent_the_query() -> None:
    async def run() -> bytes:
        async with raw.sending(raw.http(GOOD)) as server:
            await answered(server.url + "?api-version=1")
            return server.seen[0]

    assert asyncio.run(run()).startswith(b"POST /v1/completions?api-version=1 HTTP/1.1\r\n")


NO_KEYS = (KEY + "\n", KEY + "\r\nX-Evil: 1", "schlüssel-123")


@pytest.mark.parametrize(
    ("key", "given"),
    [*((key, False) for key in NO_KEYS), *((key, True) for key in (*NO_KEYS, KEY + "\0", "\ud83d" * 8))],
)
def test_a_key_that_no_header_can_hold_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, key: str, given: bool
) -> None:
    if not given:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(DataError) as caught:
        asyncio.run(answered("http://127.0.0.1:1/v1", key if given else None))
    assert ("the API key holds" if given else "the environment variable OPENAI_API_KEY holds") in str(caught.value)
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("login", ["", "user:a-password@"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, scheme: str, login: str) -> None:
    monkeypatch.setenv(f"{scheme}_proxy", f"http://{login}127.0.0.1:1")
    error = asyncio.run(answered(f"{scheme}://nowhere.invalid/v1"))
    assert isinstance(error, BackendError)
    assert (
        f"the proxy http://127.0.0.1:1 cannot be reached; check the environment variable {scheme.upper()}_PROXY"
        in str(error)
    )
    assert error.retryable and not error.billed
    assert "a-password" not in str(error)


def test_a_server_without_encryption_behind_https_is_told_from_one_that_is_down() -> None:
    async def talking(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw.http(GOOD))
        writer.close()

    async def run() -> Completion | BackendError:
        async with await asyncio.start_server(talking, "127.0.0.1", 0) as server:
            return await answered(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")

    error = asyncio.run(run())
    assert isinstance(error, BackendError)
    assert "no safe connection to https://127.0.0.1:" in str(error)
    assert not error.retryable


def test_a_proxy_that_will_not_connect_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> Completion | BackendError:
        async with raw.sending(raw.http(b"", status="403 Forbidden")) as proxy:
            monkeypatch.setenv("https_proxy", proxy.url.removesuffix("/v1").removeprefix("http://"))
            return await answered("https://nowhere.invalid/v1")

    error = asyncio.run(run())
    assert isinstance(error, BackendError)
    assert "refuses to connect to https://nowhere.invalid/v1 (status 403)" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://[::1", "http://h:99999999", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(DataError, match="the environment variable HTTP_PROXY does not hold"):
        asyncio.run(answered("http://nowhere.invalid/v1"))


@pytest.mark.parametrize("host", ["a..b", "a" * 300])
def test_a_host_that_cannot_be_looked_up_is_no_address(host: str) -> None:
    error = asyncio.run(answered(f"http://{host}/v1"))
    assert isinstance(error, BackendError)
    assert "is no address; check --lm" in str(error)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("http://h", True), ("https://u:p@h:8000/v1?a=1", True), ("http://[::1]:8000/v1", True), ("ftp://h", False),
        ("http://", False), ("http://[::1", False), ("http://h:x", False), ("transformer", False), ("", False),
    ],
)  # fmt: skip
def test_what_is_an_address(text: str, good: bool) -> None:
    assert is_address(text) is good
