"""Dynamic batching: what arrives while the model works is scored together next."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pneg.selector.ranking import Pair, Scorer, numbers
from pneg.web.serving.metrics import Metrics

Scores = npt.NDArray[np.float32]
LONGEST_WAIT = 60
"""Seconds that a client is told to wait at most."""
FIRST: list[Pair] = [(("Are you hungry?",), "A little."), (("When does it leave?", "At 9:45."), "Platform 12.")]


class Full(Exception):
    """More candidates wait than may.

    Args:
        seconds: after which to try again.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(f"try again in {seconds} s")


@dataclass(slots=True, eq=False)
class _Asked:
    pairs: list[Pair]
    answer: "asyncio.Future[Scores]"


class Batcher:
    """Scores requests on one thread, all that wait in one call; used on one event loop.

    While the model is idle a request goes to it at once, so that a single client waits for nothing but the model.

    Args:
        selector: what scores; called from one thread only.
        metrics: what counts.
        together: candidates scored in a call at most (a single request may have more); 1 for a request a call.
        waiting: candidates that may wait at most.
    """

    def __init__(self, selector: Scorer, metrics: Metrics, together: int = 256, waiting: int = 2000) -> None:
        self.selector, self.metrics, self.together, self.most_waiting = selector, metrics, together, waiting
        self.waiting = 0
        self._line: deque[_Asked] = deque()
        self._in_hand: list[_Asked] = []
        self._thread = ThreadPoolExecutor(1, "selector")
        self._working: asyncio.Task[None] | None = None
        self._pace = 0.0  # seconds a candidate, of the last call

    def warm(self) -> None:
        """Make the model's first, slow, calls.

        Raises:
            ModelError: when its scores are no numbers.
        """
        self._thread.submit(self._scores, FIRST).result()

    def _scores(self, pairs: Sequence[Pair]) -> Scores:
        return numbers(self.selector.score(pairs, whole=True), "")

    def submit(self, pairs: Sequence[Pair]) -> "asyncio.Future[Scores]":
        """Have pairs scored; cancel what is returned, and nothing more is spent on them.

        Args:
            pairs: (what is read before it, candidate) each.

        Raises:
            Full: when the others that wait leave no room.
        """
        if self._line and self.waiting + len(pairs) > self.most_waiting:
            raise Full(min(LONGEST_WAIT, max(1, math.ceil(self.waiting * self._pace))))
        loop = asyncio.get_running_loop()
        asked = _Asked(list(pairs), loop.create_future())
        self._line.append(asked)
        self._count(len(pairs))
        asked.answer.add_done_callback(lambda answer: self._leave(asked) if answer.cancelled() else None)
        if self._working is None or self._working.done():
            self._working = loop.create_task(self._work())
            self._working.add_done_callback(self._ended)
        return asked.answer

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(cancel_futures=True)

    def _count(self, change: int) -> None:
        self.waiting += change
        self.metrics.waiting.set(self.waiting)

    def _leave(self, asked: _Asked) -> None:
        if asked in self._line:
            self._line.remove(asked)
            self._count(-len(asked.pairs))

    def _ended(self, working: "asyncio.Task[None]") -> None:
        """Let nobody wait for work that has ended before its time; the next request begins it anew."""
        error = None if working.cancelled() else working.exception()
        if error is None and not working.cancelled():
            return
        waiting = [*self._in_hand, *self._line]
        self._line.clear()
        self._count(-self.waiting)
        for asked in waiting:
            if error is None:
                asked.answer.cancel()
            elif not asked.answer.done():
                asked.answer.set_exception(error)

    async def _work(self) -> None:
        while self._line:
            self._in_hand = batch = self._next()
            if await self._score(batch) and len(batch) > 1:  # so that only what is at fault fails
                for asked in batch:
                    if not asked.answer.done():
                        await self._score([asked])

    def _next(self) -> list[_Asked]:
        batch = [self._line.popleft()]
        size = len(batch[0].pairs)
        while self._line and size + len(self._line[0].pairs) <= self.together:
            batch.append(self._line.popleft())
            size += len(batch[-1].pairs)
        self._count(-size)
        return batch

    async def _score(self, batch: list[_Asked]) -> bool:
        """Hand each its scores; whether that failed."""
        pairs = [pair for asked in batch for pair in asked.pairs]
        started = time.perf_counter()
        call = asyncio.get_running_loop().run_in_executor(self._thread, self._scores, pairs)
        await asyncio.wait({call})
        seconds = time.perf_counter() - started
        self.metrics.called(len(batch), len(pairs), seconds)
        error = call.exception()
        if error is not None:
            if len(batch) == 1 and not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return True
        self._pace = seconds / max(1, len(pairs))
        scores, start = call.result(), 0
        for asked in batch:
            if not asked.answer.done():
                asked.answer.set_result(scores[start : start + len(asked.pairs)])
            start += len(asked.pairs)
        return False
