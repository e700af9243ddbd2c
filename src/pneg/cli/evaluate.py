"""`pneg evaluate`."""

from pathlib import Path

import click

from pneg.cli import options


@click.command(cls=options.Command)
@click.argument("selector", type=options.Read(Path))
@click.argument("file", type=options.Read(sets_aside=True), metavar="TEST")
@click.option(
    "--sets",
    type=options.Names(),
    default="random,human",
    show_default=True,
    metavar="SOURCE[,SOURCE]",
    help="Negatives to rank against.",
)
@click.option("--positive", type=click.Choice(["all", "first"]), default="all", show_default=True)
@options.precision("float32", "bfloat16")
@options.limit
@options.skip_bad
@options.as_json
def evaluate(
    selector: Path,
    file: str,
    sets: tuple[str, ...],
    positive: str,
    precision: str,
    limit: int | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Rank the positives of TEST against each set's negatives: R@1 and MRR.

    "hidden" is the same selector with every context replaced by a full stop: what it gets right there it knows
    from the response alone.
    """
    from pneg.selector import ranking
    from pneg.selector.evaluation import evaluate as evaluate_selector

    tests = options.Input(file, limit, options.aside_here(file) if skip_bad else None)
    scores = evaluate_selector(
        ranking.load(selector),
        tests,
        sets,
        positive=positive,
        precision=precision,
    )
    rows = [["set", "R@1", "95%", "MRR", "R@1 hidden", "MRR hidden", "queries", "candidates"]]
    for name, score in scores.items():
        low, high = score.interval
        rows.append(
            [
                name,
                f"{score.recall_at_1:.3f}",
                f"{low:.3f}-{high:.3f}",
                f"{score.mrr:.3f}",
                f"{score.hidden_recall_at_1:.3f}",
                f"{score.hidden_mrr:.3f}",
                str(score.n),
                str(score.candidates),
            ]
        )
    text = options.table(rows)
    if tests.bad:
        text += f"\nbad lines: {tests.bad}, set aside in {tests.aside}"
    options.report({name: score.as_json() for name, score in scores.items()}, text, as_json)
