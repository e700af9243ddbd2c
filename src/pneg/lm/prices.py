"""What tokens cost, and how not to spend more than is allowed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

from pneg.errors import BackendError, BudgetExceeded, needs
from pneg.lm.base import MOST_TOKENS, Complete, Completion, LanguageModel, Request

MILLION = 1_000_000
PROBE = 1_000
"""Tokens whose price is asked for: few, since some models ask more for long prompts."""
MARGIN = 512
"""Tokens that a chat form puts around a prompt, at most."""

Tokens = Callable[[str], int]
"""How many tokens a text has."""
Attempted = Callable[[Request, Completion, float, str], None]
"""Keeps what a request without an answer may cost: the request, its tokens, the seconds it took, and why."""

FAILED, LEFT = "failed, may be billed", "given up when the job ended, may be billed"
"""Why a request that may be billed has no answer."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars a million tokens.

    Attributes:
        read: of a prompt.
        cached: of a prompt, read from a cache.
        written: of a completion.
    """

    read: Decimal = Decimal(0)
    cached: Decimal = Decimal(0)
    written: Decimal = Decimal(0)

    def of(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> Decimal:
        """Dollars for so many tokens.

        Args:
            prompt_tokens: read, those from a cache included.
            cached_tokens: of these, read from a cache.
            completion_tokens: written.
        """
        read = (prompt_tokens - cached_tokens) * self.read + cached_tokens * self.cached
        return (read + completion_tokens * self.written) / MILLION

    def __mul__(self, share: Decimal) -> "Price":
        """So much of the price."""
        return Price(self.read * share, self.cached * share, self.written * share)


def known(model: str, url: str) -> Price | None:
    """The published price of a model, as `genai-prices` has it; None where it has none.

    Args:
        model: as the server calls it.
        url: of the server; a model may have several.

    Raises:
        MissingExtra: when `genai-prices` is not installed.
    """
    with needs("prices"):
        from genai_prices import Usage, calc_price

    def million(**tokens: int) -> Decimal:
        usage = Usage(**{kind: PROBE * number for kind, number in tokens.items()})
        return calc_price(usage, model, provider_api_url=url).total_price * (MILLION // PROBE)

    try:
        return Price(
            million(input_tokens=1, output_tokens=0),
            million(input_tokens=1, cache_read_tokens=1, output_tokens=0),
            million(input_tokens=0, output_tokens=1),
        )
    except LookupError:
        return None


def is_count(tokens: object) -> bool:
    """Whether a value can be a number of tokens."""
    return isinstance(tokens, int) and 0 <= tokens <= MOST_TOKENS


def at_most(request: Request) -> Completion:
    """No text, and the tokens a request is billed at most: one a byte of the prompt, and all that may be written."""
    read = len(request.prompt.encode(errors="surrogatepass")) + MARGIN
    return Completion("", prompt_tokens=read, completion_tokens=request.sampling.max_tokens, estimated=True)


def counted(completion: Completion, request: Request, tokens: Tokens | None) -> Completion:
    """The completion with a count of our own for tokens that the server did not tell, or told wrongly.

    Args:
        completion: as the server gave it.
        request: that it answers.
        tokens: counts those of a text as the model does; without it a request counts as `at_most`.
    """
    read, cached, written = completion.prompt_tokens, completion.cached_tokens, completion.completion_tokens
    if is_count(read) and read > 0 and is_count(written) and (written > 0 or not completion.text):
        if is_count(cached) and cached <= read:
            return completion
        return replace(completion, cached_tokens=0)
    if tokens is None:
        most = at_most(request)
        read, written = most.prompt_tokens, most.completion_tokens
    else:
        read, written = tokens(request.prompt), tokens(completion.text)
    return replace(completion, prompt_tokens=read, cached_tokens=0, completion_tokens=written, estimated=True)


class Metered:
    """A language model whose cost is summed up, and that is asked nothing that could pass a budget.

    What a request may cost at most is set aside before it is sent: a token for each byte of its prompt and all the
    tokens it may be answered with. What failed or was given up, but may have been worked on, counts as that much.

    Args:
        lm: sends each request once.
        price: of its tokens.
        budget: dollars that are not passed.
        spent: dollars that were spent before.
        attempted: keeps what requests without an answer may cost, so that the next run knows of it.
        tokenizer: gives what counts tokens that the server does not tell, None for the most they can be; it is asked
            once, in a thread, as it may load a file.

    Attributes:
        spent: dollars, up to now.
        prompt_tokens: read.
        cached_tokens: of these, read from a cache.
        completion_tokens: written.
    """

    def __init__(
        self,
        lm: LanguageModel,
        price: Price,
        budget: Decimal | None = None,
        spent: Decimal = Decimal(0),
        attempted: Attempted = lambda *_: None,
        tokenizer: Callable[[], Tokens | None] = lambda: None,
    ) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self.price, self.budget, self.spent = price, budget, spent
        self.attempted, self.tokenizer = attempted, tokenizer
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self._aside = Decimal(0)
        self._over = ""
        self._tokens: Tokens | None = None
        self._asked_for_tokens = False

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Connect to the language model.

        Raises:
            BudgetExceeded: from a request that could pass the budget, once all that were sent are answered.
        """
        changed = asyncio.Event()
        async with self.lm.connect() as ask:

            async def complete(request: Request) -> Completion:
                most = Decimal(0) if self.budget is None else self._cost(at_most(request))
                await self._set_aside(most, changed)
                cost, started = Decimal(0), time.perf_counter()
                try:
                    completion = await self._counted(await ask(request), request)
                    cost = self._cost(completion)
                    return completion
                except (BackendError, asyncio.CancelledError) as error:
                    cost = self._failed(request, error, time.perf_counter() - started)
                    raise
                finally:
                    self.spent += cost
                    self._aside -= most
                    # No await here: whoever waits could end the job before this answer is in the ledger.
                    changed.set()
                    changed.clear()

            yield complete

    def _cost(self, completion: Completion) -> Decimal:
        return self.price.of(completion.prompt_tokens, completion.cached_tokens, completion.completion_tokens)

    def _failed(self, request: Request, error: BaseException, seconds: float) -> Decimal:
        """What a request that failed may cost; it is kept, but for what `Recorded` keeps as the request's answer."""
        # One that is given up may be worked on, but not where a wrong key or address ends the job before any answer.
        billed = error.billed if isinstance(error, BackendError) else self.prompt_tokens > 0
        if not billed:
            return Decimal(0)
        most = at_most(request)
        cost = self._cost(most)
        if not isinstance(error, BackendError):
            why = LEFT
        elif error.reason:
            return cost
        else:
            why = FAILED
        if cost:
            self.attempted(request, most, seconds, why)
        return cost

    async def _set_aside(self, most: Decimal, changed: asyncio.Event) -> None:
        while self.budget is not None and self.spent + self._aside + most > self.budget:
            if not self._aside:
                self._over = (
                    f"{self.spent:.4f} of {self.budget} dollars are spent, and the next request may cost "
                    f"{most:.4f}; what is done is kept: give the same command with a higher --budget to go on"
                )
                break
            await changed.wait()
        if self._over:  # a smaller request might do, but would be under way when this ends the job
            raise BudgetExceeded(self._over)
        self._aside += most

    async def _counted(self, completion: Completion, request: Request) -> Completion:
        known = counted(completion, request, None)
        if known.estimated and not self._asked_for_tokens:
            self._tokens, self._asked_for_tokens = await asyncio.to_thread(self.tokenizer), True
        if known.estimated and self._tokens is not None:
            known = counted(completion, request, self._tokens)
        self.prompt_tokens += known.prompt_tokens
        self.cached_tokens += known.cached_tokens
        self.completion_tokens += known.completion_tokens
        return known
