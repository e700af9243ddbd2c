"""A language model that says what it was told to, for tests: yours and ours."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import cycle

from pneg.lm.base import Complete, Completion, Request


class Scripted:
    """Answers from a list, over and over, or from a function.

    Args:
        answers: completions in the order they are asked for, or a function of the request; a plain string
            stands for a completion that ended by itself.

    Attributes:
        requests: all that was asked, in order.
    """

    name = "scripted"

    def __init__(
        self,
        answers: Iterable[str | Completion] | Callable[[Request], str | Completion],
        concurrency: int = 4,
    ) -> None:
        self.concurrency = concurrency
        self.requests: list[Request] = []
        if callable(answers):
            self._answer = answers
        else:
            remaining = cycle(answers)
            self._answer = lambda _: next(remaining)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Nothing to open."""

        async def complete(request: Request) -> Completion:
            self.requests.append(request)
            answer = self._answer(request)
            return Completion(answer) if isinstance(answer, str) else answer

        yield complete
