"""Several sources in one job: each writes a part of its own, and the parts become the output in the end."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pneg import dialogue as records
from pneg.dialogue import Dialogue
from pneg.errors import DataError
from pneg.negatives.base import NegativeSource
from pneg.negatives.journal import Journal, told


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
        settings: what must be the same for the job to go on; plain values.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.out, self.settings = out, settings
        self.folder = out.with_name(out.name + ".parts")

    def done(self, name: str) -> Part | None:
        """What became of a source whose part is complete.

        Raises:
            DataError: when it was made with other settings.
        """
        file = self._about(name)
        if not (file.is_file() and self._part(name).is_file()):
            return None
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["settings"] != json.loads(json.dumps(self.settings)):
            raise DataError(
                "a job with other settings was stopped here",
                f"use the same settings, choose another output, or delete {self.folder}",
                file=self.folder,
            )
        return Part(**found["part"])

    def write(
        self,
        name: str,
        make: Callable[[], NegativeSource],
        dialogues: Iterable[Dialogue],
        count: int,
        shown: Callable[[Iterator[Dialogue]], Iterator[Dialogue]] = lambda given: given,
    ) -> Part:
        """Write the part of a source; what it had written before it was stopped is not done again.

        Args:
            name: of the source.
            make: makes it; not called where nothing is left to do.
            dialogues: the input.
            count: responses a dialogue.
            shown: what the finished dialogues pass through, such as a bar.
        """
        if part := self.done(name):
            return part
        self.folder.mkdir(exist_ok=True)
        source = make()
        journal = Journal(self._part(name), {**self.settings, "source": name})
        resumed = len(journal)

        def job(remaining: Iterator[Dialogue], first: int) -> Iterator[Dialogue]:
            if hasattr(source, "first"):  # what is random or is written depends on the position
                source.first = first
            return _only(source, remaining, count)

        n = sum(1 for _ in shown(journal.run(dialogues, job)))
        part = Part(name, n, resumed, dict(source.counts))
        about = {"settings": self.settings, "part": asdict(part)}
        with records.replacing(self._about(name)) as stream:
            stream.write(json.dumps(about).encode())
        return part

    def join(self, names: Iterable[str], dialogues: Iterable[Dialogue]) -> int:
        """Write the output, the dialogues with the negatives of each part, remove the parts, and count the dialogues.

        Raises:
            DataError: when the input is not the one the parts were written for.
        """
        parts = [records.read(self._part(name)) for name in names]
        n = records.write(self.out, self._joined(dialogues, parts))
        shutil.rmtree(self.folder)
        return n

    def _joined(self, dialogues: Iterable[Dialogue], parts: list[Iterator[Dialogue]]) -> Iterator[Dialogue]:
        for given in dialogues:
            negatives = dict(given.negatives)
            for part in parts:
                found = next(part, None)
                if found is None or told(found) != told(given):
                    raise self._other_input(given)
                negatives |= found.negatives
            yield replace(given, negatives=negatives)
        for part in parts:
            if found := next(part, None):
                raise self._other_input(found)

    def _other_input(self, dialogue: Dialogue) -> DataError:
        remedy = f"give the same input, choose another output, or delete {self.folder}"
        return DataError(f"the input has changed at the dialogue {dialogue.id}", remedy, file=self.folder)

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _about(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _only(source: NegativeSource, dialogues: Iterator[Dialogue], count: int) -> Iterator[Dialogue]:
    """The dialogues with the negatives of this source alone; the others are in the input."""
    from pneg.negatives.base import add

    for dialogue in add(source, dialogues, count):
        yield replace(dialogue, negatives={source.name: dialogue.negatives[source.name]})
