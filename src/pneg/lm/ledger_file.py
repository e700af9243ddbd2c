"""The file of a ledger: its tables, opening it to write or only to read, and SQLite's errors in plain words."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pneg.errors import LedgerError
from pneg.lm.base import MOST_TOKENS
from pneg.lm.prices import Price

APPLICATION = 0x706E6567
"""SQLite's `application_id` of a ledger, the letters `pneg`; ledgers made before it was set have 0."""
TABLES = f"""
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, settings TEXT NOT NULL,
    price_in TEXT NOT NULL, price_cached TEXT NOT NULL, price_out TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS requests (
    hash BLOB NOT NULL UNIQUE, run INTEGER NOT NULL REFERENCES runs, seed INTEGER NOT NULL,
    at REAL NOT NULL, seconds REAL NOT NULL,
    text TEXT NOT NULL, cut INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    model TEXT NOT NULL, backend TEXT NOT NULL,
    refused TEXT NOT NULL DEFAULT '', faults TEXT,
    estimated INTEGER NOT NULL DEFAULT 0
);
PRAGMA application_id = {APPLICATION};
"""
ADDED = {"estimated": "INTEGER NOT NULL DEFAULT 0"}
"""Columns of `requests` that older ledgers lack."""
RUN = "started, settings, price_in, price_cached, price_out"
ROW = (
    "seed, at, seconds, text, cut, prompt_tokens, completion_tokens, cached_tokens, model, backend, refused, faults, "
    "estimated"
)
REQUIRED = {
    "runs": {"id", *RUN.split(", ")},
    "requests": {"hash", "run", *ROW.split(", ")} - ADDED.keys(),
}
MOST_DOLLARS = 10**9
"""A million tokens do not cost more; sums of what is beyond any sense would end in an overflow."""
PATIENCE = 10.0
"""Seconds to wait for another process that is writing."""


def count_of(column: str) -> str:
    """SQL for a number of tokens; what was edited into something else, or below 0, counts as 0."""
    return f"CASE WHEN typeof({column}) = 'integer' AND {column} BETWEEN 0 AND {MOST_TOKENS} THEN {column} ELSE 0 END"


READ, CACHED, WRITTEN = map(count_of, ("prompt_tokens", "cached_tokens", "completion_tokens"))
SECONDS = "CASE WHEN typeof(seconds) IN ('real', 'integer') AND seconds BETWEEN 0 AND 1e9 THEN seconds ELSE 0 END"
"""SQL for how long a request took; what was edited into something else counts as 0."""
SPENT = f"""
SELECT run, sum({READ}), sum(min({READ}, {CACHED})), sum({WRITTEN}), price_in, price_cached, price_out
FROM requests JOIN runs ON run = runs.id GROUP BY run
"""


def opened(path: Path, patience: float = PATIENCE) -> sqlite3.Connection:
    """A connection to a ledger that commits only when told to, to the disk and not just to the system's memory.

    The file is made where it is not there, and given what a ledger of an older version lacks.

    Raises:
        LedgerError: when it is another program's database.
        sqlite3.Error: see `explained`.
    """
    # An absolute path, since SQLite takes `:memory:` for no file at all.
    connection = sqlite3.connect(path.absolute(), timeout=patience, isolation_level=None, check_same_thread=False)
    connection.text_factory = _text
    with _closed_on_failure(connection):
        until = time.monotonic() + patience
        while True:  # SQLite does not wait for another connection that is changing the mode, too
            try:
                _check(connection, path, empty=True)
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.01)
        connection.execute("PRAGMA synchronous = FULL")
        _prepare(connection)
    return connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a ledger that changes nothing, for the time of the block; another process may be writing it.

    Raises:
        LedgerError: when it is no ledger, or cannot be read.
    """
    # Without a log beside it all that was written is in the file, which is read as if it could not change: to look
    # for a log, SQLite would make one, which it cannot in a folder that may not be written to.
    alone = not any(_holds_something(Path(f"{path}{ending}")) for ending in ("-wal", "-journal"))
    address = path.absolute().as_uri() + ("?immutable=1" if alone else "?mode=ro")
    with explained(path):
        before = path.stat()
        connection = sqlite3.connect(
            address, timeout=PATIENCE, isolation_level=None, uri=True, check_same_thread=False
        )
        connection.text_factory = _text
        with _closed_on_failure(connection):
            _check(connection, path, empty=False)
    try:
        with explained(path):
            yield connection
    finally:
        connection.close()
        now = path.stat()
        if alone and (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
            raise LedgerError(path, "a job began to write it while it was read", "give the same command again")


def add_missing_columns(connection: sqlite3.Connection, schema: str = "main") -> None:
    """Give a ledger of an older version the columns that it lacks."""
    for column in ADDED.keys() - columns(connection, "requests", schema):
        connection.execute(f"ALTER TABLE {schema}.requests ADD COLUMN {column} {ADDED[column]}")


def columns(connection: sqlite3.Connection, table: str, schema: str = "main") -> set[str]:
    """The names of a table's columns; none where there is no such table."""
    return {row[1] for row in connection.execute(f"PRAGMA {schema}.table_info({table})")}


def spent(connection: sqlite3.Connection, path: Path) -> dict[int, Decimal]:
    """Dollars that each run with requests has cost, at the prices of its time.

    Raises:
        LedgerError: when a price was edited into something that is none.
    """
    return {
        run: _price(prices, path, run).of(read, cached, written)
        for run, read, cached, written, *prices in connection.execute(SPENT)
    }


def total_spent(path: Path) -> Decimal:
    """Dollars that all runs in a ledger have cost; none where there is no file.

    Raises:
        LedgerError: as `reading` and `spent`.
    """
    if not path.is_file():
        return Decimal(0)
    with reading(path) as connection:
        return sum(spent(connection, path).values(), Decimal(0))


def _price(values: list[object], path: Path, run: int) -> Price:
    try:
        prices = [Decimal(value) if isinstance(value, str) else Decimal(-1) for value in values]
    except InvalidOperation:
        prices = [Decimal(-1)]
    if not all(price.is_finite() and 0 <= price <= MOST_DOLLARS for price in prices):
        found = ", ".join(map(repr, values))
        raise LedgerError(
            path,
            f"the prices of run {run} are no sums of dollars: {found}",
            "correct them, or choose another --ledger",
        )
    return Price(*prices)


def _check(connection: sqlite3.Connection, path: Path, *, empty: bool) -> None:
    """Refuse what is no ledger; a new or empty database passes where it may become one."""
    [(application,)] = connection.execute("PRAGMA application_id")
    [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_master")
    if tables:
        ours = all(names <= columns(connection, table) for table, names in REQUIRED.items())
    else:
        [(version,)] = connection.execute("PRAGMA user_version")
        ours = empty and version == 0
    if not ours or application not in (0, APPLICATION):
        raise LedgerError(path, "it is no ledger", "choose another --ledger")


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where they are not there, all at once."""
    [(application,)] = connection.execute("PRAGMA application_id")
    if application == APPLICATION and columns(connection, "requests") >= ADDED.keys():
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";"):
        connection.execute(statement)
    add_missing_columns(connection)
    connection.execute("COMMIT")


def _text(stored: bytes) -> str:
    """A text as it is stored; bytes that an edit made invalid are replaced, where SQLite's module would raise."""
    return stored.decode(errors="replace")


def _holds_something(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


@contextmanager
def _closed_on_failure(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, LedgerError):
        with suppress(sqlite3.Error):
            connection.close()
        raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says inside the block into where, what, and what to do.

    Raises:
        LedgerError: for any error of SQLite.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        for beginning, (found, remedy) in SAID.items():
            if name.startswith(beginning):
                raise LedgerError(path, found, remedy) from error
        raise LedgerError(path, f"SQLite says: {error}", "choose another --ledger") from error


SAID = {
    "SQLITE_FULL": (
        "the disk is full; nothing that was answered before is lost",
        "make room and give the same command again",
    ),
    "SQLITE_IOERR": (
        "it cannot be written to; nothing that was answered before is lost",
        "check the disk and give the same command again",
    ),
    "SQLITE_BUSY": (
        "another process has locked it",
        "wait for that to end and give the same command again, or choose another --ledger",
    ),
    "SQLITE_READONLY": ("it may not be written to", "change its permissions, or choose another --ledger"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "check the path and its permissions, or choose another --ledger"),
    "SQLITE_NOTADB": ("it is no ledger", "choose another --ledger"),
    "SQLITE_CORRUPT": ("it is damaged", "move it away, or choose another --ledger"),
}
