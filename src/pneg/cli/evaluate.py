"""`pneg evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pneg.cli import options

if TYPE_CHECKING:
    from pneg.audit.profile import Profile


@click.command(cls=options.Command)
@click.argument("selector", type=options.Read(Path))
@click.argument("file", type=options.Read(sets_aside=True), metavar="TEST")
@click.option(
    "--sets",
    type=options.Names(),
    metavar="SOURCE[,SOURCE]",
    help="Negatives to rank against.  [default: every set of TEST that has negatives]",
)
@click.option("--positive", type=click.Choice(["all", "first"]), default="all", show_default=True)
@click.option(
    "--encoder",
    default="minilm-l6",
    show_default=True,
    metavar="NAME",
    help="Name or folder of the untrained encoder whose cosine similarity is shown beside the selector.",
)
@click.option("--no-encoder", is_flag=True, help="Leave the untrained encoder out.")
@options.precision("float32", "bfloat16")
@options.limit
@options.skip_bad
@options.as_json
def evaluate(
    selector: Path,
    file: str,
    sets: tuple[str, ...] | None,
    positive: str,
    encoder: str,
    no_encoder: bool,
    precision: str,
    limit: int | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Rank the positives of TEST against each set's negatives and print the selector's profile.

    "hidden" is the same selector with every context replaced by a full stop: what it gets right there it knows
    from the response alone. "untrained" is the cosine similarity of an encoder that was never trained to select.
    The worst set has the least R@1, measured on the way from chance to 1, or below it from chance to 0.
    """
    from pneg.audit.profile import profile
    from pneg.selector import ranking

    tests = options.Input(file, limit, options.aside_here(file) if skip_bad else None)
    result = profile(
        ranking.load(selector),
        tests,
        sets,
        positive=positive,
        precision=precision,
        encoder=None if no_encoder else encoder,
    )
    if result.missing:
        click.echo(f"pneg: note: the untrained encoder is left out: {result.missing}", err=True)
    text = "\n\n".join([_recall(result), _mrr(result)])
    if tests.bad:
        text += f"\nbad lines: {tests.bad}, set aside in {tests.aside}"
    options.report(result.as_json(), text, as_json)


def _recall(result: "Profile") -> str:
    """The table of R@1."""
    rows = [["set", "R@1", "95%", "hidden", "95%", "shown - hidden", "95%", "untrained", "chance", ""]]
    for name, of in result.sets.items():
        score, untrained = of.score, of.untrained
        rows.append(
            [
                name,
                f"{score.recall_at_1:.3f}",
                _interval(score.interval),
                f"{score.hidden_recall_at_1:.3f}",
                _interval(score.hidden_interval),
                f"{score.difference:.3f}",
                _interval(score.difference_interval),
                "-" if untrained is None else f"{untrained.recall_at_1:.3f}",
                f"{score.chance:.3f}",
                "<- worst" if of.worst else "",
            ]
        )
    return "R@1\n" + options.table(rows)


def _mrr(result: "Profile") -> str:
    """The table of MRR, and of how much each set holds."""
    rows = [["set", "MRR", "hidden", "untrained", "queries", "candidates", "dialogues left out"]]
    for name, of in result.sets.items():
        score, untrained = of.score, of.untrained
        rows.append(
            [
                name,
                f"{score.mrr:.3f}",
                f"{score.hidden_mrr:.3f}",
                "-" if untrained is None else f"{untrained.mrr:.3f}",
                str(score.n),
                str(score.candidates),
                str(score.skipped),
            ]
        )
    return "MRR\n" + options.table(rows)


def _interval(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"{low:.3f} to {high:.3f}"
