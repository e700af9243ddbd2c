"""Training a selector: whole groups of candidates, group softmax, the best validation loss kept."""

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg import dialogue as records
from pneg.devices import best_precision
from pneg.dialogue import Dialogue
from pneg.errors import DataError, needs
from pneg.selector import checkpoint
from pneg.selector.candidates import EACH, Candidates
from pneg.selector.card import model_card
from pneg.selector.dropout import Masks, install
from pneg.selector.losses import group_softmax
from pneg.selector.model import MARK, Selector, computing
from pneg.selector.tokens import Ragged, buckets

with needs("selector"):
    import torch

POOL = 16
"""Batches that are sorted by length together, then shuffled."""
VALIDATION = -1
"""The epoch whose draws the validation candidates are: the same after every epoch."""
SAVE_EVERY = 300.0
"""Seconds between checkpoints inside an epoch."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a selector is trained; the defaults are the paper's (section 3.1 and Appendix A).

    Dropout is the backbone's own, but for the attention's, which is 0.

    Attributes:
        adversarial: sources of the adversarial negatives; `random` stands for five more random ones.
        backbone: a hub name, a folder, or a name in `pneg.models.MIRRORED`.
        seed: of the head, the order and the draws.
        epochs: passes over the contexts.
        learning_rate: Adam's, reached after `warmup` and then falling to 0 in a straight line.
        warmup: share of the steps in which the learning rate rises.
        batch: contexts a step.
        max_length: tokens of a pair.
        history: turns of a context that are read.
        held_out: share of the contexts kept for the validation loss where no validation set is given.
        precision: `float32`, `bfloat16`, or `auto` for what the device is fast at.
        bucket_tokens: tokens that go through the model at a time; speed, not the result, depends on it.
    """

    adversarial: tuple[str, ...] = ("prompted",)
    backbone: str = "minilm-l6"
    seed: int = 0
    epochs: int = 3
    learning_rate: float = 2e-5
    warmup: float = 0.1
    batch: int = 16
    max_length: int = 128
    history: int = 4
    held_out: float = 0.05
    precision: str = "auto"
    bucket_tokens: int = 4096


@dataclass(frozen=True, slots=True)
class Step:
    """What is reported after each step.

    Attributes:
        number: of the step, from 1.
        of: steps in all.
        loss: of the training batch.
        validation: the validation loss, where an epoch ended here.
    """

    number: int
    of: int
    loss: float
    validation: float | None = None


def train(
    dialogues: Iterable[Dialogue],
    recipe: Recipe,
    folder: str | Path,
    *,
    validation: Iterable[Dialogue] | None = None,
    device: str | None = None,
    report: Callable[[Step], None] = lambda _: None,
) -> Selector:
    """Train a selector and write it to `folder`.

    A run that was stopped goes on from its checkpoint when it is called again with the same data and recipe,
    and ends with the same weights as an unbroken one.

    Args:
        dialogues: the training set.
        recipe: how to train.
        folder: where the selector and, until it is done, the checkpoint are written.
        validation: by default a share of the training set, chosen by seed.
        device: by default the best there is.
        report: called after each step.

    Raises:
        DataError: when the data or the folder are not fit for it.
        ModelError: when the backbone is not.
        KeyboardInterrupt: after Ctrl-C, once the step is done and the checkpoint written.
    """
    folder = Path(folder)
    if (folder / MARK).exists():
        raise DataError("it holds a finished selector", "choose another folder, or delete it", file=folder)
    training, held_out = _split(list(dialogues), recipe, None if validation is None else list(validation))
    candidates = Candidates.of(training, recipe.adversarial, recipe.history)
    selector = Selector.create(
        recipe.backbone, seed=recipe.seed, max_length=recipe.max_length, history=recipe.history, device=device
    )
    checks = None
    if held_out:
        checks = Candidates.of(held_out, recipe.adversarial, recipe.history, others=training)
    run = _Run(selector, recipe, candidates, checks, report)
    saved = checkpoint.Checkpoint(folder, {"recipe": asdict(recipe), "data": _digest([*training, *held_out])})
    started = time.monotonic()
    with _stopping() as stop:
        run.go(saved, stop)
    run.keep_best()
    selector.about = {
        "recipe": asdict(recipe),
        "contexts": len(candidates.groups),
        "validation_contexts": len(checks.groups) if checks else 0,
        "adversarial_filled_up_with_random": candidates.short,
        "validation_losses": run.validation_losses,
        "best_epoch": run.best_epoch,
        "precision": run.precision,
        "device": selector.device.type,
        "seconds_of_last_session": round(time.monotonic() - started, 1),
    }
    selector.save(folder, model_card(selector.about))
    saved.remove()
    return selector


def _split(
    training: list[Dialogue], recipe: Recipe, validation: list[Dialogue] | None
) -> tuple[list[Dialogue], list[Dialogue]]:
    if validation is not None:
        return training, validation
    order = np.random.default_rng([recipe.seed, 0]).permutation(len(training))
    held = set(order[: round(recipe.held_out * len(training))].tolist())
    return (
        [item for place, item in enumerate(training) if place not in held],
        [item for place, item in enumerate(training) if place in held],
    )


def _digest(dialogues: Sequence[Dialogue]) -> str:
    digest = hashlib.sha256()
    for dialogue in dialogues:
        digest.update(records.dump(dialogue))
    return digest.hexdigest()


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a polite kill sets, so that a step is never left half done."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@dataclass(slots=True)
class _Set:
    """A set of groups with its texts as tokens."""

    candidates: Candidates
    contexts: Ragged
    responses: Ragged

    @classmethod
    def of(cls, candidates: Candidates, selector: Selector) -> "_Set":
        pairs = selector.pairs
        contexts = pairs.encode([pairs.join(group.context) for group in candidates.groups])
        return cls(candidates, contexts, pairs.encode(candidates.responses))

    def order(self, recipe: Recipe, epoch: int) -> list[npt.NDArray[np.int64]]:
        """The batches of an epoch: shuffled, groups of like length together."""
        generator = np.random.default_rng([recipe.seed, 1, epoch])
        shuffled = generator.permutation(len(self.contexts))
        batches = []
        for start in range(0, len(shuffled), POOL * recipe.batch):
            pool = shuffled[start : start + POOL * recipe.batch]
            pool = pool[np.argsort(self.contexts.lengths[pool], kind="stable")]
            batches += [pool[place : place + recipe.batch] for place in range(0, len(pool), recipe.batch)]
        return [batches[place] for place in generator.permutation(len(batches))]


class _Run:
    """A training in progress: what a checkpoint holds, and how it goes on."""

    def __init__(
        self,
        selector: Selector,
        recipe: Recipe,
        training: Candidates,
        validation: Candidates | None,
        report: Callable[[Step], None],
    ) -> None:
        self.selector, self.recipe, self.report = selector, recipe, report
        self.precision = recipe.precision
        if recipe.precision == "auto":
            self.precision = best_precision(selector.device)
        self.masks = Masks()
        if selector.device.type == "cpu":
            install(selector.model, self.masks)
        self.training = _Set.of(training, selector)
        self.validation = None if validation is None else _Set.of(validation, selector)
        self.optimiser = torch.optim.Adam(selector.model.parameters(), lr=recipe.learning_rate, fused=True)
        self.steps_an_epoch = math.ceil(len(training.groups) / recipe.batch)
        self.steps = self.steps_an_epoch * recipe.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.done = 0
        self.validation_losses: list[float] = []
        self.best: dict[str, torch.Tensor] = {}

    def _rate(self, step: int) -> float:
        rising = max(1, round(self.recipe.warmup * self.steps))
        return min((step + 1) / rising, max(0.0, (self.steps - step) / max(1, self.steps - rising)))

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights are kept; the last where there is no validation set."""
        return int(np.argmin(self.validation_losses)) + 1 if self.validation_losses else self.recipe.epochs

    def go(self, saved: checkpoint.Checkpoint, stop: threading.Event) -> None:
        """Train from the checkpoint, or from the start, to the end."""
        torch.manual_seed(self.recipe.seed)
        state = saved.load(self.selector.device)
        if state is not None:
            self._restore(state)
        last_saved = time.monotonic()
        for epoch in range(self.done // self.steps_an_epoch, self.recipe.epochs):
            batches = self.training.order(self.recipe, epoch)
            for batch in batches[self.done - epoch * self.steps_an_epoch :]:
                loss = self._step(batch, epoch)
                self.done += 1
                ended = self.done % self.steps_an_epoch == 0
                validation = self._validate() if ended else None
                self.report(Step(self.done, self.steps, loss, validation))
                if stop.is_set() or ended or time.monotonic() - last_saved > SAVE_EVERY:
                    saved.save(self._state())
                    last_saved = time.monotonic()
                if stop.is_set() and self.done < self.steps:
                    raise KeyboardInterrupt

    def _step(self, batch: npt.NDArray[np.int64], epoch: int) -> float:
        self.selector.model.train()
        self.masks.seed(self.recipe.seed, self.done)
        with computing(self.selector.model, self.precision):
            scores = self._scores(self.training, batch, epoch)
        loss = group_softmax(scores)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        return loss.item()

    def _scores(self, of: _Set, batch: npt.NDArray[np.int64], epoch: int) -> torch.Tensor:
        """Scores of a batch's candidates, shape (contexts, candidates), bucket by bucket."""
        pairs = [
            (of.contexts[group], of.responses[number])
            for group in batch.tolist()
            for number in of.candidates.draw(group, self.recipe.seed, epoch)
        ]
        lengths = [self.selector.pairs.length(len(context), len(response)) for context, response in pairs]
        chosen = list(buckets(lengths, self.recipe.bucket_tokens))
        parts = [self.selector.logits([pairs[n] for n in bucket]).float() for bucket in chosen]
        back = np.argsort(np.concatenate(chosen))
        ordered = torch.cat(parts)[torch.from_numpy(back).to(parts[0].device)]
        return ordered.view(len(batch), 1 + 2 * EACH)

    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        self.selector.model.eval()
        total, groups = 0.0, np.arange(len(self.validation.contexts))
        with torch.inference_mode(), computing(self.selector.model, self.precision):
            for start in range(0, len(groups), self.recipe.batch):
                batch = groups[start : start + self.recipe.batch]
                total += float(group_softmax(self._scores(self.validation, batch, VALIDATION))) * len(batch)
        loss = total / len(groups)
        if not self.validation_losses or loss < min(self.validation_losses):
            self.best = {name: value.detach().clone() for name, value in self.selector.model.state_dict().items()}
        self.validation_losses.append(loss)
        return loss

    def keep_best(self) -> None:
        """Give the model the weights of its best epoch."""
        if self.best:
            self.selector.model.load_state_dict(self.best)
        self.selector.model.eval()

    def _state(self) -> dict[str, Any]:
        return {
            "done": self.done,
            "model": self.selector.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best": self.best,
            "validation_losses": self.validation_losses,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.done, self.best = state["done"], state["best"]
        self.validation_losses = state["validation_losses"]
        self.selector.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all([value.cpu() for value in state["random_cuda"]])
