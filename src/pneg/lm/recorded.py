"""A language model whose answers are kept in a ledger, and what tells one request from another there."""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from pathlib import Path
from typing import Any

from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, LanguageModel, Request, Sampling
from pneg.lm.ledger import Ledger, answer
from pneg.lm.ledger_file import explained, reading
from pneg.lm.prices import at_most, is_count

SAMPLING = attrgetter(*(part.name for part in fields(Sampling)))
IN_WORK = 1024
"""Requests whose hashes are remembered."""
Find = Callable[[Request], tuple[Completion, str] | None]
"""Gives the answer to a request, and why it was refused if it was; None where there is none."""


class Recorded:
    """A language model whose answers are kept in a ledger, and taken from it where they are there.

    Args:
        lm: asked for what the ledger does not have.
        ledger: open.
        form: what else makes its answers differ from those of the same model elsewhere, such as `chat`.
        earlier: looks up what the ledger does not have among answers that others have paid for, by a request's hash.

    Attributes:
        replayed: how many answers came from the ledger.
    """

    def __init__(
        self,
        lm: LanguageModel,
        ledger: Ledger,
        form: str = "",
        earlier: Callable[[bytes], tuple[Completion, str] | None] = lambda key: None,
    ) -> None:
        self.earlier = earlier
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self.ledger, self.form, self.replayed = ledger, form, 0
        self._who = _who(form, lm)
        self.key = lru_cache(IN_WORK)(self._key)  # asked for twice: when a request is sent, when it is judged

    def _key(self, request: Request) -> bytes:
        return _hash(self._who, request)

    def judge(self, request: Request, faults: Sequence[str]) -> None:
        """Note why responses in the answer to a request were refused."""
        self.ledger.judge(self.key(request), faults)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Connect to the language model."""
        async with self.lm.connect() as ask:

            async def complete(request: Request) -> Completion:
                key = self.key(request)
                found = self.ledger.find(key) or self.earlier(key)
                if found is None:
                    return await self._asked(ask, key, request)
                self.replayed += 1
                completion, refused = found
                if refused:
                    raise BackendError(
                        f"{self.name} refused this request before: {refused}", reason=refused, billed=True
                    )
                return completion

            yield complete

    async def _asked(self, ask: Complete, key: bytes, request: Request) -> Completion:
        started = time.perf_counter()
        try:
            completion = await ask(request)
        except BackendError as error:
            if error.reason and error.billed:
                cost = at_most(request)
                await self.ledger.record(key, request, cost, time.perf_counter() - started, error.reason)
            raise
        completion = storable(completion)
        await self.ledger.record(key, request, completion, time.perf_counter() - started)
        return completion


def storable(completion: Completion) -> Completion:
    """The completion with what no ledger can hold made harmless.

    Half a surrogate pair, which is no text, becomes a question mark; what is no number of tokens is not known.
    """
    odd: dict[str, Any] = {
        name: text.encode(errors="replace").decode()
        for name in ("text", "model", "backend")
        if not (text := getattr(completion, name)).isascii()
    }
    odd |= {
        name: 0
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
        if not is_count(getattr(completion, name))
    }
    return replace(completion, **odd) if odd else completion


def _who(form: str, lm: LanguageModel) -> str:
    """Who answers, as it stands in a list's JSON."""
    return f"{json.dumps(form)}, {json.dumps(lm.name)}"


def _hash(who: str, request: Request) -> bytes:
    """The SHA-256 of all that decides what is answered, as JSON; the sample number is the request's seed."""
    prompt, schema = encode_basestring_ascii(request.prompt), encode_basestring_ascii(request.schema)
    asked = f"[{who}, {prompt}, {schema}, {request.seed}, {_sampling(request.sampling)}]"
    return hashlib.sha256(asked.encode()).digest()


@lru_cache
def _sampling(sampling: Sampling) -> str:
    """The values of a sampling as they stand in a list's JSON."""
    return json.dumps(SAMPLING(sampling))[1:-1]


@contextmanager
def answers(paths: Iterable[Path], lm: LanguageModel, form: str = "") -> Iterator[Find]:
    """Looks up what ledgers have, and leaves them as they are; a file that is not there has nothing.

    Args:
        paths: of the ledgers.
        lm: was asked.
        form: as `Recorded` was given it.

    Raises:
        LedgerError: as `Ledger`.
    """
    with ExitStack() as stack:
        ledgers = [(path, stack.enter_context(reading(path))) for path in paths if path.is_file()]

        def find(request: Request) -> tuple[Completion, str] | None:
            key = _hash(_who(form, lm), request)
            for path, ledger in ledgers:
                with explained(path):
                    found = answer(ledger, key)
                if found:
                    return found
            return None

        yield find
