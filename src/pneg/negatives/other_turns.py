"""Turns of the dialogue that a context is taken from and that the context does not show."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pneg.dialogue import Dialogue

SHOWN = 4
"""Turns at the end of a context that a selector reads by default."""

_NO_LETTER = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class OtherTurns:
    """What else is said in the dialogue of a context.

    Attributes:
        later: turns behind the response, in order; the turn in the response's place is not among them.
        earlier: turns before those that a selector reads, the nearest first.
        continued: whether a dialogue that goes on behind the context was found.
    """

    later: tuple[str, ...]
    earlier: tuple[str, ...]
    continued: bool


class WholeDialogues:
    """Finds the dialogue that a context is a part of, in a pool of dialogues.

    A dialogue of the pool holds a context where all turns agree, from the last one back to where either begins; case,
    space and punctuation do not count. A context of one turn agrees only with the beginning of a dialogue.

    Args:
        pool: whole dialogues, or records whose contexts go on behind others. A record with exactly one positive is
            read as a dialogue that ends in it; of several positives none is a turn of the dialogue.
    """

    def __init__(self, pool: Iterable[Dialogue]) -> None:
        self._dialogues: list[tuple[str, ...]] = []
        self._ends: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        seen: set[tuple[str, ...]] = set()
        for dialogue in pool:
            turns = dialogue.context + (dialogue.positives if len(dialogue.positives) == 1 else ())
            if turns in seen:
                continue
            seen.add(turns)
            keys = ["", *map(_key, turns)]
            for place in range(len(turns)):
                self._ends[keys[place], keys[place + 1]].append((len(self._dialogues), place))
            self._dialogues.append(turns)

    def of(self, context: Sequence[str], shown: int = SHOWN) -> OtherTurns:
        """The turns of the context's dialogue that its last `shown` turns do not show.

        Args:
            context: turns, oldest first.
            shown: turns that are read, counted from the last.
        """
        later: dict[str, str] = {}
        earlier = {_key(turn): turn for turn in reversed(context[:-shown])}
        for turns, place in self._holding(context):
            for turn in turns[place + 2 :]:
                later.setdefault(_key(turn), turn)
            for turn in reversed(turns[: max(0, place + 1 - min(shown, len(context)))]):
                earlier.setdefault(_key(turn), turn)
        seen = {_key(turn) for turn in context[-shown:]}
        # the turn in the response's place is a response that fits, whatever the record's positives are
        fits = {_key(turns[place + 1]) for turns, place in self._holding(context) if place + 1 < len(turns)}
        return OtherTurns(
            tuple(turn for key, turn in later.items() if key not in seen | fits),
            tuple(turn for key, turn in earlier.items() if key not in seen | fits | later.keys()),
            bool(later),
        )

    def _holding(self, context: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
        """The dialogues that hold the context, each with the place of the context's last turn."""
        keys = [_key(turn) for turn in context]
        previous = keys[-2] if len(keys) > 1 else ""
        for number, place in self._ends.get((previous, keys[-1]), ()):
            turns = self._dialogues[number]
            shared = min(len(keys), place + 1)
            if all(keys[-back] == _key(turns[place + 1 - back]) for back in range(1, shared + 1)):
                yield turns, place


def _key(turn: str) -> str:
    return _NO_LETTER.sub("", turn).casefold()
