"""The ledger: every answer of a language model, kept before it is used, so that none is paid for twice."""

import asyncio
import json
import secrets
import sqlite3
import threading
import time
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from operator import attrgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from pneg.errors import LedgerError
from pneg.lm.base import MOST_TOKENS, Completion, Request
from pneg.lm.ledger_file import PATIENCE, ROW, RUN, add_missing_columns, columns, explained, opened, spent
from pneg.lm.worker import Worker

ANSWER = "text, cut, prompt_tokens, completion_tokens, cached_tokens, model, backend"
COLUMNS = f"hash, run, seed, at, seconds, refused, {ANSWER}, estimated"
COMPLETION = attrgetter(*ANSWER.split(", "), "estimated")
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
    """An answer to be written, and who waits for it, if anybody does."""

    values: tuple[Any, ...]
    written: "asyncio.Future[None] | None"


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
            started = datetime.now(UTC).isoformat(timespec="seconds")
            settings = json.dumps(run.settings, sort_keys=True)
            values = (started, settings, run.price_in, run.price_cached, run.price_out)
            row = self._reader.execute(f"INSERT INTO runs ({RUN}) VALUES (?, ?, ?, ?, ?)", values)
            self.run = row.lastrowid or 0
            # Eight bytes of each hash, in order: nearly all requests of a new job are known to be new without a look.
            beginnings = self._reader.execute(
                "SELECT substr(hash, 1, 8) FROM requests "
                "WHERE typeof(hash) = 'blob' AND length(hash) >= 8 ORDER BY hash"
            )
            self._there = array("Q", (int.from_bytes(found) for (found,) in beginnings))
            self._writer = opened(path, patience)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._in_hand: list[_Job] = []
        self._failed: LedgerError | None = None
        self._closed = LedgerError(path, "it is closed", "open it again")
        self._ending = threading.Lock()
        self._thread = Worker(self._write, self._ended, "ledger")

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        if self._failed not in (None, self._closed, error):
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
            return sum(spent(self._reader, self.path).values(), Decimal(0))

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

    def attempted(self, request: Request, cost: Completion, seconds: float, why: str) -> None:
        """Note a request without an answer that may be billed all the same; it is written as `judge` has it.

        It has a row of its own under a hash that no request has, so that the request may be asked again.

        Args:
            request: what was asked.
            cost: the tokens that may be billed.
            seconds: it took.
            why: there is no answer.
        """
        values = (secrets.token_bytes(32), self.run, request.seed, time.time(), seconds, why, *COMPLETION(cost))
        self._put(_Row(values, None))

    def _put(self, job: _Job) -> None:
        with self._ending:  # what is put behind the writer's back would never be written, nor failed
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
            self._in_hand = [job for job in jobs if job is not None]
            if self._in_hand:
                with explained(self.path):
                    self._commit(self._in_hand)
                _tell(self._in_hand, None)
            if jobs[-1] is None:
                return

    def _ended(self, error: BaseException | None) -> None:
        """Let nobody wait for a writer that has ended: whatever ended it, all that is not written has failed."""
        if error is None:
            failed = self._closed
        elif isinstance(error, LedgerError):
            failed = error
        else:
            why = ": ".join(filter(None, (type(error).__name__, str(error))))
            remedy = "what was answered before is kept; give the same command to go on"
            failed = LedgerError(self.path, f"an answer could not be written ({why})", remedy)
            failed.__cause__ = error
        with self._ending:
            self._failed = failed
        waiting = self._in_hand
        with suppress(Empty):
            while True:
                waiting += filter(None, [self._jobs.get_nowait()])
        _tell(waiting, failed)

    def _commit(self, jobs: Sequence[_Job]) -> None:
        with self._writer:  # rolled back when it fails
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


def answer(connection: sqlite3.Connection, key: bytes) -> tuple[Completion, str] | None:
    """What was answered to the request of this hash, and why it was refused if it was; None where there is none.

    A row that was edited is read as far as it goes, and judged as any other answer: what is no text is an empty one,
    what is no number of tokens is 0.
    """
    row = connection.execute(f"SELECT {ANSWER}, refused FROM requests WHERE hash = ?", (key,)).fetchone()
    if row is None:
        return None
    text, cut, *counts, model, backend, refused = row
    read, written, cached = map(_as_count, counts)
    completion = Completion(_as_text(text), bool(cut), read, written, cached, _as_text(model), _as_text(backend))
    return completion, _as_text(refused)


def _as_text(stored: object) -> str:
    return stored if isinstance(stored, str) else ""


def _as_count(stored: object) -> int:
    return stored if isinstance(stored, int) and 0 <= stored <= MOST_TOKENS else 0


def _grouped(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """The items in order, in groups as large as `TOGETHER` has them."""
    start = 0
    for size in TOGETHER:
        while len(items) - start >= size:
            yield items[start : start + size]
            start += size


def _tell(jobs: Iterable[_Job], failed: LedgerError | None) -> None:
    """Let those go on who wait for their rows, each on its own event loop."""
    waiting: defaultdict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for job in jobs:
        if isinstance(job, _Row) and job.written is not None:
            waiting[job.written.get_loop()].append(job.written)
    for loop, written in waiting.items():
        with suppress(RuntimeError):  # it is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, written, failed)


def _resolve(written: "Iterable[asyncio.Future[None]]", failed: LedgerError | None) -> None:
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
        for shard in shards:
            with explained(shard):
                connection.execute("ATTACH ? AS shard", (str(shard),))
                if columns(connection, "requests", "shard"):  # or the job was killed before it had made them
                    add_missing_columns(connection, "shard")
                    connection.executescript(f"BEGIN IMMEDIATE; {MERGE} COMMIT;")
                connection.execute("DETACH shard")
