"""Flow control: as many requests at a time as a server bears, and what is done when it does not."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, LanguageModel, Request
from pneg.lm.watched import Stalled

START = 8
"""Requests at a time to begin with."""
CUT = 0.5
"""What is left of them after a failure."""
EASED = 0.7
"""What is left of them when answers only take longer."""
SLOWER, GAINED = 1.5, 1.2
"""Answers that take so many times as long, without so many times as many of them a second, wait for each other."""
DRIFT = 1.1
"""By so much the time that is taken for usual is raised whenever answers took longer."""
STEPS = 64
"""In so many rounds it grows from nothing to all that is allowed, or by one a round if that is more."""
ROUND = 16
"""Answers by which speed is judged, at least."""
SPREAD = 0.1
"""So much of a wait that all share is added to it at random, lest all end it together."""
LOST = 0.25
"""A larger share of a round's requests that are not answered means that the server cannot bear as many; a smaller one
is taken for loss by chance, for which it would be wrong to slow down (as BBR does; its version 2 allows for 2%)."""
BUSY = (408, 409, 425, 429, 503)
"""What a server answers when it is not for the request."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Of a round of answers: seconds each took, answers a second."""

    latency: float
    rate: float


class Pace:
    """How many requests may be in work, found by trying (additive increase, multiplicative decrease).

    It doubles from round to round until something goes wrong, as TCP does, and from then on grows by one a round, or
    by a small part of what is allowed. Once it does not double any more, one slow round is taken for a hiccup, of
    this machine or another.

    Args:
        most: never more than so many.
        start: so many to begin with.
    """

    def __init__(self, most: int, start: int = START) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self.working = 0
        self._doubling, self._hiccup = True, False
        self._cut_at = 0.0
        self._closed_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken: list[float] = []
        self._stalled = 0
        self._round_began = time.monotonic()
        self._round = max(ROUND, int(self.limit))
        self._best: Speed | None = None

    def turn(self, first: bool = False) -> "Turn":
        """Wait until one more request may be sent, and count it as in work until the block ends.

        Args:
            first: go in front of those that wait.
        """
        return Turn(self, first)

    async def begin(self, first: bool) -> None:
        """Wait until one more request may be sent; `end` must follow."""
        if self.working < int(self.limit):
            self.working += 1
        else:
            await self._granted(first)
        try:
            while (closed := self._closed_until - time.monotonic()) > 0:
                await asyncio.sleep(closed + random.uniform(0, SPREAD * closed))
        except BaseException:
            self.end()
            raise

    async def _granted(self, first: bool) -> None:
        granted = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(granted)
        else:
            self._waiting.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.end()
            raise

    def end(self) -> None:
        """A request is done, be it answered or not."""
        self.working -= 1
        while self._waiting and self.working < int(self.limit):
            granted = self._waiting.popleft()
            if not granted.done():
                self.working += 1
                granted.set_result(None)

    def close_for(self, seconds: float) -> None:
        """Send nothing for so long."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)

    def failed(self, sent: float) -> None:
        """Learn that a request that was sent at this time failed; those sent before the last cut tell nothing new."""
        if sent >= self._cut_at:
            self._cut(CUT)

    def stalled(self, sent: float) -> None:
        """Learn that a request that was sent at this time was given up while others were answered."""
        if sent >= self._cut_at:
            self._stalled += 1
            if self._stalled > LOST * self._round:
                self.failed(sent)

    def answered(self, sent: float) -> None:
        """Learn that a request that was sent at this time was answered."""
        now = time.monotonic()
        if sent >= self._cut_at:
            self._taken.append(now - sent)
        full = self.working >= int(self.limit)
        if full and self._doubling:
            self.limit = min(self.most, self.limit + 1)
        elif full:
            self.limit = min(self.most, self.limit + max(1, self.most // STEPS) / self.limit)
        if len(self._taken) >= self._round:
            self._judge(Speed(sum(self._taken) / len(self._taken), len(self._taken) / (now - self._round_began)))

    def _judge(self, speed: Speed) -> None:
        """Slow down when answers take longer and no more of them come."""
        best = self._best
        self._taken, self._stalled = [], 0
        self._round_began, self._round = time.monotonic(), max(ROUND, int(self.limit))
        slow = best is not None and speed.latency > SLOWER * best.latency and speed.rate <= GAINED * best.rate
        if best is None or speed.latency < best.latency or speed.rate > GAINED * best.rate:
            self._best = speed
        elif slow and (self._hiccup or (self._doubling and self.limit < self.most)):
            self._cut(EASED)
            # What is usual drifts, lest a server that has become slower for good be given less and less.
            self._best = Speed(best.latency * DRIFT, best.rate)
        self._hiccup = slow

    def _cut(self, left: float) -> None:
        self.limit = max(1.0, self.limit * left)
        self._cut_at = time.monotonic()
        self._doubling, self._stalled = False, 0


@dataclass(slots=True)
class Turn:
    """A block in which one request may be in work."""

    pace: Pace
    first: bool

    async def __aenter__(self) -> None:
        await self.pace.begin(self.first)

    async def __aexit__(self, *_: object) -> None:
        self.pace.end()


@dataclass(frozen=True, slots=True)
class Policy:
    """When to try again, and when to stop.

    Attributes:
        attempts: so many failures of one request, each with others answered since the one before, are its own.
        stalls: a request is given up that was sent this often and not answered while others were.
        patience: seconds without any answer, or that a server asks to wait, until the job is stopped.
        first_patience: the same where the server has not answered anything yet.
        failures: so many in a row, at least, until the job is stopped.
        first_wait: seconds before the second attempt, about; it doubles with each.
        longest_wait: seconds between two attempts, at most.
    """

    attempts: int = 20
    stalls: int = 6
    patience: float = 300.0
    first_patience: float = 10.0
    failures: int = 5
    first_wait: float = 0.5
    longest_wait: float = 30.0


GAVE_UP = "failed again and again"


class Paced:
    """A language model that is given as many requests as it bears; what fails and may yet succeed is sent again.

    Args:
        lm: a language model that sends each request once; its `concurrency` is never passed.
        policy: when to try again, and when to stop.
        start: requests at a time to begin with.

    Attributes:
        retried: how many requests were sent again.
    """

    def __init__(self, lm: LanguageModel, policy: Policy | None = None, start: int = START) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self.policy, self.start, self.retried = policy or Policy(), start, 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Connect to the language model and begin to find its pace.

        Raises:
            BackendError: from a request that failed for good; when the server keeps failing, from all.
        """
        quieten()
        async with self.lm.connect() as ask:
            yield _Job(ask, self).complete


class _Job:
    """What is known of the server since the connection was opened."""

    def __init__(self, ask: Complete, of: Paced) -> None:
        self.ask, self.of, self.policy = ask, of, of.policy
        self.pace = Pace(of.concurrency, of.start)
        self.answers = self.failures = 0
        self.failing_since = 0.0
        self.stopped: BackendError | None = None
        """What ended the job; nothing is sent after it."""

    async def complete(self, request: Request) -> Completion:
        answers = self.answers
        try:
            return await self._attempt(request, False)
        except BackendError as error:
            if not error.retryable:
                raise
            first = error
        return await self._again(request, first, answers)

    async def _again(self, request: Request, first: BackendError, answers: int) -> Completion:
        """Go on after the first attempt has failed: an answer that comes at once pays nothing for retries."""
        import stamina

        alone = stalls = 0
        async for attempt in stamina.retry_context(
            on=again,
            attempts=None,
            timeout=None,
            wait_initial=self.policy.first_wait,
            wait_max=self.policy.longest_wait,
            wait_jitter=self.policy.first_wait,
        ):
            with attempt:
                self.of.retried += attempt.num > 1
                try:
                    if attempt.num == 1:
                        raise first
                    return await self._attempt(request, True)
                except BackendError as error:
                    alone += error.status not in BUSY and self.answers > answers
                    answers = self.answers
                    stalls += isinstance(error, Stalled)
                    if error.retryable and (alone >= self.policy.attempts or stalls >= self.policy.stalls):
                        raise BackendError(error.message, status=error.status, reason=GAVE_UP) from None
                    raise
        raise AssertionError("it ends with an answer or an error")

    async def _attempt(self, request: Request, again: bool) -> Completion:
        async with self.pace.turn(first=again):
            if self.stopped:
                raise self.stopped
            sent = time.monotonic()
            try:
                completion = await self.ask(request)
            except BackendError as error:
                if error.retryable:
                    if isinstance(error, Stalled):
                        self.pace.stalled(sent)
                    else:
                        self.pace.failed(sent)
                    raise self._failed(error) from None
                if not error.reason:
                    self.stopped = error
                self.failures = 0
                raise
            self.pace.answered(sent)
            self.answers, self.failures = self.answers + 1, 0
            return completion

    def _failed(self, error: BackendError) -> BackendError:
        """What a failure means: another attempt, or the end of the job."""
        if not self.failures:
            self.failing_since = time.monotonic()
        self.failures += 1
        failing = time.monotonic() - self.failing_since
        patience = self.policy.patience if self.answers else min(self.policy.first_patience, self.policy.patience)
        if too_long := asks_too_long(error, self.policy):
            self.stopped = too_long
            return too_long
        if self.failures < self.policy.failures or failing <= patience:
            self.pace.close_for(error.retry_after or 0.0)
            return error
        self.stopped = given_up(error, f"{self.failures} attempts in {failing:,.0f} s got no answer")
        return self.stopped


def asks_too_long(error: BackendError, policy: Policy) -> BackendError | None:
    """The end of a job whose server asks to wait for longer than the policy's patience; None if it does not."""
    wait = error.retry_after or 0.0
    if wait <= policy.patience:
        return None
    return given_up(error, f"it asks to wait {wait:,.0f} s; --patience is {policy.patience:,.0f}")


def given_up(error: BackendError, why: str) -> BackendError:
    """The end of a job, for the reason given, after this error."""
    hint = "; ".join(filter(None, (error.hint, "what is done is kept: give the same command to go on")))
    return BackendError(error.message, status=error.status, hint=f"{hint} ({why})")


def again(error: Exception) -> bool:
    """Whether to try again after an error.

    How long to wait is not for the server to shorten: a wait that it asks for comes on top, see `Pace.close_for`.
    """
    return isinstance(error, BackendError) and error.retryable


def quieten() -> None:
    """Keep standard error free of a line for each retry; those who set up logging still get them."""
    logger = logging.getLogger("stamina")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
