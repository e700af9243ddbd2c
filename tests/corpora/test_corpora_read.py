"""Reading by file or by name: the form is found from the contents."""

from pathlib import Path

import pytest

from pneg import Dialogue, corpora, write
from pneg.errors import DataError

OURS = [Dialogue("a", ("x",), ("y",), {"human": ("z",)}), Dialogue("b", ("1 2\t3 __eou__",), ("y",))]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".parquet"])
def test_a_file_of_ours_is_read_whatever_its_ending(tmp_path: Path, ending: str) -> None:
    for dialogues in (OURS, OURS[::-1]):
        write(tmp_path / f"ours{ending}", dialogues)
        assert list(corpora.read(str(tmp_path / f"ours{ending}"))) == dialogues


def test_a_published_file_may_be_packed(tmp_path: Path) -> None:
    import gzip

    entry = b'{"id": 1, "context": ["x"], "positive_responses": ["y"]}\n'
    (tmp_path / "dev.json.gz").write_bytes(gzip.compress(entry))
    assert [found.positives for found in corpora.read(tmp_path / "dev.json.gz")] == [("y",)]


def test_an_empty_file_has_no_dialogues(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert list(corpora.read(tmp_path / "empty.jsonl")) == []


def test_a_word_that_is_neither_file_nor_corpus_names_the_corpora() -> None:
    with pytest.raises(DataError) as caught:
        corpora.read("startr:test")
    assert str(caught.value) == (
        "startr:test: there is no such file; check the path, or name a corpus: "
        "starter, dailydialog++, dailydialog, personachat, chitchat"
    )


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is a folder; name a file in it"):
        corpora.read(tmp_path)
