"""The steps of a training: which candidates meet in each, and in what pieces they go through the model."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from pneg.selector.candidates import EACH, Candidates, weights_of
from pneg.selector.model import Selector
from pneg.selector.packing import Numbers, Packed, Packer
from pneg.selector.recipe import Recipe
from pneg.selector.tokens import Ragged

T = TypeVar("T")
OF_A_GROUP = 1 + 2 * EACH


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole groups of a step that go through the model together.

    Attributes:
        contexts: how many.
        packed: their candidates.
        weights: of the candidates, shape (contexts, candidates); None where all are 1.
        taught: the same candidates as the teacher reads them.
    """

    contexts: int
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

    def sizes(self, numbers: Numbers) -> Numbers:
        """Tokens of each group, given its pairs, shape (groups,)."""
        context, response = self.contexts.lengths[numbers[:, 0]], self.responses.lengths[numbers[:, 1]]
        each = self.packer.sizes(context, response).reshape(-1, OF_A_GROUP).sum(1)
        return np.asarray(each + self.packer.context_size(context[::OF_A_GROUP]))


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
        numbers = np.stack([np.repeat(groups, OF_A_GROUP), np.concatenate(drawn)], axis=1)
        sizes = self.texts.sizes(numbers)
        count = max(min(fewest, len(groups)), -(-int(sizes.sum()) // recipe.bucket_tokens))
        middles = np.cumsum(sizes) - sizes / 2
        piece = (middles * count / sizes.sum()).astype(int)
        found = []
        for part in np.split(np.arange(len(groups)), np.flatnonzero(np.diff(piece)) + 1):
            pairs = numbers.reshape(-1, OF_A_GROUP, 2)[part].reshape(-1, 2)
            weights = None
            if recipe.weights:
                chosen = [(self.candidates.groups[groups[place]], drawn[place]) for place in part]
                weights = np.array([weights_of(*each, recipe.weights) for each in chosen], dtype=np.float32)
            taught = None if self.taught is None else self.taught.pack(pairs)
            found.append(Piece(len(part), self.texts.pack(pairs), weights, taught))
        return found


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items; while one is in use the next is being made."""
    rest = iter(items)
    nothing = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, rest, nothing)
        while (item := coming.result()) is not nothing:
            coming = pool.submit(next, rest, nothing)
            yield item  # type: ignore[misc]
