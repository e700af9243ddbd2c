"""A thread whose end is seen, whatever ended it."""

import threading

import pytest

from pneg.lm.worker import Worker


@pytest.mark.parametrize("error", [None, MemoryError(), SystemExit(3), KeyboardInterrupt(), StopIteration()])
def test_whoever_waits_is_told_what_ended_it(error: BaseException | None) -> None:
    ended: list[tuple[BaseException | None, str]] = []

    def work() -> None:
        if error is not None:
            raise error

    thread = Worker(work, lambda why: ended.append((why, threading.current_thread().name)), "worker")
    thread.join()
    assert ended == [(error, "worker")]
    assert thread.daemon
