"""What a training leaves in its folder belongs to that training; a checkpoint is replaced at once or not at all."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from pneg import Selector, corpora
from pneg.errors import DataError, PnegError
from pneg.jobs.claim import Job
from pneg.selector import training
from pneg.selector.checkpoint import Checkpoint
from pneg.selector.recipe import Recipe, Step
from pneg.selector.training import train

pytestmark = pytest.mark.usefixtures("one_thread")
STARTER = list(corpora.read("starter:test"))
JOB = Job("train", {"seed": 1}, "digest")
CPU = torch.device("cpu")
STATE: dict[str, Any] = {
    "done": 1, "model": {"w": torch.ones(1000)}, "optimiser": {}, "schedule": {}, "best": {},
    "validation_losses": [0.5], "spreads": [], "collapsed": False,
}  # fmt: skip


def recipe(backbone: Path) -> Recipe:
    return Recipe(backbone=str(backbone), adversarial=("human",), epochs=1, batch=8, precision="float32")


def saved(folder: Path, job: Job = JOB) -> Checkpoint:
    checkpoint = Checkpoint(folder, job)
    with checkpoint.held():
        checkpoint.save(STATE)
    return checkpoint


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_saved_is_loaded_by_the_same_job(tmp_path: Path) -> None:
    saved(tmp_path / "s")
    with Checkpoint(tmp_path / "s", JOB).held():
        state = Checkpoint(tmp_path / "s", JOB).load(CPU)
    assert state is not None
    assert torch.equal(state["model"]["w"], STATE["model"]["w"])
    assert sorted(contents(tmp_path / "s")) == ["checkpoint/job.json", "checkpoint/state.pt"]


def test_a_training_that_did_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Checkpoint(tmp_path / "s", JOB).held():
        raise RuntimeError("no backbone")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "s").mkdir()
    with Checkpoint(tmp_path / "s", JOB).held():
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "s"], "a folder that was there stays"


def test_a_training_killed_before_its_first_checkpoint_keeps_nobody_out(tmp_path: Path) -> None:
    saved(tmp_path / "s")
    (tmp_path / "s" / "checkpoint" / "state.pt").unlink()
    saved(tmp_path / "s", Job("train", {"seed": 2}))
    with pytest.raises(DataError, match="seed was 2 and is now 1"), Checkpoint(tmp_path / "s", JOB).held():
        pass


@pytest.mark.parametrize("name", ["README.md", "config.json", "notes.txt", ".git/config", "checkpoint/weights.bin"])
def test_a_folder_with_something_else_is_refused_and_left_as_it_is(
    name: str, backbones: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "s" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(DataError, match=r"it holds something else: |it holds weights\.bin, and nothing that says"):
        train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s")
    assert contents(tmp_path / "s") == {name: b"mine"}


def test_a_checkpoint_beside_something_else_is_refused_too(tmp_path: Path) -> None:
    saved(tmp_path / "s")
    (tmp_path / "s" / "README.md").write_text("mine")
    with (
        pytest.raises(DataError, match=r"it holds something else: README\.md"),
        Checkpoint(tmp_path / "s", JOB).held(),
    ):
        pass
    assert (tmp_path / "s" / "checkpoint" / "state.pt").exists()


def test_a_checkpoint_of_version_0_1_goes_on_and_is_compared(tmp_path: Path) -> None:
    saved(tmp_path / "s")
    home = tmp_path / "s" / "checkpoint"
    (home / "job.json").unlink()
    (home / "settings.json").write_text(json.dumps({"recipe": {"seed": 1}, "data": "digest"}))
    for other, says in ((Job("train", {"seed": 2}, "digest"), "seed was 1 and is now 2"), (JOB, "another input")):
        with (
            pytest.raises(DataError, match=says),
            Checkpoint(tmp_path / "s", Job("train", other.settings, "x")).held(),
        ):
            pass
    with Checkpoint(tmp_path / "s", JOB).held():
        assert Checkpoint(tmp_path / "s", JOB).load(CPU) is not None


class Evil:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", {"done": Evil(Path("made"))}, [], {}, {**STATE, "done": "1"}, {**STATE, "best": None}],
    ids=["empty", "garbage", "planted", "list", "no keys", "done is text", "best is nothing"],
)
def test_a_damaged_or_planted_checkpoint_is_told_of_in_our_own_words(
    content: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "s")
    state = tmp_path / "s" / "checkpoint" / "state.pt"
    if isinstance(content, bytes):
        state.write_bytes(content)
    else:
        torch.save(content, state)
    with pytest.raises(DataError) as caught, Checkpoint(tmp_path / "s", JOB).held():
        Checkpoint(tmp_path / "s", JOB).load(CPU)
    assert str(caught.value) == (
        f"{tmp_path / 's' / 'checkpoint'}: the checkpoint is damaged, or is none that pneg wrote; delete it to train "
        "from the start"
    )
    assert state.exists()
    assert not (tmp_path / "made").exists(), "no code of it was run"


def stop(_: Step) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    "edited", [{"model": {}}, {"optimiser": {}}, {"schedule": {"last_epoch": []}}, {"done": -1}, {"done": 10**6}]
)
def test_a_checkpoint_that_does_not_fit_the_training_is_told_of(
    edited: dict[str, Any], stopped: Path, backbones: dict[str, Path], tmp_path: Path
) -> None:
    home = tmp_path / "s" / "checkpoint"
    home.mkdir(parents=True)
    (home / "job.json").write_bytes((stopped / "checkpoint" / "job.json").read_bytes())
    torch.save({**torch.load(stopped / "checkpoint" / "state.pt"), **edited}, home / "state.pt")
    with pytest.raises(DataError, match="the checkpoint is damaged, or is none that pneg wrote"):
        train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s")
    assert (home / "state.pt").exists()


@pytest.fixture(scope="module")
def stopped(backbones: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that got Ctrl-C after its first step."""
    folder = tmp_path_factory.mktemp("stopped") / "s"
    with pytest.raises(KeyboardInterrupt):
        train(STARTER[:24], recipe(backbones["bert"]), folder, report=stop)
    return folder


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_checkpoint_for_which_there_is_no_room_leaves_the_one_before(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "s")
    before = contents(tmp_path / "s")
    with checkpoint.held():
        with files_up_to(100_000), pytest.raises(PnegError) as caught:
            checkpoint.save({**STATE, "model": {"w": torch.ones(1_000_000)}})
        assert str(caught.value) == (
            f"{tmp_path / 's' / 'checkpoint'}: the checkpoint cannot be written: File too large; the last checkpoint "
            "is kept: make room and give the same command to go on"
        )
    assert contents(tmp_path / "s") == before


def test_a_first_checkpoint_for_which_there_is_no_room_leaves_nothing(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "s", JOB)
    with (
        pytest.raises(PnegError, match="the checkpoint cannot be written: File too large; nothing was kept yet"),
        checkpoint.held(),
        files_up_to(100_000),
    ):
        checkpoint.save({**STATE, "model": {"w": torch.ones(1_000_000)}})
    assert list(tmp_path.iterdir()) == []


def test_a_selector_for_which_there_is_no_room_is_none_and_the_training_goes_on(
    backbones: dict[str, Path], tmp_path: Path
) -> None:
    def save(_: Selector, folder: Path, card: str = "") -> None:
        real(_, folder, card)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = Selector.save
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Selector, "save", save)
        with pytest.raises(
            PnegError, match="the selector cannot be written: No space left on device; the last check"
        ):
            train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s")
    assert sorted(contents(tmp_path / "s")) == ["checkpoint/job.json", "checkpoint/state.pt"]
    seen: list[int] = []
    train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s", report=lambda step: seen.append(step.number))
    assert seen == []
    assert Selector.load(tmp_path / "s").about["contexts"] == 23
    assert not (tmp_path / "s" / "checkpoint").exists()


@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_training_killed_while_the_selector_is_put_in_its_place_goes_on(
    after: int, backbones: dict[str, Path], tmp_path: Path
) -> None:
    moves: list[str] = []

    def replace(there: Path, here: Path) -> None:
        if Path(here).parent == tmp_path / "s":
            if len(moves) == after:
                raise RuntimeError("killed")
            moves.append(Path(here).name)
        real(there, here)

    real = os.replace
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pneg.selector.checkpoint.os.replace", replace)
        with pytest.raises(RuntimeError, match="killed"):
            train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s")
    assert "selector.json" not in moves
    assert len(moves) == after
    train(STARTER[:24], recipe(backbones["bert"]), tmp_path / "s")
    assert Selector.load(tmp_path / "s").about["contexts"] == 23
    assert not (tmp_path / "s" / "checkpoint").exists()


def test_a_file_that_was_put_there_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "s")

    def save(folder: Path) -> None:
        folder.mkdir()
        (folder / "README.md").write_text("a card")
        (tmp_path / "s" / "README.md").write_text("mine")

    with (
        pytest.raises(DataError, match=r"README\.md was put there while the selector was trained"),
        checkpoint.held(),
    ):
        checkpoint.finish(save)
    assert (tmp_path / "s" / "README.md").read_text() == "mine"
    assert (tmp_path / "s" / "checkpoint" / "state.pt").exists()


HOLDS = """
import sys
from pathlib import Path
from pneg.jobs.claim import Job
from pneg.selector.checkpoint import Checkpoint
with Checkpoint(Path(sys.argv[1]), Job("train", {"seed": 1}, "digest")).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_trainings_lock_each_other_out(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "s")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(DataError, match="another job is writing it"):
            saved(tmp_path / "s")
        other.communicate()
    saved(tmp_path / "s")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_only_the_first_of_several_processes_looks_at_the_folder(
    rank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").touch()
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(training.Recipe, "check", lambda *_: (_ for _ in ()).throw(RuntimeError("beyond the folder")))
    with pytest.raises(DataError if rank == "0" else RuntimeError):
        train(STARTER[:24], Recipe(), tmp_path / "s")
