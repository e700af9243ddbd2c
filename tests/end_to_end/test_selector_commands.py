"""`pneg train`, `evaluate` and `rank` one after the other, as a user gives them, on a tiny backbone."""

import gzip
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import huggingface_hub
import pytest

from pneg import Selector, devices
from pneg.cli import main
from pneg.cli.train import train
from pneg.selector import settings, training
from pneg.selector.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def selector(one_thread: None, backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    words = ["evaluate", str(selector), "starter:test", "--no-encoder"]
    assert main([*words, "--sets", "random,human", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"random", "human"}
    assert found["human"]["n"] == 300
    assert found["human"]["candidates"] == 6
    assert found["human"]["chance"] == pytest.approx(1 / 6)
    low, high = found["human"]["ci95"]
    assert low <= found["human"]["r@1"] <= high
    low, high = found["human"]["difference"]["ci95"]
    assert low <= found["human"]["r@1"] - found["human"]["hidden"]["r@1"] <= high
    assert sum(each["worst"] for each in found.values()) == 1
    assert main([*words, "--limit", "5", "--positive", "first", "--sets", "random,human"]) == 0
    printed = capsys.readouterr()
    recall, mrr = printed.out.split("\n\n")
    assert recall.splitlines()[1].split()[:4] == ["set", "R@1", "95%", "hidden"]
    assert [line.split()[0] for line in recall.splitlines()[2:]] == ["random", "human"]
    assert recall.count("<- worst") == 1
    assert mrr.splitlines()[1].split()[:3] == ["set", "MRR", "hidden"]
    assert printed.err == ""


def test_evaluate_profiles_every_set_of_a_file(
    selector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "attacked.jsonl"
    assert main(["attack", "starter:test", "-o", str(file), "--rules", "copied-turn,negated", "--limit", "20"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(selector), str(file), "--no-encoder", "--json"]) == 0
    assert {"random", "human", "copied-turn"} <= set(json.loads(capsys.readouterr().out))


def test_an_encoder_that_cannot_be_loaded_is_one_note(selector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(selector), "starter:test", "--limit", "2", "--sets", "human", "--json"]
    assert main([*words, "--encoder", "./nowhere"]) == 0
    said = capsys.readouterr()
    assert "untrained" not in json.loads(said.out)["human"]
    assert said.err.count("pneg: note: the untrained encoder is left out") == 1
    assert "there is no folder ./nowhere" in said.err


def test_options_of_evaluate_reach_it(
    selector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    score, read = Selector.score, []

    def watched(self: Selector, pairs: Any, *, precision: str = "float32", whole: bool = False) -> Any:
        read.append(precision)
        return score(self, pairs, precision=precision, whole=whole)

    monkeypatch.setattr(Selector, "score", watched)
    words = ["evaluate", str(selector), "starter:test", "--limit", "5", "--sets", "human", "--json", "--no-encoder"]
    for more, n in (["--positive", "first"], 5), (["--precision", "bfloat16"], 15):
        read.clear()
        assert main([*words, *more]) == 0
        assert json.loads(capsys.readouterr().out)["human"]["n"] == n
        assert set(read) == {"bfloat16" if "bfloat16" in more else "float32"}
    monkeypatch.chdir(tmp_path)
    half_bad = tmp_path / "test.jsonl"
    good = {"id": "1", "context": ["a"], "positives": ["b"], "negatives": {"human": ["c"]}}
    half_bad.write_text("{broken\n" + json.dumps(good) + "\n")
    assert main(["evaluate", str(selector), str(half_bad), "--sets", "human", "--skip-bad", "--no-encoder"]) == 0
    assert "bad lines: 1, set aside in test.jsonl.bad" in capsys.readouterr().out


@pytest.mark.parametrize(("fast", "said"), [("float32", True), ("bfloat16", False)])
def test_bfloat16_is_advised_against_where_it_is_slow(
    fast: str, said: bool, selector: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "best_precision", lambda _: fast)
    words = [
        "evaluate",
        str(selector),
        "starter:test",
        "--limit",
        "2",
        "--sets",
        "human",
        "--no-encoder",
        "--precision",
    ]
    assert main([*words, "bfloat16"]) == 0
    assert ("no fast bfloat16; float32 takes less time" in capsys.readouterr().err) is said
    assert main([*words, "float32"]) == 0
    assert "bfloat16" not in capsys.readouterr().err


def test_rank_orders_candidates_given_as_words(selector: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--context", "Are you hungry?", "--candidate", "A little.", "--candidate", "On Monday.", "--json"]
    assert main(["rank", str(selector), *words]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    assert sorted(place["index"] for place in ranking) == [0, 1]
    assert ranking[0]["score"] >= ranking[1]["score"]


def test_a_persona_is_read_alike_on_the_command_line_and_in_a_line(
    selector: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(words: list[str]) -> float:
        assert main(["rank", str(selector), *words]) == 0
        return json.loads(capsys.readouterr().out)["ranking"][0]["score"]

    words = ["--context", "Are you hungry?", "--candidate", "A little.", "--json"]
    line = b'{"context": ["Are you hungry?"], "candidates": ["A little."], "persona": ["I bake.", "I run."]}'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    with_persona = score([*words, "--persona", "I bake.", "--persona", "I run."])
    assert score([]) == pytest.approx(with_persona, abs=1e-5)
    assert abs(score(words) - with_persona) > 1e-5
    assert main(["rank", str(selector), "--persona", "I bake."]) == 2
    assert "--persona goes with --context" in capsys.readouterr().err


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


def test_options_of_a_training_reach_it_and_its_log_has_a_line_a_step(
    backbones: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, log = tmp_path / "train.jsonl", tmp_path / "log.jsonl"
    lines = [json.dumps({"id": str(n), "context": [f"turn {n}"], "positives": [f"yes {n}"],
                         "negatives": {"human": [f"no {n}"]}}) for n in range(12)]  # fmt: skip
    data.write_text("\n".join(["{broken", *lines]) + "\n")
    asked = f"--skip-bad --adversarial human,,human --backbone {backbones['bert']} --epochs 2 --batch 4 "
    asked += f"--learning-rate 1e-9 --weight human=0.5 --smoothing 0.1 --validation starter:test --log {log}"
    words = ["train", str(data), *asked.split()]
    assert main([*words, "-o", str(tmp_path / "s")]) == 0
    said = capsys.readouterr()
    assert f"trained on 12 contexts -> {tmp_path / 's'}\nvalidation losses by epoch: " in said.out
    assert "48 adversarial negatives are missing, random ones were taken in their place" in said.out
    assert f"bad lines: 1, set aside in {tmp_path / 's.bad'}" in said.out
    assert "warning: the scores of a context's candidates differ by" in said.err
    about = json.loads((tmp_path / "s" / "selector.json").read_text())["about"]
    assert (about["contexts"], about["validation_contexts"]) == (12, 100)
    found = {name: about["recipe"][name] for name in ("adversarial", "weights", "smoothing", "learning_rate")}
    assert found == {"adversarial": ["human"], "weights": {"human": 0.5}, "smoothing": 0.1, "learning_rate": 1e-9}
    assert main([*words, "--json", "-o", str(tmp_path / "t")]) == 0
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    assert [step["number"] for step in steps] == [1, 2, 3, 4, 5, 6] * 2  # the second run's behind the first's
    assert [("validation" in step, "warning" in step) for step in steps[:3]] == [(False, False)] * 2 + [(True, True)]
    assert [step["validation"] for step in steps if "validation" in step][:2] == about["validation_losses"]
    assert set(steps[0]) == {"time", "number", "of", "loss", "spread", "learning_rate"}
    assert json.loads(capsys.readouterr().out)["validation_losses"] == about["validation_losses"]


def test_a_finished_selector_is_sent_and_stays_where_it_is_if_that_fails(
    backbones: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "starter:test", "--adversarial", "human", "--backbone", str(backbones["bert"]), "--epochs", "1"]
    words += ["--limit", "16", "--push", "me/selector"]
    sent: list[str] = []
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda name, **_: f"https://hub/{name}")
    monkeypatch.setattr(huggingface_hub, "upload_folder", lambda **asked: sent.append(asked["repo_id"]))
    assert main([*words, "-o", str(tmp_path / "s")]) == 0
    assert "sent to https://hub/me/selector" in capsys.readouterr().out
    assert sent == ["me/selector"]

    def refuse(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "create_repo", refuse)
    assert main([*words, "-o", str(tmp_path / "t")]) == 1
    assert f"`hf upload me/selector {tmp_path / 't'}` sends it" in capsys.readouterr().err
    assert (tmp_path / "t" / "selector.json").exists()


def test_what_is_not_said_is_the_recipes_default() -> None:
    said = {option.name: option.default for option in train.params if isinstance(option, click.Option)}
    recipe = {name: value for name, value in asdict(Recipe(adversarial=())).items() if value or value == 0.0}
    assert {name: said[name] for name in recipe if name in said} == {n: v for n, v in recipe.items() if n in said}
    assert len(recipe.keys() & said.keys()) == 11
    assert said["adversarial"] == ",".join(Recipe().adversarial)


def test_a_training_that_was_stopped_says_how_it_goes_on(backbones: dict[str, Path], tmp_path: Path) -> None:
    code = "import sys; from pneg.cli import main; sys.exit(main())"
    words = ["train", "starter:test", "--adversarial", "human", "--backbone", str(backbones["bert"]), "--batch", "2"]
    command = [sys.executable, "-c", code, *words, "--log", str(tmp_path / "log"), "-o", str(tmp_path / "s")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=100)
    assert running.returncode == 1
    assert said.endswith(f"the checkpoint is in {tmp_path / 's' / 'checkpoint'}, give the same command to go on\n")
    assert said.count("Traceback") == 0


def test_a_training_that_was_stopped_before_its_first_step_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stopped)
    assert main(["train", "starter:test", "-o", str(tmp_path / "s")]) == 1
    assert "stopped; nothing was trained yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (
            ["evaluate", "SELECTOR", "starter:test", "--sets", "bm25"],
            2,
            "'bm25'; there are: human, human-a",
        ),
        (["evaluate", "nowhere", "starter:test"], 1, "nowhere holds no selector"),
        (["evaluate", "SELECTOR", "starter:test", "--sets", " , "], 2, "' , ' names nothing"),
        (["train", "starter:test", "--learning-rate", "nan", "-o", "NEW"], 2, "'nan' is not a finite number"),
        (["train", "starter:test", "--weight", "human", "-o", "NEW"], 2, "expected SOURCE=X, such as human=0.5"),
        (["train", "starter:test", "--push", "no/such/name", "-o", "NEW"], 2, "is no name of a repository"),
        (["rank", "SELECTOR", "FILE", "--context", "a", "--candidate", "b"], 2, "give either a file or --context"),
        (["rank", "SELECTOR", "FILE", "-o", "NEW/out.jsonl"], 2, "make it first"),
        (["rank", "SELECTOR", "--context", "Hello."], 2, "go together"),
        (["train", "starter:test", "-o", "SELECTOR"], 2, "finished selector"),
        (
            ["train", "starter:test", "--adversarial", "tuned", "-o", "NEW"],
            2,
            "'tuned'; there are: human, human-a",
        ),
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
    places = {
        "SELECTOR": str(selector),
        "NEW": str(tmp_path / "new"),
        "NEW/out.jsonl": str(tmp_path / "new" / "out.jsonl"),
    }
    assert main([places.get(word, word) for word in words]) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert not (tmp_path / "new" / "selector.json").exists()


@pytest.fixture(scope="module")
def exported(selector: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "exported"
    assert main(["calibrate", str(selector), "starter:test", "--limit", "20"]) == 0
    assert main(["export", str(selector), "--test", "starter:test", "--limit", "10", "-o", str(folder)]) == 0
    return folder


def test_an_export_says_what_it_costs_and_buys(exported: Path) -> None:
    found = json.loads((exported / "selector.json").read_text())
    export = found["export"]
    assert export["precision"] == "int8"
    assert list(export["pairs_per_second"]) == ["torch float32", "onnx float32", "onnx int8"]
    assert export["questions"] == 10
    assert 0 < export["score_difference"]["mean"] <= export["score_difference"]["largest"] < 0.5
    assert set(export["sets"]) == {"random", "human"}
    assert export["sets"]["human"]["onnx int8"]["n"] == 30
    card = (exported / "README.md").read_text()
    assert "| pairs/s, onnx int8 |" in card
    assert "| precision | int8 |" in card
    assert "| 8-bit ranges from | starter:demonstrations |" in card
    assert "a cross-encoder, higher fits better" in card


def test_an_export_in_float32_rounds_nothing_and_measures_no_sets_unless_asked(
    selector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(selector), "--limit", "4", "-o", str(tmp_path / "out")]
    assert main([*words, "--no-int8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["precision"], found["sets"], found["questions"]) == ("float32", {}, 4)
    assert list(found["pairs_per_second"]) == ["torch float32", "onnx float32"]
    assert "8-bit" not in (tmp_path / "out" / "README.md").read_text()
    alone = tmp_path / "alone.jsonl"
    alone.write_text('{"id": "1", "context": ["a"], "positives": ["b"]}\n')
    assert main([*words, "--ranges", str(alone)]) == 2
    assert "it is there already; choose another output, or add --force to replace it" in capsys.readouterr().err
    assert main([*words, "--ranges", str(alone), "--force"]) == 2
    assert f"{alone}: no dialogue has two candidates; 8-bit ranges are taken from them" in capsys.readouterr().err
    assert settings.read(tmp_path / "out").export["precision"] == "float32"  # the one before is left


def test_a_calibrated_selector_and_its_export_give_probabilities(
    selector: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = json.loads((selector / "selector.json").read_text())["calibration"]
    assert (calibration["n"], calibration["file"]) == (2 * 60, "starter:test")
    assert json.loads((exported / "selector.json").read_text())["calibration"] == calibration
    words = ["--context", "Are you hungry?", "--candidate", "A little.", "--candidate", "On Monday.", "--json"]
    for folder in (selector, exported):
        assert main(["rank", str(folder), *words]) == 0
        ranking = json.loads(capsys.readouterr().out)["ranking"]
        assert sum(place["probability"] for place in ranking) == pytest.approx(1)
        assert main(["rank", str(folder), *words[:-1]]) == 0
        first = capsys.readouterr().out.splitlines()[0].split(maxsplit=2)
        assert first == [f"{ranking[0]['score']:.3f}", f"{ranking[0]['probability']:.1%}", ranking[0]["candidate"]]


def test_an_export_is_evaluated_and_calibrated_like_any_selector(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(exported), "starter:test", "--limit", "5", "--sets", "human", "--no-encoder", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["human"]["n"] == 15
    assert main(["calibrate", str(exported), "starter:test", "--limit", "5", "--sets", "human", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 15


QUESTIONS = [{"context": ["Hello.", f"Number {n}?"], "candidates": [str(n), "No."]} for n in range(600)]


def test_a_file_of_questions_is_answered_in_order(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, out = tmp_path / "asked.jsonl", tmp_path / "out.jsonl"
    asked.write_text("\n".join(map(json.dumps, QUESTIONS)) + "\n\n")
    assert main(["rank", str(exported), str(asked), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["questions"] == 600
    answers = [json.loads(line)["ranking"] for line in out.read_text().splitlines()]
    assert [sorted(place["candidate"] for place in answer) for answer in answers] == [
        sorted(question["candidates"]) for question in QUESTIONS
    ]
    assert main(["rank", str(exported), str(asked), "-o", f"{out}.gz"]) == 0
    with gzip.open(f"{out}.gz", "rt") as packed:
        assert [json.loads(line)["ranking"] for line in packed] == answers
    asked.write_text(asked.read_text() + '{"context": [], "candidates": []}\n')
    assert main(["rank", str(exported), str(asked), "-o", str(tmp_path / "none.jsonl")]) == 2
    assert f"{asked}, line 602: the context is empty" in capsys.readouterr().err
    assert not (tmp_path / "none.jsonl").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"context": ["a"], "candidates": ["b"], "x": ' + "[" * 100_000,
            "inside each other, deeper than can be read",
        ),
        ('{"context": ["\\ud800"], "candidates": ["b"]}', "surrogate"),
    ],
    ids=["deep", "surrogate"],
)
def test_a_question_that_cannot_be_read_is_named(
    exported: Path, tmp_path: Path, line: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text(f"{json.dumps(QUESTIONS[0])}\n{line}\n")
    assert main(["rank", str(exported), str(asked)]) == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert said.err.startswith(f"pneg: {asked}, line 2: ") and said.err.count("\n") == 1
    assert says in said.err


def test_a_stream_is_answered_as_it_comes_and_up_to_a_bad_line(exported: Path) -> None:
    code = "import sys; from pneg.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "rank", str(exported)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
        assert asked.stdin and asked.stdout and asked.stderr
        for question in QUESTIONS[:2]:
            asked.stdin.write(json.dumps(question).encode() + b"\n")
            asked.stdin.flush()
            assert len(json.loads(asked.stdout.readline())["ranking"]) == 2
        rest = [json.dumps(question).encode() for question in QUESTIONS[2:5]]
        out, err = asked.communicate(b"\n".join([*rest, b"{broken", *rest]))
    assert asked.returncode == 2
    assert len(out.splitlines()) == 3
    assert b"standard input, line 6: " in err
    assert err.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["export", "nowhere", "-o", "NEW"], 1, "nowhere holds no selector"),
        (["export", "SELECTOR", "-o", "SELECTOR"], 2, "SELECTOR and --out are the same file"),
        (["export", "EXPORTED", "-o", "SELECTOR", "--force"], 2, "holds a selector that is no export"),
        (["export", "EXPORTED", "-o", "NEW"], 1, "holds an exported selector"),
        (
            ["calibrate", "SELECTOR", "starter:test", "--sets", "bm25"],
            2,
            "'bm25'; there are: human, human-a",
        ),
        (["rank", "SELECTOR", "nowhere.jsonl"], 2, "there is no such file"),
        (["rank", "SELECTOR", "-o", "NEW.jsonl"], 2, "--out is for the answers to a file"),
        (["rank", "SELECTOR", "FILE", "-o", "NEW.parquet"], 2, "unknown ending; expected .jsonl or .jsonl.gz"),
        (["rank", "SELECTOR", "NEW.jsonl", "-o", "NEW.jsonl"], 2, "FILE and --out are the same file"),
    ],
)
def test_wrong_words_of_ranking_get_one_clear_line(
    selector: Path,
    exported: Path,
    tmp_path: Path,
    words: list[str],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"SELECTOR": str(selector), "EXPORTED": str(exported)}
    places |= {f"NEW{ending}": str(tmp_path / f"new{ending}") for ending in ("", ".jsonl", ".parquet")}
    assert main([places.get(word, word) for word in words]) == status
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []
