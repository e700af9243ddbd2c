"""A training whose numbers are none is stopped with the reason, and its last good checkpoint is kept."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pneg import Selector, corpora
from pneg.cli import main
from pneg.errors import ModelError
from pneg.selector import training
from pneg.selector.calibration import calibrate
from pneg.selector.checkpoint import Checkpoint
from pneg.selector.evaluation import evaluate
from pneg.selector.recipe import Recipe, Step
from pneg.selector.training import _Run, train

STARTER = list(corpora.read("starter:test"))


@pytest.fixture
def plain(backbones: dict[str, Path]) -> Recipe:
    """Two epochs of two steps."""
    return Recipe(
        ("human",), str(backbones["bert"]), epochs=2, batch=8, max_length=48, learning_rate=1e-3, held_out=0.2,
        precision="float32",
    )  # fmt: skip


def broken(selector: Selector) -> None:
    with torch.no_grad():
        selector.model.classifier.bias.fill_(math.nan)


def test_a_learning_rate_that_is_far_too_high_stops_the_training(plain: Recipe, tmp_path: Path) -> None:
    steps: list[Step] = []
    with pytest.raises(
        ModelError, match=r"has diverged: .* of step \d of 4 (is|are) (nan|no numbers).*below 1e\+30"
    ) as caught:
        train(STARTER[:20], replace(plain, learning_rate=1e30), tmp_path / "s", report=steps.append, device="cpu")
    assert "at a learning rate of" in str(caught.value)
    assert all(math.isfinite(step.loss) for step in steps)
    assert not (tmp_path / "s" / "selector.json").exists()


def test_the_last_good_checkpoint_is_kept_and_named(
    plain: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = _Run._step

    def breaking(run: _Run, *given: object) -> torch.Tensor:
        if run.done == 2:  # behind the first epoch
            broken(run.selector)
        return step(run, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(_Run, "_step", breaking)
    with pytest.raises(
        ModelError, match=r"the loss of step 3 of 4 is nan.*the checkpoint of step 2 in .*s/checkpoint"
    ):
        train(STARTER[:20], plain, tmp_path / "s", device="cpu")
    state = torch.load(tmp_path / "s" / "checkpoint" / "state.pt", weights_only=True)
    assert state["done"] == 2
    assert all(bool(torch.isfinite(value).all()) for value in state["model"].values())
    monkeypatch.undo()
    assert len(train(STARTER[:20], plain, tmp_path / "s", device="cpu").about["validation_losses"]) == 2


@pytest.mark.parametrize("done", [1, 6])
def test_weights_that_are_no_numbers_never_become_a_checkpoint(
    done: int, plain: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, saved = _Run._step, []

    def breaking(run: _Run, *given: object) -> torch.Tensor:
        found = step(run, *given)  # type: ignore[arg-type]
        if run.done == done - 1:
            broken(run.selector)
        return found

    monkeypatch.setattr(_Run, "_step", breaking)
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(Checkpoint, "save", lambda _, state: saved.append(state["done"]))
    with pytest.raises(ModelError, match=f"the weights after step {done} of 6 are no numbers"):
        train(STARTER[:20], replace(plain, held_out=0.0), tmp_path / "s", device="cpu")
    assert saved == list(range(1, done))


def test_a_validation_loss_that_is_no_number_stops_the_training(
    plain: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Run, "_validate", lambda _: math.inf)
    with pytest.raises(ModelError, match=r"the validation loss after step 2 of 4 is inf.*nothing was kept"):
        train(STARTER[:20], plain, tmp_path / "s", device="cpu")


def test_a_teacher_whose_scores_are_no_numbers_is_named(
    plain: Recipe, backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = Selector.create(str(backbones["bert"]), max_length=48, device="cpu")
    teacher.save(tmp_path / "teacher")
    load = Selector.load

    def breaking(folder: Path, device: str) -> Selector:
        loaded = load(folder, device)
        broken(loaded)
        return loaded

    monkeypatch.setattr(Selector, "load", breaking)
    with pytest.raises(ModelError, match=r"the selector .*teacher gave scores that are no numbers \(8 of 8\)"):
        train(STARTER[:20], replace(plain, teacher=str(tmp_path / "teacher")), tmp_path / "s", device="cpu")


def test_scores_that_are_no_numbers_are_an_error_where_they_arise(backbones: dict[str, Path]) -> None:
    selector = Selector.create(str(backbones["bert"]), max_length=48, device="cpu")
    broken(selector)
    message = r"the selector .*bert gave scores that are no numbers .* train it with a lower learning rate"
    with pytest.raises(ModelError, match=message):
        selector.rank(["Hi."], ["a", "b"])
    with pytest.raises(ModelError, match=message):
        evaluate(selector, STARTER[:4], ["human"])
    with pytest.raises(ModelError, match=message):
        calibrate(selector, STARTER[:4], ["human"])


def test_a_selector_with_weights_that_are_no_numbers_is_not_loaded(
    backbones: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    selector = Selector.create(str(backbones["bert"]), max_length=48, device="cpu")
    broken(selector)
    selector.save(tmp_path / "s")
    for words in (
        ["rank", "--context", "Hi.", "--candidate", "a"],
        ["evaluate", "starter:test"],
        ["calibrate", "starter:test"],
        ["serve", "--port", "0"],
        ["export", "-o", str(tmp_path / "out")],
    ):
        assert main([words[0], str(tmp_path / "s"), *words[1:]]) != 0
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "s is broken: the tensor classifier.bias holds values that are no numbers" in err


@pytest.mark.parametrize("weight", ["human=inf", "human=nan", "human=1e400", "human=1e300", "human=-1", "human=0"])
def test_the_command_refuses_a_weight_that_is_no_number(
    weight: str, plain: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "starter:test", "--adversarial", "human", "--backbone", plain.backbone, "--weight", weight]
    assert main([*words, "--limit", "12", "-o", str(tmp_path / "s"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "the weight of human is" in err


def test_the_command_ends_with_1_and_without_json_when_a_training_diverges(
    plain: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        "starter:test",
        "--adversarial",
        "human",
        "--backbone",
        plain.backbone,
        "--learning-rate",
        "1e30",
    ]
    log = tmp_path / "log.jsonl"
    status = main([*words, "--limit", "20", "--batch", "8", "--log", str(log), "-o", str(tmp_path / "s"), "--json"])
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert "pneg: the training has diverged: " in err
    for line in log.read_text().splitlines():
        assert np.isfinite(json.loads(line, parse_constant=pytest.fail)["loss"])
