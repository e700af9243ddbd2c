"""The Batch API against a small server on the loopback that stores files and works through batches."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import chaos
import raw
from pneg.cli import main
from pneg.errors import BackendError, DataError
from pneg.lm import BatchAPI, Completion, Policy, Request, Sampling, batch_files
from pneg.lm.batch_api import NO_COMPLETION

KEY = "sk-a-key-that-must-not-be-seen"
HASTY = Policy(patience=5.0, first_wait=0.01, longest_wait=0.05)
ASKED = Request('"""\nA: Hi there.\n"""\n1.', Sampling(), seed=1)


Instead = bytes | Callable[[Any], Any]
"""An answer, or what makes one of the true answer."""


class Server(ThreadingHTTPServer):
    """Stores files; a batch is done when it was looked at twice.

    Attributes:
        paid: how often each request was put into a batch.
        lose: so many answers to the making of a batch get lost on their way.
        hold: no batch ends.
        instead: a path's beginning, and what is answered there in place of the truth; a number for so many times.
        expire: custom ids are asked here whether they are left out of the next batch's answers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.paid: Counter[str] = Counter()
        self.lose, self.hold, self.fails, self.expires = 0, False, "", 0
        self.instead: tuple[str, Instead, int] = ("", b"", 0)
        self.asked: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that have read enough are part of the tests."""

    def work(self, batch: dict[str, Any]) -> None:
        """Answer the requests of a batch; seed 13 is too long."""
        if self.fails:
            batch |= {"status": "failed", "errors": {"data": [{"message": self.fails}]}}
            return
        answers, errors = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            told: dict[str, Any] = {"custom_id": asked["custom_id"], "error": None}
            if self.expires:
                self.expires -= 1
                errors.append({**told, "response": None, "error": {"code": "batch_expired"}})
            elif asked["body"]["seed"] == 13:
                body = {"error": {"message": "maximum context length is 10", "code": "context_length_exceeded"}}
                errors.append({**told, "response": {"status_code": 400, "body": body}})
            else:
                answers.append({**told, "response": {"status_code": 200, "body": chaos.answer(asked["body"])}})
        batch["status"] = "completed"
        for kind, lines in (("output_file_id", answers[::-1]), ("error_file_id", errors)):
            if lines:
                batch[kind] = f"{kind}-{batch['id']}"
                self.files[batch[kind]] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)


class Handler(BaseHTTPRequestHandler):
    """Of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        server = self.server
        if self.path == "/v1/files":
            mark = b"--" + self.headers["Content-Type"].partition("boundary=")[2].encode()
            parts = [part.partition(b"\r\n\r\n") for part in body.split(mark)[1:-1]]
            assert any(b'name="purpose"' in head and content == b"batch\r\n" for head, _, content in parts)
            [lines] = [content.removesuffix(b"\r\n") for head, _, content in parts if b'filename="' in head]
            name = f"file-{len(server.files)}"
            server.files[name] = lines
            return self.say({"id": name})
        asked = json.loads(body)
        assert (asked["completion_window"], asked["endpoint"]) == ("24h", "/v1/completions")
        name = f"batch-{len(server.batches)}"
        server.batches[name] = {"id": name, "status": "validating", "looks": 0, **asked}
        server.paid.update(
            json.loads(line)["custom_id"] for line in server.files[asked["input_file_id"]].splitlines()
        )
        if server.lose:
            server.lose -= 1
            self.close_connection = True
            return None
        return self.say(server.batches[name])

    def do_GET(self) -> None:
        server, path = self.server, self.path.removeprefix("/v1/")
        if path.startswith("batches?"):
            newest = list(server.batches.values())[::-1]
            after = path.partition("after=")[2]
            names = [batch["id"] for batch in newest]
            rest = newest[names.index(after) + 1 :] if after in names else newest
            return self.say({"data": rest[:1], "has_more": len(rest) > 1})  # pages of one
        if path.startswith("batches/"):
            batch = server.batches[path.partition("/")[2]]
            batch["looks"] += 1
            if batch["looks"] == 2 and not server.hold:
                server.work(batch)
            return self.say(batch)
        return self.say(server.files[path.split("/")[1]])

    def say(self, found: Any) -> None:
        path = self.path.removeprefix("/v1/")
        self.server.asked[path.partition("?")[0].partition("/")[0]] += 1
        beginning, instead, times = self.server.instead
        if times and path.startswith(beginning):
            self.server.instead = (beginning, instead, times - 1)
            found = instead(found) if callable(instead) else instead
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


@pytest.fixture
def server() -> Iterator[Server]:
    with chaos.serving(Server()) as made:  # type: ignore[arg-type]
        yield made  # type: ignore[misc]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "out.batches.jsonl"


def batches(server: Server, state: Path, **more: Any) -> BatchAPI:
    return BatchAPI(server.url, "m", state, key=KEY, lull=0.05, poll=0.01, policy=HASTY, **more)


def ask(lm: BatchAPI, count: int) -> list[Completion | BaseException]:
    async def all_of() -> list[Completion | BaseException]:
        async with lm.connect() as complete:
            requests = [replace(ASKED, seed=seed) for seed in range(count)]
            return await asyncio.gather(*(complete(request) for request in requests), return_exceptions=True)

    return asyncio.run(asyncio.wait_for(all_of(), 20))


def expected(seed: int) -> str:
    text: str = chaos.answer({"prompt": ASKED.prompt, "seed": seed})["choices"][0]["text"]
    return text


def texts(found: list[Completion | BaseException]) -> list[str]:
    return [answer.text for answer in found if isinstance(answer, Completion)]


def test_requests_that_come_together_are_one_batch(server: Server, state: Path) -> None:
    found = ask(batches(server, state), 10)
    assert texts(found) == [expected(seed) for seed in range(10)]
    assert len(server.batches) == 1
    assert set(server.paid.values()) == {1}


def test_a_batch_holds_no_more_than_it_may(server: Server, state: Path) -> None:
    assert len(texts(ask(batches(server, state, concurrency=4), 4))) == 4
    assert [file.count(b"\n") for name, file in server.files.items() if name.startswith("file")] == [4]


def test_one_bad_request_costs_itself_alone(server: Server, state: Path) -> None:
    found = ask(batches(server, state), 15)
    error = found.pop(13)
    assert isinstance(error, BackendError)
    assert error.reason == "prompt too long"
    assert len(texts(found)) == 14


def test_what_expired_is_submitted_again_alone(server: Server, state: Path) -> None:
    server.expires = 3
    assert texts(ask(batches(server, state), 10)) == [expected(seed) for seed in range(10)]
    assert sorted(server.paid.values()) == [1] * 7 + [2] * 3


def test_a_batch_is_not_made_twice_when_its_answer_is_lost(server: Server, state: Path) -> None:
    server.lose = 1
    assert len(texts(ask(batches(server, state), 10))) == 10
    assert set(server.paid.values()) == {1}


def interrupted(server: Server, state: Path) -> None:
    """Submit a batch and stop before it ends."""

    async def run() -> None:
        async with batches(server, state).connect() as complete:
            asking = [asyncio.create_task(complete(replace(ASKED, seed=seed))) for seed in range(10)]
            while not state.exists() or state.read_bytes().count(b"\n") < 2:  # until the batch's name is noted
                await asyncio.sleep(0.005)
            for task in asking:
                task.cancel()

    server.hold = True
    asyncio.run(run())
    server.hold = False
    for batch in server.batches.values():
        batch["looks"] = 0


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "killed before the batch's name was noted"])
def test_a_job_that_was_stopped_collects_the_batch_it_paid_for(server: Server, state: Path, torn: bool) -> None:
    server.batches["older"] = {"id": "older", "status": "completed", "looks": 5}
    interrupted(server, state)
    if torn:
        lines = state.read_bytes().splitlines(keepends=True)
        state.write_bytes(lines[0] + lines[1][:10])
    assert texts(ask(batches(server, state), 12)) == [expected(seed) for seed in range(12)]
    assert set(server.paid.values()) == {1}
    assert len(server.paid) == 12
    assert KEY not in state.read_text() + repr(batches(server, state))
    assert texts(ask(batches(server, state), 12)) == [expected(seed) for seed in range(12)]
    assert set(server.paid.values()) == {1}


def test_nothing_that_knows_the_key_shows_it(server: Server, state: Path) -> None:
    async def run() -> str:
        url = server.url.replace("://", "://user:a-secret@")
        lm = BatchAPI(url, "m", state, key=KEY, policy=HASTY)
        async with lm.connect() as complete:
            return repr((lm, complete, complete.__self__.files))  # type: ignore[attr-defined]

    shown = asyncio.run(run())
    assert "BatchAPI" in shown and "Files" in shown
    assert KEY not in shown
    assert "a-secret" not in shown


def test_a_job_killed_before_it_submitted_submits(server: Server, state: Path) -> None:
    state.write_text('{"submitting": "nowhere", "requests": ["x"]}\n')
    assert len(texts(ask(batches(server, state), 3))) == 3


def test_a_batch_that_is_refused_says_why(server: Server, state: Path) -> None:
    server.fails = f"Enqueued token limit reached for {KEY}"
    found = ask(batches(server, state), 2)
    said = "was refused: Enqueued token limit reached for ***"
    assert all(isinstance(error, BackendError) and said in str(error) for error in found)
    server.fails = ""
    assert len(texts(ask(batches(server, state), 2))) == 2


def test_a_whole_job_at_half_the_price(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pneg.lm.batch_api as module

    def hasty(*args: Any, **more: Any) -> BatchAPI:
        return BatchAPI(*args, **{**more, "lull": 0.05, "poll": 0.01})

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("pneg.lm.BatchAPI", hasty)
    assert module.BatchAPI is BatchAPI
    words = ["negatives", "prompted", "starter:test", "-o", str(tmp_path / "out.jsonl"), "--lm", server.url]
    words += ["--model", "m", "--batch", "--limit", "30", "--price-in", "100", "--price-out", "500", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dialogues"], found["requests"]) == (30, sum(server.paid.values()))
    each = Decimal(50 * chaos.PROMPT_TOKENS + 250 * chaos.COMPLETION_TOKENS) / 1_000_000
    assert Decimal(found["dollars"]) == each * found["requests"]
    assert set(server.paid.values()) == {1}
    assert len(server.batches) < 15


DEEP = b"[" * 100_000
GARBAGE = (
    b"[]",
    b"5",
    b"null",
    b"{}",
    b'"text"',
    DEEP,
    b"<html>no</html>",
    b"",
    b"\xff\xfe\xff",
    b'{"id": 5, "data": 7}',
)
WORDS = ["list", "number", "null", "object", "text", "deep", "html", "empty", "not utf-8", "other types"]
PLACES = ("files", "batches", "batches/", "files/")
"""Where a file is stored, a batch is made or looked for, is looked at, and its answers lie."""
BRIEF = Policy(patience=0.1, first_wait=0.01, longest_wait=0.05)


def within(seconds: float, lm: BatchAPI, count: int) -> list[Completion | BaseException]:
    """The answers, or what stands in their place; a job that hangs fails the test."""

    async def run() -> list[Completion | BaseException]:
        async with asyncio.timeout(seconds), lm.connect() as complete:
            asking = (complete(replace(ASKED, seed=seed)) for seed in range(count))
            return await asyncio.gather(*asking, return_exceptions=True)

    return asyncio.run(run())


@pytest.mark.parametrize("garbage", GARBAGE, ids=WORDS)
@pytest.mark.parametrize("place", PLACES)
def test_an_answer_that_cannot_be_used_ends_in_a_message_after_a_while(
    server: Server, state: Path, place: str, garbage: bytes
) -> None:
    server.instead = (place, garbage, 10**9)
    found = within(30, replace(batches(server, state), policy=BRIEF), 3)
    if place == "files/" and garbage == b"":
        assert all("and 3 answers to its 3 requests are missing" in str(error) for error in found)
        assert set(server.paid.values()) == {1}
        return
    what = place.partition("/")[0]
    said = f"{server.url} answered a request for {what} with what the Batch API does not give; check --lm"
    assert all(isinstance(error, BackendError) and said in str(error) for error in found)
    assert 2 <= server.asked[what] <= 40


@pytest.mark.parametrize("garbage", [GARBAGE[0], DEEP], ids=["list", "deep"])
@pytest.mark.parametrize("place", PLACES)
def test_an_answer_that_cannot_be_used_once_is_asked_for_again_and_nothing_is_paid_twice(
    server: Server, state: Path, place: str, garbage: bytes
) -> None:
    server.instead = (place, garbage, 1)
    assert texts(within(30, batches(server, state), 3)) == [expected(seed) for seed in range(3)]
    assert set(server.paid.values()) == {1}


@pytest.mark.parametrize("status", [None, 5, "", "resting", ["completed"]])
def test_a_status_that_is_not_known_ends_in_a_message(server: Server, state: Path, status: Any) -> None:
    server.instead = ("batches/", lambda batch: {**batch, "status": status}, 10**9)
    found = within(30, replace(batches(server, state), policy=BRIEF), 2)
    assert all("what the Batch API does not give" in str(error) for error in found)


@pytest.mark.parametrize(
    "errors", [None, 5, [], {"data": 5}, {"data": []}, {"data": [5]}, {"data": [{"message": [5]}]}]
)
def test_a_batch_that_is_refused_without_a_reason_ends_in_a_message(server: Server, state: Path, errors: Any) -> None:
    server.instead = ("batches/", lambda batch: {**batch, "status": "failed", "errors": errors}, 10**9)
    found = within(30, batches(server, state), 2)
    assert all("was refused: no reason given" in str(error) for error in found)


def test_a_list_of_batches_without_an_end_is_left(
    server: Server, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "PAGES", 5)
    state.write_text('{"submitting": "nowhere", "requests": ["x"]}\n')
    server.instead = ("batches?", lambda _: {"data": [{"id": "b"}], "has_more": True}, 10**9)
    with pytest.raises(BackendError, match="with what the Batch API does not give"):
        within(30, batches(server, state), 1)
    assert server.asked["batches"] == 5


def test_a_redirect_is_not_followed(server: Server, state: Path) -> None:
    async def run() -> tuple[list[Completion | BaseException], raw.Raw]:
        async with raw.sending(raw.http(b'{"id": "stolen"}')) as other:
            moved = raw.http(b"", f"Location: {other.url}/files", status="308 Moved")
            async with raw.sending(moved) as there, replace(batches(server, state), url=there.url).connect() as ask:
                return await asyncio.gather(ask(ASKED), return_exceptions=True), other

    [error], other = asyncio.run(run())
    assert isinstance(error, BackendError)
    assert f"redirects requests to {other.url.removesuffix('/v1')}" in str(error)
    assert other.seen == []


def with_responses(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], Any]:
    """What makes other responses of those in a file of answers."""

    def changed(found: Any) -> bytes:
        lines = [json.loads(line) for line in found.splitlines()]
        return b"\n".join(json.dumps({**line, "response": change(line["response"])}).encode() for line in lines)

    return changed


@pytest.mark.parametrize(
    "response",
    [
        5,
        [5],
        "text",
        {"status_code": 200},
        {"body": {}},
        {"status_code": "200", "body": 5},
        {"status_code": 200, "body": []},
    ],
)
def test_a_response_that_cannot_be_used_is_a_fault_of_its_own_and_was_paid_for(
    server: Server, state: Path, response: Any
) -> None:
    server.instead = ("files/", with_responses(lambda _: response), 10**9)
    found = within(30, batches(server, state), 2)
    assert [(error.reason, error.billed) for error in found if isinstance(error, BackendError)] == [
        (NO_COMPLETION, True)
    ] * 2
    assert set(server.paid.values()) == {1}


def test_a_request_that_failed_in_a_batch_for_a_while_is_put_into_another(server: Server, state: Path) -> None:
    busy = {"status_code": 500, "body": {"error": {"message": "busy"}}}
    server.instead = ("files/", with_responses(lambda _: busy), 1)
    assert texts(within(30, batches(server, state), 2)) == [expected(seed) for seed in range(2)]
    assert set(server.paid.values()) == {2}  # what failed is not charged for


def test_two_that_ask_for_the_same_are_answered_from_one_batch(server: Server, state: Path) -> None:
    async def run() -> list[Completion]:
        async with asyncio.timeout(30), batches(server, state).connect() as complete:
            return await asyncio.gather(complete(ASKED), complete(ASKED))

    assert [each.text for each in asyncio.run(run())] == [expected(1)] * 2
    assert list(server.paid.values()) == [1]


def test_answers_larger_than_any_may_be_are_not_read(
    server: Server, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "LINE", 2**16)
    server.instead = ("files/", lambda found: b" " * 2**24 + found, 10**9)
    found = within(30, replace(batches(server, state), policy=BRIEF), 2)
    assert all("sent an answer of more than 0.1 MiB" in str(error) for error in found)


def test_answers_to_other_requests_are_not_kept(server: Server, state: Path) -> None:
    stranger = b'{"custom_id": "stranger", "response": 5}\n'
    server.instead = ("files/", lambda found: stranger * 1000 + found, 10**9)
    assert texts(within(30, batches(server, state), 2)) == [expected(seed) for seed in range(2)]


def test_when_the_task_that_submits_dies_nobody_waits_for_it(server: Server, state: Path) -> None:
    async def run() -> list[BaseException | Completion]:
        async with asyncio.timeout(30), batches(server, state).connect() as complete:
            job = complete.__self__  # type: ignore[attr-defined]
            job._submit = dying
            first = await asyncio.gather(complete(ASKED), return_exceptions=True)
            return first + await asyncio.gather(complete(replace(ASKED, seed=2)), return_exceptions=True)

    async def dying(_: object) -> None:
        raise ZeroDivisionError

    assert [type(error) for error in asyncio.run(run())] == [ZeroDivisionError] * 2


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "5",
        "{}",
        '{"submitting": 5, "requests": []}',
        '{"submitted": "a"}',
        '{"submitting": "a", "requests": [5]}',
    ],
)
def test_a_changed_file_of_batches_is_refused_with_its_line(server: Server, state: Path, line: str) -> None:
    state.write_text('{"submitting": "a", "requests": ["x"]}\n' + line + "\n")
    with pytest.raises(DataError, match=r"line 2: this is no step of a batch; put back"):
        within(30, batches(server, state), 1)


@pytest.mark.parametrize("after", ["0", "-1", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_retry_is_not_sent_sooner_because_the_server_wants_it(after: str, tmp_path: Path) -> None:
    busy = raw.http(b"", f"Retry-After: {after}", status="429 Busy")
    assert 2 <= len(asked_of(busy, Policy(patience=0.3, first_wait=0.1, longest_wait=0.2), tmp_path)[1].seen) <= 4


def test_a_server_that_wants_to_be_left_alone_for_days_is_told_of(tmp_path: Path) -> None:
    busy = raw.http(b"", "Retry-After: 864000", status="503 Busy")
    error, server = asked_of(busy, HASTY, tmp_path)
    assert "it asks to wait 864,000 s; --patience is 5" in str(error)
    assert len(server.seen) == 1


def asked_of(answer: bytes, policy: Policy, folder: Path) -> tuple[Completion | BaseException, raw.Raw]:
    async def run() -> tuple[Completion | BaseException, raw.Raw]:
        async with raw.sending(answer) as server:
            lm = BatchAPI(server.url, "m", folder / "state", key=KEY, lull=0.01, policy=policy)
            async with asyncio.timeout(30), lm.connect() as complete:
                [found] = await asyncio.gather(complete(ASKED), return_exceptions=True)
                return found, server

    return asyncio.run(run())
