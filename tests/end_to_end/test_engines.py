"""One process or a cluster: a job goes on with either, pays once, and touches nothing that is another's."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import chaos
from pneg.cli import main
from pneg.jobs import claim
from pneg.jobs.cluster import Cluster

pytest.importorskip("ray", reason="Ray is not installed")
import serial

PRICES = ("--price-in", "100", "--price-out", "500")
EACH = Decimal(100 * chaos.PROMPT_TOKENS + 500 * chaos.COMPLETION_TOKENS) / 1_000_000
ENGINES = ("local", "ray")
LIMIT = 60


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cluster is this process; the working folder is a new one."""
    monkeypatch.setattr("pneg.jobs.cluster.PART", serial.PART)
    monkeypatch.setattr(Cluster, "_write_parts", serial.write_parts)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.chdir(tmp_path)


Pneg = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def pneg(capsys: pytest.CaptureFixture[str]) -> Pneg:
    def run(*words: str) -> tuple[int, dict[str, Any], str]:
        status = main(["negatives", *words, "--json"])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return status, json.loads(said.out or "{}"), said.err

    return run


def prompted(server: chaos.Server, engine: str, *more: str, out: str = "out.jsonl") -> list[str]:
    words = ["prompted", "starter:test", "-o", out, "--lm", server.url, "--model", "m", "--limit", str(LIMIT)]
    return [*words, "--engine", engine, "--concurrency", "4", *PRICES, *more]


def stopping_after(answers: int) -> chaos.Plan:
    return lambda number, _: chaos.refusing(401, "no more") if number >= answers else None


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def dollars(ledger: Path) -> Decimal:
    with closing(sqlite3.connect(ledger)) as connection:
        [(answers,)] = connection.execute("SELECT count(*) FROM requests JOIN runs ON run = runs.id")
    return EACH * int(answers)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, set[tuple[str, int]]]:
    """What the job writes, and what it asks for."""
    out = tmp_path_factory.mktemp("undisturbed") / "out.jsonl"
    with chaos.serving(chaos.Server()) as server:
        assert main(["negatives", *prompted(server, "local", out=str(out))]) == 0
    return out.read_bytes(), set(server.asked)


@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("first", ENGINES)
def test_a_stopped_job_goes_on_with_either_engine_and_pays_once(
    pneg: Pneg, tmp_path: Path, undisturbed: Any, first: str, second: str
) -> None:
    with chaos.serving(chaos.Server(stopping_after(40))) as server:
        status, _, said = pneg(*prompted(server, first))
        assert (status, "no more" in said) == (1, True)
        paid = sum(server.asked.values())
        server.plan = lambda _, __: None
        status, dry, _ = pneg(*prompted(server, second, "--dry-run"))
        assert (status, dry["contexts"] < LIMIT, sum(server.asked.values())) == (0, True, paid)
        status, _, said = pneg(*prompted(server, second))
        assert status == 0, said
    assert (tmp_path / "out.jsonl").read_bytes() == undisturbed[0]
    assert set(server.asked) == undisturbed[1]
    assert set(server.asked.values()) == {1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.ledger.sqlite"]
    assert dollars(tmp_path / "out.jsonl.ledger.sqlite") == EACH * len(server.asked)


@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("first", ENGINES)
def test_a_shared_ledger_is_seen_by_every_engine(
    pneg: Pneg, tmp_path: Path, undisturbed: Any, first: str, second: str
) -> None:
    shared = ("--ledger", "shared.sqlite")
    with chaos.serving(chaos.Server()) as server:
        assert pneg(*prompted(server, first, *shared, out="one.jsonl"))[0] == 0
        asked = sum(server.asked.values())
        _, dry, _ = pneg(*prompted(server, second, *shared, "--dry-run", out="two.jsonl"))
        assert (dry["requests"], dry["in_ledger"]) == (0, LIMIT)
        assert pneg(*prompted(server, second, *shared, out="two.jsonl"))[0] == 0
    assert sum(server.asked.values()) == asked == len(undisturbed[1])
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes() == undisturbed[0]
    assert dollars(tmp_path / "shared.sqlite") == EACH * asked


class Killed(BaseException):
    """Ends a job between two of its steps."""


STEPS = ("pneg.lm.ledger.merge", "pneg.lm.snapshot.take", "pneg.dialogue.write", "pneg.jobs.claim.Folder.remove")


@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_cluster_that_ends_at_any_step_loses_nothing_and_counts_nothing_twice(
    pneg: Pneg, tmp_path: Path, undisturbed: Any, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, second: str
) -> None:
    with chaos.serving(chaos.Server()) as server:
        for time_of_it in range(1, 30):
            with monkeypatch.context() as patched:
                _kill(patched, step, time_of_it, after)
                try:
                    status, _, said = pneg(*prompted(server, "ray", "--force"))
                except Killed:
                    continue
            assert status == 0, said
            break
        assert time_of_it > 1
        if second == "local":
            assert pneg(*prompted(server, second, "--force"))[0] == 0
    assert set(server.asked.values()) == {1}
    assert (tmp_path / "out.jsonl").read_bytes() == undisturbed[0]
    assert dollars(tmp_path / "out.jsonl.ledger.sqlite") == EACH * len(undisturbed[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.ledger.sqlite"]


def _kill(patched: pytest.MonkeyPatch, step: str, number: int, after: bool) -> None:
    """Let the call of this number, before it does anything or when it has done all, be the last."""
    owner: Any = sys.modules.get(step.rpartition(".")[0]) or claim.Folder
    real = getattr(owner, step.rpartition(".")[2])
    calls = iter(range(1, 1000))

    def called(*arguments: Any) -> Any:
        last = next(calls) == number
        if last and not after:
            raise Killed
        found = real(*arguments)
        if last:
            raise Killed
        return found

    patched.setattr(step, called)


COMMAND = "import serial, sys; serial.install(); from pneg.cli import main; sys.exit(main())"
KILLS = 6


def test_a_job_killed_again_and_again_with_the_engine_changing_pays_for_nothing_twice(
    pneg: Pneg, tmp_path: Path, undisturbed: Any
) -> None:
    moments, environment = random.Random(5), os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    in_flight = 0
    with chaos.serving(chaos.Server(delay=0.05)) as server:
        for number in range(KILLS):
            words = prompted(server, ENGINES[number % 2])
            command = [sys.executable, "-c", COMMAND, "negatives", *words]
            server.arrived.clear()
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
            ) as job:
                while not server.arrived.wait(0.05) and job.poll() is None:
                    pass
                time.sleep(moments.uniform(0.0, 0.15))
                job.send_signal(signal.SIGTERM if number % 3 == 2 else signal.SIGKILL)
            server.wait_until_all_is_read()
            in_flight += 4
        status, _, said = pneg(*prompted(server, "ray", "--force"))
        assert status == 0, said
    assert (tmp_path / "out.jsonl").read_bytes() == undisturbed[0]
    assert set(server.asked) == undisturbed[1]
    assert sum(server.asked.values()) - len(server.asked) <= in_flight
    assert dollars(tmp_path / "out.jsonl.ledger.sqlite") == EACH * len(server.asked)


@pytest.mark.parametrize("engine", ENGINES)
def test_another_job_leaves_a_stopped_one_as_it_is_and_names_it(pneg: Pneg, tmp_path: Path, engine: str) -> None:
    with chaos.serving(chaos.Server(stopping_after(40))) as server:
        assert pneg(*prompted(server, engine))[0] == 1
        before = contents(tmp_path)
        assert any(name.endswith("ledger.sqlite") for name in before)
        status, _, said = pneg("all", "starter:test", "-o", "out.jsonl", "--only", "random")
        assert status == 2
        assert "another job was stopped here, negatives prompted; finish that one first" in said
        for other in ENGINES:
            status, _, said = pneg(*prompted(server, other, "--temperature", "0.5"))
            assert (status, "temperature was 0.8 and is now 0.5" in said) == (2, True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stopped_all_is_left_as_it_is(
    pneg: Pneg, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("all", "starter:test", "-o", "out.jsonl", "--only", "random,context")
    with monkeypatch.context() as patched:
        patched.setattr("pneg.negatives.context.Context.propose", _stopped)
        assert pneg(*words)[0] == 1
    before = contents(tmp_path)
    assert "out.jsonl.parts/random.jsonl" in before
    with chaos.serving(chaos.Server()) as server:
        status, _, said = pneg(*prompted(server, engine))
    assert (status, "another job was stopped here, negatives all" in said) == (2, True)
    status, _, said = pneg(*words[:-1], "context")
    assert (status, "it holds what was done of random, which this command leaves out" in said) == (2, True)
    assert contents(tmp_path) == before
    assert not server.times
    assert pneg(*words)[0] == 0


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("engine", ENGINES)
def test_somebody_elses_folder_of_that_name_is_named_and_kept(pneg: Pneg, tmp_path: Path, engine: str) -> None:
    (tmp_path / "out.jsonl.parts").mkdir()
    (tmp_path / "out.jsonl.parts" / "notes.txt").write_text("mine")
    with chaos.serving(chaos.Server()) as server:
        for words in (
            prompted(server, engine),
            prompted(server, engine, "--dry-run"),
            ["all", "starter:test", "-o", "out.jsonl"],
        ):
            status, _, said = pneg(*words)
            assert status == 2
            assert "out.jsonl.parts: it holds notes.txt, and nothing that says which job they belong to" in said
    assert contents(tmp_path) == {"out.jsonl.parts/notes.txt": b"mine"}


@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("first", ENGINES)
def test_a_dry_run_compares_as_the_job_does(pneg: Pneg, tmp_path: Path, first: str, second: str) -> None:
    with chaos.serving(chaos.Server(stopping_after(40))) as server:
        assert pneg(*prompted(server, first))[0] == 1
        before = contents(tmp_path)
        for other, says in (
            (("--temperature", "0.5"), "temperature was 0.8 and is now 0.5"),
            (("--seed", "7"), "seed was 0 and is now 7"),
            (("--model", "n"), 'model was "m" and is now "n"'),
        ):
            status, _, said = pneg(*prompted(server, second, *other, "--dry-run"))
            assert (status, says in said) == (2, True), said
        words = prompted(server, second, "--dry-run")
        words[1] = "starter:demonstrations"
        status, _, said = pneg(*words)
        assert (status, "give the same input" in said) == (2, True), said
        assert pneg(*prompted(server, second, "--dry-run"))[0] == 0
    assert contents(tmp_path) == before


@pytest.mark.parametrize("second", ENGINES)
@pytest.mark.parametrize("first", ENGINES)
def test_what_was_done_of_another_input_is_kept(pneg: Pneg, tmp_path: Path, first: str, second: str) -> None:
    with chaos.serving(chaos.Server(stopping_after(40))) as server:
        assert pneg(*prompted(server, first))[0] == 1
        before = contents(tmp_path)
        server.plan = lambda _, __: None
        words = prompted(server, second)
        words[1] = "starter:demonstrations"
        status, _, said = pneg(*words)
    assert (status, "give the same input" in said) == (2, True), said
    kept = ("out.jsonl.unfinished", *(name for name in before if name.endswith("0.jsonl")))
    assert {name: contents(tmp_path).get(name) for name in kept if name in before} == {
        name: before[name] for name in kept if name in before
    }
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["00000000.jsonl", "00000000.input.jsonl", "job.json"])
@pytest.mark.parametrize("content", [b"", b'{"settings": {}', b"[1]\n", b"\xff\n"])
def test_a_damaged_file_among_the_parts_is_named_and_nothing_is_deleted(
    pneg: Pneg, tmp_path: Path, name: str, content: bytes
) -> None:
    with chaos.serving(chaos.Server(stopping_after(40))) as server:
        assert pneg(*prompted(server, "ray"))[0] == 1
        (tmp_path / "out.jsonl.parts" / name).write_bytes(content)
        server.plan = lambda _, __: None
        ledgers = [path.name for path in (tmp_path / "out.jsonl.parts").glob("*.sqlite")]
        status, _, said = pneg(*prompted(server, "ray"))
    assert status in (1, 2)
    assert "out.jsonl.parts" in said
    assert not (tmp_path / "out.jsonl").exists()
    assert {*ledgers} <= {path.name for path in (tmp_path / "out.jsonl.parts").iterdir()}
