"""`pneg negatives bm25`, `semi-hard` and `all`."""

import json
from pathlib import Path

import pytest
from running import Run

from pneg import Dialogue, corpora, models, read, write
from pneg.corpora.starter import KINDS
from pneg.negatives import BM25, Context, Human, Random, SemiHard, add
from pneg.negatives.embeddings import Embeddings

LIMITED = ("--limit", 8, "--count", 3)
UNFITTED = ("--without", "mask-and-fill,key-sem")


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch, backbones: dict[str, Path]) -> Path:
    """A tiny encoder, under the name of the default one too."""
    pytest.importorskip("sentence_transformers")
    local = models.local_folder
    monkeypatch.setattr(
        models, "local_folder", lambda name: backbones["bert"] if name == "minilm-l6" else local(name)
    )
    return backbones["bert"]


def starter(limit: int = 8) -> list[Dialogue]:
    return list(corpora.read("starter:test"))[:limit]


def test_bm25_writes_what_the_source_gives_and_keeps_its_index(pneg: Run, tmp_path: Path) -> None:
    source = BM25(starter())
    expected = list(add(source, starter(), 3))
    for _ in range(2):
        ran = pneg(
            "negatives", "bm25", "starter:test", "-o", "o.jsonl", "--force", *LIMITED, "--index", "index", "--json"
        )
        assert ran.status == 0, ran.err
        assert list(read("o.jsonl")) == expected
        assert json.loads(ran.out)["counts"] == source.counts
    assert (tmp_path / "index").is_dir()
    ran = pneg("negatives", "bm25", "starter:test", "-o", "p.jsonl", "--limit", 7, "--index", "index")
    assert ran.status == 2
    assert "index: it holds the index of other responses" in ran.says


def test_another_corpus_may_be_searched(pneg: Run, good: Path, encoder: Path) -> None:
    pool = {text for dialogue in corpora.read("starter:test") for text in dialogue.positives}
    for name in ("bm25", "semi-hard"):
        ran = pneg("negatives", name, good, "-o", "out.jsonl", "--force", "--corpus", "starter:test")
        assert ran.status == 0, ran.err
        assert {text for dialogue in read("out.jsonl") for text in dialogue.negatives[name]} <= pool


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ([], {}),
        (["--margin", 0.001], {"margin": 0.001}),
        (["--relative-margin", 0.05], {"relative_margin": 0.05}),
        (["--positive", "all"], {"positive": "all"}),
    ],
)
def test_semi_hard_writes_what_the_source_gives(
    pneg: Run, encoder: Path, words: list[object], arguments: dict
) -> None:
    embeddings = Embeddings(str(encoder), precision="float32")
    expected = list(add(SemiHard(starter(), embeddings=embeddings, **arguments), starter(), 3))
    ran = pneg(
        "negatives", "semi-hard", "starter:test", "-o", "out.jsonl",
        *LIMITED, "--encoder", encoder, "--precision", "float32", *words,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert list(read("out.jsonl")) == expected


def test_an_encoder_that_is_not_there_is_refused(pneg: Run, good: Path) -> None:
    ran = pneg("negatives", "semi-hard", good, "-o", "out.jsonl", "--encoder", "./nowhere")
    assert (ran.status, ran.out) == (1, "")
    assert "there is no folder ./nowhere" in ran.says


def test_all_adds_every_source_that_the_corpus_allows(pneg: Run, encoder: Path, tmp_path: Path) -> None:
    expected = iter(starter())
    for source in (Human(), Random(starter(), 2), Context(starter(), 2), BM25(starter()), SemiHard(starter())):
        expected = add(source, expected, 3)
    ran = pneg("negatives", "all", "starter:test", "-o", "out.jsonl", *LIMITED, "--seed", 2, *UNFITTED, "--json")
    assert ran.status == 0, ran.err
    assert list(read("out.jsonl")) == list(expected)
    found = json.loads(ran.out)
    assert [part["source"] for part in found["sources"]] == ["human", "random", "context", "bm25", "semi-hard"]
    assert not (tmp_path / "out.jsonl.parts").exists()


def test_all_leaves_out_human_where_there_is_none_and_takes_only_what_is_named(pneg: Run, encoder: Path) -> None:
    write("plain.jsonl", [Dialogue(d.id, d.context, d.positives) for d in starter()])
    assert pneg("negatives", "all", "plain.jsonl", "-o", "out.jsonl", *UNFITTED).status == 0
    assert list(next(iter(read("out.jsonl"))).negatives) == ["random", "context", "bm25", "semi-hard"]
    assert pneg("negatives", "all", "plain.jsonl", "-o", "two.jsonl", "--only", "bm25, random").status == 0
    assert list(next(iter(read("two.jsonl"))).negatives) == ["bm25", "random"]
    ran = pneg("negatives", "all", "plain.jsonl", "-o", "three.jsonl", "--only", "bm52")
    assert ran.status == 2
    assert "bm52: there is no such source; there are human, random" in ran.err
    ran = pneg("negatives", "all", "plain.jsonl", "-o", "two.jsonl", "--only", "bm25")
    assert (ran.status, ran.says) == (
        2, "pneg: two.jsonl: it is there already; choose another output, or add --force to replace it",
    )  # fmt: skip


def test_all_that_was_stopped_does_only_what_is_left(
    pneg: Run, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("negatives", "all", "starter:test", "-o", "out.jsonl", "--only", "random,bm25", *LIMITED)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(BM25, "propose", stopped)
        ran = pneg(*words)
    assert ran.status == 1
    assert "what was done is kept in out.jsonl.parts, give the same command to go on" in ran.err
    assert not (tmp_path / "out.jsonl").exists()

    for other in (("--corpus", good), ("--count", 4)):
        ran = pneg(*words, *other)
        assert ran.status == 2 and "a job with other settings was stopped here" in ran.says
    monkeypatch.setattr(Random, "propose", stopped)
    ran = pneg(*words)
    assert ran.status == 0, ran.err
    assert "random: 8 dialogues, done before" in ran.err
    assert list(next(iter(read("out.jsonl"))).negatives) == ["human", "random", *KINDS, "bm25"]
