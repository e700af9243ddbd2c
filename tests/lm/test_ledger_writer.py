"""The thread that writes a ledger: whatever ends it, nobody waits for it, and what it raised is said."""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pneg.errors import LedgerError
from pneg.lm import Completion, Ledger, Recorded, Request, Run, Sampling, Scripted
from pneg.lm import ledger as module

ASKED = Request("Once", Sampling(), seed=1)
ERRORS = [
    OverflowError("Python int too large to convert to SQLite INTEGER"),
    UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
    MemoryError(),
    sqlite3.InterfaceError("bad parameter"),
    sqlite3.OperationalError("disk I/O error"),
    RuntimeError("a bug"),
    SystemExit(3),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def within_a_minute(work: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(limited())


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_all_who_wait_are_told_and_so_is_every_later_call(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    async def work(ledger: Ledger) -> list[BaseException | None]:
        some = [ledger.record(bytes([n]) * 32, ASKED, Completion("cat"), 0.1) for n in range(40)]
        return await asyncio.gather(*some, return_exceptions=True)

    def fail(self: Ledger, jobs: Sequence[object]) -> None:
        raise error

    with pytest.raises(LedgerError) as on_exit, Ledger(path, Run({})) as ledger:
        monkeypatch.setattr(Ledger, "_commit", fail)
        failed = within_a_minute(work(ledger))
        ledger._thread.join(60)
        assert not ledger._thread.is_alive()
        assert {type(each) for each in failed} == {LedgerError}
        with pytest.raises(LedgerError) as later:
            ledger.find(b"x" * 32)
        with pytest.raises(LedgerError):
            ledger.judge(b"x" * 32, ["empty"])
        with pytest.raises(LedgerError):
            ledger.attempted(ASKED, Completion(""), 0.1, "failed")
        with pytest.raises(LedgerError):
            within_a_minute(ledger.record(b"y" * 32, ASKED, Completion("late"), 0.1))
    assert on_exit.value is later.value
    assert str(path) in str(later.value)
    assert str(error) in str(later.value)
    assert later.value.__cause__ is error


def test_a_failure_is_not_hidden_by_the_error_that_ends_the_job(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Ledger, jobs: Sequence[object]) -> None:
        raise OverflowError("too large")

    with pytest.raises(LedgerError, match="OverflowError: too large"), Ledger(path, Run({})) as ledger:
        monkeypatch.setattr(Ledger, "_commit", fail)
        ledger.judge(b"x" * 32, ["empty"])
        raise KeyboardInterrupt


def test_a_closed_ledger_says_so_and_nobody_waits_for_it(path: Path) -> None:
    with Ledger(path, Run({})) as ledger:
        pass
    with pytest.raises(LedgerError, match="it is closed; open it again"):
        within_a_minute(ledger.record(b"y" * 32, ASKED, Completion("late"), 0.1))


@pytest.mark.parametrize("tokens", [10**30, -7, 1e30, float("nan"), "many", None, 2**63])
def test_tokens_that_are_no_number_of_them_are_not_known(path: Path, tokens: Any) -> None:
    odd = Completion("a cat", False, tokens, tokens, tokens)

    async def work(recorded: Recorded) -> Completion:
        async with recorded.connect() as complete:
            return await complete(ASKED)

    for _ in range(2):
        with Ledger(path, Run({})) as ledger:
            assert within_a_minute(work(Recorded(Scripted([odd]), ledger))) == Completion("a cat")


def test_half_a_surrogate_pair_in_the_model_s_name_is_kept_as_text(path: Path) -> None:
    odd = Completion("a cat", model="m\ud83d", backend="\udfffb")

    async def work(recorded: Recorded) -> list[str]:
        async with recorded.connect() as complete:
            said = await complete(ASKED)
            return [said.model, said.backend]

    for _ in range(2):
        with Ledger(path, Run({})) as ledger:
            assert within_a_minute(work(Recorded(Scripted([odd]), ledger))) == ["m?", "?b"]


def test_a_value_that_sqlite_cannot_hold_fails_all_and_keeps_what_was_there(path: Path) -> None:
    async def work(ledger: Ledger) -> None:
        await ledger.record(b"a" * 32, ASKED, Completion("kept"), 0.1)
        with pytest.raises(LedgerError, match="OverflowError"):
            await ledger.record(b"b" * 32, replace(ASKED, seed=2**70), Completion("lost"), 0.1)

    with pytest.raises(LedgerError, match="OverflowError"), Ledger(path, Run({})) as ledger:
        within_a_minute(work(ledger))
    with Ledger(path, Run({})) as ledger:
        assert ledger.find(b"a" * 32) == (Completion("kept"), "")
        assert ledger.find(b"b" * 32) is None


def test_every_column_of_an_answer_is_a_part_of_a_completion() -> None:
    assert module.ANSWER.split(", ") == [
        "text", "cut", "prompt_tokens", "completion_tokens", "cached_tokens", "model", "backend",
    ]  # fmt: skip
