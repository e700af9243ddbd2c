"""Dialogues a second that each rule of `pneg attack` handles on the processor, and what it makes of them.

The corpus is its own pool. Preparing is reading the pool: indexing its responses, finding its topics, embedding it.
"""

import time
from collections.abc import Callable
from statistics import median

import common
from pneg.attack.catalogue import RULES, make
from pneg.attack.rule import Material
from pneg.dialogue import Dialogue

COUNT = 5


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=1000, rounds=3)
    parser.add_argument("--model", action="store_true", help="measure the rule that needs an encoder too")
    options = parser.parse_args()
    common.quiet()
    every = common.dialogues(options.data, "test.json")
    chosen = every[: options.limit]
    names = [name for name, listed in RULES.items() if options.model or not listed.model]
    made: dict[str, tuple[int, int]] = {}

    def contender(name: str) -> Callable[[int], tuple[float, float, float]]:
        return lambda _: _measured(name, every, chosen, made)

    found = common.interleaved({name: contender(name) for name in names}, options.rounds)
    rows = [["", "dialogues/s", "lowest-highest", "a CPU second", "preparing, s", "dialogues", "negatives"]]
    for name, rounds in found.items():
        rates = [len(chosen) / seconds for seconds, _, _ in rounds]
        busy = [len(chosen) / seconds for _, seconds, _ in rounds]
        rows.append(
            [
                name,
                f"{median(rates):,.0f}",
                common.spread(rates),
                f"{median(busy):,.0f}",
                f"{median(preparing for _, _, preparing in rounds):.2f}",
                f"{made[name][0]:,}",
                f"{made[name][1]:,}",
            ]
        )
    common.show(
        rows,
        f"{len(chosen)} dialogues, the pool {len(every)}; up to {COUNT} negatives each, median of {options.rounds} "
        "interleaved rounds. Rates are without preparing. The last columns say how many dialogues got negatives, and "
        "how many.",
        "bm25s", "numpy", "scipy",
    )  # fmt: skip


def _measured(
    name: str, every: list[Dialogue], chosen: list[Dialogue], made: dict[str, tuple[int, int]]
) -> tuple[float, float, float]:
    """Seconds by the clock and of the processor for all dialogues, and seconds of preparing."""
    begun = time.perf_counter()
    rule = make(name, Material(every))
    started, busy = time.perf_counter(), time.process_time()
    sizes = [len(responses) for responses in rule.propose(chosen, COUNT)]
    seconds, worked = time.perf_counter() - started, time.process_time() - busy
    made[name] = (sum(map(bool, sizes)), sum(sizes))
    return seconds, worked, started - begun


if __name__ == "__main__":
    main()
