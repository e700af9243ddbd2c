"""A language model that is loaded once, though it is connected to again and again."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pneg.lm.base import Complete, Completion, LanguageModel, Request


class Lasting:
    """A language model that stays loaded from the first time it is asked until it is closed, or the process ends.

    It is loaded on an event loop of its own, since those who ask come with theirs and take them away again.

    Args:
        lm: a language model that takes long to load.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self._opening = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._held = AsyncExitStack()
        self._complete: Complete | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Load the model, if that was not done before."""
        ask, loop = await asyncio.to_thread(self._loaded)

        async def complete(request: Request) -> Completion:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_asked(ask, request), loop))

        yield complete

    def _loaded(self) -> tuple[Complete, asyncio.AbstractEventLoop]:
        with self._opening:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="pneg-lasting", daemon=True).start()
            if self._complete is None:
                opened = self._held.enter_async_context(self.lm.connect())
                self._complete = asyncio.run_coroutine_threadsafe(opened, self._loop).result()
            return self._complete, self._loop

    def close(self) -> None:
        """Let the model go."""
        with self._opening:
            if self._loop is not None:
                asyncio.run_coroutine_threadsafe(self._held.aclose(), self._loop).result()
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = self._complete = None


async def _asked(ask: Complete, request: Request) -> Completion:
    return await ask(request)
