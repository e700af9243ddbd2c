"""A job knows its own again and leaves alone what is not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pneg.errors import DataError
from pneg.jobs import claim
from pneg.jobs.claim import Folder, Job

JOB = Job("a test", {"seed": 1, "model": "m", "shots": None})
OWN = {"a.txt", "b.txt"}.__contains__


def folder(path: Path, job: Job = JOB, owns: Callable[[str], bool] = OWN) -> Folder:
    return Folder(path / "f", job, owns)


def taken(path: Path) -> Folder:
    """A folder that is taken, with a file of the job in it."""
    found = folder(path)
    found.take()
    (found.path / "a.txt").write_text("mine")
    return found


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (Job("another", JOB.settings), "another job was stopped here, a test; finish that one first"),
        (Job("a test", {**JOB.settings, "seed": 2}), "other settings was stopped here: seed was 1 and is now 2;"),
        (
            Job("a test", {"seed": 1, "model": "n", "shots": 2}),
            'stopped here: model was "m" and is now "n", shots was null and is now 2;',
        ),
        (Job("a test", {"seed": 1, "model": "m"}), "shots was null and is now not given;"),
        (Job("a test", {**JOB.settings, "new": True}), "new was not given and is now true;"),
        (Job("a test", {**JOB.settings, "model": "x" * 100}), f'is now "{"x" * 59}...;'),
        (Job("a test", JOB.settings, "a digest"), "the job that was stopped here had another input; give the same"),
    ],
)
def test_what_differs_is_named_with_both_values_and_nothing_is_changed(tmp_path: Path, other: Job, says: str) -> None:
    there = taken(tmp_path).path
    before = {path.name: path.read_bytes() for path in there.iterdir()}
    for refused in (folder(tmp_path, other).check, folder(tmp_path, other).take):
        with pytest.raises(DataError) as caught:
            refused()
        assert says in str(caught.value)
        assert str(caught.value).startswith(f"{there}: ")
        assert f"move {there} away" in str(caught.value)
    folder(tmp_path, other).remove()
    assert {path.name: path.read_bytes() for path in there.iterdir()} == before


def test_settings_are_the_same_in_any_order_and_as_json_has_them(tmp_path: Path) -> None:
    Folder(tmp_path / "f", Job("a test", {"a": (1, 2), "b": {"c": 1.5}}), OWN).take()
    assert Folder(tmp_path / "f", Job("a test", {"b": {"c": 1.5}, "a": [1, 2]}), OWN).check()


@pytest.mark.parametrize(
    "mark", [b"", b"half", b'{"settings": ', b"[]", b'{"settings": 1}', b'{"job": 1}', b"\xff", b"null"]
)
def test_a_damaged_mark_is_refused_and_nothing_is_deleted(tmp_path: Path, mark: bytes) -> None:
    there = taken(tmp_path)
    (there.path / claim.MARK).write_bytes(mark)
    with pytest.raises(DataError, match="the mark that says whose job this is is damaged"):
        there.take()
    there.remove()
    assert sorted(path.name for path in there.path.iterdir()) == ["a.txt", claim.MARK]


def test_a_folder_that_is_not_there_or_empty_may_be_taken_and_goes_when_it_is_done(tmp_path: Path) -> None:
    assert not folder(tmp_path).check()
    (tmp_path / "f").mkdir()
    assert not folder(tmp_path).check()
    there = taken(tmp_path)
    assert there.check()
    there.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_anything_in_it_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    for name in "abcde":
        (tmp_path / "f" / f"{name}.txt").write_text("somebody's")
    with pytest.raises(
        DataError, match=r"it holds a\.txt, b\.txt, c\.txt and 2 more, and nothing that says which job"
    ):
        folder(tmp_path).take()
    folder(tmp_path).remove()
    assert len(list((tmp_path / "f").iterdir())) == 5


def test_a_file_in_its_place_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    with pytest.raises(DataError, match="it is a file"):
        folder(tmp_path).take()
    folder(tmp_path).remove()
    assert (tmp_path / "f").read_text() == "mine"


def test_only_what_the_job_wrote_is_removed(tmp_path: Path) -> None:
    there = taken(tmp_path)
    (there.path / ".b.txt-abcd1234").write_text("half of it, when it was killed")
    (there.path / "c.txt").write_text("somebody's")
    (there.path / ".c.txt-abcd1234").write_text("somebody's")
    (there.path / "b.txt").mkdir()
    with pytest.raises(DataError, match=r"it holds \.c\.txt-abcd1234, c\.txt, which this job does not write"):
        there.take()
    there.remove()
    assert sorted(path.name for path in there.path.iterdir()) == [".c.txt-abcd1234", "b.txt", "c.txt"]


def test_a_folder_with_nothing_begun_may_be_taken_by_other_settings(tmp_path: Path) -> None:
    begun = (tmp_path / "f" / "a.txt").exists
    other = Folder(tmp_path / "f", Job("a test", {"seed": 2}), OWN, begun=lambda _: begun())
    folder(tmp_path).take()
    other.take()
    assert json.loads((tmp_path / "f" / claim.MARK).read_bytes())["settings"] == {"seed": 2}
    (tmp_path / "f" / "a.txt").touch()
    with pytest.raises(DataError, match="seed was 2 and is now 1"):
        folder(tmp_path).take()


HOLDS = """
import sys
from pathlib import Path
from pneg.jobs.claim import Folder, Job, output
job = Job("a test", {"seed": 1, "model": "m", "shots": None})
with Folder(Path("f"), job, str).held(), output(Path("out.jsonl"), job):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_processes_lock_each_other_out_until_one_ends_or_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for kill in (True, False):
        with subprocess.Popen(
            [sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ
        ) as other:
            assert other.stdout is not None and other.stdout.readline() == b"held\n"
            with pytest.raises(DataError, match=r"f: another job is writing it; wait"), folder(Path()).held():
                pass
            with (
                pytest.raises(DataError, match=r"out\.jsonl: another job is writing it"),
                claim.output(Path("out.jsonl"), JOB),
            ):
                pass
            if kill:
                other.kill()
            else:
                other.communicate()
        assert (tmp_path / "f" / claim.MARK).exists()
        with folder(Path()).held(), claim.output(Path("out.jsonl"), JOB):
            pass
    folder(Path()).remove()
    assert list(tmp_path.iterdir()) == []


def test_an_error_within_a_claim_comes_out_and_an_empty_folder_goes(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), folder(tmp_path).held():
        folder(tmp_path).remove()
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []
