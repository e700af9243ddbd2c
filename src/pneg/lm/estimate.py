"""What a job will take, before anything is spent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pneg import models
from pneg.errors import BackendError, MissingExtra, ModelError
from pneg.lm.base import Complete, Completion, LanguageModel, Request
from pneg.lm.ledger_file import SECONDS, WRITTEN, columns, reading
from pneg.lm.prices import Price, Tokens
from pneg.lm.recorded import Find

CHARACTERS = 4
"""A token has about so many, in English."""
ENOUGH = 100
"""Earlier answers from which something can be said."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What the answers of a model are like.

    Attributes:
        written: tokens of an answer.
        seconds: it takes.
        faulty: share of the answers after which more must be asked for.
        seen: answers that this was measured on; 0 where it is assumed.
    """

    written: float = 100.0
    seconds: float = 2.0
    faulty: float = 0.25
    seen: int = 0


NOT_ASKED = "not asked for"
"""Why a request that is only counted has no answer."""


class Counted:
    """Stands for a language model: answers what was answered before, and counts what it would be sent.

    Args:
        lm: it stands for.
        tokens: counts those of a text.
        find: looks up what was answered before; such a request is free.

    Attributes:
        had: requests that were answered before.
        requests: that would be sent; a context ends with its first.
        prompt_tokens: in them.
        most_written: tokens that they may be answered with.
    """

    def __init__(self, lm: LanguageModel, tokens: Tokens, find: Find = lambda _: None) -> None:
        self.name, self.concurrency, self.tokens, self.find = lm.name, lm.concurrency, tokens, find
        self.had = self.requests = self.prompt_tokens = self.most_written = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Nothing to open."""

        async def complete(request: Request) -> Completion:
            found = self.find(request)
            if found is not None:
                self.had += 1
                completion, refused = found
                if refused:
                    raise BackendError(refused, reason=refused)
                return completion
            self.requests += 1
            self.prompt_tokens += self.tokens(request.prompt)
            self.most_written += request.sampling.max_tokens
            raise BackendError("it is only counted", reason=NOT_ASKED)

        yield complete


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of a job.

    Attributes:
        contexts: to write for; those whose answers are all there are none of them.
        requests: to send, repeated ones included.
        prompt_tokens: to read.
        completion_tokens: to write.
        dollars: they cost.
        dollars_at_most: if every context took all its attempts, with the longest answers.
        hours: with all requests at a time that are allowed.
    """

    contexts: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: Decimal
    dollars_at_most: Decimal
    hours: float


def estimate(counted: Counted, habits: Habits, price: Price, attempts: int, each: int = 1) -> Estimate:
    """What a job will take.

    Args:
        counted: was sent the first request of each context that was not answered before.
        habits: of the model.
        price: of its tokens.
        attempts: requests a context may take for each that it needs.
        each: requests that a context needs if no answer is faulty.
    """
    # An answer is faulty with the same chance each time: a geometric series that ends with the attempts.
    times = each * sum(habits.faulty**attempt for attempt in range(attempts))
    requests = round(counted.requests * times)
    most = each * attempts
    read, written = round(counted.prompt_tokens * times), round(requests * habits.written)
    return Estimate(
        contexts=counted.requests,
        requests=requests,
        prompt_tokens=read,
        completion_tokens=written,
        dollars=price.of(read, 0, written),
        dollars_at_most=price.of(counted.prompt_tokens * most, 0, counted.most_written * most),
        hours=requests * habits.seconds / counted.concurrency / 3600,
    )


def habits(ledger: Path) -> Habits:
    """What earlier answers in a ledger were like; what is assumed where there are too few."""
    if not ledger.is_file():
        return Habits()
    with reading(ledger) as connection:
        own_count = "estimated" if "estimated" in columns(connection, "requests") else "0"
        row = connection.execute(
            f"SELECT avg({WRITTEN}), avg({SECONDS}), avg(faults != '[]'), count(*) FROM requests "
            f"WHERE refused = '' AND {WRITTEN} > 0 AND NOT {own_count}"
        ).fetchone()
    return Habits(row[0], row[1], row[2] or 0.0, row[3]) if row[3] >= ENOUGH else Habits()


def tokenizer(model: str) -> Tokens | None:
    """The model's own tokenizer, where one is to be had: from its folder, a mirror, or the hub.

    Args:
        model: a folder, a name in `pneg.models.MIRRORED`, or a hub name.
    """
    if not (model in models.MIRRORED or model.count("/") == 1 or Path(model).expanduser().is_dir()):
        return None
    try:
        import tokenizers

        found = tokenizers.Tokenizer.from_file(str(models.tokenizer_file(model)))
    except (ImportError, ModelError, MissingExtra):
        return None
    return lambda text: len(found.encode(text, add_special_tokens=False).ids)


def guessed(text: str) -> int:
    """About how many tokens a text has."""
    return -(-len(text) // CHARACTERS)
