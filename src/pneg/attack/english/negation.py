"""A clause with its polarity flipped: `I can't come` becomes `I can come`, `She likes it` `She doesn't like it`.

Only clauses that begin with a pronoun are flipped, because their verb is then known without a parser; whatever is in
doubt gives None.
"""

import re

from pneg.attack.english.tokens import capital_i, like, plain, tokens_of
from pneg.attack.english.verbs import FORMS, PARTICIPLES, PAST, THIRD

SUBJECTS = frozenset("i you we they he she it this that these those there everything everyone".split())
NEGATIVE = {
    "are": "aren't", "is": "isn't", "was": "wasn't", "were": "weren't", "will": "won't", "would": "wouldn't",
    "can": "can't", "could": "couldn't", "should": "shouldn't", "do": "don't", "does": "doesn't", "did": "didn't",
    "have": "haven't", "has": "hasn't", "had": "hadn't", "must": "mustn't", "am": "am not", "may": "may not",
    "might": "might not",
}  # fmt: skip
AFFIRMATIVE = {negative: auxiliary for auxiliary, negative in NEGATIVE.items() if " " not in negative} | {
    "cannot": "can"
}
PERFECT = frozenset(("have", "has", "had"))
DO = frozenset(("do", "does", "did"))
BE = frozenset("am are is was were".split())
PASSED = frozenset("really certainly definitely".split())
"""Adverbs that may stand between subject and verb, whatever the polarity."""
ONLY_NEGATIVE = {"any": "some", "anything": "something", "anyone": "someone", "anybody": "somebody"}
ONLY_AFFIRMATIVE = {"some": "any", "something": "anything", "someone": "anyone", "somebody": "anybody"}
NOT_WITH_NEGATION = frozenset(
    "already too also still just almost never nothing nobody none no not hardly neither only even either several "
    "quite bit little pretty both but though although unless instead rather maybe perhaps probably rarely seldom "
    "always sometimes often than".split()
)
"""Words that a clause with a negation cannot take over from one without."""
NOT_WITHOUT_NEGATION = frozenset(
    "ever yet either anymore until till all much many but though although unless neither nor longer mind matter "
    "worry than anywhere without or too only just because".split()
)
"""Words that a clause without a negation cannot take over from one with it."""
_END = re.compile(r"\s*[,;:.!\u2026(](?=.)", re.S)
"""Where the clause ends and something else follows that stays as it is."""
OPINIONS = frozenset("think guess hope suppose believe wish mean wonder bet doubt".split())
"""Verbs that are followed by what is really said."""


def flipped(clause: str) -> str | None:
    """The clause with its polarity flipped, or None where that is in doubt.

    Args:
        clause: begins with its subject, a pronoun.
    """
    end = _END.search(clause)
    if clause.rstrip().endswith("?"):
        return None
    if end is not None:
        head = flipped(clause[: end.start()])
        return None if head is None else head + clause[end.start() :]
    tokens = tokens_of(clause)
    words = [place for place, token in enumerate(tokens) if token[0].isalnum()]
    forms = [plain(tokens[place]) for place in words]
    if len(forms) < 2 or forms[1:] in (["see"], ["know"]):
        return None
    subject, _, short = forms[0].partition("'")
    if subject not in SUBJECTS:
        return None
    change = _of_contraction(forms, short) if short else _of_verb(forms)
    if change is None:
        return None
    adds = change.pop(-1, "") == "adds"
    if not _carry_over(forms, change, adds):
        return None
    large = capital_i(clause)
    for at, word in change.items():
        model = tokens[words[at]]
        if not word:
            tokens[words[at]] = ""
            tokens[words[at] - 1] = "" if tokens[words[at] - 1].isspace() else tokens[words[at] - 1]
            continue
        spelt = like(model, word) if at == 0 else word.replace("'", "\u2019" if "\u2019" in clause else "'")
        tokens[words[at]] = spelt if large else spelt.replace("I", "i", 1) if spelt.startswith("I") else spelt
    return "".join(tokens)


Change = dict[int, str]
"""New words by place; an empty one is left out, and -1 says whether a negation is added."""


def _of_contraction(forms: list[str], short: str) -> Change | None:
    subject = forms[0].partition("'")[0]
    subject = "I" if subject == "i" else subject
    second = forms[1]
    third = forms[2] if len(forms) > 2 else ""
    if second in ("never", "better", "gonna", "gotta", "why", "what", "how", "because", "where", "when") or (
        second in PASSED and short in ("d", "ve")
    ):
        return None
    if short in ("m", "re") or (short == "s" and subject not in ("there", "I")):
        if second == "not":
            return {1: ""}
        return {0: f"{subject}'{short} not", -1: "adds"}
    if short == "ll":
        return {0: subject, 1: "will"} if second == "not" else {0: f"{subject} won't", -1: "adds"}
    if short == "ve" and second in PARTICIPLES and (second != "got" or third == "to"):
        return {0: f"{subject} haven't", -1: "adds"} if second != "got" else None
    if short == "d" and second in ("like", "love", "prefer", "be"):
        return {0: f"{subject} wouldn't", 1: "like" if second == "love" else second, -1: "adds"}
    return None


def _of_verb(forms: list[str]) -> Change | None:
    at = 1
    while at < len(forms) and forms[at] in PASSED:
        at += 1
    if at >= len(forms):
        return None
    verb = forms[at]
    behind = forms[at + 1] if at + 1 < len(forms) else ""
    if behind in ("why", "what", "how", "because", "where", "when"):
        return None
    if verb == "must" and behind == "be":
        return {at: "can't", -1: "adds"}
    if verb in AFFIRMATIVE:
        return _without(forms, at, behind)
    if behind == "not" and verb in DO:
        change = _without([*forms[: at + 1], *forms[at + 2 :]], at, forms[at + 2] if at + 2 < len(forms) else "")
        return None if change is None else {at: "", at + 1: "", at + 2: change[at + 1]}
    if behind == "not" and verb in NEGATIVE:
        return {at + 1: ""}
    if behind == "never" or (verb, behind) == ("had", "better") or behind in OPINIONS:
        return None
    if verb in BE or (verb in NEGATIVE and verb not in PERFECT | DO):
        return {at: NEGATIVE[verb], -1: "adds"}
    if verb in PERFECT and behind in PARTICIPLES and behind != "had":
        return {at: NEGATIVE[verb], -1: "adds"}
    if verb in DO and not behind:
        return {at: NEGATIVE[verb], -1: "adds"}
    if verb in DO and behind in FORMS and FORMS[behind][1] == "do":
        return {at: NEGATIVE[verb], -1: "adds"}
    if verb in OPINIONS or FORMS.get(verb, ("",))[0] in OPINIONS or forms[0] in ("this", "that", "these", "those"):
        return None
    return _with_do(forms, at)


def _without(forms: list[str], at: int, behind: str) -> Change | None:
    """A negation taken away; `don't` goes with its tense given back to the verb."""
    auxiliary = AFFIRMATIVE.get(forms[at], forms[at])
    if behind in OPINIONS:
        return None
    if auxiliary not in DO:
        return {at: auxiliary}
    if behind in PASSED or behind not in FORMS or FORMS[behind][1] != "do":
        return None
    form = {"do": behind, "does": THIRD[behind], "did": PAST[behind]}[auxiliary]
    return {at: "", at + 1: form}


def _with_do(forms: list[str], at: int) -> Change | None:
    if forms[at] not in FORMS or forms[at] in ("got", "used"):
        return None
    base, do = FORMS[forms[at]]
    third = forms[0] in ("he", "she", "it")
    if (do == "does") != third and do != "did":
        return None
    if base == "have" and at + 1 < len(forms) and forms[at + 1] in ("got", "been"):
        return None
    if do == "did" and forms[at] == PAST["have"] and at + 1 < len(forms) and forms[at + 1] in PARTICIPLES:
        return None
    first = 1 if at > 1 else at
    change: Change = {first: f"{NEGATIVE[do]} {forms[first] if first != at else base}", -1: "adds"}
    if first != at:
        change[at] = base
    return change


def _carry_over(forms: list[str], change: Change, adds: bool) -> bool:
    """Let `some` and `any` follow the polarity; False where another word of the clause cannot."""
    pairs, refused = (ONLY_AFFIRMATIVE, NOT_WITH_NEGATION) if adds else (ONLY_NEGATIVE, NOT_WITHOUT_NEGATION)
    for at, form in enumerate(forms):
        if at in change or form in ("because", "so"):
            continue
        if form in refused or (adds and (form in AFFIRMATIVE or form.endswith("n't"))):
            return False
        if form in pairs:
            change[at] = pairs[form]
    return True
