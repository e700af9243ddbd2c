"""A source on a local Ray cluster of two machines, one of which dies in the middle of the job."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from pneg import Dialogue, corpora, read
from pneg.errors import BackendError, DataError, PnegError
from pneg.lm import Request, Scripted
from pneg.negatives import NegativeSource, Prompted, add
from pneg.negatives.cluster import PART, Cluster

ray = pytest.importorskip("ray", reason="Ray is not installed")
E = list(corpora.read("starter:demonstrations"))
DIALOGUES = [
    Dialogue(str(n), (f"Is number {n} ready?", "Not yet."), ("It will be soon.",)) for n in range(5 * PART + 7)
]
SETTINGS = {"seed": 3}


def answer(request: Request) -> str:
    """Depends on the context, the demonstrations and the seed; one in four needs a second request."""
    number = re.findall(r"Is number (\d+) ready", request.prompt)[-1]
    first = int(re.findall(r"\n(\d)\.$", request.prompt)[0])
    last = 3 if first == 1 and request.seed % 4 == 0 else 5
    lines = [
        f"{n}. Number {number} with {len(request.prompt)} and {request.seed} is {n}" for n in range(first, last + 1)
    ]
    return "\n".join(lines).removeprefix(f"{first}.")


def make(first: int, _: Path) -> NegativeSource:
    return Prompted(Scripted(answer), E, seed=3, demonstration_sets=2, first=first)


def waits(first: int, place: Path) -> NegativeSource:
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
    expected = list(add(make(0, tmp_path), DIALOGUES))
    out, begun, mortal = tmp_path / "out.jsonl", tmp_path / "begun", machines.mortal.node_id
    (tmp_path / "mortal").write_text(mortal)
    begun.touch()

    def kill() -> None:
        while mortal not in begun.read_text():
            time.sleep(0.1)
        machines.remove_node(machines.mortal, allow_graceful=False)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    done = list(Cluster(out, SETTINGS, waits, workers=2).run(DIALOGUES))
    killer.join()
    assert list(read(out)) == expected
    assert sum(part.dialogues for part in done) == len(DIALOGUES)
    parts = [line.split() for line in begun.read_text().splitlines()]
    lost = {first for first, node in parts if node == mortal}
    assert lost
    assert lost <= {first for first, node in parts if node != mortal}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "mortal", "out.jsonl"]


def fails_late(first: int, place: Path) -> NegativeSource:
    def refuse(_: Request) -> str:
        raise BackendError("the server refused", status=401)

    return Prompted(Scripted(refuse), E, first=first) if first == 2 * PART else make(first, place)


def test_an_error_comes_back_as_it_was_and_what_is_done_is_kept(machines: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with pytest.raises(PnegError, match="the server refused"):
        list(Cluster(out, SETTINGS, fails_late).run(DIALOGUES))
    assert not out.exists()
    with pytest.raises(DataError, match="other settings or another input"):
        list(Cluster(out, {"seed": 4}, make).run(DIALOGUES))
    done = list(Cluster(out, SETTINGS, make).run(DIALOGUES))
    assert any(part.earlier for part in done)
    assert not all(part.earlier for part in done)
    assert list(read(out)) == list(add(make(0, tmp_path), DIALOGUES))
