"""chitchat's `dataset.json`: a window of each conversation, the same whatever else is in the file."""

import json
from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.errors import DataError


def written(file: Path, conversations: dict[str, list[list[str]]]) -> Path:
    published = {
        name: {
            "messages": [
                [{"text": text, "timestamp": "2018-05-02T19:38:15Z", "sender": "s"} for text in turn]
                for turn in turns
            ],
            "ratings": {},
        }
        for name, turns in conversations.items()
    }
    file.write_text(json.dumps(published))
    return file


def test_messages_in_a_row_are_one_turn_and_the_turn_behind_the_window_is_the_positive(
    tmp_path: Path,
) -> None:
    """zlib.crc32(b"a") = 3904355907 = 3 modulo 4: a window of 2 + 3 turns; six turns leave one place for it."""
    turns = [["Hello", " How  are you\ntoday?"], ["fine"], ["ok"], [" "], ["hm"], ["so"], ["that is all"]]
    assert list(corpora.read(written(tmp_path / "dataset.json", {"a": turns}))) == [
        Dialogue("chitchat-a", ("Hello How are you today?", "fine", "ok", "hm", "so"), ("that is all",))
    ]


def test_a_positive_is_neither_a_nod_nor_a_letter(tmp_path: Path) -> None:
    """zlib.crc32(b"d") and (b"f") are 0 modulo 4: windows of two turns."""
    letter = [" ".join(["word"] * 26)]
    conversations = {
        "d": [["a"], ["b"], ["one two"], ["one two three"], ["x y"], letter],
        "f": [["a"], ["b"], ["one two"], letter],
    }
    assert list(corpora.read(written(tmp_path / "dataset.json", conversations))) == [
        Dialogue("chitchat-d", ("b", "one two"), ("one two three",))
    ]


def test_a_window_depends_on_its_own_conversation_alone(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(20)]
    many = {name: [[f"turn {n} of {name}"] for n in range(12)] for name in names}
    (tmp_path / "all").mkdir()
    together = list(corpora.read(written(tmp_path / "all" / "dataset.json", many)))
    assert [found.id for found in together] == [f"chitchat-{name}" for name in names]
    assert {len(found.context) for found in together} == {2, 3, 4, 5}
    assert len({found.context[0].split()[1] for found in together}) > 3, "not all windows begin at one place"
    for name, found in zip(names, together, strict=True):
        alone = written(tmp_path / "dataset.json", {name: many[name]})
        assert list(corpora.read(alone)) == [found]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ('{"messages": [[{"text": 5}]]}', "the conversation 'b': expected `str`, got `int`"),
        ('{"messages": ' + "[" * 100_000 + "]" * 100_000 + "}", "inside each other, deeper than can be read"),
    ],
)
def test_a_bad_conversation_is_named_or_handed_over(tmp_path: Path, bad: str, says: str) -> None:
    file = written(tmp_path / "dataset.json", {"a": [["one two three"]] * 9})
    file.write_text(file.read_text()[:-1] + f', "b": {bad}' + "}")
    with pytest.raises(DataError) as caught:
        list(corpora.read(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert says in str(caught.value)
    if "deeper" not in says:  # JSON as deep as that cannot be cut into conversations
        handed: list[bytes] = []
        assert [found.id for found in corpora.read(file, lambda _, line: handed.append(line))] == ["chitchat-a"]
        assert handed == [bad.encode()]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "dataset.json", {"a": [["x"]]})
    file.write_text(file.read_text()[:-5])
    with pytest.raises(DataError, match=r"dataset\.json: .*chitchat-dataset"):
        list(corpora.read(file))
