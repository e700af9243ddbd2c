"""`pneg negatives prompted`: the paper's method."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli import options
from pneg.cli.backend import Asked, Backend, backend_options
from pneg.cli.negatives import common_options, negatives, reasons
from pneg.dialogue import Dialogue

if TYPE_CHECKING:
    from pneg.jobs.claim import Job
    from pneg.jobs.journal import Journal
    from pneg.lm import LanguageModel
    from pneg.lm.lasting import Lasting
    from pneg.negatives import Prompted

METHOD = ("examples", "example_fraction", "reuse", "shots", "instruction", "demonstration_sets", "attempts")
"""The options that are `Prompted`'s own."""
KNOWN = "known.sqlite"
"""Among the parts of a cluster: all answers that were there when the job began, for every worker to read."""
SURELY_CACHED = 16
"""So many requests with shared demonstrations should hit the cache of a server that has one."""


@common_options(negatives.command())
@click.option(
    "--examples",
    type=options.Read(),
    default="starter:demonstrations",
    show_default=True,
    metavar="FILE",
    help="The example set E: dialogues with human negatives.",
)
@click.option(
    "--example-fraction",
    type=options.Number(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="How much of E is taken; .001 lies within .01.",
)
@click.option("--reuse", is_flag=True, help="Let what was written join E.")
@click.option(
    "--shots",
    type=click.IntRange(0),
    help="Demonstrations a prompt (k).  [default: 2; 0, and nothing else, for implicit]",
)
@click.option(
    "--instruction",
    type=click.Choice(["direct", "positive", "implicit"]),
    default="direct",
    show_default=True,
    help="Ask for a list; show a positive and ask for a list; tell a story that one awkward response ends.",
)
@click.option(
    "--demonstration-sets",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Draw this many sets beforehand, so that prompts begin alike; 0 draws for each context.",
)
@click.option(
    "--attempts", type=click.IntRange(1), default=10, show_default=True, help="Requests a context, at most."
)
@backend_options
@click.option("--temperature", type=options.Number(0), default=0.8, show_default=True)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="With ray, workers on all machines of a cluster write parts of OUT, which must lie where all see it.",
)
@click.option("--workers", type=click.IntRange(1), help="With ray, at most.  [default: one a processor]")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and ask for nothing.")
def prompted(source: str, engine: str, workers: int | None, dry_run: bool, temperature: float, **common: Any) -> None:
    """Written by a language model that is shown human-written examples: the paper's method.

    The model runs on this machine unless --lm says where else; a server's key is read from $OPENAI_API_KEY. A job
    that was stopped goes on where it was when the same command is given again.
    """
    from pneg.jobs import claim, cluster
    from pneg.lm import Sampling
    from pneg.negatives import Prompted

    backend, out, method = Backend.taken(common).checked(), common["out"], _method(common)
    lm = backend.language_model(out)
    settings = {
        **method, **backend.settings, "model": lm.name, "temperature": temperature, "count": common["count"],
    }  # fmt: skip
    method["examples"] = options.Input(method["examples"])
    made: Callable[..., Prompted] = Prompted
    writing = partial(made, **method, sampling=Sampling(temperature=temperature), structured=backend.schema)
    job = claim.Job("negatives prompted", settings)
    if dry_run:
        _say_what_it_takes(writing, backend, lm, source, _Stopped.of(out, job, engine), common)
    elif engine == "ray":
        if method["reuse"] or backend.budget is not None or backend.batch:
            raise click.UsageError("--engine ray goes without --reuse, --budget and --batch, which need one process")
        writing = partial(writing, examples=list(method["examples"]))  # a worker may not see the file
        _write_on_cluster(Shard(backend, writing, settings), job, workers, source, common)
    else:
        with claim.output(out, job):
            _take_in_parts(backend.ledger_of(out), cluster.folder_of(out))
            with backend.opened(lm, out, settings) as asked:
                written = writing(asked.recorded, judged=asked.recorded.judge)
                _write_prompted(written, asked, source, job, common)
            cluster.remove(out, job)


def _take_in_parts(ledger: Path, folder: Path) -> None:
    """Let a ledger have the answers that the workers of a cluster were given, whether or not that job is done."""
    from pneg.lm.ledger import merge

    if shards := _ledgers_in(folder):
        merge(ledger, shards)


def _method(words: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the method out of the command's; the seed is among both."""
    method = {name: words.pop(name) for name in METHOD}
    if method["instruction"] == "implicit" and method["shots"]:
        raise click.UsageError("--instruction implicit shows no demonstrations: leave --shots away")
    if method["shots"] is None:
        method["shots"] = 0 if method["instruction"] == "implicit" else 2
    return {**method, "seed": words["seed"]}


@dataclass(frozen=True, slots=True)
class _Stopped:
    """What an earlier job left of this one, only looked at.

    Attributes:
        journal: of one process.
        folder: with the parts of a cluster.
        cluster: whether a cluster goes on; what is done is then in the ledgers.
    """

    journal: "Journal"
    folder: Path
    cluster: bool

    @classmethod
    def of(cls, out: Path, job: "Job", engine: str) -> "_Stopped":
        """For an output, if what lies there is this job's.

        Raises:
            DataError: when it is another's.
        """
        from pneg.jobs import claim, cluster
        from pneg.jobs.journal import Journal

        claim.check_output(out, job)
        if engine == "ray":
            cluster.claimed(out, job).check()
        return cls(Journal(out, job), cluster.folder_of(out), engine == "ray")

    @property
    def done(self) -> int:
        """Contexts that are not written for again."""
        return 0 if self.cluster else len(self.journal)

    def remaining(self, dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
        """The dialogues that are not done.

        Raises:
            DataError: when what is done, or the parts of a cluster, are of another input.
        """
        from pneg.jobs.cluster import inputs

        given = chain.from_iterable(inputs(self.folder, dialogues, write=False))
        before = (dialogue for dialogue, _ in self.journal.compared(given))
        return islice(chain(before, given), self.done, None)

    def finished(self) -> Iterator[Dialogue]:
        """What is done."""
        return islice(self.journal.finished(), self.done)


def _say_what_it_takes(
    writing: "Callable[..., Prompted]",
    backend: Backend,
    lm: "LanguageModel",
    source: str,
    stopped: "_Stopped",
    common: dict[str, Any],
) -> None:
    from pneg.lm.estimate import Counted, estimate, guessed, habits, tokenizer
    from pneg.lm.ledger_file import total_spent
    from pneg.lm.prices import Price
    from pneg.lm.recorded import answers

    exact, ledger, done = tokenizer(lm.name), backend.ledger_of(common["out"]), stopped.done
    remaining = stopped.remaining(options.Input(source, common["limit"]))
    with answers([ledger, *_ledgers_in(stopped.folder)], lm, backend.form) as find:
        counted = Counted(lm, exact or guessed, find)
        asking = writing(counted, first=done, earlier=stopped.finished())
        for _ in options.bar(asking.propose(remaining, common["count"]), common["limit"], "context"):
            pass
    price, usual, spent = backend.price(), habits(ledger), total_spent(ledger)
    each = common["count"] if asking.instruction == "implicit" else 1
    found = estimate(counted, usual, price or Price(), asking.attempts, each)
    had = asking.tally.contexts - counted.requests
    basis = f"measured on {usual.seen:,} earlier answers" if usual.seen else "assumed"
    dollars = {
        name: None if price is None else str(getattr(found, name).quantize(Decimal("0.0001")))
        for name in ("dollars", "dollars_at_most")
    }
    told = {
        **asdict(found),
        **dollars,
        "spent": str(spent),
        "done_before": done,
        "in_ledger": had,
        "requests_in_ledger": counted.had,
        "exact_tokens": exact is not None,
        "habits": asdict(usual),
    }
    cost = f"{dollars['dollars']} dollars, {dollars['dollars_at_most']} at most"
    known = f"; {had:,} more are answered in {ledger}, which has {counted.had:,} requests" if counted.had else ""
    text = (
        f"{found.contexts:,} contexts" + (f", {done:,} more are done" if done else "") + f"{known}\n"
        f"{found.requests:,} requests: {found.prompt_tokens:,} tokens to read, {found.completion_tokens:,} to write\n"
        f"{cost if price else 'the price is not known: give --price-in and --price-out'}"
        + (f"; {spent:.4f} are spent, all runs in {ledger} together\n" if spent else "\n")
        + f"{found.hours:.2f} hours with {lm.concurrency} requests at a time\n"
        f"tokens of prompts: {'counted' if exact else 'an estimate, the tokenizer is not at hand'}; answers of "
        f"{usual.written:.0f} tokens in {usual.seconds:.1f} s, {usual.faulty:.0%} of them faulty: {basis}"
    )
    options.report(told, text, common["as_json"])


def _write_prompted(written: "Prompted", asked: Asked, source: str, job: "Job", common: dict[str, Any]) -> None:
    from pneg.jobs import cluster
    from pneg.jobs.journal import Journal
    from pneg.negatives.base import TOO_FEW, Adding

    out: Path = common["out"]
    journal = Journal(out, job)
    dialogues = options.Input(source, common["limit"], options.aside_of(common["skip_bad"], out))
    given: Iterable[Dialogue] = dialogues
    if cluster.folder_of(out).exists():  # it goes in the end, if it is of this input
        given = chain.from_iterable(cluster.inputs(cluster.folder_of(out), dialogues, write=False))

    def work(remaining: Iterator[Dialogue], first: int) -> Iterator[Dialogue]:
        written.earlier = journal.finished()
        return Adding(written, common["count"])(remaining, first)

    resumed = len(journal)
    n = kept = 0

    def so_far() -> str:
        return asked.told(sum(written.counts.values()) - written.counts[TOO_FEW], kept)

    try:
        for dialogue in options.bar(journal.run(given, work), common["limit"], "context", so_far):
            n += 1
            kept += len(dialogue.negatives[written.name])
    except KeyboardInterrupt:
        raise click.ClickException(
            f"stopped; {len(journal)} dialogues are kept in {journal.path}, give the same command to go on"
        ) from None
    tally, recorded, metered = written.tally, asked.recorded, asked.metered
    if written.demonstration_sets and not tally.cached_tokens and tally.requests >= SURELY_CACHED:
        click.echo(
            "pneg: prompts began alike, yet the server reports no cached token; turn on its prompt cache", err=True
        )
    share = tally.regenerated / max(1, tally.contexts)
    found = {
        "out": str(out), "source": written.name, "dialogues": n, "resumed": resumed, **asdict(tally),
        "regenerated_share": round(share, 4), "counts": dict(written.counts),
        "ledger": str(recorded.ledger.path), "from_ledger": recorded.replayed,
        "dollars": str(metered.spent) if asked.priced else None, **dialogues.summary(),
    }  # fmt: skip
    text = (
        f"{n} dialogues -> {out}" + (f" ({resumed} of them done before)" if resumed else "") + "\n"
        f"{tally.regenerated} of {tally.contexts} contexts ({share:.1%}) needed writing again\n"
        f"{tally.requests} requests, {recorded.replayed} of them answered from {recorded.ledger.path}; "
        f"{tally.prompt_tokens:,} tokens read, {tally.cached_tokens:,} of them cached, "
        f"{tally.completion_tokens:,} written\n"
        + (f"{metered.spent:.4f} dollars, all runs in the ledger together\n" if metered.spent else "")
        + reasons(found["counts"])
    )
    options.report(found, text, common["as_json"])


@dataclass
class Shard:
    """The source for a part of the input, on a worker, with a ledger of its own."""

    backend: Backend
    writing: "Callable[..., Prompted]"
    settings: dict[str, Any]
    first: int = 0
    place: Path = Path()
    name: str = "prompted"
    counts: Counter[str] = field(default_factory=Counter)
    lm: "Lasting | None" = None
    """Of a worker: the model that all its parts are written with; a server is connected to for each."""

    def of_part(self, first: int, place: Path) -> "Shard":
        """For the dialogues from a position on; the ledger lies beside the part."""
        from pneg.lm.lasting import Lasting

        if self.lm is None and not self.backend.remote:
            self.lm = Lasting(self.backend.language_model(place))
        return replace(self, first=first, place=place, counts=Counter())

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        """Write as `Prompted` does."""
        lm = self.lm or self.backend.language_model(self.place)
        with self.backend.opened(lm, self.place, self.settings, self.place.with_name(KNOWN)) as asked:
            written = self.writing(asked.recorded, judged=asked.recorded.judge, first=self.first)
            yield from written.propose(dialogues, count)
        self.counts = written.counts


def _ledgers_in(folder: Path) -> list[Path]:
    """Those of a cluster's parts that are not joined yet."""
    return sorted(folder.glob("*.ledger.sqlite"))


def _write_on_cluster(shard: Shard, job: "Job", workers: int | None, source: str, common: dict[str, Any]) -> None:
    from pneg.jobs.cluster import Cluster
    from pneg.lm import snapshot
    from pneg.negatives.base import Adding

    out: Path = common["out"]
    ledger, count = shard.backend.ledger_of(out), common["count"]
    shard.backend = replace(shard.backend, ledger=None)
    dialogues = options.Input(source, common["limit"], options.aside_of(common["skip_bad"], out))

    def begin(folder: Path) -> None:
        _take_in_parts(ledger, folder)
        snapshot.take(ledger, folder / KNOWN)

    cluster = Cluster(
        out, job, lambda first, place: Adding(shard.of_part(first, place), count), workers, begin,
        finish=lambda folder: _take_in_parts(ledger, folder),
    )  # fmt: skip
    counts: Counter[str] = Counter()
    n = earlier = 0
    try:
        with options.progress(None, common["limit"], "context") as bar:
            for part in cluster.run(dialogues):
                bar.update(part.dialogues)
                n += part.dialogues
                earlier += part.dialogues if part.earlier else 0
                counts.update(part.counts)
    except KeyboardInterrupt:
        raise click.ClickException(
            f"stopped; what was done is kept in {out}.parts, give the same command to go on"
        ) from None
    found = {
        "out": str(out), "source": shard.name, "dialogues": n, "resumed": earlier, "counts": dict(counts),
        "ledger": str(ledger), **dialogues.summary(),
    }  # fmt: skip
    told = f" ({earlier} of them done before)" if earlier else ""
    options.report(found, f"{n} dialogues -> {out}{told}\n{reasons(counts)}", common["as_json"])
