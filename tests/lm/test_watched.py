"""Requests that are never answered, and servers that are only slow."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

import chaos
from clock import Clock
from pneg.errors import BackendError
from pneg.lm import (
    Completion,
    LanguageModel,
    Metered,
    OpenAICompatible,
    Paced,
    Policy,
    Price,
    Request,
    Sampling,
    Watched,
)
from pneg.lm.base import Complete
from pneg.lm.flow import GAVE_UP, Pace
from pneg.lm.watched import FACTOR, FEW, SHORTEST, SHORTEST_AT_FIRST, SILENCE, Stalled, Usual

ASKED = Request('"""\nA: Hi there.\n"""\n1.', Sampling(), seed=1)
NEVER = float("inf")


def seeds(count: int) -> list[Request]:
    return [replace(ASKED, seed=seed) for seed in range(count)]


class Taking:
    """Answers the request of each number, counted from 0, after as many seconds as a function of it says."""

    name = "m"

    def __init__(self, seconds: Callable[[int, Request], float], concurrency: int = 64) -> None:
        self.seconds, self.concurrency = seconds, concurrency
        self.sent: list[Request] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        async def complete(request: Request) -> Completion:
            number = len(self.sent)
            self.sent.append(request)
            seconds = self.seconds(number, request)
            await (asyncio.Event().wait() if seconds == NEVER else asyncio.sleep(seconds))
            return Completion("one", prompt_tokens=1, completion_tokens=1)

        yield complete


async def answers(lm: LanguageModel, requests: Iterable[Request]) -> list[Completion | BaseException]:
    async with lm.connect() as complete:
        return await asyncio.gather(*(complete(request) for request in requests), return_exceptions=True)


def lossy(share: float, usual: Callable[[random.Random], float]) -> Callable[[int, Request], float]:
    drawn = random.Random(7)
    return lambda *_: NEVER if drawn.random() < share else usual(drawn)


@pytest.mark.parametrize(("share", "seconds"), [(0.05, 80), (0.1, 80), (0.2, 600)])
def test_lost_requests_are_sent_again_as_soon_as_they_are_far_slower_than_the_others(
    clock: Clock, share: float, seconds: float
) -> None:
    lm = Taking(lossy(share, lambda drawn: drawn.uniform(0.5, 1.5)))
    found = clock.run_until_complete(answers(Paced(Watched(lm)), seeds(200)))
    assert all(isinstance(each, Completion) for each in found)
    assert len(lm.sent) <= 200 / (1 - share) * 1.1
    assert clock.now < seconds


def test_a_real_server_that_never_answers_some_requests_does_not_hold_up_the_others() -> None:
    drawn = random.Random(3)
    lost: list[int] = []

    def plan(number: int, _: object) -> chaos.Fault | None:
        if drawn.random() >= 0.05:
            return None
        lost.append(number)
        return chaos.never_answering

    async def run(url: str) -> list[Completion | BaseException]:
        lm = Watched(OpenAICompatible(url, "m", key="k", concurrency=64, timeout=600.0), shortest=0.5)
        async with asyncio.timeout(60):  # a tenth of what one lost request took before
            return await answers(Paced(lm, Policy(first_wait=0.01, longest_wait=0.1)), seeds(200))

    with chaos.serving(chaos.Server(plan)) as server:
        found = asyncio.run(run(server.url))
    assert all(isinstance(each, Completion) for each in found)
    assert len(lost) >= 5
    assert server.answered >= 200
    assert len(server.times) <= 200 + 2 * len(lost)


def test_a_server_that_becomes_slower_and_slower_is_never_given_up(clock: Clock) -> None:
    lm = Taking(lambda number, _: 0.1 * 1.012**number, concurrency=16)
    found = clock.run_until_complete(answers(Paced(Watched(lm)), seeds(600)))
    assert all(isinstance(each, Completion) for each in found)
    assert 0.1 * 1.012**599 > 100  # seconds the last answer took
    assert len(lm.sent) == 600


@pytest.mark.parametrize("slow", [10.0, 60.0, 300.0])
def test_a_server_that_is_suddenly_slow_for_good_is_waited_for(clock: Clock, slow: float) -> None:
    lm = Taking(lambda number, _: 1.0 if number < 100 else slow, concurrency=16)
    found = clock.run_until_complete(answers(Paced(Watched(lm)), seeds(300)))
    assert all(isinstance(each, Completion) for each in found)
    assert len(lm.sent) <= 300 + 2 * 16  # one after the other is sent again, until answers come


def test_a_server_that_freezes_for_a_while_is_asked_nothing_twice(clock: Clock) -> None:
    def seconds(number: int, _: Request) -> float:
        return 1.0 if number < 100 else max(1.0, 30.0 - clock.now) if clock.now < 30 else 1.0

    lm = Taking(seconds, concurrency=16)
    assert (
        clock.run_until_complete(answers(Paced(Watched(lm)), seeds(300)))
        == [Completion("one", prompt_tokens=1, completion_tokens=1)] * 300
    )
    assert len(lm.sent) == 300


def test_before_the_first_answer_nothing_is_given_up(clock: Clock) -> None:
    lm = Taking(lambda *_: 500.0)  # a model that is loaded first
    found = clock.run_until_complete(answers(Watched(lm), seeds(8)))
    assert all(isinstance(each, Completion) for each in found)


def test_a_long_answer_is_given_more_time_with_each_attempt(clock: Clock) -> None:
    lm = Taking(lambda _, request: 30.0 if request.seed == 99 else 1.0, concurrency=16)
    found = clock.run_until_complete(answers(Paced(Watched(lm)), seeds(400)))
    assert all(isinstance(each, Completion) for each in found)
    assert Counter(request.seed for request in lm.sent)[99] == 3  # after 8 and 16 seconds


def test_a_request_that_is_never_answered_is_given_up_alone(clock: Clock) -> None:
    lm = Taking(lambda _, request: NEVER if request.seed == 99 else 1.0, concurrency=16)
    found = clock.run_until_complete(answers(Paced(Watched(lm)), seeds(10_000)))
    failed = [each for each in found if not isinstance(each, Completion)]
    assert [each.reason for each in failed if isinstance(each, BackendError)] == [GAVE_UP]
    assert Counter(request.seed for request in lm.sent)[99] == Policy().stalls


def test_what_is_given_up_may_have_been_paid_for(clock: Clock) -> None:
    lm = Taking(lambda number, _: NEVER if number == 50 else 1.0, concurrency=16)
    metered = Metered(Watched(lm), Price(written=Decimal(1_000_000)))
    found = clock.run_until_complete(answers(Paced(metered), seeds(100)))
    assert all(isinstance(each, Completion) for each in found)
    assert len(lm.sent) == 101
    assert metered.spent == 100 + ASKED.sampling.max_tokens


def test_who_is_cancelled_is_not_given_up(clock: Clock) -> None:
    async def run() -> bool:
        async with Watched(Taking(lambda *_: NEVER)).connect() as complete:
            asking = asyncio.create_task(complete(ASKED))
            await asyncio.sleep(1)
            asking.cancel()
            await asyncio.wait([asking])
            return asking.cancelled()

    assert clock.run_until_complete(run())


def usual(*seconds: float, sent: float = 0.0) -> Usual:
    """What is usual after answers to requests that were all sent at this time."""
    known = Usual()
    for each in seconds:
        known.answered(sent, sent + each)
    return known


def test_what_is_granted_follows_the_median_and_has_a_least() -> None:
    assert usual().granted == NEVER
    assert usual(1.0).granted == SHORTEST_AT_FIRST
    assert usual(*[10.0] * (FEW - 1)).granted == FACTOR * 10
    assert usual(*[0.01] * FEW).granted == SHORTEST
    assert usual(*[1.0] * 6, *[50.0] * 5).granted == FACTOR


def test_more_is_granted_once_half_of_the_requests_were_given_up() -> None:
    known = usual(*[1.0] * 10)
    for _ in range(9):
        known.given_up(0.0, 8.0)
    assert known.granted == FACTOR
    for _ in range(2):
        known.given_up(0.0, 8.0)
    assert known.granted == FACTOR * 8


def test_a_request_is_overdue_if_later_ones_were_answered_or_after_a_long_silence() -> None:
    known = usual(*[1.0] * 10, sent=100.0)
    assert known.left(99.0, 99.0 + FACTOR, 0) == 0
    assert known.left(99.0, 99.0 + FACTOR, 1) > 0
    assert known.left(99.0, 99.0 + 2 * FACTOR, 1) == 0
    assert known.left(101.0, 101.0 + FACTOR, 0) > 0
    assert known.left(101.0, 101.0 + SILENCE * FACTOR, 0) == 0


def test_while_nothing_is_answered_one_request_is_given_up_at_a_time() -> None:
    known = usual(*[1.0] * 10, sent=100.0)
    first = 101.0 + SILENCE * FACTOR
    assert known.left(101.0, first, 0) == 0
    assert known.left(101.0, first, 0) > 0
    assert known.left(101.0, first + 2 * SILENCE * FACTOR, 0) == 0
    assert known.left(101.0, first + 5 * SILENCE * FACTOR, 0) > 0
    known.answered(first, first + 6 * SILENCE * FACTOR)  # what was sent again is: the others are lost
    assert known.left(101.0, first + 6 * SILENCE * FACTOR, 0) == 0
    assert known.left(101.0, first + 6 * SILENCE * FACTOR, 0) == 0


def test_a_lost_request_does_not_slow_down_the_others_but_many_do() -> None:
    pace = Pace(most=64, start=64)
    for _ in range(16):
        pace.stalled(pace._cut_at)
    assert pace.limit == 64
    pace.stalled(pace._cut_at)
    assert pace.limit == 32


def test_a_stall_says_how_long_it_was(clock: Clock) -> None:
    async def run() -> None:
        lm = Taking(lambda number, _: NEVER if number == 3 else 1.0)
        async with Watched(lm).connect() as complete:
            for request in seeds(4):
                await complete(request)

    with pytest.raises(Stalled, match="m left a request unanswered for 120 s, while others were answered") as caught:
        clock.run_until_complete(run())
    assert caught.value.retryable and caught.value.billed
