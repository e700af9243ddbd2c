"""What the sources share whose language model is fitted to the corpus first."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from pneg.dialogue import Dialogue
from pneg.errors import needs
from pneg.lm import causal
from pneg.lm.causal import Causal
from pneg.lm.finetune import Fit, Job, Report

T = TypeVar("T")
Work = TypeVar("Work")

CPU = {"examples": 640, "batch": 8, "held_out": 64}
CUDA = {"examples": 200_000, "batch": 64}
"""What a fit is limited to by default: on two cores 3 minutes in bfloat16, 9 in float32."""
CPU_LEARNING_RATE = 2e-4
"""Of so short a fit: in 72 steps the published ones, of some ten thousand, leave a model that has hardly moved."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model is fitted and run.

    Attributes:
        name: of PyTorch, such as `cpu` or `cuda`.
        precision: of the weights that write and score.
    """

    name: str
    precision: str

    @classmethod
    def best(cls, name: str | None = None) -> "Device":
        """A device by name, by default the GPU where there is one; in the precision it is fastest in."""
        with needs("generated"):
            import torch
        from pneg.devices import best_device, best_precision

        name = name or best_device()
        return cls(name, best_precision(torch.device(name)))

    @property
    def small(self) -> bool:
        """Whether it is a processor."""
        return self.name == "cpu"

    @property
    def rows(self) -> int:
        """Texts written at a time."""
        return 128 if self.small else 1024

    @property
    def ahead(self) -> int:
        """Contexts written for together."""
        return 32 if self.small else 256

    def fit(
        self,
        published: float,
        learning_rate: float | None = None,
        epochs: int | None = None,
        examples: int | None = None,
    ) -> Fit:
        """How a model is fitted here, unless said otherwise.

        Args:
            published: the learning rate of the paper, which a processor's short fit does not take.
            learning_rate: another one.
            epochs: by default one.
            examples: by default as many as the device can do in minutes; 0 for all.
        """
        rate = learning_rate or (CPU_LEARNING_RATE if self.small else published)
        settings = replace(Fit(learning_rate=rate, epochs=epochs or 1), **(CPU if self.small else CUDA))
        return settings if examples is None else replace(settings, examples=examples)


@dataclass
class Writer:
    """A fitted model, loaded the first time it is asked for.

    Args:
        job: how it is fitted.
        device: where.
        report: told of each step of the fit.
    """

    job: Job
    device: Device
    report: Report
    _lm: Causal | None = field(default=None, init=False)

    def fit(self, again: bool = False) -> None:
        """Fit the model unless it is in the cache."""
        self.job.folder(self.device.name, self.report, again)

    @property
    def lm(self) -> Causal:
        """The model."""
        if self._lm is None:
            folder = self.job.folder(self.device.name, self.report)
            self._lm = causal.load(folder, self.device.name, self.device.precision)
        return self._lm


def digest(pool: Iterable[Dialogue], *settings: object) -> str:
    """Of all contexts and positives of a corpus and of how examples are made from them."""
    found = hashlib.sha256(repr(settings).encode())
    for dialogue in pool:
        found.update(repr((dialogue.context, dialogue.positives)).encode())
    return found.hexdigest()


def in_order(
    items: Iterable[T],
    begun: Callable[[Sequence[T]], list[Work]],
    done: Callable[[Work], bool],
    advance: Callable[[list[Work]], None],
    ahead: int,
) -> Iterator[Work]:
    """Work on several items together; give each, in order, as soon as it and those before it are done.

    Args:
        items: to be worked on.
        begun: what is begun of as many items as are begun at a time.
        done: whether nothing is left to do.
        advance: does a part of what is left to do, of all that is not done.
        ahead: how many are begun at a time, at most: when at most half as many are in work, and at most as many wait
            for one before them. An eighth of it is begun first and twice as many each time, so that the first is
            given soon.
    """
    waiting = iter(items)
    works: deque[Work] = deque()
    size = max(1, ahead // 8)
    while True:
        remaining = [work for work in works if not done(work)]
        if len(remaining) <= size // 2 and len(works) <= size and (some := list(islice(waiting, size))):
            works.extend(begun(some))
            size = min(ahead, 2 * size)
            remaining = [work for work in works if not done(work)]
        if not works:
            return
        if remaining:
            advance(remaining)
        while works and done(works[0]):
            yield works.popleft()
