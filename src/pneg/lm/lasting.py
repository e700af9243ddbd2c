"""A language model that is loaded once, though it is connected to again and again."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, LanguageModel, Request
from pneg.lm.worker import Worker

T = TypeVar("T")


class Lasting:
    """A language model that stays loaded from the first time it is asked until it is closed, or the process ends.

    It is loaded on an event loop of its own, since those who ask come with theirs and take them away again.

    Args:
        lm: a language model that takes long to load.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self._opening = threading.Lock()
        self._loop: _Loop | None = None
        self._held = AsyncExitStack()
        self._complete: Complete | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Load the model, if that was not done before.

        Raises:
            BackendError: when the event loop that it was loaded on has ended.
        """
        ask, loop = await asyncio.to_thread(self._loaded)

        async def complete(request: Request) -> Completion:
            return await asyncio.wrap_future(loop.begin(_asked(ask, request)))

        yield complete

    def _loaded(self) -> "tuple[Complete, _Loop]":
        with self._opening:
            if self._loop is None:
                self._loop = _Loop()
            if self._complete is None:
                opened = self._held.enter_async_context(self.lm.connect())
                self._complete = self._loop.begin(opened).result()
            return self._complete, self._loop

    def close(self) -> None:
        """Let the model go."""
        with self._opening:
            if self._loop is not None:
                with suppress(BackendError):  # the loop has ended, and what was loaded on it is gone
                    self._loop.begin(self._held.aclose()).result()
                self._loop.stop()
            self._loop = self._complete = None


class _Loop:
    """An event loop on a thread of its own; when that ends, so does all that was begun on it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._begun: set[Future[Any]] = set()
        self._failed: BackendError | None = None
        self._ending = threading.Lock()
        Worker(self._loop.run_forever, self._ended, "pneg-lasting")

    def begin(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the loop.

        Raises:
            BackendError: when the loop has ended.
        """
        with self._ending:
            if self._failed:
                work.close()
                raise self._failed
            begun = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)
        return begun

    def stop(self) -> None:
        """End the loop, and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _ended(self, error: BaseException | None) -> None:
        why = "it was stopped" if error is None else f"{type(error).__name__}: {error}"
        with self._ending:
            self._failed = BackendError(f"the model's event loop has ended: {why}")
        for begun in [*self._begun]:
            if not begun.done():
                begun.set_exception(self._failed)


async def _asked(ask: Complete, request: Request) -> Completion:
    return await ask(request)
