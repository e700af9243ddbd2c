"""`pneg demo` as a user runs it, smaller: real language model, real corpus, real training, real browser page."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Event

import pytest

from pneg import read
from pneg.errors import DataError
from pneg.study.demo import Sizes, Watch, run

NEVER = Event()
SMALL = [sys.executable, "-m", "pneg", "demo", "--limit", "32", "--json"]


def hearing() -> None:
    """A child hears Ctrl-C even where its parents were told not to, as jobs in the background are."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def stopped(home: Path) -> subprocess.CompletedProcess[str]:
    """A demo that got Ctrl-C while negatives were written."""
    with subprocess.Popen(
        [*SMALL, "-o", str(home / "demo")], stderr=subprocess.PIPE, text=True, preexec_fn=hearing
    ) as process:
        journal = home / "demo" / "negatives.jsonl.unfinished"
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
            NEVER.wait(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
    return subprocess.CompletedProcess(SMALL, process.returncode, "", said)


@pytest.fixture(scope="module")
def finished(home: Path, stopped: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The same demo, gone on with to the end."""
    done = subprocess.run([*SMALL, "-o", str(home / "demo")], capture_output=True, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_ctrl_c_keeps_what_was_written_and_says_how_to_go_on(
    home: Path, stopped: subprocess.CompletedProcess[str]
) -> None:
    assert stopped.returncode == 1
    assert "give the same command to go on" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    kept = (home / "demo" / "negatives.jsonl.unfinished").read_bytes()
    assert kept.count(b"\n") > 2


def test_it_goes_on_and_reports_both_selectors_on_both_sets(home: Path, finished: dict) -> None:
    assert set(finished["scores"]) == {"random", "prompted"}
    for scores in finished["scores"].values():
        assert {name: score["n"] for name, score in scores.items()} == {"random": 300, "human": 300}
        assert all(score["candidates"] == 6 for score in scores.values())
    written = list(read(home / "demo" / "negatives.jsonl"))
    assert len(written) == 32
    assert sum(len(dialogue.negatives["prompted"]) for dialogue in written) >= 150
    assert not (home / "demo" / "negatives.jsonl.unfinished").exists()


def test_a_second_run_takes_what_is_there_and_prints_the_same(home: Path, finished: dict) -> None:
    before = (home / "demo" / "result.json").stat().st_mtime_ns
    again = json.loads(subprocess.run([*SMALL, "-o", str(home / "demo")], capture_output=True, check=True).stdout)
    assert again == finished
    assert (home / "demo" / "result.json").stat().st_mtime_ns == before


def test_the_page_needs_nothing_from_elsewhere_and_shows_the_figures(home: Path, finished: dict) -> None:
    page = (home / "demo" / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#)', page)
    for scores in finished["scores"].values():
        for score in scores.values():
            assert f"{score['r@1']:.3f}" in page


def test_other_sizes_are_refused_in_the_same_folder(home: Path, finished: dict) -> None:
    other = [sys.executable, "-m", "pneg", "demo", "--limit", "33", "-o", str(home / "demo")]
    done = subprocess.run(other, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 2
    assert "contexts was 32 and is now 33; use the same settings, choose another output" in done.stderr


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        run(folder, Sizes(), Watch(print, lambda given, _: given, print))
    return str(caught.value)


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "it holds notes.txt, and nothing that says which job" in refused(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_demo_of_version_0_1_is_compared(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({**asdict(Sizes()), "contexts": 99}))
    assert "contexts was 99 and is now 150" in refused(tmp_path)
    (tmp_path / "settings.json").write_text("half")
    assert "the mark that says whose job this is is damaged" in refused(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]
