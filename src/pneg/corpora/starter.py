"""The starter corpus, written for this project and shipped with it: 400 everyday dialogues."""

from pathlib import Path

from pneg.errors import DataError

SPLITS = {"demonstrations": "starter_demonstrations.jsonl", "test": "starter_test.jsonl"}


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
