"""Threads whose end is seen: whoever waits for one is told that it has ended, and why."""

import threading
from collections.abc import Callable
from types import TracebackType


class Worker(threading.Thread):
    """A daemon thread that hands whatever ends it to those who wait for it; it is started at once.

    Args:
        work: runs on the thread.
        ended: is called on the thread when `work` has ended, with what it raised, or None.
        name: of the thread.
    """

    def __init__(self, work: Callable[[], object], ended: Callable[[BaseException | None], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self._ended = work, ended
        self.start()

    def run(self) -> None:
        """Work, and say how that ended."""
        with _Reported(self._ended):
            self._work()


class _Reported:
    """A block that never raises: what ends it is handed on instead."""

    def __init__(self, ended: Callable[[BaseException | None], None]) -> None:
        self._ended = ended

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        self._ended(error)
        return True
