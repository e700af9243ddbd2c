"""What every selector does, whatever computes its scores: candidates in order, best first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pneg.errors import DataError, ModelError
from pneg.selector import settings

Scores = npt.NDArray[np.float32]
Pair = tuple[Sequence[str], str]
"""The turns of a context and a candidate."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate in its place.

    Attributes:
        candidate: the response.
        score: the higher, the better it fits.
        index: its place among the candidates as they were given.
        probability: that it is the one that fits, if one of the candidates does; None without a calibration.
    """

    candidate: str
    score: float
    index: int
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A context and the candidates to be ranked for it.

    Attributes:
        context: turns, oldest first.
        candidates: any number of responses.
        persona: sentences about the one who responds.

    Raises:
        DataError: when the context is empty, one of the three is one string, or holds what is no text.
    """

    context: tuple[str, ...]
    candidates: tuple[str, ...]
    persona: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: Sequence[str], candidates: Sequence[str], persona: Sequence[str] = ()) -> "Question":
        """A question whose parts may be lists.

        Raises:
            DataError: as above.
        """
        for name, texts in (("context", context), ("candidates", candidates), ("persona", persona)):
            if isinstance(texts, str):
                raise DataError(f"the {name} is {texts!r}", "expected a list of texts")
        return cls(tuple(context), tuple(candidates), tuple(persona))

    def __post_init__(self) -> None:
        if not self.context:
            raise DataError("the context is empty", "expected a list of turns, at least one")
        for name, texts in (("context", self.context), ("candidates", self.candidates), ("persona", self.persona)):
            for text in texts:
                if not _is_text(text):
                    raise DataError(f"{name}: {text!r:.80} is no text", "expected text in UTF-8")


def _is_text(text: object) -> bool:
    """Whether it is a string that UTF-8 can hold, which bytes of a command line in another encoding are not."""
    if not isinstance(text, str):
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Scorer(Protocol):
    """A selector, trained or exported: it scores, and so it ranks."""

    history: int
    """Turns of a context that are read, counted from the last."""

    @property
    def temperature(self) -> float | None:
        """What scores are divided by before they become probabilities; None where it was not calibrated."""

    def score(
        self, pairs: Sequence[Pair], *, precision: str = "float32", whole: bool = False
    ) -> npt.NDArray[np.float32]:
        """Scores in the order of the pairs, shape (pairs,).

        `precision` is for a scorer that has a choice; `whole` reads the turns as they are, persona sentences before
        them, instead of the last `history`.
        """

    def rank(
        self,
        context: Sequence[str],
        candidates: Sequence[str],
        *,
        persona: Sequence[str] = (),
        precision: str = "float32",
    ) -> list[Ranked]:
        """Candidates for a context, best first; candidates of equal score keep their order.

        Args:
            context: turns, oldest first, of which the last `history` are read.
            candidates: any number of responses.
            persona: sentences about the one who responds, read before the turns.
            precision: as in `score`.

        Raises:
            DataError: when the context is empty, or one string is given for a list.
        """
        return rank_all(self, [Question.of(context, candidates, persona)], precision=precision)[0]


def load(folder: str | Path, device: str | None = None) -> Scorer:
    """The selector in a folder, trained (needs torch) or exported (needs onnxruntime alone).

    Args:
        folder: what `pneg train` or `pneg export` wrote.
        device: for a trained one; by default the best there is.

    Raises:
        ModelError: when the folder holds none.
        MissingExtra: when what it runs on is not installed.
    """
    if settings.read(folder).exported:
        from pneg.selector.exported import ExportedSelector

        return ExportedSelector.load(folder)
    from pneg.selector.model import Selector

    return Selector.load(folder, device)


def numbers(scores: Scores, selector: str) -> Scores:
    """The scores, each of which is a finite number.

    Args:
        scores: shape (pairs,).
        selector: what gave them, for the message: its folder, or empty where it has none.

    Raises:
        ModelError: when a score is NaN or infinite.
    """
    finite = np.isfinite(scores)
    if not finite.all():
        name = f"the selector {selector}" if selector else "the selector"
        raise ModelError(
            f"{name} gave scores that are no numbers ({np.count_nonzero(~finite)} of {len(scores)}): its weights are "
            "damaged or its training diverged; copy its folder again, or train it with a lower learning rate"
        )
    return scores


def temperature_of(calibration: Mapping[str, Any] | None) -> float | None:
    """The temperature in what `pneg calibrate` wrote."""
    return None if calibration is None else float(calibration["temperature"])


def turns_read(context: Sequence[str], persona: Sequence[str], history: int) -> tuple[str, ...]:
    """What a selector reads before a candidate: the persona, then the last `history` turns."""
    return (*persona, *context[-history:])


def softmax(scores: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities of candidates from their scores, shape (candidates,); none for no candidates.

    Args:
        scores: finite numbers, shape (candidates,).
        temperature: what they are divided by.
    """
    scaled = np.asarray(scores, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(initial=-np.inf))
    return np.asarray(powers / powers.sum())


def ranked(candidates: Sequence[str], scores: npt.ArrayLike, temperature: float | None) -> list[Ranked]:
    """Candidates in the order of their scores, best first; those of equal score keep their order.

    Args:
        candidates: the responses.
        scores: one a candidate, shape (candidates,).
        temperature: for probabilities; None for none.
    """
    values = np.asarray(scores)
    probabilities = None if temperature is None else softmax(values, temperature).tolist()
    return [
        Ranked(
            candidates[place], float(values[place]), place, None if probabilities is None else probabilities[place]
        )
        for place in np.argsort(-values, kind="stable").tolist()
    ]


def rank_all(scorer: Scorer, questions: Iterable[Question], *, precision: str = "float32") -> list[list[Ranked]]:
    """Rank the candidates of many questions, scored together.

    Returns:
        A ranking for each question, in their order.
    """
    asked = list(questions)
    read = [turns_read(question.context, question.persona, scorer.history) for question in asked]
    pairs = [
        (turns, candidate) for turns, question in zip(read, asked, strict=True) for candidate in question.candidates
    ]
    ends = np.cumsum([len(question.candidates) for question in asked])
    parts = np.split(scorer.score(pairs, precision=precision, whole=True), ends[:-1]) if asked else []
    return [
        ranked(question.candidates, scores, scorer.temperature) for question, scores in zip(asked, parts, strict=True)
    ]
