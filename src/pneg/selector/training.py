"""Training a selector: whole groups of candidates, group softmax, the best validation loss kept."""

import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from pneg import dialogue as records
from pneg.devices import best_precision, to_device
from pneg.dialogue import Dialogue
from pneg.errors import ModelError, needs
from pneg.jobs.claim import Job
from pneg.selector import checkpoint
from pneg.selector.candidates import RANDOM, Candidates
from pneg.selector.card import model_card
from pneg.selector.dropout import Masks, install
from pneg.selector.losses import group_softmax, positive_first, smoothed, soft_labels
from pneg.selector.model import Selector, computing
from pneg.selector.processes import Processes, is_first
from pneg.selector.recipe import Recipe, Step
from pneg.selector.steps import Piece, TrainingSet, ahead

with needs("selector"):
    import torch

VALIDATION = -1
"""The epoch whose draws the validation candidates are: the same after every epoch."""
SAVE_EVERY = 300.0
"""Seconds between checkpoints inside an epoch."""
COLLAPSED = 0.01
"""Scores of a context's candidates that differ by less, on average over an epoch, tell nothing."""


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
    and ends with the same weights as an unbroken one. Where `torchrun` started several processes they share every
    step; the first of them reports and writes.

    Args:
        dialogues: the training set.
        recipe: how to train.
        folder: where the selector and, until it is done, the checkpoint are written.
        validation: by default a share of the training set, chosen by seed.
        device: by default the best there is.
        report: called after each step.

    Raises:
        DataError: when the data or the folder are not fit for it.
        ModelError: when the backbone is not, or the training diverges: a loss, the weights or the teacher's scores
            are no numbers. The last checkpoint before that is kept.
        KeyboardInterrupt: after Ctrl-C, once the step is done and the checkpoint written.
    """
    folder = Path(folder)
    if is_first():
        checkpoint.check_folder(folder)
    recipe.check({*(recipe.negatives or recipe.adversarial), RANDOM})
    training, held_out = _split(list(dialogues), recipe, None if validation is None else list(validation))
    processes = Processes.join(device)
    saved = checkpoint.Checkpoint(folder, Job("train", _settings(recipe), _digest([*training, *held_out])))
    with saved.held() if processes.first else nullcontext():
        selector = _train(training, held_out, recipe, saved, processes, report if processes.first else lambda _: None)
    processes.wait()
    return selector


def _train(
    training: list[Dialogue],
    held_out: list[Dialogue],
    recipe: Recipe,
    saved: checkpoint.Checkpoint,
    processes: Processes,
    report: Callable[[Step], None],
) -> Selector:
    candidates = _candidates(training, recipe)
    selector = _fresh(recipe, processes.device)
    checks = _candidates(held_out, recipe, others=training) if held_out else None
    teacher = Selector.load(recipe.teacher, processes.device) if recipe.teacher else None
    if teacher is not None:  # one whose scores are no numbers is refused here, and not as a loss
        first = candidates.groups[:8]
        teacher.score([(group.context, candidates.responses[group.positives[0]]) for group in first], whole=True)
    run = _Run(
        selector,
        recipe,
        TrainingSet.of(candidates, selector, teacher),
        TrainingSet.of(checks, selector) if checks else None,
        teacher,
        processes,
        report,
    )
    started = time.monotonic()
    with _stopping() as stop:
        run.go(saved, stop)
    run.keep_best()
    selector.about = run.about() | {"seconds_of_last_session": round(time.monotonic() - started, 1)}
    if processes.first:
        saved.finish(lambda made: selector.save(made, model_card(selector.about)))
    return selector


def _settings(recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint says of a recipe; it leaves out what version 0.1.0 did not know, where that is not used."""
    return {name: value for name, value in asdict(recipe).items() if value or name not in ("negatives", "contrast")}


def _candidates(dialogues: Sequence[Dialogue], recipe: Recipe, others: Sequence[Dialogue] = ()) -> Candidates:
    return Candidates.of(dialogues, recipe.adversarial, recipe.history, others, recipe.negatives)


def _fresh(recipe: Recipe, device: str) -> Selector:
    return Selector.create(
        recipe.backbone,
        seed=recipe.seed,
        max_length=recipe.max_length,
        history=recipe.history,
        architecture=recipe.architecture,
        device=device,
    )


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


class _Run:
    """A training in progress: what a checkpoint holds, and how it goes on."""

    def __init__(
        self,
        selector: Selector,
        recipe: Recipe,
        training: TrainingSet,
        validation: TrainingSet | None,
        teacher: Selector | None,
        processes: Processes,
        report: Callable[[Step], None],
    ) -> None:
        self.selector, self.recipe, self.report, self.processes = selector, recipe, report, processes
        self.training, self.validation, self.teacher = training, validation, teacher
        self.precision = recipe.precision
        if recipe.precision == "auto":
            self.precision = best_precision(selector.device)
        self.masks = Masks()
        if selector.device.type == "cpu":
            install(selector.model, self.masks)
        self.parameters = [value for value in selector.model.parameters() if value.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, lr=recipe.learning_rate, fused=True)
        self.steps_an_epoch = math.ceil(len(training.candidates.groups) / recipe.batch)
        self.steps = self.steps_an_epoch * recipe.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.done = 0
        self.validation_losses: list[float] = []
        self.best: dict[str, torch.Tensor] = {}
        self.collapsed = False
        self.kept = ""
        self._untold: tuple[int, float | torch.Tensor, torch.Tensor] | None = None
        self._spreads: list[float] = []

    def about(self) -> dict[str, Any]:
        """What `selector.json` says of the training."""
        candidates = self.training.candidates
        return {
            "recipe": asdict(self.recipe),
            "contexts": len(candidates.groups),
            "validation_contexts": len(self.validation.candidates.groups) if self.validation else 0,
            "adversarial_filled_up_with_random": candidates.short,
            "validation_losses": self.validation_losses,
            "best_epoch": self.best_epoch,
            "collapsed": self.collapsed,
            "precision": self.precision,
            "device": self.selector.device.type,
            "processes": self.processes.count,
        }

    def _rate(self, step: int) -> float:
        rising = max(1, round(self.recipe.warmup * self.steps))
        return min((step + 1) / rising, max(0.0, (self.steps - step) / max(1, self.steps - rising)))

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights are kept; the last where there is no validation set."""
        losses = self.validation_losses
        if not losses:
            return self.recipe.epochs
        return losses.index(min(losses)) + 1

    def go(self, saved: checkpoint.Checkpoint, stop: threading.Event) -> None:
        """Train from the checkpoint, or from the start, to the end."""
        state = saved.load(self.selector.device)
        if state is not None:
            try:
                self._restore(state)
            except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
                raise checkpoint.broken(saved.folder) from error
            self.kept = f"the checkpoint of step {self.done} in {saved.folder} is kept"
        last_saved = time.monotonic()
        for epoch in range(self.done // self.steps_an_epoch, self.recipe.epochs):
            order = self.training.order(self.recipe, epoch)[self.done - epoch * self.steps_an_epoch :]
            for pieces in ahead(self._pieces(self.training, groups, epoch) for groups in order):
                rate = self.schedule.get_last_lr()[0]
                found = self._step(pieces, stop.is_set())
                stopped = self._tell()  # of the step before, while the device works on this one
                self.done += 1
                self._untold = (self.done, rate, found)
                ended = self.done % self.steps_an_epoch == 0
                if self.processes.count == 1:
                    stopped = stop.is_set()
                if stopped or ended or time.monotonic() - last_saved > SAVE_EVERY:
                    told = self._told(ended)
                    self._check_weights()
                    if self.processes.first:
                        saved.save(self._state())
                    self.kept = f"the checkpoint of step {self.done} in {saved.home} is kept"
                    last_saved = time.monotonic()
                    self.report(told)
                if stopped and self.done < self.steps:
                    raise KeyboardInterrupt

    def _pieces(self, of: TrainingSet, groups: npt.NDArray[np.int64], epoch: int) -> list[Piece]:
        # what is compared between epochs and trainings is the choice among candidates, so contexts are not contrasted
        recipe = replace(self.recipe, contrast=0.0) if epoch == VALIDATION else self.recipe
        return of.pieces(groups, recipe, epoch, self.processes.count)

    def _mine(self, pieces: Sequence[Piece]) -> Iterator[tuple[int, Piece]]:
        """The pieces that this process works on, with their numbers."""
        yield from list(enumerate(pieces))[self.processes.number :: self.processes.count]

    def _step(self, pieces: Sequence[Piece], stopping: bool) -> torch.Tensor:
        """Do a step.

        Returns:
            The loss, the spread of the scores, and how many processes want to stop; on the device, so that nothing
            waits for it.
        """
        self.selector.model.train()
        groups = sum(piece.groups for piece in pieces)
        found = torch.zeros(3, device=self.selector.device)
        found[2] = float(stopping)
        for number, piece in self._mine(pieces):
            self._seed(number)
            with computing(self.selector.device, self.precision):
                scores = self._scores(self.selector, piece)
            loss = self._loss(scores, piece) * (piece.groups / groups)
            loss.backward()  # type: ignore[no-untyped-call]
            spread = scores.detach().float().std(1).mean() * (piece.groups / groups)
            found[:2] += torch.stack([loss.detach(), spread])
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.processes.add_up([*(cast(torch.Tensor, value.grad) for value in self.parameters), found])
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad(set_to_none=True)
        return found

    def _seed(self, piece: int) -> None:
        """Make dropout depend on the step and the piece alone, whatever process does it and whenever."""
        self.masks.seed(self.recipe.seed, self.done, piece)
        if self.selector.device.type != "cpu":
            torch.manual_seed(hash((self.recipe.seed, self.done, piece)))

    def _scores(self, selector: Selector, piece: Piece) -> torch.Tensor:
        """Scores of a piece's candidates, shape (groups, size)."""
        packed = piece.packed if selector is self.selector or piece.taught is None else piece.taught
        return selector.scores(packed).view(piece.groups, piece.size)

    def _loss(self, scores: torch.Tensor, piece: Piece) -> torch.Tensor:
        targets = weights = None
        if self.teacher is not None:
            with torch.inference_mode(), computing(self.selector.device, self.precision):
                targets = soft_labels(self._scores(self.teacher, piece))
            targets = targets.clone()
        if self.recipe.smoothing:
            targets = smoothed(positive_first(scores) if targets is None else targets, self.recipe.smoothing)
        if piece.weights is not None:
            weights = to_device(piece.weights, scores.device)
        return group_softmax(scores, targets, weights)

    def _tell(self) -> bool:
        """Report the step before, if that has not been done.

        Returns:
            Whether a process wants to stop.
        """
        if self._untold is None:
            return False
        stopping = bool(self._untold[2][2] > 0)
        self.report(self._told())
        return stopping

    def _told(self, ended: bool = False) -> Step:
        """What there is to report of the last step, behind which an epoch may have ended.

        Raises:
            ModelError: when its loss, or the epoch's validation loss, is no number.
        """
        assert self._untold is not None
        (number, rate, found), self._untold = self._untold, None
        loss, spread, _ = found.tolist()
        if not math.isfinite(loss) or not math.isfinite(spread):
            raise self._diverged(f"the loss of step {number} of {self.steps} is {loss}", rate)
        validation = self._validate() if ended else None
        if validation is not None and not math.isfinite(validation):
            raise self._diverged(
                f"the validation loss after step {number} of {self.steps} is {validation}", float(rate)
            )
        self._spreads.append(spread)
        warning = ""
        if ended:
            mean = sum(self._spreads) / len(self._spreads)
            if not mean >= COLLAPSED:  # or it is no number
                self.collapsed = True
                warning = (
                    f"the scores of a context's candidates differ by {mean:.4f} on average: the selector has "
                    "collapsed; lower the learning rate, or look whether negatives differ from positives at all"
                )
            self._spreads = []
        return Step(number, self.steps, loss, spread, float(rate), validation, warning)

    def _diverged(self, what: str, rate: float | torch.Tensor) -> ModelError:
        """The error that stops a training which has gone wrong, with what may help."""
        remedies = [f"train with a learning rate below {self.recipe.learning_rate:g}"]
        if self.recipe.weights:
            remedies.append("weights of sources nearer to 1")
        if self.precision != "float32":
            remedies.append("the precision float32")
        if self.recipe.teacher:
            remedies.append(f"another teacher than {self.recipe.teacher}")
        return ModelError(
            f"the training has diverged: {what}, at a learning rate of {float(rate):.3g}; "
            f"{' or '.join(remedies)}, in another folder ({self.kept or 'nothing was kept'})"
        )

    def _check_weights(self) -> None:
        """Refuse weights that are no numbers, before they take the place of the last good checkpoint.

        Raises:
            ModelError: when one is NaN or infinite.
        """
        # a sum is much faster, and no number where any of its terms is none
        sums = torch.stack([value.detach().sum() for value in self.parameters])
        if not bool(torch.isfinite(sums).all()):
            what = f"the weights after step {self.done} of {self.steps} are no numbers"
            raise self._diverged(what, self.schedule.get_last_lr()[0])

    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        self.selector.model.eval()
        total = torch.zeros(1, device=self.selector.device)
        groups = np.arange(len(self.validation.candidates.groups))
        batches = np.split(groups, range(self.recipe.batch, len(groups), self.recipe.batch))
        with torch.inference_mode(), computing(self.selector.device, self.precision):
            for pieces in ahead(self._pieces(self.validation, batch, VALIDATION) for batch in batches):
                for _, piece in self._mine(pieces):
                    total += group_softmax(self._scores(self.selector, piece)) * piece.groups
        self.processes.add_up([total])
        loss = total.item() / len(groups)
        self.validation_losses.append(loss)
        if self.best_epoch == len(self.validation_losses):
            self.best = {name: value.detach().clone() for name, value in self.selector.model.state_dict().items()}
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
            "spreads": self._spreads,
            "collapsed": self.collapsed,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.done, self.best = state["done"], state["best"]
        self.validation_losses = state["validation_losses"]
        self._spreads, self.collapsed = state["spreads"], state["collapsed"]
        self.selector.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if not 0 <= self.done <= self.steps:
            raise ValueError(f"{self.done} steps of {self.steps} cannot be done")
