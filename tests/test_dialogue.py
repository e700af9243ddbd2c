"""The record and its files: what is written is what is read, and what is bad is named."""

import errno
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pneg.dialogue import PARQUET_ROWS, Dialogue, check_output, dump, normalised, parse, read, write
from pneg.errors import DataError

ENDINGS = (".jsonl", ".jsonl.gz", ".parquet")
PLAIN = Dialogue("d-1", ("Hi.", "Hello!"), ("How are you?",), {"human": ("Hi is short.",), "random": ()})
OTHER = Dialogue("d-2", ("Où est-il ?",), ("ここ\u2028です", "🙂"), {}, ("i like\ttea",))
LINE = b'{"id":"a","context":["x"],"positives":["y"]}'

texts = st.text(max_size=12).filter(lambda text: text.strip() != "")
several = st.lists(texts, max_size=3).map(tuple)
dialogues = st.builds(
    Dialogue,
    id=st.text(max_size=5),
    context=st.lists(texts, min_size=1, max_size=3).map(tuple),
    positives=several,
    negatives=st.dictionaries(st.text(max_size=5).filter(str.isprintable), several, max_size=3),
    persona=several,
)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(dialogues, max_size=4))
def test_what_is_written_is_read_back(tmp_path: Path, ending: str, given: list[Dialogue]) -> None:
    file = tmp_path / f"file{ending}"
    assert write(file, given) == len(given)
    assert list(read(file)) == given


def test_parquet_holds_what_json_lines_hold_over_more_than_one_batch(tmp_path: Path) -> None:
    many = [Dialogue(str(n), ("x",), (), {"bm25": (str(n),) * (n % 3)}) for n in range(PARQUET_ROWS + 3)]
    for ending in ENDINGS:
        assert write(tmp_path / f"many{ending}", many) == PARQUET_ROWS + 3
    first, *others = (list(read(tmp_path / f"many{ending}")) for ending in ENDINGS)
    assert first == many
    assert others == [many, many]


def test_a_line_has_exactly_these_keys_and_is_utf_8(tmp_path: Path) -> None:
    write(tmp_path / "file.jsonl", [PLAIN, OTHER])
    assert (tmp_path / "file.jsonl").read_bytes().decode() == (
        '{"id":"d-1","context":["Hi.","Hello!"],"positives":["How are you?"],'
        '"negatives":{"human":["Hi is short."],"random":[]},"persona":[]}\n'
        '{"id":"d-2","context":["Où est-il ?"],"positives":["ここ\u2028です","🙂"],'
        '"negatives":{},"persona":["i like\\ttea"]}\n'
    )


def test_a_gzip_file_is_the_plain_file_packed_and_the_same_each_time(tmp_path: Path) -> None:
    for name in ("plain.jsonl", "packed.jsonl.gz", "again.jsonl.gz"):
        write(tmp_path / name, [PLAIN, OTHER])
    packed = (tmp_path / "packed.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "plain.jsonl").read_bytes()
    assert packed == (tmp_path / "again.jsonl.gz").read_bytes()


def test_persona_and_negatives_may_be_left_out_of_a_line() -> None:
    assert parse(LINE) == Dialogue("a", ("x",), ("y",), {}, ())


def test_blank_lines_are_passed_over_and_still_counted(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(LINE + b"\r\n\n  \n{}\n")
    reading = read(file)
    assert next(reading).id == "a"
    with pytest.raises(DataError) as caught:
        next(reading)
    assert caught.value.line == 4


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_the_first_dialogue_is_read_before_the_broken_second_line(tmp_path: Path, pack) -> None:
    file = tmp_path / ("file.jsonl" if pack is bytes else "file.jsonl.gz")
    file.write_bytes(pack(LINE + b"\n{broken\n"))
    reading = read(file)
    assert next(reading).id == "a"
    with pytest.raises(DataError):
        next(reading)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_failing_iterator_leaves_the_old_file_and_no_scratch_file(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"file{ending}"
    write(file, [PLAIN])
    before = file.read_bytes()

    def failing() -> Iterator[Dialogue]:
        yield OTHER
        assert len(list(tmp_path.iterdir())) == 2, "what is unfinished lies beside the file, not in it"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(file, failing())
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_a_file_can_be_rewritten_from_itself(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    write(file, [PLAIN, OTHER])
    write(file, (Dialogue(found.id, found.context, ("new",)) for found in read(file)))
    assert [(found.id, found.positives) for found in read(file)] == [("d-1", ("new",)), ("d-2", ("new",))]


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "file.jsonl", [PLAIN])
    finally:
        os.umask(before)
    assert (tmp_path / "file.jsonl").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{broken", "malformed"),
        (LINE + b" trailing", "malformed"),
        (b'["a"]', "array"),
        (b'{"context":["x"],"positives":["y"]}', "`id`"),
        (b'{"id":"a","positives":["y"]}', "`context`"),
        (b'{"id":"a","context":["x"]}', "`positives`"),
        (LINE[:-1] + b',"label":1}', "`label`"),
        (b'{"id":1,"context":["x"],"positives":["y"]}', "$.id"),
        (b'{"id":"a","context":"x","positives":["y"]}', "$.context"),
        (b'{"id":"a","context":["x"],"positives":[null]}', "$.positives[0]"),
        (LINE[:-1] + b',"negatives":["z"]}', "$.negatives"),
        (b'{"id":"a","context":[],"positives":["y"]}', "the context is empty"),
        (b'{"id":"a","context":["x"," \\t"],"positives":["y"]}', "context[1] is blank"),
        (b'{"id":"a","context":["x"],"positives":[""]}', "positives[0] is blank"),
        (LINE[:-1] + b',"negatives":{"human":["z",""]}}', "human[1] is blank"),
        (b'{"id":"a","context":["x\xff"],"positives":["y"]}', "a byte that is not UTF-8"),
        (
            LINE[:-1] + b',"negatives":{"hu\\nman":["z"]}}',
            "the name 'hu\\nman' among the negatives; expected printable",
        ),
        (LINE[:-1] + b',"negatives":{"\\u001b[31m":[]}}', "the name '\\x1b[31m' among the negatives"),
        (LINE[:-1] + b',"negatives":' + b'{"a":' * 100_000, "expected `array`, got `object`"),
        (b"[" * 100_000, "expected `object`, got `array`"),
        (LINE[:-1] + b',"x":' + b"[" * 100_000, "unknown field `x`"),
        (b'{"id":"a","context":["\\ud800"],"positives":["y"]}', "surrogate"),
    ],
)
def test_a_bad_line_names_file_line_and_fault_or_is_handed_over(tmp_path: Path, line: bytes, says: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(LINE + b"\n" + line + b"\n" + LINE + b"\n")
    with pytest.raises(DataError) as caught:
        list(read(file))
    assert str(caught.value).startswith(f"{file}, line 2: ")
    assert says in str(caught.value)
    assert (caught.value.file, caught.value.line) == (file, 2)

    bad: list[tuple[int | None, bytes]] = []
    good = list(read(file, lambda error, text: bad.append((error.line, text))))
    assert [found.id for found in good] == ["a", "a"]
    assert bad == [(2, line)]


def test_a_bad_row_of_a_parquet_file_names_its_row_or_is_handed_over(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "file.parquet"
    rows = {"id": ["a", "b", "c"], "context": [["x"], [], ["x"]], "positives": [["y"], ["y"], [None]]}
    pq.write_table(pa.table(rows), file)
    with pytest.raises(DataError, match=r"file\.parquet, line 2: the context is empty"):
        list(read(file))
    bad: list[tuple[int | None, str]] = []
    good = read(file, lambda error, row: bad.append((error.line, json.loads(row)["id"])))
    assert list(good) == [Dialogue("a", ("x",), ("y",))]
    assert bad == [(2, "b"), (3, "c")]


def test_a_text_of_a_parquet_file_that_is_not_utf_8_is_a_bad_row_of_its_own(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    rows = {"id": texts, "context": [["x"]] * 3, "positives": [["y"]] * 3}
    pq.write_table(pa.table(rows), tmp_path / "file.parquet")
    bad: list[DataError] = []
    assert [found.id for found in read(tmp_path / "file.parquet", lambda error, _: bad.append(error))] == ["a", "c"]
    assert list(map(str, bad)) == [f"{tmp_path / 'file.parquet'}, line 2: a byte that is not UTF-8"]


def test_a_full_disk_while_bad_rows_are_set_aside_is_not_a_fault_of_the_file(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out.bad")

    pq.write_table(pa.table({"id": ["a"], "context": [[""]], "positives": [["y"]]}), tmp_path / "file.parquet")
    with pytest.raises(OSError) as caught:
        list(read(tmp_path / "file.parquet", full))
    assert caught.value.filename == "out.bad"


def test_a_parquet_file_without_a_column_says_which(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["a"], "positives": [["y"]]}), tmp_path / "file.parquet")
    with pytest.raises(DataError, match=r"file\.parquet: the columns context are missing"):
        list(read(tmp_path / "file.parquet"))


@pytest.mark.parametrize(
    ("name", "contents", "says"),
    [
        ("cut.jsonl.gz", gzip.compress(LINE * 100, mtime=0)[:-12], "compressed data is broken"),
        ("text.jsonl.gz", LINE, "compressed data is broken"),
        ("text.parquet", LINE, "no whole Parquet file"),
        ("empty.parquet", b"", "no whole Parquet file"),
        ("missing.jsonl", None, "there is no such file"),
        ("missing.jsonl.gz", None, "there is no such file"),
        ("missing.parquet", None, "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, contents: bytes | None, says: str) -> None:
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(DataError, match=says) as caught:
        list(read(tmp_path / name))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it is a folder"):
        list(read(tmp_path))


@pytest.mark.parametrize("name", ["out.json", "out.txt", "out.gz", "out", ".parquet.tmp"])
def test_an_output_of_unknown_ending_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    def never() -> Iterator[Dialogue]:
        pytest.fail("the dialogues were asked for")
        yield

    with pytest.raises(DataError, match=r"expected \.jsonl, \.jsonl\.gz or \.parquet"):
        write(tmp_path / name, never())
    assert not list(tmp_path.iterdir())


def test_an_output_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "out.jsonl")


def test_a_dialogue_cannot_be_made_without_a_context_or_with_a_blank_text() -> None:
    with pytest.raises(DataError, match="the context is empty"):
        Dialogue("a", (), ("y",))
    with pytest.raises(DataError, match=r"random\[0\] is blank"):
        Dialogue("a", ("x",), ("y",), {"random": ("\n",)})


def test_a_dialogue_can_be_a_member_of_a_set() -> None:
    assert len({PLAIN, OTHER, parse(dump(PLAIN))}) == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("I  see.", "i see", True),
        ("Really?!", "really", True),
        ("Well…", "well", True),
        ("Straße", "STRASSE", True),
        ("\u00a0No .\n", "no", True),
        ("It's 5.50", "It's 5", False),
        ("Yes, sir", "Yes sir", False),
    ],
)
def test_case_space_and_final_punctuation_do_not_count(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same
