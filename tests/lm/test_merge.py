"""Ledgers become one: what was paid for is there, once, and is paid for once, however often they are joined."""

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from pneg.errors import LedgerError
from pneg.lm import Completion, Ledger, Recorded, Request, Run, Sampling, Scripted, snapshot
from pneg.lm.ledger import merge

PAID = Completion("a cat", prompt_tokens=1_000_000, completion_tokens=0)
TABLES = ("runs", "requests")


def record(path: Path, *prompts: str, faults: tuple[str, ...] = (), started: str = "") -> None:
    """Ask for answers that cost two dollars each."""

    async def ask(lm: Recorded) -> None:
        async with lm.connect() as complete:
            for prompt in prompts:
                await complete(Request(prompt, Sampling(), 1))
                lm.judge(Request(prompt, Sampling(), 1), faults)

    with Ledger(path, Run({"seed": 1}, "2", "0", "0")) as ledger:
        asyncio.run(ask(Recorded(Scripted(lambda _: PAID), ledger)))
    if started:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE runs SET started = ?", (started,))


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return number


def spent(path: Path) -> Decimal:
    with Ledger(path, Run({"of": "the test"})) as ledger:
        return ledger.spent()


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Two ledgers of one job, and one of another time."""
    found = [tmp_path / f"{n}.sqlite" for n in range(3)]
    for number, shard in enumerate(found):
        record(shard, f"a{number}", f"b{number}", started=f"2026-01-0{1 + number // 2}T00:00:00+00:00")
    return found


def test_the_answers_of_all_are_in_one_and_cost_what_they_cost(tmp_path: Path, shards: list[Path]) -> None:
    merge(tmp_path / "whole.sqlite", shards)
    assert [count(tmp_path / "whole.sqlite", table) for table in TABLES] == [2, 6]
    assert spent(tmp_path / "whole.sqlite") == 12


def test_a_ledger_taken_in_again_adds_only_what_is_new(tmp_path: Path, shards: list[Path]) -> None:
    whole = tmp_path / "whole.sqlite"
    merge(whole, shards)
    merge(whole, shards)
    assert [count(whole, table) for table in TABLES] == [2, 6]
    record(shards[0], "c0", started="2026-01-01T00:00:00+00:00")
    merge(whole, shards)
    assert [count(whole, table) for table in TABLES] == [2, 7]
    assert spent(whole) == 14


def test_an_answer_keeps_the_price_of_its_own_run(tmp_path: Path) -> None:
    record(tmp_path / "dear.sqlite", "a")
    record(tmp_path / "whole.sqlite", "b")
    with closing(sqlite3.connect(tmp_path / "dear.sqlite")) as connection, connection:
        connection.execute("UPDATE runs SET price_in = '5'")
    for _ in range(2):
        merge(tmp_path / "whole.sqlite", [tmp_path / "dear.sqlite"])
    assert spent(tmp_path / "whole.sqlite") == 7


def test_a_verdict_that_came_later_is_taken_in(tmp_path: Path) -> None:
    whole, shard = tmp_path / "whole.sqlite", tmp_path / "0.sqlite"
    record(shard, "a")
    with closing(sqlite3.connect(shard)) as connection, connection:
        connection.execute("UPDATE requests SET faults = NULL")  # killed before it was judged
    merge(whole, [shard])
    record(shard, "a", faults=("empty",))
    merge(whole, [shard])
    with closing(sqlite3.connect(whole)) as connection:
        assert connection.execute("SELECT faults FROM requests").fetchall() == [('["empty"]',)]


def test_a_ledger_whose_job_was_killed_before_it_had_tables_has_nothing(tmp_path: Path, shards: list[Path]) -> None:
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    merge(tmp_path / "whole.sqlite", [empty, *shards])
    assert count(tmp_path / "whole.sqlite", "requests") == 6


def test_a_damaged_ledger_is_named_and_what_came_before_it_is_kept(tmp_path: Path, shards: list[Path]) -> None:
    whole, damaged = tmp_path / "whole.sqlite", tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no ledger at all" * 100)
    with pytest.raises(LedgerError, match=r"damaged\.sqlite: it is no ledger"):
        merge(whole, [shards[0], damaged, shards[1]])
    assert count(whole, "requests") == 2
    damaged.unlink()
    merge(whole, shards)
    assert spent(whole) == 12


def test_a_copy_answers_what_the_ledger_had_and_is_one_file(tmp_path: Path) -> None:
    ledger, copy = tmp_path / "ledger.sqlite", tmp_path / "copies" / "known #1?.sqlite"
    copy.parent.mkdir()
    record(ledger, "a")
    with closing(sqlite3.connect(ledger)) as other:  # somebody has it open: the last rows are not in its file yet
        other.execute("SELECT * FROM requests").fetchall()
        record(ledger, "b")
        snapshot.take(ledger, copy)
    assert list(copy.parent.iterdir()) == [copy]
    record(tmp_path / "other.sqlite", "c")
    keys = [Recorded(Scripted([]), None).key(Request(name, Sampling(), 1)) for name in "abc"]  # type: ignore[arg-type]
    copy.chmod(0o444)
    with snapshot.reading(copy) as find:
        assert [find(key) for key in keys] == [(PAID, ""), (PAID, ""), None]
    assert list(copy.parent.iterdir()) == [copy]


def test_no_ledger_leaves_no_copy(tmp_path: Path) -> None:
    copy = tmp_path / "known.sqlite"
    copy.write_bytes(b"of an earlier ledger")
    snapshot.take(tmp_path / "nowhere.sqlite", copy)
    assert not copy.exists()
    with snapshot.reading(copy) as find:
        assert find(b"1" * 32) is None
    assert not (tmp_path / "nowhere.sqlite").exists()


def test_a_copy_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "known.sqlite").write_bytes(b"nothing of the kind" * 100)
    with (
        snapshot.reading(tmp_path / "known.sqlite") as find,
        pytest.raises(LedgerError, match=r"known\.sqlite: it is no ledger"),
    ):
        find(b"1" * 32)


def test_an_answer_of_a_copy_is_not_asked_for_again(tmp_path: Path) -> None:
    ledger, copy = tmp_path / "ledger.sqlite", tmp_path / "known.sqlite"
    record(ledger, "a")
    snapshot.take(ledger, copy)
    lm = Scripted(["a dog"])

    async def ask(recorded: Recorded) -> list[str]:
        async with recorded.connect() as complete:
            return [(await complete(Request(prompt, Sampling(), 1))).text for prompt in "ab"]

    with Ledger(tmp_path / "mine.sqlite", Run({})) as mine, snapshot.reading(copy) as find:
        recorded = Recorded(lm, mine, earlier=find)
        assert asyncio.run(ask(recorded)) == ["a cat", "a dog"]
    assert ([request.prompt for request in lm.requests], recorded.replayed) == (["b"], 1)
    assert count(tmp_path / "mine.sqlite", "requests") == 1
