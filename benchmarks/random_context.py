"""Dialogues a second of the sources that draw, and their memory over a long stream.

Made dialogues, streamed; the pool is the stream itself. Reading and writing files is not part of it.
"""

import argparse
import resource
import time
from collections.abc import Iterator

import common
from pneg.dialogue import Dialogue
from pneg.negatives import Context, Random

COUNT = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=1_000_000, help="dialogues (default: %(default)s)")
    parser.add_argument("--positives", type=int, default=1, help="of each dialogue (default: %(default)s)")
    options = parser.parse_args()
    rows = [["", "dialogues/s", "making dialogues alone", "MB with the pool", "MB at the end"]]
    for make in (Random, Context):
        source = make(_dialogues(options.limit, options.positives))
        pool = _peak()
        started = time.perf_counter()
        for _ in _dialogues(options.limit, options.positives):
            pass
        made = time.perf_counter() - started
        started = time.perf_counter()
        for _ in source.propose(_dialogues(options.limit, options.positives), COUNT):
            pass
        seconds = time.perf_counter() - started - made
        rows.append(
            [
                source.name,
                f"{options.limit / seconds:,.0f}",
                f"{options.limit / made:,.0f}",
                f"{pool:,.0f}",
                f"{_peak():,.0f}",
            ]
        )
        del source
    common.show(
        rows,
        f"{options.limit:,} dialogues with {options.positives} positives each, {COUNT} negatives each; the time that "
        "it takes to make the dialogues is taken off. MB: the most that the process has held so far.",
        "numpy",
    )


def _dialogues(count: int, positives: int) -> Iterator[Dialogue]:
    for number in range(count):
        yield Dialogue(
            str(number),
            ("How are you today?", f"Well enough, said the {number}th guest.", "And what will you do then?"),
            tuple(f"I will go to the market with you at {number * positives + n} o'clock." for n in range(positives)),
        )


def _peak() -> float:
    """MB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
