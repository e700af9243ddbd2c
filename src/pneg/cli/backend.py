"""The options that say which language model writes, and how its answers are kept and paid for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli.options import Kept, Number
from pneg.errors import MissingExtra

if TYPE_CHECKING:
    from pneg.lm import LanguageModel, Metered, Price, Recorded
    from pneg.lm.completions import Endpoint


class _Dollars(click.ParamType):  # type: ignore[type-arg]
    name = "dollars"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            found = Decimal(value)
        except InvalidOperation:
            found = Decimal(-1)
        if not found.is_finite() or not 0 <= found <= MOST_DOLLARS:
            self.fail(f"{value} is no sum of dollars, such as 0.15", param, ctx)
        return found


DOLLARS = _Dollars()
MOST_DOLLARS = 10**9
"""A greater sum is a slip, and would overflow where it is multiplied."""
MOST = 64
"""Requests at a time to a server, at most."""
MOST_IN_BATCH = 10_000
OPTIONS = (
    click.option(
        "--lm",
        default="transformers",
        show_default=True,
        metavar="URL",
        help="An OpenAI-compatible server, as in http://localhost:8000/v1; or `transformers`, a model inside this "
        "process, on a GPU if there is one; or `embedded`, llama.cpp on the processor.",
    ),
    click.option(
        "--model",
        metavar="NAME",
        help="The model as the server calls it; a hub name or a folder for transformers, a GGUF file for embedded.  "
        "[default: smollm2-135m]",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1),
        help="Contexts in work at a time; with a server at most.  [default: 64; embedded 8, transformers "
        "64, on a GPU 256]",
    ),
    click.option(
        "--endpoint",
        type=click.Choice(["completions", "chat"]),
        default="completions",
        show_default=True,
        help="What the server is asked for; chat is for a model that has no completions.",
    ),
    click.option(
        "--schema",
        is_flag=True,
        help="Ask a chat endpoint for JSON by a schema where its first answer was not good enough.",
    ),
    click.option(
        "--batch",
        is_flag=True,
        help="Use the server's Batch API: half the price, answers within a day. --concurrency is then how many "
        "requests a batch holds.  [default: 10000]",
    ),
    click.option(
        "--timeout",
        type=Number(0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds a server may take to answer a request, at most. A request that takes far longer than the "
        "others (8 times their median, and 5 seconds at least) is given up before and sent again; the server may "
        "charge for both, and the cost and --budget count both.",
    ),
    click.option(
        "--patience",
        type=Number(0),
        default=300.0,
        show_default=True,
        help="Seconds a server may fail, without any answer, or ask to be left alone, until the job stops.",
    ),
    click.option(
        "--ledger",
        type=Kept(default=".ledger.sqlite"),
        metavar="FILE",
        help="Where every answer is kept, so that none is asked for twice; several jobs may share it.  "
        "[default: OUT.ledger.sqlite]",
    ),
    click.option(
        "--price-in",
        type=DOLLARS,
        help="Dollars a million tokens read, without a batch's discount.  [default: the published price]",
    ),
    click.option(
        "--price-out",
        type=DOLLARS,
        help="Dollars a million tokens written.  [default: the published price]",
    ),
    click.option(
        "--budget",
        type=DOLLARS,
        help="Stop before all that is in the ledger has cost more dollars.",
    ),
)


def backend_options(command: Any) -> Any:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Backend:
    """What the options say; see their help."""

    lm: str = field(repr=False)  # an address may hold a password
    model: str | None
    endpoint: str
    schema: bool
    batch: bool
    concurrency: int | None
    timeout: float
    patience: float
    ledger: Path | None
    price_in: Decimal | None
    price_out: Decimal | None
    budget: Decimal | None

    @classmethod
    def taken(cls, words: dict[str, Any]) -> "Backend":
        """Take the options of a back end out of a command's."""
        return cls(**{name: words.pop(name) for name in cls.__dataclass_fields__})

    @property
    def settings(self) -> dict[str, Any]:
        """What of it changes what is written."""
        from pneg.lm.server import public

        told = {"lm": public(self.lm) if "://" in self.lm else self.lm, "model": self.model}
        return told if self.endpoint == "completions" else {**told, "endpoint": "chat", "schema": self.schema}

    @property
    def remote(self) -> bool:
        """Whether a server is asked."""
        return self.lm not in ("transformers", "embedded")

    def checked(self) -> "Backend":
        """Itself, if the options go together.

        Raises:
            UsageError: when they do not.
        """
        from pneg.lm.server import is_address

        if self.remote and not is_address(self.lm):
            shown = "***" + self.lm[self.lm.rindex("@") :] if "@" in self.lm else self.lm
            raise click.UsageError(
                f"--lm {shown} is neither transformers nor embedded nor an address like http://localhost:8000/v1"
            )
        if self.remote and self.model is None:
            raise click.UsageError("--lm needs --model NAME, the model as the server calls it")
        if self.schema and self.endpoint != "chat":
            raise click.UsageError("--schema needs --endpoint chat")
        if self.batch and not self.remote:
            raise click.UsageError("--batch needs --lm URL, a server that has OpenAI's Batch API")
        if (self.price_in is None) != (self.price_out is None):
            raise click.UsageError("--price-in and --price-out go together")
        return self

    def language_model(self, out: Path) -> "LanguageModel":
        """The language model itself, for a job that writes `out`; each request is sent once.

        A server's requests are watched below the meter, since what is given up may be charged for.
        """
        from pneg.lm import BatchAPI, Embedded, OpenAICompatible, Policy, Transformers, Watched

        model = self.model or "smollm2-135m"
        if self.lm == "transformers":
            return Transformers(model, self.concurrency or 0)
        if self.lm == "embedded":
            return Embedded(model, self.concurrency or 8)
        endpoint: Endpoint = "chat" if self.endpoint == "chat" else "completions"
        if self.batch:
            state = out.with_name(out.name + ".batches.jsonl")
            most = self.concurrency or MOST_IN_BATCH
            policy = Policy(patience=self.patience)
            return BatchAPI(self.lm, model, state, concurrency=most, endpoint=endpoint, policy=policy)
        most = self.concurrency or MOST
        return Watched(OpenAICompatible(self.lm, model, concurrency=most, timeout=self.timeout, endpoint=endpoint))

    def price(self) -> "Price | None":
        """Of the model's tokens: what was given, else what is published; None where it is not known.

        Raises:
            UsageError: when there is a budget, and no price.
        """
        listed = self._listed_price()
        return listed * Decimal("0.5") if listed and self.batch else listed

    def _listed_price(self) -> "Price | None":
        from pneg.lm.prices import Price, known

        if self.price_in is not None and self.price_out is not None:
            return Price(self.price_in, self.price_in, self.price_out)
        if not self.remote:
            return Price()
        try:
            found = known(self.model or "", self.lm)
        except MissingExtra:
            if self.budget is not None:
                raise
            return None
        if found is None and self.budget is not None:
            raise click.UsageError(
                f"the price of {self.model} is not known: --budget needs --price-in and --price-out"
            )
        return found

    def ledger_of(self, out: Path) -> Path:
        """The ledger of a job that writes `out`."""
        return self.ledger or out.with_name(out.name + ".ledger.sqlite")

    @contextmanager
    def opened(
        self, lm: "LanguageModel", out: Path, settings: Mapping[str, Any], known: Path | None = None
    ) -> "Iterator[Asked]":
        """The language model with its meter, its pace and its ledger, for a job that writes `out`.

        Args:
            lm: asked for what was not answered before.
            out: the ledger lies beside it unless another was named.
            settings: what the ledger says of the run.
            known: a copy of another ledger, as `pneg.lm.snapshot` makes it, whose answers are taken too.
        """
        from pneg.cli.garbage import seldom_looked_for
        from pneg.lm import Ledger, Metered, Paced, Policy, Price, Recorded, Run
        from pneg.lm.estimate import tokenizer
        from pneg.lm.snapshot import reading

        price = self.price()
        paid = price or Price()
        run = Run(settings, str(paid.read), str(paid.cached), str(paid.written))
        with Ledger(self.ledger_of(out), run) as ledger, reading(known) as earlier, seldom_looked_for():
            own = partial(tokenizer, lm.name)
            metered = Metered(lm, paid, self.budget, ledger.spent(), ledger.attempted, own)
            alone = self.remote and not self.batch
            paced = Paced(metered, Policy(patience=self.patience)) if alone else metered
            yield Asked(Recorded(paced, ledger, self.form, earlier), metered, price is not None)

    @property
    def form(self) -> str:
        """What makes the answers differ from those of the same model elsewhere."""
        return self.lm if self.lm in ("transformers", "embedded") else self.endpoint


@dataclass(frozen=True, slots=True)
class Asked:
    """A language model that is being used.

    Attributes:
        recorded: answers.
        metered: knows the cost.
        priced: whether it does.
    """

    recorded: "Recorded"
    metered: "Metered"
    priced: bool

    def told(self, refused: int, kept: int) -> str:
        """Cost, faults and cached tokens up to now, for a bar.

        Args:
            refused: responses.
            kept: responses.
        """
        cost = f"${self.metered.spent:.4f}" if self.priced else "price unknown"
        cached = self.metered.cached_tokens / max(1, self.metered.prompt_tokens)
        return f"{cost}, faults {refused / max(1, refused + kept):.0%}, cached {cached:.0%}"
