"""What the infilling model reads and writes: a context, a response with blanks, then what belongs into each."""

import re
from collections.abc import Iterable, Iterator, Sequence

from pneg.dialogue import Dialogue
from pneg.lm.causal import Part, Prompt
from pneg.lm.finetune import Example
from pneg.negatives.base import draws
from pneg.negatives.mask_and_fill import masking
from pneg.negatives.mask_and_fill.masking import Span
from pneg.negatives.wrong_context import script

BLANK, INFILL, END = "<|blank|>", "<|infill|>", "<|filled|>"
TOKENS = {BLANK: " ___", INFILL: " Missing words:", END: "\n"}
"""The tokens added, and the words whose embeddings they begin with."""
LAST = 4
"""Turns of the context that are read."""
MARKS = ".,;:!?"

_BEFORE_MARK = re.compile(r"(?<=\w)\s+(?=[.,;:!?])")
_MARKS = re.compile(r"([!?,;:])\s*[.,;:!?]+")
_DOUBLED = re.compile(r"\b(\w+(?:['\u2019]\w+)*)(?:\s+\1(?!['\u2019\w]))+", re.IGNORECASE)


def prompt(context: Sequence[str], response: str, masked: Sequence[Span]) -> Prompt:
    """A context and a response with blanks, up to where the infill begins."""
    blanks = masking.replaced(response, masked, [BLANK] * len(masked))
    return Part(script(context, LAST), shortened=True), Part(f" {blanks}{INFILL}")


def answer(response: str, masked: Sequence[Span]) -> str:
    """What is missing, each closed by its end."""
    return "".join(f" {response[start:end]}{END}" for start, end in masked)


def examples(dialogues: Iterable[Dialogue], versions: int, seed: int) -> Iterator[Example]:
    """Masked versions of every positive, in their own contexts.

    Args:
        dialogues: the corpus.
        versions: of each response; short ones have fewer.
        seed: of the masks.
    """
    for position, dialogue in enumerate(dialogues):
        generator = draws(seed, "mask-and-fill masks", position)
        for response in dialogue.positives:
            for masked in masking.versions(response, masking.TRAINING, generator, versions):
                yield Example(prompt(dialogue.context, response, masked), answer(response, masked))


def fill(response: str, masked: Sequence[Span], written: str) -> str | None:
    """The response with its blanks filled.

    Args:
        response: as it was before anything was masked.
        masked: what of it was.
        written: by the model, the last end left off.

    Returns:
        Nothing when a blank got nothing, or more or fewer were filled than there are.
    """
    fills = [_MARKS.sub(r"\1", _BEFORE_MARK.sub("", " ".join(part.split()))) for part in written.split(END)]
    if len(fills) != len(masked) or not all(fills):
        return None
    text, *behind = masking.kept(response, masked)
    for filled, piece in zip(fills, behind, strict=True):
        text = beside(beside(text, filled), piece)
    return without_doubled(" ".join(text.split())).lstrip(f"{MARKS} ") or None


def beside(before: str, behind: str) -> str:
    """Two pieces of a text as they are written one behind the other.

    What fills a blank is written without its neighbours' spaces, and a fill of words may stand where a mark was. So
    words get a space between them, a mark none before it, and of several marks in a row the first stays.
    """
    marks = tuple(MARKS)
    if behind.lstrip().startswith(marks):
        once = before.rstrip().endswith(marks)
        behind = f" {behind.lstrip(MARKS + ' ')}" if once else behind.lstrip()
        before = before.rstrip()
    words = before[-1:].isalnum() and behind[:1].isalnum()
    behind_mark = before.endswith(marks) and behind[:1].isalpha()
    return f"{before} {behind}" if words or behind_mark else before + behind


def without_doubled(text: str) -> str:
    """The text with each word that is said twice in a row said once."""
    return _DOUBLED.sub(r"\1", text)
