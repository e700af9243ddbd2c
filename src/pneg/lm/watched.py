"""Requests that are never answered: each is given up once it has taken far longer than the others."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, LanguageModel, Request

FACTOR = 8.0
"""An answer that takes this many times as long as the usual one is overdue."""
SHORTEST = 5.0
"""Seconds before which nothing is overdue."""
SHORTEST_AT_FIRST = 30.0
"""The same while too few answers came to know what is usual."""
FEW = 10
RECENT = 100
"""Requests by which it is judged what is usual."""
SILENCE = 4
"""While no request that was sent later is answered, the server itself may be slow. Then it takes this many times as
long until one request is given up, to see whether it is answered when it is sent again, and twice as long each time
until the next is."""
SOONEST = 0.001
"""Seconds between two looks at a request, at least."""
LOOKS = 4
"""How often a request that is not overdue yet is looked at again in the time that makes it so."""


class Stalled(BackendError):
    """A request that was not answered while others were. The server may have worked on it all the same."""


class Usual:
    """How long requests usually take, from the most recent of them.

    The median is judged by, so that neither a few lost requests nor a few long answers change it. A request that was
    given up counts with the time that it had: when a server becomes slower for all, half of the requests are soon
    given up, and the time that is granted is multiplied by `FACTOR` with each round until answers come again. (TCP
    doubles its time-out for the same reason; RFC 6298, section 5.5.)

    Args:
        shortest: seconds before which nothing is overdue.
    """

    def __init__(self, shortest: float = SHORTEST) -> None:
        self.shortest = shortest
        self._taken: deque[float] = deque(maxlen=RECENT)
        self._newest = self._quiet_until = float("-inf")
        self._probes = 0
        self._granted: float | None = None

    def answered(self, sent: float, now: float) -> None:
        """Learn of an answer to a request that was sent at this time."""
        self._newest, self._quiet_until, self._probes = max(self._newest, sent), float("-inf"), 0
        self._learn(now - sent)

    def given_up(self, sent: float, now: float) -> None:
        """Learn of a request that was sent at this time and given up."""
        self._learn(now - sent)

    def _learn(self, seconds: float) -> None:
        self._taken.append(seconds)
        self._granted = None

    @property
    def granted(self) -> float:
        """Seconds until a request is overdue; endless before the first answer, for which models are loaded."""
        if self._granted is None:
            if not self._taken:
                return float("inf")
            shortest = self.shortest if len(self._taken) >= FEW else max(self.shortest, SHORTEST_AT_FIRST)
            self._granted = max(shortest, FACTOR * median(self._taken))
        return self._granted

    def left(self, sent: float, now: float, stalls: int) -> float:
        """Seconds until a request should be looked at again; 0 if it is to be given up.

        Args:
            sent: when it was.
            now: the same clock's time.
            stalls: how often this request was given up before; each doubles the time it has.
        """
        granted = self.granted * 2.0**stalls
        waited = now - sent
        if waited < granted:
            return max(SOONEST, min(granted - waited, self.shortest))
        if sent < self._newest:
            return 0.0
        if waited >= SILENCE * granted and now >= self._quiet_until:
            self._probes += 1
            self._quiet_until = now + SILENCE * self.granted * 2.0**self._probes
            return 0.0
        return granted / LOOKS


class _Watch:
    """Looks at a request now and then, and ends it when it is overdue.

    Args:
        usual: says when that is.
        deadline: ends it.
        stalls: how often this request was given up before.
    """

    __slots__ = ("deadline", "loop", "sent", "stalls", "timer", "usual")

    def __init__(self, usual: Usual, deadline: asyncio.Timeout, stalls: int) -> None:
        self.usual, self.deadline, self.stalls = usual, deadline, stalls
        self.loop = asyncio.get_running_loop()
        self.sent = self.loop.time()
        self.timer = self.loop.call_later(usual.shortest, self.look)

    def look(self) -> None:
        """End the request, or look again later."""
        now = self.loop.time()
        if left := self.usual.left(self.sent, now, self.stalls):
            self.timer = self.loop.call_later(left, self.look)
        else:
            self.deadline.reschedule(now)


class Watched:
    """A language model whose requests are given up when they take far longer than others, to be sent again.

    It belongs between the model and the meter: what was given up may have been worked on, and is paid for.

    Args:
        lm: sends each request once, and has a time-out of its own, which stays the longest that is waited.
        shortest: seconds before which nothing is given up.
    """

    def __init__(self, lm: LanguageModel, shortest: float = SHORTEST) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self.shortest = shortest

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Connect to the language model.

        Raises:
            Stalled: from a request that was given up; it may be sent again.
        """
        usual = Usual(self.shortest)
        stalls: Counter[Request] = Counter()
        async with self.lm.connect() as ask:

            async def complete(request: Request) -> Completion:
                deadline = asyncio.timeout(None)
                watch = _Watch(usual, deadline, stalls[request] if stalls else 0)
                try:
                    async with deadline:
                        completion = await ask(request)
                except TimeoutError:
                    if not deadline.expired():
                        raise
                    now = watch.loop.time()
                    usual.given_up(watch.sent, now)
                    stalls[request] += 1
                    seconds = f"{now - watch.sent:,.0f} s"
                    message = f"{self.name} left a request unanswered for {seconds}, while others were answered"
                    raise Stalled(message, retryable=True, billed=True) from None
                finally:
                    watch.timer.cancel()
                usual.answered(watch.sent, watch.loop.time())
                if watch.stalls:
                    del stalls[request]
                return completion

            yield complete
