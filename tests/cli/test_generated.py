"""`pneg negatives mask-and-fill`, `key-sem`, and both in `all`, with a tiny model of random weights."""

import json
from pathlib import Path

import pytest
from running import Run

from pneg import Dialogue, corpora, read, write
from pneg.corpora.starter import KINDS
from pneg.dialogue import normalised

pytest.importorskip("rake_nltk", reason="the sources need pneg[generated]")

WRITTEN = ("mask-and-fill", "key-sem")
FEW = ("--limit", 8, "--count", 3, "--fit-examples", 40)


@pytest.fixture
def words(llama: Path) -> tuple[object, ...]:
    """The options that make a job small."""
    return (*FEW, "--model", llama)


def starter(limit: int = 8) -> list[Dialogue]:
    return list(corpora.read("starter:test"))[:limit]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_model_is_fitted_once_and_its_responses_are_added(
    pneg: Run, words: tuple[object, ...], home: Path, name: str
) -> None:
    first = pneg("negatives", name, "starter:test", "-o", "one.jsonl", *words, "--json")
    assert first.status == 0, first.err
    assert "steps; it is kept in the cache for the next time" in first.err
    found = json.loads(first.out)
    assert (found["source"], found["dialogues"], found["resumed"]) == (name, 8, 0)
    assert (home / found["model"] / "fit.json").is_file()
    for given, dialogue in zip(starter(), read("one.jsonl"), strict=True):
        assert (dialogue.id, dialogue.context, dialogue.positives) == (given.id, given.context, given.positives)
        assert dialogue.negatives["human"] == given.negatives["human"]
        compared = [normalised(text) for text in dialogue.negatives[name]]
        assert len(set(compared)) == len(compared) <= 3
        assert not set(compared) & {normalised(text) for text in given.positives}
    missing = found["counts"].get("too few", 0)
    assert sum(len(dialogue.negatives[name]) for dialogue in read("one.jsonl")) == 8 * 3 - missing

    again = pneg("negatives", name, "starter:test", "-o", "two.jsonl", *words)
    assert "fitting" not in again.err
    assert list(read("two.jsonl")) == list(read("one.jsonl"))
    for more in (("--fit",), ("--learning-rate", 0.01)):
        other = pneg("negatives", name, "starter:test", "-o", "three.jsonl", *words, "--force", *more)
        assert other.status == 0 and "fitting" in other.err


def test_another_model_may_refuse_unlikely_texts(pneg: Run, words: tuple[object, ...]) -> None:
    command = ("negatives", "mask-and-fill", "starter:test", "-o", "out.jsonl", *words)
    ran = pneg(*command, "--scorer", "./nowhere")
    assert ran.status == 1 and "there is no folder ./nowhere" in ran.err
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize("name", WRITTEN)
def test_a_job_that_was_stopped_goes_on_and_gives_the_same(
    pneg: Run, words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from pneg.negatives.written import Device

    monkeypatch.setattr(Device, "ahead", 2)
    assert pneg("negatives", name, "starter:test", "-o", "whole.jsonl", *words).status == 0
    journal_bar = "pneg.cli.options.bar"

    def stopped(items, *_):
        for number, item in enumerate(items):
            if number == 5:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patched:
        patched.setattr(journal_bar, stopped)
        ran = pneg("negatives", name, "starter:test", "-o", "out.jsonl", *words)
    assert ran.status == 1
    assert "dialogues are kept in out.jsonl.unfinished, give the same command to go on" in ran.err
    assert not (tmp_path / "out.jsonl").exists()

    others = [("--seed", 1), ("--count", 2)] + ([("--samples", 2), ("--versions", 4)] if name == WRITTEN[0] else [])
    for other in others:
        ran = pneg("negatives", name, "starter:test", "-o", "out.jsonl", *words, *other)
        assert ran.status == 2 and "a job with other settings was stopped here" in ran.says
    ran = pneg("negatives", name, "starter:test", "-o", "out.jsonl", *words, "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["resumed"] >= 5
    assert list(read("out.jsonl")) == list(read("whole.jsonl"))


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize(
    ("given", "more", "status", "says"),
    [
        ("nowhere.jsonl", (), 2, "nowhere.jsonl: there is no such file"),
        ("half-bad.jsonl", (), 2, "half-bad.jsonl, line 2: "),
        ("good.jsonl", ("--corpus", "nowhere.jsonl"), 2, "nowhere.jsonl: there is no such file"),
        ("good.jsonl", ("--model", "./nowhere"), 1, "there is no folder ./nowhere"),
        ("good.jsonl", ("-o", "good.jsonl"), 2, "IN and --out are the same file"),
        ("good.jsonl", ("--fit-examples", "1"), 2, "1 examples to fit a model to; expected two at least"),
        ("alone.jsonl", (), 2, "the corpus has no other context to write to"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused_and_leaves_no_output(
    pneg: Run, llama: Path, half_bad: Path, name: str, given: str, more: tuple[str, ...], status: int, says: str
) -> None:
    write("alone.jsonl", [Dialogue("a", ("Where is it?",), ("On the old lake.", "By the river, I think."))])
    before = Path("good.jsonl").read_bytes()
    ran = pneg("negatives", name, given, "-o", "out.jsonl", "--model", llama, *more)
    assert (ran.status, ran.out) == (status, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert not Path("out.jsonl").exists()
    assert Path("good.jsonl").read_bytes() == before


def test_all_fits_and_writes_too_says_so_first_and_may_be_told_not_to(pneg: Run, words: tuple[object, ...]) -> None:
    told = "mask-and-fill and key-sem fit a language model to the corpus first"
    ran = pneg("negatives", "all", "starter:test", "-o", "out.jsonl", *words, "--without", "semi-hard,bm25", "--json")
    assert ran.status == 0, ran.err
    assert told in ran.err and "fitting the infilling model" in ran.err and "fitting the keyword model" in ran.err
    names = ["human", "random", "context", *WRITTEN]
    assert [part["source"] for part in json.loads(ran.out)["sources"]] == names
    for name in WRITTEN:
        assert pneg("negatives", name, "starter:test", "-o", f"{name}.jsonl", *words).status == 0
        alone = [dialogue.negatives[name] for dialogue in read(f"{name}.jsonl")]
        assert [dialogue.negatives[name] for dialogue in read("out.jsonl")] == alone
    ran = pneg(
        "negatives",
        "all",
        "starter:test",
        "-o",
        "two.jsonl",
        *words,
        "--only",
        "random,key-sem",
        "--without",
        "key-sem",
    )
    assert told not in ran.err
    assert list(next(iter(read("two.jsonl"))).negatives) == ["human", "random", *KINDS]
    ran = pneg("negatives", "all", "starter:test", "-o", "three.jsonl", "--only", "random", "--without", "random")
    assert ran.status == 2 and "--without leaves no source" in ran.err
