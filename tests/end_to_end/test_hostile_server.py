"""Whatever a server answers, a job ends in time with a whole output or one clear message, and its ledger goes on.

The examples are few and always the same; with the environment variable `PNEG_FUZZ=2000` so many others are drawn.
"""

import faulthandler
import io
import json
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings

import chaos
from hostile import PLANS, Answer, Server
from pneg import Dialogue, lm, read, write
from pneg.cli import main

MODES = {
    "completions": (),
    "chat": ("--endpoint", "chat"),
    "schema": ("--endpoint", "chat", "--schema"),
    "batch": ("--batch",),
}
EXAMPLES = int(os.environ.get("PNEG_FUZZ", "0"))
PROFILE = settings(
    max_examples=EXAMPLES or 8,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
DIALOGUES = [
    Dialogue(f"d{n}", (f"Is the {word} ready for us now?", "Not yet, I am afraid."), (f"The {word} comes soon.",))
    for n, word in enumerate(("soup", "train", "report"))
]
LIMIT = 60
"""Seconds after which a job that should take less than one is taken for one that hangs."""
COMMAND = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with chaos.serving(Server()) as made:  # type: ignore[arg-type]
        yield made
        made.released.set()


@pytest.fixture(scope="module", autouse=True)
def hasty() -> Iterator[None]:
    """Waits are as short as a loopback allows."""
    with pytest.MonkeyPatch.context() as patch:
        quick = partial(lm.Policy, first_wait=0.005, longest_wait=0.02, failures=3, first_patience=0.1)
        patch.setattr(lm, "Policy", quick)
        patch.setattr(lm, "BatchAPI", partial(lm.BatchAPI, lull=0.02, poll=0.01))
        patch.setenv("OPENAI_API_KEY", "sk-a-key-that-must-not-be-seen")
        yield


def command(*words: object) -> tuple[int, str, str]:
    """Run a command on a thread of its own, so that one that hangs is seen; its status and what it printed."""
    out, err, statuses = io.StringIO(), io.StringIO(), list[int]()

    def run() -> None:
        with redirect_stdout(out), redirect_stderr(err):
            statuses.append(main([str(word) for word in words]))

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    if thread.is_alive():
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"the command hangs; it has said {err.getvalue()!r}")
    assert len(statuses) == 1, "the command ended with a stack trace"
    return statuses[0], out.getvalue(), err.getvalue()


def prompted(folder: Path, server: Server, out: str, *more: object) -> tuple[int, str, str]:
    words = ["negatives", "prompted", folder / "in.jsonl", "-o", folder / out, "--ledger", folder / "ledger.sqlite"]
    words += ["--lm", server.url, "--model", "m", "--timeout", 0.3, "--patience", 0.2, "--attempts", 3]
    return command(*words, "--price-in", 1, "--price-out", 2, "--json", *more)


def seeds(folder: Path) -> set[int]:
    """Of the requests that were answered."""
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        return {seed for (seed,) in connection.execute("SELECT seed FROM requests WHERE refused = ''")}


def check(status: int, out: str, err: str, folder: Path, name: str) -> None:
    """A job that is done has written all, one that failed says why in one line."""
    assert "Traceback" not in err and "Exception" not in err, err
    assert "sk-a-key" not in out + err
    assert not COMMAND.search(err.replace("\r", "")), err
    messages = re.findall("pneg: .*", err)
    if status == 0:
        assert [dialogue.id for dialogue in read(folder / name)] == ["d0", "d1", "d2"]
        assert json.loads(out, parse_constant=pytest.fail)["dialogues"] == 3
    else:
        assert (status, len(messages), out) == (1, 1, ""), (status, err, out)
        assert not (folder / name).exists()


def job(server: Server, plan: Sequence[Answer], mode: str, concurrency: int) -> None:
    """A job over a server that answers by a plan, the same one again over a good server, and a look at the ledger."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder / "in.jsonl", DIALOGUES)
        server.forget_batches()
        server.begin(plan)
        more = [*MODES[mode], "--concurrency", concurrency]
        first = prompted(folder, server, "out.jsonl", *more)
        check(*first, folder, "out.jsonl")
        kept = seeds(folder)
        if mode != "batch" and concurrency == 1:
            assert set(server.good) <= kept  # what was answered well is in the ledger, whatever came after it
        server.begin(())
        name = "again.jsonl" if first[0] == 0 else "out.jsonl"
        second = prompted(folder, server, name, *more)
        assert second[0] == 0, (first, second)
        check(*second, folder, name)
        assert not kept & set(server.asked)
        status, out, err = command("ledger", folder / "ledger.sqlite", "--json")
        assert (status, err) == (0, "")
        shown = json.loads(out, parse_constant=pytest.fail)
        assert shown["dollars"] == json.loads(second[1])["dollars"]
        assert float(shown["dollars"]) >= 0


@pytest.mark.parametrize("mode", MODES)
@PROFILE
@given(plan=PLANS)
def test_a_job_survives_what_one_request_after_the_other_is_answered(
    mode: str, server: Server, plan: list[Answer]
) -> None:
    job(server, plan, mode, 1)


@pytest.mark.parametrize("mode", MODES)
@PROFILE
@given(plan=PLANS)
def test_a_job_survives_what_requests_beside_each_other_are_answered(
    mode: str, server: Server, plan: list[Answer]
) -> None:
    job(server, plan, mode, 3)


@pytest.mark.parametrize("mode", ["completions", "schema"])
@PROFILE
@given(plan=PLANS)
def test_a_server_that_never_answers_well_ends_a_job(mode: str, server: Server, plan: list[Answer]) -> None:
    job(server, plan * 40, mode, 2)
