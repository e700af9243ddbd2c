"""`pneg negatives`: random, human and context; the words and files that `prompted` refuses."""

import json
from pathlib import Path

import pytest
from running import DIALOGUES, Run

from pneg import read
from pneg.negatives import Context, Human, Random, add

SOURCES = ("random", "human", "context")


@pytest.mark.parametrize("name", SOURCES)
def test_the_command_writes_what_the_source_gives(pneg: Run, tmp_path: Path, name: str) -> None:
    from pneg import corpora

    given = list(corpora.read("starter:test"))[:10]
    source = {"random": Random(given, 3), "human": Human(), "context": Context(given, 3)}[name]
    expected = list(add(source, given, 4))
    ran = pneg(
        "negatives", name, "starter:test", "-o", "out.jsonl",
        "--limit", 10, "--count", 4, "--seed", 3, "--json",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert list(read("out.jsonl")) == expected
    assert ran.out.count("\n") == 1
    found = json.loads(ran.out)
    assert (found["out"], found["source"], found["dialogues"]) == ("out.jsonl", name, 10)
    assert found["counts"] == source.counts


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64, 10**30])
@pytest.mark.parametrize("command", [("negatives", "random"), ("negatives", "prompted"), ("train",)], ids=" ".join)
def test_a_seed_below_zero_or_beyond_64_bits_is_refused(pneg: Run, command: tuple[str, ...], seed: int) -> None:
    ran = pneg(*command, "starter:test", "-o", "out.jsonl", "--seed", seed)
    assert ran.status == 2
    reason = "not in the range x>=0" if seed < 0 else "too large; the largest is 9223372036854775807"
    assert ran.err.endswith(f"'--seed': {seed} is {reason}.\n")
    assert not Path("out.jsonl").exists()


def test_what_is_missing_is_reported(pneg: Run, good: Path) -> None:
    ran = pneg("negatives", "human", good, "-o", "out.jsonl")
    assert ran.out.startswith("2 dialogues -> out.jsonl\n")
    assert ran.out.endswith("too few 8, copy of a positive 1\n")


@pytest.mark.parametrize("name", ["random", "context"])
def test_responses_are_drawn_from_the_corpus_that_is_named(pneg: Run, good: Path, name: str) -> None:
    ran = pneg("negatives", name, good, "-o", "out.jsonl", "--corpus", "starter:test", "--limit", 2)
    assert ran.status == 0
    pool = {text for found in read_starter() for text in found.positives}
    for before, after in zip(DIALOGUES, read("out.jsonl"), strict=True):
        drawn = set(after.negatives[name]) - set(before.context)
        assert len(drawn) == (5 if name == "random" else 4)
        assert drawn <= pool


def read_starter():
    from pneg import corpora

    return corpora.read("starter:test")


def test_sources_are_added_in_turn_in_any_form(pneg: Run, good: Path) -> None:
    assert pneg("negatives", "random", good, "-o", "one.parquet", "--count", 1).status == 0
    assert pneg("negatives", "context", "one.parquet", "-o", "two.jsonl.gz", "--count", 1).status == 0
    assert pneg("negatives", "random", "two.jsonl.gz", "-o", "three.jsonl.gz", "--count", 2).status == 0
    [first, second] = read("three.jsonl.gz")
    assert list(first.negatives) == ["human", "random", "context"]
    assert first.negatives["human"] == DIALOGUES[0].negatives["human"]
    assert (first.negatives["random"], set(second.negatives["random"])) == (("Four.",), {"All well?", "Fine."})


@pytest.mark.parametrize("name", SOURCES)
def test_a_bad_line_stops_the_command_and_leaves_no_output(
    pneg: Run, half_bad: Path, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.iterdir())
    ran = pneg("negatives", name, half_bad, "-o", "out.jsonl")
    assert (ran.status, ran.out) == (2, "")
    assert ran.says.startswith(f"pneg: {half_bad}, line 2: ")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("words", [["human"], ["random", "--corpus", "starter:test"]], ids=" ".join)
def test_bad_lines_are_set_aside_and_counted(pneg: Run, half_bad: Path, words: list[str]) -> None:
    ran = pneg("negatives", *words, half_bad, "-o", "out.jsonl", "--count", 1, "--skip-bad", "--json")
    assert ran.status == 0, ran.err
    found = json.loads(ran.out)
    assert (found["dialogues"], found["bad_lines"]) == (2, 1)
    assert Path(found["bad_lines_file"]).read_bytes() == b"{broken\n"
    assert [dialogue.id for dialogue in read("out.jsonl")] == ["a", "b"]


@pytest.mark.parametrize("name", ["random", "bm25"])
def test_bad_lines_of_the_corpus_are_told_and_set_aside_too(pneg: Run, good: Path, half_bad: Path, name: str) -> None:
    ran = pneg("negatives", name, good, "-o", "out.jsonl", "--corpus", half_bad, "--skip-bad")
    assert ran.status == 0
    assert f"pneg: set aside: {half_bad}, line 2: " in ran.err
    assert Path("out.jsonl.corpus.bad").read_bytes() == b"{broken\n"
    ran = pneg("negatives", name, good, "-o", "other.jsonl", "--corpus", half_bad)
    assert ran.status == 2
    assert ran.says.startswith(f"pneg: {half_bad}, line 2: ")


def test_a_corpus_is_drawn_from_as_a_whole_and_without_one_no_more_of_the_input_than_is_read(pneg: Run) -> None:
    first = {text for found in list(read_starter())[:2] for text in found.positives}
    assert pneg("negatives", "random", "starter:test", "-o", "out.jsonl", "--limit", 2).status == 0
    assert {text for found in read("out.jsonl") for text in found.negatives["random"]} <= first
    words = ("--limit", 2, "--corpus", "starter:test")
    assert pneg("negatives", "random", "starter:test", "-o", "out.jsonl", "--force", *words).status == 0
    assert not {text for found in read("out.jsonl") for text in found.negatives["random"]} <= first


@pytest.mark.parametrize("name", [*SOURCES, "prompted"])
@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("out.txt", "out.txt: out.txt has an unknown ending; expected .jsonl, .jsonl.gz or .parquet"),
        ("nowhere/out.jsonl", "nowhere/out.jsonl: there is no folder nowhere; make it first"),
    ],
)
def test_an_output_that_cannot_be_is_refused(pneg: Run, good: Path, name: str, out: str, says: str) -> None:
    ran = pneg("negatives", name, good, "-o", out)
    assert (ran.status, ran.out, ran.says) == (2, "", f"pneg: {says}")


def test_a_corpus_without_human_negatives_is_refused(pneg: Run, tmp_path: Path) -> None:
    (tmp_path / "plain.jsonl").write_text('{"id":"a","context":["x"],"positives":["y"]}\n')
    ran = pneg("negatives", "human", "plain.jsonl", "-o", "out.jsonl")
    assert ran.status == 2
    assert ran.says == "pneg: plain.jsonl: no dialogue has human negatives; take a corpus that has"
    assert not (tmp_path / "out.jsonl").exists()


SERVER = ["--lm", "http://127.0.0.1:1/v1", "--model", "m"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["good.jsonl", *SERVER[:2]], "--lm needs --model NAME"),
        (
            ["good.jsonl", "--lm", "localhost:8000", "--model", "m"],
            "neither transformers nor embedded nor",
        ),
        (["good.jsonl", "--shots", "-1"], "--shots"),
        (["good.jsonl", "--temperature", "hot"], "--temperature"),
        (["nowhere.jsonl", *SERVER], "nowhere.jsonl: there is no such file"),
        (["good.jsonl", *SERVER, "--examples", "nowhere.jsonl"], "nowhere.jsonl: there is no such file"),
        (["half-bad.jsonl", *SERVER], "half-bad.jsonl, line 2: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_words_and_bad_input_are_refused_by_prompted(
    pneg: Run, half_bad: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    ran = pneg("negatives", "prompted", *words, "-o", "out.jsonl")
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", [*SOURCES, "bm25", "semi-hard", "mask-and-fill", "key-sem", "all", "prompted"])
def test_an_output_that_is_there_already_is_not_replaced(pneg: Run, good: Path, name: str) -> None:
    before = good.read_bytes()
    ran = pneg("negatives", name, "starter:test", "-o", good)
    assert ran.status == 2
    assert ran.says == (f"pneg: {good}: it is there already; choose another output, or add --force to replace it")
    assert good.read_bytes() == before
