"""First and second person swapped: `I like your dog` becomes `You like my dog`."""

from pneg.attack.english.tokens import capital_i, like, plain, tokens_of
from pneg.attack.english.verbs import FORMS

FIRST = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself",
    "i'm": "you're", "im": "you're", "i've": "you've", "i'll": "you'll", "i'd": "you'd",
}  # fmt: skip
SECOND = {
    "your": "my", "yours": "mine", "yourself": "myself",
    "you're": "I'm", "you've": "I've", "you'll": "I'll", "you'd": "I'd",
}  # fmt: skip
REFLEXIVE = frozenset(("myself", "yourself"))
"""Forms that are often said of anyone: alone they make no other speaker."""
AUXILIARIES = frozenset(
    "am are were was do did don't didn't have had haven't hadn't can could can't couldn't will would won't wouldn't "
    "shall should shouldn't may might must mustn't aren't weren't wasn't".split()
)
ADVERBS = frozenset(
    "really always never often just also still already usually only even definitely certainly probably sometimes "
    "ever actually once both".split()
)
OBJECT_AFTER = frozenset(
    "to for with of at about from on in by than like after before behind without tell told give gave show help let "
    "see meet ask call thank teach bring send trust love want need miss wish make get and guide inform remind join "
    "assist text drop take teach".split()
)
"""Words after which `you` is an object, whatever stands behind it."""
FIXED = frozenset({
    ("i", "see"), ("i", "mean"), ("you", "know"), ("i", "guess"), ("i", "think"), ("i", "hope"), ("i", "suppose"),
    ("i", "believe"), ("you", "guys"), ("i'm", "sorry"), ("i'm", "afraid"), ("you", "too"), ("me", "too"),
    ("i", "wish"), ("me", "neither"), ("beg", "your"), ("you're", "welcome"),
})  # fmt: skip
"""Pairs of words in which the person stays as it is: formulas say nothing about anyone."""
COMMANDS = frozenset({
    ("thank", "you"), ("excuse", "me"), ("let", "me"), ("tell", "me"), ("give", "me"), ("show", "me"),
    ("see", "you"), ("believe", "me"), ("trust", "me"), ("help", "me"), ("you", "bet"), ("call", "me"),
    ("bless", "you"), ("forgive", "me"),
    ("make", "yourself"), ("take", "your"), ("follow", "me"), ("talk", "to"), ("wish", "you"), ("allow", "me"),
})  # fmt: skip
"""The same where they begin a clause, and so are a command or a formula."""
BEFORE_COMMANDS = frozenset("please so and but well just then okay ok yes first oh now yeah no don't sure".split())
AGREE = {"am": "are", "are": "am", "was": "were", "were": "was", "aren't": "am not", "weren't": "wasn't",
         "wasn't": "weren't"}  # fmt: skip


def swapped_persons(text: str) -> str | None:
    """The text with first and second person swapped, or None where no person is named outside of formulas."""
    tokens = tokens_of(text)
    words = [place for place, token in enumerate(tokens) if token[0].isalnum()]
    forms = [plain(tokens[place]) for place in words]
    large = capital_i(text)
    new = dict[int, str]()
    fixed = _fixed(forms, tokens, words)
    for at, form in enumerate(forms):
        if at in fixed:
            continue
        if form in FIRST:
            new[at] = FIRST[form]
        elif form in SECOND:
            new[at] = SECOND[form]
        elif form == "you":
            new[at] = "I" if _is_subject(forms, at, tokens, words) else "me"
        else:
            continue
        if new[at] in ("I", "you") and form in ("i", "you"):
            _agree(forms, at, new)
    if all(forms[at] in REFLEXIVE for at in new):
        return None
    for at, word in new.items():
        model = tokens[words[at]]
        spelt = like("x" if model == "I" and not _begins(tokens, words[at]) else model, word)
        if spelt.startswith("I") and not large and (len(spelt) == 1 or spelt[1] in "'\u2019"):
            spelt = "i" + spelt[1:]
        if model.startswith("I") and model[1:2] in ("'", "\u2019") and not _begins(tokens, words[at]):
            spelt = spelt[0].lower() + spelt[1:]
        tokens[words[at]] = spelt
    return "".join(tokens)


def _fixed(forms: list[str], tokens: list[str], words: list[int]) -> set[int]:
    """The places of words whose person stays."""
    places: set[int] = set()
    for at in range(len(forms) - 1):
        pair = (forms[at], forms[at + 1])
        first = at == 0 or forms[at - 1] in BEFORE_COMMANDS or not _close(tokens, words, at - 1, at)
        if pair in FIXED or (first and pair in COMMANDS):
            places |= {at, at + 1}
    return places


def _is_subject(forms: list[str], at: int, tokens: list[str], words: list[int]) -> bool:
    """Whether `you` is a subject: a verb stands behind it, or an auxiliary before it that asks."""
    before = forms[at - 1] if at else ""
    behind = at + 1
    while behind < len(forms) and forms[behind] in ADVERBS:
        behind += 1
    follows = forms[behind] if behind < len(forms) and _close(tokens, words, at, behind) else ""
    if before in AUXILIARIES and (at < 2 or forms[at - 2] not in ("i", "we", "they", "he", "she", "it")):
        return True
    if follows in AUXILIARIES:
        return True
    return follows in FORMS and before not in OBJECT_AFTER


def _close(tokens: list[str], words: list[int], first: int, last: int) -> bool:
    """Whether only space stands between two words."""
    return all(token.isspace() or token[0].isalnum() for token in tokens[words[first] + 1 : words[last]])


def _agree(forms: list[str], at: int, new: dict[int, str]) -> None:
    """Let the verb `be` beside a subject agree with its new person."""
    behind = at + 1
    while behind < len(forms) and forms[behind] in ADVERBS:
        behind += 1
    to_first = new[at] == "I"
    wrong = ("are", "were", "aren't", "weren't") if to_first else ("am", "was", "wasn't")
    if behind < len(forms) and forms[behind] in wrong and behind not in new:
        new[behind] = AGREE[forms[behind]]
    elif at and forms[at - 1] in wrong and at - 1 not in new:
        new[at - 1] = "aren't" if forms[at - 1] == "aren't" else AGREE[forms[at - 1]]


def _begins(tokens: list[str], place: int) -> bool:
    """Whether a token begins a sentence."""
    before = [token for token in tokens[:place] if not token.isspace()]
    return not before or before[-1] in ".!?\u2026"
