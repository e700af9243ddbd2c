"""What is in work between two threads."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from pneg.errors import BackendError
from pneg.negatives.prompted import window as module
from pneg.negatives.prompted.window import HAND_OVER, Window


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def window(loop: asyncio.AbstractEventLoop, write: Callable[[int], Awaitable[Any]], most: int) -> Window[int, Any]:
    return Window(loop, write, most)


def test_what_is_taken_comes_in_the_order_in_which_it_was_given(loop: asyncio.AbstractEventLoop) -> None:
    async def write(number: int) -> int:
        await asyncio.sleep(0.001 * (7 * number % 5))
        return -number

    found = window(loop, write, 3)
    for number in range(50):
        found.give(number)
    assert [found.take() for _ in range(50)] == [(number, -number) for number in range(50)]
    assert len(found) == 0


def test_never_more_than_allowed_are_written_at_a_time(loop: asyncio.AbstractEventLoop) -> None:
    working: list[int] = []
    seen: list[int] = []

    async def write(number: int) -> None:
        working.append(number)
        seen.append(len(working))
        await asyncio.sleep(0.002)
        working.remove(number)

    found = window(loop, write, 4)
    for number in range(30):
        found.give(number)
    for _ in range(30):
        found.take()
    assert max(seen) == 4


def test_what_failed_is_told_when_its_turn_comes(loop: asyncio.AbstractEventLoop) -> None:
    async def write(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    found = window(loop, write, 2)
    for number in range(3):
        found.give(number)
    assert found.take() == (0, 0)
    with pytest.raises(ValueError, match="one"):
        found.take()
    assert found.take() == (2, 2)


def test_closing_leaves_nothing_in_work(loop: asyncio.AbstractEventLoop) -> None:
    begun, ended = [], []

    async def write(number: int) -> None:
        begun.append(number)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    found = window(loop, write, 2)
    for number in range(5):
        found.give(number)
    while len(begun) < 2:
        pass
    asyncio.run_coroutine_threadsafe(found.close(), loop).result()
    assert begun == sorted(ended) == [0, 1]


def test_a_caller_that_was_told_often_still_waits_for_what_is_not_done(loop: asyncio.AbstractEventLoop) -> None:
    async def write(seconds: float) -> None:
        await asyncio.sleep(seconds)

    class Watched(Window[float, None]):
        looks = 0

        def first_is_done(self) -> bool:
            self.looks += 1
            return super().first_is_done()

    found = Watched(loop, write, 4)
    for _ in range(20):  # each alone, so that each is told of, and nobody waits for it
        found.give(0.0)
        while not found.first_is_done():
            time.sleep(0.001)
        found.take()
        time.sleep(2 * HAND_OVER)
    found.looks = 0
    found.give(0.1)
    found.take()
    assert found.looks <= 3


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt("now"), MemoryError("none left")])
def test_what_would_end_the_event_loop_fails_in_its_turn_and_the_others_go_on(
    loop: asyncio.AbstractEventLoop, error: BaseException
) -> None:
    async def write(number: int) -> int:
        if number == 1:
            raise error
        return number

    taken = window(loop, write, 1)
    for number in range(3):
        taken.give(number)
    assert taken.take() == (0, 0)
    with pytest.raises((BackendError, MemoryError), match=f"{error}"):
        taken.take()
    assert taken.take() == (2, 2)


def test_who_waits_is_told_when_the_event_loop_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.01)
    loop = asyncio.new_event_loop()

    def run() -> None:
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()

    async def write(_: int) -> None:
        loop.stop()
        await asyncio.Event().wait()

    taken = window(loop, write, 1)
    taken.give(0)
    with pytest.raises(BackendError, match="the event loop ended before all was written"):
        taken.take()
    thread.join()
