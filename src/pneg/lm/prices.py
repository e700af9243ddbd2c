"""What tokens cost, and how not to spend more than is allowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from pneg.errors import BackendError, BudgetExceeded, needs
from pneg.lm.base import Complete, Completion, LanguageModel, Request

MILLION = 1_000_000
PROBE = 1_000
"""Tokens whose price is asked for: few, since some models ask more for long prompts."""
MARGIN = 512
"""Tokens that a chat form puts around a prompt, at most."""


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


class Metered:
    """A language model whose cost is summed up, and that is asked nothing that could pass a budget.

    What a request may cost at most is set aside before it is sent: a token for each byte of its prompt and all the
    tokens it may be answered with. What failed, but may have been worked on, counts as that much.

    Args:
        lm: sends each request once.
        price: of its tokens.
        budget: dollars that are not passed.
        spent: dollars that were spent before.

    Attributes:
        spent: dollars, up to now.
        prompt_tokens: read.
        cached_tokens: of these, read from a cache.
        completion_tokens: written.
    """

    def __init__(
        self, lm: LanguageModel, price: Price, budget: Decimal | None = None, spent: Decimal = Decimal(0)
    ) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self.price, self.budget, self.spent = price, budget, spent
        self.prompt_tokens = self.cached_tokens = self.completion_tokens = 0
        self._aside = Decimal(0)
        self._over = ""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Connect to the language model.

        Raises:
            BudgetExceeded: from a request that could pass the budget, once all that were sent are answered.
        """
        changed = asyncio.Event()
        async with self.lm.connect() as ask:

            async def complete(request: Request) -> Completion:
                most = Decimal(0) if self.budget is None else self._most(request)
                await self._set_aside(most, changed)
                cost = Decimal(0)
                try:
                    completion = await ask(request)
                    cost = self._counted(completion, request)
                    return completion
                except BackendError as error:
                    cost = self._most(request) if error.billed else cost
                    raise
                finally:
                    self.spent += cost
                    self._aside -= most
                    # No await here: whoever waits could end the job before this answer is in the ledger.
                    changed.set()
                    changed.clear()

            yield complete

    def _most(self, request: Request) -> Decimal:
        return self.price.of(len(request.prompt.encode()) + MARGIN, 0, request.sampling.max_tokens)

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

    def _counted(self, completion: Completion, request: Request) -> Decimal:
        self.prompt_tokens += completion.prompt_tokens
        self.cached_tokens += completion.cached_tokens
        self.completion_tokens += completion.completion_tokens
        if not completion.prompt_tokens + completion.completion_tokens:
            return self._most(request)  # a server that does not say
        return self.price.of(completion.prompt_tokens, completion.cached_tokens, completion.completion_tokens)
