"""`pneg demo`."""

from pathlib import Path
from typing import Any

import click

from pneg.cli import options
from pneg.cli.train import Bar


@click.command(cls=options.Command)
@click.option("-o", "--out", type=options.Kept(folder=True), default=Path("demo"), show_default=True)
@click.option("--limit", type=click.IntRange(32), default=150, show_default=True, help="Conversations to train on.")
@options.seed
@options.as_json
def demo(out: Path, limit: int, seed: int, as_json: bool) -> None:
    """Do the whole job, small, on embedded defaults: no key, no GPU.

    Writes negatives for real conversations with a small language model, trains two selectors that differ only
    in their negatives, and prints what each is worth on easy and on adversarial candidates. The folder gets a page,
    index.html. A second run takes what is there.
    """
    from pneg.errors import needs

    with needs("demo"):
        from pneg.study.demo import Sizes, Watch, run
        from pneg.web.demo import NAMES, SETS, page, verdict

    with Bar() as bar:
        watch = Watch(
            say=lambda line: click.echo(line, err=True),
            bar=lambda dialogues, total: options.bar(dialogues, total, "context"),
            step=bar.step,
        )
        try:
            result = run(out, Sizes(contexts=limit, seed=seed), watch)
        except KeyboardInterrupt:
            raise click.ClickException(
                f"stopped; what is done is kept in {out}, give the same command to go on"
            ) from None
    index = out / "index.html"
    index.write_text(page(result), encoding="utf-8")
    rows = [["trained on", "test", "R@1", "MRR", "R@1, context hidden"]]
    for source, scores in result["scores"].items():
        rows += [[NAMES[source], SETS[name], *_figures(score)] for name, score in scores.items()]
    seconds = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in result["seconds"].items())
    options.report(
        result, f"{options.table(rows)}\n\n{verdict(result['scores'])}\n{seconds}\nthe page: {index}", as_json
    )


def _figures(score: dict[str, Any]) -> list[str]:
    return [f"{score['r@1']:.3f}", f"{score['mrr']:.3f}", f"{score['hidden']['r@1']:.3f}"]
