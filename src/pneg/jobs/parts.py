"""Several works in one job: each writes a part of its own, and the parts become the output in the end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from pneg import dialogue as records
from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.files import replacing
from pneg.jobs import claim
from pneg.jobs.claim import Folder, Job
from pneg.jobs.journal import CountedWork, Journal, asked

PART = ".jsonl"
DONE = ".json"
UNFINISHED = f"{PART}.unfinished"
ENDINGS = (PART, DONE, UNFINISHED, f"{PART}.lock")
"""What the names of a part's files end with."""


@dataclass(frozen=True, slots=True)
class Part:
    """What became of a source.

    Attributes:
        source: its name.
        dialogues: how many were gone through.
        resumed: how many of them were done by an earlier job that was stopped; `counts` is of the others.
        counts: what was refused or is missing, by reason.
    """

    source: str
    dialogues: int
    resumed: int
    counts: Mapping[str, int]


class Parts:
    """A folder `OUT.parts`: the dialogues with the negatives of one source in each file, and beside it what was done.

    Args:
        out: the output that the parts become.
        job: what must be the same for the job to go on.
        names: of the sources, in the order in which the output has them.
    """

    def __init__(self, out: Path, job: Job, names: Sequence[str]) -> None:
        self.out, self.job, self.names = out, job, tuple(dict.fromkeys(names))
        self.folder = claim.parts_of(out)

    @contextmanager
    def held(self) -> Iterator["Parts"]:
        """Keep the output and the folder for this job until the block ends.

        Raises:
            DataError: when either is another job's, or has the part of a source that this job leaves out.
        """
        with claim.output(self.out, self.job):
            if others := self._left_out():
                raise DataError(
                    f"it holds what was done of {', '.join(others)}, which this command leaves out",
                    "name that too, choose another output, or delete those files",
                    file=self.folder,
                )
            self._claimed.take()
            yield self

    @cached_property
    def _claimed(self) -> Folder:
        return Folder(
            self.folder, self.job, {name + ending for name in self.names for ending in ENDINGS}.__contains__
        )

    def _left_out(self) -> list[str]:
        if not self._claimed.is_marked():
            return []
        done = {path.stem for path in self.folder.glob(f"*{DONE}") if path.with_suffix(PART).is_file()}
        begun = {path.name.removesuffix(UNFINISHED) for path in self.folder.glob(f"*{UNFINISHED}")}
        return sorted((done | begun) - set(self.names))

    def done(self, name: str) -> Part | None:
        """What became of a source whose part is complete.

        Raises:
            DataError: when the file that says so is damaged.
        """
        about = self.folder / f"{name}{DONE}"
        if not (about.is_file() and self._part(name).is_file()):
            return None
        try:
            return msgspec.json.decode(about.read_bytes(), type=Part)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"it is damaged: {error}", f"delete it to do {name} again", file=about) from error

    def write(
        self,
        name: str,
        make: Callable[[], CountedWork],
        dialogues: Iterable[Dialogue],
        shown: Callable[[Iterator[Dialogue]], Iterator[Dialogue]] = lambda given: given,
    ) -> Part:
        """Write the part of a source; what it had written before it was stopped is not done again.

        Args:
            name: of the source.
            make: makes the work that adds its negatives; not called where nothing is left to do.
            dialogues: the input.
            shown: what the finished dialogues pass through, such as a bar.
        """
        if part := self.done(name):
            return part
        work = make()

        def alone(remaining: Iterator[Dialogue], first: int) -> Iterator[Dialogue]:
            for dialogue in work(remaining, first):  # the other negatives are in the input
                yield replace(dialogue, negatives={name: dialogue.negatives[name]})

        journal = Journal(self._part(name), self.job.part(name))
        resumed = len(journal)
        n = sum(1 for _ in shown(journal.run(dialogues, alone)))
        part = Part(name, n, resumed, dict(work.counts))
        with replacing(self.folder / f"{name}{DONE}") as stream:
            stream.write(msgspec.json.encode(part))
        return part

    def join(self, dialogues: Iterable[Dialogue]) -> int:
        """Write the output, the dialogues with the negatives of each part, remove the parts, and count the dialogues.

        Raises:
            DataError: when the input is not the one the parts were written for.
        """
        parts = [records.read(self._part(name)) for name in self.names]
        n = records.write(self.out, self._joined(dialogues, parts))
        self._claimed.remove()
        return n

    def _joined(self, dialogues: Iterable[Dialogue], parts: list[Iterator[Dialogue]]) -> Iterator[Dialogue]:
        for given in dialogues:
            negatives = dict(given.negatives)
            for part in parts:
                added = next(part, None)
                if added is None or asked(added) != asked(given):
                    raise self._other_input(given)
                negatives |= added.negatives
            yield replace(given, negatives=negatives)
        for part in parts:
            if added := next(part, None):
                raise self._other_input(added)

    def _other_input(self, dialogue: Dialogue) -> DataError:
        remedy = f"give the same input, choose another output, or move {self.folder} away"
        return DataError(f"the input has changed at the dialogue {dialogue.id}", remedy, file=self.folder)

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}{PART}"
