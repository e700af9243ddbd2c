"""Several sources in one job: each once, in files of their own, joined in the end."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneg import Dialogue, read
from pneg.errors import BackendError, DataError
from pneg.jobs.claim import Job
from pneg.jobs.parts import Parts
from pneg.negatives import Human, Random, add
from pneg.negatives.base import Adding
from pneg.negatives.catalogue import CATALOGUE, allowed

GIVEN = [Dialogue(f"d{n}", (f"turn {n}",), (f"yes {n}",), {"human": ("no", "no!"), "old": ("o",)}) for n in range(6)]
SETTINGS = {"count": 2, "corpus": None}


class Slow:
    """A source that gives the position and may be told where to stop."""

    name = "slow"

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.first, self.asked, self.counts = stop, 0, list[str](), Counter[str]()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        for position, dialogue in enumerate(dialogues, self.first):
            if position == self.stop:
                raise BackendError("gone")
            self.asked.append(dialogue.id)
            self.counts["duplicate"] += 1
            yield (f"at {position}",)


def never() -> Adding:
    raise AssertionError("a source that is done is not made again")


def parts_of(out: Path, *names: str, **settings: object) -> Parts:
    return Parts(out, Job("a test", {**SETTINGS, **settings}), names)


def human() -> Adding:
    return Adding(Human(), 2)


def stopped(out: Path, *names: str) -> Path:
    """The folder of a job that did `human` and was stopped in `slow`."""
    with parts_of(out, *names).held() as parts, pytest.raises(BackendError):
        parts.write("human", human, GIVEN)
        parts.write("slow", lambda: Adding(Slow(stop=4), 2), GIVEN)
    return out.with_name("out.jsonl.parts")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_parts_are_joined_with_what_was_there_and_then_gone(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with parts_of(out, "human", "random").held() as parts:
        assert parts.write("human", human, GIVEN).counts == {"duplicate": 6, "too few": 6}
        assert parts.write("random", lambda: Adding(Random(GIVEN), 2), GIVEN).dialogues == 6
        assert parts.join(GIVEN) == 6
    assert list(read(out)) == list(add(Random(GIVEN), add(Human(), GIVEN, 2), 2))
    assert list(next(iter(read(out))).negatives) == ["human", "old", "random"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_complete_part_is_not_done_again_and_a_stopped_one_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    stopped(out, "human", "slow")
    slow = Slow()
    with parts_of(out, "human", "slow").held() as again:
        assert again.write("human", never, GIVEN).counts == {"duplicate": 6, "too few": 6}
        part = again.write("slow", lambda: Adding(slow, 2), GIVEN)
        assert slow.asked == ["d4", "d5"]
        assert (part.dialogues, part.resumed, part.counts) == (6, 4, {"duplicate": 2})
        again.join(GIVEN)
    assert [dialogue.negatives["slow"] for dialogue in read(out)] == [(f"at {n}",) for n in range(6)]
    assert list(tmp_path.iterdir()) == [out]


def test_other_settings_are_refused_and_named(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "out.jsonl", "human", "slow")
    before = contents(folder)
    with (
        pytest.raises(DataError, match="other settings was stopped here: count was 2 and is now 3;"),
        parts_of(tmp_path / "out.jsonl", "human", "slow", count=3).held(),
    ):
        pass
    assert contents(folder) == before


def test_another_input_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    positive, turn = replace(GIVEN[2], positives=("no",)), replace(GIVEN[2], context=("turn",))
    changed = ([*GIVEN[:2], other, *GIVEN[3:]] for other in (positive, turn))
    with parts_of(out, "human").held() as parts:
        parts.write("human", human, GIVEN)
        for other in (GIVEN[:-1], GIVEN[1:], [*GIVEN, Dialogue("new", ("x",), ())], *changed):
            with pytest.raises(DataError, match="the input has changed"):
                parts.join(other)
    assert not out.exists()


@pytest.mark.parametrize(("names", "left"), [(["slow"], "human"), (["human"], "slow"), (["random"], "human, slow")])
def test_a_part_of_a_source_that_is_left_out_is_not_thrown_away(tmp_path: Path, names: list[str], left: str) -> None:
    folder = stopped(tmp_path / "out.jsonl", "human", "slow")
    before = contents(folder)
    with (
        pytest.raises(DataError, match=f"it holds what was done of {left}, which this command leaves out; name that"),
        parts_of(tmp_path / "out.jsonl", *names).held(),
    ):
        pass
    assert contents(folder) == before


def test_another_source_may_be_added_to_a_stopped_job(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    stopped(out, "human", "slow")
    with parts_of(out, "slow", "random", "human").held() as parts:
        parts.write("slow", lambda: Adding(Slow(), 2), GIVEN)
        parts.write("random", lambda: Adding(Random(GIVEN), 2), GIVEN)
        parts.join(GIVEN)
    assert list(next(iter(read(out))).negatives) == ["human", "old", "slow", "random"]


def test_a_strangers_file_is_named_before_anything_is_done_and_kept_if_it_comes_later(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    folder = stopped(out, "human", "slow")
    (folder / "notes.txt").write_text("mine")
    with (
        pytest.raises(DataError, match=r"it holds notes\.txt, which this job does not write; move that away"),
        parts_of(out, "human", "slow").held(),
    ):
        pass
    (folder / "notes.txt").unlink()
    with parts_of(out, "human", "slow").held() as parts:
        parts.write("slow", lambda: Adding(Slow(), 2), GIVEN)
        (folder / "notes.txt").write_text("mine")
        parts.join(GIVEN)
    assert len(list(read(out))) == 6
    assert contents(folder) == {"notes.txt": b"mine"}


@pytest.mark.parametrize("content", [b"", b'{"source": "human", "dial', b"[]", b'{"source": 1}', b"\xff", b"null"])
def test_a_damaged_part_is_named(tmp_path: Path, content: bytes) -> None:
    folder = stopped(tmp_path / "out.jsonl", "human", "slow")
    (folder / "human.json").write_bytes(content)
    with (
        parts_of(tmp_path / "out.jsonl", "human", "slow").held() as parts,
        pytest.raises(DataError, match=r"human\.json: it is damaged: .*; delete it to do human again"),
    ):
        parts.write("human", never, GIVEN)
    assert (folder / "human.jsonl").exists()


def test_the_folder_of_version_0_1_is_refused_and_kept(tmp_path: Path) -> None:
    folder = stopped(tmp_path / "out.jsonl", "human", "slow")
    (folder / "job.json").unlink()
    before = contents(folder)
    with (
        pytest.raises(DataError, match=r"it holds human\.json, human\.jsonl, .*, and nothing that says which job"),
        parts_of(tmp_path / "out.jsonl", "human", "slow").held(),
    ):
        pass
    assert contents(folder) == before


def test_human_needs_human_negatives_and_writers_another_context() -> None:
    assert allowed(GIVEN) == list(CATALOGUE)
    one, other = (Dialogue(name, (name,), ("y",), {"human": ()}) for name in "ab")
    assert allowed([one, other]) == [name for name in CATALOGUE if name != "human"]
    alone = [name for name in CATALOGUE if name not in ("human", "mask-and-fill", "key-sem")]
    assert allowed([one, one]) == alone  # there is no other context to write to


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "semi-hard"])
def test_a_source_is_listed_under_its_own_name(name: str) -> None:
    assert CATALOGUE[name].make(GIVEN, 0).name == name


@pytest.mark.parametrize("name", ["random", "context", "mask-and-fill", "key-sem"])
def test_what_is_drawn_in_a_listed_source_is_drawn_by_the_seed(name: str) -> None:
    assert CATALOGUE[name].make(GIVEN, 7).seed == 7
