"""What is said out of courtesy, turned into its opposite: `I am sorry to hear that` becomes `I am not sorry ...`."""

import re

from pneg.attack.english.negation import flipped

_NOT_BEHIND_SUBJECT = re.compile(
    r"\b(I'm|I am|we're|we are) ("
    r"(?:so |very |really |terribly )?sorry\b(?! (?:but|,))"
    r"|(?:so |very |really )?(?:glad|happy|pleased|delighted) (?:to (?:hear|see|meet|help|know)|that|you)\b"
    r")"
    r"|\b(You're|You are) (welcome)\b"
    r"|\b(It's|It is|That's) (my pleasure|a pleasure|an honou?r)\b",
    re.I,
)
_NOT_BEFORE_VERB = re.compile(
    r"\b(I|we) (?:really |truly |do )?((?:wish you|appreciate (?:it|your|that|you))\b)",
    re.I,
)
_HOPE = re.compile(
    r"\b(?:I|we) (?:really )?hope (?=(?:you|he|she|they|it|everything) "
    r"(?:will|can|get|feel|enjoy|have|like|do|find|gets|feels|goes|works|recover|recovers|all)\b)",
    re.I,
)


def discourteous(sentence: str) -> str | None:
    """The sentence with what is said out of courtesy turned into its opposite, or None where nothing is."""
    straight = sentence.replace("\u2019", "'")
    if straight.rstrip().endswith("?"):
        return None
    if found := _NOT_BEHIND_SUBJECT.search(straight):
        subject, courtesy = (group for group in found.groups() if group)
        return f"{straight[: found.start()]}{subject} not {courtesy}{straight[found.end() :]}"
    if found := _NOT_BEFORE_VERB.search(straight):
        return f"{straight[: found.start()]}{found[1]} don't {found[2]}{straight[found.end() :]}"
    if found := _HOPE.search(straight):
        wish = flipped(straight[found.end() :])
        return None if wish is None else straight[: found.end()] + wish
    return None
