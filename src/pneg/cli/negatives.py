"""`pneg negatives`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pneg.cli import options
from pneg.dialogue import Dialogue, write
from pneg.errors import DataError

if TYPE_CHECKING:
    from pneg.negatives import NegativeSource


ELSEWHERE = ("prompted", "generated")
"""Files that add their sources to the group."""


class _Sources(click.Group):
    """Loads the sources that are written in a file of their own when a source is named or all are listed."""

    command_class = options.Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        for name in ELSEWHERE:
            import_module(f"pneg.cli.{name}")
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for name in ELSEWHERE:
            import_module(f"pneg.cli.{name}")
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Sources)
def negatives() -> None:
    """Add one source of negatives to dialogues.

    IN is a file of dialogues in any form that is read, or a corpus such as starter:test; OUT is .jsonl, .jsonl.gz
    or .parquet.
    """


def common_options(command: options.Decorator) -> options.Decorator:
    """IN and the options that every source has."""

    def decorated(function: Any) -> Any:
        for option in (
            options.as_json,
            options.skip_bad,
            options.limit,
            options.seed,
            options.count,
            options.out,
        ):
            function = option(function)
        return command(click.argument("source", type=options.Read(), metavar="IN")(function))

    return decorated


@common_options(negatives.command())
@options.corpus("Draw from these dialogues instead of IN.")
def random(source: str, corpus: str | None, **common: Any) -> None:
    """Positives of other contexts, drawn uniformly."""
    from pneg.negatives import Random

    _write(Random(pool_of(corpus, source, common), common["seed"]), source, common)


@common_options(negatives.command())
@click.option(
    "--corpus", type=options.Read(), metavar="FILE", help="Draw the random ones from these dialogues instead of IN."
)
def context(source: str, corpus: str | None, **common: Any) -> None:
    """A turn of the context itself, and random responses behind it."""
    from pneg.negatives import Context

    _write(Context(pool_of(corpus, source, common), common["seed"]), source, common)


@common_options(negatives.command())
def human(source: str, **common: Any) -> None:
    """The first of the corpus's own human-written ones, less repeats and copies of a positive."""
    from pneg.negatives import Human

    def checked(dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
        found = False
        for dialogue in dialogues:
            found = found or bool(dialogue.negatives.get("human"))
            yield dialogue
        if not found:
            raise DataError("no dialogue has human negatives", "take a corpus that has", file=source)

    _write(Human(), source, common, checked)


@common_options(negatives.command())
@options.corpus("Retrieve from these dialogues instead of IN.")
@click.option(
    "--index", type=options.Kept(folder=True), metavar="DIR", help="Keep the index there, and map it into memory."
)
def bm25(source: str, corpus: str | None, index: Path | None, **common: Any) -> None:
    """Responses that share most words with the context, as BM25 ranks them."""
    from pneg.negatives import BM25

    _write(BM25(pool_of(corpus, source, common), index), source, common)


@common_options(negatives.command("semi-hard"))
@options.corpus("Search these dialogues instead of IN.")
@click.option("--encoder", default="minilm-l6", show_default=True, metavar="NAME", help="Name or folder.")
@click.option(
    "--margin",
    type=options.Number(0, 2),
    default=0.07,
    show_default=True,
    help="Refuse what is nearer to the positive than 1 less this.",
)
@click.option(
    "--relative-margin",
    type=options.Number(0, 1),
    help="Take what is nearest to the context instead, and refuse what scores more there than the positive's score "
    "less this share (NV-Retriever; 0.05 is best there).",
)
@click.option(
    "--positive", type=click.Choice(["first", "all"]), default="first", show_default=True, help="Which one that is."
)
@options.precision("auto", "float32", "bfloat16")
def semi_hard(
    source: str,
    corpus: str | None,
    encoder: str,
    margin: float,
    relative_margin: float | None,
    positive: Literal["first", "all"],
    precision: str,
    **common: Any,
) -> None:
    """Responses most similar to the positive that are no near-copies of it.

    Each distinct response is embedded once; its embedding is kept in the cache.
    """
    from pneg.negatives import SemiHard
    from pneg.negatives.embeddings import Embeddings

    embeddings = Embeddings(encoder, precision=precision)
    pool = pool_of(corpus, source, common)
    _write(SemiHard(pool, margin, relative_margin, positive, embeddings), source, common)


@common_options(negatives.command("all"))
@click.option(
    "--corpus", type=options.Read(), metavar="FILE", help="Draw and retrieve from these dialogues instead of IN."
)
@click.option(
    "--only", type=options.Names(), metavar="SOURCE[,SOURCE]", help="These sources.  [default: all that IN allows]"
)
@click.option("--without", type=options.Names(), metavar="SOURCE[,SOURCE]", help="Leave these out.")
@options.fitted_model
@options.fit_examples
def every(
    source: str,
    corpus: str | None,
    only: tuple[str, ...] | None,
    without: tuple[str, ...] | None,
    **common: Any,
) -> None:
    """Every source that IN allows, each in a pass of its own.

    mask-and-fill and key-sem fit a language model to the corpus the first time. A job that was stopped goes on where
    it was when the same command is given again.
    """
    from pneg.cli.generated import fit_first
    from pneg.jobs.claim import Job
    from pneg.jobs.parts import Part, Parts
    from pneg.negatives.base import Adding
    from pneg.negatives.catalogue import CATALOGUE, allowed

    out: Path = common["out"]
    left_out = _known("--without", without)
    names = [
        name for name in _known("--only", only) or allowed(pool_of(None, source, common)) if name not in left_out
    ]
    if not names:
        raise click.UsageError("--without leaves no source")
    settings = {name: common[name] for name in ("count", "seed", "model", "fit_examples")} | {"corpus": corpus}
    parts = Parts(out, Job("negatives all", settings), names)
    given = options.Input(source, common["limit"], options.aside_of(common["skip_bad"], out))
    done: list[Part] = []

    def made(name: str) -> Adding:
        listed = CATALOGUE[name]
        found = listed.make(pool_of(corpus, source, common), common["seed"])
        return Adding(fit_first(found, listed.fitted, common) if listed.fitted else found, common["count"])

    def shown(written: Iterator[Dialogue]) -> Iterator[Dialogue]:
        return options.bar(written, common["limit"], "dialogue")

    try:
        with parts.held():
            if fitted := [name for name in parts.names if CATALOGUE[name].fitted and parts.done(name) is None]:
                told = f"{' and '.join(fitted)} fit a language model to the corpus first, unless the cache has it, "
                click.echo(f"pneg: {told}and write with it; --without {','.join(fitted)} leaves them out", err=True)
            for name in parts.names:
                again = parts.done(name) is not None
                done.append(parts.write(name, partial(made, name), given, shown))
                told = "done before" if again else reasons(done[-1].counts)
                click.echo(f"pneg: {name}: {done[-1].dialogues} dialogues, {told}", err=True)
            n = parts.join(given)
    except KeyboardInterrupt:
        kept = f"what was done is kept in {parts.folder}, give the same command to go on"
        raise click.ClickException(f"stopped; {kept}") from None
    found = {"out": str(out), "dialogues": n, "sources": [asdict(part) for part in done], **given.summary()}
    lines = [f"{part.source}: {reasons(part.counts)}" for part in done]
    options.report(found, "\n".join([f"{n} dialogues -> {out}", *lines]), common["as_json"])


def _known(option: str, names: Sequence[str] | None) -> Sequence[str]:
    """The sources that an option names."""
    from pneg.negatives.catalogue import CATALOGUE

    if unknown := [name for name in names or () if name not in CATALOGUE]:
        raise click.UsageError(
            f"{option} {', '.join(unknown)}: there is no such source; there are {', '.join(CATALOGUE)}"
        )
    return names or ()


def pool_of(corpus: str | None, source: str, common: dict[str, Any]) -> Iterator[Dialogue]:
    """What random negatives are drawn from: IN, whose bad lines are reported when it is read itself, or a corpus.

    Bad lines of a corpus go to a file of their own beside OUT.
    """
    from pneg import corpora

    if corpus:
        out: Path = common["out"]
        return iter(options.Input(corpus, None, options.aside_of(common["skip_bad"], options.beside(out, ".corpus"))))
    on_bad = (lambda error, line: None) if common["skip_bad"] else None
    return islice(corpora.read(source, on_bad), common["limit"])


def _write(
    negatives: "NegativeSource",
    source: str,
    common: dict[str, Any],
    checked: Callable[[Iterable[Dialogue]], Iterable[Dialogue]] = lambda dialogues: dialogues,
) -> None:
    from pneg.jobs import claim
    from pneg.negatives import add

    out: Path = common["out"]
    given = options.Input(source, common["limit"], options.aside_of(common["skip_bad"], out))
    added = add(negatives, checked(given), common["count"])
    settings = {"count": common["count"], "seed": common["seed"]}
    with claim.output(out, claim.Job(f"negatives {negatives.name}", settings)):
        n = write(out, options.bar(added, common["limit"], "dialogue"))
    found = {"out": str(out), "source": negatives.name, "dialogues": n, "counts": dict(negatives.counts)}
    found |= given.summary()
    options.report(found, f"{n} dialogues -> {out}\n{reasons(found['counts'])}", common["as_json"])


def reasons(counts: Any) -> str:
    """What a source counted, the most frequent first."""
    if not counts:
        return "nothing was refused"
    by_number = sorted(counts.items(), key=lambda item: -item[1])
    return "refused or missing: " + ", ".join(f"{reason} {n}" for reason, n in by_number)
