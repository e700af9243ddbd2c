"""Work on many machines: a Ray Data pipeline over parts of the input, which all machines see in one folder."""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pneg import dialogue as records
from pneg.dialogue import Dialogue
from pneg.errors import DataError, PnegError, needs
from pneg.jobs import claim
from pneg.jobs.claim import Folder, Job
from pneg.jobs.journal import CountedWork, Journal, asked

PART = 1024
"""Dialogues in a part: some minutes of a small machine's work, and a multiple of what shares demonstrations."""
BLOCKS = 1000
"""Blocks of Ray's that the parts are spread over."""
OWN = re.compile(r"\d{8}(\.input)?\.jsonl|(\d{8}|known)\.[\w.]*sqlite(-wal|-shm|-journal)?")
"""Names of the files of a part, and of the answers that all parts may use."""

Make = Callable[[int, Path], CountedWork]
"""Gives the work for the dialogues from a position on; what it keeps besides goes where the path says.

A worker calls its own copy of it for each of its parts, so what takes long to load can stay from part to part."""


@dataclass(frozen=True, slots=True)
class Done:
    """A part that is written.

    Attributes:
        dialogues: in it.
        counts: of the work; nothing where an earlier job wrote the part.
        earlier: whether one did.
    """

    dialogues: int
    counts: Mapping[str, int]
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Does work on dialogues with as many workers as Ray has room for, and writes them in order.

    Each part becomes a file of its own in `OUT.parts` at once or not at all, so that a worker, a machine or the whole
    job may die at any moment: what is not there is done again, by whoever has time. As a source's draws depend on a
    dialogue's position alone, the result is that of one machine, which may go on where a cluster was stopped.

    Args:
        out: the output; its folder must be one that every machine sees.
        job: what must be the same for a stopped job to go on.
        make: makes the work; it is sent to the workers.
        workers: at most; by default what the cluster's processors allow.
        begin: called with the folder before any worker begins.
        finish: called with the folder when all parts are written, before the output is.
    """

    out: Path
    job: Job
    make: Make
    workers: int | None = None
    begin: Callable[[Path], None] = lambda folder: None
    finish: Callable[[Path], None] = lambda folder: None

    def run(self, dialogues: Iterable[Dialogue]) -> Iterator[Done]:
        """Do the job; the output is there when the iterator ends.

        Raises:
            DataError: when the output or the folder is of another job or another input.
            PnegError: with the words of what the work raised on a worker.
        """
        with needs("ray"):
            import ray
        with claim.output(self.out, self.job):
            folder = folder_of(self.out)
            claimed(self.out, self.job).take()
            journal = Journal(self.out, self.job)  # of the same job, on one machine
            remaining = iter(dialogues)
            before = (given for given, _ in journal.compared(remaining))
            sizes = [len(part) for part in inputs(folder, chain(before, remaining), write=True)]
            self.begin(folder)
            missing = [number for number in range(len(sizes)) if not _result(folder, number).exists()]
            again = set(missing)
            yield from (Done(size, {}, True) for number, size in enumerate(sizes) if number not in again)
            if not ray.is_initialized():
                ray.init(log_to_driver=False, logging_level=logging.ERROR)
            if missing:
                yield from self._write_parts(folder, missing)
            self.finish(folder)  # before the output is there: what was paid for is safe whatever comes
            records.write(self.out, (one for number in range(len(sizes)) for one in _checked(folder, number)))
            journal.remove()
            remove(self.out, self.job)

    def _write_parts(self, folder: Path, missing: list[int]) -> Iterator[Done]:
        import ray

        ray.data.DataContext.get_current().enable_progress_bars = False
        room = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        workers = min(len(missing), self.workers or room)
        parts: Any = ray.data.from_items(missing, override_num_blocks=min(len(missing), BLOCKS))
        pipeline = parts.map(
            Worker,
            fn_constructor_args=(folder, self.make),
            concurrency=(1, workers, workers),  # at least, at most, at first
            num_cpus=1,
        )
        for row in pipeline.iter_rows():
            if row["failed"]:
                raise PnegError(row["failed"])
            yield Done(row["dialogues"], json.loads(row["counts"]))


class Worker:
    """Writes parts, one after the other, in a process of Ray's."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.folder, self.make = folder, make

    def __call__(self, row: Mapping[str, int]) -> dict[str, Any]:
        """Write a part unless it is there; Ray calls this again for what a lost machine had in work."""
        number = int(row["item"])
        result = _result(self.folder, number)
        counts: Counter[str] = Counter()
        try:
            if not result.exists():
                first = number * PART
                work = self.make(first, self.folder / f"{number:08}")
                records.write(result, work(records.read(_input(self.folder, number)), first))
                counts = work.counts
            dialogues = sum(1 for _ in records.read(result))
        except PnegError as error:  # Ray would keep no more of it than its text, among a stack's
            return {"dialogues": 0, "counts": "{}", "failed": str(error)}
        return {"dialogues": dialogues, "counts": json.dumps(counts), "failed": ""}


def inputs(folder: Path, dialogues: Iterable[Dialogue], write: bool) -> Iterator[list[Dialogue]]:
    """Give the parts of the input, each of which must be what the folder has of it.

    Args:
        folder: of the parts.
        dialogues: the input.
        write: whether to add those parts that are not there.

    Raises:
        DataError: when a part differs, or the folder has more of them.
    """
    remaining = iter(dialogues)
    number = 0
    while part := list(islice(remaining, PART)):
        file = _input(folder, number)
        if file.exists():
            if file.read_bytes() != b"".join(map(records.dump, part)):
                raise _other_input(folder, number)
        elif write:
            records.write(file, part)
        number += 1
        yield part
    if _input(folder, number).exists():
        raise _other_input(folder, number)


def _other_input(folder: Path, number: int) -> DataError:
    return DataError(
        f"the job that was stopped here had another input, from dialogue {number * PART + 1} on",
        f"give the same input, choose another output, or move {folder} away",
        file=folder,
    )


def _checked(folder: Path, number: int) -> Iterator[Dialogue]:
    """The dialogues of a finished part, which must be those of its input."""
    given, result = records.read(_input(folder, number)), _result(folder, number)
    for line, dialogue in enumerate(records.read(result), start=1):
        before = next(given, None)
        if before is None or asked(before) != asked(dialogue):
            raise _damaged(result, line)
        yield dialogue
    if next(given, None) is not None:
        raise _damaged(result)


def _damaged(result: Path, line: int | None = None) -> DataError:
    return DataError(
        "it does not hold the dialogues of its input",
        "delete it to have that part done again",
        file=result,
        line=line,
    )


def folder_of(out: Path) -> Path:
    """Where the parts of an output lie until all are written."""
    return claim.parts_of(out.absolute())


def claimed(out: Path, job: Job) -> Folder:
    """The claim on that folder."""
    return Folder(folder_of(out), job, lambda name: OWN.fullmatch(name) is not None)


def remove(out: Path, job: Job) -> None:
    """Delete the parts of a job whose output is written."""
    claimed(out, job).remove()


def _input(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.input.jsonl"


def _result(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.jsonl"
