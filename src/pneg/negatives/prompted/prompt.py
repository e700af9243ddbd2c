"""The prompts, character for character those of section 2.2 and Appendices G and I of the paper."""

from collections.abc import Sequence
from functools import lru_cache

from pneg.dialogue import Dialogue
from pneg.negatives.prompted.demonstrations import SOURCE

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ASKED = "Create {number} irrelevant responses containing keywords of the given dialogue context:"
REFERENCE = "Relevant response: {positive}"
SUDDENLY = (
    "Suddenly, {speaker} makes an awkward response. The response appears to be okay at first glance, but it's "
    "irrelevant to the conversation."
)

DIRECT, POSITIVE, IMPLICIT = "direct", "positive", "implicit"
INSTRUCTIONS = (DIRECT, POSITIVE, IMPLICIT)
"""I_dir asks for a list, I_pos shows the first positive before; I_imp tells a story that one response ends."""


def build(
    demonstrations: Sequence[Dialogue],
    dialogue: Dialogue,
    count: int,
    kept: Sequence[str] = (),
    instruction: str = DIRECT,
) -> str:
    """The prompt for a dialogue, ready to be continued behind the number of the next response.

    Persona sentences, where there are any, stand before the turns.

    Args:
        demonstrations: each with at least `count` human negatives, which are shown; `implicit` shows none.
        dialogue: with the context, and for `positive` a positive.
        count: responses in a list.
        kept: responses that were written already; only those that are missing are asked for.
        instruction: one of `INSTRUCTIONS`.
    """
    if instruction == IMPLICIT:
        speaker = _speaker(len(dialogue.context))
        return "\n".join([*_context(dialogue), SUDDENLY.format(speaker=speaker), f"{speaker}:"])
    shown = [_demonstration(example, count, instruction) for example in demonstrations]
    return "\n".join([*shown, _example(dialogue, kept, count, instruction)]) + f"\n{len(kept) + 1}."


def stops(count: int, instruction: str = DIRECT) -> tuple[str, ...]:
    """The texts behind which nothing more is wanted: a response too many, or a new example; four at most."""
    return ("\n", "###") if instruction == IMPLICIT else (f"\n{count + 1}.", "###", "\nA:", "\nDialogue context:")


@lru_cache(maxsize=4096)
def _demonstration(example: Dialogue, count: int, instruction: str) -> str:
    """An example as it stands in many prompts."""
    return _example(example, example.negatives[SOURCE][:count], count, instruction)


def _example(dialogue: Dialogue, responses: Sequence[str], count: int, instruction: str) -> str:
    reference = [REFERENCE.format(positive=_one_line(dialogue.positives[0]))] if instruction == POSITIVE else []
    numbered = [f"{place}. {_one_line(response)}" for place, response in enumerate(responses, start=1)]
    asked = ASKED.format(number=NUMBERS[count] if count < len(NUMBERS) else count)
    return "\n".join([*_context(dialogue), *reference, asked, *numbered])


def _context(dialogue: Dialogue) -> list[str]:
    turns = [f"{_speaker(place)}: {_one_line(turn)}" for place, turn in enumerate(dialogue.context)]
    return ["###", "Dialogue context:", '"""', *map(_one_line, dialogue.persona), *turns, '"""']


def _speaker(place: int) -> str:
    return "AB"[place % 2]


def _one_line(text: str) -> str:
    return " ".join(text.split())
