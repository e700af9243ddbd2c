"""A language model that is loaded once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pneg.errors import BackendError, ModelError
from pneg.lm import Completion, Request, Sampling
from pneg.lm.base import Complete
from pneg.lm.lasting import Lasting


class Loaded:
    """Says what became of it."""

    name, concurrency = "m", 2

    def __init__(self, faulty_loads: int = 0) -> None:
        self.said: list[str] = []
        self.faulty_loads = faulty_loads

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        self.said.append("loaded")
        if self.said.count("loaded") <= self.faulty_loads:
            raise ModelError("no such model")
        loop = asyncio.get_running_loop()

        async def complete(request: Request) -> Completion:
            assert asyncio.get_running_loop() is loop
            if not request.prompt:
                raise BackendError("nothing to complete", reason="empty")
            try:
                await asyncio.sleep(60 if request.prompt == "slow" else 0)
            except asyncio.CancelledError:
                self.said.append("left")
                raise
            return Completion(request.prompt.upper())

        yield complete
        self.said.append("let go")


def asked(lm: Lasting, prompt: str, patience: float = 30) -> str:
    async def ask() -> str:
        async with lm.connect() as complete:
            return (await asyncio.wait_for(complete(Request(prompt, Sampling(), 0)), patience)).text

    return asyncio.run(ask())


def test_it_is_loaded_once_for_all_event_loops_and_let_go_when_it_is_closed() -> None:
    inner = Loaded()
    lm = Lasting(inner)
    assert (lm.name, lm.concurrency, inner.said) == ("m", 2, [])
    assert [asked(lm, "a"), asked(lm, "b")] == ["A", "B"]
    with pytest.raises(BackendError, match="nothing to complete"):
        asked(lm, "")
    assert inner.said == ["loaded"]
    lm.close()
    assert inner.said == ["loaded", "let go"]


def test_a_request_that_is_given_up_is_not_worked_on() -> None:
    inner = Loaded()
    lm = Lasting(inner)
    with pytest.raises(TimeoutError):
        asked(lm, "slow", patience=0.05)
    assert asked(lm, "a") == "A"
    assert inner.said == ["loaded", "left"]
    lm.close()


def test_a_model_that_cannot_be_loaded_says_so_each_time_it_is_tried() -> None:
    lm = Lasting(Loaded(faulty_loads=1))
    with pytest.raises(ModelError):
        asked(lm, "a")
    assert asked(lm, "a") == "A"
    lm.close()


class Deadly(Loaded):
    """Its event loop does not survive the prompt `die`."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        begun = asyncio.Event()

        async def complete(request: Request) -> Completion:
            if request.prompt == "die":
                await begun.wait()
                raise SystemExit("the worker is told to end")
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        yield complete


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_all_who_wait_are_told_when_the_loop_has_died_and_so_is_who_comes_later() -> None:
    lm = Lasting(Deadly())

    async def ask() -> list[BaseException | Completion]:
        async with lm.connect() as complete:
            asked = [complete(Request(prompt, Sampling(), 0)) for prompt in ("wait", "die")]
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)

    waited, died = asyncio.run(ask())
    assert isinstance(waited, BackendError)
    assert str(waited) == "the model's event loop has ended: SystemExit: the worker is told to end"
    assert isinstance(died, BackendError | SystemExit)
    with pytest.raises(BackendError, match="has ended: SystemExit"):
        asked(lm, "later")
    lm.close()
