"""`pneg attack`: the sets it writes, what it prints, and what it says of input that it cannot use."""

import json
from pathlib import Path

import pytest
from running import Run

from pneg import Dialogue, read, write
from pneg.errors import ModelError

FRIDAY = Dialogue(
    "friday",
    (
        "I bake bread in a small village.",
        "Do you bake on Friday?",
        "On Friday we are closed.",
        "Is the shop open now?",
    ),
    ("Yes, it is open until noon.", "No, we are closed on Friday."),
    {"human": ("A shop is a building.",)},
)
GERMAN = Dialogue("german", ("Ich wohne in Berlin.", "Wo liegt das?"), ("Das liegt an der Spree.",))
RULES = "copied-turn,negated"


@pytest.fixture
def village(tmp_path: Path) -> Path:
    file = tmp_path / "village.jsonl"
    write(file, [FRIDAY, GERMAN])
    return file


def test_each_rule_adds_a_set_under_its_name_and_leaves_the_others(pneg: Run, village: Path, tmp_path: Path) -> None:
    out = tmp_path / "attacked.jsonl"
    ran = pneg("attack", village, "-o", out, "--rules", RULES, "--json")
    assert ran.status == 0
    friday, german = read(out)
    assert set(friday.negatives) == {"human", "copied-turn", "negated"}
    assert friday.negatives["human"] == ("A shop is a building.",)
    assert set(friday.negatives["negated"]) == {"Yes, it isn't open until noon.", "No, we aren't closed on Friday."}
    assert set(friday.negatives["copied-turn"]) <= set(FRIDAY.context)
    assert german.negatives["negated"] == ()
    found = json.loads(ran.out)
    assert (found["out"], found["dialogues"]) == (str(out), 2)
    assert found["rules"]["negated"] == {
        "dialogues": 1,
        "negatives": 2,
        "left_out": {"not English": 1},
        "counts": {"too few": 8},
    }


def test_the_table_has_a_row_for_each_rule_and_a_line_for_each_reason(
    pneg: Run, village: Path, tmp_path: Path
) -> None:
    ran = pneg("attack", village, "-o", tmp_path / "attacked.jsonl", "--rules", RULES, "--count", "1")
    lines = [line.split() for line in ran.out.splitlines() if line]
    assert lines[1] == ["set", "dialogues", "negatives", "left", "out"]
    assert lines[2][0] == "copied-turn"
    assert lines[3] == ["negated", "1", "1", "1"]
    assert "negated: 1 left out: not English" in ran.out


def test_the_default_is_every_rule_whose_model_is_there(
    pneg: Run, village: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bm25s")
    from pneg.attack import catalogue, retrieved_dense

    def missing(name: str) -> None:
        raise ModelError(f"the model {name} cannot be fetched")

    monkeypatch.setattr(retrieved_dense, "Embeddings", missing)
    ran = pneg("attack", village, "-o", tmp_path / "attacked.jsonl", "--json")
    assert ran.status == 0
    assert set(json.loads(ran.out)["rules"]) == set(catalogue.RULES) - {"retrieved-dense"}
    assert ran.says == "pneg: note: retrieved-dense is left out: the model minilm-l6 cannot be fetched"
    named = pneg("attack", village, "-o", tmp_path / "other.jsonl", "--rules", "retrieved-dense")
    assert (named.status, named.says) == (1, "pneg: the model minilm-l6 cannot be fetched")


def test_responses_and_whole_dialogues_come_from_the_pool(pneg: Run, village: Path, tmp_path: Path) -> None:
    pytest.importorskip("bm25s")
    whole, more = tmp_path / "whole.jsonl", tmp_path / "more.jsonl"
    later = ("Yes, come in.", "I would like a rye loaf.", "Here is the warm loaf.")
    write(whole, [Dialogue("whole", (*FRIDAY.context, *later), ("Goodbye.",))])
    write(more, [Dialogue("more", ("Where did the goat go?",), ("The goat ran to another village.",))])
    out = tmp_path / "attacked.jsonl"
    words = ["attack", village, "-o", out, "--rules", "same-dialogue,retrieved", "--pool", whole, "--pool", more]
    assert pneg(*words).status == 0
    friday, _ = read(out)
    assert set(friday.negatives["same-dialogue"]) == set(later[1:])
    assert friday.negatives["retrieved"] == ("The goat ran to another village.",)


def test_the_same_seed_writes_the_same_file(pneg: Run, village: Path, tmp_path: Path) -> None:
    for name, seed in ("a", 3), ("b", 3):
        pneg("attack", village, "-o", tmp_path / f"{name}.jsonl", "--rules", "copied-turn", "--seed", seed)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_bad_line_is_set_aside(pneg: Run, half_bad: Path, tmp_path: Path) -> None:
    out = tmp_path / "attacked.jsonl"
    ran = pneg("attack", half_bad, "-o", out, "--rules", RULES, "--skip-bad", "--json")
    assert (ran.status, json.loads(ran.out)["bad_lines"]) == (0, 1)
    assert (tmp_path / "attacked.jsonl.bad").read_text() == "{broken\n"


@pytest.mark.parametrize(
    ("dialogues", "more", "message"),
    [
        ([], [], "in.jsonl: it holds no dialogue; there is nothing to make a test set of"),
        (
            [Dialogue("1", ("a",), ())],
            [],
            "in.jsonl: no dialogue has a positive; a test set needs responses that fit, to be ranked first",
        ),
        ([FRIDAY], ["--pool", "EMPTY"], "empty.jsonl: it holds no dialogue; there is nothing to take responses from"),
        ([FRIDAY], ["--pool", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
    ],
)
def test_input_without_what_is_needed_gets_one_clear_line(
    dialogues: list[Dialogue], more: list[str], message: str, pneg: Run, tmp_path: Path
) -> None:
    write(tmp_path / "in.jsonl", dialogues)
    write(tmp_path / "empty.jsonl", [])
    more = [word.replace("EMPTY", str(tmp_path / "empty.jsonl")) for word in more]
    ran = pneg("attack", tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", "--rules", RULES, *more)
    assert ran.status == 2
    assert message in ran.says
    assert not (tmp_path / "out.jsonl").exists()


def test_an_unknown_rule_is_named_beside_those_there_are(pneg: Run, village: Path, tmp_path: Path) -> None:
    ran = pneg("attack", village, "-o", tmp_path / "out.jsonl", "--rules", "negated,upside-down")
    assert ran.status == 2
    assert "--rules upside-down: there is no such rule; there are retrieved, retrieved-dense" in ran.err


def test_an_output_that_cannot_be_written_is_refused_first(pneg: Run, village: Path, tmp_path: Path) -> None:
    ran = pneg("attack", village, "-o", tmp_path / "out.txt", "--rules", RULES)
    assert (ran.status, "unknown ending" in ran.says) == (2, True)
