"""The ledger: what is in it is not asked for again, and what keeps it from being written is said."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pneg.errors import BackendError, LedgerError
from pneg.lm import Completion, LanguageModel, Ledger, Recorded, Request, Run, Sampling, Scripted
from pneg.lm import ledger_file as module
from pneg.lm.base import Complete

ASKED = Request("Once", Sampling(), seed=1)


def ask(lm: LanguageModel, *requests: Request) -> list[Completion]:
    async def all_of() -> list[Completion]:
        async with lm.connect() as complete:
            return list(await asyncio.gather(*(complete(request) for request in requests)))

    return asyncio.run(all_of())


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_what_was_answered_is_not_asked_again(path: Path) -> None:
    said = Completion(" a cat \N{CAT}", True, 4, 5, 3, model="m-0613", backend="b42")
    for times in range(2):
        lm = Scripted([said])
        with Ledger(path, Run({})) as ledger:
            recorded = Recorded(lm, ledger)
            [found] = ask(recorded, ASKED)
        assert (found, found.model, found.backend) == (said, "m-0613", "b42")
        assert (len(lm.requests), recorded.replayed) == (1 - times, times)
    assert rows(path, "SELECT run, seed, text, cut, prompt_tokens, cached_tokens, model, backend FROM requests") == [
        (1, 1, " a cat \N{CAT}", 1, 4, 3, "m-0613", "b42")
    ]


def test_an_answer_is_on_the_disk_before_it_is_used(path: Path) -> None:
    async def run() -> list[tuple[object, ...]]:
        with Ledger(path, Run({})) as ledger:
            async with Recorded(Scripted(["cat"]), ledger).connect() as complete:
                await complete(ASKED)
                return rows(path, "SELECT text FROM requests")

    assert asyncio.run(run()) == [("cat",)]


def test_a_row_says_when_it_was_answered_and_how_long_that_took(path: Path) -> None:
    class Slow(Scripted):
        @asynccontextmanager
        async def connect(self) -> AsyncIterator[Complete]:
            async def complete(_: Request) -> Completion:
                await asyncio.sleep(0.05)
                return Completion("cat")

            yield complete

    before = time.time()
    with Ledger(path, Run({})) as ledger:
        ask(Recorded(Slow([]), ledger), ASKED)
    [(at, seconds)] = rows(path, "SELECT at, seconds FROM requests")
    assert isinstance(at, float) and isinstance(seconds, float)
    assert before + 0.04 < at < time.time()
    assert 0.04 < seconds <= at - before + 0.01


def test_a_ledger_is_in_wal_mode_and_each_commit_waits_for_the_disk(path: Path) -> None:
    with Ledger(path, Run({})) as ledger:
        for connection in (ledger._reader, ledger._writer):
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, seed=2),
        replace(ASKED, prompt="Once "),
        replace(ASKED, schema="{}"),
        replace(ASKED, sampling=Sampling(temperature=0.7)),
        replace(ASKED, sampling=Sampling(stop=("\n",))),
        replace(ASKED, sampling=Sampling(max_tokens=255)),
    ],
)
def test_another_request_is_another_row(path: Path, other: Request) -> None:
    lm = Scripted(["one", "two"])
    found = []
    for request in (ASKED, other, ASKED):
        with Ledger(path, Run({})) as ledger:
            found += ask(Recorded(lm, ledger), request)
    assert [said.text for said in found] == ["one", "two", "one"]


def test_another_model_and_another_form_are_other_rows(path: Path) -> None:
    lm = Scripted(["one", "two", "three"])
    other = Scripted(["four"])
    other.name = "other"
    found = []
    for model, form in ((lm, ""), (lm, "chat"), (other, ""), (lm, "")):
        with Ledger(path, Run({})) as ledger:
            found += ask(Recorded(model, ledger, form), ASKED)
    assert [said.text for said in found] == ["one", "two", "four", "one"]


def test_what_begins_like_another_hash_is_told_from_it(path: Path) -> None:
    async def run() -> None:
        with Ledger(path, Run({})) as ledger:
            await ledger.record(b"12345678" + b"a" * 24, ASKED, Completion("a"), 0.1)
        with Ledger(path, Run({})) as ledger:
            assert ledger.find(b"12345678" + b"b" * 24) is None
            assert ledger.find(b"12345678" + b"a" * 24) == (Completion("a"), "")

    asyncio.run(run())


def test_faults_are_noted_with_the_row(path: Path) -> None:
    with Ledger(path, Run({})) as ledger:
        recorded = Recorded(Scripted(["one"]), ledger)
        ask(recorded, ASKED)
        recorded.judge(ASKED, ["underscores", "empty"])
    assert rows(path, "SELECT faults FROM requests") == [('["underscores", "empty"]',)]


@pytest.mark.parametrize("billed", [True, False])
def test_a_refusal_is_asked_again_unless_it_was_paid_for(path: Path, billed: bool) -> None:
    asked = []

    def refuse(request: Request) -> str:
        asked.append(request)
        raise BackendError("no", reason="refused by the model", billed=billed)

    for _ in range(2):
        with Ledger(path, Run({})) as ledger, pytest.raises(BackendError) as caught:
            ask(Recorded(Scripted(refuse), ledger), ASKED)
        assert caught.value.reason == "refused by the model"
    assert len(asked) == (1 if billed else 2)


def test_a_failed_request_leaves_no_row(path: Path) -> None:
    def fail(_: Request) -> str:
        raise BackendError("no", retryable=True)

    with Ledger(path, Run({})) as ledger, pytest.raises(BackendError):
        ask(Recorded(Scripted(fail), ledger), ASKED)
    assert rows(path, "SELECT count(*) FROM requests") == [(0,)]


def test_half_a_surrogate_pair_is_kept_as_text_and_given_alike(path: Path) -> None:
    for _ in range(2):
        with Ledger(path, Run({})) as ledger:
            assert ask(Recorded(Scripted(["a\ud800b"]), ledger), ASKED)[0].text == "a?b"


def test_answers_that_come_together_share_a_transaction(path: Path) -> None:
    requests = [replace(ASKED, seed=seed) for seed in range(500)]
    with Ledger(path, Run({})) as ledger:
        ask(Recorded(Scripted(lambda request: str(request.seed)), ledger), *requests)
    assert rows(path, "SELECT count(*), sum(text = seed) FROM requests") == [(500, 500)]


def test_a_full_disk_stops_with_what_to_do_and_keeps_what_was_there(path: Path) -> None:
    with Ledger(path, Run({})) as ledger:
        ask(Recorded(Scripted(["kept"]), ledger), ASKED)
        pages = ledger._writer.execute("PRAGMA page_count").fetchone()[0]
        ledger._writer.execute(f"PRAGMA max_page_count = {pages}")
        lm = Scripted(["x" * 100_000])
        recorded = Recorded(lm, ledger)
        with pytest.raises(LedgerError) as caught:
            ask(recorded, replace(ASKED, seed=2))
        assert str(caught.value) == (
            f"{path}: the disk is full; nothing that was answered before is lost; "
            "make room and give the same command again"
        )
        with pytest.raises(LedgerError, match="the disk is full"):
            ask(recorded, replace(ASKED, seed=3))
        assert len(lm.requests) == 1  # what cannot be kept is not asked for
        ledger._failed = None
    assert rows(path, "SELECT text FROM requests") == [("kept",)]


def test_a_fault_that_could_not_be_noted_is_not_kept_quiet(path: Path) -> None:
    with pytest.raises(LedgerError, match="the disk is full"), Ledger(path, Run({})) as ledger:
        recorded = Recorded(Scripted(["kept"]), ledger)
        ask(recorded, ASKED)
        pages = ledger._writer.execute("PRAGMA page_count").fetchone()[0]
        ledger._writer.execute(f"PRAGMA max_page_count = {pages}")
        recorded.judge(ASKED, ["x" * 100_000])


def test_a_locked_ledger_stops_with_what_to_do(path: Path) -> None:
    with Ledger(path, Run({}), patience=0.05) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=f"{path}: another process has locked it; wait for that to end"):
            ask(Recorded(Scripted(["one"]), ledger), ASKED)
        with pytest.raises(LedgerError, match="another process has locked it"):
            Ledger(path, Run({}), patience=0.05)
        other.close()
        ledger._failed = None


def test_two_jobs_may_share_a_ledger(path: Path) -> None:
    def job(first: int) -> None:
        with Ledger(path, Run({"first": first})) as ledger:
            recorded = Recorded(Scripted(lambda request: str(request.seed)), ledger)
            for seed in range(first, first + 50):
                ask(recorded, replace(ASKED, seed=seed))

    threads = [threading.Thread(target=job, args=(first,)) for first in (0, 50, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(path, "SELECT count(*), min(seed), max(seed) FROM requests") == [(100, 0, 99)]


def test_a_new_ledger_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    failed: list[LedgerError] = []

    def job(path: Path) -> None:
        try:
            with Ledger(path, Run({})):
                pass
        except LedgerError as error:
            failed.append(error)

    for number in range(50):
        threads = [threading.Thread(target=job, args=(tmp_path / f"{number}.sqlite",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda path: path.write_text("no database, but text " * 100), "it is no ledger; choose another --ledger"),
        (lambda path: path.mkdir(), "it cannot be opened; check the path"),
    ],
)
def test_a_file_that_is_no_ledger_is_named(path: Path, made: object, says: str) -> None:
    made(path)  # type: ignore[operator]
    with pytest.raises(LedgerError, match=says) as caught:
        Ledger(path, Run({}))
    assert str(path) in str(caught.value)


def test_the_settings_of_each_run_are_kept(path: Path) -> None:
    for seed in (0, 1):
        with Ledger(path, Run({"seed": seed}, "0.5", "0.25", "1.5")):
            pass
    found = rows(path, "SELECT id, settings, price_in, price_cached, price_out FROM runs")
    assert found == [(1 + n, json.dumps({"seed": n}), "0.5", "0.25", "1.5") for n in (0, 1)]


def test_every_message_has_a_remedy() -> None:
    assert all(found and remedy for found, remedy in module.SAID.values())
