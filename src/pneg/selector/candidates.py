"""Candidates of a context in training: 1 positive, and negatives of each source in a fixed number.

By default they are the paper's 5 random and 5 adversarial negatives (section 3.1)."""

import random
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pneg.dialogue import Dialogue, normalised
from pneg.errors import DataError
from pneg.selector.ranking import turns_read

EACH = 5
"""Random negatives of a context, and as many adversarial ones, where no counts are given."""
RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Share:
    """Negatives of a context that come from the same sources.

    Attributes:
        sources: one, or several whose negatives are drawn as if they were one source's.
        count: how many are drawn; random ones take the place of those that a context lacks.
    """

    sources: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Composition:
    """What the negatives of each context are.

    Attributes:
        random: how many are random.
        shares: the others.
    """

    random: int
    shares: tuple[Share, ...]

    @classmethod
    def of(cls, adversarial: Sequence[str], counts: Mapping[str, int]) -> "Composition":
        """The composition that a recipe asks for.

        Args:
            adversarial: sources of the paper's five adversarial negatives; `random` stands for five more random ones.
            counts: negatives by source, in place of the paper's 5 and 5; empty for these.
        """
        if counts:
            shares = tuple(Share((source,), count) for source, count in counts.items() if source != RANDOM)
            return cls(counts.get(RANDOM, 0), shares)
        written = tuple(source for source in adversarial if source != RANDOM)
        return cls(EACH, (Share(written, EACH),)) if written else cls(2 * EACH, ())

    @property
    def size(self) -> int:
        """Candidates of a context, the positive among them."""
        return 1 + self.random + sum(share.count for share in self.shares)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that negatives are taken from, without `random`."""
        return tuple(source for share in self.shares for source in share.sources)


@dataclass(frozen=True, slots=True)
class Group:
    """A context and the responses its candidates are drawn from, as numbers into `Candidates.responses`."""

    context: tuple[str, ...]
    positives: tuple[int, ...]
    random: tuple[int, ...]
    adversarial: tuple[int, ...]
    sources: tuple[str, ...] = ()
    """Of the adversarial ones."""

    def of(self, sources: Container[str]) -> list[int]:
        """The adversarial ones of these sources."""
        return [number for number, source in zip(self.adversarial, self.sources, strict=True) if source in sources]


@dataclass(slots=True)
class Candidates:
    """All contexts of a training set with their responses, every distinct response once.

    Attributes:
        composition: what the negatives of each context are.
        groups: one a context.
        responses: the distinct texts.
        pool: responses to draw random negatives from, the positives of all contexts.
        short: adversarial negatives that are missing and drawn at random instead, each epoch.
    """

    composition: Composition
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
        counts: Mapping[str, int] = MappingProxyType({}),
    ) -> "Candidates":
        """Collect the candidates of a training set.

        Args:
            dialogues: each with at least one positive.
            adversarial: sources of adversarial negatives; `random` stands for five more random ones.
            history: turns of the context that are kept, counted from the last; persona sentences stand before.
            others: dialogues whose positives random negatives are drawn from, too.
            counts: negatives by source, in place of five random and five adversarial ones.

        Raises:
            DataError: when a dialogue has no positive, a source is nowhere in the data, or there is no
                dialogue.
        """
        found = cls(Composition.of(adversarial, counts))
        seen: set[str] = set()
        for dialogue in dialogues:
            seen.update(dialogue.negatives)
            found._add(dialogue, history)
        for dialogue in others:
            found.pool.extend(found._number(dialogue.positives))
        if not found.groups:
            raise DataError("there are no dialogues to train on")
        for source in found.composition.sources:
            if source not in seen:
                raise no_source(source, seen)
        return found

    def _add(self, dialogue: Dialogue, history: int) -> None:
        if not dialogue.positives:
            raise DataError(f"the dialogue {dialogue.id} has no positive response", "training needs one in each")
        positives = self._number(dialogue.positives)
        own = {self._keys[number] for number in positives}
        named: dict[int, str] = {}
        for source in self.composition.sources:
            for number in self._number(dialogue.negatives.get(source, ())):
                named.setdefault(number, source)
        adversarial = self._apart(named, own)
        drawn = self._apart(self._number(dialogue.negatives.get(RANDOM, ())), own)
        turns = turns_read(dialogue.context, dialogue.persona, history)
        group = Group(turns, positives, drawn, adversarial, tuple(named[n] for n in adversarial))
        self.short += sum(max(0, share.count - len(group.of(share.sources))) for share in self.composition.shares)
        self.groups.append(group)
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

        The positive is drawn anew each epoch, and so is what is left to chance of the negatives: as many as the
        composition says of a source that has more, random ones where the data hold too few.

        Returns:
            `composition.size` numbers.
        """
        generator = random.Random(f"{seed}/{epoch}/{group}")
        of, wanted = self.groups[group], self.composition.size - 1
        positive = generator.choice(of.positives)
        adversarial: list[int] = []
        for share in self.composition.shares:
            there = of.of(share.sources)
            adversarial += generator.sample(there, min(share.count, len(there)))
        own = self._apart(of.random, {self._keys[number] for number in adversarial})
        drawn = generator.sample(own, min(self.composition.random, len(own)))
        refused = {self._keys[number] for number in (*of.positives, *adversarial, *drawn)}
        for _ in range(50 * wanted):
            if len(drawn) + len(adversarial) == wanted:
                break
            number = generator.choice(self.pool)
            if self._keys[number] not in refused:
                refused.add(self._keys[number])
                drawn.append(number)
        else:
            raise DataError(
                f"only {len(drawn) + len(adversarial)} different negatives can be drawn for a context",
                f"a training set needs more responses, each context has {wanted}",
            )
        return [positive, *drawn, *adversarial]

    def contrasted(self, group: int, response: int, seed: int, epoch: int) -> list[int]:
        """Contexts that compete for a response of a group: its own first, then others that it is no positive of.

        Returns:
            `composition.size` different numbers of groups.

        Raises:
            DataError: when there are too few other contexts.
        """
        generator = random.Random(f"{seed}/{epoch}/{group}/contexts")
        shown, chosen = {self.groups[group].context}, [group]
        for _ in range(50 * self.composition.size):
            if len(chosen) == self.composition.size:
                return chosen
            number = generator.randrange(len(self.groups))
            other = self.groups[number]
            if other.context not in shown and response not in other.positives:
                shown.add(other.context)
                chosen.append(number)
        raise DataError(
            f"only {len(chosen) - 1} other contexts can be drawn to contrast a response with",
            f"a training set needs {self.composition.size} different contexts or more",
        )


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
