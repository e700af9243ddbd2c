"""What is scored together, who waits, who is refused, and what those who left cost."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from scripted import Scripted

from pneg.web.serving.batching import Batcher, Full
from pneg.web.serving.metrics import Metrics

TURNS = ("Hi.",)


def asked(*texts: str) -> list[tuple[tuple[str, ...], str]]:
    return [(TURNS, text) for text in texts]


def run(work: Callable[[Batcher, Scripted], Awaitable[None]], together: int = 256, waiting: int = 2000) -> Scripted:
    """Do the work with a batcher, and return its selector."""
    selector = Scripted()
    batcher = Batcher(selector, Metrics(), together, waiting)

    async def both() -> None:
        async with asyncio.timeout(30):
            await work(batcher, selector)

    try:
        asyncio.run(both())
    finally:
        selector.release()
        batcher.close()
    return selector


async def begun(selector: Scripted) -> None:
    """Wait for a call of the model to begin."""
    await asyncio.to_thread(selector.begun.acquire)


def test_what_arrives_while_the_model_works_is_scored_together_next_and_each_gets_its_own() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        first = batcher.submit(asked("a"))
        await begun(selector)
        others = [batcher.submit(asked("x" * n, "y" * (n + 1))) for n in (2, 5, 9)]
        await asyncio.sleep(0)
        assert batcher.waiting == 6
        selector.release()
        assert (await first).tolist() == [0]
        assert [(await other).tolist() for other in others] == [[1, 2], [4, 5], [8, 9]]
        assert batcher.waiting == 0

    selector = run(work)
    assert [len(call) for call in selector.calls] == [1, 6]
    assert len(selector.threads) == 1


def test_a_call_takes_no_more_than_it_may_in_the_order_of_arrival() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        answers = [batcher.submit(asked("first"))]
        await begun(selector)
        answers += [batcher.submit(asked(*["x"] * count)) for count in (2, 1, 2, 7, 1)]
        selector.release()
        await asyncio.gather(*answers)

    assert [len(call) for call in run(work, together=4).calls] == [1, 3, 2, 7, 1]


def test_a_request_is_refused_where_others_leave_no_room_but_never_by_its_own_size() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        answers = [batcher.submit(asked("first"))]
        await begun(selector)
        answers.append(batcher.submit(asked("a", "b", "c")))
        with pytest.raises(Full) as full:
            batcher.submit(asked("d", "e"))
        assert full.value.seconds == 1
        answers.append(batcher.submit(asked("d")))
        selector.release()
        await asyncio.gather(*answers)
        assert len(await batcher.submit(asked(*"abcdefg"))) == 7

    run(work, waiting=4)


def test_how_long_to_wait_is_reckoned_from_the_last_call() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        answers = [batcher.submit(asked("first"))]
        await begun(selector)
        answers.append(batcher.submit(asked(*"abcd")))
        for pace, seconds in ((0.8, 4), (1000.0, 60), (0.0, 1)):  # 4 wait: 3.2 s, 4,000 s, no time
            batcher._pace = pace
            with pytest.raises(Full) as full:
                batcher.submit(asked("e"))
            assert full.value.seconds == seconds
        selector.release()
        await asyncio.gather(*answers)

    run(work, waiting=4)


def test_who_left_is_not_scored_and_makes_room() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        first = batcher.submit(asked("first"))
        await begun(selector)
        left, stays = batcher.submit(asked("left", "too")), batcher.submit(asked("stays"))
        left.cancel()
        first.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        selector.release()
        assert (await stays).tolist() == [4]

    selector = run(work)
    assert [[text for _, text in call] for call in selector.calls] == [["first"], ["stays"]]


def test_only_the_request_at_fault_fails_of_those_scored_together() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        first = batcher.submit(asked("first"))
        await begun(selector)
        good, bad, better = (batcher.submit(asked(text)) for text in ("good", "break", "better"))
        selector.release()
        await first
        assert (await good).tolist() == [3]
        assert (await better).tolist() == [5]
        with pytest.raises(RuntimeError, match="a text broke the model"):
            await bad
        assert (await batcher.submit(asked("after"))).tolist() == [4]

    assert [len(call) for call in run(work).calls] == [1, 3, 1, 1, 1, 1]


def test_scores_are_float32_in_the_order_of_the_pairs() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        scores = await batcher.submit(asked("abc", "a", "ab"))
        assert scores.dtype == np.float32
        assert scores.tolist() == [2, 0, 1]

    run(work)


def test_those_who_wait_are_told_when_the_work_ends_before_its_time_and_the_next_request_is_scored() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        selector.hold()
        first = batcher.submit(asked("a"))
        await begun(selector)
        second = batcher.submit(asked("b"))
        scored, selector.score = selector.score, lambda *_, **__: None  # no scores: what hands them out fails
        selector.release()
        assert (await first).tolist() == [0]
        with pytest.raises(TypeError):
            await second
        assert batcher.waiting == 0
        selector.score = scored
        assert (await batcher.submit(asked("ccc"))).tolist() == [2]

    run(work)


def test_those_who_wait_are_told_when_there_is_no_thread_any_more() -> None:
    async def work(batcher: Batcher, selector: Scripted) -> None:
        batcher.close()
        with pytest.raises(RuntimeError, match="shutdown"):
            await batcher.submit(asked("a"))
        assert batcher.waiting == 0

    run(work)
