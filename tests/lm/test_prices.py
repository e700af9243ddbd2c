"""What tokens cost, and that a budget is not passed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from pneg.errors import BackendError, BudgetExceeded
from pneg.lm import (
    Complete,
    Completion,
    LanguageModel,
    Ledger,
    Metered,
    Price,
    Recorded,
    Request,
    Run,
    Sampling,
    Scripted,
)
from pneg.lm.prices import MARGIN, known

PRICE = Price(Decimal("0.15"), Decimal("0.075"), Decimal("0.60"))
DOLLAR_A_TOKEN = Price(Decimal(1_000_000), Decimal(1_000_000), Decimal(1_000_000))
ASKED = Request("x" * 488, Sampling(max_tokens=100), seed=0)  # at most 488 + 512 + 100 tokens


def ask(lm: LanguageModel, *requests: Request) -> list[Completion | BaseException]:
    async def all_of() -> list[Completion | BaseException]:
        async with lm.connect() as complete:
            return await asyncio.gather(*(complete(request) for request in requests), return_exceptions=True)

    return asyncio.run(all_of())


def test_cached_tokens_cost_less_and_nothing_is_rounded() -> None:
    # 600 at .15, 400 at .075, 100 at .60 a million
    assert PRICE.of(1_000, 400, 100) == Decimal("0.00018")
    assert sum((PRICE.of(1, 0, 0) for _ in range(1_000_000)), Decimal(0)) == Decimal("0.15")
    assert (PRICE * Decimal("0.5")).of(1_000, 400, 100) == Decimal("0.00009")


def test_published_prices() -> None:
    assert known("gpt-4o-mini", "https://api.openai.com/v1") == PRICE
    assert known("a-model-nobody-sells", "https://api.openai.com/v1") is None
    assert known("gpt-4o-mini", "http://127.0.0.1:8000/v1") is None


def test_the_cost_is_summed_up() -> None:
    metered = Metered(Scripted([Completion("", False, 1_000, 100, 400)]), PRICE, spent=Decimal("0.5"))
    ask(metered, *[replace(ASKED, seed=seed) for seed in range(10)])
    assert metered.spent == Decimal("0.5018")
    assert (metered.prompt_tokens, metered.cached_tokens, metered.completion_tokens) == (10_000, 4_000, 1_000)


@pytest.mark.parametrize("concurrency", [1, 50])
def test_a_budget_is_never_passed_and_what_was_sent_is_answered_first(concurrency: int) -> None:
    working = 0

    class Slow(Scripted):
        def connect(self):  # type: ignore[no-untyped-def]
            from contextlib import asynccontextmanager

            @asynccontextmanager
            async def connected():  # type: ignore[no-untyped-def]
                async def complete(_: Request) -> Completion:
                    nonlocal working
                    working += 1
                    await asyncio.sleep(0.001)
                    working -= 1
                    return Completion("one", False, 150, 50)

                yield complete

            return connected()

    assert len(ASKED.prompt) + MARGIN + ASKED.sampling.max_tokens == 1_100
    metered = Metered(Slow([]), DOLLAR_A_TOKEN, Decimal(4_000))
    answered: list[Completion] = []
    errors: list[BudgetExceeded] = []

    async def run() -> None:
        free = asyncio.Semaphore(concurrency)

        async def one(seed: int) -> None:
            async with free:
                try:
                    answered.append(await complete(replace(ASKED, seed=seed)))
                except BudgetExceeded as error:
                    assert working == 0
                    errors.append(error)

        async with metered.connect() as complete:
            await asyncio.gather(*(one(seed) for seed in range(40)))

    asyncio.run(run())
    # 200 each; when 3,000 are spent the next may cost 1,100 and would pass it
    assert (len(answered), len(errors), metered.spent) == (15, 25, 3_000)
    assert "3000.0000 of 4000 dollars are spent, and the next request may cost 1100.0000" in str(errors[0])
    assert "higher --budget" in str(errors[0])


def test_nothing_is_sent_once_a_request_has_ended_the_job() -> None:
    sent: list[int] = []

    class Slow(Scripted):
        @asynccontextmanager
        async def connect(self) -> AsyncIterator[Complete]:
            async def complete(request: Request) -> Completion:
                sent.append(request.seed)
                await asyncio.sleep(0.01)
                return Completion("one", False, 150, 50)

            yield complete

    metered = Metered(Slow([]), DOLLAR_A_TOKEN, Decimal(2_000))
    large = replace(ASKED, prompt=ASKED.prompt + "x" * 800, seed=1)  # 1,900 at most, beside the 200 that are spent
    small = replace(ASKED, seed=2)  # 1,100: would do when the first is answered, but the large one ends the job then
    answers = ask(metered, ASKED, large, small)
    assert isinstance(answers[0], Completion)
    assert [type(answer) for answer in answers[1:]] == [BudgetExceeded, BudgetExceeded]
    assert (sent, metered.spent) == ([0], 200)


@pytest.mark.parametrize(("billed", "spent"), [(True, 1_100), (False, 0)])
def test_what_failed_counts_in_full_if_it_may_be_billed(billed: bool, spent: int) -> None:
    def fail(_: Request) -> str:
        raise BackendError("no", billed=billed)

    metered = Metered(Scripted(fail), DOLLAR_A_TOKEN, Decimal(5_000))
    ask(metered, ASKED)
    assert metered.spent == spent


@pytest.mark.parametrize(
    "usage", [(0, 0, 0), (-5, 10, 0), (10, -5, 0), (10, 0, 0), (0, 10, 0), (10**30, 10, 0), (float("inf"), 1, 0)]
)
def test_a_server_that_does_not_tell_its_tokens_is_paid_in_full(usage: tuple[int, int, int]) -> None:
    metered = Metered(Scripted([Completion("one", False, *usage)]), DOLLAR_A_TOKEN)
    [answer] = ask(metered, ASKED)
    assert metered.spent == 1_100
    assert answer == Completion("one", False, 1_000, 100, 0, estimated=True)


def test_what_a_server_does_not_tell_is_counted_by_the_model_s_own_tokenizer_where_there_is_one() -> None:
    asked: list[None] = []

    def tokenizer():  # type: ignore[no-untyped-def]
        asked.append(None)
        return len

    told, untold = Completion("one", False, 7, 3), Completion("fours")
    metered = Metered(Scripted([told, untold, untold]), DOLLAR_A_TOKEN, tokenizer=tokenizer)
    answers = [ask(metered, replace(ASKED, seed=seed))[0] for seed in range(3)]
    assert answers == [told, *[Completion("fours", False, 488, 5, estimated=True)] * 2]
    assert (metered.spent, metered.prompt_tokens, len(asked)) == (10 + 2 * 493, 7 + 2 * 488, 1)


@pytest.mark.parametrize("cached", [-1, 11, 10**30])
def test_more_tokens_from_a_cache_than_were_read_are_none(cached: int) -> None:
    metered = Metered(Scripted([Completion("one", False, 10, 5, cached)]), PRICE)
    assert ask(metered, ASKED) == [Completion("one", False, 10, 5, 0)]
    assert metered.spent == PRICE.of(10, 0, 5)


def test_an_empty_answer_of_no_tokens_is_told_well() -> None:
    assert ask(Metered(Scripted([Completion("", False, 10, 0)]), PRICE), ASKED) == [Completion("", False, 10, 0)]


def test_a_prompt_with_half_a_surrogate_pair_has_a_cost() -> None:
    metered = Metered(Scripted(["one"]), DOLLAR_A_TOKEN, Decimal(5_000))
    ask(metered, replace(ASKED, prompt="\ud83d"))
    assert metered.spent == 3 + MARGIN + 100


def test_five_jobs_on_a_budget_without_usage_spend_it_once(tmp_path: Path) -> None:
    sent: list[Request] = []

    def answer(request: Request) -> str:
        sent.append(request)
        return "one"

    for job in range(5):
        with Ledger(tmp_path / "l.sqlite", Run({}, "1000000", "1000000", "1000000")) as ledger:
            metered = Metered(Scripted(answer), DOLLAR_A_TOKEN, Decimal(3_500), ledger.spent(), ledger.attempted)
            answers = ask(Recorded(metered, ledger), *[replace(ASKED, seed=9 * job + n) for n in range(9)])
            assert [type(each) for each in answers].count(BudgetExceeded) == (6 if job == 0 else 9)
            assert ledger.spent() == metered.spent == 3_300
    assert len(sent) == 3


@pytest.mark.parametrize(
    ("billed", "reason", "spent"),
    [(True, "", 1_100), (True, "refused", 1_100), (False, "", 0), (False, "refused", 0)],
)
def test_what_failed_and_may_be_billed_is_known_to_the_next_run(
    tmp_path: Path, billed: bool, reason: str, spent: int
) -> None:
    def fail(_: Request) -> str:
        raise BackendError("no", billed=billed, reason=reason)

    for _ in range(2):
        with Ledger(tmp_path / "l.sqlite", Run({}, "1000000", "1000000", "1000000")) as ledger:
            before = ledger.spent()
            metered = Metered(Scripted(fail), DOLLAR_A_TOKEN, None, before, ledger.attempted)
            ask(Recorded(metered, ledger), ASKED)
    with Ledger(tmp_path / "l.sqlite", Run({})) as ledger:
        assert (before, ledger.spent()) == (
            spent,
            spent if reason else 2 * spent,
        )  # what is refused is not asked again


def test_an_attempt_that_failed_is_asked_again_and_both_are_paid_for(tmp_path: Path) -> None:
    answers = iter([BackendError("broke off", billed=True), Completion("one", False, 150, 50)])

    def answer(_: Request) -> Completion:
        said = next(answers)
        if isinstance(said, BackendError):
            raise said
        return said

    with Ledger(tmp_path / "l.sqlite", Run({}, "1000000", "1000000", "1000000")) as ledger:
        recorded = Recorded(Metered(Scripted(answer), DOLLAR_A_TOKEN, attempted=ledger.attempted), ledger)
        assert isinstance(ask(recorded, ASKED)[0], BackendError)
        assert ask(recorded, ASKED) == [Completion("one", False, 150, 50)]
        assert ledger.spent() == 1_100 + 200
    with Ledger(tmp_path / "l.sqlite", Run({})) as ledger:
        assert ledger.find(recorded.key(ASKED)) == (Completion("one", False, 150, 50), "")


@pytest.mark.parametrize(("answered", "spent"), [(0, 0), (1, 200 + 2 * 1_100)])
def test_what_is_given_up_in_work_counts_in_full_once_the_server_has_answered_anything(
    tmp_path: Path, answered: int, spent: int
) -> None:
    class Stalled(Scripted):
        @asynccontextmanager
        async def connect(self) -> AsyncIterator[Complete]:
            async def complete(request: Request) -> Completion:
                if request.seed >= answered:
                    await asyncio.Event().wait()
                return Completion("one", False, 150, 50)

            yield complete

    async def work(metered: Metered, ledger: Ledger) -> None:
        async with Recorded(metered, ledger).connect() as complete:
            tasks = [asyncio.create_task(complete(replace(ASKED, seed=seed))) for seed in range(answered + 2)]
            await asyncio.wait(tasks, timeout=0.2)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    with Ledger(tmp_path / "l.sqlite", Run({}, "1000000", "1000000", "1000000")) as ledger:
        metered = Metered(Stalled([]), DOLLAR_A_TOKEN, attempted=ledger.attempted)
        asyncio.run(work(metered, ledger))
    with Ledger(tmp_path / "l.sqlite", Run({})) as ledger:
        assert ledger.spent() == metered.spent == spent
