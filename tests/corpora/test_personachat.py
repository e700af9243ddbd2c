"""PersonaChat as ConvAI2's text and as JSON lines."""

from pathlib import Path

import pytest

from pneg import Dialogue, corpora
from pneg.errors import DataError

CANDIDATES = (
    "1 your persona: i have a cat.\n"
    "2 your persona: i surf.\n"
    "3 hi !\thello .\t\tno .|yes .|hello .\n"
    "4 any pets ?\ta cat .\t\tgo away .|a dog .|a cat .\n"
    "1 your persona: i bake.\n"
    "2 hey\thow are you ?\t\tgood .|how are you ?\n"
)


def test_candidates_of_the_last_turn_are_random_negatives_less_the_answer(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(CANDIDATES)
    assert list(corpora.read(tmp_path / "train.txt")) == [
        Dialogue(
            "train-0",
            ("hi !", "hello .", "any pets ?"),
            ("a cat .",),
            {"random": ("go away .", "a dog .")},
            ("i have a cat.", "i surf."),
        ),
        Dialogue("train-1", ("hey",), ("how are you ?",), {"random": ("good .",)}, ("i bake.",)),
    ]


@pytest.mark.parametrize("begins", ["your persona: i surf.", "partner's persona: i ski."])
def test_without_candidates_there_are_no_negatives_and_the_partners_persona_is_left_out(
    tmp_path: Path, begins: str
) -> None:
    text = f"1 {begins}\n2 your persona: i bake.\n3 partner's persona: i am old.\n4 hi\thello\n5 you ?\tfine\n"
    (tmp_path / "valid.txt").write_text(text)
    own = ("i surf.", "i bake.") if begins.startswith("your") else ("i bake.",)
    assert list(corpora.read(tmp_path / "valid.txt")) == [
        Dialogue("valid-0", ("hi", "hello", "you ?"), ("fine",), {}, own)
    ]


def test_a_file_without_personas_is_recognised_too(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("1 hi\thello\n1 bye\tciao\n")
    assert [(found.context, found.positives) for found in corpora.read(tmp_path / "none.txt")] == [
        (("hi",), ("hello",)),
        (("bye",), ("ciao",)),
    ]


def test_json_lines_keep_their_ids_and_the_persona_of_the_one_who_answers(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(
        '{"id": "test-0", "source": "s", "persona": ["i surf."], "partner_persona": ["i ski."], '
        '"persona_margin": 0.1, "dialogue": ["hi", "hello", "you ?", "fine"]}\n'
    )
    assert list(corpora.read(tmp_path / "test.jsonl")) == [
        Dialogue("test-0", ("hi", "hello", "you ?"), ("fine",), {}, ("i surf.",))
    ]


@pytest.mark.parametrize(
    ("name", "first", "bad", "left"),
    [
        ("a.txt", b"1 hi\thello", b"2 no tab here", 0),
        ("a.txt", b"1 hi\thello", b"no number", 0),
        ("a.txt", b"1 your persona: i surf.", b"2 your persona:  ", 0),
        (
            "a.jsonl",
            b'{"id": "a", "persona": [], "dialogue": ["x", "y"]}',
            b'{"id": "b", "persona": [" "], "dialogue": ["x", "y"]}',
            1,
        ),
        ("a.jsonl", b'{"id": "a", "persona": [], "dialogue": ["x", "y"]}', b'{"id": "b", "x": ' + b"[" * 100_000, 1),
        ("a.txt", b"1 hi\thello", b"2 caf\xe9\tnon", 0),
        ("a.jsonl", b'{"id": "a", "persona": [], "dialogue": ["x", "y"]}', b'{"id": "b", "persona": []}', 1),
        (
            "a.jsonl",
            b'{"id": "a", "persona": [], "dialogue": ["x", "y"]}',
            b'{"id": "b", "persona": [], "dialogue": ["alone"]}',
            1,
        ),
    ],
)
def test_a_bad_line_names_file_and_line_or_is_handed_over(
    tmp_path: Path, name: str, first: bytes, bad: bytes, left: int
) -> None:
    """In the text form a conversation with a bad line is left out whole, lest turns be joined across a gap."""
    (tmp_path / name).write_bytes(first + b"\n" + bad + b"\n")
    with pytest.raises(DataError) as caught:
        list(corpora.read(tmp_path / name))
    assert str(caught.value).startswith(f"{tmp_path / name}, line 2: ")
    handed: list[bytes] = []
    good = list(corpora.read(tmp_path / name, lambda error, line: handed.append(line)))
    assert (len(good), handed) == (left, [bad])


@pytest.mark.parametrize(("name", "count"), [("test.jsonl", 968), ("train_1000.jsonl", 1000), ("valid.jsonl", 1000)])
def test_the_published_files_are_read_whole(shared_data: Path, name: str, count: int) -> None:
    found = list(corpora.read(shared_data / "personachat" / name))
    assert len(found) == len({dialogue.id for dialogue in found}) == count
    assert all(dialogue.persona and not dialogue.negatives for dialogue in found)
