"""A job that was stopped goes on where it was, and only where it was."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from pneg import Dialogue, read
from pneg.errors import BackendError, DataError
from pneg.jobs.claim import Job
from pneg.jobs.journal import Journal, Work

GIVEN = [Dialogue(f"d{n}", (f"turn {n}",), ("yes",), {"human": ("no",)}) for n in range(6)]
SETTINGS = {"shots": 2, "lm": None}
JOB = Job("a test", SETTINGS)


class Writing:
    """A job that remembers what it did and may be told where to stop."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.done = stop, list[str]()

    def __call__(self, remaining: Iterator[Dialogue], first: int) -> Iterator[Dialogue]:
        for position, dialogue in enumerate(remaining, first):
            if position == self.stop:
                raise BackendError("the server went away")
            self.done.append(dialogue.id)
            yield replace(dialogue, negatives={**dialogue.negatives, "prompted": (f"written at {position} é",)})


def finished(out: Path, job: Work) -> list[str]:
    return [dialogue.id for dialogue in Journal(out, JOB).run(GIVEN, job)]


def stopped(out: Path, after: int) -> Path:
    """The journal of a job that did `after` dialogues."""
    with pytest.raises(BackendError):
        list(Journal(out, JOB).run(GIVEN, Writing(stop=after)))
    return out.with_name(out.name + ".unfinished")


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_stopped_job_ends_with_the_file_of_an_unbroken_one(tmp_path: Path, ending: str, after: int) -> None:
    unbroken, out = tmp_path / f"unbroken{ending}", tmp_path / f"out{ending}"
    assert finished(unbroken, Writing()) == [dialogue.id for dialogue in GIVEN]

    journal = stopped(out, after)
    assert not out.exists()
    assert len(Journal(out, JOB)) == after
    work = Writing()
    assert finished(out, work) == [dialogue.id for dialogue in GIVEN], "those done before are given too"
    assert work.done == [dialogue.id for dialogue in GIVEN[after:]], "nothing is done twice"
    assert out.read_bytes() == unbroken.read_bytes()
    assert not journal.exists()


def test_each_dialogue_is_on_disk_before_the_next_is_begun(tmp_path: Path) -> None:
    running = Journal(tmp_path / "out.jsonl", JOB).run(GIVEN, Writing())
    for done in (1, 2, 3):
        next(running)
        assert len(Journal(tmp_path / "out.jsonl", JOB)) == done


def test_a_consumer_that_stops_leaves_a_journal_that_can_be_taken_up(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    running = Journal(out, JOB).run(GIVEN, Writing())
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert not out.exists()
    work = Writing()
    finished(out, work)
    assert work.done == ["d1", "d2", "d3", "d4", "d5"]


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_last_line_is_written_again(tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 3)
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert len(Journal(out, JOB)) == 2
    work = Writing()
    finished(out, work)
    assert work.done == ["d2", "d3", "d4", "d5"]
    assert [dialogue.negatives["prompted"] for dialogue in read(out)] == [
        (f"written at {position} é",) for position in range(6)
    ]


def test_a_job_stopped_between_its_last_dialogue_and_its_output_writes_it(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    running = Journal(out, JOB).run(GIVEN, Writing())
    for _ in GIVEN:
        next(running)
    running.close()  # type: ignore[attr-defined]
    assert not out.exists()
    work = Writing()
    finished(out, work)
    assert work.done == []
    assert len(list(read(out))) == 6


def test_other_settings_are_refused_and_the_journal_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 2)
    before = journal.read_bytes()
    with pytest.raises(
        DataError, match="a job with other settings was stopped here: shots was 2 and is now 3;"
    ) as caught:
        list(Journal(out, Job("a test", {**SETTINGS, "shots": 3})).run(GIVEN, Writing()))
    assert f"move {journal} away" in str(caught.value)
    assert journal.read_bytes() == before


def test_settings_are_the_same_in_any_order(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 2)
    assert json.loads(journal.read_bytes().splitlines()[0]) == {"job": "a test", "settings": SETTINGS}
    list(Journal(out, Job("a test", dict(reversed(SETTINGS.items())))).run(GIVEN, Writing()))
    assert len(list(read(out))) == 6


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            [GIVEN[0], replace(GIVEN[1], id="new"), *GIVEN[2:]],
            "dialogue 2 was d1, the input now has another one, new, there",
        ),
        (
            [replace(GIVEN[0], context=("x",)), *GIVEN[1:]],
            "dialogue 1 was d0, the input now has another one, d0, there",
        ),
        ([replace(GIVEN[0], positives=("x",)), *GIVEN[1:]], "dialogue 1 was d0, the input now has another one, d0,"),
        ([replace(GIVEN[0], persona=("x",)), *GIVEN[1:]], "dialogue 1 was d0, the input now has another one, d0,"),
        (GIVEN[1:], "dialogue 1 was d0, the input now has another one, d1, there"),
        (GIVEN[:1], "dialogue 2 was d1, the input now has nothing there"),
    ],
)
def test_another_input_is_refused_and_nothing_is_lost(tmp_path: Path, other: list[Dialogue], says: str) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 3)
    before = journal.read_bytes()
    with pytest.raises(DataError, match=says):
        list(Journal(out, JOB).run(other, Writing()))
    assert journal.read_bytes() == before
    assert not out.exists()


def test_an_output_that_cannot_be_written_keeps_what_was_done(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        finished(out, Writing())
    out.rmdir()
    work = Writing()
    finished(out, work)
    assert work.done == []
    assert len(list(read(out))) == 6


def test_a_journal_of_version_0_1_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 3)
    _, *dialogues = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([json.dumps({"settings": SETTINGS}).encode() + b"\n", *dialogues]))
    work = Writing()
    finished(out, work)
    assert work.done == ["d3", "d4", "d5"]
    assert not journal.exists()


def test_another_kind_of_job_is_refused_and_named(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    before = stopped(out, 2).read_bytes()
    with pytest.raises(DataError, match="another job was stopped here, a test; finish that one first"):
        list(Journal(out, Job("another", SETTINGS)).run(GIVEN, Writing()))
    assert (tmp_path / "out.jsonl.unfinished").read_bytes() == before


def test_a_job_that_has_nothing_done_keeps_nobody_out(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    stopped(out, 0)
    list(Journal(out, Job("a test", {"shots": 3})).run(GIVEN, Writing()))
    assert len(list(read(out))) == 6


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b"my\nnotes\n", b'{"settings": 5}\n', b"\xff\n\n"])
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    notes = tmp_path / "out.jsonl.unfinished"
    notes.write_bytes(content)
    with pytest.raises(DataError, match=r"it is no journal of a job|is damaged"):
        finished(tmp_path / "out.jsonl", Writing())
    assert notes.read_bytes() == content
    assert sorted(tmp_path.iterdir()) == [notes]


@pytest.mark.parametrize("cut", [1, 10])
def test_a_first_line_that_was_torn_is_written_again(tmp_path: Path, cut: int) -> None:
    journal = tmp_path / "out.jsonl.unfinished"
    journal.write_bytes(JOB.mark[:-cut])
    finished(tmp_path / "out.jsonl", Writing())
    assert not journal.exists()


def test_a_blank_line_does_not_shift_what_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 3)
    head, first, *others = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([head, first, b"\n", *others]))
    with pytest.raises(DataError, match=r"1 of its lines are blank; move .* away"):
        finished(out, Writing())


def test_two_jobs_lock_each_other_out(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    running = Journal(out, JOB).run(GIVEN, Writing())
    next(running)
    said: list[str] = []

    def other() -> None:
        with pytest.raises(DataError) as caught:
            finished(out, Writing())
        said.append(str(caught.value))

    thread = Thread(target=other)
    thread.start()
    thread.join()
    assert said == [f"{out}: another job is writing it; wait, or choose another output"]
    assert len(list(running)) == 5
    assert list(tmp_path.iterdir()) == [out]
