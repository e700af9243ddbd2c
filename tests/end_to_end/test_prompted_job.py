"""`pneg negatives prompted` against a server on the loopback: killed at any moment it goes on and loses nothing."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from pneg import read

NEVER = Event()
KEY = "sk-a-key-that-must-not-be-seen"


class Server:
    """Writes five responses that depend on the prompt alone, and counts prompts."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
                asked[prompt] += 1
                words = re.findall(r"\w+", prompt.rsplit('"""', 2)[1])
                lines = [f"{n}. About {words[-n]} number {n}, {len(prompt)}" for n in range(1, 6)]
                text = "\n".join(lines).removeprefix("1.")
                choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
                body = json.dumps(
                    {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing to standard error."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = Thread(target=made.http.serve_forever)
    thread.start()
    yield made
    made.http.shutdown()
    made.http.server_close()
    thread.join()


def command(server: Server, out: Path, *more: str) -> list[str]:
    words = ["negatives", "prompted", "starter:test", "-o", str(out), "--lm", server.url, "--model", "m", "--json"]
    return [sys.executable, "-m", "pneg", *words, "--concurrency", "2", *more]


def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, "OPENAI_API_KEY": KEY}, **options)


def test_a_job_writes_every_dialogue_and_says_what_it_took(server: Server, tmp_path: Path) -> None:
    done = run(command(server, tmp_path / "out.jsonl"), check=True)
    found = json.loads(done.stdout)
    assert (found["dialogues"], found["requests"], found["regenerated"]) == (100, 100, 0)
    assert found["counts"] == {}
    written = list(read(tmp_path / "out.jsonl"))
    assert [d.id for d in written] == [f"starter-test-{n:03}" for n in range(1, 101)]
    assert all(len(d.negatives["prompted"]) == 5 and len(d.negatives["human"]) == 5 for d in written)
    assert KEY not in done.stdout + done.stderr + (tmp_path / "out.jsonl").read_text()
    again = run(command(server, tmp_path / "out.jsonl"))
    assert again.returncode == 2
    assert "--force" in again.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_job_goes_on_where_it_was(server: Server, tmp_path: Path, how: signal.Signals) -> None:
    run(command(server, tmp_path / "whole.jsonl"), check=True)
    server.asked.clear()
    out = tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.unfinished"
    for share in (10, 45, 80):
        with subprocess.Popen(
            command(server, out),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OPENAI_API_KEY": KEY},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > share):
                NEVER.wait(0.05)
            process.send_signal(how)
            _, said = process.communicate(timeout=300)
        if process.returncode == 0:
            break
        assert not out.exists()
        if how == signal.SIGINT:
            assert b"give the same command to go on" in said
            assert b"Traceback" not in said
    if not out.exists():
        found = json.loads(run(command(server, out), check=True).stdout)
        assert found["resumed"] >= 80
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not journal.exists()
    # at each of three stops at most what was in work or waited for its turn to be written is asked for again
    assert sum(server.asked.values()) <= 100 + 3 * (4 * 2 + 2)


def test_a_job_with_other_settings_is_refused_in_the_middle(server: Server, tmp_path: Path) -> None:
    journal = tmp_path / "out.jsonl.unfinished"
    with subprocess.Popen(command(server, tmp_path / "out.jsonl"), stdout=subprocess.PIPE) as process:
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
            NEVER.wait(0.05)
        process.kill()
    done = run(command(server, tmp_path / "out.jsonl", "--seed", "1"))
    assert done.returncode == 2
    assert "a job with other settings was stopped here" in done.stderr


def test_a_server_that_is_down_costs_nothing_that_was_done(server: Server, tmp_path: Path) -> None:
    words = command(server, tmp_path / "out.jsonl")
    place = words.index("--lm") + 1
    done = run([*words[:place], "http://127.0.0.1:9/v1", *words[place + 1 :]])
    assert done.returncode == 1
    assert "http://127.0.0.1:9/v1 cannot be reached; check --lm" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_cluster_writes_what_one_process_does_and_keeps_every_answer(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    run(command(server, tmp_path / "one.jsonl"), check=True)
    asked = sum(server.asked.values())
    done = run(command(server, tmp_path / "many.jsonl", "--engine", "ray", "--workers", "1"), check=True)
    assert list(read(tmp_path / "many.jsonl")) == list(read(tmp_path / "one.jsonl"))
    found = json.loads(done.stdout)
    assert (found["dialogues"], found["resumed"]) == (100, 0)
    assert sum(server.asked.values()) == 2 * asked
    ledgers = [tmp_path / f"{name}.jsonl.ledger.sqlite" for name in ("one", "many")]
    rows = [
        set(sqlite3.connect(ledger).execute("SELECT hash, text, seed, faults FROM requests")) for ledger in ledgers
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == asked
    shared = ("--engine", "ray", "--workers", "1", "--ledger", str(ledgers[0]))
    run(command(server, tmp_path / "again.jsonl", *shared), check=True)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert sum(server.asked.values()) == 2 * asked
    again = run(command(server, tmp_path / "many.jsonl", "--force"), check=True)
    assert json.loads(again.stdout)["from_ledger"] == asked
    assert sum(server.asked.values()) == 2 * asked
    assert not list(tmp_path.glob("*.parts"))


@pytest.mark.parametrize(
    "words", [["--reuse"], ["--budget", "1", "--price-in", "1", "--price-out", "1"], ["--batch"]]
)
def test_what_needs_one_process_is_refused_on_a_cluster(server: Server, tmp_path: Path, words: list[str]) -> None:
    done = run(command(server, tmp_path / "out.jsonl", "--engine", "ray", *words))
    assert done.returncode == 2
    assert "--engine ray goes without" in done.stderr


def test_a_server_that_caches_nothing_is_noticed_where_prompts_begin_alike(server: Server, tmp_path: Path) -> None:
    shared = run(command(server, tmp_path / "shared.jsonl", "--demonstration-sets", "2"), check=True)
    assert "the server reports no cached token; turn on its prompt cache" in shared.stderr
    own = run(command(server, tmp_path / "own.jsonl"), check=True)
    assert "cached" not in own.stderr
