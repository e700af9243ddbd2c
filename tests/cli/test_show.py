"""`pneg show`: counts, lengths, a few dialogues."""

import json
from pathlib import Path

import pytest
from running import Run


def test_counts_and_mean_words_are_those_of_the_file(pneg: Run, good: Path) -> None:
    """Turns: 1, 2 and 3 words; positives: 2, 1 and 1; human: 4, 1 and 4."""
    ran = pneg("show", good, "--json")
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out) == {
        "dialogues": 2,
        "with_persona": 1,
        "texts": {
            "turns": {"n": 3, "a_dialogue": 1.5, "mean_words": 2.0},
            "positives": {"n": 3, "a_dialogue": 1.5, "mean_words": 1.33},
            "negatives: human": {"n": 3, "a_dialogue": 1.5, "mean_words": 3.0},
        },
    }


def test_json_is_one_object_on_one_line(pneg: Run) -> None:
    ran = pneg("show", "starter:test", "--json")
    assert ran.out.count("\n") == 1
    assert json.loads(ran.out)["texts"]["positives"]["n"] == 300


def test_dialogues_are_drawn_with_speakers_and_marks(pneg: Run, good: Path) -> None:
    ran = pneg("show", good, "--dialogues", "1")
    table, _, drawn = ran.out.partition("\n\na\n")
    assert drawn == (
        "  A: Hi.\n  B: Oh, hi!\n    + All well?\n    + Fine.\n    - Hi is a word.  [human]\n    - fine  [human]\n"
    )
    assert table.startswith("2 dialogues, 1 with a persona\n\n")
    assert table.splitlines()[2:4] == [
        "                  texts  a dialogue  mean words",
        "turns                 3         1.5         2.0",
    ]


def test_limit_takes_the_first(pneg: Run, good: Path) -> None:
    found = json.loads(pneg("show", good, "--limit", 1, "--json").out)
    assert (found["dialogues"], found["texts"]["turns"]["n"]) == (1, 2)


def test_an_empty_file_has_no_dialogues(pneg: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    ran = pneg("show", "empty.jsonl")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("0 dialogues, 0 with a persona\n")


def test_bad_lines_are_set_aside_and_counted(pneg: Run, half_bad: Path, tmp_path: Path) -> None:
    ran = pneg("show", half_bad, "--skip-bad", "--json")
    found = json.loads(ran.out)
    assert (ran.status, found["dialogues"], found["bad_lines"]) == (0, 2, 1)
    assert Path(found["bad_lines_file"]).read_bytes() == b"{broken\n"
    assert ran.says.startswith(f"pneg: set aside: {half_bad}, line 2: ")


@pytest.mark.parametrize("ending", ["jsonl.gz", "parquet"])
def test_other_forms_show_the_same(pneg: Run, good: Path, ending: str) -> None:
    from pneg import read, write

    write(good.with_name(f"other.{ending}"), read(good))
    assert pneg("show", f"other.{ending}").out == pneg("show", good).out
