"""Candidates of a context in training: 1 positive, 5 random and 5 adversarial negatives (the paper's section 3.1)."""

import random
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pneg.dialogue import Dialogue, normalised
from pneg.errors import DataError
from pneg.selector.ranking import turns_read

EACH = 5
"""Random negatives of a context, and as many adversarial ones."""
RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Group:
    """A context and the responses its candidates are drawn from, as numbers into `Candidates.responses`."""

    context: tuple[str, ...]
    positives: tuple[int, ...]
    random: tuple[int, ...]
    adversarial: tuple[int, ...]
    sources: tuple[str, ...] = ()
    """Of the adversarial ones."""


@dataclass(slots=True)
class Candidates:
    """All contexts of a training set with their responses, every distinct response once.

    Attributes:
        groups: one a context.
        responses: the distinct texts.
        pool: responses to draw random negatives from, the positives of all contexts.
        short: adversarial negatives that are missing and drawn at random instead, each epoch.
    """

    groups: list[Group] = field(default_factory=list)
    responses: list[str] = field(default_factory=list)
    pool: list[int] = field(default_factory=list)
    short: int = 0
    _numbers: dict[str, int] = field(default_factory=dict)
    _keys: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        dialogues: Iterable[Dialogue],
        adversarial: Sequence[str],
        history: int,
        others: Iterable[Dialogue] = (),
    ) -> "Candidates":
        """Collect the candidates of a training set.

        Args:
            dialogues: each with at least one positive.
            adversarial: sources of adversarial negatives; `random` stands for five more random ones.
            history: turns of the context that are kept, counted from the last; persona sentences stand before.
            others: dialogues whose positives random negatives are drawn from, too.

        Raises:
            DataError: when a dialogue has no positive, a source is nowhere in the data, or there is no
                dialogue.
        """
        found = cls()
        written = [source for source in adversarial if source != RANDOM]
        seen: set[str] = set()
        for dialogue in dialogues:
            seen.update(dialogue.negatives)
            found._add(dialogue, written, history)
        for dialogue in others:
            found.pool.extend(found._number(dialogue.positives))
        if not found.groups:
            raise DataError("there are no dialogues to train on")
        for source in written:
            if source not in seen:
                raise no_source(source, seen)
        return found

    def _add(self, dialogue: Dialogue, sources: Sequence[str], history: int) -> None:
        if not dialogue.positives:
            raise DataError(f"the dialogue {dialogue.id} has no positive response", "training needs one in each")
        positives = self._number(dialogue.positives)
        own = {self._keys[number] for number in positives}
        named: dict[int, str] = {}
        for source in sources:
            for number in self._number(dialogue.negatives.get(source, ())):
                named.setdefault(number, source)
        adversarial = self._apart(named, own)
        drawn = self._apart(self._number(dialogue.negatives.get(RANDOM, ())), own)
        if sources:
            self.short += max(0, EACH - len(adversarial))
        turns = turns_read(dialogue.context, dialogue.persona, history)
        self.groups.append(Group(turns, positives, drawn, adversarial, tuple(named[n] for n in adversarial)))
        self.pool.extend(positives)

    def _number(self, texts: Iterable[str]) -> tuple[int, ...]:
        numbers = []
        for text in texts:
            number = self._numbers.setdefault(text, len(self.responses))
            if number == len(self.responses):
                self.responses.append(text)
                self._keys.append(normalised(text))
            numbers.append(number)
        return tuple(numbers)

    def _apart(self, numbers: Iterable[int], refused: Container[str]) -> tuple[int, ...]:
        """Those whose texts differ from each other and from what is refused."""
        first: dict[str, int] = {}
        for number in numbers:
            first.setdefault(self._keys[number], number)
        return tuple(number for key, number in first.items() if key not in refused)

    def draw(self, group: int, seed: int, epoch: int) -> list[int]:
        """The candidates of a group in an epoch: numbers of responses, the positive first.

        The positive is drawn anew each epoch, and so is what is left to chance of the negatives: five of the
        adversarial ones where there are more, random ones where the data hold none.

        Returns:
            `1 + 2 * EACH` numbers.
        """
        generator = random.Random(f"{seed}/{epoch}/{group}")
        of = self.groups[group]
        positive = generator.choice(of.positives)
        adversarial = generator.sample(of.adversarial, min(EACH, len(of.adversarial)))
        own = self._apart(of.random, {self._keys[number] for number in adversarial})
        drawn = generator.sample(own, min(EACH, len(own)))
        refused = {self._keys[number] for number in (*of.positives, *adversarial, *drawn)}
        for _ in range(100 * EACH):
            if len(drawn) + len(adversarial) == 2 * EACH:
                break
            number = generator.choice(self.pool)
            if self._keys[number] not in refused:
                refused.add(self._keys[number])
                drawn.append(number)
        else:
            raise DataError(
                f"only {len(drawn) + len(adversarial)} different negatives can be drawn for a context",
                f"a training set needs more responses, each context has {2 * EACH}",
            )
        return [positive, *drawn, *adversarial]


def weights_of(group: Group, drawn: Sequence[int], weights: Mapping[str, float]) -> list[float]:
    """The weight of each candidate that was drawn for a group, by its source; the positive's is 1."""
    sources = dict(zip(group.adversarial, group.sources, strict=True))
    return [1.0, *(weights.get(sources.get(number, RANDOM), 1.0) for number in drawn[1:])]


def no_source(source: str, there: Iterable[str]) -> DataError:
    """The error for a source of negatives that no dialogue of the data has."""
    names = ", ".join(sorted(there)) or "none at all"
    return DataError(
        f"no dialogue has negatives of the source {source!r}",
        f"there are: {names}; pneg negatives {source} IN -o OUT adds them",
    )
