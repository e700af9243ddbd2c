"""Which job a file or folder belongs to: a stopped job knows its own again, and nobody touches another's.

A job leaves a mark in what it has not finished: its kind, its settings and its input. Whoever comes next locks the
place, compares the mark with its own job, and goes on only where they are the same. In the end a job removes the
files that it wrote, one by one, and a folder only if nothing else is left in it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from pneg.errors import DataError
from pneg.files import replacing

MARK = "job.json"
"""The file in a claimed folder that says whose it is."""
LOCK = "job.lock"
"""The file that is in a claimed folder while a job holds it by itself."""
LONGEST = 60
"""Characters of a value that a message shows."""
NAMED = 3
"""Files of somebody else's that a message names."""
SCRATCH = re.compile(r"\.(.+)-\w{8}")
"""A file that was being written when its job was killed, as `pneg.files.replacing` names it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What must be the same for a stopped job to go on.

    Attributes:
        kind: the command, such as `negatives all`. How the work is shared out is no part of it.
        settings: plain values by the names that a user knows.
        input: a digest of what it reads; empty where the input is compared piece by piece.
    """

    kind: str
    settings: Mapping[str, Any]
    input: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", json.loads(json.dumps(self.settings)))

    @property
    def mark(self) -> bytes:
        """The job as one line of JSON."""
        found = {"job": self.kind, "settings": self.settings, "input": self.input}
        return (
            json.dumps({name: value for name, value in found.items() if value != ""}, sort_keys=True).encode() + b"\n"
        )

    def part(self, name: str) -> "Job":
        """A part of the job, which has a journal of its own."""
        return replace(self, kind=f"{self.kind}, {name}")


class _Mark(msgspec.Struct):
    """What a mark says. Version 0.1.0 named no job."""

    settings: dict[str, Any]
    job: str = ""
    input: str = ""


def _decoded(mark: bytes) -> _Mark | None:
    try:
        return msgspec.json.decode(mark, type=_Mark)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def is_mark(line: bytes) -> bool:
    """Whether a line is the mark of some job."""
    return line.endswith(b"\n") and _decoded(line) is not None


def compare(mark: bytes, job: Job, place: Path) -> None:
    """Refuse what belongs to another job.

    Args:
        mark: what lies there.
        job: the one that wants to go on.
        place: the file or folder that is marked.

    Raises:
        DataError: naming the kind of the other job, or each setting that differs with both values.
    """
    if error := _refusal(mark, job, place):
        raise error


def belongs(mark: bytes, job: Job) -> bool:
    """Whether a mark is this job's, whichever version wrote it."""
    return _refusal(mark, job, Path()) is None


def _refusal(mark: bytes, job: Job, place: Path) -> DataError | None:
    there, elsewhere = _decoded(mark), f"choose another output, or move {place} away"
    if there is None:
        return DataError("the mark that says whose job this is is damaged", elsewhere, file=place)
    if there.job and there.job != job.kind:
        return DataError(
            f"another job was stopped here, {there.job}", f"finish that one first, {elsewhere}", file=place
        )
    if differing := _differences(there.settings, job.settings):
        return DataError(
            f"a job with other settings was stopped here: {', '.join(differing)}",
            f"use the same settings, {elsewhere}",
            file=place,
        )
    if there.input != job.input:
        return DataError(
            "the job that was stopped here had another input", f"give the same input, {elsewhere}", file=place
        )
    return None


def _differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} was {_shown(there, name)} and is now {_shown(now, name)}"
        for name in sorted({*there, *now})
        if (name in there, there.get(name)) != (name in now, now.get(name))
    ]


def _shown(settings: Mapping[str, Any], name: str) -> str:
    text = json.dumps(settings[name], ensure_ascii=False) if name in settings else "not given"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


@contextmanager
def locked(lock: Path, place: Path) -> Iterator[None]:
    """Keep other jobs out until the block ends. Within it the same thread may lock again.

    Args:
        lock: a file that is there while the block runs.
        place: what the job writes.

    Raises:
        DataError: when another job is in such a block.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock.absolute(), timeout=0, is_singleton=True)
    try:
        held.acquire()
    except Timeout as error:
        raise DataError("another job is writing it", "wait, or choose another output", file=place) from error
    try:
        yield
    finally:
        if held.lock_counter == 1:
            lock.unlink(missing_ok=True)  # while nobody else can hold it
        held.release()


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder for what a job has not finished, with its mark.

    Attributes:
        path: of the folder.
        job: the one that it belongs to.
        owns: whether the job writes a file of this name.
        earlier: gives the mark of a folder that version 0.1.0 made; None where it is no such folder.
        begun: whether there is anything in it to go on from; until then any other job of its kind may take it.
    """

    path: Path
    job: Job
    owns: Callable[[str], bool]
    earlier: Callable[[Path], bytes | None] = lambda folder: None
    begun: Callable[[Path], bool] = lambda folder: True

    def check(self) -> bool:
        """Whether this job has begun here; False where there is nothing.

        Raises:
            DataError: when it belongs to another job, or holds what no job of this kind writes.
        """
        if not self.path.exists():
            return False
        names = _names(self.path)
        mark = self._mark()
        if mark is not None:
            if self.begun(self.path):
                compare(mark, self.job, self.path)
        elif names:
            raise DataError(
                f"it holds {listed(names)}, and nothing that says which job they belong to",
                f"choose another output, or move {self.path} away",
                file=self.path,
            )
        if others := [name for name in names if not self._own(name)]:
            raise DataError(
                f"it holds {listed(others)}, which this job does not write",
                "move that away, or choose another output",
                file=self.path,
            )
        return mark is not None

    def take(self) -> None:
        """Make the folder, if it is not there, and mark it.

        Raises:
            DataError: as `check`.
        """
        self.check()
        if not self.is_marked():
            self.path.mkdir(parents=True, exist_ok=True)
            with replacing(self.path / MARK) as stream:
                stream.write(self.job.mark)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this job until the block ends, and leave none that is empty.

        Raises:
            DataError: as `check`, or when another job holds it.
        """
        self.check()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.path / LOCK, self.path):
                self.take()
                yield
        finally:
            with suppress(OSError):  # something is in it
                self.path.rmdir()

    def remove(self) -> None:
        """Delete the job's files, the mark last, and the folder if nothing else is in it."""
        if not self.is_marked():
            return
        for name in sorted(filter(self._own, _names(self.path)), key=lambda name: name == MARK):
            if not (self.path / name).is_dir():
                (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # something is in it
            self.path.rmdir()

    def is_marked(self) -> bool:
        """Whether the mark there is this job's, whatever else lies there."""
        return self._mark() == self.job.mark

    def _mark(self) -> bytes | None:
        try:
            return (self.path / MARK).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return self.earlier(self.path)

    def _own(self, name: str) -> bool:
        scratch = SCRATCH.fullmatch(name)
        name = scratch[1] if scratch else name
        return name == MARK or self.owns(name)


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError("it is a file", "choose another output, or move it away", file=folder)
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def listed(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def journal_of(out: Path) -> Path:
    """The file for the finished part of an output that one process writes."""
    return out.with_name(out.name + ".unfinished")


def parts_of(out: Path) -> Path:
    """The folder for the parts of an output that is written part by part."""
    return out.with_name(out.name + ".parts")


@contextmanager
def output(out: Path, job: Job) -> Iterator[None]:
    """Keep an output, and what is unfinished of it, for this job until the block ends.

    Raises:
        DataError: when another job is writing it, or was stopped before it had written it.
    """
    with locked(out.with_name(out.name + ".lock"), out):
        check_output(out, job)
        yield


def check_output(out: Path, job: Job) -> None:
    """Refuse an output that another job, on one machine or many, was stopped in the middle of.

    Raises:
        DataError: naming what differs.
    """
    journal = journal_of(out)
    if journal.is_file():
        with journal.open("rb") as stream:
            head, first = stream.readline(), stream.readline()
        if first.endswith(b"\n"):  # with nothing done there is nothing to lose
            compare(head, job, journal)
    Folder(parts_of(out), job, lambda _: True).check()
