import itertools
import json
import math
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pneg import Dialogue, Selector, corpora, write
from pneg.devices import best_precision
from pneg.errors import DataError
from pneg.selector import training
from pneg.selector.candidates import Candidates
from pneg.selector.checkpoint import Checkpoint
from pneg.selector.dropout import Masks
from pneg.selector.evaluation import evaluate
from pneg.selector.losses import group_softmax, positive_first, smoothed, soft_labels
from pneg.selector.processes import Processes
from pneg.selector.recipe import Recipe, Step
from pneg.selector.steps import Piece
from pneg.selector.training import _fresh, _Run, _split, _stopping, train

STARTER = list(corpora.read("starter:test"))


def recipe(backbone: Path, **changes: object) -> Recipe:
    plain = Recipe(
        adversarial=("human",), backbone=str(backbone), epochs=2, batch=8, learning_rate=1e-3, held_out=0.2
    )
    return replace(plain, **changes)


def weights(selector: Selector) -> np.ndarray:
    return torch.cat([value.flatten().float() for value in selector.model.state_dict().values()]).numpy()


def test_every_architecture_trains_saves_loads_and_ranks_the_same(backbone: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    chosen = recipe(backbone, max_length=64, history=3)
    made = train(STARTER[:32], chosen, tmp_path / "s", report=lambda step: losses.append(step.loss))
    assert len(losses) == 2 * 4  # 26 contexts in batches of 8, twice
    assert all(np.isfinite(losses))
    loaded = Selector.load(tmp_path / "s")
    candidates = [*STARTER[40].positives, *STARTER[40].negatives["human"]]
    ours, theirs = (selector.rank(STARTER[40].context, candidates) for selector in (made, loaded))
    assert [place.candidate for place in ours] == [place.candidate for place in theirs]
    assert [place.score for place in ours] == pytest.approx([place.score for place in theirs], abs=1e-6)
    assert loaded.about["recipe"]["backbone"] == str(backbone)
    assert (loaded.pairs.max_length, loaded.history) == (64, 3)
    assert loaded.about["precision"] == best_precision(made.device)
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
                os.kill(os.getpid(), signal.SIGTERM if number == 7 else signal.SIGINT)

        return report

    steps: list[Step] = []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for number in (3, 7, 10):  # in the first epoch, in the second, in the third
        with pytest.raises(KeyboardInterrupt):
            train(STARTER[:40], chosen, tmp_path / "broken", report=interrupt_after(number, steps))
        assert (tmp_path / "broken" / "checkpoint" / "state.pt").exists()
        assert not (tmp_path / "broken" / "selector.json").exists()
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    broken = train(STARTER[:40], chosen, tmp_path / "broken", report=steps.append)
    assert [(step.number, step.loss, step.validation) for step in steps] == [
        (step.number, step.loss, step.validation) for step in unbroken
    ]
    assert np.array_equal(weights(whole), weights(broken))


def test_a_checkpoint_is_written_within_an_epoch_too(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    chosen = recipe(backbones["bert"], epochs=1, batch=4)

    def die(step: Step) -> None:
        if step.number == 3:
            raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        train(STARTER[:24], chosen, tmp_path / "s", report=die)
    seen: list[int] = []
    train(STARTER[:24], chosen, tmp_path / "s", report=lambda step: seen.append(step.number))
    assert seen == [4, 5]


def test_checkpoints_within_an_epoch_lie_apart(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, saved = itertools.count(0, 100), []
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(Checkpoint, "save", lambda _, state: saved.append(state["done"]))
    train(STARTER[:24], recipe(backbones["bert"], epochs=1, batch=2, held_out=0.0), tmp_path / "s")
    assert saved == [4, 8, 12]


def test_a_second_wish_to_stop_is_granted_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), _stopping() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)


def test_it_trains_in_a_thread_too(backbones: dict[str, Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        chosen = recipe(backbones["bert"], epochs=1)
        pool.submit(train, STARTER[:16], chosen, tmp_path / "s").result()
    assert (tmp_path / "s" / "selector.json").exists()


def test_a_fresh_head_depends_on_the_seed(backbones: dict[str, Path]) -> None:
    chosen = recipe(backbones["bert"])
    one, same, other = (weights(_fresh(replace(chosen, seed=seed), "cpu")) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_learning_rate_rises_and_falls_in_straight_lines(backbones: dict[str, Path], tmp_path: Path) -> None:
    rates: list[float] = []
    chosen = recipe(backbones["bert"], batch=2, warmup=0.25, held_out=0.0)
    selector = train(STARTER[:8], chosen, tmp_path / "s", report=lambda step: rates.append(step.learning_rate))
    assert rates == pytest.approx([1e-3 * share for share in (1 / 2, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6)])
    assert (selector.about["validation_losses"], selector.about["best_epoch"]) == ([], 2)
    assert not selector.model.training


def test_the_validation_loss_is_that_of_the_weights_without_dropout(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, epochs = Candidates.draw, set()

    def watched(self: Candidates, group: int, seed: int, epoch: int) -> list[int]:
        if len(self.groups) == 7:
            epochs.add(epoch)
        return draw(self, group, seed, epoch)

    monkeypatch.setattr(Candidates, "draw", watched)
    chosen = recipe(backbones["bert"], epochs=1, batch=3, precision="float32", bucket_tokens=256)
    held = STARTER[24:31]
    selector = train(STARTER[:24], chosen, tmp_path / "s", validation=held)
    assert epochs == {training.VALIDATION}  # the same candidates after every epoch
    candidates = Candidates.of(held, ("human",), 4, others=STARTER[:24])
    losses = []
    for group, item in enumerate(held):
        texts = [candidates.responses[number] for number in candidates.draw(group, chosen.seed, training.VALIDATION)]
        scores = torch.from_numpy(selector.score([(item.context, text) for text in texts]))
        losses.append(-torch.log_softmax(scores, 0)[0].item())
    assert selector.about["validation_losses"] == [pytest.approx(np.mean(losses), abs=1e-5)]
    assert (selector.about["contexts"], selector.about["validation_contexts"]) == (24, 7)
    assert selector.about["precision"] == "float32"


def test_smoothed_labels_take_the_place_of_labels_and_of_a_teachers() -> None:
    scores, teacher = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[0.0, 3.0, 1.0]])
    run = _Run.__new__(_Run)
    run.recipe, run.teacher = Recipe(smoothing=0.3), None
    run.selector, run.precision = SimpleNamespace(device=torch.device("cpu")), "float32"  # type: ignore[assignment]
    run._scores = lambda *_: teacher  # type: ignore[method-assign]
    piece = Piece(1, 3, packed=None)  # type: ignore[arg-type]
    expected = group_softmax(scores, smoothed(positive_first(scores), 0.3)).item()
    assert run._loss(scores, piece).item() == pytest.approx(expected)
    run.teacher = "another"  # type: ignore[assignment]
    expected = group_softmax(scores, smoothed(soft_labels(teacher), 0.3)).item()
    assert run._loss(scores, piece).item() == pytest.approx(expected)


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
    def told(step: Step) -> tuple[float, float]:
        return step.loss, step.spread

    losses = []
    for tokens in (256, 900, 100_000):
        seen: list[tuple[float, float]] = []
        without_dropout = _without_dropout(backbones["bert"], tmp_path / f"b{tokens}")
        chosen = recipe(without_dropout, bucket_tokens=tokens, epochs=1, precision="float32")
        train(STARTER[:24], chosen, tmp_path / f"s{tokens}", report=lambda step, seen=seen: seen.append(told(step)))
        losses.append(np.array(seen))
    assert losses[0] == pytest.approx(losses[2], abs=1e-4)
    assert losses[1] == pytest.approx(losses[2], abs=1e-4)


def test_pieces_count_by_their_contexts() -> None:
    run = _Run.__new__(_Run)
    idle = SimpleNamespace(step=lambda: None, zero_grad=lambda **_: None)
    run.recipe, run.teacher, run.done, run.precision = Recipe(), None, 0, "float32"
    run.masks, run.parameters, run.processes = Masks(), [], Processes(0, 1, "cpu")
    run.optimiser = run.schedule = idle  # type: ignore[assignment]
    run.selector = SimpleNamespace(device=torch.device("cpu"), model=SimpleNamespace(train=lambda: None))  # type: ignore[assignment]
    run._scores = lambda _, piece: piece.packed  # type: ignore[method-assign]
    scores = torch.randn(4, 11, generator=torch.Generator().manual_seed(0)).mul(5).requires_grad_()
    pieces = [Piece(len(part), part.shape[1], part) for part in torch.split(scores, [1, 3])]  # type: ignore[arg-type]
    loss, spread, stopping = run._step(pieces, stopping=True).tolist()
    assert loss == pytest.approx(group_softmax(scores).item())
    assert spread == pytest.approx(scores.std(1).mean().item())
    assert stopping == 1
    [expected] = torch.autograd.grad(group_softmax(scores), scores)
    assert scores.grad is not None
    assert torch.allclose(scores.grad, expected)


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

    held = STARTER[30:33]
    with pytest.raises(KeyboardInterrupt):
        train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s", validation=held, report=stop)
    with pytest.raises(DataError, match=r"learning_rate was 0\.001 and is now 0\.0001;"):
        train(STARTER[:24], recipe(backbones["bert"], learning_rate=1e-4), tmp_path / "s", validation=held)
    with pytest.raises(DataError, match="had another input"):
        train(STARTER[:25], recipe(backbones["bert"]), tmp_path / "s", validation=held)
    with pytest.raises(DataError, match="had another input"):
        train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s", validation=STARTER[30:34])


def test_a_share_is_held_out_by_seed(tmp_path: Path) -> None:
    chosen = Recipe(held_out=0.25)
    parts = [_split(STARTER[:20], replace(chosen, seed=seed), None) for seed in (0, 0, 1)]
    for kept, held in parts:
        assert (len(kept), len(held)) == (15, 5)
        assert sorted(item.id for item in (*kept, *held)) == sorted(item.id for item in STARTER[:20])
    assert parts[0] == parts[1] != parts[2]


def test_a_finished_selector_is_not_overwritten(backbones: dict[str, Path], tmp_path: Path) -> None:
    train(STARTER[:24], recipe(backbones["bert"], epochs=1), tmp_path / "s")
    with pytest.raises(DataError, match="finished selector"):
        train(STARTER[:24], recipe(backbones["bert"], epochs=1), tmp_path / "s")


def test_each_piece_of_each_step_has_masks_of_its_own() -> None:
    run = _Run.__new__(_Run)
    run.masks, run.selector = Masks(), SimpleNamespace(device=torch.device("cpu"))  # type: ignore[assignment]

    def drawn(seed: int, done: int, piece: int) -> bytes:
        run.recipe, run.done = Recipe(seed=seed), done
        run._seed(piece)
        return run.masks.draw(torch.Size([100]), 0.5).numpy().tobytes()

    assert len({drawn(*numbers) for numbers in itertools.product((0, 1), repeat=3)}) == 8
    assert drawn(1, 0, 1) == drawn(1, 0, 1)


def test_a_negative_that_counts_little_is_pushed_away_little(backbones: dict[str, Path], tmp_path: Path) -> None:
    losses = []
    for number, weights_ in enumerate(({}, {"human": 1e-6})):
        seen: list[float] = []
        chosen = recipe(_without_dropout(backbones["bert"], tmp_path / f"b{number}"), weights=weights_, epochs=1)
        train(STARTER[:10], chosen, tmp_path / f"s{number}", report=lambda step, seen=seen: seen.append(step.loss))
        losses.append(seen[0])
    # a fresh head gives all candidates nearly the same score: 11 of them count, or 6
    assert losses == [pytest.approx(np.log(11), abs=0.05), pytest.approx(np.log(6), abs=0.05)]
    with pytest.raises(DataError, match="there is a weight for 'bm25', which takes no part; these do: human, random"):
        train(STARTER[:10], recipe(backbones["bert"], weights={"bm25": 0.5}), tmp_path / "x")
    with pytest.raises(DataError, match="the weight of human is 0; it must be from 1e-30"):
        train(STARTER[:10], recipe(backbones["bert"], weights={"human": 0.0}), tmp_path / "x")


def test_a_teacher_gives_the_targets(backbones: dict[str, Path], tmp_path: Path) -> None:
    backbone = _without_dropout(backbones["bert"], tmp_path / "b")
    chosen = recipe(
        backbone, epochs=1, batch=10, held_out=0.0, precision="float32", teacher=str(tmp_path / "teacher")
    )
    teacher = Selector.create(str(backbones["roberta"]), device="cpu")  # another architecture, another tokenizer
    with torch.no_grad():
        teacher.model.classifier.out_proj.weight.mul_(1e5)
    teacher.save(tmp_path / "teacher")
    seen: list[float] = []
    train(STARTER[:10], chosen, tmp_path / "s", report=lambda step: seen.append(step.loss))
    pupil = Selector.create(str(backbone), device="cpu")
    candidates = Candidates.of(STARTER[:10], ("human",), 4)
    expected = []
    for group in range(10):
        texts = [candidates.responses[number] for number in candidates.draw(group, 0, 0)]
        pairs = [(STARTER[group].context, text) for text in texts]
        wanted, got = (torch.from_numpy(selector.score(pairs)) for selector in (teacher, pupil))
        assert wanted.std() > 0.1
        expected.append(-(torch.softmax(wanted, 0) * torch.log_softmax(got, 0)).sum().item())
    assert seen == [pytest.approx(np.mean(expected), abs=1e-4)]


def test_a_selector_that_gives_all_the_same_score_is_told_of(backbones: dict[str, Path], tmp_path: Path) -> None:
    steps: list[Step] = []
    spread = [
        Dialogue(str(n), ("hello",), (f"yes {n}",), {"human": tuple(f"no {m}" for m in range(5))}) for n in range(20)
    ]
    selector = train(spread, recipe(backbones["bert"], learning_rate=1e-9), tmp_path / "s", report=steps.append)
    assert selector.about["collapsed"]
    assert [bool(step.warning) for step in steps] == [False, True] * 2
    assert "the selector has collapsed; lower the learning rate" in steps[1].warning
    assert not train(STARTER[:24], recipe(backbones["bert"], learning_rate=0.01), tmp_path / "t").about["collapsed"]


def test_two_processes_train_what_one_does(backbones: dict[str, Path], tmp_path: Path) -> None:
    """As `torchrun` starts them, dropout and all."""
    data = tmp_path / "train.jsonl"
    write(data, STARTER[:24])
    command = ["-m", "pneg", "train", str(data), "--adversarial", "human", "--backbone", str(backbones["bert"]),
               "--batch", "8", "--epochs", "2", "--learning-rate", "1e-3", "--precision", "float32", "--json",
               "--bucket-tokens", "1500"]  # fmt: skip
    clean = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    alone = subprocess.run(
        [sys.executable, *command, "-o", str(tmp_path / "one")], env=clean, capture_output=True, text=True, check=True
    )
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    both = subprocess.run(
        [*run, *command, "-o", str(tmp_path / "two")], env=clean, capture_output=True, text=True, check=False
    )
    assert both.returncode == 0, both.stderr
    one, two = json.loads(alone.stdout), json.loads(both.stdout)
    assert two["processes"] == 2
    assert two["validation_losses"] == pytest.approx(one["validation_losses"], abs=1e-5)
    first, second = (Selector.load(tmp_path / name, "cpu").model.state_dict() for name in ("one", "two"))
    # a softmax does not change when all its scores do alike: rounding alone moves what does that
    learned = [name for name in first if name != "classifier.bias" and not name.endswith("key.bias")]
    assert len(learned) == len(first) - 3
    assert all(float((first[name] - second[name]).abs().max()) < 1e-4 for name in learned)
    before = Selector.create(str(backbones["bert"]), device="cpu").model.state_dict()
    assert max(float((first[name] - before[name]).abs().max()) for name in learned) > 1e-3


def test_the_weights_kept_are_those_of_the_best_epoch(
    backbones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate, seen = _Run._validate, []

    def watched(run: _Run) -> float | None:
        if len(seen) >= 2:  # spoil the later epochs
            with torch.no_grad():
                for parameter in run.parameters:
                    parameter.add_(3 * torch.randn_like(parameter))
        found = validate(run)
        seen.append(weights(run.selector))
        return found

    monkeypatch.setattr(_Run, "_validate", watched)
    chosen = recipe(backbones["bert"], epochs=4, learning_rate=0.01, warmup=0.0)
    selector = train(STARTER[:40], chosen, tmp_path / "s")
    best = selector.about["best_epoch"]
    assert best <= 2 < len(seen) == 4
    assert np.array_equal(weights(selector), seen[best - 1])
    assert not np.array_equal(weights(selector), seen[-1])


def test_a_file_in_the_place_of_the_selector_is_told_of_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(DataError, match="it is a file"):
        train(STARTER[:24], recipe(tmp_path / "no backbone"), tmp_path / "s")


def test_each_epoch_is_judged_by_its_own_scores() -> None:
    run = _Run.__new__(_Run)
    run.steps, run.collapsed, run._spreads, run.validation = 1, False, [0.0], None
    run._untold = 1, 1e-5, torch.tensor([2.0, 0.0, 0.0])
    assert "has collapsed" in run._told(ended=True).warning
    assert run.collapsed
    assert run._spreads == []


def test_what_was_seen_of_the_scores_before_a_stop_counts_after_it() -> None:
    part = SimpleNamespace(load_state_dict=lambda _: None)
    run = _Run.__new__(_Run)
    run.selector, run.optimiser, run.schedule = SimpleNamespace(model=part), part, part  # type: ignore[assignment]
    run.steps = 10
    kept = dict.fromkeys(("model", "optimiser", "schedule", "best")) | {"done": 3, "validation_losses": [0.5]}
    run._restore({**kept, "spreads": [0.25], "collapsed": True})
    assert (run._spreads, run.collapsed) == ([0.25], True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": math.nan}, "the learning rate is nan; it must be above 0"),
        ({"learning_rate": math.inf}, "the learning rate is inf"),
        ({"smoothing": 1.5}, "the smoothing is 1.5; it must be from 0 to 1"),
        ({"weights": {"human": math.nan}}, "the weight of human is nan"),
        ({"weights": {"human": math.inf}}, r"the weight of human is inf; it must be from 1e-30 to 1e\+30"),
        ({"warmup": math.nan}, "the warm-up is nan; it must be from 0 to below 1"),
        ({"held_out": 1.0}, "the share held out is 1; it must be from 0 to below 1"),
        ({"history": 0}, "the history is 0; it must be 1 or more"),
        ({"batch": -1}, "the batch is -1; it must be 1 or more"),
        ({"epochs": 0}, "the number of epochs is 0; it must be 1 or more"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        train(STARTER[:10], recipe(tmp_path, **change), tmp_path / "s")
