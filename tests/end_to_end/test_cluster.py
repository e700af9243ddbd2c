"""A source on a local Ray cluster of two machines, one of which dies in the middle of the job."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
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


def slow(first: int, place: Path) -> NegativeSource:
    with (place.parent.parent / "begun").open("a") as stream:
        stream.write(f"{first} {ray.get_runtime_context().get_node_id()}\n")
    time.sleep(2)
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
    out = tmp_path / "out.jsonl"
    done = []
    for part in Cluster(out, SETTINGS, slow, workers=2).run(DIALOGUES):
        done.append(part)
        if len(done) == 1:
            machines.remove_node(machines.mortal, allow_graceful=False)
    assert list(read(out)) == expected
    assert sum(part.dialogues for part in done) == len(DIALOGUES)
    begun = [line.split() for line in (tmp_path / "begun").read_text().splitlines()]
    assert len({node for _, node in begun}) == 2
    assert len(begun) > len({first for first, _ in begun})  # what the dead machine had in work was done again
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == ["out.jsonl"]


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
