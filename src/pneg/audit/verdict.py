"""One sentence about a source, computed from its figures. All thresholds stand here, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from pneg.audit.cues import LENGTH, OVERLAP, STYLE, Cue
from pneg.audit.reading import Reading

LEAST_CONTEXTS = 30
"""Below, neither the folds nor a bootstrap over contexts mean much."""
GIVEN_AWAY = 0.22
"""The share of what is above chance that a cue may take: (R@1 - chance) / (1 - chance). With six candidates it is R@1
.35, the bound that the starter corpus was written to keep; DailyDialog++'s human negatives have .82 by style."""
FROM_CONTEXT = 0.5
"""A selector whose R@1 above chance falls by less than this share when the context is hidden has not read it."""

GIVEN, UNSURE, EASY, CLEAN, TOO_FEW = LEVELS = ("given away", "unsure", "easy", "no shortcut", "too few")
"""What a verdict can be; `easy` negatives are those that are not on the topic of their context."""
CUES = {
    (STYLE, "linear model"): "a linear model that never sees the context ranks the positive first",
    (LENGTH, "shortest"): "the shortest candidate is the positive",
    (LENGTH, "longest"): "the longest candidate is the positive",
    (LENGTH, "either"): "the length of the candidates finds the positive",
    (OVERLAP, "least"): "the candidate that shares the least words with the context is the positive",
    (OVERLAP, "most"): "the candidate that shares the most words with the context is the positive",
    (OVERLAP, "either"): "the words shared with the context find the positive",
}
"""What a cue does, by its name and rule."""
NAMES = {STYLE: "style", LENGTH: "length", OVERLAP: "word overlap"}


def bound(chance: float) -> float:
    """The R@1 from which a cue gives negatives away."""
    return chance + GIVEN_AWAY * (1 - chance)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the figures say of a source.

    Attributes:
        level: one of `LEVELS`.
        sentence: the same in words, with the figures.
    """

    level: str
    sentence: str


def verdict(cues: Sequence[Cue], chance: float, contexts: int, reading: Reading | None = None) -> Verdict:
    """What the figures say of a source.

    A cue is judged by its interval: the negatives are given away when all of it lies above the bound, they are not
    when all of it lies below, and else there are too few contexts to tell.

    Args:
        cues: what style, length and overlap achieve; none for fewer than two different contexts.
        chance: R@1 of a guess.
        contexts: how many contexts have these negatives.
        reading: what a selector achieves, where there is one.
    """
    if contexts < LEAST_CONTEXTS or not cues:
        subject = "1 context is" if contexts == 1 else f"{contexts} contexts are"
        remedy = "" if contexts >= LEAST_CONTEXTS else f": the audit needs {LEAST_CONTEXTS}"
        equal = " that are all equal" if contexts >= LEAST_CONTEXTS else ""
        return Verdict(TOO_FEW, f"{subject.replace(' are', equal + ' are')} too few to judge{remedy}.")
    level, sentence = _about_cues(cues, chance, contexts)
    return Verdict(level, f"{sentence}{_about_reading(reading, chance)}.")


def _about_cues(cues: Sequence[Cue], chance: float, contexts: int) -> tuple[str, str]:
    ranked = sorted(cues, key=lambda cue: -cue.figures.recall_at_1)
    shortcuts = [cue for cue in ranked if not _topical(cue)]
    limit = bound(chance)
    if given := [cue for cue in shortcuts if cue.figures.interval[0] >= limit]:
        others = [f"{NAMES[cue.name]} {'alone does so ' * (cue is given[1])}in {_percent(cue)}" for cue in given[1:]]
        also = f"; {' and '.join(others)}" if others else ""
        return GIVEN, f"{_name(given[0])} gives these negatives away: {_said(given[0], chance)}{also}"
    if unsure := [cue for cue in shortcuts if cue.figures.interval[1] > limit]:
        low, high = unsure[0].figures.interval
        return UNSURE, (
            f"{_name(unsure[0])} may give these negatives away: {_said(unsure[0], chance)}, but {contexts} contexts "
            f"are too few to be sure (95% interval {low:.0%} to {high:.0%}, the bound is {limit:.0%})"
        )
    if easy := [cue for cue in ranked if _topical(cue) and cue.figures.interval[0] >= limit]:
        return (
            EASY,
            f"Neither style nor length gives these negatives away, but they are easy: {_said(easy[0], chance)}",
        )
    best = shortcuts[0]
    return CLEAN, f"No shortcut was found: the best is {NAMES[best.name]}, as {_said(best, chance)}"


def _about_reading(reading: Reading | None, chance: float) -> str:
    if reading is None:
        return ""
    shown, hidden = reading.shown, reading.hidden
    start = f"; the selector ranks it first in {shown.recall_at_1:.0%}"
    if shown.interval[0] <= chance:
        return f"{start}, which is no better than chance"
    kept = (hidden.recall_at_1 - chance) / (shown.recall_at_1 - chance)
    means = "most of that does not come from the context" if kept > FROM_CONTEXT else "so it reads the context"
    return f"{start}, and still in {hidden.recall_at_1:.0%} with the context hidden: {means}"


def _topical(cue: Cue) -> bool:
    """Whether a cue is a sign of relevance rather than a trap: a response on the topic shares the topic's words."""
    return cue.name == OVERLAP and cue.rule != "least"


def _name(cue: Cue) -> str:
    return NAMES[cue.name].capitalize()


def _percent(cue: Cue) -> str:
    return f"{cue.figures.recall_at_1:.0%}"


def _said(cue: Cue, chance: float) -> str:
    return f"{CUES[cue.name, cue.rule]} in {_percent(cue)} of cases (chance {chance:.0%})"
