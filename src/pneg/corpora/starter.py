"""The starter corpus, written for this project and shipped with it: 400 everyday dialogues."""

from pathlib import Path

from pneg.errors import DataError

SPLITS = {"demonstrations": "starter_demonstrations.jsonl", "test": "starter_test.jsonl"}

KINDS = {
    "human-keyword": "words of the context on another topic, the paper's kind",
    "human-other-sense": "a word of the context in another sense",
    "human-wrong-speaker": "what somebody else could have said here",
    "human-contradiction": "the opposite of what has been said",
    "human-already-answered": "asks or tells what has been said already",
}
"""Sets of negatives in the test by the fault that they have; each text of `human` is in one of them."""


def file(split: str) -> Path:
    """The file of a split: `demonstrations` (300 dialogues, an example set) or `test` (100).

    Each dialogue has 3 positives and 5 adversarial responses in `negatives["human"]`; those of the test also have
    5 responses of other dialogues in `negatives["random"]`.
    """
    if split not in SPLITS:
        raise DataError(
            f"starter has no split {split!r}" if split else "starter has two splits",
            f"expected starter:{' or starter:'.join(SPLITS)}",
        )
    return Path(__file__).parent / "data" / SPLITS[split]
