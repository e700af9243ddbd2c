"""The reference table of the measuring protocol, trained and tested anew. Quality, not speed; meant for a GPU.

minilm-l6; `random`, `bm25` and `semi-hard`: the 7,641 contexts of data_positives.json, 3 epochs; `human`: the 1,028
of dev.json, 6 epochs; all positives in turn against five negatives of test.json. Files with negatives of other
sources may be given: a row for each of these. On two cores it takes hours; --limit shows that it runs.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

import common
from pneg import corpora
from pneg.dialogue import Dialogue
from pneg.negatives import BM25, SemiHard, add
from pneg.selector.candidates import EACH
from pneg.selector.evaluation import evaluate
from pneg.selector.recipe import Recipe
from pneg.selector.training import train

BACKBONE = "minilm-l6"
FIGURES = ("random R@1", "random MRR", "human R@1", "human MRR", "human hidden R@1", "random hidden R@1")
PROTOCOL: dict[str, tuple[float | None, ...]] = {
    "random": (0.711, 0.829, 0.332, 0.549, 0.216, None),
    "bm25": (0.468, 0.667, 0.507, 0.694, 0.250, None),
    "prompted": (0.678, 0.810, 0.482, 0.676, 0.469, None),
    "human": (0.547, 0.723, 0.738, 0.842, 0.619, None),
}
"""One seed each, with a plain loop; there is none of other sources with all positives."""
MADE = {"bm25": BM25, "semi-hard": SemiHard}


def main() -> None:
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="dialogues with negatives of other sources")
    parser.add_argument("--seeds", type=int, default=3, help="seeds from 0 on (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="contexts to train and to test on (default: all)")
    parser.add_argument("--device", help="default: the best there is")
    parser.add_argument("--sources", default="random,bm25,human", help="rows of the table (default: %(default)s)")
    parser.add_argument("--architecture", choices=("cross", "shared"), default="cross")
    parser.add_argument("--held-out", type=float, default=0.0, metavar="SHARE", help="for the best epoch")
    options = parser.parse_args()
    common.quiet()
    tests = common.dialogues(None, "test.json")[: options.limit]
    sets = {source: _training(source) for source in options.sources.split(",") if source}
    sets |= {source: dialogues for file in options.files for source, dialogues in _written(file)}
    fixed = {"backbone": BACKBONE, "architecture": options.architecture, "held_out": options.held_out}
    rows = [["", *FIGURES]]
    for source, training in sets.items():
        epochs = 6 if source == "human" else 3
        found = [
            _figures(
                Recipe(**fixed, adversarial=(source,), epochs=epochs, seed=seed),
                training[: options.limit],
                tests,
                options.device,
            )
            for seed in range(options.seeds)
        ]
        columns = list(zip(*found, strict=True))
        rows.append([f"{source}, mean of {options.seeds} seeds", *(f"{mean(of):.3f}" for of in columns)])
        if options.seeds > 1:
            rows.append(["  standard deviation", *(f"{stdev(of):.3f}" for of in columns)])
        if source in PROTOCOL:
            rows += _compared([mean(of) for of in columns], PROTOCOL[source])
    note = "" if options.limit is None else " NOT COMPARABLE: --limit was given."
    common.show(
        rows,
        f"{BACKBONE}, {options.architecture}, 1 positive and 10 negatives a context, "
        f"all {len(tests)} test contexts and their positives. "
        f"Hidden: each context replaced by a full stop.{note}",
        "torch",
        "transformers",
    )


def _compared(found: list[float], expected: tuple[float | None, ...]) -> list[list[str]]:
    differences = [None if value is None else f"{of - value:+.3f}" for of, value in zip(found, expected, strict=True)]
    return [
        ["  PROTOCOL", *("" if value is None else f"{value:.3f}" for value in expected)],
        ["  difference", *(told or "" for told in differences)],
    ]


def _training(source: str) -> list[Dialogue]:
    if source == "human":
        return common.dialogues(None, "dev.json")
    every = common.dialogues(None, "data_positives.json")
    return list(add(MADE[source](every), every, EACH)) if source in MADE else every


def _written(file: str) -> list[tuple[str, list[Dialogue]]]:
    """The sources that a file has negatives of, each with the file's dialogues."""
    dialogues = list(corpora.read(file))
    return [(source, dialogues) for source in dialogues[0].negatives]


def _figures(
    recipe: Recipe, training: list[Dialogue], tests: list[Dialogue], device: str | None
) -> tuple[float, ...]:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        selector = train(training, recipe, Path(folder), device=device)
    taken = time.perf_counter() - started
    scores = evaluate(selector, tests, ["random", "human"])
    about = selector.about
    print(
        f"{recipe.adversarial[0]}, seed {recipe.seed}: {about['contexts']} contexts, {recipe.epochs} epochs, "
        f"{about['precision']} on {about['device']}: {taken:.0f} s; test "
        f"{time.perf_counter() - started - taken:.0f} s",
        file=sys.stderr,
    )
    easy, hard = scores["random"], scores["human"]
    return (
        easy.recall_at_1,
        easy.mrr,
        hard.recall_at_1,
        hard.mrr,
        hard.hidden_recall_at_1,
        easy.hidden_recall_at_1,
    )


if __name__ == "__main__":
    main()
