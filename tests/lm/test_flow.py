"""How many requests at a time, when again, and when no more."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

import chaos
from clock import Clock
from pneg.errors import BackendError
from pneg.lm import Completion, LanguageModel, OpenAICompatible, Paced, Policy, Request, Sampling, Scripted
from pneg.lm.base import TOO_LONG, Complete
from pneg.lm.exchange import REFUSED, refusal
from pneg.lm.flow import GAVE_UP, Pace, again
from pneg.lm.server import Server

ASKED = Request('"""\nA: Hi there.\n"""\n1.', Sampling(), seed=1)
HASTY = Policy(attempts=4, patience=2.0, first_patience=0.3, first_wait=0.01, longest_wait=0.05)


async def answers(lm: LanguageModel, requests: Iterable[Request]) -> list[Completion | BaseException]:
    async with lm.connect() as complete:
        return await asyncio.gather(*(complete(request) for request in requests), return_exceptions=True)


def ask(lm: LanguageModel, *requests: Request) -> list[Completion | BaseException]:
    return asyncio.run(answers(lm, requests))


def seeds(count: int) -> list[Request]:
    return [replace(ASKED, seed=seed) for seed in range(count)]


class Waiting(Scripted):
    """Answers after as many seconds as it is told for so many requests at a time, and notes how many there were."""

    def __init__(self, seconds: float, slots: int, concurrency: int) -> None:
        super().__init__(self._said, concurrency)
        self.seconds, self.slots, self.working, self.most = seconds, slots, 0, 0
        self.seen: list[int] = []

    def _said(self, _: Request) -> str:
        return "one"

    def connect(self):  # type: ignore[no-untyped-def]
        @asynccontextmanager
        async def connected():  # type: ignore[no-untyped-def]
            free = asyncio.Semaphore(self.slots)

            async def complete(_: Request) -> Completion:
                self.working += 1
                self.seen.append(self.working)
                async with free:
                    await asyncio.sleep(self.seconds)
                self.working -= 1
                return Completion("one")

            yield complete

        return connected()


def test_it_doubles_until_it_has_all_that_is_allowed(clock: Clock) -> None:
    lm = Waiting(0.02, 1000, 64)
    clock.run_until_complete(answers(Paced(lm, start=4), seeds(400)))
    assert lm.seen[:4] == [1, 2, 3, 4]
    assert max(lm.seen[:12]) <= 8  # 4, and 8 once these are answered
    assert max(lm.seen) == 64


def test_it_goes_back_when_answers_only_wait_for_each_other(clock: Clock) -> None:
    lm = Waiting(0.02, 8, 256)  # a server that has 8 places and lets the others queue
    clock.run_until_complete(answers(Paced(lm, start=8), seeds(1000)))
    assert max(lm.seen) < 128
    assert sorted(lm.seen)[len(lm.seen) // 2] <= 48


def test_a_failure_halves_and_what_was_sent_before_it_does_not_again() -> None:
    async def run() -> list[float]:
        pace = Pace(most=64, start=64)
        sent = time.monotonic()
        limits = []
        for _ in range(3):
            pace.failed(sent)
            limits.append(pace.limit)
        await asyncio.sleep(0.01)
        pace.failed(time.monotonic())
        return [*limits, pace.limit]

    assert asyncio.run(run()) == [32, 32, 32, 16]


@pytest.mark.parametrize("status", [429, 500, 503, None], ids=["429", "500", "503", "time-out"])
def test_whatever_may_yet_succeed_halves_the_requests_at_a_time(clock: Clock, status: int | None) -> None:
    left = [2]

    class Failing(Waiting):
        """Fails the first two, both sent before the first failed."""

        @asynccontextmanager
        async def connect(self) -> AsyncIterator[Complete]:
            async with super().connect() as ask:

                async def complete(request: Request) -> Completion:
                    completion = await ask(request)
                    if left[0]:
                        left[0] -= 1
                        raise BackendError("no", retryable=True, status=status)
                    return completion

                yield complete

    lm = Failing(0.1, 1000, 16)
    found = clock.run_until_complete(answers(Paced(lm, HASTY, start=16), seeds(40)))
    assert all(isinstance(answer, Completion) for answer in found)
    assert max(lm.seen[:16]) == 16
    assert 6 <= max(lm.seen[16:28]) <= 10  # 8, and one more with each round


def test_retries_wait_longer_each_time_and_do_not_come_together(clock: Clock) -> None:
    sent: dict[int, list[float]] = {seed: [] for seed in range(8)}

    def fail_twice(request: Request) -> str:
        sent[request.seed].append(clock.now)
        if len(sent[request.seed]) < 3:
            raise BackendError("no", retryable=True, status=500)
        return "one"

    patient = Policy(first_wait=1.0, longest_wait=30.0, patience=300.0, first_patience=300.0)
    lm = Paced(Scripted(fail_twice, concurrency=8), patient)
    assert clock.run_until_complete(answers(lm, seeds(8))) == [Completion("one")] * 8
    waits = [[later - earlier for earlier, later in pairwise(times)] for times in sent.values()]
    # 1 s, then 2 s, and up to as much as the first at random
    assert all(1 <= first <= 2 <= second <= 3 for first, second in waits)
    assert len({round(first, 6) for first, _ in waits}) == 8


def test_after_a_wait_that_the_server_asked_for_not_all_begin_at_once(clock: Clock) -> None:
    async def run() -> list[float]:
        pace = Pace(most=8)
        pace.close_for(10.0)
        begun: list[float] = []

        async def one() -> None:
            async with pace.turn():
                begun.append(clock.now - 1.0)

        await asyncio.gather(*(one() for _ in range(8)))
        return begun

    begun = clock.run_until_complete(run())
    assert all(10 <= seconds <= 11 for seconds in begun)
    assert len({round(seconds, 6) for seconds in begun}) == 8


def test_after_a_failure_it_grows_by_one_a_round() -> None:
    async def run() -> float:
        pace = Pace(most=64, start=16)
        pace.failed(time.monotonic())
        for _ in range(8):  # a round of 8 in work
            pace.working = 8
            pace.answered(time.monotonic())
        return pace.limit

    assert asyncio.run(run()) == pytest.approx(9.0, abs=0.1)


def test_who_is_cancelled_while_waiting_leaves_no_gap() -> None:
    async def run() -> int:
        pace = Pace(most=1, start=1)

        async def work(seconds: float) -> None:
            async with pace.turn():
                await asyncio.sleep(seconds)

        tasks = [asyncio.create_task(work(0.02)) for _ in range(4)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return pace.working

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize("dated", [False, True])
def test_nothing_is_sent_before_the_server_wants_it(dated: bool) -> None:
    def plan(number: int, _: object) -> chaos.Fault | None:
        at = datetime.now(UTC) + timedelta(seconds=2)  # which is cut off to whole seconds
        return chaos.refusing(429, after=format_datetime(at, usegmt=True) if dated else "1") if number == 2 else None

    with chaos.serving(chaos.Server(plan)) as server:
        client = OpenAICompatible(server.url, "m", key="k", concurrency=1)
        assert all(isinstance(found, Completion) for found in ask(Paced(client, HASTY), *seeds(6)))
    gaps = [later - earlier for earlier, later in pairwise(server.times)]
    assert gaps[2] >= 0.95


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "\u0663"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert refusal(Server("http://s/v1"), 429, headers, None).retry_after == seconds


@pytest.mark.parametrize(("asked", "seconds"), [(0.0, 1.0), (0.2, 1.0), (20.0, 20.0), (None, 1.0)])
def test_a_retry_waits_as_long_as_the_server_asks_and_never_less_than_by_itself(
    clock: Clock, asked: float | None, seconds: float
) -> None:
    sent: list[float] = []

    def fail_once(_: Request) -> str:
        sent.append(clock.now)
        if len(sent) == 1:
            raise BackendError("no", retryable=True, status=429, retry_after=asked)
        return "one"

    lm = Paced(Scripted(fail_once), Policy(first_wait=1.0))
    assert clock.run_until_complete(answers(lm, [ASKED])) == [Completion("one")]
    assert seconds <= sent[1] - sent[0] <= seconds + 2.0


def test_what_may_succeed_later_is_tried_again() -> None:
    errors = [BackendError("no", retryable=True, retry_after=7.5), BackendError("no"), ValueError()]
    assert [again(error) for error in errors] == [True, False, False]


def test_what_is_logged_of_retries_holds_no_key(caplog: pytest.LogCaptureFixture) -> None:
    key = "sk-a-key-that-must-not-be-seen"
    caplog.set_level(logging.DEBUG)
    said = chaos.refusing(503, f"overloaded, {key}")
    with chaos.serving(chaos.Server(lambda number, _: said if number < 2 else None)) as server:
        [found] = ask(Paced(OpenAICompatible(server.url, "m", key=key), HASTY), ASKED)
    assert isinstance(found, Completion)
    logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "overloaded, ***" in logged
    assert key not in logged


def test_a_server_that_wants_to_be_left_alone_for_too_long_stops_the_job() -> None:
    with chaos.serving(chaos.Server(lambda _, __: chaos.refusing(429, "quota", after="3600"))) as server:
        client = OpenAICompatible(server.url, "m", key="k", concurrency=1)
        error, *others = ask(Paced(client, HASTY), *seeds(10))
    assert all(isinstance(other, BackendError) for other in others)
    assert isinstance(error, BackendError)
    assert "give the same command to go on (it asks to wait 3,600 s; --patience is 2)" in str(error)
    assert len(server.times) == 1


@pytest.mark.parametrize(
    ("status", "message", "code", "reason"),
    [
        (400, "This model's maximum context length is 2048 tokens.", "", TOO_LONG),
        (400, "no", "context_length_exceeded", TOO_LONG),
        (400, "the request exceeds the available context size, try increasing it", "", TOO_LONG),
        (413, "Payload too large", "", TOO_LONG),
        (400, "The response was filtered due to the prompt triggering our content management policy.", "", REFUSED),
        (400, "no", "content_filter", REFUSED),
        (400, "unknown parameter: top_p", "", ""),
        (401, "content filter", "", ""),
    ],
)
def test_what_is_wrong_with_one_request_is_told_from_what_is_wrong_with_all(
    status: int, message: str, code: str, reason: str
) -> None:
    plan = lambda _, asked: chaos.refusing(status, message, code) if asked["seed"] == 1 else None  # noqa: E731
    with chaos.serving(chaos.Server(plan)) as server:
        other, error = ask(Paced(OpenAICompatible(server.url, "m", key="k"), HASTY), *seeds(2))
    assert isinstance(other, Completion)
    assert isinstance(error, BackendError)
    assert (error.reason, error.retryable, error.billed) == (reason, False, False)
    assert len(server.times) == 2


def test_nothing_is_sent_once_a_request_has_ended_the_job() -> None:
    with chaos.serving(chaos.Server(lambda _, __: chaos.refusing(401, "who are you"))) as server:
        found = ask(Paced(OpenAICompatible(server.url, "m", key="k", concurrency=4), HASTY), *seeds(40))
    assert {str(error) for error in found} == {str(found[0])}
    assert "who are you" in str(found[0])
    assert len(server.times) == 4


def test_a_withheld_answer_was_paid_for() -> None:
    withheld = b'{"choices": [{"index": 0, "text": "", "finish_reason": "content_filter"}]}'
    with chaos.serving(chaos.Server(lambda _, __: chaos.saying(withheld))) as server:
        [error] = ask(Paced(OpenAICompatible(server.url, "m", key="k"), HASTY), ASKED)
    assert isinstance(error, BackendError)
    assert (error.reason, error.billed, len(server.times)) == (REFUSED, True, 1)


def test_a_request_that_fails_alone_is_given_up_alone() -> None:
    times: Counter[int] = Counter()

    def plan(_: int, asked: dict[str, int]) -> chaos.Fault | None:
        times[asked["seed"]] += 1
        return chaos.refusing(500) if asked["seed"] == 1 else None

    with chaos.serving(chaos.Server(plan, delay=0.02)) as server:
        client = OpenAICompatible(server.url, "m", key="k", concurrency=2)
        found = ask(Paced(client, HASTY), *seeds(40))
    failed = [error for error in found if isinstance(error, BackendError)]
    assert [error.reason for error in failed] == [GAVE_UP]
    assert times[1] in (HASTY.attempts, HASTY.attempts + 1)  # the first may come before any answer
    assert sum(times.values()) == 39 + times[1]


def test_one_slow_round_is_a_hiccup_and_two_are_not(clock: Clock) -> None:
    def rounds(*seconds: float) -> list[int]:
        """The limit after rounds of answers that took so long each, all of what is allowed being used."""
        found = []
        for each in seconds:
            clock.now += each
            pace.working = int(pace.limit)
            for _ in range(pace._round):
                pace.answered(clock.now - each)
            found.append(int(pace.limit))
        return found

    pace = Pace(16, start=16)
    assert rounds(0.1, 0.1, 0.5, 0.1) == [16, 16, 16, 16]
    assert rounds(0.5, 0.5)[1] < 16
