"""Contexts in work: given by the caller's thread, written on the event loop's, and taken back in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Event
from typing import Generic, TypeVar

from pneg.errors import BackendError

Given = TypeVar("Given")
Written = TypeVar("Written")

HAND_OVER = 0.005
"""Seconds for which what is done waits for more of it: each change of threads costs as much as a small request."""

LOOK = 1.0
"""Seconds after which is looked whether the event loop is still there: one that has died tells nobody."""


@dataclass(slots=True)
class _Place(Generic[Given, Written]):
    """One that was given; it has a task from when it is begun."""

    given: Given
    task: "asyncio.Task[Written] | None" = None


class Window(Generic[Given, Written]):
    """Writes several at a time, and keeps them in order.

    The event loop begins the next by itself when one is done, and tells the caller's thread of many at once: the two
    share one interpreter, and would spend their time waiting for it if they met for each.

    Args:
        loop: runs in another thread.
        write: what is to be done with each.
        most: that are written at a time.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, write: Callable[[Given], Awaitable[Written]], most: int
    ) -> None:
        self._loop, self._write, self._free = loop, write, most
        self._all: deque[_Place[Given, Written]] = deque()  # the caller's thread alone changes it
        self._waiting: deque[_Place[Given, Written]] = deque()
        self._working: set[asyncio.Task[Written]] = set()
        self._told = Event()  # not a queue: a caller that seldom waits would leave more in it than it takes out
        self._called = self._telling = False

    def __len__(self) -> int:
        """Those that were given and not yet taken."""
        return len(self._all)

    def give(self, given: Given) -> None:
        """Have one more written, behind those that were given before."""
        place: _Place[Given, Written] = _Place(given)
        self._all.append(place)
        self._waiting.append(place)
        # Where no place is free whichever is done next begins it; asked after it is there, lest both sides miss it.
        if self._free and not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._begin)

    def first_is_done(self) -> bool:
        """Whether the one that was given first can be taken at once."""
        return bool(self._all) and self._all[0].task is not None and self._all[0].task.done()

    def take(self) -> tuple[Given, Written]:
        """The one that was given first, with what was written for it; waits until it is done.

        Raises:
            Exception: what writing it raised.
            BackendError: when the event loop has ended, and nothing will be written any more.
        """
        while not self.first_is_done():
            while not self._told.wait(LOOK):
                if self._loop.is_closed():
                    raise BackendError("the event loop ended before all was written")
            self._told.clear()  # before the first is looked at again, lest what is told in between is missed
        place = self._all.popleft()
        assert place.task is not None
        if place.task.cancelled():
            raise BackendError("the event loop ended before all was written")
        return place.given, place.task.result()

    async def close(self) -> None:
        """Leave what is not done; runs on the event loop."""
        self._waiting.clear()
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    def _begin(self) -> None:
        self._called = False
        while self._free and self._waiting:
            place = self._waiting.popleft()
            self._free -= 1
            place.task = self._loop.create_task(self._written(place.given))
            self._working.add(place.task)
            place.task.add_done_callback(self._done)

    async def _written(self, given: Given) -> Written:
        try:
            return await self._write(given)
        except (SystemExit, KeyboardInterrupt) as error:  # it would end the event loop, and with it all others
            raise BackendError(f"writing was ended by {type(error).__name__}: {error}") from error

    def _done(self, task: "asyncio.Task[Written]") -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # which is seen now, though an earlier one may end the job before it is taken
        self._free += 1
        self._begin()
        if not self._working:
            self._tell()
        elif not self._telling:
            self._telling = True
            self._loop.call_later(HAND_OVER, self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._told.set()
