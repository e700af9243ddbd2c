"""A job over thousands of contexts keeps nothing of those that are done."""

import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from pneg import Dialogue, corpora
from pneg.jobs.claim import Job
from pneg.jobs.journal import Journal
from pneg.lm import Completion, Ledger, Metered, Paced, Price, Recorded, Request, Run
from pneg.lm.base import Complete
from pneg.negatives import Prompted, add

WARM, EACH, TIMES = 1_500, 1_000, 3
FEW = 150
"""Blocks of memory that may come with 1,000 contexts: what is in work at a moment differs by so many. A number or a
hash kept for each context would be 1,000, and a text or a tuple of texts more."""


class Answers:
    """Writes five good responses, and keeps nothing of what was asked."""

    name, concurrency = "m", 4

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        lines = "\n".join(f"{n}. Number {n} is a good response to nothing." for n in range(1, 6))
        answer = Completion(lines.removeprefix("1."), prompt_tokens=300, completion_tokens=60)

        async def complete(_: Request) -> Completion:
            return answer

        yield complete


def contexts() -> Iterator[Dialogue]:
    for number in range(WARM + EACH * TIMES):
        yield Dialogue(str(number), (f"Is number {number} ready?", "Not yet."), ("It will be soon.",))


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def test_what_a_job_holds_does_not_grow_with_the_contexts(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite", Run({})) as ledger:
        recorded = Recorded(Paced(Metered(Answers(), Price())), ledger)
        source = Prompted(recorded, corpora.read("starter:demonstrations"), judged=recorded.judge)
        job = Journal(tmp_path / "out.jsonl", Job("a test", {})).run(
            contexts(), lambda remaining, _: add(source, remaining)
        )
        for _ in islice(job, WARM):
            pass
        held = [blocks()]
        for _ in range(TIMES):
            for _ in islice(job, EACH):
                pass
            held.append(blocks())
        for _ in job:
            pass
    assert source.tally.contexts == WARM + EACH * TIMES
    assert (held[-1] - held[0]) / TIMES < FEW, held
