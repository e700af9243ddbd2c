"""The file of a ledger: no other program's is touched, old and edited ones are read, reading changes nothing."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from pneg.errors import LedgerError
from pneg.lm import Completion, Ledger, Request, Run, Sampling
from pneg.lm.estimate import Habits, habits
from pneg.lm.ledger import answer, merge
from pneg.lm.ledger_file import APPLICATION, reading, spent

ASKED = Request("Once", Sampling(), seed=1)
KEY = b"k" * 32
OLD = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, settings TEXT NOT NULL,
    price_in TEXT NOT NULL, price_cached TEXT NOT NULL, price_out TEXT NOT NULL
);
CREATE TABLE requests (
    hash BLOB NOT NULL UNIQUE, run INTEGER NOT NULL REFERENCES runs, seed INTEGER NOT NULL,
    at REAL NOT NULL, seconds REAL NOT NULL,
    text TEXT NOT NULL, cut INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    model TEXT NOT NULL, backend TEXT NOT NULL,
    refused TEXT NOT NULL DEFAULT '', faults TEXT
);
INSERT INTO runs VALUES (1, '2025-01-01', '{}', '1000000', '0', '0');
INSERT INTO requests VALUES (
    CAST('kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk' AS BLOB), 1, 1, 0, 0.5, 'cat', 0, 3, 2, 1, 'm', 'b', '', NULL
);
"""


def sql(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def filled(path: Path) -> Path:
    """A ledger of one answer."""

    async def record(ledger: Ledger) -> None:
        await ledger.record(KEY, ASKED, Completion("cat", False, 3, 2, 1, model="m", backend="b"), 0.5)

    with Ledger(path, Run({}, "1000000", "0", "0")) as ledger:
        asyncio.run(record(ledger))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def as_nobody() -> Iterator[None]:
    """Root may write everywhere, so that permissions mean nothing to it."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')",
        "CREATE TABLE runs (id INTEGER PRIMARY KEY, distance REAL); CREATE TABLE requests (id INTEGER)",
        "PRAGMA application_id = 1234",
        "PRAGMA user_version = 7",
        OLD + "PRAGMA application_id = 1234",
    ],
)
def test_the_database_of_another_program_is_refused_and_left_as_it_is(path: Path, script: str) -> None:
    before = sql(path, script).read_bytes()
    for use in (lambda: Ledger(path, Run({})), lambda: merge(path, []), lambda: reading(path).__enter__()):
        with pytest.raises(LedgerError) as caught:
            use()
        assert str(caught.value) == f"{path}: it is no ledger; choose another --ledger"
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_new_ledger_carries_the_mark_of_one(path: Path) -> None:
    filled(path)
    with reading(path) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)


def test_a_ledger_of_an_older_version_goes_on_with_what_it_has(path: Path, tmp_path: Path) -> None:
    sql(path, OLD)
    with reading(path) as connection:
        assert answer(connection, KEY) == (Completion("cat", False, 3, 2, 1), "")
        assert spent(connection, path) == {1: Decimal(2)}
    assert habits(path) == Habits()
    merge(tmp_path / "whole.sqlite", [path])
    for each in (path, tmp_path / "whole.sqlite"):
        with Ledger(each, Run({})) as ledger:
            assert ledger.find(KEY) == (Completion("cat", False, 3, 2, 1), "")
            assert ledger.spent() == 2
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT estimated FROM requests").fetchall() == [(0,)]


def test_what_failed_requests_may_cost_is_kept_once_when_ledgers_are_merged(path: Path, tmp_path: Path) -> None:
    with Ledger(path, Run({}, "1000000", "0", "0")) as ledger:
        ledger.attempted(ASKED, Completion("", False, 7, 1, estimated=True), 0.5, "failed, may be billed")
    for _ in range(2):
        merge(tmp_path / "whole.sqlite", [path])
    with reading(tmp_path / "whole.sqlite") as connection:
        assert sum(spent(connection, path).values()) == 7
        assert connection.execute("SELECT refused, estimated FROM requests").fetchall() == [
            ("failed, may be billed", 1)
        ]


def test_reading_leaves_no_trace(path: Path) -> None:
    before = filled(path).read_bytes()
    with reading(path) as connection:
        assert answer(connection, KEY) is not None
        with pytest.raises(LedgerError, match="it may not be written to"):
            _write(connection, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def _write(connection: sqlite3.Connection, path: Path) -> None:
    from pneg.lm.ledger_file import explained

    with explained(path):
        connection.execute("DELETE FROM requests")


def test_a_ledger_that_is_being_written_is_read_as_far_as_it_is_written(path: Path) -> None:
    with Ledger(path, Run({})) as ledger:
        for number in range(3):
            asyncio.run(ledger.record(bytes([number]) * 32, ASKED, Completion("cat"), 0.1))
            with reading(path) as connection:
                assert connection.execute("SELECT count(*) FROM requests").fetchone() == (number + 1,)


def test_a_job_that_begins_while_a_ledger_is_read_is_said(path: Path) -> None:
    filled(path)
    with (
        pytest.raises(LedgerError, match="a job began to write it while it was read; give the same command"),
        reading(path),
    ):
        filled(path)


@pytest.mark.parametrize("ending", ["", " ?#%.sqlite"])
def test_a_ledger_in_a_folder_that_may_not_be_written_to_is_read(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, ending: str
) -> None:
    folder = tmp_path_factory.mktemp("ledgers")
    path = filled(folder / f"ledger{ending}")
    path.chmod(0o444)
    folder.chmod(0o555)
    opened = [parent for parent in folder.parents if parent.stat().st_uid == os.geteuid() and parent != Path("/")]
    modes = {parent: parent.stat().st_mode for parent in opened}
    for parent in opened:
        parent.chmod(modes[parent] | 0o055)
    try:
        request.getfixturevalue("as_nobody")
        with reading(path) as connection:
            assert answer(connection, KEY) == (Completion("cat", False, 3, 2, 1), "")
        with pytest.raises(LedgerError, match=r"it may not be written to|it cannot be opened"):
            Ledger(path, Run({}))
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        for parent, mode in modes.items():
            parent.chmod(mode)


EDITS = [
    ("text = NULL", Completion("", False, 3, 2, 1)),
    ("text = x'ff00ff'", Completion("", False, 3, 2, 1)),
    ("text = CAST(x'61ff62' AS TEXT)", Completion("a\N{REPLACEMENT CHARACTER}b", False, 3, 2, 1)),
    ("text = 42", Completion("42", False, 3, 2, 1)),
    ("cut = 'perhaps'", Completion("cat", True, 3, 2, 1)),
    ("cut = NULL", Completion("cat", False, 3, 2, 1)),
    ("prompt_tokens = -5", Completion("cat", False, 0, 2, 1)),
    ("prompt_tokens = 9e999", Completion("cat", False, 0, 2, 1)),
    ("prompt_tokens = 9223372036854775807", Completion("cat", False, 0, 2, 1)),
    ("completion_tokens = 'many'", Completion("cat", False, 3, 0, 1)),
    ("cached_tokens = NULL", Completion("cat", False, 3, 2, 0)),
    ("model = NULL, backend = x'ff'", Completion("cat", False, 3, 2, 1)),
]


@pytest.mark.parametrize(("edit", "expected"), EDITS, ids=[edit for edit, _ in EDITS])
def test_a_row_that_was_edited_is_an_answer_all_the_same(path: Path, edit: str, expected: Completion) -> None:
    with reading(filled(path)) as connection:
        [(schema,)] = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'requests'")
    loose = schema.replace(" NOT NULL", "").replace("requests", "loose", 1)
    columns = (
        "hash, run, seed, at, seconds, text, cut, prompt_tokens, completion_tokens, cached_tokens, model, backend"
    )
    sql(path, f"{loose}; INSERT INTO loose SELECT * FROM requests; DROP TABLE requests; "
              f"ALTER TABLE loose RENAME TO requests; UPDATE requests SET {edit}; "
              f"INSERT INTO requests ({columns}) SELECT 'text', run, NULL, NULL, 'long', text, cut, 1, 1, 1, model, "
              "backend FROM requests; INSERT INTO requests (hash, run) VALUES (NULL, 7), (x'01', 1)")  # fmt: skip
    with Ledger(path, Run({})) as ledger:
        assert ledger.find(KEY) == (expected, "")
        assert ledger.find(b"other") is None
        assert ledger.spent() >= 0
    assert habits(path) == Habits()


@pytest.mark.parametrize("price", ["free", "-1", "NaN", "Infinity", "1e999999", ""])
def test_a_price_that_was_edited_into_none_is_named(path: Path, price: str) -> None:
    sql(filled(path), f"UPDATE runs SET price_out = '{price}'")
    with pytest.raises(LedgerError) as caught, Ledger(path, Run({})) as ledger:
        ledger.spent()
    assert str(caught.value) == (
        f"{path}: the prices of run 1 are no sums of dollars: '1000000', '0', {price!r}; "
        "correct them, or choose another --ledger"
    )
