"""A job that was stopped goes on where it was, and only where it was."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneg import Dialogue, read
from pneg.errors import BackendError, DataError
from pneg.negatives.journal import Job, Journal

GIVEN = [Dialogue(f"d{n}", (f"turn {n}",), ("yes",), {"human": ("no",)}) for n in range(6)]
SETTINGS = {"shots": 2, "lm": None}


class Work:
    """A job that remembers what it did and may be told where to stop."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.done = stop, list[str]()

    def __call__(self, remaining: Iterator[Dialogue], first: int) -> Iterator[Dialogue]:
        for position, dialogue in enumerate(remaining, first):
            if position == self.stop:
                raise BackendError("the server went away")
            self.done.append(dialogue.id)
            yield replace(dialogue, negatives={**dialogue.negatives, "prompted": (f"written at {position} é",)})


def finished(out: Path, job: Job) -> list[str]:
    return [dialogue.id for dialogue in Journal(out, SETTINGS).run(GIVEN, job)]


def stopped(out: Path, after: int) -> Path:
    """The journal of a job that did `after` dialogues."""
    with pytest.raises(BackendError):
        list(Journal(out, SETTINGS).run(GIVEN, Work(stop=after)))
    return out.with_name(out.name + ".unfinished")


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_stopped_job_ends_with_the_file_of_an_unbroken_one(tmp_path: Path, ending: str, after: int) -> None:
    unbroken, out = tmp_path / f"unbroken{ending}", tmp_path / f"out{ending}"
    assert finished(unbroken, Work()) == [dialogue.id for dialogue in GIVEN]

    journal = stopped(out, after)
    assert not out.exists()
    assert len(Journal(out, SETTINGS)) == after
    work = Work()
    assert finished(out, work) == [dialogue.id for dialogue in GIVEN], "those done before are given too"
    assert work.done == [dialogue.id for dialogue in GIVEN[after:]], "nothing is done twice"
    assert out.read_bytes() == unbroken.read_bytes()
    assert not journal.exists()


def test_each_dialogue_is_on_disk_before_the_next_is_begun(tmp_path: Path) -> None:
    running = Journal(tmp_path / "out.jsonl", SETTINGS).run(GIVEN, Work())
    for done in (1, 2, 3):
        next(running)
        assert len(Journal(tmp_path / "out.jsonl", SETTINGS)) == done


def test_a_consumer_that_stops_leaves_a_journal_that_can_be_taken_up(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    running = Journal(out, SETTINGS).run(GIVEN, Work())
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert not out.exists()
    work = Work()
    finished(out, work)
    assert work.done == ["d1", "d2", "d3", "d4", "d5"]


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_last_line_is_written_again(tmp_path: Path, cut: int) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 3)
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert len(Journal(out, SETTINGS)) == 2
    work = Work()
    finished(out, work)
    assert work.done == ["d2", "d3", "d4", "d5"]
    assert [dialogue.negatives["prompted"] for dialogue in read(out)] == [
        (f"written at {position} é",) for position in range(6)
    ]


def test_a_job_stopped_between_its_last_dialogue_and_its_output_writes_it(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    running = Journal(out, SETTINGS).run(GIVEN, Work())
    for _ in GIVEN:
        next(running)
    running.close()  # type: ignore[attr-defined]
    assert not out.exists()
    work = Work()
    finished(out, work)
    assert work.done == []
    assert len(list(read(out))) == 6


def test_other_settings_are_refused_and_the_journal_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 2)
    before = journal.read_bytes()
    with pytest.raises(DataError, match="a job with other settings was stopped here") as caught:
        list(Journal(out, {**SETTINGS, "shots": 3}).run(GIVEN, Work()))
    assert f"delete {journal}" in str(caught.value)
    assert journal.read_bytes() == before


def test_settings_are_the_same_in_any_order(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    journal = stopped(out, 2)
    assert json.loads(journal.read_bytes().splitlines()[0]) == {"settings": SETTINGS}
    list(Journal(out, dict(reversed(SETTINGS.items()))).run(GIVEN, Work()))
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
        list(Journal(out, SETTINGS).run(other, Work()))
    assert journal.read_bytes() == before
    assert not out.exists()


def test_an_output_that_cannot_be_written_keeps_what_was_done(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.mkdir()
    with pytest.raises(OSError, match="directory"):
        finished(out, Work())
    out.rmdir()
    work = Work()
    finished(out, work)
    assert work.done == []
    assert len(list(read(out))) == 6
