"""DailyDialog (Li et al. 2017): a dialogue a line, turns that end in `__eou__`; as text or in its zip files."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pneg.dialogue import Dialogue, OnBad, read_lines
from pneg.errors import DataError

END = "__eou__"


def recognises(first: bytes) -> bool:
    """Whether a file that begins with this line is DailyDialog's text."""
    return END.encode() in first and not first.startswith(b"{")


def read(path: Path, on_bad: OnBad | None = None) -> Iterator[Dialogue]:
    """Read each dialogue with its last turn as the one positive and all earlier turns as the context.

    Args:
        path: the text, or a zip that holds `dialogues_train.txt`, `dialogues_validation.txt`, `dialogues_test.txt`
            or, without splits, `dialogues_text.txt`.
        on_bad: called for each dialogue of fewer than two turns; without it such a line raises.
    """
    name = path.stem

    def parse(line: bytes, number: int) -> Dialogue:
        try:
            turns = [turn.strip() for turn in line.decode().split(END)]
        except UnicodeDecodeError as error:
            raise DataError("a byte that is not UTF-8") from error
        turns = [turn for turn in turns if turn]
        if len(turns) < 2:
            raise DataError(
                f"a dialogue of {len(turns)} turns", f"expected two or more turns, each with {END} behind it"
            )
        return Dialogue(f"{name}-{number - 1}", tuple(turns[:-1]), (turns[-1],))

    if zipfile.is_zipfile(path):
        return read_lines(zipfile.Path(path, _text_inside(path)), parse, on_bad)
    return read_lines(path, parse, on_bad)


def _text_inside(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise DataError(f"the zip is broken: {error}", file=path) from error
    for name in names:
        stem = Path(name).stem
        if stem.startswith("dialogues_") and not stem.startswith(
            ("dialogues_act", "dialogues_emotion", "dialogues_topic")
        ):
            return name
    raise DataError("no dialogues_*.txt inside", "expected a zip of DailyDialog", file=path)
