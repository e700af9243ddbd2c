"""`pneg export`."""

from pathlib import Path
from typing import Any

import click

from pneg.cli import options
from pneg.errors import DataError

STARTER = "starter:demonstrations"
OF_STARTER = 20
"""Dialogues of the starter that ranges are taken from: those that the figures in `benchmarks/` were measured with."""


@click.command(cls=options.Command)
@click.argument("selector", type=options.Read(Path))
@click.option("--int8/--no-int8", default=True, show_default=True, help="Matrix products in 8 bits.")
@click.option(
    "--test", "test", type=options.Read(), metavar="FILE", help="Dialogues to measure the accuracy lost on."
)
@click.option(
    "--ranges",
    type=options.Read(),
    metavar="FILE",
    default=STARTER,
    show_default=f"the first {OF_STARTER} of {STARTER}",
    help="Dialogues like those to be ranked, for the ranges of the 8-bit numbers; not those of --test.",
)
@options.limit
@options.written("-o", "--out", folder=True, required=True)
@options.as_json
def export(
    selector: Path, int8: bool, test: str | None, ranges: str, limit: int | None, out: Path, as_json: bool
) -> None:
    """Write SELECTOR as an ONNX graph that ranks without torch, and say what that costs and buys.

    Differences of scores and speeds are those on TEST, else on the starter corpus.
    """
    from pneg.selector import export as exports
    from pneg.selector.measured import measured, questions
    from pneg.selector.model import Selector

    exports.check_folder(out)

    loaded = Selector.load(selector, device="cpu")
    dialogues = list(options.Input(test or "starter:test", limit))
    ranged = options.Input(ranges, OF_STARTER if ranges == STARTER else None)
    asked = questions(ranged if int8 else (), loaded.history)
    examples = [(turns, text) for turns, texts in asked for text in texts]
    if int8 and not examples:
        raise DataError("no dialogue has two candidates", "8-bit ranges are taken from them", file=ranges)
    with exports.replacing_folder(out) as made:
        precisions = ("float32", "int8") if int8 else ("float32",)
        folders = {precision: made.with_name(precision) for precision in precisions}
        for precision, folder in folders.items():
            exports.write(loaded, folder, precision, examples)
        found = measured(loaded, folders, dialogues, sets=test is not None)
        about = {"precision": precisions[-1], **({"ranges": ranges} if int8 else {}), **found}
        exports.describe(loaded, folders[precisions[-1]], about)
        for file in folders[precisions[-1]].iterdir():
            file.rename(made / file.name)
    size = (out / "model.onnx").stat().st_size
    report = {"out": str(out), "precision": precisions[-1], "bytes": size, **found}
    options.report(report, _text(report), as_json)


def _text(found: dict[str, Any]) -> str:
    difference, rates = found["score_difference"], found["pairs_per_second"]
    base = next(iter(rates.values()))
    rows = [["", "pairs/s", "of torch"]]
    rows += [[name, f"{rate:,.0f}", f"{rate / base:.2f}x"] for name, rate in rates.items()]
    text = (
        f"{found['precision']}, {found['bytes'] / 1e6:.1f} MB -> {found['out']}\n"
        f"scores differ by {difference['mean']:.4f} on average, {difference['largest']:.4f} at most; the same "
        f"candidate is first in {found['same_first']:.1%} of {found['questions']} questions\n{options.table(rows)}"
    )
    if found["sets"]:
        rows = [["set, R@1 / MRR", *next(iter(found["sets"].values()))]]
        for name, scores in found["sets"].items():
            rows.append([name, *(f"{score['r@1']:.3f} / {score['mrr']:.3f}" for score in scores.values())])
        text += f"\n{options.table(rows)}"
    return text
