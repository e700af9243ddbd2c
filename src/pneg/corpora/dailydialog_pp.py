"""DailyDialog++ (Sai et al. 2020): contexts with five positive, adversarial and random responses each."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from pneg.dialogue import Dialogue, OnBad, decoded, read_lines


class _Entry(msgspec.Struct):
    context: tuple[str, ...]
    positive_responses: tuple[str, ...]
    adversarial_negative_responses: tuple[str, ...] = ()
    random_negative_responses: tuple[str, ...] = ()
    id: int | str | None = None
    dialog_id: int | str | None = None


_decode = msgspec.json.Decoder(_Entry).decode


def recognises(first: bytes) -> bool:
    """Whether a file that begins with this line is DailyDialog++."""
    return first.startswith(b"{") and b'"positive_responses"' in first


def read(path: Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read `train.json`, `dev.json`, `test.json` or a file without adversarial responses.

    The adversarial responses become `negatives["human"]`, the random ones `negatives["random"]`. An id is the
    file's name and the entry's own number, as in `dev-17`, so that splits can be joined.
    """

    def parse(line: bytes, number: int) -> Dialogue:
        entry = decoded(_decode, line, "expected an entry of DailyDialog++")
        own = next((name for name in (entry.id, entry.dialog_id) if name is not None), number - 1)
        sources = {"human": entry.adversarial_negative_responses, "random": entry.random_negative_responses}
        negatives = {name: responses for name, responses in sources.items() if responses}
        return Dialogue(f"{path.stem}-{own}", entry.context, entry.positive_responses, negatives)

    return read_lines(path, parse, on_bad)
