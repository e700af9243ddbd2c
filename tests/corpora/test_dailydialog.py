"""DailyDialog as text and in its zip files."""

import io
import zipfile
from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.errors import DataError

TEXT = "Can you do push-ups ? __eou__ Of course I can . __eou__ Really ? __eou__\nHi . __eou__ Bye . __eou__\n"


def expected(name: str) -> list[Dialogue]:
    return [
        Dialogue(f"{name}-0", ("Can you do push-ups ?", "Of course I can ."), ("Really ?",)),
        Dialogue(f"{name}-1", ("Hi .",), ("Bye .",)),
    ]


def test_the_last_turn_is_the_positive_and_all_before_the_context(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(TEXT)
    assert list(corpora.read(tmp_path / "train.txt")) == expected("train")


def test_a_zip_is_read_by_its_dialogues_and_not_by_their_labels(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        for label in ("act", "emotion", "topic"):
            archive.writestr(f"test/dialogues_{label}_test.txt", "1 2 1\n1 1\n")
        archive.writestr("test/dialogues_test.txt", TEXT)
    assert list(corpora.read(tmp_path / "test.zip")) == expected("test")


def test_a_zip_of_something_else_says_what_is_missing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("cat.jpg", "meow")
    with pytest.raises(DataError, match=r"photos\.zip: no dialogues_\*\.txt inside"):
        list(corpora.read(tmp_path / "photos.zip"))


def zipped(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("dialogues_test.txt", TEXT * 100)
    return made.getvalue()


def encrypted() -> bytes:
    text = bytearray(zipped())
    text[text.index(b"PK\x01\x02") + 8] |= 1
    return bytes(text)


def broken_inside() -> bytes:
    text = bytearray(zipped())
    text[60:70] = b"\xff" * 10
    return bytes(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (encrypted(), "dialogues_test.txt in it is encrypted; unpack it and give the text"),
        (zipped(zipfile.ZIP_LZMA), "dialogues_test.txt in it is packed by the method 14, which is not read; unpack"),
        (zipped(zipfile.ZIP_BZIP2), "dialogues_test.txt in it is packed by the method 12, which is not read; unpack"),
        (zipped()[:-30], "the zip is broken: File is not a zip file"),
        (zipped()[:20], "the zip is broken: File is not a zip file"),
        (zipped()[:30] + zipped()[31:], "it cannot be read any further: Invalid argument"),
        (broken_inside(), "the compressed data is broken"),
    ],
    ids=["encrypted", "lzma", "bzip2", "cut", "hardly begun", "a byte short", "broken inside"],
)
def test_a_zip_that_cannot_be_read_says_why(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "test.zip").write_bytes(text)
    with pytest.raises(DataError) as caught:
        list(corpora.read(tmp_path / "test.zip"))
    assert str(caught.value).startswith(f"{tmp_path / 'test.zip'}")
    assert says in str(caught.value)


@pytest.mark.parametrize("line", [b"Alone . __eou__", b" __eou__ ", b"caf\xe9 __eou__ oui __eou__"])
def test_a_bad_line_names_file_and_line_or_is_handed_over(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "train.txt"
    file.write_bytes(TEXT.encode() + line + b"\n")
    with pytest.raises(DataError, match=r"train\.txt, line 3: "):
        list(corpora.read(file))
    bad: list[bytes] = []
    assert list(corpora.read(file, lambda error, text: bad.append(text))) == expected("train")
    assert bad == [line]


@pytest.mark.parametrize(
    ("name", "count"),
    [("train.zip", 11_118), ("train_no_ddpp_devtest.txt", 8_882)],
)
def test_the_published_files_are_read_whole(shared_data: Path, name: str, count: int) -> None:
    found = list(corpora.read(shared_data / "dailydialog" / name))
    assert len(found) == len({dialogue.id for dialogue in found}) == count
