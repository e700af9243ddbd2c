"""The profile of a selector: R@1 on every set, context shown and hidden, beside the untrained encoder."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pneg.dialogue import Dialogue
from pneg.errors import PnegError
from pneg.negatives.embeddings import Embeddings
from pneg.selector.evaluation import Score, evaluate
from pneg.selector.ranking import Pair, Ranked, Scorer, rank_all


class Untrained:
    """A scorer that was never trained to select: the cosine of the joined turns and the candidate.

    Args:
        embeddings: of texts.
        history: turns of a context that are read, counted from the last.
    """

    temperature: float | None = None

    def __init__(self, embeddings: Embeddings, history: int = 4) -> None:
        self.embeddings, self.history = embeddings, history

    def score(
        self, pairs: Sequence[Pair], *, precision: str = "float32", whole: bool = False
    ) -> npt.NDArray[np.float32]:
        """Cosines in the order of the pairs, shape (pairs,); `precision` is that of the embeddings."""
        contexts = [" ".join(turns if whole else turns[-self.history :]) for turns, _ in pairs]
        places = {text: place for place, text in enumerate(dict.fromkeys((*contexts, *(text for _, text in pairs))))}
        if not places:
            return np.zeros(0, np.float32)
        vectors = self.embeddings.of(list(places))
        left = vectors[[places[text] for text in contexts]]
        right = vectors[[places[text] for _, text in pairs]]
        cosines: npt.NDArray[np.float32] = np.einsum("ij,ij->i", left, right)
        return cosines

    def rank(
        self,
        context: Sequence[str],
        candidates: Sequence[str],
        *,
        persona: Sequence[str] = (),
        precision: str = "float32",
    ) -> list[Ranked]:
        """Candidates for a context, best first, as `Scorer.rank` does."""
        from pneg.selector.ranking import Question

        return rank_all(self, [Question.of(context, candidates, persona)], precision=precision)[0]


@dataclass(frozen=True, slots=True)
class SetProfile:
    """What a profile says of one set.

    Attributes:
        score: the selector's figures.
        untrained: those of the untrained encoder on the same queries; None where it was left out.
        worst: whether this is the set with the least R@1, measured from chance.
    """

    score: Score
    untrained: Score | None
    worst: bool

    def as_json(self) -> dict[str, Any]:
        """The figures under the names that `pneg evaluate --json` prints."""
        figures = self.score.as_json() | {"worst": self.worst}
        if self.untrained is not None:
            untrained = self.untrained.as_json()
            figures["untrained"] = {name: untrained[name] for name in ("r@1", "mrr", "ci95", "hidden")}
        return figures


@dataclass(frozen=True, slots=True)
class Profile:
    """R@1 and MRR of one selector on every set.

    Attributes:
        sets: by name, in the order asked for.
        missing: why the untrained encoder's figures are not there; empty where they are, or were not asked for.
    """

    sets: dict[str, SetProfile]
    missing: str = ""

    @property
    def worst(self) -> str:
        """The name of the worst set."""
        return next(name for name, of in self.sets.items() if of.worst)

    def as_json(self) -> dict[str, Any]:
        """A key for each set."""
        return {name: of.as_json() for name, of in self.sets.items()}


def profile(
    selector: Scorer,
    dialogues: Iterable[Dialogue],
    sets: Sequence[str] | None = None,
    *,
    positive: str = "all",
    precision: str = "float32",
    encoder: Embeddings | str | None = "minilm-l6",
) -> Profile:
    """Rank the positives of a test set against each of its sets, by a selector and by an untrained encoder.

    Args:
        selector: the one to judge.
        dialogues: the test set.
        sets: sources of negatives; by default every one that has negatives.
        positive: `all` positives in turn, or the `first` alone.
        precision: as in `Scorer.score`.
        encoder: embeddings, or the name or folder of an encoder, whose cosines stand beside the selector's figures;
            None leaves them out. An encoder that cannot be loaded is left out too, and `Profile.missing` says why.

    Raises:
        DataError: when a set is nowhere in the data, or there is nothing to rank in it.
    """
    tests = list(dialogues)
    scores = evaluate(selector, tests, sets, positive=positive, precision=precision)
    untrained: dict[str, Score] = {}
    missing = ""
    if encoder is not None:
        try:
            embeddings = Embeddings(encoder) if isinstance(encoder, str) else encoder
            scorer = Untrained(embeddings, selector.history)
            untrained = evaluate(scorer, tests, list(scores), positive=positive)
        except (
            PnegError
        ) as error:  # a missing extra, no network, a damaged cache: the selector's figures stand without
            missing = str(error)
    worst = min(scores, key=lambda name: scores[name].above_chance)
    return Profile(
        {name: SetProfile(score, untrained.get(name), name == worst) for name, score in scores.items()}, missing
    )
