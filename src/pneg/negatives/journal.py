"""What was written of an output that is not done yet, so that a stopped job goes on where it was."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pneg import dialogue as records
from pneg.dialogue import Dialogue
from pneg.errors import DataError

Job = Callable[[Iterator[Dialogue], int], Iterator[Dialogue]]
"""Gives dialogues with what it added to them; it gets those that remain and the position of the first."""


class Journal:
    """A file `OUT.unfinished`: the settings of the job in the first line, a finished dialogue in each other.

    Args:
        out: the output that the journal becomes in the end.
        settings: what must be the same for the job to go on; plain values.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.out = out
        self.path = out.with_name(out.name + ".unfinished")
        self._head = json.dumps({"settings": settings}, sort_keys=True).encode() + b"\n"

    def run(self, dialogues: Iterable[Dialogue], job: Job) -> Iterator[Dialogue]:
        """Give every dialogue with what the job added, those already done first, and write the output at the end.

        Args:
            dialogues: the input, the same as when the job was stopped.
            job: does the rest of the input.

        Raises:
            DataError: when the journal is of a job with other settings or another input.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path.with_name(self.path.name + ".lock"), timeout=0)
        try:
            with lock:
                yield from self._run(iter(dialogues), job)
        except Timeout as error:
            raise DataError("another job is writing it", "wait, or choose another output", file=self.out) from error
        Path(lock.lock_file).unlink(missing_ok=True)

    def _run(self, remaining: Iterator[Dialogue], job: Job) -> Iterator[Dialogue]:
        done = self._done()
        with self.path.open("ab") as stream:
            yield from self._again(done, remaining)
            for dialogue in job(remaining, done):
                stream.write(records.dump(dialogue))
                stream.flush()
                yield dialogue
        records.write(self.out, self.finished())
        self.path.unlink()

    def __len__(self) -> int:
        """How many dialogues are done."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as stream:
            return max(0, sum(line.endswith(b"\n") for line in stream) - 1)

    def _done(self) -> int:
        """Start the journal or take it up: leave whole lines only, and count them."""
        self.path.touch()
        with self.path.open("r+b") as stream:
            head = stream.readline()
            if not head.endswith(b"\n"):
                stream.seek(0)
                stream.truncate()
                stream.write(self._head)
                return 0
            if head != self._head:
                raise DataError(
                    "a job with other settings was stopped here",
                    f"use the same settings, choose another output, or delete {self.path}",
                    file=self.path,
                )
            done, end = 0, stream.tell()
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                done, end = done + 1, end + len(line)
            stream.truncate(end)
        return done

    def _again(self, done: int, remaining: Iterator[Dialogue]) -> Iterator[Dialogue]:
        for number, finished in zip(range(done), self.finished(), strict=False):
            given = next(remaining, None)
            if given is None or told(given) != told(finished):
                found = "nothing" if given is None else f"another one, {given.id},"
                raise DataError(
                    f"dialogue {number + 1} was {finished.id}, the input now has {found} there",
                    f"give the same input, choose another output, or delete {self.path}",
                    file=self.path,
                )
            yield finished

    def finished(self) -> Iterator[Dialogue]:
        """The dialogues that are done.

        Raises:
            DataError: when one cannot be read.
        """
        if not self.path.exists():
            return
        for number, line in records.lines(self.path):
            if number > 1:
                try:
                    yield records.parse(line)
                except DataError as error:
                    remedy = f"delete {self.path} and begin again"
                    raise DataError(error.found, remedy, file=self.path, line=number) from error


def told(dialogue: Dialogue) -> tuple[object, ...]:
    """What of a dialogue no source changes."""
    return dialogue.id, dialogue.context, dialogue.positives, dialogue.persona
