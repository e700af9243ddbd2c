"""The steps of a training: which candidates meet in each, and in what pieces they go through the model."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pneg.selector.candidates import Candidates, weights_of
from pneg.selector.model import Selector
from pneg.selector.packing import Numbers, Packed, Packer
from pneg.selector.recipe import Recipe
from pneg.selector.tokens import Ragged

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole groups of a step that go through the model together.

    Attributes:
        groups: how many; each has one positive pair, the first.
        size: pairs of a group.
        packed: their pairs.
        weights: of the pairs, shape (groups, size); None where all are 1.
        taught: the same pairs as the teacher reads them.
    """

    groups: int
    size: int
    packed: Packed
    weights: npt.NDArray[np.float32] | None = None
    taught: Packed | None = None


@dataclass(frozen=True, slots=True)
class Texts:
    """All texts of a set as the tokens of one selector."""

    packer: Packer
    contexts: Ragged
    responses: Ragged

    @classmethod
    def of(cls, candidates: Candidates, selector: Selector) -> "Texts":
        """Tokenise each text once."""
        pairs = selector.pairs
        contexts = pairs.encode([pairs.join(group.context) for group in candidates.groups])
        return cls(selector.packer, contexts, pairs.encode(candidates.responses))

    def pack(self, numbers: Numbers) -> Packed:
        """Make a batch of pairs."""
        return self.packer.pack(self.contexts, self.responses, numbers)

    def sizes(self, groups: Numbers) -> Numbers:
        """Tokens of each group, given its pairs, shape (groups, size, 2); the result has the shape (groups,)."""
        shown = groups[:, :, 0]
        context, response = self.contexts.lengths[shown], self.responses.lengths[groups[:, :, 1]]
        each = self.packer.sizes(context.ravel(), response.ravel()).reshape(shown.shape).sum(1)
        again = np.zeros_like(shown, dtype=bool)
        again[:, 1:] = shown[:, 1:] == shown[:, :-1]
        once = self.packer.context_size(context.ravel()).reshape(shown.shape)
        return np.asarray(each + np.where(again, 0, once).sum(1))


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A set of groups with its texts as tokens, the selector's and, if there is one, the teacher's."""

    candidates: Candidates
    texts: Texts
    taught: Texts | None = None

    @classmethod
    def of(cls, candidates: Candidates, selector: Selector, teacher: Selector | None = None) -> "TrainingSet":
        """Tokenise a set."""
        return cls(
            candidates, Texts.of(candidates, selector), None if teacher is None else Texts.of(candidates, teacher)
        )

    def order(self, recipe: Recipe, epoch: int) -> list[Numbers]:
        """The groups of each step of an epoch, in random order."""
        shuffled = np.random.default_rng([recipe.seed, 1, epoch]).permutation(len(self.candidates.groups))
        return np.split(shuffled, range(recipe.batch, len(shuffled), recipe.batch))

    def pieces(self, groups: Numbers, recipe: Recipe, epoch: int, fewest: int = 1) -> list[Piece]:
        """Cut a step into pieces of about `recipe.bucket_tokens` tokens, whole groups each.

        Args:
            groups: of the step.
            recipe: of the training.
            epoch: whose draws are made.
            fewest: so many pieces at least, for as many processes, if there are groups enough.
        """
        drawn = [self.candidates.draw(group, recipe.seed, epoch) for group in groups.tolist()]
        pairs = np.stack([np.repeat(groups[:, None], len(drawn[0]), axis=1), np.array(drawn)], axis=2)
        weights = None
        if recipe.weights:
            of_groups = [self.candidates.groups[group] for group in groups]
            rows = [weights_of(*each, recipe.weights) for each in zip(of_groups, drawn, strict=True)]
            weights = np.array(rows, dtype=np.float32)
        if contrasted := self._contrasted(pairs, recipe, epoch):
            pairs = np.concatenate([pairs, np.array(contrasted)])
            if weights is not None:
                weights = np.concatenate([weights, np.ones((len(contrasted), weights.shape[1]), dtype=np.float32)])
        sizes = self.texts.sizes(pairs)
        count = max(min(fewest, len(pairs)), -(-int(sizes.sum()) // recipe.bucket_tokens))
        middles = np.cumsum(sizes) - sizes / 2
        piece = (middles * count / sizes.sum()).astype(int)
        return [
            self._piece(pairs[part], None if weights is None else weights[part])
            for part in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(piece)) + 1)
        ]

    def _contrasted(self, pairs: Numbers, recipe: Recipe, epoch: int) -> list[Numbers]:
        """Groups in which the positive of a context competes in its own context with itself in others."""
        found = []
        for own, response in pairs[: round(recipe.contrast * len(pairs)), 0].tolist():
            contexts = self.candidates.contrasted(own, response, recipe.seed, epoch)
            found.append(np.stack([contexts, np.full(len(contexts), response)], axis=1))
        return found

    def _piece(self, pairs: Numbers, weights: npt.NDArray[np.float32] | None) -> Piece:
        groups, size, _ = pairs.shape
        flat = pairs.reshape(-1, 2)
        taught = None if self.taught is None else self.taught.pack(flat)
        return Piece(groups, size, self.texts.pack(flat), weights, taught)


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items; while one is in use the next is being made."""
    rest = iter(items)
    nothing = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, rest, nothing)
        while (item := coming.result()) is not nothing:
            coming = pool.submit(next, rest, nothing)
            yield item  # type: ignore[misc]
