"""The prompt, character for character that of section 2.2 and Appendix G of the paper."""

from collections.abc import Sequence

from pneg.dialogue import Dialogue
from pneg.negatives.prompted.demonstrations import SOURCE

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIRECT = "Create {number} irrelevant responses containing keywords of the given dialogue context:"


def build(demonstrations: Sequence[Dialogue], context: Sequence[str], count: int, kept: Sequence[str] = ()) -> str:
    """The prompt for a context, ready to be continued behind the number of the next response.

    Args:
        demonstrations: each with at least `count` human negatives, which are shown.
        context: turns, oldest first.
        count: responses in a list.
        kept: responses that were written already; only those that are missing are asked for.
    """
    shown = [_example(example.context, example.negatives[SOURCE][:count], count) for example in demonstrations]
    asked = _example(context, kept, count)
    return "\n".join([*shown, asked]) + f"\n{len(kept) + 1}."


def stops(count: int) -> tuple[str, ...]:
    """The texts behind which nothing more is wanted: a response too many, or a new example; four at most."""
    return (f"\n{count + 1}.", "###", "\nA:", "\nDialogue context:")


def _example(context: Sequence[str], responses: Sequence[str], count: int) -> str:
    turns = [f"{'AB'[place % 2]}: {_one_line(turn)}" for place, turn in enumerate(context)]
    numbered = [f"{place}. {_one_line(response)}" for place, response in enumerate(responses, start=1)]
    instruction = DIRECT.format(number=NUMBERS[count] if count < len(NUMBERS) else count)
    return "\n".join(["###", "Dialogue context:", '"""', *turns, '"""', instruction, *numbered])


def _one_line(text: str) -> str:
    return " ".join(text.split())
