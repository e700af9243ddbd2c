"""Several sources in one job: each once, in files of their own, joined in the end."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pneg import Dialogue, read
from pneg.errors import BackendError, DataError
from pneg.negatives import Human, NegativeSource, Random, add
from pneg.negatives.catalogue import CATALOGUE, allowed
from pneg.negatives.parts import Parts

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


def never() -> NegativeSource:
    raise AssertionError("a source that is done is not made again")


def test_the_parts_are_joined_with_what_was_there_and_then_gone(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    parts = Parts(out, SETTINGS)
    assert parts.write("human", Human, GIVEN, 2).counts == {"duplicate": 6, "too few": 6}
    assert parts.write("random", lambda: Random(GIVEN), GIVEN, 2).dialogues == 6
    assert parts.join(["human", "random"], GIVEN) == 6
    assert list(read(out)) == list(add(Random(GIVEN), add(Human(), GIVEN, 2), 2))
    assert list(next(iter(read(out))).negatives) == ["human", "old", "random"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_complete_part_is_not_done_again_and_a_stopped_one_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    Parts(out, SETTINGS).write("human", Human, GIVEN, 2)
    with pytest.raises(BackendError):
        Parts(out, SETTINGS).write("slow", lambda: Slow(stop=4), GIVEN, 2)

    again = Parts(out, SETTINGS)
    assert again.write("human", never, GIVEN, 2).counts == {"duplicate": 6, "too few": 6}
    slow = Slow()
    part = again.write("slow", lambda: slow, GIVEN, 2)
    assert slow.asked == ["d4", "d5"]
    assert (part.dialogues, part.resumed, part.counts) == (6, 4, {"duplicate": 2})
    again.join(["human", "slow"], GIVEN)
    assert [dialogue.negatives["slow"] for dialogue in read(out)] == [(f"at {n}",) for n in range(6)]


def test_other_settings_and_another_input_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    parts = Parts(out, SETTINGS)
    parts.write("human", Human, GIVEN, 2)
    with pytest.raises(DataError, match="other settings"):
        Parts(out, {**SETTINGS, "count": 3}).write("human", never, GIVEN, 3)
    with pytest.raises(BackendError):
        parts.write("slow", lambda: Slow(stop=4), GIVEN, 2)
    with pytest.raises(DataError, match="other settings"):
        Parts(out, {**SETTINGS, "count": 3}).write("slow", Slow, GIVEN, 3)
    positive, turn = replace(GIVEN[2], positives=("no",)), replace(GIVEN[2], context=("turn",))
    changed = ([*GIVEN[:2], other, *GIVEN[3:]] for other in (positive, turn))
    for other in (GIVEN[:-1], GIVEN[1:], [*GIVEN, Dialogue("new", ("x",), ())], *changed):
        with pytest.raises(DataError, match="the input has changed"):
            parts.join(["human"], other)
    assert not out.exists()


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


def test_what_was_done_is_told_beside_each_part(tmp_path: Path) -> None:
    Parts(tmp_path / "out.jsonl", SETTINGS).write("human", Human, GIVEN, 2)
    about = json.loads((tmp_path / "out.jsonl.parts" / "human.json").read_text())
    assert about["settings"] == SETTINGS
    assert about["part"]["source"] == "human"
