"""`pneg negatives prompted`, killed at random moments: nothing that was answered is asked for again."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from chaos import Server, serving

KEY = "sk-a-key-that-must-not-be-seen"
CONCURRENCY = 4
KILLS = 20


def command(server: Server, out: Path, *more: str) -> list[str]:
    words = ["negatives", "prompted", "starter:test", "-o", str(out), "--lm", server.url, "--model", "m", "--json"]
    return [sys.executable, "-m", "pneg", *words, "--concurrency", str(CONCURRENCY), *more]


def run(words: list[str]) -> dict[str, Any]:
    env = {**os.environ, "OPENAI_API_KEY": KEY}
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows(ledger: Path) -> int:
    """Answers in the ledger, read as another process would."""
    if not ledger.exists():
        return 0
    with sqlite3.connect(ledger) as connection:
        try:
            found: int = connection.execute("SELECT count(*) FROM requests").fetchone()[0]
        except sqlite3.OperationalError:  # killed before the tables were made
            return 0
    return found


def kill_at_a_random_moment(server: Server, words: list[str], moments: random.Random, any_time: bool) -> bool:
    """Start the job and kill it, soon after it asked for something new or at any time; False if it was done first."""
    server.arrived.clear()
    env = {**os.environ, "OPENAI_API_KEY": KEY}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as process:
        if any_time:
            time.sleep(moments.uniform(0.0, 2.0))
        else:
            server.arrived.wait(60)
            time.sleep(moments.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        return process.wait() != 0


def test_a_job_killed_at_twenty_random_moments_pays_for_nothing_twice(tmp_path: Path) -> None:
    moments = random.Random(7)
    with serving(Server()) as server:
        whole = run(command(server, tmp_path / "whole.jsonl"))
        needed = dict(server.asked)
    assert whole["regenerated"] > 20
    assert set(whole["counts"]) == {"underscores"}
    assert set(needed.values()) == {1}
    out, ledger = tmp_path / "out.jsonl", tmp_path / "out.jsonl.ledger.sqlite"
    kills = in_flight = 0
    with serving(Server(delay=0.16)) as server:
        for number in range(KILLS):
            kills += kill_at_a_random_moment(server, command(server, out), moments, number % 4 == 3)
            server.wait_until_all_is_read()
            lost = len(server.asked) - rows(ledger)
            assert 0 <= lost <= CONCURRENCY
            in_flight += lost
        assert not out.exists()
        found = run(command(server, out))
    repeated = sum(server.asked.values()) - len(server.asked)
    sys.stdout.write(
        f"{kills} kills, {len(needed)} requests needed, {sum(server.asked.values())} sent, {repeated} repeated, "
        f"{in_flight} in flight at the kills\n"
    )
    assert kills == KILLS
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert set(server.asked) == set(needed)
    assert repeated <= in_flight <= KILLS * CONCURRENCY
    assert found["dialogues"] == 100
    assert KEY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    server.asked.clear()
    again = run(command(server, out, "--force"))
    assert (again["from_ledger"], again["requests"]) == (len(needed), len(needed))
    assert not server.asked
