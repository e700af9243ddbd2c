"""The Batch API against a small server on the loopback that stores files and works through batches."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import chaos
from pneg.cli import main
from pneg.errors import BackendError
from pneg.lm import BatchAPI, Completion, Policy, Request, Sampling

KEY = "sk-a-key-that-must-not-be-seen"
HASTY = Policy(patience=5.0, first_wait=0.01, longest_wait=0.05)
ASKED = Request('"""\nA: Hi there.\n"""\n1.', Sampling(), seed=1)


class Server(ThreadingHTTPServer):
    """Stores files; a batch is done when it was looked at twice.

    Attributes:
        paid: how often each request was put into a batch.
        lose: so many answers to the making of a batch get lost on their way.
        hold: no batch ends.
        expire: custom ids are asked here whether they are left out of the next batch's answers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.paid: Counter[str] = Counter()
        self.lose, self.hold, self.fails, self.expires = 0, False, "", 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

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
            rest = newest[names.index(after) + 1 :] if after else newest
            return self.say({"data": rest[:1], "has_more": len(rest) > 1})  # pages of one
        if path.startswith("batches/"):
            batch = server.batches[path.partition("/")[2]]
            batch["looks"] += 1
            if batch["looks"] == 2 and not server.hold:
                server.work(batch)
            return self.say(batch)
        return self.say(server.files[path.split("/")[1]])

    def say(self, found: Any) -> None:
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
