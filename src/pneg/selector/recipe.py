"""How a selector is trained, in plain values, and what is told of a training while it runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from pneg.errors import DataError
from pneg.selector.packing import Architecture

SMALLEST, LARGEST = 1e-30, 1e30
"""Weights of sources, which float32 knows with room to spare."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a selector is trained; the defaults are the paper's (section 3.1 and Appendix A).

    Dropout is the backbone's own, but for the attention's, which is 0.

    Attributes:
        adversarial: sources of the adversarial negatives; `random` stands for five more random ones.
        negatives: how many negatives of each source a context has, in place of the paper's five random and five
            adversarial ones; empty for these.
        backbone: a hub name, a folder, or a name in `pneg.models.MIRRORED`.
        architecture: `cross` reads each pair for itself, `shared` a context once for all its candidates.
        seed: of the head, the order and the draws.
        epochs: passes over the contexts.
        learning_rate: Adam's, reached after `warmup` and then falling to 0 in a straight line.
        warmup: share of the steps in which the learning rate rises.
        batch: contexts a step.
        max_length: tokens of a pair.
        history: turns of a context that are read.
        held_out: share of the contexts kept for the validation loss where no validation set is given.
        contrast: contexts, as a share of all, whose positive also competes in its own context with itself in others;
            what a response alone tells is of no use there.
        smoothing: share of the target that is spread over all candidates.
        weights: how much a negative of a source counts, where that is not 1.
        teacher: the folder of a selector whose scores are the target; empty for the positive alone.
        precision: `float32`, `bfloat16`, or `auto` for what the device is fast at.
        bucket_tokens: tokens that go through the model at a time, about; speed and memory depend on it.
    """

    adversarial: tuple[str, ...] = ("prompted",)
    backbone: str = "minilm-l6"
    architecture: Architecture = "cross"
    seed: int = 0
    epochs: int = 3
    learning_rate: float = 2e-5
    warmup: float = 0.1
    batch: int = 16
    max_length: int = 128
    history: int = 4
    held_out: float = 0.05
    smoothing: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    teacher: str = ""
    precision: str = "auto"
    bucket_tokens: int = 8192
    negatives: Mapping[str, int] = field(default_factory=dict)
    contrast: float = 0.0

    def check(self, sources: set[str]) -> None:
        """Refuse what cannot be trained on data with negatives of these sources.

        Raises:
            DataError: when a weight is of a source that takes no part, or a number is out of its range.
        """
        if not 0 < self.learning_rate < math.inf:
            raise DataError(f"the learning rate is {self.learning_rate:g}", "it must be above 0")
        for name, number in (
            ("number of epochs", self.epochs),
            ("batch", self.batch),
            ("history", self.history),
            ("number of tokens in a bucket", self.bucket_tokens),
        ):
            if number < 1:
                raise DataError(f"the {name} is {number}", "it must be 1 or more")
        for name, share in (("warm-up", self.warmup), ("share held out", self.held_out)):
            if not 0 <= share < 1:
                raise DataError(f"the {name} is {share:g}", "it must be from 0 to below 1")
        for source, count in self.negatives.items():
            if count < 1:
                raise DataError(f"there are to be {count} negatives of {source}", "leave the source out, or take 1")
        if not 0 <= self.contrast <= 1:
            raise DataError(f"the share of contrasted contexts is {self.contrast:g}", "it must be from 0 to 1")
        if not 0 <= self.smoothing <= 1:
            raise DataError(f"the smoothing is {self.smoothing:g}", "it must be from 0 to 1")
        for source, weight in self.weights.items():
            if source not in sources:
                there = ", ".join(sorted(sources))
                raise DataError(f"there is a weight for {source!r}, which takes no part", f"these do: {there}")
            if not SMALLEST <= weight <= LARGEST:
                raise DataError(
                    f"the weight of {source} is {weight:g}",
                    f"it must be from {SMALLEST:g} to {LARGEST:g}; to do without a source, leave it out",
                )


@dataclass(frozen=True, slots=True)
class Step:
    """What is reported after each step.

    Attributes:
        number: of the step, from 1.
        of: steps in all.
        loss: of the training batch.
        spread: the standard deviation of a context's scores, averaged over the batch.
        learning_rate: of the step.
        validation: the validation loss, where an epoch ended here.
        warning: what is wrong, where something is.
    """

    number: int
    of: int
    loss: float
    spread: float
    learning_rate: float
    validation: float | None = None
    warning: str = ""
