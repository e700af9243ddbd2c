"""A source on a local Ray cluster of two machines, one of which dies in the middle of the job."""

import asyncio
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pneg import Dialogue, corpora, read
from pneg.errors import BackendError, DataError, PnegError
from pneg.jobs.claim import Job
from pneg.jobs.cluster import PART, Cluster
from pneg.lm import Completion, Ledger, Recorded, Request, Run, Scripted
from pneg.lm.base import Complete
from pneg.lm.ledger import merge
from pneg.negatives import Prompted
from pneg.negatives.base import Adding

ray = pytest.importorskip("ray", reason="Ray is not installed")
E = list(corpora.read("starter:demonstrations"))
DIALOGUES = [
    Dialogue(str(n), (f"Is number {n} ready?", "Not yet."), ("It will be soon.",)) for n in range(5 * PART + 7)
]
JOB = Job("a test", {"seed": 3})


def answer(request: Request) -> str:
    """Depends on the context, the demonstrations and the seed; one in four needs a second request."""
    number = re.findall(r"Is number (\d+) ready", request.prompt)[-1]
    first = int(re.findall(r"\n(\d)\.$", request.prompt)[0])
    last = 3 if first == 1 and request.seed % 4 == 0 else 5
    lines = [
        f"{n}. Number {number} with {len(request.prompt)} and {request.seed} is {n}" for n in range(first, last + 1)
    ]
    return "\n".join(lines).removeprefix(f"{first}.")


def make(first: int, _: Path) -> Adding:
    return Adding(Prompted(Scripted(answer), E, seed=3, demonstration_sets=2))


def waits(first: int, place: Path) -> Adding:
    """On the machine that will die it never ends; on the other it begins when there is something to be lost."""
    home = place.parent.parent
    begun, mortal = home / "begun", (home / "mortal").read_text()
    here = ray.get_runtime_context().get_node_id()
    with begun.open("a") as stream:
        stream.write(f"{first} {here}\n")
    while here == mortal or mortal not in begun.read_text():
        time.sleep(0.1)
    return make(first, place)


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one processor each; the second can be killed."""
    from ray.cluster_utils import Cluster as Machines

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    made = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
    made.mortal = made.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import a test
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def test_two_machines_write_what_one_does_though_one_of_them_dies(machines: Any, tmp_path: Path) -> None:
    expected = list(make(0, tmp_path)(DIALOGUES, 0))
    out, begun, mortal = tmp_path / "out.jsonl", tmp_path / "begun", machines.mortal.node_id
    (tmp_path / "mortal").write_text(mortal)
    begun.touch()

    def kill() -> None:
        while mortal not in begun.read_text():
            time.sleep(0.1)
        machines.remove_node(machines.mortal, allow_graceful=False)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    done = list(Cluster(out, JOB, waits, workers=2).run(DIALOGUES))
    killer.join()
    assert list(read(out)) == expected
    assert sum(part.dialogues for part in done) == len(DIALOGUES)
    parts = [line.split() for line in begun.read_text().splitlines()]
    lost = {first for first, node in parts if node == mortal}
    assert lost
    assert lost <= {first for first, node in parts if node != mortal}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "mortal", "out.jsonl"]


ENOUGH = 200
"""Answers in the ledger of a part before its machine dies."""


class Paid:
    """Notes each request that it is sent; on the machine that will die it falls silent after some."""

    name, concurrency = "m", 4

    def __init__(self, home: Path) -> None:
        self.paid, self.mortal = home / "paid", (home / "mortal").read_text()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        here, answered = ray.get_runtime_context().get_node_id(), 0
        while here != self.mortal and self.mortal not in self.paid.read_text():
            await asyncio.sleep(0.1)  # lest it does the other's parts, too

        async def complete(request: Request) -> Completion:
            nonlocal answered
            with self.paid.open("a") as stream:
                stream.write(f"{hash_of(request)} {here}\n")
            while here == self.mortal and answered >= ENOUGH:
                await asyncio.sleep(60)
            answered += 1
            return Completion(answer(request))

        yield complete


def hash_of(request: Request) -> str:
    return Recorded(Scripted([]), None).key(request).hex()  # type: ignore[arg-type]


class Kept:
    """Writes with a ledger beside the part, as `pneg negatives prompted --engine ray` does."""

    name = "prompted"

    def __init__(self, first: int, place: Path) -> None:
        self.first, self.place = first, place
        self.counts: Counter[str] = Counter()

    def propose(self, dialogues: Iterable[Dialogue], count: int) -> Iterator[tuple[str, ...]]:
        with Ledger(self.place.with_name(f"{self.place.name}.ledger.sqlite"), Run({})) as ledger:
            lm = Recorded(Paid(self.place.parent.parent), ledger)
            yield from Prompted(lm, E, seed=3, demonstration_sets=2, first=self.first).propose(dialogues, count)


def kept(first: int, place: Path) -> Adding:
    return Adding(Kept(first, place))


def test_what_a_dead_machine_has_paid_for_is_not_paid_for_again(machines: Any, tmp_path: Path) -> None:
    mortal, paid = machines.mortal.node_id, tmp_path / "paid"
    (tmp_path / "mortal").write_text(mortal)
    paid.touch()

    def kill() -> None:
        while paid.read_text().count(mortal) < ENOUGH + Paid.concurrency:
            time.sleep(0.1)
        machines.remove_node(machines.mortal, allow_graceful=False)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    out, whole = tmp_path / "out.jsonl", tmp_path / "ledger.sqlite"
    join = Cluster(out, JOB, kept, workers=2, finish=lambda folder: merge(whole, sorted(folder.glob("*.sqlite"))))
    list(join.run(DIALOGUES))
    killer.join()
    assert list(read(out)) == list(make(0, tmp_path)(DIALOGUES, 0))
    asked = Counter(line.split()[0] for line in paid.read_text().splitlines())
    again = [request for request, times in asked.items() if times > 1]
    assert len(again) <= Paid.concurrency  # what was in flight
    assert max(asked.values()) <= 2
    with sqlite3.connect(whole) as ledger:
        assert ledger.execute("SELECT count(*) FROM requests").fetchone() == (len(asked),)


def fails_late(first: int, place: Path) -> Adding:
    def refuse(_: Request) -> str:
        raise BackendError("the server refused", status=401)

    return Adding(Prompted(Scripted(refuse), E)) if first == 2 * PART else make(first, place)


def test_an_error_comes_back_as_it_was_and_what_is_done_is_kept(machines: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(PnegError, match="the server refused"):
        list(Cluster(out, JOB, fails_late).run(DIALOGUES))
    assert not out.exists()
    with pytest.raises(DataError, match="seed was 3 and is now 4"):
        list(Cluster(out, Job("a test", {"seed": 4}), make).run(DIALOGUES))
    done = list(Cluster(out, JOB, make).run(DIALOGUES))
    assert any(part.earlier for part in done)
    assert not all(part.earlier for part in done)
    assert list(read(out)) == list(make(0, tmp_path)(DIALOGUES, 0))
