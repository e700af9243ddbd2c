"""What tokens cost."""

from dataclasses import dataclass
from decimal import Decimal

MILLION = 1_000_000


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
