"""DailyDialog++ in its published form."""

from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.errors import DataError

FULL = (
    '{"id": 7, "context": ["Is it raining?", "Look yourself ."], "positive_responses": ["It is.", "No."], '
    '"adversarial_negative_responses": ["Rain has seven colours."], '
    '"random_negative_responses": ["Two tickets, please."]}\n'
)
PLAIN = '{"dialog_id": 0, "context": ["Are you going out, Jack?"], "positive_responses": ["Yes.", "Why?"]}\n'


def test_adversarial_responses_are_human_negatives_and_random_ones_random(tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(FULL)
    assert list(corpora.read(tmp_path / "dev.json")) == [
        Dialogue(
            "dev-7",
            ("Is it raining?", "Look yourself ."),
            ("It is.", "No."),
            {"human": ("Rain has seven colours.",), "random": ("Two tickets, please.",)},
        )
    ]


def test_a_file_without_adversarial_responses_gives_no_negatives(tmp_path: Path) -> None:
    nameless = '{"context": ["Hello?"], "positive_responses": ["Hello!"]}\n'
    (tmp_path / "positives.json").write_text(PLAIN + nameless)
    assert list(corpora.read(tmp_path / "positives.json")) == [
        Dialogue("positives-0", ("Are you going out, Jack?",), ("Yes.", "Why?")),
        Dialogue("positives-1", ("Hello?",), ("Hello!",)),
    ]


def test_a_bad_entry_names_file_and_line_or_is_handed_over(tmp_path: Path) -> None:
    file = tmp_path / "test.json"
    file.write_bytes(FULL.encode() + b'{"id": 8, "context": ["x"]}\n' + b'{"id": "\xff"}\n' + PLAIN.encode())
    with pytest.raises(DataError, match=r"test\.json, line 2: .*positive_responses"):
        list(corpora.read(file))
    bad: list[int | None] = []
    good = list(corpora.read(file, lambda error, line: bad.append(error.line)))
    assert ([dialogue.id for dialogue in good], bad) == (["test-7", "test-0"], [2, 3])


@pytest.mark.parametrize(
    ("name", "count", "sources"),
    [
        ("dev.json", 1028, {"human", "random"}),
        ("test.json", 1142, {"human", "random"}),
        ("data_positives.json", 7641, set()),
    ],
)
def test_the_published_files_are_read_whole(shared_data: Path, name: str, count: int, sources: set[str]) -> None:
    found = list(corpora.read(shared_data / "dailydialog++" / name))
    assert len(found) == len({dialogue.id for dialogue in found}) == count
    assert {source for dialogue in found for source in dialogue.negatives} == sources
    assert all(len(dialogue.positives) == 5 for dialogue in found)
