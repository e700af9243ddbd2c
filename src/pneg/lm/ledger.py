"""The ledger: every answer of a language model, kept before it is used, so that none is paid for twice."""

import asyncio
import json
import sqlite3
import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from pneg.errors import LedgerError
from pneg.lm.base import Completion, Request
from pneg.lm.prices import Price

TABLES = """
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
    refused TEXT NOT NULL DEFAULT '', faults TEXT
);
"""
RUN = "started, settings, price_in, price_cached, price_out"
ROW = "seed, at, seconds, text, cut, prompt_tokens, completion_tokens, cached_tokens, model, backend, refused, faults"
ANSWER = ", ".join(part.name for part in fields(Completion))
COLUMNS = f"hash, run, seed, at, seconds, refused, {ANSWER}"
COMPLETION = attrgetter(*(part.name for part in fields(Completion)))
MERGE = f"""
INSERT INTO main.runs ({RUN}) SELECT {RUN} FROM shard.runs EXCEPT SELECT {RUN} FROM main.runs;
DROP TABLE IF EXISTS temp.numbers;
CREATE TEMP TABLE numbers AS SELECT its.id AS there, min(ours.id) AS here
    FROM shard.runs AS its JOIN main.runs AS ours ON ({", ".join(f"its.{name}" for name in RUN.split(", "))})
        = ({", ".join(f"ours.{name}" for name in RUN.split(", "))}) GROUP BY its.id;
INSERT INTO main.requests (hash, run, {ROW})
    SELECT hash, (SELECT here FROM temp.numbers WHERE there = run), {ROW} FROM shard.requests WHERE true
    ON CONFLICT (hash) DO UPDATE SET faults = excluded.faults
        WHERE requests.faults IS NULL AND excluded.faults IS NOT NULL;
"""
"""Runs of one time, with the same settings and prices, are one: the parts of a job on a cluster are."""
SPENT = (
    "SELECT price_in, price_cached, price_out, sum(prompt_tokens), sum(cached_tokens), sum(completion_tokens) "
    "FROM requests JOIN runs ON run = runs.id GROUP BY run"
)
PATIENCE = 10.0
"""Seconds to wait for another process that is writing."""
AT_ONCE = 1024
"""Rows a transaction holds at most."""
TOGETHER = (64, 8, 1)
"""Rows a statement writes: with each one the writer lets go of the interpreter, and has to wait for it again."""
PLACES = f"(?{', ?' * COLUMNS.count(',')})"
INSERT = {
    rows: f"INSERT INTO requests ({COLUMNS}) VALUES {', '.join([PLACES] * rows)} ON CONFLICT (hash) DO NOTHING"
    for rows in TOGETHER
}
JUDGE = {
    rows: f"UPDATE requests SET faults = ? WHERE faults IS NOT ? AND hash IN (?{', ?' * (rows - 1)})"
    for rows in TOGETHER
}


@dataclass(frozen=True, slots=True)
class _Row:
    """An answer to be written, and who waits for it."""

    values: tuple[Any, ...]
    written: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The faults of an answer."""

    key: bytes
    faults: str


_Job = _Row | _Verdict
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Run:
    """What a run was asked to do.

    Attributes:
        settings: plain values; never a key.
        price_in: dollars a million tokens read, as a decimal number.
        price_cached: of those read from a cache.
        price_out: of those written.
    """

    settings: Mapping[str, Any]
    price_in: str = "0"
    price_cached: str = "0"
    price_out: str = "0"


class Ledger:
    """A SQLite file with one row for each request that was answered.

    A row is on the disk before `record` returns. Several processes may share a file; what the others add while it is
    open is not looked for.

    Args:
        path: made where it is not there.
        run: what the rows are written for.
        patience: seconds to wait for another process that is writing.

    Raises:
        LedgerError: when the file cannot be used, the disk is full, or another process does not let go of it.
    """

    def __init__(self, path: Path, run: Run, patience: float = PATIENCE) -> None:
        self.path = path
        with explained(path):
            self._reader = opened(path, patience)
            self._reader.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
            started = datetime.now(UTC).isoformat(timespec="seconds")
            settings = json.dumps(run.settings, sort_keys=True)
            values = (started, settings, run.price_in, run.price_cached, run.price_out)
            row = self._reader.execute(f"INSERT INTO runs ({RUN}) VALUES (?, ?, ?, ?, ?)", values)
            self.run = row.lastrowid or 0
            # Eight bytes of each hash, in order: nearly all requests of a new job are known to be new without a look.
            beginnings = self._reader.execute("SELECT substr(hash, 1, 8) FROM requests ORDER BY hash")
            self._there = array("Q", (int.from_bytes(found) for (found,) in beginnings))
            self._writer = opened(path, patience)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._failed: LedgerError | None = None
        self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        if self._failed and kind is None:
            raise self._failed

    def find(self, key: bytes) -> tuple[Completion, str] | None:
        """The answer to the request of this hash, and why it was refused if it was.

        None where it had not been answered when the ledger was opened.

        Raises:
            LedgerError: also where an answer could not be written before: nothing may be asked for that is lost then.
        """
        self._check()
        beginning = int.from_bytes(key[:8])
        place = bisect_left(self._there, beginning)
        if place == len(self._there) or self._there[place] != beginning:
            return None
        with explained(self.path):
            return answer(self._reader, key)

    def spent(self) -> Decimal:
        """Dollars that all runs in it have cost, each at the prices of its time."""
        with explained(self.path):
            rows = self._reader.execute(SPENT).fetchall()
        costs = (Price(*map(Decimal, row[:3])).of(*row[3:]) for row in rows)
        return sum(costs, Decimal(0))

    async def record(
        self, key: bytes, request: Request, completion: Completion, seconds: float, refused: str = ""
    ) -> None:
        """Put an answer on the disk.

        Args:
            key: the request's hash.
            request: what was asked.
            completion: what was answered.
            seconds: it took.
            refused: why there is no answer, though it was paid for, and never will be.
        """
        values = (key, self.run, request.seed, time.time(), seconds, refused, *COMPLETION(completion))
        written = asyncio.get_running_loop().create_future()
        self._put(_Row(values, written))
        await written

    def judge(self, key: bytes, faults: Sequence[str]) -> None:
        """Note why responses of an answer were refused; it is written with the next row, at the latest on closing."""
        self._put(_Verdict(key, json.dumps(faults) if faults else "[]"))

    def _put(self, job: _Job) -> None:
        self._check()
        self._jobs.put(job)

    def _check(self) -> None:
        if self._failed:
            raise self._failed

    def _write(self) -> None:
        """The writer's thread: all that has come up to now becomes one transaction, so that a sync serves many."""
        while True:
            jobs = [self._jobs.get()]
            with suppress(Empty):
                while len(jobs) < AT_ONCE and jobs[-1] is not None:
                    jobs.append(self._jobs.get_nowait())
            if found := [job for job in jobs if job is not None]:
                self._commit(found)
            if jobs[-1] is None:
                return

    def _commit(self, jobs: Sequence[_Job]) -> None:
        try:
            with explained(self.path), self._writer:  # rolled back when it fails
                self._writer.execute("BEGIN IMMEDIATE")
                for rows in _grouped([job.values for job in jobs if isinstance(job, _Row)]):
                    self._writer.execute(INSERT[len(rows)], tuple(chain.from_iterable(rows)))
                judged: defaultdict[str, list[bytes]] = defaultdict(list)
                for job in jobs:  # what is judged was answered before
                    if isinstance(job, _Verdict):
                        judged[job.faults].append(job.key)
                for faults, keys in judged.items():
                    for some in _grouped(keys):
                        self._writer.execute(JUDGE[len(some)], (faults, faults, *some))
        except LedgerError as error:
            self._failed = error
        waiting: defaultdict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
        for job in jobs:
            if isinstance(job, _Row):
                waiting[job.written.get_loop()].append(job.written)
        for loop, written in waiting.items():
            with suppress(RuntimeError):  # it is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, written, self._failed)


def answer(connection: sqlite3.Connection, key: bytes) -> tuple[Completion, str] | None:
    """What was answered to the request of this hash, and why it was refused if it was; None where there is none."""
    row = connection.execute(f"SELECT {ANSWER}, refused FROM requests WHERE hash = ?", (key,)).fetchone()
    return row and (Completion(row[0], bool(row[1]), *row[2:7]), row[7])


def _grouped(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """The items in order, in groups as large as `TOGETHER` has them."""
    start = 0
    for size in TOGETHER:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size


def _tell(written: "Iterable[asyncio.Future[None]]", failed: LedgerError | None) -> None:
    """Let those go on who wait for their rows."""
    for each in written:
        if each.done():
            continue
        if failed:
            each.set_exception(failed)
        else:
            each.set_result(None)


def merge(path: Path, shards: Iterable[Path], patience: float = PATIENCE) -> None:
    """Take the runs and rows of other ledgers into one, made where it is not there; no request twice.

    A shard is taken in at once or not at all, and may be taken in again, with what it has got since.

    Raises:
        LedgerError: as `Ledger`.
    """
    with explained(path), closing(opened(path, patience)) as connection:
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES} COMMIT;")
        for shard in shards:
            with explained(shard):
                connection.execute("ATTACH ? AS shard", (str(shard),))
                tables = connection.execute("SELECT count(*) FROM shard.sqlite_master WHERE name = 'requests'")
                if tables.fetchone() != (0,):  # or the job was killed before it had made them
                    connection.executescript(f"BEGIN IMMEDIATE; {MERGE} COMMIT;")
                connection.execute("DETACH shard")


def opened(path: Path, patience: float = PATIENCE) -> sqlite3.Connection:
    """A connection to a ledger that commits only when told to, to the disk and not just to the system's memory."""
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    until = time.monotonic() + patience
    while True:  # SQLite does not wait for another connection that is changing the mode, too
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


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
