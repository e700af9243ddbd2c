"""The reference table of the measuring protocol, trained and tested anew. Quality, not speed; meant for a GPU.

minilm-l6; `random`: the 7,641 contexts of data_positives.json, 3 epochs; `human`: the 1,028 of dev.json, 6 epochs;
all positives in turn against five negatives of test.json. On two cores it takes hours; --limit shows that it runs.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

import common
from pneg.dialogue import Dialogue
from pneg.selector.evaluation import evaluate
from pneg.selector.recipe import Recipe
from pneg.selector.training import train

BACKBONE = "minilm-l6"
FIGURES = ("random R@1", "random MRR", "human R@1", "human MRR", "human hidden R@1", "random hidden R@1")
PROTOCOL: dict[str, tuple[float | None, ...]] = {
    "random": (0.711, 0.829, 0.332, 0.549, 0.216, None),
    "human": (0.547, 0.723, 0.738, 0.842, 0.619, None),
}
"""One seed each, with a plain loop."""
EPOCHS = {"random": 3, "human": 6}
FILES = {"random": "data_positives.json", "human": "dev.json"}


def main() -> None:
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds from 0 on (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="contexts to train and to test on (default: all)")
    parser.add_argument("--device", help="default: the best there is")
    parser.add_argument("--sources", default="random,human", help="rows of the table (default: %(default)s)")
    parser.add_argument("--architecture", choices=("cross", "shared"), default="cross")
    parser.add_argument("--held-out", type=float, default=0.0, metavar="SHARE", help="for the best epoch")
    options = parser.parse_args()
    common.quiet()
    tests = common.dialogues(None, "test.json")[: options.limit]
    sources = options.sources.split(",")
    fixed = {"backbone": BACKBONE, "architecture": options.architecture, "held_out": options.held_out}
    rows = [["", *FIGURES]]
    for source in sources:
        training = common.dialogues(None, FILES[source])[: options.limit]
        found = [
            _figures(
                Recipe(**fixed, adversarial=(source,), epochs=EPOCHS[source], seed=seed),
                training,
                tests,
                options.device,
            )
            for seed in range(options.seeds)
        ]
        columns = list(zip(*found, strict=True))
        expected = PROTOCOL[source]
        rows.append([f"{source}, mean of {options.seeds} seeds", *(f"{mean(of):.3f}" for of in columns)])
        if options.seeds > 1:
            rows.append(["  standard deviation", *(f"{stdev(of):.3f}" for of in columns)])
        rows.append(["  PROTOCOL", *("" if value is None else f"{value:.3f}" for value in expected)])
        rows.append(
            [
                "  difference",
                *(
                    "" if value is None else f"{mean(of) - value:+.3f}"
                    for of, value in zip(columns, expected, strict=True)
                ),
            ]
        )
    note = "" if options.limit is None else " NOT COMPARABLE: --limit was given."
    common.show(
        rows,
        f"{BACKBONE}, {options.architecture}, 1 positive and 10 negatives a context, "
        f"all {len(tests)} test contexts and their positives. "
        f"Hidden: each context replaced by a full stop.{note}",
        "torch",
        "transformers",
    )


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
