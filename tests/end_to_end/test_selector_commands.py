"""`pneg train`, `evaluate` and `rank` one after the other, as a user gives them, on a tiny backbone."""

import io
import json
import sys
from pathlib import Path

import pytest

from pneg.cli import main


@pytest.fixture(scope="module")
def selector(backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "selector"
    words = ["train", "starter:test", "--adversarial", "human", "--backbone", str(backbones["bert"])]
    assert main([*words, "--epochs", "1", "--limit", "40", "-o", str(folder)]) == 0
    return folder


def test_a_trained_selector_says_how_it_was_made(selector: Path) -> None:
    assert (selector / "model.safetensors").exists()
    settings = json.loads((selector / "selector.json").read_text())
    assert settings["about"]["contexts"] == 38
    assert settings["about"]["recipe"]["adversarial"] == ["human"]
    assert "38 contexts" in (selector / "README.md").read_text()


def test_evaluate_prints_each_set(selector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(selector), "starter:test", "--sets", "random,human", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"random", "human"}
    assert found["human"]["n"] == 300
    assert found["human"]["candidates"] == 6
    low, high = found["human"]["ci95"]
    assert low <= found["human"]["r@1"] <= high
    assert main(["evaluate", str(selector), "starter:test", "--limit", "5", "--positive", "first"]) == 0
    table = capsys.readouterr().out
    assert "R@1 hidden" in table
    assert table.count("\n") == 3


def test_rank_orders_candidates_given_as_words(selector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--context", "Are you hungry?", "--candidate", "A little.", "--candidate", "On Monday.", "--json"]
    assert main(["rank", str(selector), *words]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    assert sorted(place["index"] for place in ranking) == [0, 1]
    assert ranking[0]["score"] >= ranking[1]["score"]


def test_rank_reads_json_lines(
    selector: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [{"context": ["Hello."], "candidates": ["Hi.", "No.", "Why?"]}, {"context": ["a", "b"], "candidates": []}]

    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    give("\n".join(map(json.dumps, asked)))
    assert main(["rank", str(selector)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(answer["ranking"]) for answer in answers] == [3, 0]
    give('{"context": ["Hello."], "candidates": ["Hi."]}\n{"context": "Hello."}\n')
    assert main(["rank", str(selector)]) == 2
    assert "standard input, line 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["evaluate", "SELECTOR", "starter:test", "--sets", "bm25"], 2, "'bm25'; there are: human, random"),
        (["evaluate", "nowhere", "starter:test"], 1, "nowhere holds no selector"),
        (["rank", "SELECTOR", "--context", "Hello."], 2, "go together"),
        (["train", "starter:test", "-o", "SELECTOR"], 2, "finished selector"),
        (["train", "starter:test", "--adversarial", "tuned", "-o", "NEW"], 2, "'tuned'; there are: human, random"),
        (
            ["train", "starter:test", "--adversarial", "human", "--backbone", "./none", "-o", "NEW"],
            1,
            "no folder ./none",
        ),
    ],
)
def test_wrong_words_get_one_clear_line(
    selector: Path, tmp_path: Path, words: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"SELECTOR": str(selector), "NEW": str(tmp_path / "new")}
    assert main([places.get(word, word) for word in words]) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not (tmp_path / "new" / "selector.json").exists()
