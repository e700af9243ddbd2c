"""Names, numbers and days in English texts, in kinds whose members can stand for each other."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

KINDS: dict[str, tuple[str, ...]] = {
    "day": tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    "month": tuple("January February April June July August September October November December".split()),
    "season": tuple("spring summer autumn winter".split()),
    "part of the day": tuple("morning afternoon evening".split()),
    "number": tuple(
        "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty seventy "
        "eighty ninety".split()
    ),
    "woman's name": tuple(
        "Mary Lisa Anna Alice Susan Jane Betty Nancy Linda Helen Karen Laura Julia Emma Kate Sarah Jenny Lily Lucy "
        "Sally Judy Maria Monica Rachel Barbara Emily Ann Jill Sandra Jean Cathy Daisy Amy Ellen".split()
    ),
    "man's name": tuple(
        "Tom John Peter David Paul Jack George Henry Michael James Robert Steven Kevin Brian Daniel Jim Mike Jerry "
        "Bob Sam Alex Andrew Charles Eric Gary Leo Martin Richard Simon Tony Adam Ben Dave Joe Steve Tim".split()
    ),
    "city": tuple(
        "London Paris Beijing Shanghai Tokyo Boston Chicago Seattle Berlin Madrid Rome Sydney Toronto Moscow Dallas "
        "Houston Denver Miami Atlanta Vancouver Singapore Dublin".split()
    ),
    "country": tuple(
        "China Japan France Germany Spain Italy Canada Australia Mexico Brazil Russia India England America Ireland "
        "Korea Egypt Greece Thailand".split()
    ),
    "nationality": tuple(
        "Chinese Japanese French German Spanish Italian Mexican Russian Indian Korean Greek Thai".split()
    ),
    "colour": tuple("red blue green yellow black white brown pink purple grey".split()),
    "relative": tuple("mother father sister brother son daughter uncle aunt grandmother grandfather".split()),
    "meal": tuple("breakfast lunch dinner".split()),
    "instrument": tuple("guitar piano violin drums flute".split()),
}
"""Words by kind. Left out are those that are often something else: `May`, `March`, `fall`, `Will`, `Mark`, `one`."""

_KIND = {word.lower(): kind for kind, words in KINDS.items() for word in words}
_WORD = re.compile(r"[$\u00a3\u20ac]?\w+(?:['\u2019.,:/-]\w+)*")
"""Words and numbers as they are written together: `16:35`, `4.50` and `thirty-two` are one each and name nothing."""
_DIGITS = re.compile(r"[$\u00a3\u20ac]?\d{1,4}")
NAMES = frozenset(("day", "month", "city", "country", "nationality", "woman's name", "man's name"))
"""Kinds that are written large."""
_SMALL = frozenset("two three four five six seven eight nine ten eleven twelve".split())
COUNTS = frozenset(("number", "digits"))
"""Kinds that count something."""
_COMPOUND = frozenset(
    "hundred hundreds thousand thousands million millions billion and-a-half half o'clock thirty fifteen".split()
) | frozenset(word for word in KINDS["number"])
"""Words beside which a number is only a part of one."""
_NO_PLACE = frozenset("shepherd shepherds bulldog bulldogs fries toast press roulette".split())
"""Words behind a nationality with which it is the name of a thing."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A name, number or day in a text.

    Attributes:
        start: where it begins.
        end: where it ends.
        text: as it stands there.
        before: the word before it, lower case; empty at the beginning of a sentence.
        behind: the word or mark behind it likewise.
        kind: whose other members may stand in its place; `digits` for a number in digits.
    """

    start: int
    end: int
    text: str
    before: str
    behind: str
    kind: str

    @property
    def key(self) -> str:
        """What it is compared by: lower case, no currency."""
        return key_of(self.text)


def key_of(text: str) -> str:
    """What a name or number is compared by: lower case, no currency."""
    return text.lower().lstrip("$\u00a3\u20ac")


def entities_of(text: str) -> Iterator[Entity]:
    """The names, numbers and days in a text, in order."""
    lower = text == text.lower()
    for found in _WORD.finditer(text):
        word = found[0]
        kind = "digits" if _DIGITS.fullmatch(word) else _KIND.get(word.lower())
        # a name is written large, except where nothing is
        if kind is None or (kind in NAMES and not (word[0].isupper() or lower)):
            continue
        before = re.search(r"([\w'\u2019]+)[\s-]*$", text[: found.start()])
        behind = re.match(r"[\s-]*([\w'\u2019]+|%)", text[found.end() :])
        entity = Entity(
            found.start(),
            found.end(),
            word,
            before[1].lower() if before else "",
            behind[1].lower() if behind else "",
            kind,
        )
        if kind in COUNTS and {entity.before, entity.behind} & _COMPOUND:
            continue
        if kind == "nationality" and entity.behind in _NO_PLACE:
            continue
        yield entity


def others_of(entity: Entity, shift: float) -> list[str]:
    """What may stand in an entity's place, written as it is.

    Args:
        entity: the one to be replaced.
        shift: between 0 and 1, how far another number is from it.
    """
    if entity.kind != "digits":
        words = [word for word in KINDS[entity.kind] if word.lower() != entity.key]
        if entity.kind == "number":
            words = [word for word in words if (word in _SMALL) == (entity.key in _SMALL)]
        if entity.text[0].isupper():
            return [word[0].upper() + word[1:] for word in words]
        return [word.lower() for word in words]
    mark, value = entity.text[: -len(entity.key)], int(entity.key)
    return [mark + str(other) for other in _numbers(value, shift) if other != value]


def _numbers(value: int, shift: float) -> list[int]:
    """Numbers that look like `value`: as many digits, as round, and far enough from it."""
    if 1900 <= value <= 2099:
        return [value - 3 - round(9 * shift), value + 2 + round(9 * shift)]
    if value <= 1:
        return []
    if value <= 12:
        return [number for number in range(2, 13) if abs(number - value) > 1]
    step = 10 ** (len(str(value)) - len(str(value).rstrip("0")))
    least = max(step, round(value * (0.2 + 0.4 * shift) / step) * step)
    return [number for number in (value - least, value + least) if number > 1]
