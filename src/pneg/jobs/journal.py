"""What was written of an output that is not done yet, so that a stopped job goes on where it was."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

from pneg import dialogue as records
from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.jobs import claim
from pneg.jobs.claim import Job

Work = Callable[[Iterator[Dialogue], int], Iterator[Dialogue]]
"""Gives dialogues with what it added to them; it gets those that remain and the position of the first."""


class CountedWork(Protocol):
    """Work that counts what was refused or is missing."""

    @property
    def counts(self) -> Counter[str]:
        """How often, by reason."""
        ...

    def __call__(self, dialogues: Iterator[Dialogue], first: int, /) -> Iterator[Dialogue]:
        """Do the work, as `Work`."""
        ...


class Journal:
    """A file `OUT.unfinished`: the job in the first line, a finished dialogue in each other.

    Args:
        out: the output that the journal becomes in the end.
        job: what must be the same for the job to go on.
    """

    def __init__(self, out: Path, job: Job) -> None:
        self.out, self.job = out, job
        self.path = claim.journal_of(out)

    def run(self, dialogues: Iterable[Dialogue], work: Work) -> Iterator[Dialogue]:
        """Give every dialogue with what was added to it, those already done first, and write the output at the end.

        Args:
            dialogues: the input, the same as when the job was stopped.
            work: does the rest of the input.

        Raises:
            DataError: when the journal, or the output, is of another job or of another input.
        """
        with claim.output(self.out, self.job):
            remaining = iter(dialogues)
            done = self._take_up()
            with self.path.open("ab") as stream:
                for _, finished in self.compared(remaining):
                    yield finished
                for dialogue in work(remaining, done):
                    stream.write(records.dump(dialogue))
                    stream.flush()
                    yield dialogue
            records.write(self.out, self.finished())
            self.remove()

    def remove(self) -> None:
        """Delete the journal, if it is this job's: the output is written."""
        if self.path.is_file():
            with self.path.open("rb") as stream:
                head = stream.readline()
            if claim.belongs(head, self.job):
                self.path.unlink()

    def __len__(self) -> int:
        """How many dialogues are done."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as stream:
            return max(0, sum(line.endswith(b"\n") for line in stream) - 1)

    def _take_up(self) -> int:
        """Start the journal or go on with it: leave full lines only, and count the dialogues."""
        self.path.touch()
        with self.path.open("r+b") as stream:
            head = stream.readline()
            if not (claim.is_mark(head) or self.job.mark.startswith(head)):  # or the first line was torn
                raise DataError("it is no journal of a job", f"move {self.path} away", file=self.path)
            done, end = 0, stream.tell()
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                done, end = done + 1, end + len(line)
            if done:
                stream.truncate(end)
            else:
                stream.seek(0)
                stream.truncate()
                stream.write(self.job.mark)
        return done

    def compared(self, dialogues: Iterator[Dialogue]) -> Iterator[tuple[Dialogue, Dialogue]]:
        """Take from the input the dialogues that are done, which must be the same.

        Returns:
            Each as it was given and as it is finished.

        Raises:
            DataError: at the first that differs.
        """
        done = len(self)
        number = 0
        for number, finished in enumerate(islice(self.finished(), done), start=1):
            given = next(dialogues, None)
            if given is None or asked(given) != asked(finished):
                there = "nothing" if given is None else f"another one, {given.id},"
                raise DataError(
                    f"dialogue {number} was {finished.id}, the input now has {there} there",
                    f"give the same input, choose another output, or move {self.path} away",
                    file=self.path,
                )
            yield given, finished
        if number < done:
            raise DataError(
                f"{done - number} of its lines are blank", f"move {self.path} away and begin again", file=self.path
            )

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
                    remedy = f"move {self.path} away and begin again"
                    raise DataError(error.found, remedy, file=self.path, line=number) from error


def asked(dialogue: Dialogue) -> tuple[object, ...]:
    """The fields of a dialogue that no job changes."""
    return dialogue.id, dialogue.context, dialogue.positives, dialogue.persona
