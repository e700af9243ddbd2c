"""Time that goes by without anybody waiting for it."""

import asyncio
from typing import Any


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time goes on only while nothing can be done, by as much as is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        select = self._selector.select

        def passing(timeout: float | None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = passing

    def time(self) -> float:
        return self.now
