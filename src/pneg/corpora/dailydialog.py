"""DailyDialog (Li et al. 2017): a dialogue a line, turns that end in `__eou__`; as text or in its zip files."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pneg.dialogue import ZIP, Dialogue, Member, OnBad, beginning, read_lines
from pneg.errors import DataError
from pneg.files import opened

END = "__eou__"
ENCRYPTED = 0x1
"""The bit of a zip's member that says so."""


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

    return read_lines(_text_inside(path) if is_zip(path) else path, parse, on_bad)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip, whole or broken.

    Raises:
        DataError: when it cannot be opened.
    """
    return beginning(path, len(ZIP)) == ZIP


def _text_inside(path: Path) -> Member:
    try:
        with opened(path) as stream, zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"the zip is broken: {error}", file=path) from error
    for member in members:
        stem = Path(member.filename).stem
        if stem.startswith("dialogues_") and not stem.startswith(
            ("dialogues_act", "dialogues_emotion", "dialogues_topic")
        ):
            break
    else:
        raise DataError("no dialogues_*.txt inside", "expected a zip of DailyDialog", file=path)
    if member.flag_bits & ENCRYPTED:
        raise DataError(f"{member.filename} in it is encrypted", "unpack it and give the text", file=path)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{member.filename} in it is packed by the method {member.compress_type}, which is not read",
            "unpack it and give the text",
            file=path,
        )
    return Member(path, member.filename)
