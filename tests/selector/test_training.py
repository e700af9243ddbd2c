import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pneg import Dialogue, Selector, corpora
from pneg.errors import DataError
from pneg.selector.dropout import FastDropout, Masks
from pneg.selector.evaluation import evaluate
from pneg.selector.losses import group_softmax
from pneg.selector.training import Recipe, Step, train

STARTER = list(corpora.read("starter:test"))


def recipe(backbone: Path, **changes: object) -> Recipe:
    plain = Recipe(
        adversarial=("human",), backbone=str(backbone), epochs=2, batch=8, learning_rate=1e-3, held_out=0.2
    )
    return replace(plain, **changes)


def weights(selector: Selector) -> np.ndarray:
    return torch.cat([value.flatten().float() for value in selector.model.state_dict().values()]).numpy()


def test_group_softmax_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    first = np.log(np.e + 2) - 1
    second = np.log(1 + np.e**2 + np.e)
    assert group_softmax(scores).item() == pytest.approx((first + second) / 2)


def test_every_architecture_trains_saves_loads_and_ranks_the_same(backbone: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    made = train(STARTER[:32], recipe(backbone), tmp_path / "s", report=lambda step: losses.append(step.loss))
    assert len(losses) == 2 * 4  # 26 contexts in batches of 8, twice
    assert all(np.isfinite(losses))
    loaded = Selector.load(tmp_path / "s")
    candidates = [*STARTER[40].positives, *STARTER[40].negatives["human"]]
    assert loaded.rank(STARTER[40].context, candidates) == made.rank(STARTER[40].context, candidates)
    assert loaded.about["recipe"]["backbone"] == str(backbone)
    assert not (tmp_path / "s" / "checkpoint").exists()


def test_it_learns_what_there_is_to_learn(tmp_path: Path) -> None:
    """A real encoder; the answer names the animal of the context, an adversarial negative names another."""
    animals = ["dog", "cat", "horse", "bird", "fish", "mouse"]
    made = [
        Dialogue(
            str(n),
            (f"the {animals[n % 6]} was here on day {n}",),
            (f"yes the {animals[n % 6]}",),
            {
                "human": tuple(f"yes the {other}" for other in animals if other != animals[n % 6]),
                "random": tuple(f"it is {m} o'clock" for m in range(n % 3, n % 3 + 5)),
            },
        )
        for n in range(120)
    ]
    chosen = Recipe(adversarial=("human",), epochs=3, learning_rate=3e-4, batch=6, held_out=0.1)
    selector = train(made[:96], chosen, tmp_path / "s")
    [score] = evaluate(selector, made[96:], ["human"]).values()
    assert score.recall_at_1 > 0.9
    assert score.hidden_recall_at_1 < 0.5
    losses = selector.about["validation_losses"]
    assert losses[-1] < losses[0]


def test_a_stopped_training_goes_on_and_ends_as_an_unbroken_one(backbones: dict[str, Path], tmp_path: Path) -> None:
    chosen = recipe(backbones["bert"], epochs=3)
    unbroken: list[Step] = []
    whole = train(STARTER[:40], chosen, tmp_path / "whole", report=unbroken.append)

    def interrupt_after(number: int, seen: list[Step]):
        def report(step: Step) -> None:
            seen.append(step)
            if step.number == number:
                os.kill(os.getpid(), signal.SIGINT)

        return report

    steps: list[Step] = []
    for number in (3, 7, 10):  # in the first epoch, in the second, in the third
        with pytest.raises(KeyboardInterrupt):
            train(STARTER[:40], chosen, tmp_path / "broken", report=interrupt_after(number, steps))
        assert (tmp_path / "broken" / "checkpoint" / "state.pt").exists()
        assert not (tmp_path / "broken" / "selector.json").exists()
    broken = train(STARTER[:40], chosen, tmp_path / "broken", report=steps.append)
    assert [(step.number, step.loss, step.validation) for step in steps] == [
        (step.number, step.loss, step.validation) for step in unbroken
    ]
    assert np.array_equal(weights(whole), weights(broken))


def test_the_weights_of_the_best_validation_loss_are_kept(backbones: dict[str, Path], tmp_path: Path) -> None:
    # a learning rate so high that the model gets worse with every epoch
    chosen = recipe(backbones["bert"], epochs=4, learning_rate=0.3, warmup=0.0)
    selector = train(STARTER[:40], chosen, tmp_path / "s")
    losses = selector.about["validation_losses"]
    assert selector.about["best_epoch"] == int(np.argmin(losses)) + 1
    assert selector.about["validation_contexts"] == 8
    one = train(STARTER[:40], replace(chosen, epochs=4), tmp_path / "again", validation=None)
    assert one.about["validation_losses"] == losses


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    made = [
        weights(train(STARTER[:24], recipe(backbones["bert"], seed=seed, epochs=1), tmp_path / f"{n}"))
        for n, seed in enumerate((1, 1, 2))
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_how_pairs_are_bucketed_does_not_change_the_loss(backbones: dict[str, Path], tmp_path: Path) -> None:
    losses = []
    for tokens in (256, 100_000):
        seen: list[float] = []
        without_dropout = _without_dropout(backbones["bert"], tmp_path / f"b{tokens}")
        chosen = recipe(without_dropout, bucket_tokens=tokens, epochs=1, precision="float32")
        train(STARTER[:24], chosen, tmp_path / f"s{tokens}", report=lambda step, seen=seen: seen.append(step.loss))
        losses.append(seen)
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def _without_dropout(backbone: Path, copy: Path) -> Path:
    copy.mkdir()
    for file in backbone.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0}))
    return copy


def test_a_checkpoint_of_other_settings_or_data_is_refused(backbones: dict[str, Path], tmp_path: Path) -> None:
    def stop(_: Step) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s", report=stop)
    with pytest.raises(DataError, match="another recipe"):
        train(STARTER[:24], recipe(backbones["bert"], learning_rate=1e-4), tmp_path / "s")
    with pytest.raises(DataError, match="another data"):
        train(STARTER[:25], recipe(backbones["bert"]), tmp_path / "s")


def test_a_finished_selector_is_not_overwritten(backbones: dict[str, Path], tmp_path: Path) -> None:
    train(STARTER[:24], recipe(backbones["bert"], epochs=1), tmp_path / "s")
    with pytest.raises(DataError, match="finished selector"):
        train(STARTER[:24], recipe(backbones["bert"], epochs=1), tmp_path / "s")


def test_fast_dropout_drops_its_share_and_keeps_the_mean() -> None:
    layer = FastDropout(0.1, Masks())
    out = layer(torch.ones(1000, 1000))
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=0.002)
    assert out.mean().item() == pytest.approx(1.0, abs=0.002)
    assert torch.equal(layer.eval()(torch.ones(4)), torch.ones(4))


def test_masks_repeat_after_the_same_seed() -> None:
    masks = Masks()
    masks.seed(1, 2)
    first = masks.draw(torch.Size([50]), 0.5)
    masks.seed(1, 3)
    assert not torch.equal(masks.draw(torch.Size([50]), 0.5), first)
    masks.seed(1, 2)
    assert torch.equal(masks.draw(torch.Size([50]), 0.5), first)
