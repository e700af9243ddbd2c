"""One sentence about a source, computed from its figures. All thresholds stand here, each with its reason."""

from collections.abc import Sequence

from pneg.audit.cues import LENGTH, OVERLAP, STYLE, Cue
from pneg.audit.reading import Reading

LEAST_CONTEXTS = 30
"""Below, neither the folds nor a bootstrap over contexts mean much."""
GIVEN_AWAY = 0.22
"""The share of what is above chance that a cue may take: (R@1 - chance) / (1 - chance). It is R@1 .35 of six candidates,
the bound that the starter corpus was written to keep; DailyDialog++'s human negatives have .82 by style."""
FROM_CONTEXT = 0.5
"""A selector whose R@1 above chance falls by less than this share when the context is hidden has not read it."""

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


def verdict(cues: Sequence[Cue], chance: float, contexts: int, reading: Reading | None = None) -> str:
    """What the figures say of a source, in a sentence.

    A cue is judged by its interval: the negatives are given away when all of it lies above the bound, they are not
    when all of it lies below, and else there are too few contexts to tell.

    Args:
        cues: what style, length and overlap achieve; none for fewer than two different contexts.
        chance: R@1 of a guess.
        contexts: how many contexts have these negatives.
        reading: what a selector achieves, where there is one.
    """
    if contexts < LEAST_CONTEXTS or not cues:
        contexts_there = "1 context is" if contexts == 1 else f"{contexts} contexts are"
        return f"{contexts_there} too few to judge: the audit needs {LEAST_CONTEXTS}."
    return f"{_about_cues(cues, chance, contexts)}{_about_reading(reading, chance)}."


def _about_cues(cues: Sequence[Cue], chance: float, contexts: int) -> str:
    ranked = sorted(cues, key=lambda cue: -cue.figures.recall_at_1)
    shortcuts = [cue for cue in ranked if not _topical(cue)]
    given = [cue for cue in shortcuts if cue.figures.interval[0] >= bound(chance)]
    if given:
        also = " and ".join(f"{NAMES[cue.name]} does in {_percent(cue)}" for cue in given[1:])
        return f"{_name(given[0])} gives these negatives away: {_said(given[0], chance)}" + (also and f"; {also}")
    unsure = [cue for cue in shortcuts if cue.figures.interval[1] > bound(chance)]
    easy = [cue for cue in ranked if _topical(cue) and cue.figures.interval[0] >= bound(chance)]
    if unsure:
        low, high = unsure[0].figures.interval
        return (
            f"{_name(unsure[0])} may give these negatives away: {_said(unsure[0], chance)}, but {contexts} contexts "
            f"are too few to be sure (95% interval {low:.0%} to {high:.0%}, the bound is {bound(chance):.0%})"
        )
    if easy:
        return f"Neither style nor length gives these negatives away, but they are easy: {_said(easy[0], chance)}"
    best = max(shortcuts, key=lambda cue: cue.figures.recall_at_1)
    return f"No shortcut was found: the best is {NAMES[best.name]}, as {_said(best, chance)}"


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
