"""A source on many machines: a Ray Data pipeline over parts of the input, which all machines see in one folder."""

import hashlib
import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pneg import dialogue as records
from pneg.dialogue import Dialogue
from pneg.errors import DataError, PnegError, needs
from pneg.negatives.base import NegativeSource, add

PART = 1024
"""Dialogues in a part: some minutes of a small machine's work, and a multiple of what shares demonstrations."""
BLOCKS = 1000
"""Blocks of Ray's that the parts are spread over."""

Make = Callable[[int, Path], NegativeSource]
"""Gives the source for the dialogues from a position on; what it keeps besides goes where the path says.

A worker calls its own copy of it for each of its parts, so what takes long to load can stay from part to part."""


@dataclass(frozen=True, slots=True)
class Done:
    """A part that is written.

    Attributes:
        dialogues: in it.
        counts: of the source; nothing where an earlier job wrote the part.
        earlier: whether one did.
    """

    dialogues: int
    counts: Mapping[str, int]
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Adds a source to dialogues on as many workers as Ray has room for, and writes them in order.

    Each part becomes a file of its own in `OUT.parts` at once or not at all, so that a worker, a machine or the whole
    job may die at any moment: what is not there is done again, by whoever has time. As a source's draws depend on a
    dialogue's position alone, the result is that of one machine.

    Args:
        out: the output; its folder must be one that every machine sees.
        settings: what must be the same for a stopped job to go on; plain values.
        make: makes the source; it is sent to the workers.
        count: negatives a dialogue.
        workers: at most; by default what the cluster's processors allow.
        finish: called with the folder of the parts when all are written, before it goes.
    """

    out: Path
    settings: Mapping[str, Any]
    make: Make
    count: int = 5
    workers: int | None = None
    finish: Callable[[Path], None] = lambda folder: None

    def run(self, dialogues: Iterable[Dialogue]) -> Iterator[Done]:
        """Do the job; the output is there when the iterator ends.

        Raises:
            DataError: when the folder is of a job with other settings or another input.
            PnegError: with the words of what the source raised on a worker.
        """
        with needs("ray"):
            import ray
        folder = folder_of(self.out)
        folder.mkdir(exist_ok=True)
        sizes = self._split(dialogues, folder)
        missing = [number for number in range(len(sizes)) if not _result(folder, number).exists()]
        again = set(missing)
        yield from (Done(size, {}, True) for number, size in enumerate(sizes) if number not in again)
        if not ray.is_initialized():
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        if missing:
            room = max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
            workers = min(len(missing), self.workers or room)
            parts: Any = ray.data.from_items(missing, override_num_blocks=min(len(missing), BLOCKS))
            pipeline = parts.map(
                Worker,
                fn_constructor_args=(folder, self.make, self.count),
                concurrency=(1, workers, workers),  # at least, at most, at first
                num_cpus=1,
            )
            for row in pipeline.iter_rows():
                if row["failed"]:
                    raise PnegError(row["failed"])
                yield Done(row["dialogues"], json.loads(row["counts"]))
        records.write(
            self.out, (found for number in range(len(sizes)) for found in records.read(_result(folder, number)))
        )
        self.finish(folder)
        shutil.rmtree(folder)

    def _split(self, dialogues: Iterable[Dialogue], folder: Path) -> list[int]:
        """Write the input's parts and return their sizes; refuse a folder that holds another job's."""
        head = json.dumps({"settings": self.settings, "count": self.count, "part": PART}, sort_keys=True)
        digest = hashlib.sha256(head.encode())
        sizes: list[int] = []
        remaining = iter(dialogues)
        started = folder / "settings.json"
        fresh = not started.exists()
        while part := list(islice(remaining, PART)):
            for dialogue in part:
                digest.update(records.dump(dialogue))
            if fresh:
                records.write(_input(folder, len(sizes)), part)
            sizes.append(len(part))
        if fresh:
            with records.replacing(started) as stream:
                stream.write(json.dumps({"digest": digest.hexdigest()}).encode())
        elif json.loads(started.read_bytes())["digest"] != digest.hexdigest():
            raise DataError(
                "a job with other settings or another input was stopped here",
                f"use the same, choose another output, or delete {folder}",
                file=folder,
            )
        return sizes


class Worker:
    """Writes parts, one after the other, in a process of Ray's."""

    def __init__(self, folder: Path, make: Make, count: int) -> None:
        self.folder, self.make, self.count = folder, make, count

    def __call__(self, row: Mapping[str, int]) -> dict[str, Any]:
        """Write a part unless it is there; Ray calls this again for what a lost machine had in work."""
        number = int(row["item"])
        result = _result(self.folder, number)
        counts: Counter[str] = Counter()
        if not result.exists():
            try:
                source = self.make(number * PART, self.folder / f"{number:08}")
                records.write(result, add(source, records.read(_input(self.folder, number)), self.count))
            except PnegError as error:  # Ray would keep no more of it than its text, among a stack's
                return {"dialogues": 0, "counts": "{}", "failed": str(error)}
            counts = source.counts
        return {"dialogues": sum(1 for _ in records.read(result)), "counts": json.dumps(counts), "failed": ""}


def folder_of(out: Path) -> Path:
    """Where the parts of an output lie until all are written."""
    return out.absolute().with_name(out.name + ".parts")


def _input(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.input.jsonl"


def _result(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.jsonl"
