"""`pneg negatives mask-and-fill` and `key-sem`: sources whose language model is fitted to the corpus first."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pneg.cli import options
from pneg.cli.negatives import common_options, negatives, pool_of, reasons

if TYPE_CHECKING:
    from pneg.lm.finetune import Step
    from pneg.negatives import KeySem, MaskAndFill, NegativeSource


def _fitted(command: options.Decorator) -> options.Decorator:
    def decorated(function: Any) -> Any:
        for option in (
            click.option(
                "--learning-rate", type=options.Number(0, min_open=True), help="Of the fit; the paper's by default."
            ),
            click.option("--epochs", type=click.IntRange(1), help="Of the fit."),
            options.fit_examples,
            click.option("--fit", is_flag=True, help="Fit the model anew, even if the cache has one fitted like it."),
            options.fitted_model,
            click.option(
                "--corpus",
                type=options.Read(),
                metavar="FILE",
                help="Fit to these dialogues, and draw from them, instead of IN.",
            ),
        ):
            function = option(function)
        return common_options(command)(function)

    return decorated


@_fitted(negatives.command("mask-and-fill"))
@click.option(
    "--versions",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Masked versions a context that may be filled, those with few blanks first.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Fills of each version. Fewer take less time, and leave more to be filled up with random responses.",
)
@click.option("--scorer", metavar="NAME", help="Refuses unlikely texts.  [default: the model before its fit]")
def mask_and_fill(source: str, versions: int, samples: int, scorer: str | None, **common: Any) -> None:
    """Real responses with spans written anew for another context (Gupta et al. 2021).

    An infilling model is fitted to the corpus the first time and kept in the cache. A job that was stopped goes on
    where it was when the same command is given again.
    """
    from pneg.negatives import MaskAndFill

    dialogues = list(pool_of(common["corpus"], source, common))
    made = MaskAndFill(
        dialogues, common["model"], versions=versions, samples=samples, scorer=scorer, seed=common["seed"],
        examples=common["fit_examples"], learning_rate=common["learning_rate"], epochs=common["epochs"],
        report=_Told("infilling"),
    )  # fmt: skip
    _run(made, source, common, {"versions": versions, "samples": samples, "scorer": scorer})


@_fitted(negatives.command("key-sem"))
@click.option("--keyphrases", type=click.Choice(["rake", "yake"]), default="rake", show_default=True)
def key_sem(source: str, keyphrases: str, **common: Any) -> None:
    """Responses with keywords of the context, written for another context (Gupta et al. 2021).

    A keyword model is fitted to the corpus the first time and kept in the cache. A job that was stopped goes on
    where it was when the same command is given again.
    """
    from pneg.negatives import KeySem

    dialogues = list(pool_of(common["corpus"], source, common))
    made = KeySem(
        dialogues, common["model"], keyphrases, seed=common["seed"],
        examples=common["fit_examples"], learning_rate=common["learning_rate"], epochs=common["epochs"],
        report=_Told("keyword"),
    )  # fmt: skip
    _run(made, source, common, {"keyphrases": keyphrases})


def fit_first(made: "NegativeSource", told: str, common: dict[str, Any]) -> "NegativeSource":
    """The source with its language model fitted, as `pneg negatives all` makes it.

    Args:
        made: mask-and-fill or key-sem.
        told: what its model is called.
        common: has `model` and `fit_examples`.
    """
    from pneg.negatives import KeySem, MaskAndFill

    assert isinstance(made, MaskAndFill | KeySem)
    made.model, made.examples, made.report = common["model"], common["fit_examples"], _Told(told)
    made.writer.fit()
    return made


class _Told:
    """Says on standard error that a model is being fitted, and how far it is."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __call__(self, step: "Step") -> None:
        if step.number == 0:
            click.echo(
                f"pneg: fitting the {self.what} model, {step.of} steps; it is kept in the cache for the next time",
                err=True,
            )
        if step.held_out is not None:
            click.echo(f"pneg: step {step.number} of {step.of}, loss held out {step.held_out:.3f}", err=True)


def _run(made: "MaskAndFill | KeySem", source: str, common: dict[str, Any], own: dict[str, Any]) -> None:
    from pneg.jobs.claim import Job
    from pneg.jobs.journal import Journal
    from pneg.negatives.base import Adding

    out: Path = common["out"]
    made.writer.fit(again=common["fit"])
    model = made.writer.job.name
    settings = {"source": made.name, "model": model, "count": common["count"], "seed": common["seed"], **own}
    journal = Journal(out, Job(f"negatives {made.name}", settings))
    dialogues = options.Input(source, common["limit"], options.aside_of(common["skip_bad"], out))
    resumed = len(journal)
    n = 0
    try:
        for _ in options.bar(journal.run(dialogues, Adding(made, common["count"])), common["limit"], "context"):
            n += 1
    except KeyboardInterrupt:
        raise click.ClickException(
            f"stopped; {len(journal)} dialogues are kept in {journal.path}, give the same command to go on"
        ) from None
    found = {
        "out": str(out), "source": made.name, "dialogues": n, "resumed": resumed, "base": made.writer.job.base,
        "model": model, "counts": dict(made.counts), **dialogues.summary(),
    }  # fmt: skip
    text = (
        f"{n} dialogues -> {out}" + (f" ({resumed} of them done before)" if resumed else "") + "\n"
        f"written by {model} in the cache, {made.writer.job.base} fitted to the corpus\n" + reasons(found["counts"])
    )
    options.report(found, text, common["as_json"])
