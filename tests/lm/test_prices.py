"""What tokens cost, and that a budget is not passed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from pneg.errors import BackendError, BudgetExceeded
from pneg.lm import Complete, Completion, LanguageModel, Metered, Price, Request, Sampling, Scripted
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


def test_a_server_that_does_not_tell_its_tokens_is_paid_in_full() -> None:
    metered = Metered(Scripted(["one"]), DOLLAR_A_TOKEN)
    ask(metered, ASKED)
    assert metered.spent == 1_100
